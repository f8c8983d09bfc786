"""A register, beside the pairs, of the files that the program wrote and their digests.

The manifest alone cannot: DVC puts another one in its place, of another experiment, and leaves the files. A file that
only the manifest names is the program's own where it has the bytes named; all others belong to somebody else.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Set
from pathlib import Path

from cycle_sound import paths
from cycle_sound.acquisition import manifest
from cycle_sound.acquisition.manifest import Row
from cycle_sound.acquisition.originals import Original
from cycle_sound.errors import BadManifest, BadSource
from cycle_sound.io import bounded, files

REGISTER = ".claimed"  # in the folder; a line has a name, a tab, and two digests with a space between them
UNKNOWN = "?"  # in place of a digest; a line without digests has two of it
FOLDERS = ("train_data", "test_data")
KINDS = (".jpg", ".mp3")
PART = re.compile(r"/\..*\.[0-9a-f]{8}\.part$")  # as `files.replacing` names what is not whole

Digests = tuple[str, str]  # of a clip's picture and sound; "": no such file is claimed


class Claims:
    """The program's own files in a folder, which alone are ever replaced or removed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path, self._manifest = folder / REGISTER, folder / paths.MANIFEST.name
        lines = bounded.lines(self._path) if self._path.exists() else []
        self._register = {name: _told(digests) for name, _, digests in (line.partition("\t") for line in lines) if name}

    def begin(self, names: Set[str], anew: bool) -> None:
        """Claim the names that are to be written; with `anew`, remove all that was claimed before, and the manifest.

        Raises `BadSource`, before anything is changed, where somebody else's file has one of the names, and where a
        manifest lies there that is none of this version.
        """
        self._recognise(row.original for row in _rows(self._manifest) if row.status == "ok")
        self._claim(dict.fromkeys(names, (UNKNOWN, UNKNOWN)))
        if anew:
            self._sweep({})
            self._manifest.unlink(missing_ok=True)

    def begin_again(self, originals: Iterable[Original]) -> None:
        """Claim the files of clips of the manifest, which are to be written again.

        Raises `BadSource`, before anything is changed, where somebody else's file has one of their names.
        """
        originals = list(originals)
        self._recognise(originals)
        self._claim({one.name: _awaited(one) for one in originals})

    def end(self, keep: Iterable[Original]) -> None:
        """Remove all that is claimed but the files of these, whose digests are noted."""
        kept = {one.name: _digests(one) for one in keep}
        self._sweep(kept)
        self._register = kept
        self._write()

    def note(self, originals: Iterable[Original]) -> None:
        """Note the digests of files that are known to have them; but for links, of which no download writes any."""
        links = {name for name, entry in self._entries() if entry.is_symlink()}
        noted = {one.name: _without(links, one) for one in originals}
        if known := {name: digests for name, digests in noted.items() if any(digests)}:
            self._add(known)

    def unknown(self, originals: Iterable[Original]) -> list[Original]:
        """Of some clips those whose files are not there, or not noted with the same digests."""
        there = {name for name, entry in self._entries() if not entry.is_symlink() or os.path.exists(entry.path)}
        return [one for one in originals if not self._notes(one) or not _files({one.name: _digests(one)}) <= there]

    def _notes(self, original: Original) -> bool:
        """Whether all files of a clip are noted with the same digests."""
        noted = self._register.get(original.name, ("", ""))
        return all(wanted in ("", known) for wanted, known in zip(_digests(original), noted, strict=True))

    def _recognise(self, originals: Iterable[Original]) -> None:
        """Claim, in memory, unclaimed files whose bytes match the digests in the manifest."""
        there = {name for name, entry in self._entries() if entry.is_file(follow_symlinks=False)}
        unclaimed = there - _files(self._register)
        for one in originals:
            named = {name: digest for name, digest in _named(one).items() if name in unclaimed}
            own = {name for name, digest in named.items() if files.digest(self.folder / name) == digest}
            if own:
                self._put(one.name, _without(_named(one).keys() - own, one))

    def _claim(self, entries: Mapping[str, Digests]) -> None:
        wanted, claimed = _files(entries), _files(self._register)
        there = ((name, entry.is_dir(follow_symlinks=False)) for name, entry in self._entries() if name in wanted)
        if others := {name for name, is_folder in there if is_folder or name not in claimed}:
            raise BadSource(f"{self.folder / min(others)}: no download wrote it, and one would now: move it away")
        self._add(entries)

    def _add(self, entries: Mapping[str, Digests]) -> None:
        """Put entries on the register; a file that was claimed before and that they do not tell of stays claimed."""
        for name, digests in entries.items():
            self._put(name, digests)
        self._write()

    def _put(self, name: str, digests: Digests) -> None:
        before = self._register.get(name, ("", ""))
        self._register[name] = digests[0] or before[0], digests[1] or before[1]

    def _write(self) -> None:
        lines = (f"{name}\t{' '.join(digests)}\n" for name, digests in sorted(self._register.items()))
        files.write_bytes(self._path, "".join(lines).encode())

    def _sweep(self, keep: Mapping[str, Digests]) -> None:
        """Remove what is claimed, and what killed processes have left of files; links are removed, never followed."""
        present = self._present()
        unfinished = {name for name in present if PART.search(name)}
        for name in unfinished | present & (_files(self._register) - _files(keep)):
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


def _digests(original: Original) -> Digests:
    return original.picture_sha256, original.sound_sha256


def _named(original: Original) -> dict[str, str]:
    """The digest of each file that a clip has."""
    each = zip(KINDS, _digests(original), strict=True)
    return {f"{original.name}{kind}": digest for kind, digest in each if digest}


def _without(others: Set[str], original: Original) -> Digests:
    """The digests of a clip's files but for some, of which none is claimed."""
    own = {name: digest for name, digest in _named(original).items() if name not in others}
    picture, sound = (own.get(f"{original.name}{kind}", "") for kind in KINDS)
    return picture, sound


def _awaited(original: Original) -> Digests:
    """The digests of files that are to be written, or of which another manifest tells."""
    picture, sound = (UNKNOWN if digest else "" for digest in _digests(original))
    return picture, sound


def _told(digests: str) -> Digests:
    """The digests in a line."""
    picture, _, sound = digests.partition(" ")
    return (picture, sound) if digests else (UNKNOWN, UNKNOWN)


def _files(entries: Mapping[str, Digests]) -> set[str]:
    """The files that entries tell of."""
    each = ((name, zip(KINDS, digests, strict=True)) for name, digests in entries.items())
    return {f"{name}{kind}" for name, digests in each for kind, digest in digests if digest}
