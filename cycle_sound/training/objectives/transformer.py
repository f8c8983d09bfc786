"""What a transformer is trained for: the target's tokens given the source, and sources near their own targets."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cycle_sound.dataset import augment
from cycle_sound.dataset.feature_cache import FeatureCache
from cycle_sound.dataset.reader import Split
from cycle_sound.dataset.token_cache import TokenCache
from cycle_sound.models.transformer import Transformer
from cycle_sound.nn import device
from cycle_sound.nn.rng import BatchRng
from cycle_sound.params import AugmentConfig, Direction, Modality, source_of, target_of
from cycle_sound.training import validation


class SplitInputs(NamedTuple):
    """One split as a transformer sees it: pictures and tokens of source and target, and the source's features."""

    pictures: Split
    source: TokenCache
    target: TokenCache
    features: FeatureCache | None  # None: none are read


class Batch(NamedTuple):
    """What a step learns from."""

    source_inputs: Tensor  # (b, c, h, w) or (b, k or channels, rows, columns): what the model reads of the sources
    codes: Tensor  # (b, k, t): of the targets
    pictures: Tensor  # (b, c, h, w): the targets themselves


class TransformerObjective:
    """Cross-entropy, plus alignment × its weight, plus the reconstruction error through the VAE × its weight.

    `decode` makes pictures of weighted codes (b, k, rows, columns, v), as the target's tokenizer does; without it no
    reconstruction error is computed.
    """

    def __init__(
        self,
        model: Transformer,
        direction: Direction,
        splits: tuple[SplitInputs, SplitInputs],
        augments: AugmentConfig,
        validation_pairs: int,
        decode: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.model = model
        self.source, self.target = source_of(direction), target_of(direction)
        self.train, self.valid = splits
        self.augments = augments
        self.validation_pairs = validation_pairs
        self.decode = decode

    @property
    def pairs(self) -> int:
        """Pairs to learn from."""
        return len(self.train.target)

    def batch(self, rows: Tensor, rng: BatchRng) -> Batch:
        """Sources and targets of training pairs, both augmented."""
        codes = self.train.target.draw(rows, rng)
        pictures = self._augmented(self.target, rows, rng)
        if self.model.config.condition == "encoder":
            return Batch(self._augmented(self.source, rows, rng), codes, pictures)
        if self.train.features is not None:
            return Batch(self.train.features.draw(rows, rng), codes, pictures)
        return Batch(self._gridded(self.train.source.draw(rows, rng)), codes, pictures)

    def loss(self, batch: Batch, _step: int, rng: BatchRng) -> Mapping[str, Tensor]:
        """Terms of one step, in nats; the reconstruction error per pixel."""
        config, codes = self.model.config, batch.codes
        losses = self.model.losses(batch.source_inputs, codes, batch.pictures, rng)
        terms = {"cross_entropy": losses.cross_entropy, "alignment": losses.alignment}
        loss = losses.cross_entropy + config.alignment_weight * losses.alignment
        if self.decode is not None:
            terms["reconstruction"] = self._reconstruction(losses.logits, codes, self.decode)
            loss = loss + config.reconstruction_weight * terms["reconstruction"]
        return {"loss": loss, **terms}

    @torch.inference_mode()
    def validate(self, model: nn.Module) -> dict[str, float]:
        """Cross-entropy on valid, in nats per code, with the right sources and with shifted ones (the floor)."""
        assert isinstance(model, Transformer)

        def measure(batch: range) -> Mapping[str, np.ndarray]:
            rows = torch.tensor(batch)
            codes = self.valid.target.most_likely(rows).to(device.of(model))
            prefix = model.encode_source(self._source_inputs(rows).to(device.of(model)))
            given = {"loss": prefix, "shuffled": prefix.roll(1, dims=0)}
            losses = {name: -model.log_likelihood(one, codes) / codes[0].numel() for name, one in given.items()}
            return {name: values.double().cpu().numpy() for name, values in losses.items()}

        found = validation.measured(len(self.valid.target), self.validation_pairs, measure)
        return {name: float(values.mean()) for name, values in found.items()}

    def _source_inputs(self, rows: Tensor) -> Tensor:
        """What the model reads of the sources of valid, as they are."""
        if self.model.config.condition == "encoder":
            return self.valid.pictures.pictures(self.source, rows.tolist())
        if self.valid.features is not None:
            return self.valid.features.plain(rows)
        return self._gridded(self.valid.source.most_likely(rows))

    def _gridded(self, codes: Tensor) -> Tensor:
        """Codes of sources in their grid: (b, k, t) → (b, k, rows, columns)."""
        shape = self.model.shapes.source_codes
        return codes.unflatten(2, (shape.rows, shape.columns))

    def _augmented(self, modality: Modality, rows: Tensor, rng: BatchRng) -> Tensor:
        """Pictures of training rows, shifted and degraded: (b, c, h, w)."""
        pictures = self.train.pictures.pictures(modality, rows.tolist())
        return augment.degrade(augment.shifted(pictures, self.augments[modality], rng), self.augments.degradation, rng)

    def _reconstruction(self, logits: Tensor, codes: Tensor, decode: Callable[[Tensor], Tensor]) -> Tensor:
        """Squared error between the pictures of the predicted codes, straight-through, and of the true ones."""
        soft = F.softmax(logits.float(), dim=-1)  # (b, k, t, v)
        hard = F.one_hot(soft.argmax(-1), soft.shape[-1]).to(soft.dtype) + soft - soft.detach()
        true = F.one_hot(codes, soft.shape[-1]).to(soft.dtype)
        shape = self.model.shapes.target_codes
        grid = (shape.rows, shape.columns)
        with torch.no_grad():
            wanted = decode(true.unflatten(2, grid))
        return F.mse_loss(decode(hard.unflatten(2, grid)), wanted)
