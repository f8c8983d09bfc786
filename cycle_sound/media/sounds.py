"""Sounds as values, and joined by cross-fades."""

from collections.abc import Sequence
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


def joined(sounds: Sequence[Sound]) -> Sound:
    """Join sounds of one sample rate, of two samples or more, each fading into the next over FADE seconds.

    n sounds of s seconds make n s − (n − 1) FADE seconds; of a sound shorter than 2 FADE half is faded.
    """
    rate = sounds[0].sample_rate
    fade = min(round(FADE * rate), *(len(sound.waveform) // 2 for sound in sounds))
    return Sound(np.concatenate([*crossfaded((sound.waveform for sound in sounds), fade)]), rate)
