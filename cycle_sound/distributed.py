"""Several processes that train one model, each on its part of every batch.

torchrun and accelerate launch start them, and say by environment variables who is who; without those there is one
process, and nothing here does anything. Gradients are averaged by DistributedDataParallel; what a model computes over
its batch (a mean of codes, a contrast, a normalisation) it computes over the parts of all processes, by the functions
below, so that the results do not depend on their number, as far as arithmetic allows.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


@contextmanager
def joined() -> Iterator[None]:
    """Meet the other processes, if there are any that have not met; also a decorator."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def count() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def number() -> int:
    """Which of them this is, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_first() -> bool:
    """Whether this is the process that writes files."""
    return number() == 0


class _Gather(torch.autograd.Function):
    """Tensors of all processes, and the way back: the gradient of each is the sum of what all processes have for it."""

    @staticmethod
    def forward(_context: Any, values: Tensor) -> Tensor:
        parts = [torch.empty_like(values, memory_format=torch.contiguous_format) for _ in range(count())]
        dist.all_gather(parts, values.contiguous())
        return torch.stack(parts)

    @staticmethod
    def backward(_context: Any, gradient: Tensor) -> Tensor:
        whole = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(whole)
        return whole[number()]


def mean(values: Tensor) -> Tensor:
    """The mean over all processes of a tensor of one shape, with its gradient."""
    return _Gather.apply(values).mean(0) if count() > 1 else values


def gathered(values: Tensor) -> Tensor:
    """The rows of all processes, equally many from each, with their gradient: (b, …) → (count × b, …)."""
    return _Gather.apply(values).flatten(0, 1) if count() > 1 else values


def anywhere(flag: bool) -> bool:
    """Whether the flag is set in any process; all get one answer, without waiting for a GPU."""
    if count() == 1:
        return flag
    found = torch.tensor(float(flag))
    dist.all_reduce(found)
    return bool(found)


def meet() -> None:
    """Wait until every process has come this far."""
    if count() > 1:
        dist.barrier()
