"""What a cache of every clip says of itself, beside its arrays: whose work it holds, and of which shards."""

from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter

from cycle_sound.errors import StaleCache
from cycle_sound.params import SplitName

H = TypeVar("H")


def read(folder: Path, split: SplitName, kind: type[H]) -> H:
    """The header of a split, a NamedTuple of a `kind`. Raises ValueError for a file that holds none."""
    return TypeAdapter(kind).validate_json((folder / f"{split}.json").read_bytes(), strict=True)


def check(folder: Path, split: SplitName, header: Any, **digests: str) -> None:
    """Raise `StaleCache` unless the header's fields of these names are these digests."""
    for what, wanted in digests.items():
        found = getattr(header, what)
        if found != wanted:
            raise StaleCache(path=f"{folder}/{split}", what=what, found=found[:12], wanted=wanted[:12])
