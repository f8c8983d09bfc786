"""The dual encoder of one half of the training pairs, which judges the other half."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cycle_sound.dataset.reader import Split
from cycle_sound.models.dual_encoder import DualEncoder
from cycle_sound.nn import device
from cycle_sound.params import MODALITIES, AuditConfig, Modality, ShiftConfig, ValidationConfig
from cycle_sound.training.loop import Curve, fit
from cycle_sound.training.objectives.dual_encoder import DualEncoderObjective
from cycle_sound.training.resume import Snapshot


def train(
    splits: tuple[Split, Split],
    rows: np.ndarray,
    config: AuditConfig,
    shifts: Mapping[Modality, ShiftConfig],
    validation: ValidationConfig,
    curve: Path,
    snapshot: Snapshot,
    *,
    seed: int,
    workers: int,
) -> DualEncoder:
    """A model that has learned from some rows of the first split, and was looked at on the second.

    All that is random comes from `seed`; `workers` processes make the batches. The snapshot is the caller's to discard:
    until then the same call gives the same model at once.
    """
    device.prepare(seed)
    channels = {modality: splits[0].shape(modality)[0] for modality in MODALITIES}
    model = DualEncoder(config, channels).to(device.best())
    objective = DualEncoderObjective(model, splits, rows, shifts, validation.pairs)
    fit(model, objective, config.optimizer, seed, Curve(curve), snapshot, workers=workers)
    return model
