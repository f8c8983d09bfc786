"""A decoder-only transformer over [source prefix | target tokens]: autoregressive p(target tokens | source).

A token is a position of the target's grid with its k codes. Attention is bidirectional within the prefix and causal
over the target, and optionally sees by rotary positions how far apart two target positions are. The first position of
the prefix, the source's summary, is also added to every target position, so that the condition has an effect before
attention has learned to find it. The input at a target position is the embedding of the token before, optionally of the
one above it, too, and the position, by row and column, of the token to predict. Within a token a small head predicts
the codes one after another, so the likelihood of a target is exact. The transformer knows codes and their shapes, but
not the tokenizer.
"""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import field_validator, model_validator
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as checkpointed

from cycle_sound.models.contrastive import alignment, first_log_scale, scale_of
from cycle_sound.models.features import FeatureShape
from cycle_sound.models.source_encoder import (
    CodeEmbedding,
    CodeEncoder,
    FeatureEncoder,
    PictureEncoder,
    PictureSummary,
    Source,
)
from cycle_sound.models.tokenizer import CodeShape
from cycle_sound.nn import checkpoint, device
from cycle_sound.nn.blocks import kept, masked
from cycle_sound.nn.rng import BatchRng
from cycle_sound.params import FOLDED, MAX_TOKENS, Modality, PictureShape, TransformerConfig

KIND = "transformer"
WAVELENGTHS = (4.0, 50.0)  # of the rotary positions, in places of a grid: the shortest and the longest


class Shapes(NamedTuple):
    """What a transformer must know of its two modalities."""

    source_codes: CodeShape
    source_picture: PictureShape
    target_codes: CodeShape
    target_picture: PictureShape
    source_features: FeatureShape | None = None  # of the network that a condition on features is of


class Facts(checkpoint.Facts):
    """What the file of a transformer says of it."""

    config: TransformerConfig
    shapes: Shapes
    tokenizers: dict[Modality, str]  # digests of the tokenizers whose codes it knows
    network_digest: str = ""  # of the network whose features it reads

    @field_validator("config", mode="before")
    @classmethod
    def _without_rotary_positions(cls, config: Any) -> Any:
        """Files from before there were any do not say so."""
        return {"rotary": False} | config if isinstance(config, dict) else config

    @model_validator(mode="after")
    def _fits(self) -> "Facts":
        shapes, halvings = self.shapes, self.config.source_downsamples
        sides = [*shapes.source_picture[1:], *shapes.target_picture[1:]]
        if any(side % FOLDED or side < 2**halvings for side in sides):
            raise ValueError(f"pictures of {sides} pixels cannot be halved {halvings} times")
        latents = (sides[0] >> halvings) * (sides[1] >> halvings)
        reads = self.config.condition == "features"
        if reads != (shapes.source_features is not None) or reads != bool(self.network_digest):
            raise ValueError(f"a condition on {self.config.condition}, and features of {shapes.source_features}")
        if shapes.source_features is not None:
            latents = shapes.source_features.rows * shapes.source_features.columns
        if max(latents, shapes.source_codes.places, shapes.target_codes.places) > MAX_TOKENS:
            raise ValueError(f"a picture of more than {MAX_TOKENS} tokens")
        if min(shapes.source_codes.rows, shapes.source_codes.columns) < 2:
            raise ValueError("a source of one row or column of tokens")
        return self


class Parts(NamedTuple):
    """Queries, keys and values of the prefix, and those of the target: (b, heads, n, d) each."""

    source_queries: Tensor
    source_keys: Tensor
    source_values: Tensor
    target_queries: Tensor
    keys: Tensor  # of all positions
    values: Tensor


def parted(q: Tensor, k: Tensor, v: Tensor, prefix: int) -> Parts:
    """(b, heads, n, d) three times → the parts of the first `prefix` positions and of the later ones."""
    return Parts(q[:, :, :prefix], k[:, :, :prefix], v[:, :, :prefix], q[:, :, prefix:], k, v)


def attended(q: Tensor, k: Tensor, v: Tensor, prefix: int) -> Tensor:
    """Attention of all heads, in the device's fast precision: (b, heads, n, d) three times → (b, n, heads × d).

    The first `prefix` positions see one another alone, a later one these and all up to itself.
    """
    if q.device.type != "cpu":
        return joined(*attended_in_parts(parted(q, k, v, prefix)))
    mask = torch.full((q.shape[2], q.shape[2]), -torch.inf).triu(1)  # one of booleans would be turned into this one
    mask[:prefix, :prefix] = 0
    with device.exact(q.device):
        if q.dtype == torch.bfloat16:
            seen = attended_by_products(q, k, v, mask.to(q.dtype))
        else:
            seen = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return seen.transpose(1, 2).flatten(2)


def attended_by_products(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """Attention with all its weights in memory, for bfloat16 on a CPU: (b, heads, n, d) three times → (b, heads, n, d).

    `mask` (n, n) is added to the logits. The CPU's fused kernel takes three times as long in bfloat16 as in float32,
    and in that, forward and backward, twice as long as these products for 81 positions, and 2.8 times for 521.
    """
    queries, keys, values = (part.flatten(0, 1) for part in (q * q.shape[-1] ** -0.5, k, v))
    weights = torch.baddbmm(mask, queries, keys.mT).softmax(-1)
    return torch.bmm(weights, values).unflatten(0, q.shape[:2])


def attended_in_parts(parts: Parts) -> tuple[Tensor, Tensor]:
    """Attention of prefix and target in two calls without a mask, which a GPU's fast kernel does not take.

    What each of them sees: (b, heads, n, d). That kernel is FlashAttention (arXiv:2205.14135); a CPU's takes a mask and
    needs a tenth more time for two calls at the default sizes.
    """
    from torch.nn.attention.bias import causal_lower_right  # loads torch's compiler, for three seconds

    source = F.scaled_dot_product_attention(parts.source_queries, parts.source_keys, parts.source_values)
    causal = causal_lower_right(parts.target_queries.shape[2], parts.keys.shape[2])  # the last query sees all
    return source, F.scaled_dot_product_attention(parts.target_queries, parts.keys, parts.values, attn_mask=causal)


def joined(source: Tensor, target: Tensor) -> Tensor:
    """What both parts see, one behind the other, as a GPU's kernel lays it out: → (b, n, heads × d)."""
    return torch.cat([source.transpose(1, 2), target.transpose(1, 2)], dim=1).flatten(2)


def rotations(codes: CodeShape, prefix: int, size: int) -> Tensor:
    """Cosines and sines of rotary positions for heads of `size` channels: (2, prefix + t, size / 4), float32.

    A quarter of a head's channels turn with the row of a target position and a quarter with its column, in pairs, each
    at a wavelength of its own, so that the product of a query and a key depends on how far apart their places are (Su
    et al. 2021, arXiv:2104.09864; along two axes Heo et al. 2024, arXiv:2403.13298). The prefix does not turn, nor do
    the other channels, by which a target position finds in the source the same wherever it lies.
    """
    shortest, longest = WAVELENGTHS
    ratio = (longest / shortest) ** (1 / max(size // 8 - 1, 1))
    radians = 2 * torch.pi / shortest / ratio ** torch.arange(size // 8, device="cpu")  # per place
    places = torch.cartesian_prod(torch.arange(codes.rows, device="cpu"), torch.arange(codes.columns, device="cpu"))
    angles = F.pad((places[..., None] * radians).flatten(1), (0, 0, prefix, 0))
    return torch.stack([angles.cos(), angles.sin()])


def rotated(x: Tensor, rotations: Tensor | None) -> Tensor:
    """Queries or keys (b, heads, n, d), turned by the `rotations` (2, n, d / 4) of their positions, where given."""
    if rotations is None:
        return x
    cosines, sines = rotations.to(x.dtype)
    pairs = cosines.shape[-1]
    one, other, still = x.split((pairs, pairs, x.shape[-1] - 2 * pairs), dim=-1)
    return torch.cat([one * cosines - other * sines, one * sines + other * cosines, still], dim=-1)


class Attention(nn.Module):
    """The projections of multi-head self-attention."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.project_in = nn.Linear(width, 3 * width, bias=False)
        self.project_out = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, rotations: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys, both turned by `rotations`, and values: (b, n, width) → (b, heads, n, d) three times."""
        q, k, v = self.project_in(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return rotated(q, rotations), rotated(k, rotations), v


class Block(nn.Module):
    """Attention and a feed-forward layer, each behind a norm (Xiong et al. 2020, arXiv:2002.04745)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width)
        self.attention = Attention(config.width, config.heads)
        self.norm2 = nn.LayerNorm(config.width)
        self.feed_forward = nn.Sequential(
            nn.Linear(config.width, 4 * config.width), nn.GELU(), nn.Linear(4 * config.width, config.width)
        )
        self.dropout = config.dropout

    def forward(self, x: Tensor, prefix: int, rotations: Tensor | None = None, rng: BatchRng | None = None) -> Tensor:
        """(b, n, width) → (b, n, width), of which the first `prefix` positions are seen by all.

        `rotations` (2, n, d / 4): of rotary positions. `rng`: of dropout, in a training.
        """
        keep = [kept(x, self.dropout, rng) for _ in range(2)]
        if self.training and device.compiles(x.device):
            begin, end = compiled()
            parts = Parts(*(part.transpose(1, 2) for part in begin(self, x, prefix, rotations)))
            return end(self, x, *attended_in_parts(parts), *keep)
        q, k, v = self.attention(self.norm1(x), rotations)
        return self.end(x, attended(q, k, v, prefix), *keep)

    def end(self, x: Tensor, seen: Tensor, keep_seen: Tensor | None, keep: Tensor | None) -> Tensor:
        """What follows attention: (b, n, width) twice, and what dropout keeps of both layers → (b, n, width)."""
        x = x + masked(self.attention.project_out(seen), self.dropout, keep_seen)
        return x + masked(self.feed_forward(self.norm2(x)), self.dropout, keep)


def _begin(block: Block, x: Tensor, prefix: int, rotations: Tensor | None) -> list[Tensor]:
    """What comes before attention on a GPU: (b, n, width) → its `Parts`, (b, n, heads, d) each.

    Each is a copy: torch 2.11 loses the shapes of views that what it compiles returns.
    """
    q, k, v = block.attention(block.norm1(x), rotations)
    return [part.transpose(1, 2).contiguous() for part in parted(q, k, v, prefix)]


def _end(block: Block, x: Tensor, source: Tensor, target: Tensor, *keep: Tensor | None) -> Tensor:
    """What follows it there: the input, and what both parts see, (b, heads, n, d) → (b, n, width)."""
    return block.end(x, joined(source, target), *keep)


@cache
def compiled() -> tuple[Callable[..., list[Tensor]], Callable[..., Tensor]]:
    """`_begin` and `_end` in few kernels each, for all blocks; attention between them has one of its own."""
    return torch.compile(_begin, dynamic=False), torch.compile(_end, dynamic=False)


class AxialPositions(nn.Module):
    """Learned positions of a grid, by row and by column."""

    def __init__(self, rows: int, columns: int, width: int) -> None:
        super().__init__()
        self.rows = nn.Parameter(nn.init.normal_(torch.empty(rows, 1, width), std=0.02))
        self.columns = nn.Parameter(nn.init.normal_(torch.empty(1, columns, width), std=0.02))

    def forward(self) -> Tensor:
        """(rows × columns, width), row by row."""
        return (self.rows + self.columns).flatten(0, 1)


class CodeHead(nn.Module):
    """Logits of the k codes of a place, each given those before it (after the depth transformer of Lee et al. 2022,
    arXiv:2203.01941, with a feed-forward layer in place of attention over so few codes).

    With one codebook it is a norm and a linear layer.
    """

    def __init__(self, width: int, codes: CodeShape) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.linear = nn.ModuleList([nn.Linear(width, codes.codebook_size) for _ in range(codes.codebooks)])
        later = codes.codebooks - 1
        self.known = CodeEmbedding(later, codes.codebook_size, width) if later else None
        if later:
            self.mix = nn.Sequential(
                nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
            )

    def states(self, x: Tensor, codes: Tensor) -> Tensor:
        """What each code is predicted from, given the first j: (b, n, width), (b, j, n) → (b, 1 + j, n, width)."""
        if self.known is None or not codes.shape[1]:
            return x[:, None]
        return torch.cat([x[:, None], self._later(x[:, None], self._sums(codes))], dim=1)

    def last_state(self, x: Tensor, codes: Tensor) -> Tensor:
        """The last of `states`, what the next code is predicted from: (b, n, width), (b, j, n) → (b, n, width)."""
        if self.known is None or not codes.shape[1]:
            return x
        return self._later(x, self._sums(codes)[:, -1])

    def _sums(self, codes: Tensor) -> Tensor:
        """The embeddings of each place's first codes, summed up to each: (b, j, n) → (b, j, n, width)."""
        assert self.known is not None
        missing = self.known.codebooks - codes.shape[1]
        return self.known.each(F.pad(codes, (0, 0, 0, missing)))[:, : codes.shape[1]].cumsum(1)

    def _later(self, x: Tensor, known: Tensor) -> Tensor:
        later = x + known
        return later + self.mix(later)

    def logits(self, state: Tensor, number: int) -> Tensor:
        """Logits of code `number` from its state: (…, width) → (…, v), float32 whatever the precision around it."""
        linear = self.linear[number]
        assert isinstance(linear, nn.Linear)
        with device.exact(state.device):
            return F.linear(self.norm(state).float(), linear.weight.float(), linear.bias.float())

    def forward(self, x: Tensor, codes: Tensor) -> Tensor:
        """Logits of all codes, each given those before it: (b, n, width), (b, k, n) → (b, k, n, v)."""
        states = self.states(x, codes[:, :-1]).unbind(1)
        return torch.stack([self.logits(state, number) for number, state in enumerate(states)], dim=1)


class Losses(NamedTuple):
    """The terms of a training step, in nats."""

    cross_entropy: Tensor  # () per code
    alignment: Tensor  # () per pair
    logits: Tensor  # (b, k, t, v)


class Transformer(nn.Module):
    """The model of one direction."""

    rotations: Tensor | None

    def __init__(self, config: TransformerConfig, shapes: Shapes) -> None:
        super().__init__()
        self.config = config
        self.shapes = shapes
        width, inner = config.width, config.source_width
        codes = shapes.target_codes
        self.source_encoder: nn.Module
        if config.condition == "encoder":
            downsamples, (channels, *sides) = config.source_downsamples, shapes.source_picture
            self.source_encoder = PictureEncoder(channels, inner, downsamples, width)
        elif config.condition == "features":
            features = shapes.source_features
            assert features is not None
            downsamples, sides = 0, [features.rows, features.columns]
            self.source_encoder = FeatureEncoder(features.channels, width)
        else:
            source = shapes.source_codes
            downsamples, sides = 1, [source.rows, source.columns]
            self.source_encoder = CodeEncoder(source.codebooks, source.codebook_size, inner, downsamples, width)
        # not used to generate
        self.target_encoder = PictureSummary(shapes.target_picture[0], inner, config.source_downsamples, width)
        self.scale = first_log_scale()  # of the alignment's cosines
        rows, columns = (side >> downsamples for side in sides)
        self.source_positions = AxialPositions(rows, columns, width)
        self.summary_projection = nn.Linear(width, width)  # to the first position of the prefix
        self.null = nn.Parameter(nn.init.normal_(torch.empty(1 + rows * columns, width), std=0.02))
        self.before = CodeEmbedding(codes.codebooks, codes.codebook_size, width)
        self.above = CodeEmbedding(codes.codebooks, codes.codebook_size, width) if config.above else None
        self.positions = AxialPositions(codes.rows, codes.columns, width)
        turning = rotations(codes, len(self.null), width // config.heads) if config.rotary else None
        self.register_buffer("rotations", turning, persistent=False)
        self.blocks = nn.ModuleList([Block(config) for _ in range(config.depth)])
        self.head = CodeHead(width, codes)
        self._initialise()

    def _initialise(self) -> None:
        """Small normal weights; the residual branches shrink with depth, as in GPT-2."""
        for name, parameter in self.named_parameters():
            if name.startswith(("blocks", "head", "before", "above")) and parameter.dim() == 2:
                branch = name.endswith(("project_out.weight", "feed_forward.2.weight"))
                nn.init.normal_(parameter, std=0.02 / (2 * self.config.depth) ** 0.5 if branch else 0.02)
        nn.init.zeros_(self.summary_projection.weight)  # or it would drown the embeddings it is added to

    @property
    def source_shape(self) -> tuple[int, int, int]:
        """What is read of one source: (channels, rows, columns), or (k, rows, columns) of codes."""
        if self.config.condition == "encoder":
            return self.shapes.source_picture
        if self.shapes.source_features is not None:
            return self.shapes.source_features
        codes = self.shapes.source_codes
        return codes.codebooks, codes.rows, codes.columns

    @property
    def bos(self) -> int:
        """The code that stands for the neighbours beyond the grid."""
        return self.before.bos

    def neighbours(self, before: Tensor, above: Tensor) -> Tensor:
        """The known neighbours of n places: (b, k, n) and (b, k, n) → (b, n, width)."""
        embedded: Tensor = self.before(before)
        return embedded if self.above is None else embedded + self.above(above)

    def prefix(self, source: Source) -> Tensor:
        """Summary and latents with their positions: (b, 1 + s, width)."""
        summary = self.summary_projection(source.summary.detach() * source.summary.shape[1] ** 0.5)
        return torch.cat([summary[:, None], source.latents + self.source_positions()], dim=1)

    def encode_source(self, source_input: Tensor) -> Tensor:
        """The prefix of source pictures (b, c, h, w), codes (b, k, rows, columns) or features: (b, 1 + s, width)."""
        return self.prefix(self.source_encoder(source_input))

    def null_prefix(self, batch: int) -> Tensor:
        """The prefix that stands for no source: (b, 1 + s, width)."""
        return self.null.expand(batch, -1, -1)

    def forward(
        self, prefix: Tensor, codes: Tensor, context: Tensor | None = None, rng: BatchRng | None = None
    ) -> Tensor:
        """Logits of every target code given those before it: (b, 1 + s, width), (b, k, t) → (b, k, t, v).

        `context` (b, k, t), by default `codes`: what the neighbours of a place are read from; those before a code at
        its own place are always true. `rng`: of dropout, in a training.
        """
        columns = self.shapes.target_codes.columns
        known = F.pad(codes if context is None else context, (columns, 0), value=self.bos)  # (b, k, columns + t)
        target = self.neighbours(known[..., columns - 1 : -1], known[..., :-columns])
        target = target + self.positions() + prefix[:, :1]
        x = torch.cat([prefix, target], dim=1)
        block = self._recomputed if self.config.checkpointing and self.training else self._block
        for number in range(len(self.blocks)):
            x = block(number, x, prefix.shape[1], rng)
        return self.head(x[:, prefix.shape[1] :], codes)

    def _block(self, number: int, x: Tensor, prefix: int, rng: BatchRng | None) -> Tensor:
        """A block with random numbers of its own, so that it draws the same when it is run again."""
        passed: Tensor = self.blocks[number](x, prefix, self.rotations, rng and rng.fold_in(number))
        return passed

    def _recomputed(self, number: int, x: Tensor, prefix: int, rng: BatchRng | None) -> Tensor:
        """`_block` with activation checkpointing: only its input is kept, the rest is recomputed in backward."""
        return checkpointed(self._block, number, x, prefix, rng, use_reentrant=False, preserve_rng_state=False)

    def log_likelihood(self, prefix: Tensor, codes: Tensor) -> Tensor:
        """Exact log-probability of whole targets, in nats: (b, 1 + s, width), (b, k, t) → (b,)."""
        log_p = F.log_softmax(self(prefix, codes).float(), dim=-1)
        return log_p.gather(-1, codes[..., None])[..., 0].sum((1, 2))

    def corrupted(self, codes: Tensor, rng: BatchRng) -> Tensor:
        """Codes of which a fraction, random per sample and `corruption` on average, is random: (b, k, t) → (b, k, t).

        A model trained on true codes alone is not prepared for its own mistakes in sampling (exposure bias: Bengio et
        al. 2015, arXiv:1506.03099).
        """
        if not self.config.corruption:
            return codes
        rate = 2 * self.config.corruption * rng.uniform(1, 1)
        chance, other = rng.uniform(2, *codes.shape[1:]).unbind(1)
        return torch.where(chance < rate, (other * self.bos).long(), codes)

    def losses(
        self,
        source_input: Tensor,
        codes: Tensor,
        pictures: Tensor,
        rng: BatchRng,
        known: Tensor | None = None,
        clips: Tensor | None = None,
    ) -> Losses:
        """Terms of a training step, from sources, target codes (b, k, t) and target pictures (b, c, h, w).

        `known`, bool (b,): the samples that have a source, by default all. The others see the null source and are not
        aligned; what is given in place of their sources counts in the encoder's batch statistics alone. A fraction
        `condition_dropout` of all sees the null source, too; a fraction `corruption` of the neighbours is random.
        `clips`, int64 (b,): which samples are of one clip, and so not contrasted, by default none.
        """
        source = self.source_encoder(source_input)
        drop = rng.uniform() < self.config.condition_dropout
        if known is not None:
            drop = drop | ~known
        prefix = torch.where(drop[:, None, None], self.null, self.prefix(source))
        logits = self(prefix, codes, self.corrupted(codes, rng), rng)
        aligned = alignment(source.summary, self.target_encoder(pictures), scale_of(self.scale), known, clips)
        return Losses(F.cross_entropy(logits.flatten(0, 2).float(), codes.flatten()), aligned, logits)


def save(path: Path, model: Transformer, tokenizers: Mapping[Modality, str], network_digest: str) -> None:
    """Write a transformer with its configuration and the digests of what it was trained with.

    Those are, by modality, of the tokenizer whose codes it knows, and of the network whose features it reads, or "".
    """
    shapes = {name: list(shape) for name, shape in model.shapes._asdict().items() if shape is not None}
    facts = {"config": model.config.model_dump(), "shapes": shapes, "tokenizers": dict(tokenizers)}
    checkpoint.save(path, model, KIND, facts | ({"network_digest": network_digest} if network_digest else {}))


def load(path: Path) -> tuple[Transformer, Facts]:
    """Rebuild a transformer from its file alone. Raises `BadCheckpoint`."""
    facts = checkpoint.facts(path, Facts, KIND)
    return checkpoint.load(path, lambda: Transformer(facts.config, facts.shapes)), facts
