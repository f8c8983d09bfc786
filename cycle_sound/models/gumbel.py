"""The bottleneck of the discrete VAE: Gumbel-softmax over k codebooks (Jang et al. 2017, arXiv:1611.01144).

The latent at a position is split into k groups, each quantised by a codebook of its own. The logits are the cosine
similarity of a group and each code vector, times a learned scale. Tied to the codebook in this way they do not
collapse: a code near a latent is likely, whether or not it was used before.
"""

from math import log
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cycle_sound.nn import device, distributed
from cycle_sound.nn.rng import BatchRng


class Quantized(NamedTuple):
    """Latents passed through the codebooks."""

    vectors: Tensor  # (b, k × code_width, h, w): straight-through: one code forward, the relaxed mixture backward
    logits: Tensor  # (b, k, h, w, v), float32


class Gumbel(nn.Module):
    """k codebooks of v unit vectors each, and the relaxed choice among them."""

    def __init__(self, codebooks: int, codebook_size: int, code_width: int) -> None:
        super().__init__()
        self.codebooks = nn.Parameter(nn.init.normal_(torch.empty(codebooks, codebook_size, code_width)))
        self.scale = nn.Parameter(torch.tensor(log(10.0)))  # of the logits; cosines alone are too soft

    def codes(self) -> Tensor:
        """The code vectors, of unit length: (k, v, code_width)."""
        return F.normalize(self.codebooks, dim=2)

    def logits(self, latents: Tensor) -> Tensor:
        """Log-odds of each code, in float32: (b, k × code_width, h, w) → (b, k, h, w, v)."""
        with device.exact(latents.device):
            groups = latents.unflatten(1, (len(self.codebooks), -1)).movedim(2, -1).float()
            return F.normalize(groups, dim=-1) @ self.codes().float().mT[:, None] * self.scale.float().exp()

    def forward(self, latents: Tensor, temperature: float, noise: float, rng: BatchRng) -> Quantized:
        """Draw codes with Gumbel noise × `noise`, relaxed at `temperature`, straight-through."""
        logits = self.logits(latents)
        gumbel = -torch.log(-torch.log(rng.uniform(*logits.shape[1:]).clamp(1e-9, 1 - 1e-7)))
        soft = F.softmax((logits + noise * gumbel) / temperature, dim=-1)  # (b, k, h, w, v)
        hard = F.one_hot(soft.argmax(-1), soft.shape[-1]).to(soft.dtype)
        return Quantized(self.mix(hard + soft - soft.detach()), logits)

    def mix(self, weights: Tensor) -> Tensor:
        """Weighted codes: (b, k, h, w, v) → (b, k × code_width, h, w)."""
        mixed = weights @ self.codes().to(weights.dtype)[:, None]  # (b, k, h, w, code_width)
        return mixed.movedim(-1, 2).flatten(1, 2)

    def look_up(self, codes: Tensor) -> Tensor:
        """The vectors of codes: (b, k, h, w) → (b, k × code_width, h, w)."""
        groups = [F.embedding(one, vectors) for one, vectors in zip(codes.unbind(1), self.codes(), strict=True)]
        return torch.cat(groups, dim=-1).permute(0, 3, 1, 2)


def divergences(logits: Tensor) -> tuple[Tensor, Tensor]:
    """The KL to the uniform code distribution, split in two parts, each a mean in nats: (b, k, h, w, v) → (), ().

    First: from each position's distribution to the batch mean (how much a code tells); second: from that mean to the
    uniform distribution (how unevenly a codebook is used). Their sum is the usual KL term, which flattens every
    position to spread use; the second alone spreads use and leaves positions sharp. Both are averaged over the
    codebooks.
    """
    log_q = F.log_softmax(logits.transpose(0, 1).flatten(1, 3), dim=-1)  # (k, n, v)
    q = log_q.exp()
    log_mean = distributed.mean(q.mean(1)).clamp_min(1e-10).log()  # (k, v)
    per_code = (q * (log_q - log_mean[:, None])).sum(-1).mean()
    balance = (log_mean.exp() * log_mean).sum(-1).mean() + torch.log(torch.tensor(float(logits.shape[-1])))
    return per_code, balance
