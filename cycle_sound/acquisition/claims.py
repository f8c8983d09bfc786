"""Which files in a folder of pairs are the program's own, and what they hold: an account beside them says so.

The manifest alone cannot: DVC puts another one in its place, of another experiment, and leaves the files. All files
that neither names belong to somebody else.
"""

import os
import re
from collections.abc import Iterable, Iterator, Set
from pathlib import Path

from cycle_sound import paths
from cycle_sound.acquisition import manifest
from cycle_sound.acquisition.manifest import Row
from cycle_sound.acquisition.originals import Original
from cycle_sound.errors import BadManifest, BadSource
from cycle_sound.io import files

ACCOUNT = ".claimed"  # in the folder; a line has a name, a tab, and the digests of both files, or nothing if not known
FOLDERS = ("train_data", "test_data")
KINDS = (".jpg", ".mp3")
PART = re.compile(r"/\..*\.[0-9a-f]{8}\.part$")  # as `files.replacing` names what is not whole


class Claims:
    """The program's own files in a folder, which alone are ever replaced or removed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path, self._manifest = folder / ACCOUNT, folder / paths.MANIFEST.name
        lines = self._path.read_text("utf-8", "replace").split("\n") if self._path.exists() else []
        self._account = {name: digests for name, _, digests in (line.partition("\t") for line in lines) if name}

    def begin(self, names: Set[str], anew: bool) -> None:
        """Claim the names that are to be written; with `anew`, remove all that was claimed before, and the manifest.

        Raises `BadSource`, before anything is changed, where somebody else's file has one of the names, and where a
        manifest lies there that is none of this version.
        """
        named = (row.original.name for row in _rows(self._manifest) if row.status == "ok")
        self._account = dict.fromkeys(named, "") | self._account
        self.begin_again(names)
        if anew:
            self._sweep()
            self._manifest.unlink(missing_ok=True)

    def begin_again(self, names: Set[str]) -> None:
        """Claim names of the manifest whose files are to be written again.

        Raises `BadSource`, before anything is changed, where a file that is not on the account has one of them.
        """
        if others := self._present() & (_files(names) - _files(self._account)):
            raise BadSource(f"{self.folder / min(others)}: no download wrote it, and one would now: move it away")
        self._account |= dict.fromkeys(names, "")
        self._write()

    def end(self, keep: Iterable[Original]) -> None:
        """Remove all that is claimed but these, whose digests are noted."""
        kept = {one.name: _digests(one) for one in keep}
        self._sweep(kept.keys())
        self._account = kept
        self._write()

    def note(self, originals: Iterable[Original]) -> None:
        """Note the digests of files that are known to have them."""
        self._account |= {one.name: _digests(one) for one in originals}
        self._write()

    def unknown(self, originals: Iterable[Original]) -> list[Original]:
        """Of some clips those whose files are not there, or not noted with the same digests."""
        there = {name for name, entry in self._entries() if not entry.is_symlink() or os.path.exists(entry.path)}
        return [
            one for one in originals if self._account.get(one.name) != _digests(one) or not _files([one.name]) <= there
        ]

    def _write(self) -> None:
        lines = (f"{name}\t{digests}\n" for name, digests in sorted(self._account.items()))
        files.write_bytes(self._path, "".join(lines).encode())

    def _sweep(self, keep: Set[str] = frozenset()) -> None:
        """Remove what is claimed, and what killed processes have left of files; links are removed, never followed."""
        present = self._present()
        unfinished = {name for name in present if PART.search(name)}
        for name in unfinished | present & (_files(self._account) - _files(keep)):
            (self.folder / name).unlink()

    def _present(self) -> set[str]:
        """The files and links that lie where pairs do, relative to the folder."""
        return {name for name, entry in self._entries() if entry.is_symlink() or entry.is_file()}

    def _entries(self) -> Iterator[tuple[str, os.DirEntry[str]]]:
        """All that lies where pairs do, by its name relative to the folder: looked at without asking for each."""
        places = {name: self.folder / name for name in FOLDERS}
        found = ((name, entry) for name, place in places.items() if place.is_dir() for entry in os.scandir(place))
        return ((f"{name}/{entry.name}", entry) for name, entry in found)


def _rows(path: Path) -> list[Row]:
    try:
        return manifest.read(path)
    except FileNotFoundError:
        return []
    except BadManifest:
        raise BadSource(f"{path}: no manifest of this version, and one would be written: move it away") from None


def _digests(original: Original) -> str:
    return f"{original.picture_sha256} {original.sound_sha256}"


def _files(names: Iterable[str]) -> set[str]:
    return {f"{name}{kind}" for name in names for kind in KINDS}
