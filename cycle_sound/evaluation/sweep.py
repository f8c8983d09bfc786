"""How class and cycle consistency depend on guidance, to choose `sampling` from, and on re-ranking: tables."""

from collections.abc import Iterable, Sequence

import numpy as np
from torch import Tensor

from cycle_sound.evaluation.generation import DirectionModels, Generated
from cycle_sound.evaluation.label_metrics import classify, consistency
from cycle_sound.inference.engine import Drawing, best
from cycle_sound.nn import measures
from cycle_sound.nn.measures import Measures
from cycle_sound.params import SweepConfig

CONSISTENCIES = ("class_consistency", "class_consistency_judge", "cycle_consistency")
ENDS = ("", "_low", "_high", "_floor")  # of the columns of each
Row = dict[str, float | str]


def by_guidance(models: DirectionModels, config: SweepConfig, seed: int) -> list[Row]:
    """A row per guidance, with one candidate for each of the first `config.pairs` sources; no others are read."""
    settings = {f"guidance {guidance:g}": guidance for guidance in config.guidances}

    def guided(sources: Tensor, setting: str) -> Measures:
        once = {"guidance": settings[setting], "candidates": 1}
        drawing = Drawing(models.forward_sampling.model_copy(update=once), seed)
        candidates, information = models.engine.candidates(models.direction, sources, drawing)
        pictures = candidates[:, 0]
        return _measured(models, setting, pictures, information[:, 0], _returned(models, pictures, seed))

    def measure(rows: range) -> Measures:
        sources = models.sources(rows)
        return {name: values for setting in settings for name, values in guided(sources, setting).items()}

    some = range(min(config.pairs, len(models.split.labels)))
    return table(models, settings, measures.of_rows(some, models.batch, measure))


def by_candidates(models: DirectionModels, generated: Generated, counts: Sequence[int], seed: int) -> Measures:
    """The measures that `table` needs, with the best candidate for each source, for each number of candidates."""
    found: Measures = {}
    for count in counts:
        information = generated.scores[:, :count]
        pictures = best(generated.candidates[:, :count], information)
        kept = count == models.forward_sampling.candidates
        back = generated.returned if kept else _returned(models, pictures, seed)
        found |= _measured(models, best_of(count), pictures, information.amax(1), back)
    return found


def best_of(count: int) -> str:
    """The name of a setting, by its number of candidates."""
    return f"best of {count}"


def table(models: DirectionModels, settings: Iterable[str], measured: Measures) -> list[Row]:
    """A row per setting, of what was measured of the first pairs."""
    return [_row(models, setting, measured) for setting in settings]


def _row(models: DirectionModels, setting: str, measured: Measures) -> Row:
    """A row with all columns that the plots name; those that could not be measured are empty."""
    found = measures.under(f"{setting}: ", measured)
    information = found["pointwise_mutual_information"]
    labels = models.split.labels[: len(information)]
    judged = {
        **consistency("class_consistency", labels, models.classifiers[models.target], found),
        **consistency("class_consistency_judge", labels, models.judges[models.target], found),
        **consistency("cycle_consistency", labels, models.classifiers[models.source], found),
    }
    return {
        "setting": setting,
        "pointwise_mutual_information": float(information.mean(dtype=np.float64)),
        **{f"{name}{end}": judged.get(f"{name}{end}", "") for name in CONSISTENCIES for end in ENDS},
    }


def _measured(
    models: DirectionModels, setting: str, pictures: Tensor, information: Tensor, returned: Tensor
) -> Measures:
    """Measures of a target picture (b, c, h, w) per source, whose nats are (b,), and of what was made of it."""
    found = {
        "pointwise_mutual_information": information.numpy(),
        **classify("class_consistency", models.classifiers[models.target], pictures),
        **classify("class_consistency_judge", models.judges[models.target], pictures),
        **classify("cycle_consistency", models.classifiers[models.source], returned),
    }
    return {f"{setting}: {what}": values for what, values in found.items()}


def _returned(models: DirectionModels, pictures: Tensor, seed: int) -> Tensor:
    """Source pictures that the direction back makes of target pictures (b, c, h, w) as they are perceived."""
    return models.go_back(models.engine.as_perceived(models.target, pictures), seed)
