"""Endings of file names. A name may hold dots of its own: `Path.with_suffix` would cut it at the last of them."""

from collections.abc import Collection
from pathlib import Path


def with_ending(path: Path, ending: str, known: Collection[str]) -> Path:
    """The path + ending, in place of an ending in lower case that is `known`, if it has one, in any case."""
    name = path.stem if path.suffix.lower() in known else path.name
    return path.with_name(name + ending)
