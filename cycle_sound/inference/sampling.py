"""Autoregressive sampling of target tokens, with a key-value cache and classifier-free guidance."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from cycle_sound.inference.cached_transformer import CachedTransformer
from cycle_sound.params import SamplingConfig

Generators = Sequence[torch.Generator]  # one per sample, so that a draw does not depend on the batch


@torch.inference_mode()
def sample(
    cached: CachedTransformer,
    prefix: Tensor,
    config: SamplingConfig,
    generators: Generators,
    begin: Tensor | None = None,
) -> Tensor:
    """Draw targets behind prefixes: (b, 1 + s, width) → codes (b, k, t) int64.

    With guidance the logits are negative + guidance × (conditional − negative) (Ho and Salimans 2022,
    arXiv:2207.12598), both passes in one batch of 2 b rows; the negative is the null source, or another source to steer
    away from. A temperature of 0 takes the most likely code each time.

    `begin` (b, k, rows, c): the first c columns, which are given and not sampled. Each sampled code sees those of its
    row and of the rows above, but none of the rows below, since sampling goes row by row.
    """
    shape = cached.model.shapes.target_codes
    cached.start(prefix)
    size = (len(prefix), shape.codebooks, shape.columns + shape.places)
    known = torch.full(size, cached.model.bos, device=prefix.device)  # a row that stands for nothing comes first
    given = 0 if begin is None else begin.shape[-1]
    drawn = shape.rows * (shape.columns - given), shape.codebooks, shape.codebook_size
    noises = iter(exponentials(generators, *drawn).unbind(1))  # all at once: a GPU takes as long for a single number
    for place in range(shape.places):
        before, above = known[..., shape.columns + place - 1], known[..., place]
        state = cached.step(before, above, place)
        codes = known[..., shape.columns + place]  # (b, k), a view that is filled one after another
        row, column = divmod(place, shape.columns)
        if begin is not None and column < given:
            codes.copy_(begin[:, :, row, column])
            continue
        noise = next(noises)  # (b, k, v)
        for number in range(shape.codebooks):
            logits = cached.logits(state, codes[:, :number]).float()  # (b, v), guided (2 b, v)
            if cached.copies == 2:
                conditional, negative = logits.chunk(2)
                logits = negative + config.guidance * (conditional - negative)
            codes[:, number] = draw(logits, config, noise[:, number])
    return known[..., shape.columns :]


def draw(logits: Tensor, config: SamplingConfig, noise: Tensor) -> Tensor:
    """One code per row of logits, by temperature, top-k and top-p, and exponential noise: (b, v), (b, v) → (b,)."""
    if config.temperature == 0:
        return logits.argmax(-1)
    if 0 < config.top_k < logits.shape[-1]:
        kth = logits.topk(config.top_k, dim=-1).values[:, -1:]
        logits = logits.masked_fill(logits < kth, -torch.inf)
    probabilities = F.softmax(logits / config.temperature, dim=-1)
    if config.top_p < 1:
        probabilities = nucleus(probabilities, config.top_p)
    return (probabilities / noise).argmax(-1)  # as torch.multinomial draws


def nucleus(probabilities: Tensor, top_p: float) -> Tensor:
    """Probabilities (b, v), with all set to zero but the largest whose sum reaches `top_p`: (b, v).

    Holtzman et al. 2020, arXiv:1904.09751.
    """
    ordered, places = probabilities.sort(dim=-1, descending=True, stable=True)
    before = ordered.cumsum(-1) - ordered  # 0 at the most likely, which always stays
    return torch.zeros_like(probabilities).scatter(-1, places, ordered.masked_fill(before >= top_p, 0.0))


def exponentials(generators: Generators, *shape: int) -> Tensor:
    """Exponential noise of rate 1 from each of b generators, on their device: (b, *shape).

    Logarithms, six times faster than `exponential_`.
    """
    kind = torch.float32  # whatever a caller's default is: other bits would be drawn
    rows = [torch.rand(*shape, generator=one, device=one.device, dtype=kind) for one in generators]
    positive = torch.stack(rows).clamp_(min=torch.finfo(kind).tiny)  # of 0 it would be infinite, and no code be drawn
    return positive.log_().neg_()
