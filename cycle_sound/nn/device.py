"""Which device computes, in which precision, and determinism on it."""

import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Literal

import torch
import torch.utils.deterministic
from torch import Tensor, nn

from cycle_sound.nn import distributed


def best() -> torch.device:
    """The current CUDA device if there is one, else Apple's GPU, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    alone = distributed.world_size() == 1  # Apple's GPU has no way to send tensors to other processes
    return torch.device("mps" if alone and torch.backends.mps.is_available() else "cpu")


def of(model: nn.Module) -> torch.device:
    """The device that holds a model's parameters."""
    return next(model.parameters()).device


def kind(device: torch.device) -> Literal["cpu", "gpu"]:
    """What a device is for tables of sizes: a CPU, or a GPU of any maker."""
    return "cpu" if device.type == "cpu" else "gpu"


def dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where a device is known to compute faster in it, else float32: most CPUs are a hundred times slower."""
    fast = False
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    elif device.type == "cpu":
        known: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()  # older torch, without, is no faster
        fast = known.get("avx512_bf16", False) or known.get("amx_bf16", False)
    return torch.bfloat16 if fast else torch.float32


def fast_dtype(device: torch.device) -> torch.dtype:
    """The dtype for matrix products outside `autocast`: float32 on CPUs, else `dtype(device)`."""
    return torch.float32 if device.type == "cpu" else dtype(device)


def autocast(device: torch.device) -> torch.autocast:
    """A context in which matrix products and convolutions use the device's `dtype`; weights stay float32."""
    precision = dtype(device)
    return exact(device) if precision == torch.float32 else torch.autocast(device.type, precision)


def exact(device: torch.device) -> torch.autocast:
    """A context without autocast, for logits, which need float32; also inside `autocast`."""
    return torch.autocast(device.type, enabled=False)


def avoiding_mps(work: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
    """`work` on a tensor; on the CPU if that is on Apple's GPU, which in some versions of torch fails at such work."""
    return work(values.cpu()).to(values) if values.device.type == "mps" else work(values)


@contextmanager
def any_order() -> Iterator[None]:
    """A context in which torch may compute in any order, for work that has but one."""
    before = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("default")
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before)


@cache
def compiles(where: torch.device) -> bool:
    """Whether torch.compile works for a device here and pays there: for Nvidia's, with Triton and a C compiler."""
    if where.type != "cuda" or importlib.util.find_spec("triton") is None:
        return False
    return any(map(shutil.which, filter(None, [os.environ.get("CC"), "cc", "gcc", "clang"])))


def prepare(seed: int) -> None:
    """Seed torch, for the initial weights, and ask for deterministic operations: equal bits each time on a machine.

    On an Nvidia GPU but for the gradients of attention, which its kernel adds up in any order, and torch warns of it.
    """
    torch.manual_seed(seed)
    torch.set_deterministic_debug_mode("warn")  # as use_deterministic_algorithms, which spends 4 s on what compiles
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # or cuBLAS adds up in any order
    # What is not written yet is never read here; to fill it takes a GPU a twelfth of a step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
