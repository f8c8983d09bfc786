"""Is it memorising? How far generated targets lie from their nearest training targets, beside real test targets."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cycle_sound.classifier import Classifier
from cycle_sound.params import Modality
from cycle_sound.shards import Split

BATCH = 50  # pictures at a time: what a classifier makes of them stays in the cache
RESAMPLES = 1000  # of the bootstrap (Efron 1979)


class Nearest(NamedTuple):
    """Of n queries the nearest training targets."""

    rows: Tensor  # (n,), of the training split
    distances: Tensor  # (n,), Euclidean


class Ratio(NamedTuple):
    """A ratio of medians with its 95 % interval."""

    value: float
    low: float
    high: float


@torch.inference_mode()
def points(judge: Classifier | None, pictures: Tensor) -> Tensor:
    """Where pictures lie: a classifier's features, or without one their pixels, (n, c, h, w) → (n, d)."""
    if judge is None:
        return pictures.flatten(1)
    return torch.cat([judge.features(part) for part in pictures.split(BATCH)])


@torch.inference_mode()
def nearest(judge: Classifier | None, train: Split, modality: Modality, queries: Tensor) -> Nearest:
    """The training target nearest to each query (n, c, h, w); of equally near ones the first."""
    wanted = points(judge, queries)
    best = Nearest(torch.zeros(len(queries), dtype=torch.long), torch.full((len(queries),), torch.inf))
    for first in range(0, len(train), BATCH):
        rows = range(first, min(first + BATCH, len(train)))
        known = points(judge, train.pictures(modality, rows))
        squares = wanted.square().sum(1, keepdim=True) + known.square().sum(1) - 2 * wanted @ known.T
        found = squares.argmin(1)
        distances = (wanted - known[found]).norm(dim=1)  # exact, where the expanded square above is rounded
        nearer = distances < best.distances
        best = Nearest(torch.where(nearer, found + first, best.rows), torch.where(nearer, distances, best.distances))
    return best


def ratio(generated: Tensor, real: Tensor, seed: int) -> Ratio | None:
    """The median of distances (n,) over that of others (n,) of the same pairs, by a bootstrap over pairs.

    None where the real ones lie on training targets.
    """
    pairs = np.stack([generated.numpy(), real.numpy()]).astype(np.float64)  # (2, n)
    drawn = np.random.default_rng(seed).integers(pairs.shape[1], size=(RESAMPLES, pairs.shape[1]))
    above, below = np.median(pairs[:, drawn], axis=2)  # (resamples,) each
    value, base = np.median(pairs, axis=1)
    if base <= 0 or below.min() <= 0:
        return None
    low, high = np.quantile(above / below, [0.025, 0.975])
    return Ratio(float(value / base), float(low), float(high))
