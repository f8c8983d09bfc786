"""How true a tokenizer is to what it encodes: pure functions of codes and of pictures, real and reconstructed."""

from typing import NamedTuple

import numpy as np
import torch
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
