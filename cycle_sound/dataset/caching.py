"""Build a cache shard by shard, in one or several processes; a killed build resumes.

An array has one file, mapped once however many shards there are. All processes fill it, each with the rows of its own
shards, in a folder of unfinished work; it takes its place when all are done, so what has its place is whole. A shard
that is done has a receipt there: its key, a digest of all that its rows depend on, and the digest of the rows.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cycle_sound.dataset import npy
from cycle_sound.dataset.encoding import Encoded
from cycle_sound.io import files, progress
from cycle_sound.nn import distributed
from cycle_sound.params import SplitName


class CachedSplit(NamedTuple):
    """A split of a cache that is to be made."""

    name: SplitName
    header: Any  # a NamedTuple, which says whose work the arrays hold
    arrays: Mapping[str, npy.Layout]  # by what they hold
    shards: Mapping[str, range]  # the rows of each shard, by its name
    encode: Callable[[range], Iterable[Encoded]]  # some rows, in parts that follow one another

    def file(self, array: str) -> str:
        """The name of an array's file."""
        return f"{self.name}.{array}.npy"


def make(folder: Path, work: Path, splits: Sequence[CachedSplit], identity: str, shards: Mapping[str, str]) -> None:
    """Make all splits of a cache in a folder; `work` is gone afterwards.

    `identity`: of what the arrays depend on beside the shards; `shards`: the digest of each, by its name.
    """
    if distributed.is_first():
        for split in splits:
            for array, layout in split.arrays.items():
                npy.allocate(work / split.file(array), layout)
    distributed.barrier()
    jobs = distributed.own([(split, name) for split in splits for name in split.shards])
    for split, name in progress.track(jobs, len(jobs), work.name):
        rows = split.shards[name]
        facts = [identity, name, shards[name], rows.start, rows.stop]
        _fill(work, split, rows, work / f"{name}.receipt", hashlib.sha256(json.dumps(facts).encode()).hexdigest())
    distributed.barrier()
    if distributed.is_first():
        for split in splits:
            folder.mkdir(parents=True, exist_ok=True)
            for array in split.arrays:
                files.move(work / split.file(array), folder / split.file(array))
            files.write_json(folder / f"{split.name}.json", split.header._asdict())
        shutil.rmtree(work)


def _fill(work: Path, split: CachedSplit, rows: range, receipt: Path, key: str) -> None:
    """Write the rows of one shard, unless its receipt says that they are there."""
    if receipt.exists() and receipt.read_bytes() == _receipt(work, split, rows, key):
        return
    first = rows.start
    for part in split.encode(rows):
        for array, values in part.items():
            npy.fill(work / split.file(array), first, values)
        first += len(values)
    files.write_bytes(receipt, _receipt(work, split, rows, key))


def _receipt(work: Path, split: CachedSplit, rows: range, key: str) -> bytes:
    """The receipt of a shard: its key, and the SHA-256 of its rows as they are in the files now."""
    sha = hashlib.sha256()
    for array in split.arrays:
        sha.update(npy.mapped(work / split.file(array))[rows.start : rows.stop].data)
    return f"{key} {sha.hexdigest()}".encode()
