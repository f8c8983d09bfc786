"""What a discrete VAE is trained for: reconstruction through relaxed codes, judged by hard ones."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cycle_sound import batches, device, metrics, schedules
from cycle_sound.batches import Draws
from cycle_sound.dvae import DiscreteVAE
from cycle_sound.gumbel import divergences
from cycle_sound.objectives.perceptual import Perceptual
from cycle_sound.params import Augment, Modality
from cycle_sound.shards import Split

BATCH = 100  # pictures at a time
MOST = 2000  # pictures of valid that a validation looks at


class CodebookCollapse(ValueError):
    """Too small a share of the codebook is in use."""


class Batch(NamedTuple):
    """What a step learns from."""

    pictures: Tensor  # (b, c, h, w) in [-1, 1]


class VaeObjective:
    """Mean squared error, the two halves of the KL, and optionally a perceptual distance."""

    def __init__(
        self, model: DiscreteVAE, modality: Modality, splits: tuple[Split, Split], augment: Augment, seed: int
    ) -> None:
        self.model = model
        self.modality = modality
        self.train, self.valid = splits
        self.augment = augment
        self.seed = seed
        config = model.config
        self.perceptual = Perceptual(config.perceptual_weights) if config.perceptual_weight else None

    @property
    def pairs(self) -> int:
        """Pairs to learn from."""
        return len(self.train)

    def batch(self, rows: Tensor, draws: Draws) -> Batch:
        """Training pictures, shifted."""
        pictures = self.train.pictures(self.modality, rows.tolist())
        return Batch(batches.shifted(pictures, self.augment, draws))

    def loss(self, batch: Batch, step: int, draws: Draws) -> Mapping[str, Tensor]:
        """Terms of one step: errors per pixel, divergences per token in nats."""
        config = self.model.config
        pictures = batch.pictures.contiguous(memory_format=torch.channels_last)
        heat = schedules.temperature(step, config.optimizer.steps, config.temperature_start, config.temperature_end)
        made = self.model(pictures, heat, draws)
        error = F.mse_loss(made.pictures, pictures)
        information, balance = divergences(made.logits)
        loss = error + config.kl_weight * (information + balance) + config.balance_weight * balance
        terms = {"error": error, "information": information, "balance": balance}
        if self.perceptual is not None:
            terms["perceptual"] = self.perceptual(made.pictures, pictures)
            loss = loss + config.perceptual_weight * terms["perceptual"]
        return {"loss": loss, **terms}

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Hard reconstruction error and codebook use, on valid."""
        assert isinstance(model, DiscreteVAE)
        hard = reconstruct(model, self.modality, self.valid)
        use = metrics.codebook_use(hard.tokens, model.config.codebook_size)
        error = float(F.mse_loss(hard.made, hard.real))
        return {"loss": error, "usage": use.usage, "perplexity": use.perplexity}


class Hard(NamedTuple):
    """Pictures of a split and what becomes of them through argmax tokens."""

    real: Tensor  # (n, c, h, w)
    made: Tensor  # (n, c, h, w)
    tokens: Tensor  # (n, rows, columns)


@torch.inference_mode()
def reconstruct(model: DiscreteVAE, modality: Modality, split: Split) -> Hard:
    """Reconstruct up to `MOST` pictures of a split as they will be used: by their most likely tokens."""
    pictures = split.pictures(modality, range(min(len(split), MOST)))
    tokens = [model.encode(part.to(device.of(model))) for part in pictures.split(BATCH)]
    return Hard(pictures, torch.cat([model.decode(part).cpu() for part in tokens]), torch.cat(tokens).cpu())


def examine(model: DiscreteVAE, modality: Modality, valid: Split, db_range: float) -> dict[str, float]:
    """The figures of a trained VAE on valid. `db_range`: the decibels between -1 and 1 of a log-mel.

    Raises `CodebookCollapse`, with advice, where less than `min_usage` of the codebook occurs.
    """
    hard = reconstruct(model, modality, valid)
    use = metrics.codebook_use(hard.tokens, model.config.codebook_size)
    if use.usage < model.config.min_usage:
        raise CodebookCollapse(
            f"vae.{modality}: {use.usage:.0%} of the codebook is in use, less than min_usage "
            f"{model.config.min_usage:.0%}. Raise balance_weight, lower codebook_size or learning_rate, or "
            "train for more steps"
        )
    figures = {"hard_error": float(F.mse_loss(hard.made, hard.real)), **use._asdict()}
    if modality == "audio":
        return {**figures, "log_spectral_distance": metrics.log_spectral_distance(hard.made, hard.real, db_range)}
    return {**figures, "psnr": metrics.psnr(hard.made, hard.real), "ssim": metrics.ssim(hard.made, hard.real)}
