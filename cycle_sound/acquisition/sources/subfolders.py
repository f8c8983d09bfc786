"""Folders in a source's folder, which sources do not look into: whether something is forgotten there."""

import os
from collections.abc import Collection
from pathlib import Path

from cycle_sound.io import names


def holding(root: Path, endings: Collection[str]) -> list[Path]:
    """The folders in a folder, by name, that hold a file of one of these endings, however deep; no hidden ones."""
    folders = (path for path in sorted(root.iterdir()) if os.path.isdir(path) and not names.is_hidden(Path(path.name)))
    return [path for path in folders if _holds(path, endings)]


def _holds(folder: Path, endings: Collection[str]) -> bool:
    found = (Path(place, name) for place, _, files in os.walk(folder) for name in files)
    return any(path.suffix.lower() in endings and not names.is_hidden(path.relative_to(folder)) for path in found)
