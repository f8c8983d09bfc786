"""Is it memorising? How far generated targets lie from their nearest training targets, beside real test targets."""

from typing import NamedTuple

import numpy as np
import torch
from scipy.stats import bootstrap
from torch import Tensor

from cycle_sound.dataset.reader import Split
from cycle_sound.dataset.training_set import TrainingSet
from cycle_sound.evaluation.metrics import Interval
from cycle_sound.models.classifier import Classifier
from cycle_sound.params import Modality

BATCH = 50  # pictures at a time: what a classifier computes of them stays in the cache
RESAMPLES = 1000  # of the bootstrap (Efron 1979)


class Nearest(NamedTuple):
    """Of n queries the nearest training targets."""

    rows: Tensor  # (n,), of what is learned from
    distances: Tensor  # (n,), Euclidean


@torch.inference_mode()
def embeddings(classifier: Classifier | None, pictures: Tensor) -> Tensor:
    """Where pictures lie: a classifier's features, or without one their pixels, (n, c, h, w) → (n, d)."""
    if classifier is None:
        return pictures.flatten(1)
    return torch.cat([classifier.features(part) for part in pictures.split(BATCH)])


@torch.inference_mode()
def nearest(
    classifier: Classifier | None, train: Split | TrainingSet, modality: Modality, queries: Tensor, among: int
) -> Nearest:
    """The nearest to each query (n, c, h, w) of the first `among` training targets; of equally near ones the first."""
    wanted = embeddings(classifier, queries)
    best = Nearest(torch.zeros(len(queries), dtype=torch.long), torch.full((len(queries),), torch.inf))
    count = min(len(train), among)
    for first in range(0, count, BATCH):
        rows = range(first, min(first + BATCH, count))
        known = embeddings(classifier, train.pictures(modality, rows))
        squares = wanted.square().sum(1, keepdim=True) + known.square().sum(1) - 2 * wanted @ known.T
        found = squares.argmin(1)
        distances = (wanted - known[found]).norm(dim=1)  # exact, where the expanded square above is rounded
        nearer = distances < best.distances
        best = Nearest(torch.where(nearer, found + first, best.rows), torch.where(nearer, distances, best.distances))
    return best


def ratio(generated: Tensor, real: Tensor, seed: int) -> Interval | None:
    """The median of distances (n,) over that of others (n,) of the same pairs, by a bootstrap over pairs.

    None for fewer than two pairs, and where the real ones lie on training targets.
    """
    pairs = generated.double().numpy(), real.double().numpy()
    if len(real) < 2 or not np.median(pairs[1]):
        return None
    with np.errstate(divide="ignore", invalid="ignore"):  # a resample's median may be 0
        found = bootstrap(
            pairs, _median_ratio, paired=True, vectorized=True, n_resamples=RESAMPLES, method="percentile", rng=seed
        )
    if not np.isfinite(found.bootstrap_distribution).all():
        return None
    low, high = found.confidence_interval
    return Interval(float(_median_ratio(*pairs)), float(low), float(high))


def _median_ratio(above: np.ndarray, below: np.ndarray, axis: int = -1) -> np.ndarray:
    return np.median(above, axis=axis) / np.median(below, axis=axis)
