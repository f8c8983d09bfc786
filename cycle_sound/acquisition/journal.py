"""What an unfinished run has finished, so that the next one goes on from there.

JSON lines beside the data: a key that names all that determines the clips, then one line per finished clip. A kill may
tear the last line; it is dropped.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, get_args

from cycle_sound.acquisition.fingerprints import Fingerprint
from cycle_sound.acquisition.manifest import Row
from cycle_sound.acquisition.sources.clip import Clip
from cycle_sound.io import code, files
from cycle_sound.params import DataConfig

JUDGED_LATER = {"max_rejected", "valid_share", "near_picture", "near_sound"}  # what decides once all clips are there
SOURCES = {*get_args(DataConfig.model_fields["source"].annotation)}  # each has a section of its own


class Finished(NamedTuple):
    """What became of a clip."""

    row: Row
    fingerprint: Fingerprint | None  # of an accepted pair


class Journal:
    """What an earlier run has finished, by the clip's place in the source's list; what is added is on disk at once."""

    def __init__(self, finished: Mapping[int, Finished], file: BinaryIO) -> None:
        self.finished = finished
        self._file = file

    def add(self, clip: int, finished: Finished) -> None:
        """Note what became of a clip."""
        self._file.write(_line(clip, finished))
        self._file.flush()


def key(clips: Sequence[Clip], data: DataConfig, sample_rate: int, seed: int) -> str:
    """A digest of all that determines what becomes of each clip: the list, the parameters, and the code."""
    settings = data.model_dump(exclude=JUDGED_LATER | SOURCES - {data.source})
    facts = [(clip.id, clip.split, clip.label, clip.group, dict(clip.attributes)) for clip in clips]
    return code.identity("stages.download", settings, sample_rate, seed, facts)


@contextmanager
def keeping(path: Path, key: str) -> Iterator[Journal]:
    """The journal at `path`, as far as it has the same key; it is removed when the block ends well, and stays if not.

    Another key, or none, is a new journal: with nothing finished.
    """
    finished, size = _read(path, key)
    if not size:
        header = _dumped({"key": key})
        files.write_bytes(path, header)
        size = len(header)
    with path.open("r+b") as file:
        file.truncate(size)
        file.seek(size)
        yield Journal(finished, file)
    path.unlink()


def _read(path: Path, key: str) -> tuple[dict[int, Finished], int]:
    """The finished clips, and how many bytes tell of them: 0 for a journal of another key, or none."""
    finished: dict[int, Finished] = {}
    size = 0
    if path.exists():
        with path.open("rb") as file:
            for line in file:
                entry = _entry(line)
                if entry is None or (not size and entry != {"key": key}):
                    break
                if size:
                    finished[entry["clip"]] = _finished(entry)
                size += len(line)
    return finished, size


def _entry(line: bytes) -> dict[str, Any] | None:
    """What a line says; None for a torn one."""
    try:
        return json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None


def _line(clip: int, finished: Finished) -> bytes:
    halves = finished.fingerprint._asdict() if finished.fingerprint else {}
    return _dumped({"clip": clip, "row": asdict(finished.row), **{name: half.hex() for name, half in halves.items()}})


def _finished(entry: dict[str, Any]) -> Finished:
    halves = {name: bytes.fromhex(entry[name]) for name in Fingerprint._fields if name in entry}
    return Finished(Row(**entry["row"]), Fingerprint(**halves) if halves else None)


def _dumped(entry: dict[str, Any]) -> bytes:
    return json.dumps(entry).encode() + b"\n"
