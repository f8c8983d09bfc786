"""From audit scores to the training pairs that are kept: all but the worst fraction.

The clips of the others stay: whoever learns from pictures or from sounds alone learns from them, too.
"""

import csv
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cycle_sound.dataset import headers, npy
from cycle_sound.errors import BadPairing
from cycle_sound.io import files
from cycle_sound.params import fault

SCORES = "train.scores.npy"  # of an audit: float64 (n,), by row
TABLE = "pairs.csv"  # of an audit: a line for each pair, the worst first
PAGE = "index.html"  # of an audit
ROWS = "train.rows.npy"  # int64 (n,): the rows that keep their pairing
DROPPED = "dropped.csv"  # the fate of the others, in columns of the manifest
STATUS = "mismatched"


class Header(NamedTuple):
    """What is said of scores and of rows."""

    shards: str  # digest of the index of the shards whose rows they are
    pairs: int  # in the split


class Audited(NamedTuple):
    """A pair in an audit's table."""

    rank: int  # 1: the worst
    id: str
    label: str
    half: int  # of the groups; the model of the other one judged it
    pointwise_mutual_information: float  # nats


def worst_first(scores: np.ndarray) -> np.ndarray:
    """Rows in the order of their scores, the lowest first, equal ones by number: (n,) → int64 (n,)."""
    return np.argsort(scores, kind="stable")


def write_scores(folder: Path, scores: np.ndarray, shards: str) -> None:
    """Write what an audit has found of every training pair, float64 (n,) by row, of shards of a digest."""
    npy.write(folder / SCORES, scores)
    files.write_json(folder / "train.json", Header(shards, len(scores))._asdict())


def drop(audit: Path, folder: Path, share: float) -> None:
    """Write to a folder the rows that are left when the worst `share` of all is dropped, and the fates of the dropped.

    The share is rounded to whole pairs, of which at least one is left. Raises FileNotFoundError, and `BadPairing` for
    files that are no audit's.
    """
    header, scores = opened(audit, SCORES)
    if scores.shape != (header.pairs,) or scores.dtype != np.float64:
        raise BadPairing(path=audit / SCORES, reason=f"{scores.dtype} {scores.shape}")
    count = min(round(share * header.pairs), header.pairs - 1)  # of 100 pairs 0.29 cut off would be 28
    if not count:
        return
    npy.write(folder / ROWS, np.sort(worst_first(scores)[count:]))
    files.write_csv(folder / DROPPED, (_fate(pair, header.pairs) for pair in worst(audit, count)))
    files.write_json(folder / "train.json", header._asdict())


def worst(audit: Path, count: int) -> Iterator[Audited]:
    """The first pairs of an audit's table. Raises `BadPairing` for another file, FileNotFoundError."""
    path = audit / TABLE
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for line in islice(csv.DictReader(file), count):
                nats = float(line["pointwise_mutual_information"])
                yield Audited(int(line["rank"]), line["id"], line["label"], int(line["half"]), nats)
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise BadPairing(path=path, reason=str(error)) from None


def dropped(folder: Path) -> dict[str, str]:
    """The status of each training clip that was dropped, by its id. Raises `BadPairing`."""
    path = folder / DROPPED
    try:
        return {line["id"]: line["status"] for line in files.read_csv(path)} if path.exists() else {}
    except (KeyError, ValueError, csv.Error) as error:
        raise BadPairing(path=path, reason=str(error)) from None


def opened(folder: Path, name: str) -> tuple[Header, np.ndarray]:
    """The header and an array, mapped. Raises FileNotFoundError, and `BadPairing` for other files."""
    try:
        return headers.read(folder, "train", Header), np.asarray(npy.mapped(folder / name))
    except ValueError as error:
        raise BadPairing(path=folder / name, reason=fault(error)) from None


def _fate(pair: Audited, pairs: int) -> dict[str, str]:
    nats, rank = pair.pointwise_mutual_information, pair.rank
    reason = f"its sound and its picture explain each other by {nats:.2f} nats: rank {rank} of {pairs}"
    return {"id": pair.id, "split": "train", "label": pair.label, "status": STATUS, "reason": reason}
