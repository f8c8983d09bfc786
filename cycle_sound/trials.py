"""How class and cycle consistency depend on guidance and on the number of candidates: tables to choose from."""

from collections.abc import Sequence

import torch
from torch import Tensor

from cycle_sound import reranking
from cycle_sound.evaluation import Way, consistency, grids_of, parts, sampled
from cycle_sound.params import Evaluate, Sampling


def explained(way: Way, tokens: Tensor) -> Tensor:
    """How much likelier drawn tokens make their sources, by the direction back: (n, rows, columns) → (n,) nats."""
    grids = grids_of(way.back, way.target.decoded(tokens), tokens)
    pairs = zip(parts(way.source.tokens, way.back), parts(grids, way.back), strict=True)
    return torch.cat([reranking.explained(way.back, *pair).cpu() for pair in pairs])


def figures(way: Way, tokens: Tensor, config: Sampling, seed: int) -> dict[str, float]:
    """What is said of tokens drawn for every source: class and cycle consistency, and what they explain in nats."""
    pictures = way.target.decoded(tokens)
    returned = way.source.decoded(sampled(way.back, grids_of(way.back, pictures, tokens), config, seed))
    return {
        "explained": float(explained(way, tokens).mean()),
        **consistency("class_consistency", way.target, pictures, way.labels),
        **consistency("cycle_consistency", way.source, returned, way.labels),
    }


def guidances(way: Way, config: Sampling, tried: Sequence[float], seed: int) -> list[dict[str, float | str]]:
    """A row per guidance, with one candidate."""
    rows: list[dict[str, float | str]] = []
    grids = grids_of(way.forward, way.source.pictures, way.source.tokens)
    for guidance in tried:
        changed = config.model_copy(update={"guidance": guidance})
        tokens = sampled(way.forward, grids, changed, seed)
        rows.append({"setting": f"guidance {guidance:g}", **figures(way, tokens, changed, seed)})
    return rows


def candidates(way: Way, config: Sampling, tried: Sequence[int], seed: int) -> list[dict[str, float | str]]:
    """A row per number of candidates, of which the one that explains its source best is kept."""
    grids = grids_of(way.forward, way.source.pictures, way.source.tokens)
    drawn = torch.stack([sampled(way.forward, grids, config, seed + n) for n in range(max(tried))], 1)  # (n, k, r, c)
    scores = torch.stack([explained(way, tokens) for tokens in drawn.unbind(1)], 1)  # (n, k)
    rows: list[dict[str, float | str]] = []
    for count in tried:
        kept = reranking.best(drawn[:, :count], scores[:, :count])
        rows.append({"setting": f"best of {count}", **figures(way, kept, config, seed)})
    return rows


def table(way: Way, config: Sampling, tried: Evaluate, seed: int) -> list[dict[str, float | str]]:
    """All settings that params.yaml names, on its number of pairs."""
    some = way.first(tried.tried)
    return guidances(some, config, tried.guidances, seed) + candidates(some, config, tried.draws, seed)
