"""How class and cycle consistency depend on guidance and on the number of candidates: tables to choose from."""

import torch
from torch import Tensor

from cycle_sound import reranking
from cycle_sound.evaluation import Way, consistency, grids_of, parts, sampled
from cycle_sound.params import Evaluate
from cycle_sound.sampling import log_likelihood

Row = dict[str, float | str]


def unexplained(way: Way) -> Tensor:
    """log p(source tokens | null) by the direction back: (n,) nats."""
    tokens = parts(way.source.tokens.flatten(1), way.back)
    return torch.cat([log_likelihood(way.back, way.back.null_prefix(len(part)), part).cpu() for part in tokens])


@torch.inference_mode()
def explained(way: Way, tokens: Tensor, null: Tensor) -> Tensor:
    """How much likelier drawn tokens (n, rows, columns) make their sources than the null does: (n,), (n,) nats."""
    grids = grids_of(way.back, way.target.decoded(tokens), tokens)
    pairs = zip(parts(grids, way.back), parts(way.source.tokens.flatten(1), way.back), strict=True)
    given = [log_likelihood(way.back, way.back.encode_source(grid), part).cpu() for grid, part in pairs]
    return torch.cat(given) - null


def figures(way: Way, tokens: Tensor, scores: Tensor, seed: int) -> Row:
    """Class and cycle consistency of tokens drawn for every source, and the mean of what they explain, (n,) nats."""
    pictures = way.target.decoded(tokens)
    returned = way.source.decoded(sampled(way.back, grids_of(way.back, pictures, tokens), way.home, seed))
    return {
        "explained": float(scores.mean()),
        **consistency("class_consistency", way.target, pictures, way.labels),
        **consistency("cycle_consistency", way.source, returned, way.labels),
    }


def table(way: Way, tried: Evaluate, seed: int) -> list[Row]:
    """All settings that params.yaml names, on its number of pairs.

    A row per guidance, with one candidate, and a row per number of candidates, of which the one that explains its
    source best is kept. One candidate at the default guidance stands in both, drawn and judged once.
    """
    some = way.first(tried.tried)
    grids, null = grids_of(some.forward, some.source.pictures, some.source.tokens), unexplained(some)
    drawn = torch.stack([sampled(some.forward, grids, way.there, seed + n) for n in range(max(tried.draws))], 1)
    scores = torch.stack([explained(some, tokens, null) for tokens in drawn.unbind(1)], 1)  # (n, k); (n, k, r, c)
    first = figures(some, drawn[:, 0], scores[:, 0], seed)

    def guided(guidance: float) -> Row:
        if guidance == way.there.guidance:
            return first
        changed = way.there.model_copy(update={"guidance": guidance})
        tokens = sampled(some.forward, grids, changed, seed)
        return figures(some, tokens, explained(some, tokens, null), seed)

    def best(count: int) -> Row:
        if count == 1:
            return first
        kept = reranking.best(drawn[:, :count], scores[:, :count])
        return figures(some, kept, scores[:, :count].amax(1), seed)

    return [{"setting": f"guidance {guidance:g}", **guided(guidance)} for guidance in tried.guidances] + [
        {"setting": f"best of {count}", **best(count)} for count in tried.draws
    ]
