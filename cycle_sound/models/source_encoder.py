"""What the transformer is conditioned on: a source (a picture, its codes or its features) → latents and a summary.

The alignment loss pulls the summaries of a source and its target together, so a summary comes to hold what both share;
it is the first position of the transformer's prefix.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cycle_sound.nn.blocks import feature_extractor
from cycle_sound.params import FOLDED


class Source(NamedTuple):
    """An encoded source."""

    latents: Tensor  # (b, s, width)
    summary: Tensor  # (b, width), of unit length


class Summary(nn.Module):
    """A summary of features: their mean and maximum over all places, projected to one vector of unit length."""

    def __init__(self, wider: int, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(2 * wider, width)

    def forward(self, places: Tensor) -> Tensor:
        """(b, s, wider) → (b, width), of unit length: float32 whatever the precision around it."""
        return F.normalize(self.project(torch.cat([places.mean(1), places.amax(1)], dim=1)).float(), dim=1)


class GridEncoder(nn.Module):
    """Grids → latents on a grid 2^downsamples times smaller, and their summary."""

    def __init__(self, channels: int, inner: int, downsamples: int, width: int) -> None:
        super().__init__()
        self.stack, wider = feature_extractor(channels, inner, downsamples)
        self.to_latents = nn.Linear(wider, width)
        self.to_summary = Summary(wider, width)

    def forward(self, grid: Tensor) -> Source:
        """(b, channels, h, w) → s = h w / 4^downsamples latents, and the summary."""
        places = self.stack(grid).flatten(2).transpose(1, 2)  # (b, s, wider)
        return Source(self.to_latents(places), self.to_summary(places))


class PictureEncoder(nn.Sequential):
    """Pictures (b, channels, h, w) → s = h w / 4^downsamples latents, and the summary.

    The first two downsamples fold FOLDED × FOLDED pixels into channels, since layers at full resolution would cost more
    than all others together.
    """

    def __init__(self, channels: int, inner: int, downsamples: int, width: int) -> None:
        super().__init__(nn.PixelUnshuffle(FOLDED), GridEncoder(FOLDED**2 * channels, inner, downsamples - 2, width))


class PictureSummary(nn.Module):
    """Pictures → the summary alone, by the same layers: the other side of the alignment."""

    def __init__(self, channels: int, inner: int, downsamples: int, width: int) -> None:
        super().__init__()
        stack, wider = feature_extractor(FOLDED**2 * channels, inner, downsamples - 2)
        self.stack = nn.Sequential(nn.PixelUnshuffle(FOLDED), stack)
        self.to_summary = Summary(wider, width)

    def forward(self, pictures: Tensor) -> Tensor:
        """(b, channels, h, w) → (b, width), of unit length."""
        return self.to_summary(self.stack(pictures).flatten(2).transpose(1, 2))


class CodeEmbedding(nn.Embedding):
    """The sum of the embeddings of the k codes of a place; each codebook has v codes and one for `no code yet`."""

    offsets: Tensor  # (k, 1): where the codes of each codebook begin

    def __init__(self, codebooks: int, codebook_size: int, width: int) -> None:
        super().__init__(codebooks * (codebook_size + 1), width)
        self.codebooks = codebooks
        self.bos = codebook_size  # stands for what lies before the first place
        starts = torch.arange(codebooks, device="cpu") * (codebook_size + 1)  # numbers, also in a model without weights
        self.register_buffer("offsets", starts[:, None], persistent=False)

    def each(self, codes: Tensor) -> Tensor:
        """The embedding of each code: (b, k, n) → (b, k, n, width)."""
        return super().forward(codes + self.offsets)

    def forward(self, codes: Tensor) -> Tensor:
        """(b, k, n) → (b, n, width)."""
        return self.each(codes).sum(1)


class CodeEncoder(nn.Module):
    """Codes of a source → embeddings → latents and summary."""

    def __init__(self, codebooks: int, codebook_size: int, inner: int, downsamples: int, width: int) -> None:
        super().__init__()
        self.embedding = CodeEmbedding(codebooks, codebook_size, inner)
        self.encoder = GridEncoder(inner, inner, downsamples, width)

    def forward(self, codes: Tensor) -> Source:
        """(b, k, rows, columns) → latents and summary."""
        embedded = self.embedding(codes.flatten(2)).unflatten(1, codes.shape[2:])
        return self.encoder(embedded.permute(0, 3, 1, 2))


class FeatureEncoder(nn.Module):
    """Features of a source, of a frozen network → latents, one for each place, and summary."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)  # networks differ in scale
        self.to_latents = nn.Linear(channels, width)
        nn.init.zeros_(self.to_latents.weight)  # or, telling from the start, they would drown all else
        self.to_summary = Summary(channels, width)

    def forward(self, features: Tensor) -> Source:
        """(b, channels, rows, columns) → s = rows × columns latents, and the summary."""
        places = self.norm(features.flatten(2).transpose(1, 2))  # (b, s, channels)
        return Source(self.to_latents(places), self.to_summary(places))
