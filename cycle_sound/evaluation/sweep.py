"""How class and cycle consistency depend on guidance, to choose `sampling` from, and on re-ranking: tables."""

from collections.abc import Sequence

from torch import Tensor

from cycle_sound.evaluation.scores import DirectionModels, Generated, consistency, draw
from cycle_sound.inference.engine import best
from cycle_sound.params import SweepConfig

Row = dict[str, float | str]


def row(models: DirectionModels, setting: str, pictures: Tensor, information: Tensor, returned: Tensor) -> Row:
    """The figures of a target picture (n, c, h, w) per source, whose nats are (n,), and of what was made of it."""
    source, target = models.source.modality, models.target.modality
    return {
        "setting": setting,
        "pointwise_mutual_information": float(information.mean()),
        **consistency("class_consistency", models, models.classifiers[target], pictures),
        **consistency("class_consistency_judge", models, models.judges[target], pictures),
        **consistency("cycle_consistency", models, models.classifiers[source], returned),
    }


def returned(models: DirectionModels, pictures: Tensor, seed: int) -> Tensor:
    """Source pictures that the direction back makes of target pictures (n, c, h, w) as they are perceived."""
    return models.go_back(models.engine.as_perceived(models.target.modality, pictures), seed)


def by_guidance(models: DirectionModels, config: SweepConfig, seed: int) -> list[Row]:
    """A row per guidance, with one candidate for each of the first `config.pairs` sources."""
    some = models.first(config.pairs)

    def guided(guidance: float) -> Row:
        sampling = some.forward_sampling.model_copy(update={"guidance": guidance})
        candidates, information = draw(some, sampling, 1, seed)
        pictures = candidates[:, 0]
        return row(some, f"guidance {guidance:g}", pictures, information[:, 0], returned(some, pictures, seed))

    return [guided(guidance) for guidance in config.guidances]


def by_candidates(models: DirectionModels, generated: Generated, counts: Sequence[int], seed: int) -> list[Row]:
    """A row per number of candidates of each source, of which the one that explains it best is kept."""

    def reranked(count: int) -> Row:
        information = generated.pointwise_mutual_information[:, :count]
        pictures = best(generated.samples[:, :count], information)
        back = generated.returned if count == 1 else returned(models, pictures, seed)
        return row(models, f"best of {count}", pictures, information.amax(1), back)

    return [reranked(count) for count in counts]
