"""The bundled models, and the examples to try them on."""

from pathlib import Path

import pytest
from PIL import Image

from cycle_sound import paths
from cycle_sound.app import inputs
from cycle_sound.inference import card
from cycle_sound.inference.system import CycleSound

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
MAX_BYTES = 25_000_000  # of all models together
SOUNDS, PICTURES = sorted(EXAMPLES.glob("sounds/*.mp3")), sorted(EXAMPLES.glob("pictures/*.jpg"))


@pytest.fixture(scope="module")
def system() -> CycleSound:
    return CycleSound.from_pretrained(where="cpu")


def kind(path: Path) -> str:
    """What an example shows, by its name: NUMBER_PITCH_KINDs."""
    return path.stem.split("_")[-1].removesuffix("s")


def test_the_models_that_come_along_are_small_whole_and_free(system: CycleSound) -> None:
    described = card.read(paths.PRETRAINED)
    assert sum(path.stat().st_size for path in paths.PRETRAINED.rglob("*.safetensors")) <= MAX_BYTES
    assert (described.license, described.source) == ("mit", "synthetic")
    assert system.knows_confidence
    for classifier in system.models.classifiers.values():
        assert classifier
        assert classifier.labels == sorted({kind(path) for path in SOUNDS})


def test_examples_are_pairs_one_of_each_kind_that_come_along_too() -> None:
    assert [path.stem for path in SOUNDS] == [path.stem for path in PICTURES]
    assert len({kind(path) for path in SOUNDS}) == len(SOUNDS) == 8
    for path in (*SOUNDS, *PICTURES):
        direction, other = ("audio_to_image", "image_to_audio")[:: 1 if path.suffix == ".mp3" else -1]
        samples = paths.PRETRAINED / "samples"
        assert (samples / direction / path.stem / f"source{path.suffix}").read_bytes() == path.read_bytes()
        assert (samples / other / path.stem / f"real{path.suffix}").read_bytes() == path.read_bytes()


def test_what_is_made_of_the_examples_is_of_their_kinds(system: CycleSound) -> None:
    pictures = system.images([inputs.sound(path) for path in SOUNDS])
    sounds = system.sounds([Image.open(path) for path in PICTURES])
    for made, sources in ((pictures, SOUNDS), (sounds, PICTURES)):
        labels = [system.describe(one, one).label for one in made]
        assert [label and label.name for label in labels] == [kind(path) for path in sources]


def test_confidence_tells_the_examples_from_each_other(system: CycleSound) -> None:
    sounds, pictures = [inputs.sound(path) for path in SOUNDS], [inputs.picture(path) for path in PICTURES]
    strange = pictures[1:] + pictures[:1]
    for pairs, least, most in (
        (zip(sounds, pictures, strict=True), 0.9, 1.0),
        (zip(sounds, strange, strict=True), 0, 0.5),
    ):
        for sound, picture in pairs:
            for source, target in ((sound, picture), (picture, sound)):
                sure = system.confidence(source, target)
                assert sure is not None
                assert least <= sure <= most
