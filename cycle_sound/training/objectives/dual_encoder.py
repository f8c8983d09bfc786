"""What a dual encoder is trained for: each sound nearer to its own picture than to others, and each picture so.

Of a batch of many pairs several have one label, and these teach what tells apart within it.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cycle_sound.dataset import augment
from cycle_sound.dataset.reader import Split
from cycle_sound.models.dual_encoder import DualEncoder
from cycle_sound.nn import device
from cycle_sound.nn.rng import BatchRng
from cycle_sound.params import Modality, ShiftConfig
from cycle_sound.training import validation


class Batch(NamedTuple):
    """What a step learns from: b pairs in [-1, 1]."""

    images: Tensor  # (b, 3, h, w)
    audios: Tensor  # (b, 1, mels, frames)
    clips: Tensor  # (b,) int64: the rows that they are; a small half may give a batch one of them twice


class ShiftedPairs:
    """A `Source`: some pairs of a split, both sides shifted."""

    def __init__(self, split: Split, rows: np.ndarray, shifts: Mapping[Modality, ShiftConfig]) -> None:
        """`rows`: those of the split that there are to learn from, int64 (n,)."""
        self._split, self._rows, self._shifts = split, rows, shifts

    @property
    def pairs(self) -> int:
        """How many there are."""
        return len(self._rows)

    def batch(self, rows: Tensor, rng: BatchRng) -> Batch:
        """Pairs by their places among them, each in 0 … pairs - 1."""
        chosen = self._rows[rows.numpy()].tolist()

        def shifted(modality: Modality) -> Tensor:
            return augment.shifted(self._split.pictures(modality, chosen), self._shifts[modality], rng)

        return Batch(shifted("image"), shifted("audio"), torch.tensor(chosen))


class DualEncoderObjective:
    """InfoNCE within the batch, both ways."""

    def __init__(
        self,
        model: DualEncoder,
        splits: tuple[Split, Split],
        rows: np.ndarray,
        shifts: Mapping[Modality, ShiftConfig],
        validation_pairs: int,
    ) -> None:
        """`rows`: of the first split, what to learn from; the second is what validations look at."""
        self.model = model
        train, self.valid = splits
        self.train = ShiftedPairs(train, rows, shifts)
        self.validation_pairs = validation_pairs

    def loss(self, batch: Batch, _step: int, _rng: BatchRng) -> Mapping[str, Tensor]:
        """InfoNCE of one step, in nats."""
        return {"loss": self.model(*batch)}

    @torch.inference_mode()
    def validate(self, model: nn.Module) -> dict[str, float]:
        """InfoNCE on valid, in nats, within parts of `validation.BATCH` pairs; none of a single pair: it would be 0."""
        assert isinstance(model, DualEncoder)
        if min(len(self.valid), self.validation_pairs) < 2:
            return {}
        where = device.of(model)

        def measure(rows: range) -> Mapping[str, np.ndarray]:
            with device.autocast(where):
                vectors = [model.embed(one, self.valid.pictures(one, rows).to(where)) for one in ("image", "audio")]
            logits, own = model.logits(*vectors), torch.arange(len(rows), device=where)
            both = torch.stack([F.cross_entropy(one, own, reduction="none") for one in (logits, logits.T)])
            return {"loss": both.mean(0).cpu().double().numpy()}

        return {"loss": float(validation.measured(len(self.valid), self.validation_pairs, measure)["loss"].mean())}
