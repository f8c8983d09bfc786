"""Drawing target tokens one after another, with a cache of keys and values and classifier-free guidance."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from cycle_sound.decoding import Decoder
from cycle_sound.params import Sampling
from cycle_sound.transformer import Transformer

Chance = torch.Generator | Sequence[torch.Generator]  # one for a whole batch, or one per sample, whatever its batch


@torch.inference_mode()
def generate(model: Transformer, grid: Tensor, config: Sampling, generator: Chance) -> Tensor:
    """Tokens drawn for source grids: (b, c, h, w) or (b, h, w) → (b, rows, columns) int64.

    With guidance other than 1 the logits are null + guidance × (conditional − null) (Ho and Salimans 2022,
    arXiv:2207.12598), both passes in one batch. A temperature of 0 takes the most likely token each time.
    """
    null = model.null_prefix(len(grid)) if config.guidance != 1 else None
    tokens = complete(model, model.encode_source(grid), null, config, generator)
    return tokens.unflatten(1, model.shapes.target_grid)


@torch.inference_mode()
def complete(model: Transformer, prefix: Tensor, null: Tensor | None, config: Sampling, generator: Chance) -> Tensor:
    """Draw the target's tokens behind a prefix, guided away from the prefix `null`: (b, 1 + s, width) → (b, t)."""
    decoder = Decoder(model, prefix if null is None else torch.cat([prefix, null]))
    columns = model.shapes.target_grid[1]
    known = torch.full((len(prefix), columns + model.tokens), model.edge, device=prefix.device)  # a row of edge first
    for place in range(model.tokens):
        before, above = known[:, columns + place - 1], known[:, place]
        if null is not None:
            before, above = before.repeat(2), above.repeat(2)
        logits = decoder.step(before, above, place).float()  # (b or 2b, v)
        if null is not None:
            conditional, unconditional = logits.chunk(2)
            logits = unconditional + config.guidance * (conditional - unconditional)
        known[:, columns + place] = draw(logits, config, generator)
    return known[:, columns:]


def draw(logits: Tensor, config: Sampling, generator: Chance) -> Tensor:
    """One token per row of logits, by temperature, top-k and top-p: (b, v) → (b,)."""
    if config.temperature == 0:
        return logits.argmax(-1)
    if 0 < config.top_k < logits.shape[-1]:
        kth = logits.topk(config.top_k, dim=-1).values[:, -1:]
        logits = logits.masked_fill(logits < kth, -torch.inf)
    likely = F.softmax(logits / config.temperature, dim=-1)
    if config.top_p < 1:
        likely = nucleus(likely, config.top_p)
    return (likely / exponentials(likely, generator)).argmax(-1)  # the race that torch.multinomial runs


def nucleus(likely: Tensor, share: float) -> Tensor:
    """Probabilities with all but the most likely tokens that together hold `share` set to zero: (b, v) → the same.

    Holtzman et al. 2020, arXiv:1904.09751.
    """
    ordered, places = likely.sort(dim=-1, descending=True, stable=True)
    before = ordered.cumsum(-1) - ordered  # 0 at the most likely, which always stays
    return torch.zeros_like(likely).scatter(-1, places, ordered.masked_fill(before >= share, 0.0))


def exponentials(like: Tensor, generator: Chance) -> Tensor:
    """Exponential noise of rate 1 in the shape of `like`, (b, v): logarithms, six times faster than `exponential_`."""
    if isinstance(generator, torch.Generator):
        return torch.rand(like.shape, generator=generator, device=like.device).log_().neg_()
    rows = [torch.rand(like.shape[-1], generator=one, device=one.device) for one in generator]
    return torch.stack(rows).to(like.device).log_().neg_()


@torch.inference_mode()
def log_likelihood(model: Transformer, prefix: Tensor, tokens: Tensor) -> Tensor:
    """Log-probability of whole token sequences, in nats: (b, 1 + s, width), (b, t) → (b,)."""
    log_p = F.log_softmax(model(prefix, tokens).float(), dim=-1)
    return log_p.gather(-1, tokens[..., None])[..., 0].sum(1)
