"""What a discrete VAE is trained for: reconstruction through relaxed codes, validated by hard ones."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cycle_sound.dataset.augment import shifted
from cycle_sound.dataset.reader import Split
from cycle_sound.errors import CodebookCollapse
from cycle_sound.models.dvae import DiscreteVAE
from cycle_sound.models.gumbel import divergences
from cycle_sound.nn import device
from cycle_sound.nn.rng import BatchRng
from cycle_sound.params import Modality, ShiftConfig
from cycle_sound.training import fidelity, schedules
from cycle_sound.training.objectives.perceptual import Perceptual

BATCH = 100  # pictures at a time
MOST = 2000  # pictures of valid that a validation looks at


class Batch(NamedTuple):
    """What a step learns from."""

    pictures: Tensor  # (b, c, h, w) in [-1, 1]


class ShiftedPictures:
    """A `Source`: pictures of one modality, shifted."""

    def __init__(self, split: Split, modality: Modality, shift: ShiftConfig) -> None:
        self._split, self._modality, self._shift = split, modality, shift

    @property
    def pairs(self) -> int:
        """Pictures to learn from."""
        return len(self._split)

    def batch(self, rows: Tensor, rng: BatchRng) -> Batch:
        """Pictures, each shifted by its own numbers."""
        return Batch(shifted(self._split.pictures(self._modality, rows.tolist()), self._shift, rng))


class VaeObjective:
    """Squared errors of pixels and of gradients, the two halves of the KL, and optionally a perceptual distance."""

    def __init__(self, model: DiscreteVAE, modality: Modality, splits: tuple[Split, Split], shift: ShiftConfig) -> None:
        self.model = model
        self.modality = modality
        train, self.valid = splits
        self.train = ShiftedPictures(train, modality, shift)
        config = model.config
        self.perceptual = Perceptual(config.perceptual_weights) if config.perceptual_weight else None

    def loss(self, batch: Batch, step: int, rng: BatchRng) -> Mapping[str, Tensor]:
        """Terms of one step: errors per pixel, divergences per token in nats."""
        config = self.model.config
        pictures = batch.pictures.contiguous(memory_format=torch.channels_last)
        temperature = schedules.temperature(
            step, config.optimizer.steps, config.temperature_start, config.temperature_end
        )
        reconstruction = self.model(pictures, temperature, rng)
        error = F.mse_loss(reconstruction.pictures, pictures)
        edges = gradient_error(reconstruction.pictures, pictures)
        information, balance = divergences(reconstruction.logits)
        loss = error + config.gradient_weight * edges
        loss = loss + config.kl_weight * (information + balance) + config.balance_weight * balance
        terms = {"error": error, "gradient_error": edges, "information": information, "balance": balance}
        if self.perceptual is not None:
            terms["perceptual"] = self.perceptual(reconstruction.pictures, pictures)
            loss = loss + config.perceptual_weight * terms["perceptual"]
        return {"loss": loss, **terms}

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Hard reconstruction error and codebook use, on valid."""
        assert isinstance(model, DiscreteVAE)
        hard = reconstruct(model, self.modality, self.valid)
        use = fidelity.codebook_use(hard.codes, model.config.codebook_size)
        return {"loss": hard.error, "usage": use.usage, "perplexity": use.perplexity}


def gradient_error(reconstructed: Tensor, real: Tensor) -> Tensor:
    """Mean squared error of the differences of neighbouring pixels, of both axes together: (b, c, h, w) twice → ().

    With the error of the pixels it makes the squared Sobolev norm H¹ of what is missing: an error of the frequency f
    counts 1 + |f|² times, so edges, of which pixels alone say little, are not blurred away.
    """
    missing = reconstructed - real
    return missing.diff(dim=-1).square().mean() + missing.diff(dim=-2).square().mean()


class Hard(NamedTuple):
    """Pictures of a split, and their reconstructions through argmax codes."""

    real: Tensor  # (n, c, h, w)
    reconstructed: Tensor  # (n, c, h, w)
    codes: Tensor  # (n, k, rows, columns)

    @property
    def error(self) -> float:
        """Mean squared error per pixel."""
        return float(F.mse_loss(self.reconstructed, self.real))


@torch.inference_mode()
def reconstruct(model: DiscreteVAE, modality: Modality, split: Split) -> Hard:
    """Reconstruct up to `MOST` pictures of a split as they will be used: by their most likely codes."""
    pictures = split.pictures(modality, range(min(len(split), MOST)))
    codes = [model.encode(part.to(device.of(model))) for part in pictures.split(BATCH)]
    return Hard(pictures, torch.cat([model.decode(part).cpu() for part in codes]), torch.cat(codes).cpu())


def examine(model: DiscreteVAE, modality: Modality, valid: Split, db_range: float) -> dict[str, float]:
    """The figures of a trained VAE on valid. `db_range`: the decibels between -1 and 1 of a log-mel.

    Raises `CodebookCollapse`, with advice, where less than `min_usage` of any codebook occurs.
    """
    config, hard = model.config, reconstruct(model, modality, valid)
    use = fidelity.codebook_use(hard.codes, config.codebook_size)
    if use.least_usage < config.min_usage:
        raise CodebookCollapse(modality=modality, usage=use.least_usage, min_usage=config.min_usage)
    return {"usage": use.usage, "perplexity": use.perplexity, **likeness(hard, modality, db_range)}


def likeness(hard: Hard, modality: Modality, db_range: float) -> dict[str, float]:
    """How near reconstructions come to real pictures. `db_range`: the decibels between -1 and 1 of a log-mel."""
    pair = hard.reconstructed, hard.real
    figures = {"hard_error": hard.error, **fidelity.sharpness(*pair)}
    if modality == "audio":
        return {**figures, "log_spectral_distance": fidelity.log_spectral_distance(*pair, db_range)}
    return {**figures, "psnr": fidelity.psnr(*pair), "ssim": fidelity.ssim(*pair)}
