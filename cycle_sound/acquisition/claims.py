"""Which files in a folder of pairs are the program's own: those that a manifest names, and those of unfinished runs.

An unfinished run leaves a list of the names that it was to write. All other files belong to somebody else.
"""

import re
from collections.abc import Iterable, Set
from pathlib import Path

from cycle_sound import paths
from cycle_sound.acquisition import manifest
from cycle_sound.acquisition.manifest import Row
from cycle_sound.errors import BadManifest, BadSource
from cycle_sound.io import files

LIST = ".claimed"  # in the folder, one name a line
FOLDERS = ("train_data", "test_data")
KINDS = (".jpg", ".mp3")
PART = re.compile(r"/\..*\.[0-9a-f]{8}\.part$")  # as `files.replacing` names what is not whole


def accepted(rows: Iterable[Row]) -> set[str]:
    """The names of accepted pairs: SPLIT_data/ID, without extension."""
    return {f"{row.split}_data/{row.id}" for row in rows if row.status == "ok"}


class Claims:
    """The program's own files in a folder, which alone are ever replaced or removed."""

    def __init__(self, folder: Path) -> None:
        """Raises `BadSource` where a manifest lies there that is none of this version."""
        self.folder = folder
        self._list, self._manifest = folder / LIST, folder / paths.MANIFEST.name
        listed = self._list.read_text("utf-8", "replace").split("\n") if self._list.exists() else []
        self._names = accepted(_rows(self._manifest)) | {*listed}

    def begin(self, names: Set[str], anew: bool) -> None:
        """Claim the names that are to be written; with `anew`, remove all that was claimed before, and the manifest.

        Raises `BadSource`, before anything is changed, where somebody else's file has one of the names.
        """
        if others := self._present() & (_files(names) - _files(self._names)):
            raise BadSource(f"{self.folder / min(others)}: no download wrote it, and one would now: move it away")
        self._names |= names
        files.write_bytes(self._list, "".join(f"{name}\n" for name in sorted(self._names)).encode())
        if anew:
            self._sweep()
            self._manifest.unlink(missing_ok=True)

    def end(self, keep: Set[str]) -> None:
        """Remove all that is claimed but the names to `keep`, which the manifest has by now."""
        self._sweep(keep)
        self._list.unlink()

    def _sweep(self, keep: Set[str] = frozenset()) -> None:
        """Remove what is claimed, and what killed processes have left of files; links are removed, never followed."""
        present = self._present()
        unfinished = {name for name in present if PART.search(name)}
        for name in unfinished | present & (_files(self._names) - _files(keep)):
            (self.folder / name).unlink()

    def _present(self) -> set[str]:
        """The files and links that lie where pairs do, relative to the folder."""
        places = (self.folder / name for name in FOLDERS)
        found = (path for place in places if place.is_dir() for path in place.iterdir())
        return {f"{path.parent.name}/{path.name}" for path in found if path.is_symlink() or path.is_file()}


def _rows(path: Path) -> list[Row]:
    try:
        return manifest.read(path)
    except FileNotFoundError:
        return []
    except BadManifest:
        raise BadSource(f"{path}: no manifest of this version, and one would be written: move it away") from None


def _files(names: Iterable[str]) -> set[str]:
    return {f"{name}{kind}" for name in names for kind in KINDS}
