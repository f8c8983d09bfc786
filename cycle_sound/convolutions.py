"""The convolutional parts that the models share."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cycle_sound import distributed

GROUPS = 8  # of GroupNorm: every width is a multiple of it


class Residual(nn.Module):
    """Two 3×3 convolutions beside the identity: what reconstructs."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(GROUPS, width)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.norm2 = nn.GroupNorm(GROUPS, width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)  # each block starts as the identity

    def forward(self, x: Tensor) -> Tensor:
        """(b, width, h, w) → the same."""
        h = self.conv1(F.silu(self.norm1(x)))
        return x + self.conv2(F.silu(self.norm2(h)))


def residuals(width: int, blocks: int) -> nn.Sequential:
    """A stack of residual blocks: (b, width, h, w) → the same."""
    return nn.Sequential(*[Residual(width) for _ in range(blocks)])


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation whose batch is that of all processes; torch's own such layer knows GPUs alone."""

    running_mean: Tensor
    running_var: Tensor
    momentum: float

    def forward(self, x: Tensor) -> Tensor:
        """(b, width, h, w) → the same."""
        if not self.training or distributed.count() == 1:
            return super().forward(x)
        values = x.float()
        moments = torch.stack([values.mean((0, 2, 3)), (values**2).mean((0, 2, 3))])
        mean, square = distributed.mean(moments).unbind()
        variance = square - mean**2
        with torch.no_grad():
            count = x[:, 0].numel() * distributed.count()
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return (values * scale[:, None, None] + (self.bias - mean * scale)[:, None, None]).to(x.dtype)


def recognition(channels: int, width: int, halvings: int) -> tuple[nn.Sequential, int]:
    """A stack that recognises, and its width: (b, channels, h, w) → (b, wider, h / 2^halvings, w / 2^halvings).

    Batch normalisation and max pooling learn to tell things apart several times faster than what reconstructs best.
    """
    layers: list[nn.Module] = []
    for number in range(halvings):
        wider = width * min(2**number, 4)
        convolution = nn.Conv2d(channels, wider, 3, padding=1, bias=False)
        layers += [convolution, BatchNorm(wider), nn.ReLU(), nn.MaxPool2d(2)]
        channels = wider
    return nn.Sequential(*layers), channels
