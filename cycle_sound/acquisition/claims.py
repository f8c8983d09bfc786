"""A register, beside the pairs, of the files that the program wrote and their digests.

The manifest alone cannot: DVC puts another one in its place, of another experiment, and leaves the files. A file that
only the manifest names is the program's own where it has the bytes named; all others belong to somebody else, and so
does one on the register that has other bytes than are noted there.
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

REGISTER = ".claimed"  # in the folder; a line has a name, a tab, and what is noted of two files, with a space between
UNKNOWN = "?"  # in place of a note: of a file that may be half written; a line without notes has two of it
FOLDERS = ("train_data", "test_data")
KINDS = (".jpg", ".mp3")
PART = re.compile(r"/\..*\.[0-9a-f]{8}\.part$")  # as `files.replacing` names what is not whole

Digests = tuple[str, str]  # of a clip's picture and sound; "": no such file is claimed
Notes = tuple[str, str]  # likewise, DIGEST:SIZE:TIME, so that a file need not be read to be known again; or UNKNOWN


class Claims:
    """The program's own files in a folder, which alone are ever replaced or removed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path, self._manifest = folder / REGISTER, folder / paths.MANIFEST.name
        lines = bounded.lines(self._path) if self._path.exists() else []
        self._register = {name: _told(notes) for name, _, notes in (line.partition("\t") for line in lines) if name}

    def begin(self, names: Set[str]) -> None:
        """Claim the names that are to be written. What was claimed before stays until `end`, and so does its manifest.

        So a download that is stopped costs nothing but what it has written over. Raises `BadSource`, before anything is
        changed, where somebody else's file has one of the names or takes the place of a claimed file, which `end` may
        remove, and where a manifest lies there that is none of this version.
        """
        self._recognise(row.original for row in _rows(self._manifest) if row.status == "ok")
        wanted = dict.fromkeys(names, (UNKNOWN, UNKNOWN))
        self._check(_files(self._register))
        self._claim(wanted)

    def begin_again(self, originals: Iterable[Original]) -> None:
        """Claim the files of clips of the manifest, which are to be written again.

        Raises `BadSource`, before anything is changed, where somebody else's file has one of their names.
        """
        originals = list(originals)
        self._recognise(originals)
        wanted = {one.name: _awaited(one) for one in originals}
        self._check(_files(wanted))
        self._claim(wanted)

    def end(self, keep: Iterable[Original]) -> None:
        """Remove all that is claimed but the files of these, whose digests are noted.

        Raises `BadSource`, before anything is removed, where somebody else's file takes the place of one.
        """
        kept = {one.name: _digests(one) for one in keep}
        self._sweep(kept)
        self._register = self._noted(kept)
        self._write()

    def note(self, originals: Iterable[Original]) -> None:
        """Note the digests of files that are known to have them; but for links, of which no download writes any."""
        links = {name for name, entry in self._entries() if entry.is_symlink()}
        noted = {one.name: _without(links, one) for one in originals}
        if known := {name: digests for name, digests in noted.items() if any(digests)}:
            self._add(self._noted(known))

    def unknown(self, originals: Iterable[Original]) -> list[Original]:
        """Of some clips those whose files are not there, or not noted with the same digests."""
        there = {name for name, entry in self._entries() if not entry.is_symlink() or os.path.exists(entry.path)}
        return [one for one in originals if not self._notes(one) or not _files({one.name: _digests(one)}) <= there]

    def _notes(self, original: Original) -> bool:
        """Whether all files of a clip are noted with the same digests."""
        noted = self._register.get(original.name, ("", ""))
        return all(wanted in ("", _digest(known)) for wanted, known in zip(_digests(original), noted, strict=True))

    def _noted(self, entries: Mapping[str, Digests]) -> dict[str, Notes]:
        """What is to be noted of files whose digests are known."""
        wanted = _files(entries)
        states = {name: _state(entry) for name, entry in self._entries() if name in wanted}
        return {name: _with_states(name, digests, states) for name, digests in entries.items()}

    def _check(self, names: Set[str]) -> None:
        """Raise `BadSource` where one of some files is claimed, but is not the one that is noted."""
        noted = {file: note for file, note in _each(self._register) if file in names and note != UNKNOWN}
        there = ((name, entry) for name, entry in self._entries() if name in noted)
        if others := {name for name, entry in there if not _is_noted(entry, noted[name])}:
            place = self.folder / min(others)
            raise BadSource(
                f"{place}: has changed since a download wrote it, and this download would delete it: move it away"
            )

    def _recognise(self, originals: Iterable[Original]) -> None:
        """Claim, in memory, unclaimed files whose bytes match the digests in the manifest."""
        there = {name for name, entry in self._entries() if entry.is_file(follow_symlinks=False)}
        unclaimed = there - _files(self._register)
        for one in originals:
            named = {name: digest for name, digest in _named(one).items() if name in unclaimed}
            own = {name for name, digest in named.items() if files.digest(self.folder / name) == digest}
            if own:
                self._put(one.name, _without(_named(one).keys() - own, one))

    def _claim(self, entries: Mapping[str, Notes]) -> None:
        wanted, claimed = _files(entries), _files(self._register)
        there = ((name, entry.is_dir(follow_symlinks=False)) for name, entry in self._entries() if name in wanted)
        if others := {name for name, is_folder in there if is_folder or name not in claimed}:
            place = self.folder / min(others)
            raise BadSource(f"{place}: was not written by a download, but the download needs this name: move it away")
        self._add(entries)

    def _add(self, entries: Mapping[str, Notes]) -> None:
        """Put entries on the register; a file that was claimed before and that they do not tell of stays claimed."""
        for name, notes in entries.items():
            self._put(name, notes)
        self._write()

    def _put(self, name: str, notes: Notes) -> None:
        before = self._register.get(name, ("", ""))
        self._register[name] = notes[0] or before[0], notes[1] or before[1]

    def _write(self) -> None:
        lines = (f"{name}\t{' '.join(notes)}\n" for name, notes in sorted(self._register.items()))
        files.write_bytes(self._path, "".join(lines).encode())

    def _sweep(self, keep: Mapping[str, Digests]) -> None:
        """Remove what is claimed, and what killed processes have left of files; links are removed, never followed.

        Raises `BadSource` as `_check` does.
        """
        present = self._present()
        unfinished = {name for name in present if PART.search(name)}
        claimed = present & (_files(self._register) - _files(keep))
        self._check(claimed)
        for name in unfinished | claimed:
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
        raise BadSource(f"{path}: not a manifest of this version, and it would be overwritten: move it away") from None


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


def _awaited(original: Original) -> Notes:
    """What is noted of files that are to be written, or of which another manifest tells."""
    picture, sound = (UNKNOWN if digest else "" for digest in _digests(original))
    return picture, sound


def _told(notes: str) -> Notes:
    """The notes in a line."""
    picture, _, sound = notes.partition(" ")
    return (picture, sound) if notes else (UNKNOWN, UNKNOWN)


def _with_states(name: str, digests: Digests, states: Mapping[str, str]) -> Notes:
    """What is to be noted of a clip's files, of those that are there their state, too."""
    files_ = (f"{name}{kind}" for kind in KINDS)
    picture, sound = (
        f"{digest}:{states[file]}" if digest and file in states else digest
        for file, digest in zip(files_, digests, strict=True)
    )
    return picture, sound


def _digest(note: str) -> str:
    """The digest in a note, or UNKNOWN; older ones are a digest alone."""
    return note.partition(":")[0]


def _state(entry: os.DirEntry[str]) -> str:
    """The state of a file as it is noted: SIZE:TIME, in bytes and ns."""
    size, changed = files.state(entry.stat(follow_symlinks=False))
    return f"{size}:{changed}"


def _is_noted(entry: os.DirEntry[str], note: str) -> bool:
    """Whether a file is the one that is noted; it is read only where it has another size or time.

    Others pass: a folder is never removed, and with a link no content is.
    """
    if not entry.is_file(follow_symlinks=False):
        return True
    digest, _, state = note.partition(":")
    return state == _state(entry) or files.digest(Path(entry.path)) == digest


def _files(entries: Mapping[str, Notes]) -> set[str]:
    """The files that entries tell of."""
    return {file for file, _ in _each(entries)}


def _each(entries: Mapping[str, Notes]) -> Iterator[tuple[str, str]]:
    """The files that entries tell of, and what is noted of each."""
    each = ((name, zip(KINDS, notes, strict=True)) for name, notes in entries.items())
    return ((f"{name}{kind}", note) for name, notes in each for kind, note in notes if note)
