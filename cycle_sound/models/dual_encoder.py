"""A dual encoder of sounds and pictures: one encoder per modality, into a shared space (CLIP: Radford et al. 2021).

It is trained by InfoNCE. The scaled dot product of a sound's and a picture's vectors then estimates their pointwise
mutual information, in nats, up to a term for each of the two alone (van den Oord et al. 2018, arXiv:1807.03748).
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from cycle_sound.models.contrastive import alignment, first_log_scale, scale_of
from cycle_sound.models.source_encoder import Summary
from cycle_sound.nn.blocks import feature_extractor
from cycle_sound.params import FOLDED, MODALITIES, AuditConfig, Modality


class PlacedEncoder(nn.Module):
    """Pictures → vectors of unit length. Coordinates are input channels, since pitch is a position in a log-mel."""

    def __init__(self, channels: int, width: int, downsamples: int, embedding: int) -> None:
        super().__init__()
        self.fold = nn.PixelUnshuffle(FOLDED)  # full resolution would cost more than all the rest
        self.stack, wider = feature_extractor(FOLDED**2 * channels + 2, width, downsamples)
        self.to_embedding = Summary(wider, embedding)

    def forward(self, pictures: Tensor) -> Tensor:
        """(b, channels, h, w) → (b, embedding)."""
        folded = self.fold(pictures)
        rows, columns = (torch.linspace(-1, 1, side, device=folded.device) for side in folded.shape[2:])
        places = torch.stack(torch.meshgrid(rows, columns, indexing="ij")).expand(len(folded), -1, -1, -1)
        return self.to_embedding(self.stack(torch.cat([folded, places], dim=1)).flatten(2).transpose(1, 2))


class DualEncoder(nn.Module):
    """Pictures of either modality → vectors in one space."""

    def __init__(self, config: AuditConfig, channels: Mapping[Modality, int]) -> None:
        """`channels`: of the pictures of each modality."""
        super().__init__()
        self.encoders = nn.ModuleDict(
            {
                modality: PlacedEncoder(channels[modality], config.width, config.downsamples, config.embedding)
                for modality in MODALITIES
            }
        )
        self.log_scale = first_log_scale()

    @property
    def scale(self) -> Tensor:
        """The learned factor that turns cosines into nats: (1,)."""
        return scale_of(self.log_scale)

    def embed(self, modality: Modality, pictures: Tensor) -> Tensor:
        """(b, c, h, w) → (b, d), of unit length."""
        return self.encoders[modality](pictures)

    def forward(self, images: Tensor, audios: Tensor, clips: Tensor) -> Tensor:
        """InfoNCE of pairs, both ways: (b, 3, h, w), (b, 1, mels, frames), and their clips, int64 (b,) → () nats."""
        return alignment(self.embed("image", images), self.embed("audio", audios), self.scale, clips=clips)

    def logits(self, images: Tensor, audios: Tensor) -> Tensor:
        """How well each of m pictures goes with each of n sounds, both as vectors: (m, d), (n, d) → (m, n) nats."""
        return images.float() @ audios.float().T * self.scale


def pointwise_mutual_information(own: Tensor, others: Tensor) -> Tensor:
    """By how many nats a thing's own partner explains it better than others do in the mean: (n,), (n, m) → (n,).

    The estimate of log p(x, y) / p(x) p(y) that belongs to InfoNCE; what stands for no partner is -inf in `others`.
    """
    count = others.isfinite().sum(1)
    return own - (others.logsumexp(1) - count.log())
