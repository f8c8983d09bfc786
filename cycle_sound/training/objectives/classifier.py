"""What a classifier is trained for: the labels of real pictures, shifted and degraded."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cycle_sound.dataset import augment
from cycle_sound.dataset.reader import Split
from cycle_sound.models.classifier import Classifier
from cycle_sound.nn import device
from cycle_sound.nn.rng import BatchRng
from cycle_sound.params import DegradationConfig, Modality, ShiftConfig


class Batch(NamedTuple):
    """What a step learns from."""

    pictures: Tensor  # (b, c, h, w) in [-1, 1]
    targets: Tensor  # (b,): places in the classifier's labels


class ClassifierObjective:
    """Cross-entropy with the labels. Clips without a label, or with one that the model does not know, play no part."""

    def __init__(
        self,
        model: Classifier,
        modality: Modality,
        splits: tuple[Split, Split],
        shift: ShiftConfig,
        degradation: DegradationConfig,
    ) -> None:
        self.model = model
        self.modality = modality
        self.train, self.valid = splits
        self.shift = shift
        self.degradation = degradation
        self._train_rows, self._valid_rows = (torch.from_numpy(split.labelled(model.labels)) for split in splits)

    @property
    def pairs(self) -> int:
        """How many labelled training clips there are."""
        return len(self._train_rows)

    def batch(self, rows: Tensor, rng: BatchRng) -> Batch:
        """Pictures of labelled training clips, shifted and degraded, with their labels. `rows`: (b,)."""
        pictures, targets = self._examples(self.train, self._train_rows[rows])
        shifted = augment.shifted(pictures, self.shift, rng)
        return Batch(augment.degrade(shifted, self.degradation, rng), targets)

    def loss(self, batch: Batch, _step: int, rng: BatchRng) -> Mapping[str, Tensor]:
        """Cross-entropy of one step, in nats."""
        return {"loss": self.model.loss(self.model(batch.pictures, rng), batch.targets)}

    @torch.inference_mode()
    def validate(self, model: nn.Module) -> dict[str, float]:
        """Cross-entropy and accuracy on the clips of valid with a known label; empty where there are none."""
        assert isinstance(model, Classifier)
        if not len(self._valid_rows):
            return {}
        pictures, targets = (one.to(device.of(model)) for one in self._examples(self.valid, self._valid_rows))
        logits = model(pictures)
        right = (logits.argmax(1) == targets).float().mean()
        return {"loss": float(model.loss(logits, targets)), "accuracy": float(right)}

    def _examples(self, split: Split, rows: Tensor) -> Batch:
        chosen = rows.tolist()
        targets = [self.model.labels.index(split.labels[row]) for row in chosen]
        return Batch(split.pictures(self.modality, chosen), torch.tensor(targets))
