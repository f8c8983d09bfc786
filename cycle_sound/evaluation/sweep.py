"""How class and cycle consistency depend on guidance and on re-ranking: tables to choose `sampling` from."""

from torch import Tensor

from cycle_sound.evaluation.scores import DirectionModels, consistency
from cycle_sound.inference.engine import best
from cycle_sound.params import SweepConfig

Row = dict[str, float | str]


def figures(models: DirectionModels, pictures: Tensor, scores: Tensor, seed: int) -> Row:
    """Class and cycle consistency of a target picture (n, c, h, w) per source, and the mean of its scores (n,)."""
    source, target = models.source.modality, models.target.modality
    returned = models.go_back(models.engine.as_perceived(target, pictures), seed)
    return {
        "pointwise_mutual_information": float(scores.mean()),
        **consistency("class_consistency", models, models.classifiers[target], pictures),
        **consistency("class_consistency_judge", models, models.judges[target], pictures),
        **consistency("cycle_consistency", models, models.classifiers[source], returned),
    }


def generate(models: DirectionModels, guidance: float, candidates: int, seed: int) -> tuple[Tensor, Tensor]:
    """Target pictures of every source and their pointwise mutual information: (n, m, c, h, w), (n, m) nats."""
    engine, direction, sources = models.engine, models.direction, models.source.pictures
    sampling = models.forward_sampling.model_copy(update={"guidance": guidance})
    codes = engine.draw(direction, sources, seed, candidates, sampling)
    pictures = engine.decode(models.target.modality, codes.flatten(0, 1))
    scores = engine.pointwise_mutual_information(direction, sources, pictures)
    return pictures.unflatten(0, (-1, candidates)), scores.unflatten(0, (-1, candidates))


def table(models: DirectionModels, config: SweepConfig, seed: int) -> list[Row]:
    """All settings that params.yaml names, on its number of pairs.

    A row per guidance, with one candidate, and a row per number of candidates, of which the one that explains its
    source best is kept. One candidate at the default guidance stands in both, drawn and judged once.
    """
    some = models.first(config.pairs)
    default = models.forward_sampling.guidance
    pictures, scores = generate(some, default, max(config.rerank_candidates), seed)
    first = figures(some, pictures[:, 0], scores[:, 0], seed)

    def guided(guidance: float) -> Row:
        if guidance == default:
            return first
        others, found = generate(some, guidance, 1, seed)
        return figures(some, others[:, 0], found[:, 0], seed)

    def reranked(count: int) -> Row:
        if count == 1:
            return first
        few = scores[:, :count]
        return figures(some, best(pictures[:, :count], few), few.amax(1), seed)

    return [{"setting": f"guidance {guidance:g}", **guided(guidance)} for guidance in config.guidances] + [
        {"setting": f"best of {count}", **reranked(count)} for count in config.rerank_candidates
    ]
