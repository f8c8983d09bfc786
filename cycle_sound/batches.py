"""Which pairs a training step sees, and how they are shifted: pure functions of the step and a seed."""

import torch
import torch.nn.functional as F
from torch import Tensor

from cycle_sound.params import Augment, Wear


def seeded(*numbers: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator of its own for each tuple of numbers."""
    state = 0
    for number in numbers:
        state = (state * 1_000_003 + number + 1) % (1 << 62)
    return torch.Generator(device).manual_seed(state)


def rows(step: int, count: int, batch_size: int, seed: int) -> Tensor:
    """Rows of the batch of a step, (batch_size,): shuffled epochs one behind the other, each row once an epoch."""
    first = step * batch_size
    epochs = range(first // count, (first + batch_size - 1) // count + 1)
    order = torch.cat([torch.randperm(count, generator=seeded(seed, epoch)) for epoch in epochs])
    start = first - epochs[0] * count
    return order[start : start + batch_size]


def worn(pictures: Tensor, wear: Wear, generator: torch.Generator) -> Tensor:
    """Each picture blurred and covered with noise, by amounts of its own: (b, c, h, w) → the same.

    A model that has seen only clean pictures judges what a decoder made by its texture, not by what it shows.
    """
    blur, noise = torch.rand(2, len(pictures), 1, 1, 1, generator=generator, device=pictures.device)
    coarse = F.interpolate(F.avg_pool2d(pictures, wear.blur), size=pictures.shape[2:], mode="bilinear")
    grain = torch.randn(pictures.shape, generator=generator, device=pictures.device)
    return pictures.lerp(coarse, blur) + wear.noise * noise * grain


def shifted(pictures: Tensor, augment: Augment, generator: torch.Generator) -> Tensor:
    """Each picture moved by up to ± rows and ± columns, its edges repeated: (b, c, h, w) → the same."""
    down, across = augment.rows, augment.columns
    if down == across == 0:
        return pictures
    height, width = pictures.shape[2:]
    padded = F.pad(pictures, (across, across, down, down), mode="replicate")
    tops, lefts = (
        torch.randint(0, 2 * most + 1, (len(pictures),), generator=generator, device=pictures.device).tolist()
        for most in (down, across)
    )
    places = zip(padded, tops, lefts, strict=True)
    return torch.stack([one[:, top : top + height, left : left + width] for one, top, left in places])
