"""The files of sounds without partners, which shards know by their SHA-256 alone: the manifest says where they lie.

Where is kept in a file, once, and mapped: a million ids in each of many processes that read sounds would be gigabytes.
"""

from pathlib import Path
from typing import Any

import numpy as np

from cycle_sound import paths
from cycle_sound.acquisition import manifest
from cycle_sound.acquisition.originals import Original
from cycle_sound.dataset import npy
from cycle_sound.dataset.reader import Split
from cycle_sound.dataset.sequences import Lazy
from cycle_sound.errors import BadShard


def find(lone: Split, folder: Path, table: Path) -> None:
    """Write the table of `Originals`: for each row of `lone_audio` the id of a clip of a folder with its sound.

    Raises `BadShard` for a sound that the manifest there does not name, `BadManifest`, FileNotFoundError, `DiskFull`.
    """
    wanted = {digest.tobytes(): row for row, digest in enumerate(lone.digests("audio"))}
    ids = [b""] * len(lone)
    for row in manifest.each(folder / paths.MANIFEST.name):
        place = wanted.get(bytes.fromhex(row.sound_sha256)) if row.split == "train" else None
        if place is not None:
            ids[place] = row.id.encode()
    if not all(ids):
        raise BadShard(path=paths.SHARDS, reason=f"{folder / paths.MANIFEST.name} does not name all of its sounds")
    npy.write(table, np.array(ids).view(np.uint8).reshape(len(ids), -1))  # 0 behind each one, up to the longest


class Originals(Lazy[Original]):
    """The sound of each row of `lone_audio`; of equal ones any."""

    def __init__(self, lone: Split, table: Path) -> None:
        """`table`: as `find` has written it. Raises FileNotFoundError."""
        self._lone, self._table = lone, table
        self._ids, self._digests = npy.mapped(table), lone.digests("audio")
        super().__init__(len(lone), self._original)

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process maps the table itself: pickled, it would be a copy."""
        return Originals, (self._lone, self._table)

    def _original(self, row: int) -> Original:
        name = self._ids[row].tobytes().rstrip(b"\0").decode()
        return Original("train", name, "", self._digests[row].tobytes().hex())
