"""The bottleneck of the discrete VAE: Gumbel-softmax over a codebook (Jang et al. 2017, arXiv:1611.01144).

The logits are the cosine between a latent and each code vector, times a learned scale. Tied to the codebook like this
they do not collapse: a code that is near a latent is likely, whether or not it was used before.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cycle_sound import device, distributed
from cycle_sound.batches import Draws


class Quantized(NamedTuple):
    """Latents passed through the codebook."""

    vectors: Tensor  # (b, code_width, h, w): straight-through: one code forward, the relaxed mixture backward
    logits: Tensor  # (b, h, w, v), float32


class Gumbel(nn.Module):
    """A codebook of unit vectors and the relaxed choice among them."""

    def __init__(self, codebook_size: int, code_width: int) -> None:
        super().__init__()
        self.codebook = nn.Parameter(torch.randn(codebook_size, code_width))
        self.scale = nn.Parameter(torch.tensor(10.0).log())  # of the logits; cosines alone are too soft

    def codes(self) -> Tensor:
        """The code vectors, of unit length: (v, code_width)."""
        return F.normalize(self.codebook, dim=1)

    def logits(self, latents: Tensor) -> Tensor:
        """Log-odds of each code, in float32: (b, code_width, h, w) → (b, h, w, v)."""
        with device.exact(latents.device):
            unit = F.normalize(latents.permute(0, 2, 3, 1).float(), dim=-1)
            return unit @ self.codes().float().T * self.scale.float().exp()

    def forward(self, latents: Tensor, temperature: float, noise: float, draws: Draws) -> Quantized:
        """Draw codes with Gumbel noise × `noise`, relaxed at `temperature`, straight-through."""
        logits = self.logits(latents)
        gumbel = -torch.log(-torch.log(draws.uniform(*logits.shape[1:]).clamp(1e-9, 1 - 1e-7)))
        soft = F.softmax((logits + noise * gumbel) / temperature, dim=-1)  # (b, h, w, v)
        hard = F.one_hot(soft.argmax(-1), soft.shape[-1]).to(soft.dtype)
        return Quantized(self.mix(hard + soft - soft.detach()), logits)

    def mix(self, weights: Tensor) -> Tensor:
        """Weighted codes: (b, h, w, v) → (b, code_width, h, w)."""
        return (weights @ self.codes().to(weights.dtype)).permute(0, 3, 1, 2)

    def look_up(self, tokens: Tensor) -> Tensor:
        """The codes of tokens: (b, h, w) → (b, code_width, h, w)."""
        return F.embedding(tokens, self.codes()).permute(0, 3, 1, 2)


def divergences(logits: Tensor) -> tuple[Tensor, Tensor]:
    """The KL to the uniform code distribution, split in two parts, each a mean in nats: (b, h, w, v) → (), ().

    First: per token, to the mean over the batch (how much a token says); second: of that mean, to the uniform
    distribution (how unevenly the codebook is used). Their sum is the usual KL term, which flattens every position to
    spread use; apart, the second spreads use and leaves the positions sharp.
    """
    log_q = F.log_softmax(logits.flatten(0, 2), dim=-1)  # (n, v)
    q = log_q.exp()
    log_mean = distributed.mean(q.mean(0)).clamp_min(1e-10).log()
    per_token = (q * (log_q - log_mean)).sum(-1).mean()
    balance = (log_mean.exp() * log_mean).sum() + torch.log(torch.tensor(float(logits.shape[-1])))
    return per_token, balance
