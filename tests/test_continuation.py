"""Longer sounds from one picture: what is drawn goes on where what was drawn before ends."""

from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from cycle_sound.inference import continuation
from cycle_sound.inference.continuation import Layout, layout
from cycle_sound.inference.engine import Drawing
from cycle_sound.inference.system import CycleSound


@pytest.fixture(scope="module")
def system(data: Path) -> CycleSound:
    return CycleSound.load(data, "cpu")


def picture(seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (80, 64, 3), np.uint8))


def windows(system: CycleSound, count: int, laid: Layout, candidates: int = 1, seed: int = 0) -> list[Tensor]:
    seen = system._pictures([picture()])
    drawing = Drawing(system.sampling.image_to_audio.model_copy(update={"candidates": candidates}), seed)
    return list(islice(system.engine.windows("image_to_audio", seen, drawing, laid.carried), count))


@pytest.mark.parametrize("candidates", [1, 3])
def test_a_window_begins_with_the_end_of_the_one_before_and_the_first_is_drawn_as_ever(
    system: CycleSound, candidates: int
) -> None:
    laid = layout(10, system.models)
    drawn = windows(system, 4, laid, candidates)
    begun = laid.carried.stop - laid.carried.start
    for before, after in pairwise(drawn):
        assert torch.equal(after[..., :begun], before[..., laid.carried])
        assert not torch.equal(after[..., begun:], before[..., begun:])
    assert 0 < begun < drawn[0].shape[-1]
    alone = system.engine.decode("audio", drawn[0])
    drawing = Drawing(system.sampling.image_to_audio.model_copy(update={"candidates": candidates}), 0)
    assert torch.equal(alone, system.engine.generate("image_to_audio", system._pictures([picture()]), drawing))


def test_a_long_sound_follows_from_its_seed_and_its_picture_whatever_is_made_beside_it(system: CycleSound) -> None:
    pictures, seconds = [picture(0), picture(1)], 3.3
    both = system.sounds(pictures, seconds=seconds)
    assert np.array_equal(system.sound(pictures[1], seconds=seconds).waveform, both[1].waveform)
    assert not np.array_equal(system.sound(pictures[1], seconds=seconds, seed=1).waveform, both[1].waveform)
    blocks = [block.waveform for block in system.sound_blocks(pictures[1], seconds)]
    assert np.array_equal(np.concatenate(blocks), both[1].waveform)


@pytest.mark.parametrize("seconds", [0.01, 1.0, 1.536, 1.6, 4.0])
@pytest.mark.parametrize("stretch", [2, 20])
def test_a_sound_is_as_long_as_it_should_be(
    system: CycleSound, seconds: float, stretch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(continuation, "STRETCH", stretch)
    sound = system.sound(picture(), seconds=seconds)
    assert sound.waveform.shape == (round(seconds * system.sample_rate),)
    assert sound.waveform.dtype == np.float32
    assert np.isfinite(sound.waveform).all()


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_what_is_no_length_is_refused(system: CycleSound, seconds: float) -> None:
    with pytest.raises(ValueError, match="cannot be"):
        system.sound(picture(), seconds=seconds)


def test_a_sound_without_a_length_is_one_clip(system: CycleSound) -> None:
    assert system.sound(picture()).seconds == pytest.approx(system.seconds)


@given(seconds=st.floats(0.001, 400))
@settings(deadline=None)
def test_stretches_cover_a_sound_and_no_window_is_drawn_in_vain(system: CycleSound, seconds: float) -> None:
    laid = layout(seconds, system.models)
    columns = system.models.tokenizers["audio"].codes.columns
    samples = round(system.seconds * system.sample_rate) // columns
    drawn = laid.carried.stop + (laid.windows - 1) * laid.carried.start
    covered = laid.stretches * (laid.stretch - laid.shared) + laid.shared
    assert laid.stretch <= continuation.STRETCH * columns
    assert 2 * laid.shared <= laid.stretch
    assert covered * samples >= round(seconds * system.sample_rate)
    assert covered <= drawn
    assert drawn - laid.carried.start < max(covered, laid.carried.stop)
    assert covered * samples - seconds * system.sample_rate < (laid.stretches + 1) * samples


@given(stretches=st.integers(1, 6), stretch=st.integers(2, 40), shared=st.integers(1, 20), begun=st.integers(1, 7))
@settings(deadline=None)
def test_a_stretch_begins_with_the_end_of_the_one_before(stretches: int, stretch: int, shared: int, begun: int) -> None:
    """Windows that each hold the numbers of their columns, so that the whole grid is 0, 1, 2, …"""
    shared = min(shared, stretch // 2)
    laid = Layout(slice(8 - begun, 8), 1000, stretch, shared, stretches)

    def numbered() -> Iterator[Tensor]:
        for start in range(0, 1 << 20, laid.carried.start):
            yield torch.arange(start, start + 8).view(1, 1, 1, 8)

    found = [one.flatten().tolist() for one in continuation._stretches(numbered(), laid)]
    starts = [number * (stretch - shared) for number in range(stretches)]
    assert found == [[*range(start, start + stretch)] for start in starts]


def test_of_a_long_sound_no_more_is_made_than_is_taken(system: CycleSound, monkeypatch: pytest.MonkeyPatch) -> None:
    """So an hour is never in memory."""
    monkeypatch.setattr(continuation, "STRETCH", 2)
    blocks = system.sound_blocks(picture(), 36_000)
    assert sum(next(blocks).seconds for _ in range(3)) < 10
