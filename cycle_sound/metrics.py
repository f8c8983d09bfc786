"""The figures that people compare: pure functions of tokens, pictures, features and ranks."""

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from scipy.linalg import sqrtm
from skimage.metrics import structural_similarity
from torch import Tensor

T = TypeVar("T")


class CodebookUse(NamedTuple):
    """How much of a codebook is in use."""

    usage: float  # share of the codes that occur
    perplexity: float  # exp of the entropy of their frequencies: 1 … codebook size


def codebook_use(tokens: Tensor, codebook_size: int) -> CodebookUse:
    """Usage and perplexity of tokens of any shape."""
    counts = torch.bincount(tokens.flatten(), minlength=codebook_size).double()
    shares = counts / counts.sum()
    entropy = -(shares * shares.clamp_min(1e-12).log()).sum()
    return CodebookUse(float((counts > 0).double().mean()), float(entropy.exp()))


def psnr(made: Tensor, real: Tensor) -> float:
    """Mean peak signal-to-noise ratio of pictures in [-1, 1], in dB: (b, c, h, w) twice."""
    errors = ((made - real) ** 2).mean((1, 2, 3)).clamp_min(1e-10)
    return float((10 * torch.log10(4 / errors)).mean())


def ssim(made: Tensor, real: Tensor) -> float:
    """Mean structural similarity of pictures in [-1, 1] (Wang et al. 2004): (b, c, h, w) twice."""
    pairs = zip(made.cpu().numpy(), real.cpu().numpy(), strict=True)
    return float(np.mean([structural_similarity(a, b, channel_axis=0, data_range=2.0) for a, b in pairs]))


def log_spectral_distance(made: Tensor, real: Tensor, db_range: float) -> float:
    """Root mean square difference over the mels, mean over frames, in dB: log-mels (b, 1, mels, frames) in [-1, 1].

    `db_range`: the decibels between -1 and 1.
    """
    difference = (made - real) * db_range / 2
    return float((difference**2).mean(2).sqrt().mean())


class Interval(NamedTuple):
    """A share with its 95 % interval."""

    share: float
    low: float
    high: float


def shuffled(values: Sequence[T]) -> list[T]:
    """Each value at another's place, for a floor: test pairs stand in random order, so half a turn will do."""
    return [*values[len(values) // 2 :], *values[: len(values) // 2]]


def wilson(hits: int, count: int) -> Interval:
    """A share with its Wilson score interval at 95 % (Wilson 1927). Raises ZeroDivisionError for no trials."""
    z = 1.959964
    share = hits / count
    centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * (share * (1 - share) / count + z**2 / (4 * count**2)) ** 0.5
    # rounding must not take the share out of its own interval
    return Interval(share, min(max(centre - half, 0.0), share), max(min(centre + half, 1.0), share))


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Fréchet distance of features (n, d) and (m, d) as Gaussians (Heusel et al. 2017, arXiv:1706.08500)."""
    ridge = 1e-6 * np.eye(a.shape[1])  # fewer samples than dimensions leave the covariances singular
    cov_a, cov_b = np.cov(a, rowvar=False) + ridge, np.cov(b, rowvar=False) + ridge
    mean = ((a.mean(0) - b.mean(0)) ** 2).sum()
    return float(max(mean + np.trace(cov_a + cov_b - 2 * np.real(sqrtm(cov_a @ cov_b))), 0.0))


def pairwise_distance(features: np.ndarray) -> float:
    """Mean Euclidean distance between different rows: (n, d) with n ≥ 2."""
    squares = (features**2).sum(1)
    distances = np.sqrt(np.maximum(squares[:, None] + squares[None] - 2 * features @ features.T, 0))
    return float(distances.sum() / (len(features) * (len(features) - 1)))


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Spearman's rank correlation over the pairs that are both finite; None for fewer than three or for constants."""
    finite = np.isfinite(a) & np.isfinite(b)
    x, y = np.asarray(a)[finite], np.asarray(b)[finite]
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    from scipy.stats import spearmanr  # not above: half a second that no training needs

    return float(spearmanr(x, y).statistic)


def correlation_interval(name: str, a: Sequence[float], b: Sequence[float]) -> dict[str, float | None]:
    """Spearman's rank correlation as `name`, its 95 % interval as `_low`, `_high` (Bonett and Wright 2000)."""
    rho = rank_correlation(a, b)
    count = int((np.isfinite(a) & np.isfinite(b)).sum())
    if rho is None or count < 4:
        return {name: rho}
    half = 1.959964 * ((1 + rho**2 / 2) / (count - 3)) ** 0.5
    z = np.arctanh(np.clip(rho, -0.999999, 0.999999))
    return {name: rho, f"{name}_low": float(np.tanh(z - half)), f"{name}_high": float(np.tanh(z + half))}
