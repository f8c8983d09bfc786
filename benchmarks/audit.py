"""Does the audit find pairs that were spoiled? Of the training pairs a share has the sound of another one.

python -m benchmarks.audit [--data FOLDER] [--steps N] [--regain DIRECTION] [--json]

A tenth of the pairs is swapped among labels, and a tenth within a label, where kind tells nothing and pitch, size and
number alone do. All else is as in the stage: the areas under the ROC curves of the scores, of spoiled pairs of each
kind against those left alone, and the seconds that it took. FOLDER is the data/ of a project that has been built.

With --regain a transformer of the direction is trained three times, in N steps: on the pairs as they are, on the
spoiled ones, and on these without the worst by the audit, as many as were spoiled. Cross-entropy on valid, in nats per
code, and how much of what spoiling cost comes back.
"""

import argparse
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import printing
from cycle_sound import paths
from cycle_sound.dataset import dropping, halves, pairing
from cycle_sound.dataset.reader import Split, read_index
from cycle_sound.dataset.token_cache import TokenCache
from cycle_sound.evaluation import audit, metrics
from cycle_sound.io import files
from cycle_sound.io.params_file import load
from cycle_sound.models import transformer
from cycle_sound.models.dual_encoder import DualEncoder
from cycle_sound.models.loading import load_tokenizer
from cycle_sound.nn import device
from cycle_sound.nn.rng import BatchRng
from cycle_sound.params import (
    DIRECTIONS,
    MODALITIES,
    Direction,
    Modality,
    Params,
    SplitName,
    source_of,
    target_of,
)
from cycle_sound.training import auditing
from cycle_sound.training.loop import Curve, fit
from cycle_sound.training.objectives.transformer import AugmentedPairs, SplitInputs, TransformerObjective
from cycle_sound.training.resume import Snapshot

SHARE = 0.1  # of the pairs, swapped in each way


class SwappedTokens(TokenCache):
    """Tokens of sounds, those of row i of row `sounds[i]`."""

    def __init__(self, given: tuple[Any, ...], sounds: np.ndarray) -> None:
        super().__init__(*given)
        self._all, self._sounds = (given, sounds), torch.from_numpy(sounds)

    def __reduce__(self) -> tuple[Any, ...]:
        return SwappedTokens, self._all

    def draw(self, rows: Tensor, rng: BatchRng) -> Tensor:
        """Codes of any view of each clip: (b,) → (b, k, t) int64."""
        return super().draw(self._sounds[rows], rng)


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


def spoiled_scores(shards: Path, sounds: np.ndarray, params: Params) -> np.ndarray:
    """What the audit finds of every training pair of a corpus with so swapped sounds: float64 (n,)."""
    shifts = {modality: params.augment[modality] for modality in MODALITIES}
    train, valid = SwappedSounds(shards, "train", sounds), Split(shards, "valid")
    half = halves.of_rows(shards, train)
    with tempfile.TemporaryDirectory() as folder:

        def trained(learner: int) -> DualEncoder:
            rows, where = np.flatnonzero(half == learner), Path(folder) / str(learner)
            configs, curve = (params.audit, shifts, params.validation), where.with_suffix(".csv")
            snapshot = Snapshot(where.with_suffix(".safetensors"), "")
            return auditing.train((train, valid), rows, *configs, curve, snapshot, seed=params.seed, workers=0)

        return audit.cross_fitted(trained, train, half, params.audit.partners, params.seed)


def found(scores: np.ndarray, swapped: Mapping[str, np.ndarray]) -> dict[str, float]:
    """The areas under the ROC curves: how often a row left alone scores higher than one swapped in each way."""
    alone = np.setdiff1d(np.arange(len(scores)), np.concatenate(list(swapped.values())))
    kinds = {name: np.concatenate([alone, rows]) for name, rows in swapped.items()}
    return {f"auc_{name}": metrics.roc_area(scores[rows], np.isin(rows, alone)).value for name, rows in kinds.items()}


def cross_entropy(
    direction: Direction, data: Path, sounds: np.ndarray, scores: np.ndarray, share: float, steps: int, params: Params
) -> float:
    """On valid, in nats per code, of a transformer trained on swapped pairs without a share of them, the worst."""
    vaes = {modality: load_tokenizer(paths.vae(modality, data), device.best()) for modality in MODALITIES}
    folder = data / paths.SHARDS.name
    shards = read_index(folder).digest

    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        dropping.write_scores(work / "audit", scores, shards)
        lines = (one._asdict() for one in audit.table(Split(folder, "train"), scores, np.zeros(len(scores))))
        files.write_csv(work / "audit" / dropping.TABLE, lines)
        dropping.drop(work / "audit", work / "kept", share)

        def inputs(split: SplitName) -> SplitInputs:
            given = {one: (data / "tokens" / one, split, vaes[one].digest, shards) for one in MODALITIES}
            tokens = {one: TokenCache(*given[one]) for one in MODALITIES}
            pictures, left = Split(data / paths.SHARDS.name, split), None
            if split == "train":
                pictures, left = (
                    SwappedSounds(data / paths.SHARDS.name, split, sounds),
                    pairing.of(work / "kept", shards),
                )
                tokens["audio"] = SwappedTokens(given["audio"], sounds)
            return SplitInputs(pictures, tokens[source_of(direction)], tokens[target_of(direction)], None, left)

        source, target = vaes[source_of(direction)], vaes[target_of(direction)]
        shapes = transformer.Shapes(source.codes, source.picture, target.codes, target.picture)
        device.prepare(params.seed)
        config = params.transformer[direction]
        model = transformer.Transformer(config, shapes).to(device.best())
        pairs = AugmentedPairs(inputs("train"), direction, config.condition, source.codes, params.augment)
        objective = TransformerObjective(model, direction, pairs, inputs("valid"), params.validation.pairs)
        optimizer = config.optimizer.model_copy(update={"steps": steps})
        curve, snapshot = Curve(work / f"{direction} without {share:.0%}.csv"), Snapshot(work / "snapshot", "")
        return fit(model, objective, optimizer, params.seed, curve, snapshot)["valid_loss"]


def regained(
    direction: Direction, data: Path, sounds: np.ndarray, scores: np.ndarray, steps: int | None, params: Params
) -> dict[str, float]:
    """What spoiling costs a transformer, and how much of it dropping brings back."""
    straight, share = np.arange(len(sounds)), float((sounds != np.arange(len(sounds))).mean())
    runs = {"clean": (straight, 0.0), "spoiled": (sounds, 0.0), "dropped": (sounds, share)}
    steps = steps or params.transformer[direction].optimizer.steps
    losses = {
        f"cross_entropy_{name}": cross_entropy(direction, data, whose, scores, dropped, steps, params)
        for name, (whose, dropped) in runs.items()
    }
    clean, spoiled, dropped = losses.values()
    return {**losses, "regained": (spoiled - dropped) / (spoiled - clean)}


def main() -> None:
    """Print the figures, and with --json one object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=paths.DATA)
    parser.add_argument("--steps", type=int, help="of each transformer, in place of those of params.yaml")
    parser.add_argument("--regain", choices=DIRECTIONS)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    params, shards = load(), asked.data / paths.SHARDS.name
    sounds, swapped = spoiled(np.array(list(Split(shards, "train").labels)), params.seed)
    begin = time.perf_counter()
    scores = spoiled_scores(shards, sounds, params)
    figures = {"pairs": len(scores), **found(scores, swapped), "seconds": time.perf_counter() - begin}
    if asked.regain:
        figures |= regained(asked.regain, asked.data, sounds, scores, asked.steps, params)
    printing.show(figures, asked.json)


if __name__ == "__main__":
    main()
