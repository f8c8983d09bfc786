"""Fidelity of reconstructed or generated pictures to real ones: pure functions of codes and of pictures.

Each picture is measured by itself, so any number of them can be measured, a few at a time.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from skimage.metrics import structural_similarity
from torch import Tensor


class CodebookUse(NamedTuple):
    """How much of each of k codebooks is in use."""

    usage: float  # share of a codebook's codes that occur, the mean over codebooks
    least_usage: float  # that of the codebook with the smallest: by it a collapse is judged
    perplexity: float  # exp of the entropy of the codes' frequencies, 1 … codebook size, the mean over codebooks


def codebook_use(codes: Tensor, codebook_size: int) -> CodebookUse:
    """Use of k codebooks by codes (n, k, rows, columns), each in 0 … codebook_size - 1."""
    counts = torch.stack([one.flatten().bincount(minlength=codebook_size) for one in codes.unbind(1)]).double()
    used = (counts > 0).double().mean(1)  # (k,)
    perplexities = torch.special.entr(counts / counts.sum(1, keepdim=True)).sum(1).exp()
    return CodebookUse(float(used.mean()), float(used.min()), float(perplexities.mean()))


def squared_error(made: Tensor, real: Tensor) -> Tensor:
    """Mean squared error per pixel of each picture: (b, c, h, w) twice → (b,)."""
    return (made - real).square().mean((1, 2, 3))


def psnr(made: Tensor, real: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each picture in [-1, 1], in dB, at most 106: (b, c, h, w) twice → (b,)."""
    return 10 * torch.log10(4 / squared_error(made, real).clamp_min(1e-10))


def ssim(made: Tensor, real: Tensor) -> Tensor:
    """Structural similarity of each picture in [-1, 1], at most 1: (b, c, h, w) twice → (b,).

    By scikit-image's defaults: uniform windows of 7 × 7 pixels and sample covariances, the mean over channels. Wang et
    al. (2004) weigh windows of 11 × 11 by a Gaussian, which gives other figures.
    """
    pairs = zip(made.cpu().numpy(), real.cpu().numpy(), strict=True)
    return torch.tensor([float(structural_similarity(a, b, channel_axis=0, data_range=2.0)) for a, b in pairs])


def log_spectral_distance(made: Tensor, real: Tensor, db_range: float) -> Tensor:
    """Root mean square difference over the mels, mean over frames, of each log-mel in [-1, 1], in dB.

    (b, 1, mels, frames) twice → (b,). `db_range`: the decibels between -1 and 1.
    """
    difference = (made - real) * db_range / 2
    return (difference**2).mean(2).sqrt().mean((1, 2))


def gradient(pictures: Tensor) -> Tensor:
    """Mean magnitude of the gradient of each picture: (b, c, h, w) → float64 (b,).

    By differences to the next pixel below and to the right.
    """
    here = pictures[..., :-1, :-1]
    steps = torch.hypot(pictures[..., 1:, :-1] - here, pictures[..., :-1, 1:] - here)
    return steps.mean((1, 2, 3), dtype=torch.float64)


def high_frequency(pictures: Tensor) -> Tensor:
    """Mean square of what a 3 × 3 mean filter removes from each picture: (b, c, h, w) → float64 (b,)."""
    rest = pictures[..., 1:-1, 1:-1] - F.avg_pool2d(pictures, 3, stride=1)
    return rest.square().mean((1, 2, 3), dtype=torch.float64)


SHARPNESS = {"gradient": gradient, "high_frequency": high_frequency}


def sharpness(made: Tensor, real: Tensor) -> dict[str, np.ndarray]:
    """What the ratios of `sharpness_ratios` are made of: of each picture (b, c, h, w), and of each real one, (b,)."""
    shown = {"": made, "real_": real}
    return {f"{which}{name}": of(one).numpy() for name, of in SHARPNESS.items() for which, one in shown.items()}


def sharpness_ratios(measured: Mapping[str, np.ndarray]) -> dict[str, float]:
    """The gradient of pictures, in the mean, over that of real ones, and so their high frequencies.

    Below 1 edges are soft and textures blurred, above 1 there is noise. Zero where neither has any.
    """
    return {
        f"{name}_ratio": float(measured[name].mean() / max(measured[f"real_{name}"].mean(), 1e-10))
        for name in SHARPNESS
    }
