"""Sounds as values, and joined by cross-fades."""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

import numpy as np

from cycle_sound.media.crossfade import crossfaded

FADE = 0.1  # seconds that two joined sounds share


class Sound(NamedTuple):
    """A waveform and its sample rate."""

    waveform: np.ndarray  # float32 (samples,), mono, 1.0 at full scale
    sample_rate: int  # Hz

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return len(self.waveform) / self.sample_rate


def joined(sounds: Iterable[Sound]) -> Iterator[Sound]:
    """Join sounds as they come, at least one, each fading into the next over FADE seconds: a sound in blocks.

    All have one sample rate, and are as long as the first, of two samples or more, or longer. n sounds of s seconds
    make n s − (n − 1) FADE seconds; of sounds shorter than 2 FADE half is faded. One sound is in memory at a time.
    """
    rest = iter(sounds)
    first = next(rest)
    fade = min(round(FADE * first.sample_rate), len(first.waveform) // 2)
    for block in crossfaded((sound.waveform for sound in chain([first], rest)), fade):
        yield Sound(block, first.sample_rate)
