"""Batches of one size, so that a row's result depends neither on its place nor on its neighbours.

A matrix product rounds differently in a batch of another size; at one size, a row gives the same bytes in any company.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

import torch
from torch import Tensor

from cycle_sound.nn.device import kind

T = TypeVar("T")

FIXED_BATCH = {"cpu": 32, "gpu": 64}  # rows; on two CPU cores 32 take twice as long as 8, so a row half as long
BATCH_BYTES = {"cpu": 1 << 31, "gpu": 1 << 33}  # fixed, too: what happens to be free would change results
TOGETHER = max(FIXED_BATCH.values())  # of a long list, what is handed over at a time


def size_for(device: torch.device, row_bytes: int = 0) -> int:
    """The batch size of a device, in rows: halved where rows of so many bytes are more than BATCH_BYTES, at least 1."""
    size = FIXED_BATCH[kind(device)]
    while size > 1 and size * row_bytes > BATCH_BYTES[kind(device)]:
        size //= 2
    return size


@torch.inference_mode()
def map_fixed_batches(
    work: Callable[..., Tensor], device: torch.device, *rows: Tensor, size: int | None = None
) -> Tensor:
    """`work` on equally many rows of each tensor, a fixed batch at a time: (n, …) → (n, …).

    The last row is repeated to fill the last batch. `work` gets its rows on `device`; what is returned is on the CPU.
    `size`: of a batch, by default the device's.
    """
    count, size = len(rows[0]), size or size_for(device)
    done = []
    for start in range(0, count, size):
        places = torch.arange(start, start + size).clamp(max=count - 1)
        done.append(work(*(values[places].to(device) for values in rows))[: count - start].cpu())
    return torch.cat(done)


def batched(things: Iterable[T]) -> Iterator[list[T]]:
    """Things in lists of TOGETHER, the last perhaps shorter; no more is taken than is asked for."""
    rest = iter(things)
    while part := list(islice(rest, TOGETHER)):
        yield part
