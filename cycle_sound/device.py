"""Which device computes, and determinism on it."""

import torch
from torch import nn


def best() -> torch.device:
    """A GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def of(model: nn.Module) -> torch.device:
    """Where a model computes."""
    return next(model.parameters()).device


def prepare(seed: int) -> None:
    """Seed the initial weights, and have every operation give the same bits each time on one machine."""
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
