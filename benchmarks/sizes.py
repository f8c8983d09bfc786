"""The transformer that the benchmarks measure, at the peer's sizes and at a GPU's."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from cycle_sound.io import params_file
from cycle_sound.models.tokenizer import CodeShape
from cycle_sound.models.transformer import Shapes, Transformer


class Size(NamedTuple):
    """How large, and in what batches."""

    width: int
    depth: int
    heads: int
    prefix: int  # source positions, beside the leading one
    grid: tuple[int, int]  # of the target
    codebook: int
    batch: int

    @property
    def tokens(self) -> int:
        """Target tokens of a sample."""
        return self.grid[0] * self.grid[1]

    @property
    def positions(self) -> int:
        """All positions of a sample."""
        return 1 + self.prefix + self.tokens

    @property
    def weights(self) -> int:
        """Numbers in the matrices that every target token meets."""
        return 12 * self.depth * self.width**2 + self.width * self.codebook

    def training_flops(self) -> float:
        """FLOP of one step's matrix products, forward and backward; attention over all keys, masked or not."""
        blocks = 12 * self.depth * self.width**2 * self.positions
        attention = 2 * self.depth * self.width * self.positions**2
        head = self.width * self.codebook * self.tokens
        return 6.0 * self.batch * (blocks + attention + head)


LAPTOP = Size(width=256, depth=6, heads=8, prefix=64, grid=(16, 16), codebook=1024, batch=8)
VGGSOUND = Size(width=1024, depth=24, heads=16, prefix=264, grid=(16, 16), codebook=1024, batch=64)


class Measured(nn.Module):
    """A transformer with its prefix made by an embedding, so that nothing but the transformer is measured."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        sizes = {"width": size.width, "depth": size.depth, "heads": size.heads, "condition": "tokens", "dropout": 0.0}
        config = params_file.load().transformer.audio_to_image.model_copy(update=sizes)
        source, target = CodeShape(1, 8, 8, size.codebook), CodeShape(1, *size.grid, size.codebook)
        shapes = Shapes(source, (1, 64, 64), target, (3, 64, 64))
        self.size = size
        self.transformer = Transformer(config, shapes)
        self.source = nn.Embedding(size.codebook, size.width)

    def prefix(self, source: Tensor) -> Tensor:
        """(b, 1 + prefix) source tokens → (b, 1 + prefix, width)."""
        return self.source(source)

    def forward(self, source: Tensor, tokens: Tensor) -> Tensor:
        """Logits: (b, 1 + prefix), (b, t) → (b, t, v)."""
        return self.transformer(self.prefix(source), tokens[:, None])[:, 0]

    def sources(self, batch: int) -> Tensor:
        """Random source tokens: (batch, 1 + prefix)."""
        device = next(self.parameters()).device
        return torch.randint(self.size.codebook, (batch, 1 + self.size.prefix), device=device)
