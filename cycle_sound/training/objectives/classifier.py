"""What a classifier is trained for: the labels of real pictures, shifted and degraded."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cycle_sound.dataset import augment
from cycle_sound.dataset.reader import Split
from cycle_sound.dataset.training_set import TrainingSet
from cycle_sound.models.classifier import Classifier
from cycle_sound.nn import device
from cycle_sound.nn.rng import BatchRng
from cycle_sound.params import DegradationConfig, Modality, ShiftConfig
from cycle_sound.training import validation


class Batch(NamedTuple):
    """What a step learns from."""

    pictures: Tensor  # (b, c, h, w) in [-1, 1]
    targets: Tensor  # (b,): places in the classifier's labels


class LabelledPictures:
    """A `Source`: pictures of one modality, of the clips whose label is one of `labels`; the others play no part."""

    def __init__(
        self,
        split: Split | TrainingSet,
        modality: Modality,
        labels: list[str],
        shift: ShiftConfig,
        degradation: DegradationConfig,
    ) -> None:
        self._split, self._modality, self._labels = split, modality, labels
        self._shift, self._degradation = shift, degradation
        self._rows = split.labelled(labels)

    @property
    def pairs(self) -> int:
        """How many labelled clips there are."""
        return len(self._rows)

    def batch(self, rows: Tensor, rng: BatchRng) -> Batch:
        """Pictures, shifted and degraded, with their labels."""
        pictures, targets = self.plain(rows.tolist())
        shifted = augment.shifted(pictures, self._shift, rng)
        return Batch(augment.degrade(shifted, self._degradation, rng), targets)

    def plain(self, rows: Iterable[int]) -> Batch:
        """Pictures as they are, with their labels. `rows`: each in 0 … pairs - 1."""
        chosen = [int(self._rows[row]) for row in rows]
        targets = [self._labels.index(self._split.labels[row]) for row in chosen]
        return Batch(self._split.pictures(self._modality, chosen), torch.tensor(targets))


class ClassifierObjective:
    """Cross-entropy with the labels that the model knows, of which a share is spread over all: label smoothing."""

    def __init__(
        self,
        model: Classifier,
        modality: Modality,
        splits: tuple[Split | TrainingSet, Split],
        shift: ShiftConfig,
        degradation: DegradationConfig,
        *,
        label_smoothing: float,
        validation_pairs: int,
    ) -> None:
        self.model, self.label_smoothing = model, label_smoothing
        self.train, self.valid = (
            LabelledPictures(split, modality, model.labels, shift, degradation) for split in splits
        )
        self.validation_pairs = validation_pairs

    def loss(self, batch: Batch, _step: int, rng: BatchRng) -> Mapping[str, Tensor]:
        """Cross-entropy of one step, in nats."""
        return {"loss": self._each(self.model(batch.pictures, rng), batch.targets).mean()}

    @torch.inference_mode()
    def validate(self, model: nn.Module) -> dict[str, float]:
        """Cross-entropy and accuracy on the clips of valid with a known label; empty where there are none."""
        assert isinstance(model, Classifier)
        if not self.valid.pairs:
            return {}

        def measure(places: range) -> Mapping[str, np.ndarray]:
            pictures, targets = (one.to(device.of(model)) for one in self.valid.plain(places))
            logits = model(pictures)
            each = {"loss": self._each(logits, targets), "accuracy": logits.argmax(1) == targets}
            return {name: values.cpu().double().numpy() for name, values in each.items()}

        found = validation.measured(self.valid.pairs, self.validation_pairs, measure)
        return {name: float(values.mean()) for name, values in found.items()}

    def _each(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The smoothed cross-entropy of each picture, in nats: logits (b, labels), places of labels (b,) → (b,)."""
        return F.cross_entropy(logits, targets, label_smoothing=self.label_smoothing, reduction="none")
