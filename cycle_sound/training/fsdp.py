"""Sharded training states: each process holds only some rows of each weight, its gradient, moments and averages.

By FSDP2: `fully_shard` gathers a block's weights while it computes, and leaves each process its rows of their gradients
(Zhao et al. 2023, arXiv:2304.11277). A shard is a DTensor, its first dimension split as by torch.chunk. All functions
but `shard` also accept tensors that are not sharded, and leave them unchanged.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from cycle_sound.nn import device, distributed


def shard(module: nn.Module, blocks: Iterable[nn.Module]) -> None:
    """Leave in each process its shares of a module's weights; `blocks`, parts of it, are gathered one at a time.

    They are whole only while the module itself is called.
    """
    from torch.distributed.device_mesh import init_device_mesh  # not above: they take a second
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device.of(module).type, (distributed.world_size(),))
    for part in (*blocks, module):
        fully_shard(part, mesh=mesh)


def is_share(tensor: Tensor) -> bool:
    """Whether a process holds only some rows of it."""
    return hasattr(tensor, "full_tensor")  # of a DTensor, whose import takes a second


def whole(tensor: Any) -> Tensor:
    """All rows of a share, in every process; to be called in all of them."""
    return tensor.full_tensor() if is_share(tensor) else tensor


def local(tensor: Any) -> Tensor:
    """The rows that this process has of a share; what changes them changes it."""
    return tensor.to_local() if is_share(tensor) else tensor


def share(tensor: Tensor, like: Any) -> Tensor:
    """A whole tensor that every process has, in shares where another of its shape is."""
    if not is_share(like) or tensor.shape != like.shape:
        return tensor
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


def shares(tensors: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Whole tensors by name, in shares where those of another mapping are."""
    return {name: share(tensor, like[name]) for name, tensor in tensors.items()}


@contextmanager
def gathered(module: nn.Module) -> Iterator[None]:
    """A module that holds shares, but that `shard` has not seen, holds whole weights meanwhile."""
    kept = module.state_dict()
    if not any(map(is_share, kept.values())):
        yield
        return
    _assign(module, kept)
    try:
        yield
    finally:
        module.load_state_dict(kept, assign=True)


def put_back(module: nn.Module, weights: Mapping[str, Tensor], plain: nn.Module) -> None:
    """Give the module whole weights; if it was sharded, replace its contents by those of `plain`, a copy made before.

    torch has no way back from `fully_shard`.
    """
    if not any(map(is_share, weights.values())):
        module.load_state_dict(weights)
        return
    _assign(plain, weights)
    vars(module).update(vars(plain))


def _assign(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    module.load_state_dict({name: whole(tensor) for name, tensor in weights.items()}, assign=True)


Work = Callable[[list[Tensor]], list[Tensor]]  # makes of each matrix one of its shape


def on_whole(work: Work, parts: Sequence[Tensor], heights: Sequence[int]) -> list[Tensor]:
    """Apply `work` to row-sharded matrices as a whole, and return this process's rows of the results.

    `parts`: this process's rows of each matrix; `heights`: the rows of each whole matrix. Each matrix is gathered and
    worked on in one process only; matrices, ordered by size, go to the processes in turn (after Liu et al. 2025,
    arXiv:2502.16982). To be called in every process.
    """
    processes = distributed.world_size()
    sizes = [height * part.shape[1] for height, part in zip(heights, parts, strict=True)]
    order = sorted(range(len(parts)), key=sizes.__getitem__)
    owned = [order[process::processes] for process in range(processes)]  # numbers of matrices
    own = owned[distributed.rank()]
    rows = {number: _rows(heights[number], processes) for number in own}
    empty = parts[0].new_empty(0)

    given = [[parts[number] for number in numbers] for numbers in owned]
    shapes = [[(rows[number][process], parts[number].shape[1]) for number in own] for process in range(processes)]
    matrices = [torch.cat(pieces) for pieces in zip(*_exchanged(given, shapes, empty), strict=True)]
    split = [made.split(rows[number]) for number, made in zip(own, work(matrices), strict=True)]
    given = [[pieces[process] for pieces in split] for process in range(processes)]
    shapes = [[(len(parts[number]), parts[number].shape[1]) for number in numbers] for numbers in owned]
    found = dict(zip(chain(*owned), chain(*_exchanged(given, shapes, empty)), strict=True))
    return [found[number] for number in range(len(parts))]


def _rows(height: int, processes: int) -> list[int]:
    """How many of a matrix's rows each process has."""
    most = -(-height // processes)
    return [min(most, max(0, height - most * process)) for process in range(processes)]


def _exchanged(
    given: Sequence[Sequence[Tensor]], shapes: Sequence[Sequence[tuple[int, int]]], empty: Tensor
) -> list[list[Tensor]]:
    """Send `given[p]` to each process p; return what each sends here, matrices of `shapes[p]`: one all-to-all."""
    sent = [sum(matrix.numel() for matrix in matrices) for matrices in given]
    sizes = [[rows * columns for rows, columns in one] for one in shapes]
    got = empty.new_empty(sum(map(sum, sizes)))
    flat = torch.cat([empty, *(matrix.flatten() for matrix in chain(*given))])
    dist.all_to_all_single(got, flat, [sum(one) for one in sizes], sent)
    pieces = iter(got.split(list(chain(*sizes))))
    return [[next(pieces).view(shape) for shape in one] for one in shapes]
