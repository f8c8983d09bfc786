"""Batches for a training: each is made while the steps before it compute, in a thread or by worker processes.

torch's own DataLoader is all that is needed for it. What a step sees is a function of the seed and the step's number
alone, so the data set here is a map from (step, places) to a batch, its sampler counts, and a training that goes on
after a kill begins to count where it was: there is no state of a loader to keep. Grain (https://github.com/google/grain)
is made of the same idea, but its checkpoints, shuffling and sharding would do again what `order` and `nn.rng` do.
"""

import multiprocessing
import os
import threading
import time
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from typing import Any, NamedTuple, Protocol

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from cycle_sound.errors import LoaderLost, UnevenBatch, UserError
from cycle_sound.io import interrupts
from cycle_sound.nn import distributed, order
from cycle_sound.nn.rng import BatchRng
from cycle_sound.params import OptimizerConfig

DIED = "DataLoader worker (pid"  # how a DataLoader's error begins when a worker process has ended before its time


class Source(Protocol):
    """Where batches come from. Pickling it must be cheap: files are opened anew by each process that makes batches."""

    @property
    def pairs(self) -> int:
        """How many examples there are to learn from."""

    def batch(self, rows: Tensor, rng: BatchRng) -> Any:
        """A NamedTuple of tensors on the CPU, made of the examples `rows` (b,), each in 0 … pairs - 1."""


class MicroBatch(NamedTuple):
    """The examples of one backward pass, on the computing device."""

    batch: Any  # a NamedTuple of tensors
    rng: BatchRng


class Part(NamedTuple):
    """Of a step's batch, what one backward pass of one process sees."""

    step: int
    places: range  # in the batch


class Batches(Dataset[Any]):
    """All batches of a training, part by part."""

    def __init__(self, source: Source, batch_size: int, seed: int) -> None:
        self._source, self._batch_size, self._seed = source, batch_size, seed

    def __getitem__(self, part: Part) -> Any:
        """The batch of a part, on the CPU; it depends on the seed and on the part alone.

        A `UserError` or an OSError is returned: from another process it would be raised with a traceback for a message.
        """
        first = part.step * self._batch_size
        places = range(first + part.places.start, first + part.places.stop)
        try:
            rows = order.rows(places, self._source.pairs, self._seed)
            return self._source.batch(rows, BatchRng(self._seed, part.step, 0, places=part.places))
        except (UserError, OSError) as error:
            return error


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
    """Let torch use a single thread when called from this thread, and as many as before from others.

    With a second thread pool there are more threads than cores, and GNU's OpenMP then puts threads to sleep wherever
    they wait: a training step, which waits 2,000 times, would take half as long again.
    """
    torch.get_num_threads()  # or this thread's first large operation would create a pool of its own
    threadpool_limits(1, user_api="openmp")


def begin(_worker: int) -> None:
    """What a worker process does first.

    It leaves the group of the training's processes: a SIGTERM to all of them is for the training to heed, whose step
    under way may need more batches. And it ends where the training is killed, also while it starts.
    """
    os.setpgid(0, 0)
    threading.Thread(target=end_with, args=(multiprocessing.parent_process(),), daemon=True).start()


def end_with(training: Any) -> None:
    """End this process with another, for which it works."""
    training.join()
    os._exit(1)


class Prefetcher:
    """The micro-batches of a training, and how long the training has waited for them."""

    def __init__(
        self, source: Source, config: OptimizerConfig, seed: int, device: torch.device, workers: int = 0
    ) -> None:
        """`workers`: processes that make batches, each two in advance; 0: none, but a thread, one in advance."""
        self.waited = 0.0  # seconds
        self._batches = Batches(source, config.batch_size, seed)
        self._seed, self._device, self._workers = seed, device, workers
        self._places = micro_batch_places(config)

    def micro_batches(self, steps: range) -> Generator[MicroBatch]:
        """The micro-batches of steps, one after another. To be closed, or used up, so that no process is left.

        Raises `LoaderLost` where a worker process dies, and whatever the source raises.
        """
        with closing(self._made(steps)) as made, ThreadPoolExecutor(1, initializer=compute_alone) as thread:
            ahead = thread.submit(next, made, None)
            while True:
                asked = time.perf_counter()
                micro_batch = ahead.result()
                self.waited += time.perf_counter() - asked
                if micro_batch is None:
                    return
                ahead = thread.submit(next, made, None)
                yield micro_batch

    def _made(self, steps: range) -> Generator[MicroBatch]:
        """The micro-batches of steps, made when they are asked for, not by a thread in advance."""
        try:
            for part, batch in zip(self._parts(steps), self._loaded(steps), strict=True):
                if isinstance(batch, Exception):
                    raise batch
                placed = type(batch)(*(self._placed(tensor) for tensor in batch))
                yield MicroBatch(placed, BatchRng(self._seed, part.step, 1, places=part.places, device=self._device))
            return
        except RuntimeError as error:
            if not str(error).startswith(DIED):
                raise
        raise LoaderLost()  # no longer beside the first error, which would hold the other workers

    def _parts(self, steps: range) -> Iterator[Part]:
        return (Part(step, places) for step in steps for places in self._places)

    def _loaded(self, steps: range) -> Iterator[Any]:
        loader: DataLoader[Any] = DataLoader(
            self._batches,
            batch_size=None,
            sampler=self._parts(steps),
            num_workers=self._workers,
            worker_init_fn=begin,
            multiprocessing_context="spawn" if self._workers else None,  # a fork would copy what other threads hold
            generator=torch.Generator(),  # or a number would be drawn from the one that all share
        )
        with interrupts.withheld() if self._workers else nullcontext():
            return iter(loader)

    def _placed(self, tensor: Tensor) -> Tensor:
        if self._device.type == "cuda":
            return tensor.pin_memory().to(self._device, non_blocking=True)
        return tensor.to(self._device)
