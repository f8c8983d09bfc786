"""A journal of the clips that an interrupted run has finished, from which the next run continues.

JSON lines beside the data: first the key, a digest of all that determines the clips, then one line per finished clip. A
kill may truncate the last line: from the first line that is incomplete or malformed, everything is dropped.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_args

from pydantic import Field

from cycle_sound.acquisition.fingerprints import PICTURE_BITS, SOUND_BITS, Fingerprint
from cycle_sound.acquisition.manifest import Row
from cycle_sound.acquisition.sources.clip import Clip
from cycle_sound.io import bounded, code, files
from cycle_sound.io.files import State
from cycle_sound.params import Config, DataConfig

# What decides once all clips are there.
JUDGED_LATER = {"max_rejected", "valid_share", "paired_share", "drop_worst", "near_picture", "near_sound"}
# How clips are fetched, and as whom: what was got once stands, and what was not is tried again in any case.
FETCHING = {"fetch_jobs", "rate_limit", "retries", "backoff_seconds", "timeout_seconds", "cookies", "proxy"}
SOURCES = {*get_args(DataConfig.model_fields["source"].annotation)}  # each has a section of its own


States = tuple[State | None, ...]  # of all files of a clip; None for one that is not there
Name = tuple[str, str]  # of a clip: its split and its id


class Finished(NamedTuple):
    """What became of a clip."""

    row: Row
    fingerprint: Fingerprint | None  # of an accepted clip
    files: States = ()  # that it was made of, as they were before


class Entry(Config):
    """A line of a journal."""

    row: Row
    picture: Annotated[str, Field(pattern=f"^[0-9a-f]{{{PICTURE_BITS // 4}}}$")] | None = None
    sound: Annotated[str, Field(pattern=f"^[0-9a-f]{{{SOUND_BITS // 4}}}$")] | None = None
    files: States = ()

    def finished(self) -> Finished:
        """The row, fingerprint and file states of the clip."""
        halves = {"image": self.picture, "audio": self.sound}
        if any(half is None and self.row.lone in (None, modality) for modality, half in halves.items()):
            return Finished(self.row, None, self.files)
        return Finished(self.row, Fingerprint(*(bytes.fromhex(half or "") for half in halves.values())), self.files)


class Journal:
    """What an earlier run has finished, by the clip's name; what is added is on disk at once."""

    def __init__(self, finished: Mapping[Name, Finished], path: Path) -> None:
        self.finished = finished
        self._path = path

    def add(self, finished: Finished) -> None:
        """Note what became of a clip. Raises `DiskFull`."""
        files.append(self._path, _line(finished))


def key(clips: Sequence[Clip], data: DataConfig, sample_rate: int, seed: int) -> str:
    """A digest of all that determines what becomes of each clip: the list, the parameters, and the code.

    Not of the list's order, which may follow from where the clips lie; only of those with one name the first counts.
    """
    settings = data.model_dump(exclude=JUDGED_LATER | SOURCES - {data.source})
    settings[data.source] = {name: value for name, value in settings[data.source].items() if name not in FETCHING}
    facts = [(clip.split, clip.id, clip.label, clip.group, dict(clip.attributes)) for clip in clips]
    facts.sort(key=lambda fact: fact[:2])
    return code.identity("stages.download", settings, sample_rate, seed, facts)


def file_states(clip: Clip) -> States:
    """The present state of each file that a clip is made of."""
    return tuple(map(_state, clip.files))


@contextmanager
def keeping(path: Path, key: str) -> Iterator[Journal]:
    """Open the journal at `path`; delete it if the block succeeds, and keep it otherwise.

    A journal with another key, or none, is started anew, with nothing finished.
    """
    finished, size = _read(path, key)
    if not size:
        header = _dumped({"key": key})
        files.write_bytes(path, header)
        size = len(header)
    os.truncate(path, size)
    yield Journal(finished, path)
    path.unlink()


def _read(path: Path, key: str) -> tuple[dict[Name, Finished], int]:
    """The finished clips by name, and the length of the valid part in bytes: 0 without a journal of this key."""
    finished: dict[Name, Finished] = {}
    size = 0
    if path.exists():
        with path.open("rb") as file:
            if file.readline(bounded.MAX_LINE) != _dumped({"key": key}):
                return {}, 0
            size = file.tell()
            while entry := _entry(file.readline(bounded.MAX_LINE)):
                finished[entry.row.split, entry.row.id] = entry.finished()
                size = file.tell()
    return finished, size


def _state(path: Path) -> State | None:
    try:
        return files.state(path.stat())
    except OSError:
        return None


def _entry(line: bytes) -> Entry | None:
    """Parse a line; None at the end of the file, and for an incomplete or malformed line."""
    try:
        return Entry.model_validate_json(line) if line.endswith(b"\n") else None
    except ValueError:
        return None


def _line(finished: Finished) -> bytes:
    halves = finished.fingerprint._asdict() if finished.fingerprint else {}
    prints = {name: half.hex() for name, half in halves.items() if half}
    return _dumped({"row": asdict(finished.row), **prints, "files": finished.files})


def _dumped(entry: dict[str, Any]) -> bytes:
    return json.dumps(entry).encode() + b"\n"
