"""The figures that people compare: pure functions of hits, features and ranks, with their 95 % intervals.

An interval covers the sampling of the test pairs: where the same models would score on other pairs of the same source.
It does not cover another training, by another seed or on another kind of machine, whose rounding leads to other models.
It assumes independent pairs: where a group, such as a film or a speaker, gives several test pairs, it is too narrow.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.linalg import sqrtm
from scipy.optimize import brentq
from scipy.stats import rankdata, spearmanr

TINY = 1e-9  # of a share
Z = 1.959964  # standard errors to either side of a normal variable's mean that 95 % lie within


class Interval(NamedTuple):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


def chance_agreement(found: Sequence[str], wanted: Sequence[str]) -> float:
    """The share of equal labels to expect by chance: the exact mean over all permutations of the rows of `wanted`.

    Over them each of the n rows found meets each wanted row equally often, so the mean is the sum, over the labels, of
    count_found × count_wanted / n². No single shuffle adds its noise, and the order of the rows has no say.
    """
    counts = Counter(wanted)
    return sum(counts[label] for label in found) / (len(found) * len(wanted))


def wilson(hits: float, count: int) -> Interval:
    """The share of hits in `count` trials, with its Wilson score interval. Raises ZeroDivisionError for no trials.

    A trial may be a hit in part, which scipy's `binomtest` refuses: it varies no more than one that is all or nothing.
    """
    share = hits / count
    middle = (2 * count * share + Z**2) / (2 * (count + Z**2))
    half = Z / (2 * (count + Z**2)) * math.sqrt(4 * count * share * (1 - share) + Z**2)
    low, high = min(middle - half, share), max(middle + half, share)  # rounding must not leave the share outside
    return Interval(share, max(low, 0.0), min(high, 1.0))


def roc_area(scores: np.ndarray, positive: np.ndarray) -> Interval:
    """The area under the ROC curve: how often a positive scores higher than a negative, ties counting half.

    Of scores (n,) and which are positive, bool (n,), some and not all. The interval is the fifth of Newcombe (2006,
    Statistics in Medicine 25:559), which like Wilson's is not empty where none or all are told apart.
    """
    count, hits = len(positive), int(positive.sum())
    pairs = hits * (count - hits)
    area = float((rankdata(scores)[positive].sum() - hits * (hits + 1) / 2) / pairs)

    def beyond(value: float) -> float:
        """The squared distance of `value` from the area, less the square of Z standard errors: 0 at the ends."""
        spread = 1 + (count / 2 - 1) * ((1 - value) / (2 - value) + value / (1 + value))
        return (value - area) ** 2 - Z**2 * value * (1 - value) * spread / pairs

    low = brentq(beyond, 0.0, min(area, 1 - TINY)) if area > 0 else 0.0
    high = brentq(beyond, max(area, TINY), 1.0) if area < 1 else 1.0
    return Interval(area, low, high)


def bins(probabilities: np.ndarray, count: int) -> np.ndarray:
    """The bin of each probability (n,), of so many of equal width: int64 (n,)."""
    return np.minimum((probabilities * count).astype(np.int64), count - 1)


def calibration_error(probabilities: np.ndarray, happened: np.ndarray, count: int) -> Interval:
    """Expected calibration error (Guo et al. 2017, arXiv:1706.04599) of probabilities (n,), n ≥ 2, of what may happen.

    The mean over the samples of how far, in the bin of each, the mean probability is from how often it happened. There
    are `count` bins of equal width. The interval is by the jackknife.
    """
    places, excess = bins(probabilities, count), probabilities - happened
    sums = np.bincount(places, excess, count)
    error, samples = float(np.abs(sums).sum()), len(excess)
    without = error - np.abs(sums)[places] + np.abs(sums[places] - excess)  # the sum without one sample, for each
    half = _jackknife(without / (samples - 1))
    return Interval(error / samples, max(error / samples - half, 0.0), error / samples + half)


def _jackknife(without: np.ndarray) -> float:
    """Half the width of a figure's 95 % interval by the jackknife, of the figure without each of n samples: (n,)."""
    return Z * float(np.sqrt((len(without) - 1) * without.var()))


def moments(features: np.ndarray) -> np.ndarray:
    """The sum over features (n, d) of the outer product of (1, x) with itself: float64 (d + 1, d + 1).

    It holds their number, their sum and that of their products; the moments of more features are the sum of theirs.
    """
    ones = np.insert(features.astype(np.float64), 0, 1.0, axis=1)
    return ones.T @ ones


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Fréchet distance of features as Gaussians (Heusel et al. 2017, arXiv:1706.08500), of each given the `moments`.

    Of two features or more each.
    """
    (mean_a, cov_a), (mean_b, cov_b) = _gaussian(a), _gaussian(b)
    ridge = 1e-6 * np.eye(len(mean_a))  # fewer samples than dimensions leave the covariances singular
    cov_a, cov_b = cov_a + ridge, cov_b + ridge
    mean = ((mean_a - mean_b) ** 2).sum()
    return float(max(mean + np.trace(cov_a + cov_b - 2 * np.real(sqrtm(cov_a @ cov_b))), 0.0))


def frechet_interval(a: np.ndarray, b: np.ndarray) -> Interval:
    """The Fréchet distance, given the moments of groups of pairs, (g, d + 1, d + 1) each, a group's pairs in both.

    The interval is by the jackknife that leaves out a group at a time (Efron and Tibshirani 1993, chapter 11). Fewer
    samples make the distance larger, which it does not cover: compare distances of equally many pairs.
    """
    whole_a, whole_b = a.sum(0), b.sum(0)
    distance = frechet_distance(whole_a, whole_b)
    without = [frechet_distance(whole_a - one, whole_b - other) for one, other in zip(a, b, strict=True)]
    half = _jackknife(np.array(without))
    return Interval(distance, max(distance - half, 0.0), distance + half)


def _gaussian(moments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (d,) and covariance (d, d)."""
    count, mean = moments[0, 0], moments[0, 1:] / moments[0, 0]
    return mean, (moments[1:, 1:] - count * np.outer(mean, mean)) / (count - 1)


def kernel_distance(made: np.ndarray, real: np.ndarray) -> Interval:
    """The kernel distance of features (n, d) and (n, d), a row of each from one pair, n ≥ 3.

    MMD² under a cubic polynomial kernel (KID, Bińkowski et al. 2018, arXiv:1801.01401), by the estimator that leaves
    out what a pair has with itself (Gretton et al. 2012, lemma 6): unbiased although what is made of a source is like
    that source's own target, and so of mean 0, at times below it, where there is no difference. The interval is by the
    jackknife over the pairs.
    """
    count, mixed = len(made), _cubic(made, real)
    each = _cubic(made, made) + _cubic(real, real) - mixed - mixed.T
    np.fill_diagonal(each, 0)
    distance = float(each.sum() / (count * (count - 1)))
    without = (each.sum() - 2 * each.sum(1)) / ((count - 1) * (count - 2))  # the distance without one pair, for each
    half = _jackknife(without)
    return Interval(distance, distance - half, distance + half)


def _cubic(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a @ b.T / a.shape[1] + 1) ** 3


def ratio(made: np.ndarray, real: np.ndarray) -> Interval:
    """The mean of one measure over that of another, (n,) and (n,) of n ≥ 2 pairs; the interval is by the jackknife."""
    value = float(made.sum() / real.sum())
    without = (made.sum() - made) / (real.sum() - real)  # the ratio without one pair, for each
    half = _jackknife(without)
    return Interval(value, value - half, value + half)


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Spearman's rank correlation over the pairs that are both finite; None for fewer than three or for constants."""
    finite = np.isfinite(a) & np.isfinite(b)
    x, y = np.asarray(a)[finite], np.asarray(b)[finite]
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    return float(spearmanr(x, y).statistic)


def correlation_interval(name: str, a: Sequence[float], b: Sequence[float]) -> dict[str, float]:
    """Spearman's rank correlation as `name`, its 95 % interval as `name_low`, `name_high` (Bonett and Wright 2000).

    `name_floor` is what chance gives in the mean, as `chance_agreement` is: over all permutations exactly 0. A quantile
    of them would be another notion of a floor; whether 0 can be ruled out with so few pairs, the interval tells.
    Empty where `rank_correlation` is None; without an interval for three pairs.
    """
    rho = rank_correlation(a, b)
    if rho is None:
        return {}
    count = int((np.isfinite(a) & np.isfinite(b)).sum())
    interval = {}
    if count > 3:
        half = Z * ((1 + rho**2 / 2) / (count - 3)) ** 0.5
        z = np.arctanh(np.clip(rho, -0.999999, 0.999999))
        low, high = np.tanh((z - half, z + half)).tolist()
        interval = {f"{name}_low": min(low, rho), f"{name}_high": max(high, rho)}  # of 1, too, which has no finite z
    return {name: rho, **interval, f"{name}_floor": 0.0}
