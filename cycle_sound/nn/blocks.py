"""Layers that the models share."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cycle_sound.nn import distributed
from cycle_sound.nn.rng import BatchRng

GROUPS = 8  # of GroupNorm: every width is a multiple of it


def kept(x: Tensor, share: float, rng: BatchRng | None) -> Tensor | None:
    """What dropout keeps of x (b, …), bool in its shape; None without random numbers, where nothing is dropped."""
    return rng.uniform(*x.shape[1:]) >= share if rng is not None and share else None


def masked(x: Tensor, share: float, keep: Tensor | None) -> Tensor:
    """What is kept of x where a share is dropped, larger by as much, as `kept` says: (b, …) → (b, …)."""
    return x if keep is None else x * keep / (1 - share)


def dropped(x: Tensor, share: float, rng: BatchRng | None) -> Tensor:
    """Dropout, which a training gives random numbers for: (b, …) → (b, …)."""
    return masked(x, share, kept(x, share, rng))


class ResidualBlock(nn.Module):
    """A pre-activation residual block: twice GroupNorm, SiLU and a 3×3 convolution; the identity at first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(GROUPS, width)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.norm2 = nn.GroupNorm(GROUPS, width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)  # so that each block starts as the identity

    def forward(self, x: Tensor) -> Tensor:
        """(b, width, h, w) → (b, width, h, w)."""
        h = self.conv1(F.silu(self.norm1(x)))
        return x + self.conv2(F.silu(self.norm2(h)))


def residual_blocks(width: int, blocks: int) -> nn.Sequential:
    """A stack of residual blocks: (b, width, h, w) → (b, width, h, w)."""
    return nn.Sequential(*[ResidualBlock(width) for _ in range(blocks)])


class SyncBatchNorm(nn.BatchNorm2d):
    """Batch normalisation over the batches of all processes, on any device; torch's own SyncBatchNorm needs GPUs."""

    running_mean: Tensor
    running_var: Tensor
    momentum: float

    def forward(self, x: Tensor) -> Tensor:
        """(b, width, h, w) → (b, width, h, w)."""
        if not self.training or distributed.world_size() == 1:
            return super().forward(x)
        values = x.float()
        moments = torch.stack([values.mean((0, 2, 3)), (values**2).mean((0, 2, 3))])
        mean, square = distributed.mean(moments).unbind()
        variance = (square - mean**2).clamp_min(0)  # where it is tiny, rounding may leave less than nothing
        with torch.no_grad():
            count = x[:, 0].numel() * distributed.world_size()
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return (values * scale[:, None, None] + (self.bias - mean * scale)[:, None, None]).to(x.dtype)


class ChannelsLast(nn.Sequential):
    """Layers that see the channels of a pixel side by side: max pooling takes a CPU a twentieth of the time in that."""

    def forward(self, x: Tensor) -> Tensor:
        """(b, channels, h, w) → what the layers make of it."""
        return super().forward(x.contiguous(memory_format=torch.channels_last))


def feature_extractor(channels: int, width: int, downsamples: int) -> tuple[nn.Sequential, int]:
    """Convolutions with batch normalisation, ReLU and max pooling, `downsamples` of each, and their output's width.

    (b, channels, h, w) → (b, output width, h / 2^downsamples, w / 2^downsamples); the width doubles from `width` up to
    4 × `width`. It learns to classify several times faster than residual blocks, which reconstruct better.
    """
    layers: list[nn.Module] = []
    for number in range(downsamples):
        wider = width * min(2**number, 4)
        convolution = nn.Conv2d(channels, wider, 3, padding=1, bias=False)
        layers += [convolution, SyncBatchNorm(wider), nn.ReLU(), nn.MaxPool2d(2)]
        channels = wider
    return ChannelsLast(*layers), channels
