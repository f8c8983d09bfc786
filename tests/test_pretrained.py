"""The bundled models, and the examples to try them on."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image, ImageOps
from typer.testing import CliRunner

from cycle_sound import paths
from cycle_sound.app import cli, inputs, knowledge
from cycle_sound.inference import card
from cycle_sound.inference.system import CycleSound
from cycle_sound.media.sounds import Sound

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
MAX_BYTES = 25_000_000  # of all models together
SOUNDS, PICTURES = sorted(EXAMPLES.glob("sounds/*.mp3")), sorted(EXAMPLES.glob("pictures/*.jpg"))


@pytest.fixture(scope="module")
def system() -> CycleSound:
    return CycleSound.from_pretrained(device="cpu")


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
    sounds = [inputs.sound(path) for path in SOUNDS]
    pictures = [inputs.picture(path, system.size) for path in PICTURES]
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


def unknown() -> list[Sound]:
    """Sounds that no orchestra plays: silence, noise, a rising tone, a click."""
    rng, times = np.random.default_rng(0), np.arange(24_576) / 16_000
    click = np.zeros(24_576)
    click[9000:9004] = 0.9
    waves = np.zeros(24_576), rng.normal(0, 0.1, 24_576), 0.5 * np.sin(2 * np.pi * (200 + 900 * times) * times), click
    return [Sound(wave.astype(np.float32), 16_000) for wave in waves]


def unseen() -> list[Image.Image]:
    """Pictures that show no instruments: noise, a chequerboard, two of the examples in negative."""
    rng, grid = np.random.default_rng(0), np.indices((64, 64)).sum(0) // 8 % 2 * 255
    made = [Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)), Image.fromarray(grid.astype(np.uint8))]
    return [*made, *(ImageOps.invert(Image.open(path).convert("RGB")) for path in PICTURES[:2])]


def test_what_the_models_never_saw_has_little_confidence_and_the_examples_keep_theirs(system: CycleSound) -> None:
    strange, odd = unknown(), unseen()
    for sources, targets in ((strange, system.images(strange)), (odd, system.sounds(odd))):
        assert max(system.confidences(sources, targets) or [1]) < 0.5
        assert max(system.familiarities(sources) or [1]) < knowledge.FAMILIAR
    pictures = [inputs.picture(path, system.size) for path in PICTURES]
    for known in ([inputs.sound(path) for path in SOUNDS], pictures):
        assert min(system.familiarities(known) or [0]) > 0.9


def test_a_line_warns_of_a_file_unlike_the_training_data(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "silence.wav", *unknown()[0])
    words = ["image", str(SOUNDS[0]), str(tmp_path / "silence.wav"), "-o", str(tmp_path / "out")]
    done = CliRunner().invoke(cli.app, words)
    assert done.exit_code == 0
    (warning,) = [line for line in done.stderr.splitlines() if "unlike the training data" in line]
    assert warning.startswith(str(tmp_path / "silence.wav"))
    assert len(list((tmp_path / "out").iterdir())) == 2
    words = ["cycle", str(tmp_path / "silence.wav"), "-o", str(tmp_path / "out")]
    assert "unlike the training data" in CliRunner().invoke(cli.app, words).stderr
    assert "unlike the training data" in (tmp_path / "out/silence.html").read_text(encoding="utf-8")
