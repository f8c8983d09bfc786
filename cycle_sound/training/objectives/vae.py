"""What a discrete VAE is trained for: reconstruction through relaxed codes, validated by hard ones."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cycle_sound.dataset.augment import shifted
from cycle_sound.dataset.reader import Split
from cycle_sound.dataset.training_set import TrainingSet
from cycle_sound.errors import CodebookCollapse
from cycle_sound.models.dvae import DiscreteVAE
from cycle_sound.models.gumbel import divergences
from cycle_sound.nn import device, fidelity
from cycle_sound.nn.fidelity import CodebookUse
from cycle_sound.nn.measures import Measures
from cycle_sound.nn.rng import BatchRng
from cycle_sound.params import Modality, ShiftConfig
from cycle_sound.training import schedules, validation
from cycle_sound.training.objectives.perceptual import Perceptual

Measure = Callable[[Tensor, Tensor], Mapping[str, np.ndarray]]  # of made and real pictures (b, c, h, w): (b,) each


class Batch(NamedTuple):
    """What a step learns from."""

    pictures: Tensor  # (b, c, h, w) in [-1, 1]


class ShiftedPictures:
    """A `Source`: pictures of one modality, shifted."""

    def __init__(self, split: Split | TrainingSet, modality: Modality, shift: ShiftConfig) -> None:
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

    def __init__(
        self,
        model: DiscreteVAE,
        modality: Modality,
        splits: tuple[Split | TrainingSet, Split],
        shift: ShiftConfig,
        validation_pairs: int,
    ) -> None:
        self.model = model
        self.modality = modality
        train, self.valid = splits
        self.train = ShiftedPictures(train, modality, shift)
        self.validation_pairs = validation_pairs
        config = model.config
        self.perceptual: Perceptual | None = None
        if config.perceptual_weight:
            self.perceptual = Perceptual(config.perceptual_weights).to(device.of(model))

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
        hard = reconstruct(model, self.modality, self.valid, self.validation_pairs)
        use = codebook_use(model, hard)
        return {"loss": float(hard["error"].mean()), "usage": use.usage, "perplexity": use.perplexity}


def gradient_error(reconstructed: Tensor, real: Tensor) -> Tensor:
    """Mean squared error of the differences of neighbouring pixels, of both axes together: (b, c, h, w) twice → ().

    With the error of the pixels it makes the squared Sobolev norm H¹ of what is missing: an error of the frequency f
    counts 1 + |f|² times, so edges, of which pixels alone say little, are not blurred away.
    """
    missing = reconstructed - real
    return missing.diff(dim=-1).square().mean() + missing.diff(dim=-2).square().mean()


@torch.inference_mode()
def reconstruct(
    model: DiscreteVAE, modality: Modality, valid: Split, pairs: int, measure: Measure = fidelity.sharpness
) -> Measures:
    """Reconstruct the first `pairs` pictures of valid as they will be used: by their most likely codes.

    Returns the `codes` (n, k, rows, columns), the `error` per pixel (n,), and what else is measured.
    """

    def measured(rows: range) -> Mapping[str, np.ndarray]:
        real = valid.pictures(modality, rows)
        codes = model.encode(real.to(device.of(model)))
        made = model.decode(codes).cpu()
        error = fidelity.squared_error(made, real)
        return {"codes": codes.cpu().numpy(), "error": error.double().numpy(), **measure(made, real)}

    return validation.measured(len(valid), pairs, measured)


def codebook_use(model: DiscreteVAE, hard: Measures) -> CodebookUse:
    """How much of a model's codebooks is in use in what `reconstruct` has returned."""
    return fidelity.codebook_use(torch.from_numpy(hard["codes"]), model.config.codebook_size)


def expected_usage(model: DiscreteVAE, hard: Measures) -> float:
    """The mean fraction of a codebook that occurs where all its codes are equally likely: few places hold few."""
    places = hard["codes"][:, 0].size
    return float(1 - (1 - 1 / model.config.codebook_size) ** places)


def examine(model: DiscreteVAE, modality: Modality, valid: Split, pairs: int, db_range: float) -> dict[str, float]:
    """The figures of a trained VAE on the first `pairs` of valid.

    `db_range`: the decibels between -1 and 1 of a log-mel. Raises `CodebookCollapse`, with advice, where less than
    `min_usage` of what can be expected of any codebook occurs.
    """
    hard = reconstruct(model, modality, valid, pairs, likeness(modality, db_range))
    use, least = codebook_use(model, hard), model.config.min_usage * expected_usage(model, hard)
    if use.least_usage < least:
        raise CodebookCollapse(modality=modality, usage=use.least_usage, least=least)
    return {"usage": use.usage, "perplexity": use.perplexity, **figures(hard)}


def likeness(modality: Modality, db_range: float) -> Measure:
    """How near reconstructions come to real pictures. `db_range`: the decibels between -1 and 1 of a log-mel."""

    def measure(made: Tensor, real: Tensor) -> dict[str, np.ndarray]:
        if modality == "audio":
            means = {"log_spectral_distance": fidelity.log_spectral_distance(made, real, db_range)}
        else:
            means = {"psnr": fidelity.psnr(made, real), "ssim": fidelity.ssim(made, real)}
        return fidelity.sharpness(made, real) | {name: values.double().numpy() for name, values in means.items()}

    return measure


def figures(hard: Measures) -> dict[str, float]:
    """The means of what `likeness` has measured."""
    means = [name for name in ("log_spectral_distance", "psnr", "ssim") if name in hard]
    return {
        "hard_error": float(hard["error"].mean()),
        **fidelity.sharpness_ratios(hard),
        **{name: float(hard[name].mean()) for name in means},
    }
