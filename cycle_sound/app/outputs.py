"""Output files: named after their sources, all in one folder, each written whole or not at all."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from cycle_sound.io import files, names
from cycle_sound.io.endings import with_ending

LONGEST = 220  # bytes of a stem, of the 255 that a name may have: endings, numbers and what marks a part come to it


class Names:
    """Hands out file names in one folder: none twice, and none of a file that is there already.

    With `overwrite`, files there may be replaced, except the sources, `read`.
    """

    def __init__(self, folder: Path, read: Iterable[Path], overwrite: bool = False) -> None:
        self.folder = folder
        here = _real(folder)
        # A file is there by the name that is given, and where that is a link perhaps by another one, too.
        places = [place for path in read for place in (_real(path.parent) / path.name, _real(path))]
        self._taken = {_same(place.name) for place in places if place.parent == here}
        if here.is_dir() and not overwrite:
            self._taken |= {_same(path.name) for path in here.iterdir()}

    def free(self, stem: str, *endings: str) -> Path:
        """Take FOLDER/STEM, or the first free of FOLDER/STEM-2, -3, …, with each of the `endings`. Case is ignored.

        Characters that a terminal would interpret are replaced by `_`, and a name too long for file systems is cut.
        """
        stem = names.UNSHOWN.sub("_", stem).encode()[:LONGEST].decode(errors="ignore")
        number = 1
        while True:
            name = stem if number == 1 else f"{stem}-{number}"
            wanted = {_same(f"{name}{ending}") for ending in endings}
            if not wanted & self._taken:
                self._taken |= wanted
                return self.folder / name
            number += 1


def beside(stem: Path, ending: str, content: bytes) -> Path:
    """Write the file STEM + ending atomically; return its path."""
    path = with_ending(stem, ending)
    files.write_bytes(path, content)
    return path


class _Withheld(Exception):
    """The file written is not to be kept."""


def written(path: Path, write: Callable[[Path], None], accepts: Callable[[], bool]) -> bool:
    """Let `write` write to a temporary path, and move the file to `path` if `accepts` then returns True.

    Returns whether it did. Raises what both raise, and leaves nothing behind then.
    """
    try:
        with files.replacing(path) as part:
            write(part)
            if not accepts():
                raise _Withheld
    except _Withheld:
        return False
    return True


def _real(path: Path) -> Path:
    """Where a path leads; `Path.resolve` raises RuntimeError for a link that leads back to itself."""
    return Path(os.path.realpath(path))


def _same(name: str) -> str:
    """A form that is equal for names that some file systems treat as the same."""
    return names.normal(name.casefold())
