"""Measures of what makes a pair useless: silence, clipping, a video that shows a still."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from cycle_sound.media import sound_files

FULL_SCALE = 0.99  # an MP3 of a clipped sound ripples about the level at which it was cut off
SIDE = 64  # pixels to which frames are reduced before they are compared: a codec's noise averages out


def loudest_db(wave: np.ndarray, rate: int) -> float:
    """Level of the loudest second of a waveform in dBFS, since a clip may hold one short sound."""
    return max(sound_files.level_db(wave[start : start + rate]) for start in range(0, len(wave), rate))


def clipped(wave: np.ndarray) -> float:
    """Fraction of samples at full scale: 0.09 for a full-scale sine, more where its peaks are clipped."""
    return float(np.mean(np.abs(wave) >= FULL_SCALE))


def motion(frames: Sequence[Image.Image]) -> float:
    """The largest mean absolute difference between the first of some frames of one size and the others.

    In 8-bit levels, 0 to 255, averaged over pixels and channels; 0 for a single frame.
    """
    first, *others = (np.asarray(_reduced(frame), np.float32) for frame in frames)
    return max((float(np.abs(first - other).mean()) for other in others), default=0.0)


def _reduced(frame: Image.Image) -> Image.Image:
    return frame.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX)
