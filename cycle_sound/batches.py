"""Which pairs a training step sees, and how they are shifted: pure functions of the step and a seed."""

from typing import NamedTuple

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


class Draws(NamedTuple):
    """The random numbers of one part of a batch.

    They are drawn for the whole batch, of which a part takes its rows: how a batch is divided changes none of them.
    """

    generator: torch.Generator
    whole: int  # rows of the whole batch
    rows: slice = slice(None)  # of this part

    def uniform(self, *shape: int) -> Tensor:
        """In [0, 1), on the generator's device: (b, *shape)."""
        drawn = torch.rand(self.whole, *shape, generator=self.generator, device=self.generator.device)
        return drawn[self.rows]

    def normal(self, *shape: int) -> Tensor:
        """Of mean 0 and standard deviation 1, on the generator's device: (b, *shape)."""
        drawn = torch.randn(self.whole, *shape, generator=self.generator, device=self.generator.device)
        return drawn[self.rows]

    def integers(self, end: int) -> Tensor:
        """In 0 … end - 1, on the generator's device: (b,)."""
        drawn = torch.randint(end, (self.whole,), generator=self.generator, device=self.generator.device)
        return drawn[self.rows]


def worn(pictures: Tensor, wear: Wear, draws: Draws) -> Tensor:
    """Each picture blurred and covered with noise, by amounts of its own: (b, c, h, w) → the same.

    A model that has seen only clean pictures judges what a decoder made by its texture, not by what it shows.
    """
    blur, noise = draws.uniform(2, 1, 1, 1).unbind(1)  # each (b, 1, 1, 1)
    coarse = F.interpolate(F.avg_pool2d(pictures, wear.blur), size=pictures.shape[2:], mode="bilinear")
    return pictures.lerp(coarse, blur) + wear.noise * noise * draws.normal(*pictures.shape[1:])


def shifted(pictures: Tensor, augment: Augment, draws: Draws) -> Tensor:
    """Each picture moved by up to ± rows and ± columns, its edges repeated: (b, c, h, w) → the same."""
    down, across = augment.rows, augment.columns
    if down == across == 0:
        return pictures
    height, width = pictures.shape[2:]
    padded = F.pad(pictures, (across, across, down, down), mode="replicate")
    tops, lefts = (draws.integers(2 * most + 1).tolist() for most in (down, across))
    places = zip(padded, tops, lefts, strict=True)
    return torch.stack([one[:, top : top + height, left : left + width] for one, top, left in places])
