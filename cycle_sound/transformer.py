"""A decoder-only transformer over [source prefix | target tokens]: p(target tokens | source), one after another.

The prefix is seen in both directions, the target causally; its first position, made of the source's summary, is also
added to every target position, so that the condition is used before attention has learned to find it. The input at a
target position is a neighbour that is already known, the token before, optionally the one above it too, and the place,
by row and column, of the token to be predicted. The transformer knows tokens and two grids, never the VAE.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cycle_sound import checkpoint, device
from cycle_sound.batches import Draws
from cycle_sound.conditioning import PictureEncoder, PictureSummary, Source, TokenEncoder, alignment
from cycle_sound.params import Modality
from cycle_sound.params import Transformer as Config

KIND = "transformer"


class Shapes(NamedTuple):
    """What a transformer must know of its two modalities."""

    source_grid: tuple[int, int]  # (rows, columns) of the source's tokens
    source_codebook: int
    source_picture: tuple[int, int, int]  # (channels, rows, columns)
    target_grid: tuple[int, int]
    target_picture: tuple[int, int, int]
    target_codebook: int


def attended(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """Attention of each head, (b, heads, n, d) three times → the same, in the precision that a device is fast in."""
    if q.device.type != "cpu":
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    with device.exact(q.device):  # the CPU's kernel is three times slower in bfloat16, where its products are faster
        return F.scaled_dot_product_attention(q.float(), k.float(), v.float(), attn_mask=mask)


class Attention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.project_in = nn.Linear(width, 3 * width, bias=False)
        self.project_out = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(b, n, width) → the same. `mask` (n, n) is True where a query may look."""
        q, k, v = self.project_in(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # each (b, heads, n, d)
        return self.project_out(attended(q, k, v, mask).transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention and a feed-forward layer, each behind a norm (Xiong et al. 2020, arXiv:2002.04745)."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width)
        self.attention = Attention(config.width, config.heads)
        self.norm2 = nn.LayerNorm(config.width)
        self.feed_forward = nn.Sequential(
            nn.Linear(config.width, 4 * config.width), nn.GELU(), nn.Linear(4 * config.width, config.width)
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(b, n, width) → the same."""
        x = x + self.dropout(self.attention(self.norm1(x), mask))
        return x + self.dropout(self.feed_forward(self.norm2(x)))


class Places(nn.Module):
    """Learned positions of a grid, by row and by column."""

    def __init__(self, grid: tuple[int, int], width: int) -> None:
        super().__init__()
        self.rows = nn.Parameter(torch.randn(grid[0], 1, width) * 0.02)
        self.columns = nn.Parameter(torch.randn(1, grid[1], width) * 0.02)

    def forward(self) -> Tensor:
        """(rows × columns, width), row by row."""
        return (self.rows + self.columns).flatten(0, 1)


class Losses(NamedTuple):
    """The terms of a training step, in nats."""

    cross_entropy: Tensor  # () per token
    alignment: Tensor  # () per pair
    logits: Tensor  # (b, t, v)


class Transformer(nn.Module):
    """The model of one direction."""

    def __init__(self, config: Config, shapes: Shapes) -> None:
        super().__init__()
        self.config = config
        self.shapes = shapes
        width, inner = config.width, config.source_width
        self.source_encoder: nn.Module
        if config.condition == "encoder":
            halvings, (channels, *sides) = config.source_halvings, shapes.source_picture
            self.source_encoder = PictureEncoder(channels, inner, halvings, width)
        else:
            halvings, sides = 1, list(shapes.source_grid)
            self.source_encoder = TokenEncoder(shapes.source_codebook, inner, halvings, width)
        # not used to generate
        self.target_encoder = PictureSummary(shapes.target_picture[0], inner, config.source_halvings, width)
        self.scale = nn.Parameter(torch.tensor(10.0).log())  # of the alignment's cosines
        self.source_places = Places((sides[0] >> halvings, sides[1] >> halvings), width)
        self.lead = nn.Linear(width, width)  # the summary, to the first position of the prefix
        self.null = nn.Parameter(torch.randn(1 + self.source_places().shape[0], width) * 0.02)
        self.edge = shapes.target_codebook  # stands for the neighbours beyond the grid
        self.before = nn.Embedding(shapes.target_codebook + 1, width)
        self.above = nn.Embedding(shapes.target_codebook + 1, width) if config.above else None
        self.places = Places(shapes.target_grid, width)
        self.blocks = nn.ModuleList([Block(config) for _ in range(config.depth)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, shapes.target_codebook)
        self._initialise()

    def _initialise(self) -> None:
        """Small normal weights; the residual branches shrink with depth, as in GPT-2."""
        for name, parameter in self.named_parameters():
            if name.startswith(("blocks", "head", "before", "above")) and parameter.dim() == 2:
                branch = name.endswith(("project_out.weight", "feed_forward.2.weight"))
                nn.init.normal_(parameter, std=0.02 / (2 * self.config.depth) ** 0.5 if branch else 0.02)
        nn.init.zeros_(self.lead.weight)  # or it would drown the embeddings it is added to

    def neighbours(self, before: Tensor, above: Tensor) -> Tensor:
        """The known neighbours of places: (…) and (…) → (…, width)."""
        embedded: Tensor = self.before(before)
        return embedded if self.above is None else embedded + self.above(above)

    def _logits(self, x: Tensor) -> Tensor:
        """(…, width) → (…, v), float32 whatever the precision of the blocks."""
        with device.exact(x.device):
            return F.linear(self.norm(x).float(), self.head.weight.float(), self.head.bias.float())

    @property
    def tokens(self) -> int:
        """Number of target tokens."""
        return self.shapes.target_grid[0] * self.shapes.target_grid[1]

    def prefix(self, source: Source) -> Tensor:
        """Summary and latents with their places: (b, 1 + s, width)."""
        lead = self.lead(source.summary.detach() * source.summary.shape[1] ** 0.5)
        return torch.cat([lead[:, None], source.latents + self.source_places()], dim=1)

    def encode_source(self, grid: Tensor) -> Tensor:
        """The prefix of source pictures (b, c, h, w) or token grids (b, h, w): (b, 1 + s, width)."""
        return self.prefix(self.source_encoder(grid))

    def null_prefix(self, batch: int) -> Tensor:
        """The prefix that stands for no source: (b, 1 + s, width)."""
        return self.null.expand(batch, -1, -1)

    def forward(self, prefix: Tensor, tokens: Tensor) -> Tensor:
        """Logits of every target token given those before it: (b, 1 + s, width), (b, t) → (b, t, v)."""
        columns = self.shapes.target_grid[1]
        known = F.pad(tokens, (columns, 0), value=self.edge)  # (b, columns + t)
        target = self.neighbours(known[:, columns - 1 : -1], known[:, :-columns])
        target = target + self.places() + prefix[:, :1]
        x = torch.cat([prefix, target], dim=1)
        mask = prefix_mask(prefix.shape[1], target.shape[1], x.device)
        for block in self.blocks:
            x = block(x, mask)
        return self._logits(x[:, prefix.shape[1] :])

    def losses(self, grid: Tensor, tokens: Tensor, pictures: Tensor, draws: Draws) -> Losses:
        """Terms of a training step, from sources, target tokens (b, t) and target pictures (b, c, h, w).

        A share `condition_dropout` of the samples sees the null source.
        """
        source = self.source_encoder(grid)
        drop = draws.uniform() < self.config.condition_dropout
        prefix = torch.where(drop[:, None, None], self.null, self.prefix(source))
        logits = self(prefix, tokens)
        aligned = alignment(source.summary, self.target_encoder(pictures), self.scale.exp().clamp(max=50.0))
        return Losses(F.cross_entropy(logits.flatten(0, 1).float(), tokens.flatten()), aligned, logits)


def prefix_mask(prefix: int, target: int, device: torch.device) -> Tensor:
    """Who may look at whom, (n, n) with True for yes: all see the prefix, the target is causal."""
    place = torch.arange(prefix + target, device=device)
    return place[None, :] <= place[:, None].clamp(min=prefix - 1)


def save(path: Path, model: Transformer, vaes: Mapping[Modality, str]) -> None:
    """Write a transformer with its configuration and the digests of the VAEs whose tokens it knows, by modality."""
    facts = {"config": model.config.model_dump(), "shapes": model.shapes._asdict(), "vaes": dict(vaes)}
    checkpoint.save(path, model, KIND, facts)


def load(path: Path) -> Transformer:
    """Rebuild a transformer from its file alone. Raises `BadCheckpoint`, FileNotFoundError."""
    facts = checkpoint.facts(path, KIND)
    shapes: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in facts["shapes"].items()}
    model = Transformer(Config.model_validate(facts["config"]), Shapes(**shapes))
    checkpoint.load_weights(path, model)
    return model
