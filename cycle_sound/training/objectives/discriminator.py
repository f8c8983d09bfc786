"""A discriminator of patches (PatchGAN, Isola et al. 2017, arXiv:1611.07004): which parts of a picture look made?"""

from itertools import pairwise
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

LAYERS = 3  # strided convolutions: a logit sees 38 pixels to a side
SLOPE = 0.2  # of LeakyReLU below zero


class Discriminated(NamedTuple):
    """What a discriminator says of pictures, and what it saw in them."""

    logits: Tensor  # (b, 1, h / 8, w / 8); above 0: real
    features: list[Tensor]  # of each layer, (b, width × 2^layer, h / 2^(layer + 1), w / 2^(layer + 1))


class Discriminator(nn.Module):
    """Convolutions that halve a picture and double the width; without normalisation, which would mix the patches."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        widths = [channels, *(width * 2**layer for layer in range(LAYERS))]
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, 4, stride=2, padding=1) for before, after in pairwise(widths)
        )
        self.head = nn.Conv2d(widths[-1], 1, 3, padding=1)

    def forward(self, pictures: Tensor) -> Discriminated:
        """Look at pictures (b, c, h, w) of at least 2^LAYERS pixels to a side."""
        features: list[Tensor] = []
        for layer in self.layers:
            pictures = F.leaky_relu(layer(pictures), SLOPE)
            features.append(pictures)
        return Discriminated(self.head(pictures), features)
