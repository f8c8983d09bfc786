"""Which device computes, and determinism on it."""

import torch
from torch import nn


def best() -> torch.device:
    """A GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def of(model: nn.Module) -> torch.device:
    """Where a model computes."""
    return next(model.parameters()).device


def dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where a device computes faster in it, else float32: most CPUs are a hundred times slower in it."""
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        known = torch.cpu.get_capabilities()
        fast = known.get("avx512_bf16", False) or known.get("amx_bf16", False)
    return torch.bfloat16 if fast else torch.float32


def autocast(device: torch.device) -> torch.autocast:
    """Let a model compute in the `dtype` of its device where that loses nothing; weights stay float32."""
    return torch.autocast(device.type, dtype(device), enabled=dtype(device) != torch.float32)


def exact(device: torch.device) -> torch.autocast:
    """Let logits be computed in float32 whatever stands around them."""
    return torch.autocast(device.type, enabled=False)


def prepare(seed: int) -> None:
    """Seed the initial weights, and have every operation give the same bits each time on one machine."""
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
