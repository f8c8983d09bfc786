"""A register, beside the pairs, of the files that the program wrote and their digests.

The manifest cannot serve as this register: DVC may replace it by that of another experiment and leave the files. A file
that only the manifest names is the program's own if its bytes have the digest given there. All other files belong to
somebody else, and so does a registered file whose bytes no longer have the noted digest.
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
        """Remove all claimed files except those of `keep`, and note the digests of these.

        Raises `BadSource`, before anything is removed, where somebody else's file takes the place of one.
        """
        kept = {one.name: _digests(one) for one in keep}
        self._sweep(kept)
        self._register = self._noted(kept)
        self._write()

    def note(self, originals: Iterable[Original]) -> None:
        """Note the digests of files that are known to match them; links are skipped, since no download writes any."""
        links = {name for name, entry in self._entries() if entry.is_symlink()}
        noted = {one.name: _without(links, one) for one in originals}
        if known := {name: digests for name, digests in noted.items() if any(digests)}:
            self._add(self._noted(known))

    def unknown(self, originals: Iterable[Original]) -> list[Original]:
        """The clips that lack a file, or one of whose files is not noted with the digest given."""
        there = {name for name, entry in self._entries() if not entry.is_symlink() or os.path.exists(entry.path)}
        return [one for one in originals if not self._notes(one) or not _files({one.name: _digests(one)}) <= there]

    def _notes(self, original: Original) -> bool:
        """Whether all files of a clip are noted with the same digests."""
        noted = self._register.get(original.name, ("", ""))
        return all(wanted in ("", _digest(known)) for wanted, known in zip(_digests(original), noted, strict=True))

    def _noted(self, entries: Mapping[str, Digests]) -> dict[str, Notes]:
        """Notes with the digests given, and with the state of each file that exists."""
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
        """Add entries to the register and write it; files claimed before and absent from the entries stay claimed."""
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
        """Everything in the folders of pairs, by its path relative to `folder`, without a `stat` of each."""
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
    """The digests of a clip's files, with "" for the files in `others`, which are not claimed."""
    own = {name: digest for name, digest in _named(original).items() if name not in others}
    picture, sound = (own.get(f"{original.name}{kind}", "") for kind in KINDS)
    return picture, sound


def _awaited(original: Original) -> Notes:
    """The notes on a clip whose files are still to be written: UNKNOWN for each file that it has."""
    picture, sound = (UNKNOWN if digest else "" for digest in _digests(original))
    return picture, sound


def _told(notes: str) -> Notes:
    """The notes on a clip's picture and sound, parsed from a line of the register."""
    picture, _, sound = notes.partition(" ")
    return (picture, sound) if notes else (UNKNOWN, UNKNOWN)


def _with_states(name: str, digests: Digests, states: Mapping[str, str]) -> Notes:
    """The digests of a clip as notes, with the state of each file that is in `states`."""
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
    """Whether a file is the one noted; its content is read only if its size or time differs.

    True for anything but a regular file: folders are never removed, and removing a link destroys no content.
    """
    if not entry.is_file(follow_symlinks=False):
        return True
    digest, _, state = note.partition(":")
    return state == _state(entry) or files.digest(Path(entry.path)) == digest


def _files(entries: Mapping[str, Notes]) -> set[str]:
    """The paths of the files in entries, relative to the folder."""
    return {file for file, _ in _each(entries)}


def _each(entries: Mapping[str, Notes]) -> Iterator[tuple[str, str]]:
    """The path and the note of each file in entries."""
    each = ((name, zip(KINDS, notes, strict=True)) for name, notes in entries.items())
    return ((f"{name}{kind}", note) for name, notes in each for kind, note in notes if note)
