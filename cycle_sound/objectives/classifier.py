"""What a classifier is trained for: the labels of real, shifted pictures."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from cycle_sound import batches, device
from cycle_sound.classifier import Classifier
from cycle_sound.params import Augments, Modality
from cycle_sound.shards import Split


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

    def loss(self, step: int, generator: torch.Generator) -> Mapping[str, Tensor]:
        """Cross-entropy of one step, in nats."""
        rows = batches.rows(step, len(self.train), self.model.config.optimizer.batch_size, self.seed).tolist()
        pictures = self.train.pictures(self.modality, rows).to(generator.device)
        pictures = batches.shifted(pictures, self.augments[self.modality], generator)
        pictures = batches.worn(pictures, self.augments.wear, generator)
        return {"loss": self.model.loss(pictures, self._targets(self.train, rows).to(generator.device))}

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
