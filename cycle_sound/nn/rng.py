"""Random numbers from explicit generators: each is a function of a seed and of the purpose it is drawn for."""

from typing import NamedTuple

import torch
from torch import Tensor


def seeded(*numbers: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator on a device, seeded by a tuple of non-negative integers; another tuple gives another stream."""
    state = 0
    for number in numbers:
        state = (state * 1_000_003 + number + 1) % (1 << 62)
    return torch.Generator(device).manual_seed(state)


class BatchRng(NamedTuple):
    """Random numbers for one part (a micro-batch, a process's share) of a batch.

    They are drawn for the whole batch, of which the part takes its rows: how a batch is divided changes none of them.
    """

    generator: torch.Generator
    whole: int  # rows of the whole batch
    rows: slice = slice(None)  # of this part

    def uniform(self, *shape: int) -> Tensor:
        """Uniform in [0, 1), on the generator's device: float32 (b, *shape), b the rows of this part."""
        drawn = torch.rand(self.whole, *shape, generator=self.generator, device=self.generator.device)
        return drawn[self.rows]

    def normal(self, *shape: int) -> Tensor:
        """Standard normal, on the generator's device: float32 (b, *shape), b the rows of this part."""
        drawn = torch.randn(self.whole, *shape, generator=self.generator, device=self.generator.device)
        return drawn[self.rows]

    def integers(self, end: int) -> Tensor:
        """Uniform in 0 … end - 1, on the generator's device: int64 (b,), b the rows of this part."""
        drawn = torch.randint(end, (self.whole,), generator=self.generator, device=self.generator.device)
        return drawn[self.rows]
