"""What the transformer is conditioned on: a grid (a picture, or cached tokens) → latents and a summary.

The summary is what the alignment term pulls together between a source and its target, so it comes to hold just what
both sides share; it leads the transformer's prefix.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cycle_sound import distributed
from cycle_sound.convolutions import recognition


class Source(NamedTuple):
    """An encoded source."""

    latents: Tensor  # (b, s, width)
    summary: Tensor  # (b, width), of unit length


class Summary(nn.Module):
    """What features hold on the whole, and at the strongest place."""

    def __init__(self, wider: int, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(2 * wider, width)

    def forward(self, places: Tensor) -> Tensor:
        """(b, s, wider) → (b, width), of unit length."""
        return F.normalize(self.project(torch.cat([places.mean(1), places.amax(1)], dim=1)), dim=1)


class GridEncoder(nn.Module):
    """Grids → latents on a grid 2^halvings times smaller, and their summary."""

    def __init__(self, channels: int, inner: int, halvings: int, width: int) -> None:
        super().__init__()
        self.stack, wider = recognition(channels, inner, halvings)
        self.to_latents = nn.Linear(wider, width)
        self.to_summary = Summary(wider, width)

    def forward(self, grid: Tensor) -> Source:
        """(b, channels, h, w) → s = h w / 4^halvings latents, and the summary."""
        places = self.stack(grid).flatten(2).transpose(1, 2)  # (b, s, wider)
        return Source(self.to_latents(places), self.to_summary(places))


class PictureEncoder(nn.Sequential):
    """Pictures (b, channels, h, w) → s = h w / 4^halvings latents, and the summary.

    The first two halvings are free: 4 × 4 pixels become channels, since full resolution would cost more than all the
    rest.
    """

    def __init__(self, channels: int, inner: int, halvings: int, width: int) -> None:
        super().__init__(nn.PixelUnshuffle(4), GridEncoder(16 * channels, inner, halvings - 2, width))


class PictureSummary(nn.Module):
    """Pictures → the summary alone, by the same layers: the other side of the alignment."""

    def __init__(self, channels: int, inner: int, halvings: int, width: int) -> None:
        super().__init__()
        stack, wider = recognition(16 * channels, inner, halvings - 2)
        self.stack = nn.Sequential(nn.PixelUnshuffle(4), stack)
        self.to_summary = Summary(wider, width)

    def forward(self, pictures: Tensor) -> Tensor:
        """(b, channels, h, w) → (b, width), of unit length."""
        return self.to_summary(self.stack(pictures).flatten(2).transpose(1, 2))


class TokenEncoder(nn.Module):
    """Token grids → embeddings → latents and summary."""

    def __init__(self, codebook_size: int, inner: int, halvings: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(codebook_size, inner)
        self.encoder = GridEncoder(inner, inner, halvings, width)

    def forward(self, tokens: Tensor) -> Source:
        """(b, h, w) → latents and summary."""
        return self.encoder(self.embedding(tokens).permute(0, 3, 1, 2))


def alignment(sources: Tensor, targets: Tensor, scale: Tensor) -> Tensor:
    """InfoNCE within the batch, both ways (van den Oord et al. 2018, arXiv:1807.03748): (b, d), (b, d) → () nats."""
    logits = distributed.gathered(sources) @ distributed.gathered(targets).T * scale
    own = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
