"""Batches for a training: each is made in a thread while the step before it computes."""

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from cycle_sound import batches, distributed
from cycle_sound.batches import Draws, seeded
from cycle_sound.params import Optimizer


class Source(Protocol):
    """Where batches come from."""

    @property
    def pairs(self) -> int:
        """Pairs to learn from."""

    def batch(self, rows: Tensor, draws: Draws) -> Any:
        """A NamedTuple of tensors on the CPU, made of these pairs."""


class Portion(NamedTuple):
    """What one backward pass learns from, on the device that computes."""

    batch: Any  # a NamedTuple of tensors
    draws: Draws


class UnevenBatch(ValueError):
    """A batch that cannot be divided evenly."""


def portions_of(config: Optimizer) -> list[slice]:
    """Which rows of each batch are this process's, for one backward pass after another.

    Raises `UnevenBatch` where a batch does not divide into as many equal portions as there are processes × passes.
    """
    total, processes = config.batch_size, distributed.count()
    size, rest = divmod(total, processes * config.accumulation)
    if rest or not size:
        raise UnevenBatch(
            f"batch_size {total} does not divide into {processes} processes × accumulation {config.accumulation}"
        )
    first = [(number * processes + distributed.number()) * size for number in range(config.accumulation)]
    return [slice(start, start + size) for start in first]


class Feed:
    """The portions of a training's batches, and how long the training has waited for them."""

    def __init__(self, source: Source, config: Optimizer, seed: int, device: torch.device) -> None:
        self.waited = 0.0  # seconds
        self._source, self._config, self._seed, self._device = source, config, seed, device
        self._rows = portions_of(config)

    def portions(self, steps: Iterable[int]) -> Iterator[Portion]:
        """Those of one step behind those of another."""
        todo = ((step, rows) for step in steps for rows in self._rows)
        with ThreadPoolExecutor(1) as thread:
            ahead = [thread.submit(self._portion, *first) for first in [next(todo, None)] if first]
            while ahead:
                begin = time.perf_counter()
                portion = ahead.pop().result()
                self.waited += time.perf_counter() - begin
                ahead = [thread.submit(self._portion, *after) for after in [next(todo, None)] if after]
                yield portion

    def _portion(self, step: int, rows: slice) -> Portion:
        """What a step sees depends on the seed and its number alone."""
        size = self._config.batch_size
        drawn = batches.rows(step, self._source.pairs, size, self._seed)[rows]
        batch = self._source.batch(drawn, Draws(seeded(self._seed, step), size, rows))
        placed = type(batch)(*(self._placed(tensor) for tensor in batch))
        return Portion(placed, Draws(seeded(self._seed, step, 1, device=self._device), size, rows))

    def _placed(self, tensor: Tensor) -> Tensor:
        if self._device.type == "cpu":
            return tensor
        return tensor.pin_memory().to(self._device, non_blocking=True)
