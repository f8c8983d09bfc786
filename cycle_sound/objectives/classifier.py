"""What a classifier is trained for: the labels of real, shifted pictures."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cycle_sound import batches, device
from cycle_sound.batches import Draws
from cycle_sound.classifier import Classifier
from cycle_sound.params import Augments, Modality
from cycle_sound.shards import Split


class Batch(NamedTuple):
    """What a step learns from."""

    pictures: Tensor  # (b, c, h, w) in [-1, 1]
    targets: Tensor  # (b,): places in the classifier's labels


class ClassifierObjective:
    """Cross-entropy with the labels."""

    def __init__(
        self, model: Classifier, modality: Modality, splits: tuple[Split, Split], augments: Augments, seed: int
    ) -> None:
        self.model = model
        self.modality = modality
        self.train, self.valid = splits
        self.augments = augments
        self.seed = seed

    @property
    def pairs(self) -> int:
        """Pairs to learn from."""
        return len(self.train)

    def batch(self, rows: Tensor, draws: Draws) -> Batch:
        """Training pictures, shifted and worn, with their labels."""
        pictures = self.train.pictures(self.modality, rows.tolist())
        shifted = batches.shifted(pictures, self.augments[self.modality], draws)
        return Batch(batches.worn(shifted, self.augments.wear, draws), self._targets(self.train, rows.tolist()))

    def loss(self, batch: Batch, _step: int, _draws: Draws) -> Mapping[str, Tensor]:
        """Cross-entropy of one step, in nats."""
        return {"loss": self.model.loss(batch.pictures, batch.targets)}

    @torch.inference_mode()
    def validate(self, model: nn.Module) -> dict[str, float]:
        """Cross-entropy and accuracy on the labelled clips of valid."""
        assert isinstance(model, Classifier)
        known = [row for row, label in enumerate(self.valid.labels) if label in self.model.labels]
        if not known:
            return {"loss": 0.0, "accuracy": 0.0}
        pictures = self.valid.pictures(self.modality, known).to(device.of(model))
        targets = self._targets(self.valid, known).to(device.of(model))
        right = (model(pictures).argmax(1) == targets).float().mean()
        return {"loss": float(model.loss(pictures, targets)), "accuracy": float(right)}

    def _targets(self, split: Split, rows: list[int]) -> Tensor:
        return torch.tensor([self.model.labels.index(split.labels[row]) for row in rows])
