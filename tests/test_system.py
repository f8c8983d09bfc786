"""The models of both directions as one object, and as one folder."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pairs import pictures, tones
from PIL import Image
from ruamel.yaml import YAML
from safetensors.torch import load_file
from tiny import small_networks

import cycle_sound
from cycle_sound import paths
from cycle_sound.errors import BadCheckpoint, BadSound, BadSteering, BadTarget, MixedModels, NoModels, ParamsError
from cycle_sound.inference import bundle, card, export
from cycle_sound.inference.engine import Drawing, Steering
from cycle_sound.inference.system import CycleSound
from cycle_sound.media.sounds import Sound
from cycle_sound.models import dvae, features
from cycle_sound.params import SamplingConfig, SamplingConfigs

RATE = 16000


@pytest.fixture(scope="module")
def system(data: Path) -> CycleSound:
    return CycleSound.load(data)


@pytest.fixture(scope="module", params=[("encoder", 1), ("tokens", 1), ("encoder", 2), ("tokens", 2), ("features", 2)])
def conditioned(
    request: pytest.FixtureRequest, untrained: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> CycleSound:
    with small_networks():
        return CycleSound.load(untrained(tmp_path_factory.mktemp("project"), *request.param))


def of(candidates: int, sampling: SamplingConfig) -> SamplingConfig:
    return sampling.model_copy(update={"candidates": candidates})


def pixels(picture: Image.Image) -> bytes:
    return picture.tobytes()


# --- what is made


def test_a_sound_becomes_a_picture_and_a_picture_a_sound(conditioned: CycleSound) -> None:
    picture = conditioned.image(*tones(1)[0])
    assert (picture.mode, picture.size) == ("RGB", (conditioned.size, conditioned.size))
    sound = conditioned.sound(picture)
    assert sound.waveform.shape == (round(conditioned.seconds * conditioned.sample_rate),)
    assert sound.waveform.dtype == np.float32
    assert sound.sample_rate == conditioned.sample_rate == RATE
    assert conditioned.seconds == pytest.approx(1.536)


@pytest.mark.parametrize("candidates", [1, 3])
def test_a_seed_gives_the_same_bytes_in_a_batch_of_any_size(conditioned: CycleSound, candidates: int) -> None:
    given = tones(6)
    whole = conditioned.images(given, seed=5, candidates=candidates)
    for size in (1, 5):
        parts = [given[start : start + size] for start in range(0, len(given), size)]
        made = [picture for part in parts for picture in conditioned.images(part, seed=5, candidates=candidates)]
        assert [pixels(picture) for picture in made] == [pixels(picture) for picture in whole]
    assert len({pixels(picture) for picture in whole}) > 1


def test_a_seed_gives_the_same_waveform_in_a_batch_of_any_size(system: CycleSound) -> None:
    given = pictures(3)
    whole = system.sounds(given, seed=5)
    assert [system.sound(picture, seed=5).waveform.tobytes() for picture in given] == [
        sound.waveform.tobytes() for sound in whole
    ]


def test_another_seed_gives_another_picture(system: CycleSound) -> None:
    made = {pixels(system.image(*tones(1)[0], seed=seed)) for seed in range(4)}
    assert len(made) > 1


def test_sampling_can_be_chosen(system: CycleSound) -> None:
    greedy = system.sampling.audio_to_image.model_copy(update={"temperature": 0.0})
    made = {pixels(system.image(*tones(1)[0], seed=seed, sampling=greedy)) for seed in range(4)}
    assert len(made) == 1


def test_each_direction_draws_in_its_own_way(system: CycleSound) -> None:
    greedy = system.sampling.audio_to_image.model_copy(update={"temperature": 0.0})
    wild = system.sampling.image_to_audio.model_copy(update={"temperature": 3.0})
    drawn = SamplingConfigs(audio_to_image=greedy, image_to_audio=wild)
    other = CycleSound(system.models, drawn)
    (tone,), (picture,) = tones(1), pictures(1)
    assert {pixels(other.image(*tone, seed=seed)) for seed in range(3)} == {
        pixels(system.image(*tone, sampling=greedy))
    }
    assert len({other.sound(picture, seed=seed).waveform.tobytes() for seed in range(3)}) > 1
    for rounds in (
        [other.cycle(tone, seed=seed) for seed in range(3)],
        [system.cycle(tone, seed=seed, sampling=drawn) for seed in range(3)],
    ):
        assert len({pixels(there.thing) for _, there, _ in rounds}) == 1
        assert len({back.thing.waveform.tobytes() for _, _, back in rounds}) > 1


def test_results_depend_on_no_global_state(system: CycleSound) -> None:
    torch.manual_seed(1)
    np.random.seed(1)
    state = torch.get_rng_state()
    first = pixels(system.image(*tones(1)[0]))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert pixels(system.image(*tones(1)[0])) == first


def test_the_first_clip_of_a_sound_counts_and_silence_follows_a_short_one(system: CycleSound) -> None:
    (sound,) = tones(1)
    longer = np.concatenate([sound.waveform, np.ones(RATE, np.float32)])
    assert pixels(system.image(longer, RATE)) == pixels(system.image(*sound))
    shorter = sound.waveform[: RATE // 2]
    padded = np.concatenate([shorter, np.zeros(RATE * 2, np.float32)])
    assert pixels(system.image(shorter, RATE)) == pixels(system.image(padded, RATE))


def test_nothing_becomes_nothing(system: CycleSound) -> None:
    assert system.images([]) == system.sounds([]) == system.scores([], []) == []


@pytest.mark.parametrize(
    ("waveform", "rate", "reason"),
    [
        (np.zeros((2, 100), np.float32), RATE, "shape"),
        (np.zeros(0, np.float32), RATE, "shape"),
        (np.zeros(100, np.int16), RATE, "int16"),
        (np.full(100, np.nan, np.float32), RATE, "NaN"),
        (np.zeros(100, np.float32), 1, "1 Hz"),
    ],
)
def test_what_is_no_waveform_is_refused(system: CycleSound, waveform: np.ndarray, rate: int, reason: str) -> None:
    with pytest.raises(BadSound, match=reason):
        system.image(waveform, rate)


# --- what steers


def test_other_sources_steer_a_draw_and_leave_no_trace_in_the_next(conditioned: CycleSound) -> None:
    *given, other, third = tones(6)  # untrained models hear little of one alone
    strong = conditioned.sampling.audio_to_image.model_copy(update={"guidance": 8.0})

    def seen(**steering: Any) -> bytes:
        return b"".join(map(pixels, conditioned.images(given, sampling=strong, **steering)))

    plain, blend = seen(), (other, 0.5)
    steered = [seen(unlike=other), seen(unlike=third), seen(blend=blend), seen(unlike=third, blend=blend)]
    assert len({plain, *steered}) == 5
    assert seen() == plain


def test_other_pictures_steer_a_sound(system: CycleSound) -> None:
    *given, other = pictures(4)
    strong = system.sampling.image_to_audio.model_copy(update={"guidance": 8.0})

    def heard(**steering: Any) -> bytes:
        return b"".join(sound.waveform.tobytes() for sound in system.sounds(given, sampling=strong, **steering))

    plain = heard()
    assert len({plain, heard(unlike=other), heard(blend=(other, 0.5))}) == 3
    assert heard() == plain


@pytest.mark.parametrize("candidates", [1, 2])
def test_a_steered_seed_gives_the_same_bytes_in_a_batch_of_any_size(system: CycleSound, candidates: int) -> None:
    *given, unlike, other = tones(7)
    how = {"seed": 5, "candidates": candidates, "unlike": unlike, "blend": (other, 0.3)}
    whole = [pixels(picture) for picture in system.images(given, **how)]
    assert [pixels(system.images([one], **how)[0]) for one in given] == whole


def test_a_share_leads_from_one_source_to_another(conditioned: CycleSound) -> None:
    one, other = tones(2)
    greedy = conditioned.sampling.audio_to_image.model_copy(update={"temperature": 0.0})
    made = {share: pixels(conditioned.image(*one, sampling=greedy, blend=(other, share))) for share in (0, 1)}
    assert made[0] == pixels(conditioned.image(*one, sampling=greedy))
    assert made[1] == pixels(conditioned.image(*other, sampling=greedy))


def test_to_be_unlike_itself_leaves_a_source_without_guidance(system: CycleSound) -> None:
    (one,) = tones(1)
    guided = of(1, system.sampling.audio_to_image)  # among several, none explains its source more than itself
    unguided = guided.model_copy(update={"guidance": 1.0})
    assert pixels(system.image(*one, sampling=guided, unlike=one)) == pixels(system.image(*one, sampling=unguided))


def test_reranking_counts_a_mixture_by_its_shares_and_an_unwanted_source_against_it(system: CycleSound) -> None:
    engine, direction, (source, unlike, other) = system.engine, "audio_to_image", system._pictures(tones(3)).split(1)
    drawing = Drawing(of(5, system.sampling[direction]), 3, Steering(unlike, other, 0.25))
    made, information = engine.candidates(direction, source, drawing)
    own, against, mixed = (
        engine.pointwise_mutual_information(direction, one, made[0]) for one in (source, unlike, other)
    )
    assert torch.allclose(information[0], 0.75 * own + 0.25 * mixed - against, atol=1e-4)
    assert torch.equal(engine.generate(direction, source, drawing)[0], made[0, information.argmax()])


def test_what_cannot_steer_is_said_in_one_line(system: CycleSound) -> None:
    (one, other), (picture,) = tones(2), pictures(1)
    for guidance in (1.0, 0.5):
        weak = system.sampling.audio_to_image.model_copy(update={"guidance": guidance})
        with pytest.raises(BadSteering, match=rf"unlike: a guidance of {guidance:g} .* above 1"):
            system.image(*one, unlike=other, sampling=weak)
    for share in (-0.1, 1.1, float("nan")):
        with pytest.raises(BadSteering, match="between 0 and 1"):
            system.image(*one, blend=(other, share))
    with pytest.raises(BadSteering, match="must be sounds, like the source"):
        system.image(*one, blend=(picture, 0.5))
    with pytest.raises(BadSteering, match="must be pictures, like the source"):
        system.sound(picture, unlike=one)


# --- what is judged


def test_reranking_keeps_the_candidate_that_best_explains_its_source(conditioned: CycleSound) -> None:
    engine, drawing = conditioned.engine, Drawing(of(6, conditioned.sampling.audio_to_image), 3)
    sources = conditioned._pictures(tones(2))
    codes = engine.draw("audio_to_image", sources, drawing)  # (2, 6, k, rows, columns)
    pictures = engine.decode("image", codes.flatten(0, 1))
    scores = engine.pointwise_mutual_information("audio_to_image", sources, pictures).unflatten(0, (2, 6))
    repeated = sources.repeat_interleave(6, dim=0)  # one target for each source, the scores are the same
    assert torch.equal(engine.pointwise_mutual_information("audio_to_image", repeated, pictures), scores.flatten())
    assert len(set(scores[0].tolist())) > 1
    kept = engine.generate("audio_to_image", sources, drawing)
    for row, best in enumerate(scores.argmax(1).tolist()):
        assert torch.equal(kept[row], pictures.unflatten(0, (2, 6))[row, best])


def test_the_first_of_several_candidates_is_the_only_one_of_one(system: CycleSound) -> None:
    engine, sampling, sources = system.engine, system.sampling.audio_to_image, system._pictures(tones(3))
    several = engine.draw("audio_to_image", sources, Drawing(of(4, sampling), 3))
    assert torch.equal(several[:, :1], engine.draw("audio_to_image", sources, Drawing(of(1, sampling), 3)))


@pytest.mark.parametrize("candidates", [1, 3])
def test_as_many_candidates_are_drawn_as_sampling_says_unless_told_otherwise(
    system: CycleSound, candidates: int
) -> None:
    sound, sampling = tones(1)[0], of(candidates, system.sampling.audio_to_image)
    own = CycleSound(system.models, SamplingConfigs(audio_to_image=sampling, image_to_audio=sampling))
    kept = pixels(own.image(*sound))
    assert kept == pixels(system.image(*sound, sampling=sampling))
    assert kept == pixels(system.image(*sound, candidates=candidates))
    assert pixels(own.image(*sound, candidates=4)) == pixels(system.image(*sound, candidates=4))


def test_sources_of_one_seed_draw_apart(system: CycleSound) -> None:
    """Or all samples of an evaluation would hang together."""
    sampling = system.sampling.audio_to_image.model_copy(update={"temperature": 1e6})  # nothing but noise
    drawing = Drawing(of(2, sampling), 0)
    codes = system.engine.draw("audio_to_image", system._pictures(tones(4)), drawing).flatten(0, 1)
    agreeing = [(one == other).float().mean() for n, one in enumerate(codes) for other in codes[n + 1 :]]
    assert max(agreeing) < 0.3  # of 16 codes, by chance 0.06


def test_weights_are_packed_once_however_many_batches(system: CycleSound) -> None:
    system.images(tones(9))
    ready = dict(system.engine._cached)
    system.images(tones(20), seed=1)
    assert {key: id(one) for key, one in system.engine._cached.items()} == {key: id(one) for key, one in ready.items()}


def test_the_likelihood_of_a_batch_is_that_of_each_row(conditioned: CycleSound) -> None:
    engine, sources = conditioned.engine, conditioned._pictures(tones(11))
    prefixes = engine.prefixes("audio_to_image", sources)
    codes = engine.draw("audio_to_image", sources, Drawing(of(1, conditioned.sampling.audio_to_image), 0))[:, 0]
    whole = engine.log_likelihood("audio_to_image", prefixes, codes)
    for row in (0, 7, 10):
        alone = engine.log_likelihood("audio_to_image", prefixes[row : row + 1], codes[row : row + 1])
        assert torch.equal(alone[0], whole[row])


def test_the_score_is_that_of_either_way(conditioned: CycleSound) -> None:
    sounds, shown = tones(3), pictures(3)
    scores = conditioned.scores(sounds, shown)
    assert scores == [conditioned.score(sound, picture) for sound, picture in zip(sounds, shown, strict=True)]
    assert len(set(scores)) == 3
    assert conditioned.scores(shown, sounds) != scores


def test_a_score_needs_a_sound_and_a_picture(system: CycleSound) -> None:
    for sources, targets in ((tones(1), tones(1)), (pictures(1), pictures(1)), (tones(2), pictures(1))):
        with pytest.raises(ValueError, match="a sound and a picture"):
            system.scores(sources, targets)


def test_the_cycle_leads_there_and_back(conditioned: CycleSound) -> None:
    for start in (tones(1)[0], pictures(1)[0]):
        stations = conditioned.cycle(start, rounds=2)
        assert [isinstance(station.thing, Sound) for station in stations] == [
            isinstance(start, Sound) == (number % 2 == 0) for number in range(5)
        ]
        assert stations[0].content == pytest.approx(1)
        direction = "audio_to_image" if isinstance(start, Sound) else "image_to_audio"
        modalities = ["audio" if isinstance(station.thing, Sound) else "image" for station in stations]
        seen = [conditioned._pictures([station.thing]) for station in stations]
        shown = [conditioned.engine.summaries(direction, *one) for one in zip(modalities, seen, strict=True)]
        contents = [float((one * shown[0]).sum()) for one in shown]
        assert [station.content for station in stations] == pytest.approx(contents, abs=1e-6)
        assert max(abs(content - 1) for content in contents[1:]) > 0.01
        assert [station.score is None for station in stations] == [True] + [False] * 4
        for station, modality, picture in zip(stations, modalities, seen, strict=True):
            logits = conditioned.models.classifiers[modality](picture).detach().softmax(-1)[0]
            assert station.label == (
                ["bell", "bird"][int(logits.argmax())],
                pytest.approx(float(logits.max()), abs=1e-5),
            )


@pytest.mark.parametrize("rate", [16000, 44100])
def test_a_long_sound_goes_around_the_cycle_by_its_beginning(system: CycleSound, rate: int) -> None:
    tone = np.sin(np.arange(9 * rate) * 440 * 2 * np.pi / rate).astype(np.float32)
    beginning = Sound(tone[: round(system.seconds * rate)], rate)
    start, there, back = system.cycle(Sound(tone, rate))
    assert start.thing.waveform.tobytes() == beginning.waveform.tobytes()
    own = system.cycle(beginning)
    assert [start[1:], there[1:], back[1:]] == [station[1:] for station in own]
    assert there.thing.tobytes() == own[1].thing.tobytes()


# --- the folder


@pytest.fixture
def copy(data: Path, tmp_path: Path) -> Path:
    return shutil.copytree(data.parent, tmp_path / "project") / "data"


def test_exported_models_give_the_same_from_anywhere(
    system: CycleSound, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export.export(data, tmp_path / "models")
    assert {path.suffix for path in (tmp_path / "models").rglob("*") if path.is_file()} == {
        ".safetensors",
        ".json",
        ".md",
    }
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("of: another project")
    again = CycleSound.load("models")
    assert again.sampling == system.sampling
    assert pixels(again.image(*tones(1)[0])) == pixels(system.image(*tones(1)[0]))
    assert again.score(tones(1)[0], pictures(1)[0]) == system.score(tones(1)[0], pictures(1)[0])


def test_an_export_takes_paths_as_text_and_knows_the_home(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert export.export(str(data), "~/models") == export.export(data, tmp_path / "models")


def test_an_export_of_an_export_is_the_same(data: Path, tmp_path: Path) -> None:
    first = export.export(data, tmp_path / "first")
    second = export.export(tmp_path / "first", tmp_path / "second")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert export.export(data, tmp_path / "first") == first  # once more into the same folder


def weights(folder: Path) -> dict[Path, int]:
    """How many bytes the weights in each file of a folder's models take."""
    of_files = {path.relative_to(folder): load_file(path).values() for path in folder.rglob("*.safetensors")}
    return {path: sum(one.nbytes for one in found if one.is_floating_point()) for path, found in of_files.items()}


def test_an_export_of_16_bits_takes_half_and_hardly_differs(copy: Path, tmp_path: Path) -> None:
    vae = paths.vae("image", copy)
    dvae.save_decoder(bundle.decoder_file("image", copy), dvae.load(vae)[0].decoder, vae)
    export.export(copy, tmp_path / "whole")
    first = export.export(copy, tmp_path / "half", half=True)
    assert {path: 2 * size for path, size in weights(tmp_path / "half").items()} == weights(tmp_path / "whole")
    here, there = CycleSound.load(tmp_path / "whole"), CycleSound.load(tmp_path / "half")
    sound, picture = tones(1)[0], pictures(1)[0]
    assert there.score(sound, picture) == pytest.approx(here.score(sound, picture), rel=0.01)
    for half in (False, True):  # what is gone does not come back, and nothing more goes
        again = export.export(tmp_path / "half", tmp_path / f"again {half}", half=half)
        assert [path.read_bytes() for path in again] == [path.read_bytes() for path in first]


@pytest.mark.parametrize(("half", "said"), [(False, "stored in 32 bits.\n"), (True, "stored in 16 bits. Figures and")])
def test_the_model_card_says_how_weights_are_stored_and_with_which_the_figures_were_measured(
    data: Path, tmp_path: Path, half: bool, said: str
) -> None:
    export.export(data, tmp_path / "first", half=half)
    export.export(tmp_path / "first", tmp_path / "second")
    for folder in (tmp_path / "first", tmp_path / "second"):
        assert f"Weights are {said}" in (folder / export.README).read_text(encoding="utf-8")
        assert {one["bits"] for one in card.exported(folder).models.values()} == {16 if half else 32}


def test_the_bundled_models_lie_under_the_card_that_an_export_writes(tmp_path: Path) -> None:
    written = export.export(paths.PRETRAINED, tmp_path / "models")
    for path in written:
        assert path.read_bytes() == (paths.PRETRAINED / path.relative_to(tmp_path / "models")).read_bytes(), path


def test_the_model_card_names_data_figures_and_license_and_no_place(copy: Path, tmp_path: Path) -> None:
    params = copy.parent / "params.yaml"
    text = params.read_text(encoding="utf-8").replace("path: data/folder", "path: /home/someone/clips")
    text = text.replace("network: ''", "network: resnet18").replace("weights: ''", "weights: /home/someone/own.pth")
    params.write_text(text.replace("source: synthetic", "source: folder"), encoding="utf-8")
    export.export(copy, tmp_path / "models")
    readme = (tmp_path / "models/README.md").read_text(encoding="utf-8")
    assert "of the shards" in readme
    assert "| class_consistency | 0.500 | 0.300 – 0.700 |" in readme
    assert "does not know its license" in readme
    facts = json.loads((tmp_path / "models/card.json").read_text(encoding="utf-8"))
    assert facts["models"]["cycle/audio_to_image.safetensors"]["config"]["width"] == 16
    assert facts["params"]["features"]["judge"]["audio"] == {"network": "resnet18", "weights": "own.pth"}
    assert facts["params"]["vae"]["image"]["perceptual_weights"] == "own.pth"
    assert "/home" not in readme + json.dumps(facts)


def test_models_are_not_exported_over_other_files(data: Path, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"")
    for folder in (tmp_path, tmp_path / "photo.jpg", data):
        with pytest.raises(BadTarget):
            export.export(data, folder)
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]


@pytest.mark.skipif(not shutil.which("unshare"), reason="needs unshare")
def test_models_are_not_exported_over_themselves_by_another_name(data: Path, tmp_path: Path) -> None:
    export.export(data, tmp_path / "models")
    (tmp_path / "other").mkdir()
    before = {path: path.read_bytes() for path in (tmp_path / "models").rglob("*.safetensors")}
    mounted = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    words = 'mount --bind models other && exec "$0" -m cycle_sound export other --models models --half'
    environment = os.environ | {"PYTHONPATH": str(Path(cycle_sound.__file__).parents[1])}
    command = [*mounted, words, sys.executable]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    if "mount" in done.stderr or "unshare" in done.stderr:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    assert done.stderr == "error: other: the folder of the models themselves; name another one\n"
    assert {path: path.read_bytes() for path in before} == before


UNCACHED = """
import os, stat
from cycle_sound.media import mel, spectrogram
import librosa.util.utils  # whose functions numba caches
numba, matplotlib = os.environ["NUMBA_CACHE_DIR"], os.environ["MPLCONFIGDIR"]
print(numba, matplotlib, oct(stat.S_IMODE(os.stat(numba).st_mode)))
"""


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("unshare"), reason="needs unshare")
def test_where_neither_packages_nor_the_home_can_be_written_librosa_and_matplotlib_work(tmp_path: Path) -> None:
    spec = find_spec("librosa")
    assert spec is not None
    assert spec.origin is not None
    packages, home = str(Path(spec.origin).parent), str(tmp_path)
    words = 'for one in "$1" "$2"; do mount --bind "$one" "$one" && mount -o remount,bind,ro "$one" || exit 1; done; '
    words += 'unset XDG_CACHE_HOME XDG_CONFIG_HOME NUMBA_CACHE_DIR MPLCONFIGDIR; HOME="$2" exec "$0" -c "$3"'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", words, sys.executable, packages, home]
    environment = os.environ | {"PYTHONPATH": str(Path(cycle_sound.__file__).parents[1])}
    done = subprocess.run([*command, UNCACHED], env=environment, capture_output=True, text=True, check=False)
    if "mount" in done.stderr or "unshare" in done.stderr:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    assert done.stderr == ""
    numba, matplotlib, mode = done.stdout.split()
    assert (numba, mode) == (matplotlib, "0o700")
    assert not Path(numba).exists()


@pytest.mark.parametrize(("can", "made"), [(False, {"NUMBA_CACHE_DIR", "MPLCONFIGDIR"}), (True, set())])
def test_caches_are_made_where_there_are_none_and_are_private(
    can: bool, made: set[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment = {"HOME": str(tmp_path)}
    monkeypatch.setattr(os, "environ", environment)
    monkeypatch.setattr(os, "access", lambda path, mode: can)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    cycle_sound._make_caches()
    assert environment.keys() - {"HOME"} == made
    assert len({*tmp_path.iterdir()}) == bool(made)


@pytest.mark.parametrize("models", [{}, {"vae/image.safetensors": {}}, {"vae/image.safetensors": {"shards": "0"}}])
def test_over_a_card_of_no_models_and_somebodys_readme_nothing_is_exported(
    models: dict[str, Any], data: Path, tmp_path: Path
) -> None:
    card.write(tmp_path, card.read(data).model_copy(update={"models": models}))
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(BadTarget, match=r"README\.md: differs from what an export of this version writes"):
        export.export(data, tmp_path)


def test_what_lies_beside_the_figures_of_the_stages_changes_no_card(copy: Path) -> None:
    before = card.read(copy)
    assert before.metrics
    for name, content in {"mine.json": "[", "notes.json": '{"a": 1}', "evaluate_image_to_audio 2.json": ""}.items():
        (copy.parent / "metrics" / name).write_text(content, encoding="utf-8")
    assert card.read(copy) == before


def test_without_classifiers_nothing_is_called_by_a_name(copy: Path) -> None:
    shutil.rmtree(copy / "classifier")
    assert [station.label for station in CycleSound.load(copy).cycle(tones(1)[0])] == [None] * 3


def test_models_of_another_training_are_refused(copy: Path) -> None:
    vae = paths.vae("image", copy)
    content = bytearray(vae.read_bytes())
    content[-1] ^= 1  # one weight
    vae.write_bytes(content)
    with pytest.raises(MixedModels, match=r"audio_to_image.*another VAE"):
        CycleSound.load(copy)


def test_features_of_another_network_are_refused(
    untrained: Callable[..., Path], small_network: None, tmp_path: Path
) -> None:
    folder = untrained(tmp_path, "features")
    path = paths.features("image", folder) / features.NAME
    features.save(path, features.FeatureNetwork("resnet18"))  # other weights
    with pytest.raises(MixedModels, match=r"image_to_audio.*another network than .*features/image"):
        CycleSound.load(folder)
    path.unlink()
    with pytest.raises(BadCheckpoint, match=r"features/image.*no such model"):
        CycleSound.load(folder)


def test_an_export_carries_the_network_that_sources_are_read_by(
    untrained: Callable[..., Path], small_network: None, tmp_path: Path
) -> None:
    folder = untrained(tmp_path, "features")
    export.export(folder, tmp_path / "models")
    facts = json.loads((tmp_path / "models/card.json").read_text(encoding="utf-8"))["models"]
    assert facts["features/image/network.safetensors"]["network"] == "resnet18"
    assert "resnet18" in (tmp_path / "models/README.md").read_text(encoding="utf-8")
    here, there = CycleSound.load(folder), CycleSound.load(tmp_path / "models")
    assert pixels(there.image(*tones(1)[0])) == pixels(here.image(*tones(1)[0]))


def test_missing_cut_off_and_unknown_models_are_refused(copy: Path) -> None:
    path = paths.cycle("image_to_audio", copy)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(BadCheckpoint, match="safetensors"):
        CycleSound.load(copy)
    path.unlink()
    with pytest.raises(BadCheckpoint, match="no such model"):
        CycleSound.load(copy)
    path.write_bytes(content.replace(b"source_downsamples", b"source_doublesteps"))
    with pytest.raises(BadCheckpoint, match="another version"):
        CycleSound.load(copy)


def test_a_folder_without_models_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoModels, match="no models here"):
        CycleSound.load(tmp_path / "nothing")
    (tmp_path / "params.yaml").write_text("seed: 0")
    (tmp_path / "data").mkdir()
    with pytest.raises(ParamsError):
        CycleSound.load(tmp_path / "data")
    (tmp_path / card.NAME).write_text('{"sampling": 3}')
    with pytest.raises(NoModels, match="not a card"):
        CycleSound.load(tmp_path)


def test_sampling_travels_with_the_folder(copy: Path, tmp_path: Path) -> None:
    params = copy.parent / "params.yaml"
    tree = YAML(typ="safe").load(params)
    tree["sampling"]["audio_to_image"]["guidance"], tree["sampling"]["image_to_audio"]["top_k"] = 3.5, 7
    YAML().dump(tree, params)
    export.export(copy, tmp_path / "models")
    assert CycleSound.load(tmp_path / "models").sampling == SamplingConfigs.model_validate(tree["sampling"])


def test_the_package_is_light_until_the_system_is_asked_for() -> None:
    heavy = "{'torch', 'librosa', 'numpy'} & set(sys.modules)"
    code = f"import sys, cycle_sound, cycle_sound.app.cli; assert not {heavy}, {heavy}; cycle_sound.CycleSound.load"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])
    with pytest.raises(AttributeError, match="Cycle_Sound"):
        cycle_sound.Cycle_Sound  # noqa: B018


def test_models_are_read_and_used_without_torchs_compiler(untrained: Callable[..., Path], tmp_path: Path) -> None:
    slow = "{'torch._dynamo', 'torch._inductor', 'sympy'} & set(sys.modules)"
    code = "import sys, numpy, cycle_sound\n"
    for condition, codebooks in (("encoder", 1), ("encoder", 2), ("tokens", 2)):
        place = tmp_path / f"{condition}{codebooks}"
        place.mkdir()
        code += f"cs = cycle_sound.CycleSound.load({str(untrained(place, condition, codebooks))!r})\n"
        code += f"cs.sound(cs.image(numpy.zeros(999), 16000))\nassert not {slow}, {slow}\n"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])
