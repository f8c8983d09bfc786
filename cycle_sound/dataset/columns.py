"""What is known of the clips of a split, beside its tars: one array for each kind of fact, mapped and not parsed.

So a corpus of any size opens at once, and is in memory once, however many processes read it.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from cycle_sound.dataset import npy
from cycle_sound.io import files
from cycle_sound.params import SplitName


class Columns(NamedTuple):
    """The facts of n clips; each field is the file SPLIT.FIELD.npy."""

    shard: np.ndarray  # uint32 (n,): the number of the tar
    image: np.ndarray  # int64 (n, 2): where the picture starts in the tar, and how many bytes it has; 0: there is none
    audio: np.ndarray  # the same of the log-mel
    image_sha256: np.ndarray  # uint8 (n, 32): of the file that the picture was made of; 0: there is none
    audio_sha256: np.ndarray  # the same of the sound
    ids: np.ndarray  # uint8: the ids one after another, in UTF-8
    id_ends: np.ndarray  # int64 (n,): where in `ids` each one ends
    label: np.ndarray  # uint32 (n,): the place among the index's labels
    attributes: np.ndarray  # float64 (n, a), in the order of the index's attributes; NaN: none


KINDS: dict[str, type[np.generic]] = {
    "shard": np.uint32,
    "image": np.int64,
    "audio": np.int64,
    "image_sha256": np.uint8,
    "audio_sha256": np.uint8,
    "ids": np.uint8,
    "id_ends": np.int64,
    "label": np.uint32,
    "attributes": np.float64,
}


def write(folder: Path, split: SplitName, columns: Columns) -> dict[str, str]:
    """Write the columns of a split; returns the SHA-256 of each file by its name."""
    paths = [_path(folder, split, name) for name in KINDS]
    for path, kind, column in zip(paths, KINDS.values(), columns, strict=True):
        npy.write(path, column.astype(kind))
    return {path.name: files.digest(path) for path in paths}


def mapped(folder: Path, split: SplitName, attributes: int) -> Columns:
    """The columns of a split with so many attributes, of which nothing is read yet.

    Raises ValueError where they do not fit one another, FileNotFoundError.
    """
    columns = Columns(*(np.asarray(npy.mapped(_path(folder, split, name))) for name in KINDS))
    widths = {"image": (2,), "audio": (2,), "image_sha256": (32,), "audio_sha256": (32,), "attributes": (attributes,)}
    for name, column in columns._asdict().items():
        rows = len(column if name == "ids" else columns.shard)
        if column.dtype != KINDS[name] or column.shape != (rows, *widths.get(name, ())):
            raise ValueError(f"{name} of {column.dtype} {column.shape}")
    return columns


def file_name(split: SplitName, column: str) -> str:
    """The name of a column's file."""
    return f"{split}.{column}.npy"


def _path(folder: Path, split: SplitName, column: str) -> Path:
    return folder / file_name(split, column)


def remove(folder: Path, split: SplitName) -> None:
    """Remove the columns of a split, where there are any."""
    for name in KINDS:
        _path(folder, split, name).unlink(missing_ok=True)
