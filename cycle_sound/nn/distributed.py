"""Several processes that train one model, each on its part of every batch, or share other work.

torchrun and accelerate launch start them and set environment variables that say which process is which; without those
there is one process, and every function here does nothing. Gradients are averaged by DistributedDataParallel. What a
model computes over its batch (a mean of codes, a contrast, a normalisation) it computes over the parts of all
processes, by the functions below, so that results depend on the number of processes by rounding alone.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")

# The others wait while the first process obtains files again that are missing, which takes hours for a large corpus.
# torch itself gives up after half an hour, or ten minutes with GPUs. If a process dies, the launcher ends the others.
PATIENCE = timedelta(days=3)


@contextmanager
def process_group() -> Iterator[None]:
    """Join the process group, if there is one and it is not joined yet, and leave it at the end; also a decorator."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, timeout=PATIENCE)
    try:
        yield
    finally:
        dist.destroy_process_group()


def world_size() -> int:
    """Number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Number of this process, 0 to world_size() - 1."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_first() -> bool:
    """Whether this is the process that writes files."""
    return rank() == 0


class _AllGather(torch.autograd.Function):
    """Tensors of all processes, stacked. The gradient of each is the sum of what all processes have for it."""

    @staticmethod
    def forward(_context: Any, values: Tensor) -> Tensor:
        parts = [torch.empty_like(values, memory_format=torch.contiguous_format) for _ in range(world_size())]
        dist.all_gather(parts, values.contiguous())
        return torch.stack(parts)

    @staticmethod
    def backward(_context: Any, gradient: Tensor) -> Tensor:
        whole = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(whole)
        return whole[rank()]


def mean(values: Tensor) -> Tensor:
    """Mean over all processes of a tensor that has one shape in all, with its gradient."""
    return _AllGather.apply(values).mean(0) if world_size() > 1 else values


def all_gather(values: Tensor) -> Tensor:
    """The rows of all processes, equally many from each, with their gradient: (b, …) → (world_size × b, …)."""
    return _AllGather.apply(values).flatten(0, 1) if world_size() > 1 else values


def anywhere(*flags: bool) -> tuple[bool, ...]:
    """Whether each flag is set in any process; every process gets this answer, without waiting for a GPU."""
    if world_size() == 1:
        return flags
    found = torch.tensor(flags, dtype=torch.float32)
    dist.all_reduce(found)
    return tuple(map(bool, found))


def own(things: Sequence[T]) -> Sequence[T]:
    """This process's share of things to work on: from its rank on, every `world_size()`-th."""
    return things[rank() :: world_size()]


def in_order(results: Sequence[T]) -> list[T]:
    """What all processes have made of their `own` things, in the order of the things, in every process."""
    if world_size() == 1:
        return list(results)
    every: list[Any] = [None] * world_size()
    dist.all_gather_object(every, results)
    return [every[number % world_size()][number // world_size()] for number in range(sum(map(len, every)))]


def barrier() -> None:
    """Wait until every process has come this far."""
    if world_size() > 1:
        dist.barrier()
