"""Batches for a training: each is made in a thread while the step before it computes."""

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from cycle_sound.errors import UnevenBatch
from cycle_sound.nn import distributed
from cycle_sound.nn.rng import BatchRng
from cycle_sound.params import OptimizerConfig
from cycle_sound.training import order


class Source(Protocol):
    """Where batches come from."""

    @property
    def pairs(self) -> int:
        """How many examples there are to learn from."""

    def batch(self, rows: Tensor, rng: BatchRng) -> Any:
        """A NamedTuple of tensors on the CPU, made of the examples `rows` (b,), each in 0 … pairs - 1."""


class MicroBatch(NamedTuple):
    """What one backward pass learns from, on the device that computes."""

    batch: Any  # a NamedTuple of tensors
    rng: BatchRng


def micro_batch_places(config: OptimizerConfig) -> list[range]:
    """Which places in each batch are this process's, for one backward pass after another.

    Raises `UnevenBatch` where a batch does not divide into as many equal micro-batches as processes × passes.
    """
    total, processes = config.batch_size, distributed.world_size()
    size, rest = divmod(total, processes * config.accumulation)
    if rest or not size:
        raise UnevenBatch(batch_size=total, processes=processes, accumulation=config.accumulation)
    first = [(number * processes + distributed.rank()) * size for number in range(config.accumulation)]
    return [range(start, start + size) for start in first]


def compute_alone() -> None:
    """Let torch compute in the calling thread without a team of others, and in other threads as before.

    Two teams on the same cores wait for one another, spinning: the step beside them would take a seventh longer.
    """
    torch.ones(1 << 17).add_(1)  # large enough for a team: until torch has asked for its first, it would ask anew
    threadpool_limits(1, user_api="openmp")


class Prefetcher:
    """The micro-batches of a training, and how long the training has waited for them."""

    def __init__(self, source: Source, config: OptimizerConfig, seed: int, device: torch.device) -> None:
        self.waited = 0.0  # seconds
        self._source, self._config, self._seed, self._device = source, config, seed, device
        self._places = micro_batch_places(config)

    def micro_batches(self, steps: Iterable[int]) -> Iterator[MicroBatch]:
        """Those of one step after those of another."""
        todo = ((step, places) for step in steps for places in self._places)
        with ThreadPoolExecutor(1, initializer=compute_alone) as thread:
            ahead = [thread.submit(self._made, *first) for first in [next(todo, None)] if first]
            while ahead:
                begin = time.perf_counter()
                micro_batch = ahead.pop().result()
                self.waited += time.perf_counter() - begin
                ahead = [thread.submit(self._made, *after) for after in [next(todo, None)] if after]
                yield micro_batch

    def _made(self, step: int, places: range) -> MicroBatch:
        """What a step sees depends on the seed and the step's number alone, and each of its rows on its place."""
        first = step * self._config.batch_size
        rows = order.rows(range(first + places.start, first + places.stop), self._source.pairs, self._seed)
        batch = self._source.batch(rows, BatchRng(self._seed, step, 0, places=places))
        placed = type(batch)(*(self._placed(tensor) for tensor in batch))
        return MicroBatch(placed, BatchRng(self._seed, step, 1, places=places, device=self._device))

    def _placed(self, tensor: Tensor) -> Tensor:
        if self._device.type == "cpu":
            return tensor
        return tensor.pin_memory().to(self._device, non_blocking=True)
