"""The convolutional parts that the models share."""

import torch.nn.functional as F
from torch import Tensor, nn

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


def recognition(channels: int, width: int, halvings: int) -> tuple[nn.Sequential, int]:
    """A stack that recognises, and its width: (b, channels, h, w) → (b, wider, h / 2^halvings, w / 2^halvings).

    Batch normalisation and max pooling learn to tell things apart several times faster than what reconstructs best.
    """
    layers: list[nn.Module] = []
    for number in range(halvings):
        wider = width * min(2**number, 4)
        convolution = nn.Conv2d(channels, wider, 3, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(wider), nn.ReLU(), nn.MaxPool2d(2)]
        channels = wider
    return nn.Sequential(*layers), channels
