"""Cutting and joining sounds, and writing them."""

import io
from collections.abc import Iterable

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from cycle_sound.media import sound_writer, sounds
from cycle_sound.media.blocks import SCRAP, windows
from cycle_sound.media.sound_files import MARGIN
from cycle_sound.media.sound_writer import Format
from cycle_sound.media.sounds import FADE, Sound

RATE = 16000


def noise(seconds: float, seed: int = 0) -> Sound:
    samples = round(seconds * RATE)
    return Sound(np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32), RATE)


def sine(seconds: float, frequency: float) -> Sound:
    return Sound(np.sin(2 * np.pi * frequency * np.arange(round(seconds * RATE)) / RATE).astype(np.float32), RATE)


@given(samples=st.integers(1, 200_000), rate=st.sampled_from([8000, 11025, 44100]), seconds=st.floats(0.2, 2.0))
def test_windows_lie_one_behind_the_other_and_leave_out_a_scrap_at_most(samples: int, rate: int, seconds: float):
    given = Sound(np.arange(samples, dtype=np.float32), rate)
    parts = list(windows([given], seconds))
    for number, part in enumerate(parts):
        start = round(number * (seconds * rate))
        assert part.sample_rate == rate
        assert np.array_equal(part.waveform, given.waveform[start : start + len(part.waveform)])
        assert 0 < len(part.waveform) <= (seconds + MARGIN) * rate + 1
        assert len(part.waveform) >= seconds * rate - 1 or start + len(part.waveform) == samples
    assert samples - len(parts) * seconds * rate <= SCRAP * seconds * rate + 1


def test_a_sound_of_one_window_is_one_even_if_resampling_left_it_a_little_longer():
    assert [len(list(windows([noise(s)], 1.0))) for s in (0.01, 1.0, 1.05, 1.2, 2.0, 2.5)] == [1, 1, 1, 2, 2, 3]


def test_windows_of_a_long_sound_do_not_drift():
    parts = list(windows([Sound(np.arange(600 * 11025, dtype=np.float32), 11025)], 1.536))
    starts = np.array([part.waveform[0] for part in parts])
    assert np.abs(starts - np.arange(len(parts)) * 1.536 * 11025).max() <= 0.5


def joined(parts: Iterable[Sound]) -> Sound:
    blocks = [*sounds.joined(parts)]
    return Sound(np.concatenate([block.waveform for block in blocks]), blocks[0].sample_rate)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_joined_sounds_share_one_fade_each(count: int):
    whole = joined([noise(1.0, seed) for seed in range(count)])
    assert len(whole.waveform) == count * RATE - (count - 1) * round(FADE * RATE)
    assert whole.sample_rate == RATE
    assert whole.waveform.dtype == np.float32


def test_the_level_does_not_change_where_sounds_are_joined():
    whole = joined([noise(2.0, seed) for seed in range(4)]).waveform
    levels = np.sqrt((whole[: len(whole) // 400 * 400].reshape(-1, 400) ** 2).mean(1))
    assert 20 * np.log10(levels.max() / levels.min()) < 3  # of noise of constant power, in stretches of 25 ms


def test_a_join_makes_no_click():
    whole = joined([sine(1.0, 220), sine(1.0, 330)]).waveform
    steepest = 2 * np.pi * 330 / RATE  # of the sines themselves
    assert np.abs(np.diff(whole)).max() < 1.5 * steepest


def test_joining_leaves_the_given_sounds_alone_and_takes_short_ones():
    first, second = sine(0.05, 220), sine(1.0, 220)
    before = first.waveform.copy()
    whole = joined([first, second])
    assert np.array_equal(first.waveform, before)
    assert len(whole.waveform) == RATE + 800 - 400


def test_sounds_are_joined_as_they_come():
    taken: list[int] = []
    blocks = sounds.joined(taken.append(seed) or noise(1.0, seed) for seed in range(9))
    for number in range(9):
        next(blocks)
        assert len(taken) == number + 1


@pytest.mark.parametrize("kind", sound_writer.FORMATS)
def test_every_format_is_read_back(kind: Format):
    content = sound_writer.encoded(sine(1.0, 440), kind)
    wave, rate = soundfile.read(io.BytesIO(content))
    assert soundfile.info(io.BytesIO(content)).format == kind.upper()
    assert rate == RATE
    assert len(wave) == pytest.approx(RATE, abs=2000)  # MP3 adds a delay
    assert np.abs(wave).max() > 0.9
