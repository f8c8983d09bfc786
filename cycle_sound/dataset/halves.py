"""Two halves of a split, by a hash of each clip's group: what is learned from one half is judged by the other."""

import json
from pathlib import Path
from typing import IO, Any

import numpy as np

from cycle_sound.acquisition import splits
from cycle_sound.dataset.reader import Split
from cycle_sound.errors import BadShard, BadTar
from cycle_sound.io import tar_members
from cycle_sound.io.tar_members import Member
from cycle_sound.nn import distributed

HALVES = (0, 1)  # their numbers
MAX_FACTS = 1 << 20  # bytes of what a tar says of one clip


def of_group(group: str) -> int:
    """The half of a group: 0 or 1, by the last digit of its hash, while held-out splits use the first digits."""
    return int(splits.order(group)[-1], 16) % len(HALVES)


def of_rows(folder: Path, split: Split) -> np.ndarray:
    """The half of each clip of a split in a folder of shards, by its group, or by its id where it has none: uint8 (n,).

    Columns name no groups, so tars are read, one at a time; processes share them. Raises `BadShard`.
    """
    shards = list(split.shards().items())
    own = [_halves(folder / name, len(rows)) for name, rows in distributed.own(shards)]
    return np.concatenate(distributed.in_order(own))


def _halves(path: Path, count: int) -> np.ndarray:
    """The halves of the clips in one tar, in their order: uint8 (count,)."""
    try:
        with path.open("rb") as file:
            members = list(tar_members.listed(file, path.stat().st_size))
            groups = [_group(file, one) for one in members if one.name.endswith(".json")]
    except (BadTar, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadShard(path=path, reason=str(error)[:200]) from None
    if len(groups) != count:
        raise BadShard(path=path, reason=f"{len(groups)} clips, not {count}")
    return np.array([of_group(group) for group in groups], np.uint8)


def _group(file: IO[bytes], member: Member) -> str:
    if member.size > MAX_FACTS:
        raise ValueError(f"facts of {member.size} bytes")
    file.seek(member.offset)
    facts: Any = json.loads(file.read(member.size))
    return str(facts["group"] or facts["id"])
