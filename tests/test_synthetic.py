"""The toy orchestra: what sound and picture share is really in both, and can be measured by analysis alone."""

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image
from scipy.stats import spearmanr

from cycle_sound.acquisition.sources.clip import Clip
from cycle_sound.acquisition.sources.drawing import SHAPES
from cycle_sound.acquisition.sources.synthesis import VOICES, play
from cycle_sound.acquisition.sources.synthetic import KINDS, clips, compose
from cycle_sound.evaluation import analysis, attributes
from cycle_sound.io.params_file import load
from cycle_sound.params import SyntheticConfig

RATE = 16000
ROOT = Path(__file__).resolve().parents[1]
SEED = 5


def corpus(train: int, seed: int = SEED) -> list[Clip]:
    """The clips of a corpus of `train` + 16 pairs."""
    data = load(ROOT / "params.yaml").data
    data = data.model_copy(update={"synthetic": SyntheticConfig(train_pairs=train, test_pairs=16)})
    return clips(data, RATE, seed)


def picture_of(content: bytes) -> np.ndarray:
    """A decoded picture as the pipeline sees it: (3, 64, 64) in [-1, 1]."""
    image = Image.open(io.BytesIO(content)).convert("RGB").resize((64, 64), Image.Resampling.LANCZOS)
    return np.asarray(image, dtype=np.float32).transpose(2, 0, 1) / 127.5 - 1


@pytest.fixture(scope="module")
def played() -> tuple[list[Clip], list[np.ndarray], list[np.ndarray]]:
    """Clips with their pictures and waveforms."""
    some = corpus(120)[:120]
    pairs = [clip.fetch() for clip in some]
    waveforms = [soundfile.read(io.BytesIO(pair.sound), dtype="float32")[0] for pair in pairs]
    return some, [picture_of(pair.picture) for pair in pairs], waveforms


def shared(some: list[Clip], name: str) -> np.ndarray:
    """One attribute of every clip."""
    return np.array([clip.attributes[name] for clip in some])


def test_same_seed_same_bytes_wherever_it_runs():
    first, again = corpus(16), corpus(24)  # a clip does not depend on how many there are
    for number in (0, 5, 15):
        assert first[number].fetch() == pickle.loads(pickle.dumps(again[number].fetch))()


def test_different_seeds_and_splits_differ():
    train, test, other = corpus(16)[0], corpus(16)[16], corpus(16, SEED + 1)[0]
    assert test.split == "test"
    contents = [clip.fetch() for clip in (train, test, other)]
    assert len({pair.picture for pair in contents}) == len({pair.sound for pair in contents}) == 3


def test_every_kind_is_drawn_and_played_in_both_splits():
    assert len(KINDS) == 8
    assert set(SHAPES) == set(VOICES) == set(KINDS)
    for split in ("train", "test"):
        assert {clip.label for clip in corpus(16) if clip.split == split} == set(KINDS)


def test_ids_are_unique_and_a_group_is_one_clip():
    some = corpus(32)
    assert len({clip.id for clip in some}) == len(some)
    assert all(clip.group == clip.id for clip in some)


def test_sound_has_the_length_asked_for_and_does_not_clip(played):
    _, _, waveforms = played
    assert {len(waveform) for waveform in waveforms} == {24576}
    assert max(np.abs(waveform).max() for waveform in waveforms) < 1


def test_hue_follows_pitch(played):
    some, pictures, _ = played
    assert spearmanr([analysis.hue(picture) for picture in pictures], shared(some, "pitch")).statistic > 0.99


def test_louder_is_bigger(played):
    some, pictures, waveforms = played
    assert spearmanr([analysis.size(picture) for picture in pictures], shared(some, "loudness")).statistic > 0.93
    assert spearmanr([analysis.loudness(sound) for sound in waveforms], shared(some, "loudness")).statistic > 0.99


def test_as_many_things_as_strokes(played):
    some, pictures, waveforms = played
    strokes = shared(some, "strokes")
    assert np.mean([analysis.things(picture) for picture in pictures] == strokes) > 0.98
    assert np.mean([analysis.strokes(waveform, RATE) for waveform in waveforms] == strokes) > 0.98


def test_the_strongest_tone_follows_pitch_over_all_kinds(played):
    some, _, waveforms = played
    measured = np.array([analysis.pitch(waveform, RATE) for waveform in waveforms])
    assert spearmanr(measured, shared(some, "pitch")).statistic > 0.98
    assert np.abs(np.log2(measured / shared(some, "pitch"))).max() < 2 / 12  # octaves


def test_the_bird_warbles_and_no_other_kind_does(played):
    some, _, waveforms = played
    warbles = [analysis.warble(waveform, RATE) for waveform in waveforms]
    birds = [warble for warble, clip in zip(warbles, some, strict=True) if clip.label == "bird"]
    others = [warble for warble, clip in zip(warbles, some, strict=True) if clip.label != "bird"]
    assert min(warble.depth for warble in birds) > 140  # cents
    assert all(12.5 <= warble.rate <= 16.5 for warble in birds)  # Hz
    assert max(warble.depth for warble in others) < 75


def test_the_figure_of_the_warble_is_of_the_kinds_that_warble(played):
    some, _, waveforms = played
    labels, sounds = [clip.label for clip in some], np.stack(waveforms)
    flat = np.stack([sounds[labels.index("flute")]] * len(sounds))
    same = attributes.warbles(labels, sounds, sounds, flat, sounds, RATE)
    assert same["warble_ratio"] == same["vocoder_warble_ratio"] == pytest.approx(1)
    assert same["warble_ratio_low"] == pytest.approx(same["warble_ratio_high"])
    assert same["warble_ratio_ceiling"] < 0.1  # of a tokenizer that makes flutes of birds
    assert same["warble_ratio_floor"] < 0.3  # one kind of eight warbles
    others = [row for row, label in enumerate(labels) if label != "bird"]
    assert attributes.warbles([labels[row] for row in others], *[sounds[others]] * 4, RATE) == {}


@pytest.mark.parametrize("rate", [11.0, 14.5, 17.0])
@pytest.mark.parametrize("depth", [0.0, 60.0, 180.0])
@pytest.mark.parametrize("pitch", [230.0, 440.0, 850.0])
def test_a_warble_of_known_rate_and_depth_is_measured(rate: float, depth: float, pitch: float):
    times = np.arange(24576) / RATE
    frequency = pitch * 2 ** (depth / 1200 * np.sin(2 * np.pi * rate * times))
    phase = 2 * np.pi * np.cumsum(frequency) / RATE
    found = analysis.warble((0.3 * np.sin(phase) + 0.1 * np.sin(3 * phase)).astype(np.float32), RATE)
    assert found.depth == pytest.approx(depth, rel=0.2, abs=3)
    assert depth == 0 or found.rate == pytest.approx(rate, abs=0.5)


@pytest.mark.parametrize(
    "rate", [4_000, 8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 82_000, 88_200, 96_000, 192_000]
)
def test_sounds_are_measured_at_any_sample_rate(rate: int):
    composing = np.random.default_rng(SEED)
    for number, kind in enumerate(KINDS):
        score = compose(kind, composing)
        waveform = play(score, 1.536, rate, np.random.default_rng(number)).astype(np.float32)
        assert abs(np.log2(analysis.pitch(waveform, rate) / score.pitch)) < 2 / 12  # octaves
        assert analysis.strokes(waveform, rate) == score.strokes
        depth = analysis.warble(waveform, rate).depth
        assert depth > 140 if kind == "bird" else depth < 75  # cents


@pytest.mark.parametrize("seconds", [0.005, 0.02, 0.05, 0.1, 0.2])
@pytest.mark.parametrize("rate", [4_000, 16_000, 48_000])
def test_a_sound_of_any_length_is_measured(rate: int, seconds: float):
    waveform = 0.5 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)
    assert seconds < 0.02 or abs(np.log2(analysis.pitch(waveform, rate) / 440)) < 2 / 12  # octaves
    assert np.isfinite(analysis.warble(waveform, rate).depth)
    assert analysis.strokes(waveform, rate) in (0, 1)


@pytest.mark.parametrize("rate", [4_000, 8_000, 16_000, 20_000, 44_100, 96_000, 192_000])
def test_clips_are_made_for_any_sample_rate(rate: int):
    """At the nearest that MP3 has."""
    data = load(ROOT / "params.yaml").data
    pair = clips(data, rate, SEED)[1].fetch()
    waveform, found = soundfile.read(io.BytesIO(pair.sound))
    assert min(rate, 8_000) <= found <= 48_000
    assert len(waveform) / found == pytest.approx(data.clip_seconds, abs=0.01)
    assert analysis.pitch(waveform, found) == pytest.approx(clips(data, 16_000, SEED)[1].attributes["pitch"], rel=0.06)


def test_nothing_measured_where_there_is_nothing():
    grey, silence = np.zeros((3, 64, 64), np.float32), np.zeros(24576, np.float32)
    assert np.isnan(analysis.hue(grey))
    assert np.isnan(analysis.pitch(silence, RATE))
    assert np.isnan(analysis.warble(silence, RATE).depth)
    assert analysis.size(grey) == analysis.things(grey) == analysis.strokes(silence, RATE) == 0
