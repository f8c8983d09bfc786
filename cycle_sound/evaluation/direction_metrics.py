"""How good one direction is on a split, with the floor and the ceiling of each figure.

The floor is what the same samples score against shuffled sources, in the mean over all shuffles (of the likelihood:
against one); the ceiling is what real targets score once they have been through the tokenizer alone: no transformer can
do better. Everything that a model does here is done by the engine that people use.

Pairs come batch by batch. `measure` says of a batch what `figures` needs: a few values of each pair, and moments of
features.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from scipy.spatial.distance import pdist
from torch import Tensor

from cycle_sound.evaluation import metrics
from cycle_sound.evaluation.generation import DirectionModels, Generated, Pairs
from cycle_sound.evaluation.label_metrics import classify, consistency, fraction, labelled, named
from cycle_sound.inference.engine import classified
from cycle_sound.models.classifier import Classifier
from cycle_sound.nn import distributed, measures
from cycle_sound.nn.measures import Measures
from cycle_sound.params import EvaluateConfig

QUERIES = 8  # of retrieval at a time, each with as many prefixes as there are targets to rank
GROUPS = 20  # of pairs, by their rows, of which each in turn is left out: an interval to a sixth of its width
SPREAD = 4000  # pairs, the first of the split, whose real features are kept and compared with one another


class FeatureMoments:
    """Named moments of features, accumulated over batches, for GROUPS of pairs: row modulo GROUPS."""

    def __init__(self) -> None:
        self._moments: dict[str, np.ndarray] = {}

    def add(self, name: str, rows: Sequence[int], features: np.ndarray) -> None:
        """Add the features (b, d) of `rows`, b of them."""
        groups = np.array(rows) % GROUPS
        found = np.stack([metrics.moments(features[groups == group]) for group in range(GROUPS)])
        if name in self._moments:
            self._moments[name] += found
        else:
            self._moments[name] = found

    def whole(self) -> dict[str, np.ndarray]:
        """The moments of the features of all processes, by name: (GROUPS, d + 1, d + 1) each."""
        every = distributed.in_order([self._moments])
        return {name: np.sum([some[name] for some in every if name in some], axis=0) for name in every[0]}


# --- what is measured of a batch


def measure(
    models: DirectionModels, rows: range, pairs: Pairs, generated: Generated, moments: FeatureMoments
) -> Measures:
    """What `figures` needs to know of some pairs, which are the `rows` of the split."""
    source = models.classifiers[models.source]
    return {
        **likelihood(models, rows, pairs.codes),
        **classes(models, rows, pairs, generated, moments),
        **judged(models, pairs, generated),
        **classify("cycle_consistency", source, generated.returned),
    }


def likelihood(models: DirectionModels, rows: range, codes: Tensor) -> Measures:
    """Cross-entropy of real targets (b, k, rows, columns), nats per code, given their own sources and others': (b,).

    The other source is that of the pair half a split away; pairs stand in shuffled order. Of one pair there is none.
    """
    engine, direction, count = models.engine, models.direction, len(models.split.labels)

    def cross_entropy(sources: Iterable[int]) -> np.ndarray:
        prefixes = engine.prefixes(direction, models.sources(sources))
        return -engine.log_likelihood(direction, prefixes, codes).numpy() / codes[0].numel()

    own = {"cross_entropy": cross_entropy(rows)}
    if count == 1:
        return own
    return own | {"cross_entropy_shuffled": cross_entropy((row - count // 2) % count for row in rows)}


def classes(
    models: DirectionModels, rows: range, pairs: Pairs, generated: Generated, moments: FeatureMoments
) -> Measures:
    """What the target's classifier says of what was generated, and of real targets."""
    model = models.classifiers[models.target]
    if model is None:
        return {}
    real, tokenized = classified(model, pairs.target), classified(model, generated.tokenized)
    kept = classified(model, generated.kept)
    two = [classified(model, pictures).features for pictures in generated.candidates[:, :2].unbind(1)]
    known = labelled(models.split.labels, model, rows)
    for name, found in (("generated", kept), ("tokenized", tokenized), ("real", real)):
        moments.add(name, known, found.features[[row - rows.start for row in known]])
    return {
        "class_consistency": np.array(kept.labels),
        "class_consistency_ceiling": np.array(tokenized.labels),
        "classifier_accuracy": np.array(real.labels),
        "features": real.features[: max(SPREAD - rows.start, 0)].copy(),  # not a view, which would hold all of them
        **({"between": np.linalg.norm(two[0] - two[1], axis=1)} if len(two) > 1 else {}),
    }


def judged(models: DirectionModels, pairs: Pairs, generated: Generated) -> Measures:
    """What the target's judge says of what was generated, and of real targets."""
    judge = models.judges[models.target]
    return {
        **classify("class_consistency_judge", judge, generated.kept),
        **classify("class_consistency_judge_ceiling", judge, generated.tokenized),
        **classify("judge_accuracy", judge, pairs.target),
    }


def ranks(models: DirectionModels, config: EvaluateConfig) -> np.ndarray:
    """At which ranks, from 0, each of `retrieval_queries` sources finds its own target among `retrieval_pool`: (q, 2).

    The first and the last that it may have: they differ by how many others score the same. Targets are ranked by
    log p(target | source) − log p(target | null): without the second term, the targets that are likely under any source
    would win. No more pairs are looked at than are ranked.
    """
    engine, direction, count = models.engine, models.direction, len(models.split.labels)
    pool, queries = min(config.retrieval_pool, count), min(config.retrieval_queries, count)
    codes = models.codes(range(min(queries + pool - 1, count)))
    null = engine.log_likelihood(direction, engine.null_prefixes(direction, len(codes)), codes)

    def ranked(some: range) -> Measures:
        rows = (torch.tensor(some)[:, None] + torch.arange(pool)) % count  # (b, pool), a query's own target first
        given = engine.prefixes(direction, models.sources(some)).repeat_interleave(pool, dim=0)
        scores = engine.log_likelihood(direction, given, codes[rows.flatten()]).view_as(rows) - null[rows]
        own = scores[:, :1]
        return {"ranks": torch.stack([(scores > own).sum(1), (scores >= own).sum(1) - 1], dim=1).numpy()}

    return measures.of_rows(range(queries), QUERIES, ranked)["ranks"]


# --- figures of all that was measured


def figures(
    models: DirectionModels,
    measured: Measures,
    moments: dict[str, np.ndarray],
    ranks: np.ndarray,
    config: EvaluateConfig,
) -> dict[str, float]:
    """All figures of a direction that ask a model: likelihood, retrieval, classes, the cycle."""
    labels = models.split.labels
    return {
        "pairs": len(labels),
        **{name: float(measured[name].mean(dtype=np.float64)) for name in measured if name.startswith("cross_entropy")},
        **retrieval(ranks, min(config.retrieval_pool, len(labels))),
        **class_figures(labels, models.classifiers[models.target], measured, moments),
        **judge_figures(labels, models.judges[models.target], measured),
        **consistency("cycle_consistency", labels, models.classifiers[models.source], measured),
    }


def retrieval(ranks: np.ndarray, pool: int) -> dict[str, float]:
    """Recall of sources' own targets among `pool` targets, by their first and last ranks (q, 2).

    It is the mean over all orders of those that score the same: a model that tells none apart gets the floor.
    """
    first, last = ranks.T
    chance = {f"recall_at_{k}_floor": min(k / pool, 1.0) for k in (1, 5)}
    found = {k: ((k - first) / (last - first + 1)).clip(0, 1) for k in (1, 5)}  # the share of orders, of each source
    hits = {k: metrics.wilson(float(shares.sum()), len(ranks)) for k, shares in found.items()}
    return {**named("recall_at_1", hits[1]), **named("recall_at_5", hits[5]), **chance}


def class_figures(
    labels: Sequence[str], model: Classifier | None, found: Measures, moments: dict[str, np.ndarray]
) -> dict[str, float]:
    """What the target's classifier says of what was generated. Empty where it knows fewer than two of the pairs."""
    rows = labelled(labels, model)
    if len(rows) < 2:
        return {}
    return {
        **consistency("class_consistency", labels, model, found),
        **fraction("class_consistency_ceiling", labels, model, found),
        **fraction("classifier_accuracy", labels, model, found),
        **frechet_distances(moments),
        **(diversity(labels, rows, found) if "between" in found else {}),
    }


def frechet_distances(moments: dict[str, np.ndarray]) -> dict[str, float]:
    """The Fréchet distance of what was generated from real targets, with its ceiling.

    It has no interval where one of the GROUPS is empty.
    """
    made, tokenized, real = (moments[name] for name in ("generated", "tokenized", "real"))
    whole = real.sum(0)
    interval = metrics.frechet_interval(made, real) if real[:, 0, 0].all() else None
    return {
        "frechet_distance": interval.value if interval else metrics.frechet_distance(made.sum(0), whole),
        "frechet_distance_ceiling": metrics.frechet_distance(tokenized.sum(0), whole),
        **(named("frechet_distance", interval) if interval else {}),
    }


def judge_figures(labels: Sequence[str], judge: Classifier | None, found: Measures) -> dict[str, float]:
    """What the target's judge says of what was generated. Empty where it knows none of the pairs."""
    return {
        **consistency("class_consistency_judge", labels, judge, found),
        **fraction("class_consistency_judge_ceiling", labels, judge, found),
        **fraction("judge_accuracy", labels, judge, found),
    }


def diversity(labels: Sequence[str], rows: Sequence[int], found: Measures) -> dict[str, float]:
    """Mean feature distance between two samples of one source, over that of two real targets of one label.

    Of real targets the first SPREAD. Empty where no label has two of them that differ.
    """
    near: dict[str, list[int]] = {}
    for row in rows:
        if row < SPREAD:
            near.setdefault(labels[row], []).append(row)
    within = [pdist(found["features"][near[label]]).mean() for label in sorted(near) if len(near[label]) > 1]
    return {"diversity": float(found["between"][rows].mean() / np.mean(within))} if any(within) else {}


def one_of_each(labels: Sequence[str], count: int) -> list[int]:
    """Rows of `count` pairs, the labels in turn."""
    seen: dict[str, int] = {}
    turns = []
    for row, label in enumerate(labels):
        seen[label] = seen.get(label, 0) + 1
        turns.append((seen[label], label, row))
    return [row for _, _, row in sorted(turns)[:count]]
