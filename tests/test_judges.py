"""Other people's networks judge what is made, where they are installed: each sound and picture by itself."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
import shared
import torch
import torch.nn.functional as F
from devices import Apple
from pipelines import ROOT, copied, dvc

from cycle_sound.evaluation import attributes, judges, metrics
from cycle_sound.media import sound_files
from cycle_sound.params import DIRECTIONS
from stages import evaluate

RATE = 16000


def needs(packages: tuple[str, ...]) -> pytest.MarkDecorator:
    return pytest.mark.skipif(bool(judges.missing(packages)), reason=f"needs {' '.join(packages)}")


def test_what_is_not_installed_is_missing() -> None:
    assert judges.missing(["numpy", "no-such-package", "pytest"]) == ["no-such-package"]


def test_once_they_are_installed_the_command_that_is_named_evaluates_again(tmp_path: Path) -> None:
    pip, again, rest = re.findall("pip install .*?'(?=,)|dvc [^`]+", evaluate.JUDGED)
    assert rest == "dvc repro"
    said = dvc(copied(tmp_path / "project"), *again.split()[1:], "--dry")
    assert re.findall("^Running stage '(.*)'", said, re.MULTILINE) == [f"evaluate@{one}" for one in DIRECTIONS]
    shown = (ROOT / "docs/how-it-works.md").read_text(encoding="utf-8")
    assert re.search(f"^{re.escape(pip)}\n{re.escape(again)} +#.*\n{rest} +#", shown, re.MULTILINE)


# --- pictures


@needs(judges.IMAGENET)
@torch.inference_mode()
@pytest.mark.parametrize("shape", [(24, 24), (64, 40), (300, 300)])
def test_pictures_of_any_size_and_log_mels_as_grey_ones_have_features_the_same_each_time(
    shape: tuple[int, int],
) -> None:
    log_mels = torch.rand(2, 1, *shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found = judges.ImageNetFeatures()(log_mels)
    assert found.shape == (2, 1280)
    assert torch.equal(judges.ImageNetFeatures()(log_mels.repeat(1, 3, 1, 1)), found)


@needs(judges.IMAGENET)
@torch.inference_mode()
def test_on_apples_gpu_pictures_are_resized_by_the_cpu() -> None:
    network, given = judges.ImageNetFeatures(), torch.rand(2, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    found = network(given.as_subclass(Apple))
    assert found.device.type == "mps"
    assert torch.equal(found.cpu(), network(given))


@needs(judges.IMAGENET)
def test_blurred_pictures_are_farther_from_real_ones_than_others_of_the_same_kind() -> None:
    network, generator = judges.ImageNetFeatures(), torch.Generator().manual_seed(0)
    pictures = F.interpolate(torch.rand(20, 3, 12, 12, generator=generator) * 2 - 1, size=64)
    blurred = F.interpolate(F.avg_pool2d(pictures[:10], 4), size=64, mode="bilinear")
    with torch.inference_mode():
        others, real, soft = (network(part).double().numpy() for part in (*pictures.split(10), blurred))
    same, far = metrics.kernel_distance(others, real), metrics.kernel_distance(soft, real)
    assert same.low < 0 < same.high < far.low


# --- pitch


def harmonic(pitch: float, rate: int = RATE) -> np.ndarray:
    times = np.arange(rate) / rate
    return sum(0.3 / n * np.sin(2 * np.pi * n * pitch * times) for n in range(1, 6)).astype(np.float32)


@needs(judges.PITCH)
@pytest.mark.parametrize("rate", [16000, 44100])
@pytest.mark.parametrize("pitch", [170.0, 440.0, 1100.0])
def test_the_detector_hears_the_fundamental_of_a_harmonic_tone(pitch: float, rate: int) -> None:
    detector = judges.PitchDetector(150, 1200)
    found = detector.pitch(harmonic(pitch, rate), rate)
    assert found == pytest.approx(pitch, rel=0.01)
    assert detector.pitch(harmonic(pitch, rate), rate) == found


@needs(judges.PITCH)
@pytest.mark.parametrize("kind", ["silence", "noise", "click"])
def test_what_has_no_pitch_has_none_of_the_detector(kind: str) -> None:
    rng = np.random.default_rng(0)
    wave = {"silence": np.zeros(RATE), "noise": rng.normal(0, 0.2, RATE), "click": np.eye(1, RATE, 5000)[0]}[kind]
    assert np.isnan(judges.PitchDetector(150, 1200).pitch(wave.astype(np.float32), RATE))


@needs(judges.PITCH)
def test_the_figure_of_the_detector_stands_beside_the_own_one(monkeypatch: pytest.MonkeyPatch) -> None:
    pitches = [180.0, 250.0, 330.0, 500.0, 700.0]
    waves = np.stack([harmonic(pitch) for pitch in pitches])
    given = [{"pitch": pitch} for pitch in pitches]

    def found() -> dict[str, float]:
        measured = attributes.of_waveforms(waves, RATE)
        return attributes.correlations(measured, measured, given)

    both = found()
    for name in ("pitch_hue_correlation", "pitch_hue_correlation_swiftf0"):
        assert both[name] == both[f"{name}_ceiling"] == pytest.approx(1)
        assert both[f"{name}_floor"] == 0
    monkeypatch.setattr(judges, "missing", list)
    assert found() == {name: value for name, value in both.items() if "swiftf0" not in name}


# --- words


@pytest.fixture(scope="module")
def digits() -> tuple[list[str], np.ndarray]:
    """Real spoken digits, three of each: labels and waveforms."""
    with (shared.DIGITS / "labels.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"]
    some = [row for digit in "0123456789" for row in [row for row in rows if row["label"] == digit][::12][:3]]
    waves = []
    for row in some:
        wave, rate = sound_files.decode((shared.DIGITS / f"test_data/{row['id']}.mp3").read_bytes())
        waves.append(sound_files.fit_length(sound_files.resample(wave, rate, RATE), RATE))
    return [row["label"] for row in some], np.stack(waves)


@needs(judges.WORDS)
@pytest.mark.parametrize(
    ("labels", "known"),
    [
        (["0", "1", "9"], True),
        (["yes", "No", "left"], True),
        (["left turn", "right turn"], True),
        (["yes", "xqzzy"], False),
        (["yes", "a(2)"], False),  # a word of its dictionary, which no grammar can hold
        (["yes", "<s>"], False),
        (["yes", "no; public <x> = no"], False),
        (["one", "1"], False),  # a single word
        (["12", "13"], False),
        ([], False),
    ],
)
def test_labels_make_a_grammar_where_all_are_words(labels: list[str], known: bool) -> None:
    assert judges.WordRecogniser(labels).knows_all == known


@needs(judges.WORDS)
@shared.needs(shared.DIGITS)
def test_digits_are_heard_in_real_speech_each_by_itself(digits: tuple[list[str], np.ndarray]) -> None:
    labels, waves = digits
    recogniser = judges.WordRecogniser(labels)
    found = [recogniser.word(wave, RATE) for wave in waves]
    assert np.mean([recogniser.words[label] == word for label, word in zip(labels, found, strict=True)]) > 0.6
    assert [recogniser.word(wave, RATE) for wave in waves[::-1]] == found[::-1]
    assert [judges.WordRecogniser(labels).word(0.1 * wave, RATE) for wave in waves[:3]] == found[:3]


@needs(judges.WORDS)
@shared.needs(shared.DIGITS)
def test_words_are_counted_against_those_of_real_speech(digits: tuple[list[str], np.ndarray]) -> None:
    labels, waves = digits
    same = attributes.words(labels, waves, waves, RATE)
    assert same["words_recognised"] == same["words_recognised_ceiling"] > 0.6
    assert same["words_recognised_low"] < same["words_recognised"] < same["words_recognised_high"]
    mute = attributes.words(labels, np.zeros_like(waves), waves, RATE)
    assert mute["words_recognised"] <= 0.1  # at most the one word that silence is taken for
    wrong = attributes.words(labels, np.roll(waves, 3, axis=0), waves, RATE)
    assert wrong["words_recognised"] < 0.2


def bells(labels: list[str]) -> np.ndarray:
    return np.stack([harmonic(150.0 + 90 * "abcdefgh".index(label[0])) for label in labels])


@needs(judges.WORDS)
def test_sounds_that_are_no_speech_have_no_words_though_their_labels_are() -> None:
    labels = ["bell", "drum", "cat", "frog"] * 3
    assert attributes.words(labels, bells(labels), bells(labels), RATE) == {}


@needs(judges.WORDS)
@pytest.mark.parametrize("labels", [["", "", ""], ["tschirp", "unbekannt", "tschirp"]])
def test_without_words_for_labels_nothing_is_recognised(labels: list[str]) -> None:
    waves = np.zeros((3, RATE), np.float32)
    assert attributes.words(labels, waves, waves, RATE) == {}


def test_without_the_extra_no_words_are_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judges, "missing", list)
    waves = np.zeros((2, RATE), np.float32)
    assert attributes.words(["1", "2"], waves, waves, RATE) == {}
