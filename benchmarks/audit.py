"""Does the audit find pairs that were spoiled? Of the training pairs a share has the sound of another one.

python -m benchmarks.audit [--shards FOLDER] [--steps N] [--json]

A tenth of the pairs is swapped among labels, and a tenth within a label, where kind tells nothing and pitch, size and
number alone do. All else is as in the stage: the areas under the ROC curves of the scores, of spoiled pairs of each
kind against those left alone, and the seconds that it took.
"""

import argparse
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor

from benchmarks import printing
from cycle_sound import paths
from cycle_sound.dataset import halves
from cycle_sound.dataset.reader import Split
from cycle_sound.evaluation import audit
from cycle_sound.models.dual_encoder import DualEncoder
from cycle_sound.params import MODALITIES, Modality, Params, SplitName, load
from cycle_sound.training import auditing
from cycle_sound.training.resume import Snapshot

SHARE = 0.1  # of the pairs, swapped in each way


class SwappedSounds(Split):
    """A split in which the sound of row i is that of row `sounds[i]`."""

    def __init__(self, folder: Path, split: SplitName, sounds: np.ndarray) -> None:
        super().__init__(folder, split)
        self._given, self._sounds = (folder, split, sounds), sounds

    def __reduce__(self) -> tuple[Any, ...]:
        return SwappedSounds, self._given

    def pictures(self, modality: Modality, rows: Iterable[int]) -> Tensor:
        """Pictures of the given rows, of audio those of other clips."""
        return super().pictures(modality, self._sounds[list(rows)].tolist() if modality == "audio" else rows)


def among_labels(labels: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """For rows, others of them with another label each: int64 (n,) twice → (n,). Raises ValueError for one label."""
    ordered = rows[np.argsort(labels[rows], kind="stable")]
    most = max(np.unique(labels[rows], return_counts=True)[1])
    if 2 * most > len(rows):
        raise ValueError("half of the pairs have one label")
    swapped = np.empty_like(rows)
    swapped[np.searchsorted(rows, ordered)] = np.roll(ordered, most)
    return swapped


def within_labels(labels: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """For rows, others of them with the same label each, where there are any: int64 (n,) twice → (n,)."""
    swapped = rows.copy()
    for label in np.unique(labels[rows]):
        same = np.flatnonzero(labels[rows] == label)
        swapped[same] = np.roll(rows[same], 1)
    return swapped


def spoiled(labels: np.ndarray, seed: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Whose sound each row has, int64 (n,), and the rows that were swapped in each way."""
    count = round(SHARE * len(labels))
    chosen = np.random.default_rng(seed).permutation(len(labels))
    rows = {"among_labels": np.sort(chosen[:count]), "within_labels": np.sort(chosen[count : 2 * count])}
    sounds = np.arange(len(labels))
    sounds[rows["among_labels"]] = among_labels(labels, rows["among_labels"])
    sounds[rows["within_labels"]] = within_labels(labels, rows["within_labels"])
    return sounds, {name: some[sounds[some] != some] for name, some in rows.items()}


def roc_auc(lower: np.ndarray, higher: np.ndarray) -> float:
    """The area under the ROC curve of scores that are to be lower, (m,), against others, (n,)."""
    ranks = rankdata(np.concatenate([higher, lower]))[: len(higher)]
    return float((ranks.sum() / len(higher) - (len(higher) + 1) / 2) / len(lower))


def measured(shards: Path, params: Params) -> dict[str, float]:
    """Audit a spoiled corpus."""
    whole = Split(shards, "train")
    sounds, swapped = spoiled(np.array(list(whole.labels)), params.seed)
    shifts = {modality: params.augment[modality] for modality in MODALITIES}
    train, valid = SwappedSounds(shards, "train", sounds), Split(shards, "valid")
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        half = halves.of_rows(shards, whole)

        def trained(learner: int) -> DualEncoder:
            rows, where = np.flatnonzero(half == learner), Path(folder) / str(learner)
            snapshot = Snapshot(where.with_suffix(".safetensors"), "")
            settings = params.audit, shifts, params.validation, params.seed
            return auditing.train((train, valid), rows, *settings, where.with_suffix(".csv"), snapshot)

        found = audit.cross_fitted(trained, train, half, params.audit.partners, params.seed)
    seconds = time.perf_counter() - begin
    alone = np.setdiff1d(np.arange(len(whole)), np.concatenate(list(swapped.values())))
    areas = {f"auc_{name}": roc_auc(found[rows], found[alone]) for name, rows in swapped.items()}
    return {"pairs": len(whole), **areas, "seconds": seconds, "threads": torch.get_num_threads()}


def main() -> None:
    """Print the figures, and with --json one object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=Path, default=paths.SHARDS)
    parser.add_argument("--steps", type=int, help="in place of those of params.yaml")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    params = load()
    optimizer = params.audit.optimizer.model_copy(update={"steps": asked.steps} if asked.steps else {})
    params = params.model_copy(update={"audit": params.audit.model_copy(update={"optimizer": optimizer})})
    printing.show(measured(asked.shards, params), asked.json)


if __name__ == "__main__":
    main()
