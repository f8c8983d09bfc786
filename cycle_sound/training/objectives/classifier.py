"""What a classifier is trained for: the labels of real pictures, shifted and degraded."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from cycle_sound.dataset import augment
from cycle_sound.dataset.reader import Split
from cycle_sound.models.classifier import Classifier
from cycle_sound.nn import device
from cycle_sound.nn.rng import BatchRng
from cycle_sound.params import DegradationConfig, Modality, ShiftConfig
from cycle_sound.training import validation


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
        validation_pairs: int,
    ) -> None:
        self.model = model
        self.modality = modality
        self.train, self.valid = splits
        self.shift = shift
        self.degradation = degradation
        self.validation_pairs = validation_pairs
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
        return {"loss": self.model.loss(self.model(batch.pictures, rng), batch.targets).mean()}

    @torch.inference_mode()
    def validate(self, model: nn.Module) -> dict[str, float]:
        """Cross-entropy and accuracy on the clips of valid with a known label; empty where there are none."""
        assert isinstance(model, Classifier)
        if not len(self._valid_rows):
            return {}

        def measure(places: range) -> Mapping[str, np.ndarray]:
            examples = self._examples(self.valid, self._valid_rows[places.start : places.stop])
            pictures, targets = (one.to(device.of(model)) for one in examples)
            logits = model(pictures)
            each = {"loss": model.loss(logits, targets), "accuracy": logits.argmax(1) == targets}
            return {name: values.double().cpu().numpy() for name, values in each.items()}

        found = validation.measured(len(self._valid_rows), self.validation_pairs, measure)
        return {name: float(values.mean()) for name, values in found.items()}

    def _examples(self, split: Split, rows: Tensor) -> Batch:
        chosen = rows.tolist()
        targets = [self.model.labels.index(split.labels[row]) for row in chosen]
        return Batch(split.pictures(self.modality, chosen), torch.tensor(targets))
