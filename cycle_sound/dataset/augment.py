"""Augmentation of pictures (b, c, h, w): random shifts, blur and noise."""

import torch
import torch.nn.functional as F
from torch import Tensor

from cycle_sound.nn.rng import BatchRng
from cycle_sound.params import DegradationConfig, ShiftConfig


def degrade(pictures: Tensor, degradation: DegradationConfig, rng: BatchRng) -> Tensor:
    """Each picture blurred and covered with noise, by amounts of its own: (b, c, h, w) → (b, c, h, w).

    A model that has seen only clean pictures judges what a decoder made by its texture, not by what it shows.
    """
    blur, noise = rng.uniform(2, 1, 1, 1).unbind(1)  # each (b, 1, 1, 1)
    coarse = F.interpolate(F.avg_pool2d(pictures, degradation.blur), size=pictures.shape[2:], mode="bilinear")
    return pictures.lerp(coarse, blur) + degradation.noise * noise * rng.normal(*pictures.shape[1:])


def shifted(pictures: Tensor, augment: ShiftConfig, rng: BatchRng) -> Tensor:
    """Each picture moved by up to ± rows and ± columns, its edges repeated: (b, c, h, w) → (b, c, h, w)."""
    down, across = augment.rows, augment.columns
    if down == across == 0:
        return pictures
    height, width = pictures.shape[2:]
    padded = F.pad(pictures, (across, across, down, down), mode="replicate")
    tops, lefts = (rng.integers(2 * most + 1).tolist() for most in (down, across))
    places = zip(padded, tops, lefts, strict=True)
    return torch.stack([one[:, top : top + height, left : left + width] for one, top, left in places])
