"""Random numbers from explicit generators: each is a function of a seed and of the purpose it is drawn for."""

from collections.abc import Callable, Sequence
from functools import cached_property, partial

import torch
from torch import Tensor


def seeded(*numbers: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator on a device, seeded by a tuple of non-negative integers; another tuple gives another stream.

    On the CPU, where torch takes 32 bits of a seed, two of some ten thousand may by chance have the same one.
    """
    state = 0
    for number in numbers:
        state = (state * 1_000_003 + number + 1) % (1 << 62)
    return torch.Generator(device).manual_seed(state)


class BatchRng:
    """Random numbers for rows of a batch, each row's from a generator of its own.

    They follow from a tuple of non-negative integers, such as a seed and a step, and from a row's place in the whole
    batch: which rows are drawn for together changes none of them.
    """

    def __init__(self, *numbers: int, places: Sequence[int], device: torch.device | str = "cpu") -> None:
        """`places`: in the whole batch, of the rows of this part; `device`: what it draws on."""
        self._numbers, self._places, self._device = numbers, places, torch.device(device)

    @cached_property
    def _generators(self) -> list[torch.Generator]:
        return [seeded(*self._numbers, place, device=self._device) for place in self._places]

    def fold_in(self, number: int) -> "BatchRng":
        """Random numbers for a part of the work, such as a layer: the same, from the start, whenever it is asked for.

        They depend neither on what has been drawn nor on the draws for other parts.
        """
        return BatchRng(*self._numbers, number, places=self._places, device=self._device)

    def of_rows(self, rows: Sequence[int]) -> "BatchRng":
        """Random numbers for some rows of this part: those that each has among all of them, from the start."""
        return BatchRng(*self._numbers, places=[self._places[row] for row in rows], device=self._device)

    def uniform(self, *shape: int) -> Tensor:
        """Uniform in [0, 1), on the device: float32 (b, *shape), b the rows of this part."""
        return self._drawn(Tensor.uniform_, shape, torch.float32)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal, on the device: float32 (b, *shape), b the rows of this part."""
        return self._drawn(Tensor.normal_, shape, torch.float32)

    def integers(self, end: int) -> Tensor:
        """Uniform in 0 … end - 1, on the device: int64 (b,), b the rows of this part."""
        return self._drawn(partial(Tensor.random_, to=end), (), torch.int64)

    def _drawn(self, fill: Callable[..., object], shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        drawn = torch.empty(len(self._places), *shape, dtype=dtype, device=self._device)
        for row, generator in zip(drawn.unbind(), self._generators, strict=True):
            fill(row, generator=generator)
        return drawn
