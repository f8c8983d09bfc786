"""How true pictures are to real ones, made by a tokenizer or drawn: pure functions of codes and of pictures."""

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


def psnr(reconstructed: Tensor, real: Tensor) -> float:
    """Mean peak signal-to-noise ratio of pictures (b, c, h, w) in [-1, 1], in dB; at most 106."""
    errors = ((reconstructed - real) ** 2).mean((1, 2, 3)).clamp_min(1e-10)
    return float((10 * torch.log10(4 / errors)).mean())


def ssim(reconstructed: Tensor, real: Tensor) -> float:
    """Mean structural similarity (Wang et al. 2004) of pictures (b, c, h, w) in [-1, 1]: at most 1."""
    pairs = zip(reconstructed.cpu().numpy(), real.cpu().numpy(), strict=True)
    return float(np.mean([structural_similarity(a, b, channel_axis=0, data_range=2.0) for a, b in pairs]))


def log_spectral_distance(reconstructed: Tensor, real: Tensor, db_range: float) -> float:
    """Root mean square difference over the mels, mean over frames, in dB: log-mels (b, 1, mels, frames) in [-1, 1].

    `db_range`: the decibels between -1 and 1.
    """
    difference = (reconstructed - real) * db_range / 2
    return float((difference**2).mean(2).sqrt().mean())


def gradient_ratio(made: Tensor, real: Tensor) -> float:
    """Mean magnitude of the gradient of pictures (b, c, h, w), over that of real ones: below 1 edges are soft.

    By differences to the next pixel below and to the right. Zero where neither has any.
    """
    return _gradient(made) / max(_gradient(real), 1e-10)


def high_frequency_ratio(made: Tensor, real: Tensor) -> float:
    """Mean square of what a mean over 3 × 3 pixels takes from pictures (b, c, h, w), over that of real ones.

    Below 1 textures and edges are blurred, above 1 there is noise. Zero where neither has any.
    """
    return _high_frequency(made) / max(_high_frequency(real), 1e-10)


def sharpness(made: Tensor, real: Tensor) -> dict[str, float]:
    """Both ratios as figures."""
    return {
        "gradient_ratio": gradient_ratio(made, real),
        "high_frequency_ratio": high_frequency_ratio(made, real),
    }


def _gradient(pictures: Tensor) -> float:
    here = pictures[..., :-1, :-1]
    steps = torch.hypot(pictures[..., 1:, :-1] - here, pictures[..., :-1, 1:] - here)
    return float(steps.mean(dtype=torch.float64))


def _high_frequency(pictures: Tensor) -> float:
    rest = pictures[..., 1:-1, 1:-1] - F.avg_pool2d(pictures, 3, stride=1)
    return float(rest.square().mean(dtype=torch.float64))
