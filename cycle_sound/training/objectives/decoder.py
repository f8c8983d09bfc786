"""What a decoder is fine-tuned for: pictures that a discriminator takes for real, of codes that no longer change.

Trained by squared errors alone, a decoder draws the mean of all pictures that its codes leave open, which is soft.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from cycle_sound.dataset.reader import Split
from cycle_sound.dataset.training_set import TrainingSet
from cycle_sound.models.dvae import Decoder, DiscreteVAE
from cycle_sound.nn import distributed, fidelity
from cycle_sound.nn.rng import BatchRng
from cycle_sound.params import DecoderConfig, Modality, ShiftConfig
from cycle_sound.training.objectives.discriminator import Discriminated, Discriminator
from cycle_sound.training.objectives.vae import Batch, ShiftedPictures, gradient_error, reconstruct


class Adversaries(nn.Module):
    """A decoder and its discriminator: one model, since one step trains both."""

    def __init__(self, decoder: Decoder, discriminator: Discriminator) -> None:
        super().__init__()
        self.decoder = decoder
        self.discriminator = discriminator

    def look_at_made(self, pictures: Tensor) -> Discriminated:
        """Look at pictures so that the gradient reaches them, but not the discriminator, which must not give in."""
        fixed = {name: weight.detach() for name, weight in self.discriminator.named_parameters()}
        seen: Discriminated = functional_call(self.discriminator, fixed, pictures)
        return seen


class DecoderObjective:
    """The errors that a VAE is trained by, hinge losses (Lim and Ye 2017, arXiv:1705.02894), and feature matching."""

    def __init__(
        self,
        model: Adversaries,
        vae: DiscreteVAE,
        modality: Modality,
        splits: tuple[Split | TrainingSet, Split],
        shift: ShiftConfig,
        config: DecoderConfig,
        validation_pairs: int,
    ) -> None:
        self.model = model
        self.vae = vae
        self.modality = modality
        train, self.valid = splits
        self.train = ShiftedPictures(train, modality, shift)
        self.config = config
        self.validation_pairs = validation_pairs

    def loss(self, batch: Batch, _step: int, _rng: BatchRng) -> Mapping[str, Tensor]:
        """Terms of one step; the loss is the decoder's and the discriminator's, each of which sees its own alone."""
        config, real = self.config, batch.pictures.contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            vectors = self.vae.gumbel.look_up(self.vae.encode(real))
        made = self.model.decoder(vectors)
        error, edges = F.mse_loss(made, real), gradient_error(made, real)
        seen: Discriminated = self.model.discriminator(torch.cat([real, made.detach()]))
        of_real, of_made = seen.logits.chunk(2)
        discriminator = F.relu(1 - of_real).mean() + F.relu(1 + of_made).mean()
        scored = self.model.look_at_made(made)
        matching = feature_distance(scored.features, [one.chunk(2)[0].detach() for one in seen.features])
        decoder = error + self.vae.config.gradient_weight * edges
        decoder = decoder - config.adversarial_weight * scored.logits.mean() + config.feature_weight * matching
        return {
            "loss": decoder + discriminator,
            "error": error,
            "gradient_error": edges,
            "feature_matching": matching,
            "discriminator": discriminator,
        }

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Error and sharpness on valid. No loss: an adversary's falls and rises, so the last decoder is kept."""
        assert isinstance(model, Adversaries)
        self.vae.decoder = model.decoder
        hard = reconstruct(self.vae, self.modality, self.valid, self.validation_pairs)
        return {"error": float(hard["error"].mean()), **fidelity.sharpness_ratios(hard)}


def feature_distance(made: list[Tensor], real: list[Tensor]) -> Tensor:
    """Mean over layers of the L1 distance of features, as a share of the real ones' mean size, of all processes
    (Défossez et al. 2022, arXiv:2210.13438, equation 6): lists of (b, c, h, w) → ().
    """
    sizes = distributed.mean(torch.stack([like.abs().mean() for like in real])).clamp_min(1e-6)
    distances = torch.stack([F.l1_loss(one, like) for one, like in zip(made, real, strict=True)])
    return (distances / sizes).mean()
