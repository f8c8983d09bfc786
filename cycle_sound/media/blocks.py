"""Sounds of any length, as iterables of blocks: resampled, truncated, cut into windows."""

from collections.abc import Iterable, Iterator

import numpy as np
import soxr

from cycle_sound.media import sound_files
from cycle_sound.media.sounds import Sound

SCRAP = 0.1  # of a window: a shorter rest at the end of a sound is left out


def resampled(waves: Iterable[np.ndarray], rate_from: int, rate_to: int) -> Iterator[np.ndarray]:
    """A waveform that comes in blocks (samples,) at another rate, in Hz; blocks leave no seams."""
    if rate_from == rate_to:
        yield from waves
        return
    stream = soxr.ResampleStream(rate_from, rate_to, 1, dtype="float32")
    for wave in waves:
        yield stream.resample_chunk(wave)
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


def cut(blocks: Iterable[np.ndarray], samples: int) -> Iterator[np.ndarray]:
    """The first samples of a waveform that comes in blocks (samples,)."""
    for block in blocks:
        yield block[:samples]
        samples -= len(block)
        if samples <= 0:
            return


def windows(blocks: Iterable[Sound], seconds: float) -> Iterator[Sound]:
    """A sound, given in blocks of one rate, as consecutive windows of `seconds`; the last may be shorter.

    At least one block is needed; for a whole sound, pass `[sound]`. Each window holds up to `sound_files.MARGIN` s of
    what follows, for the resampling filter. One window and one block are in memory at a time.
    """
    rest, start, number, rate = np.zeros(0, np.float32), 0, 0, 1  # `rest` begins at sample `start`

    def edge(of: int) -> int:
        """The sample at which a window begins."""
        return round(of * (seconds * rate))

    def end() -> int:
        """The sample before which what the window holds ends."""
        return edge(number + 1) + round(sound_files.MARGIN * rate)

    def window() -> Sound:
        return Sound(rest[edge(number) - start : end() - start], rate)

    for block in blocks:
        rest, rate = np.concatenate([rest, block.waveform]), block.sample_rate
        while start + len(rest) >= end():
            yield window()
            number += 1
        kept = min(max(edge(number) - start, 0), len(rest))
        rest, start = rest[kept:], start + kept
    while number == 0 or (start + len(rest)) / (seconds * rate) - SCRAP > number:
        yield window()
        number += 1
