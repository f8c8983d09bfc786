"""What an unfinished run has finished, so that the next one goes on from there.

JSON lines beside the data: a key that names all that determines the clips, then one line per finished clip. A kill may
tear the last line; it is dropped.
"""

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from cycle_sound import files
from cycle_sound.fingerprints import Fingerprint
from cycle_sound.manifest import Row
from cycle_sound.params import Audio, Data
from cycle_sound.sources.clip import Clip

JUDGED_LATER = {"max_rejected", "valid_share", "near_picture", "near_sound"}  # what decides once all clips are there


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


def key(clips: Sequence[Clip], data: Data, audio: Audio, seed: int) -> str:
    """A digest of all that determines what becomes of each clip: the list, the parameters, and the code in use."""
    sha = hashlib.sha256(_code().encode())
    settings = {"data": data.model_dump(exclude=JUDGED_LATER), "audio": audio.model_dump(), "seed": seed}
    sha.update(json.dumps(settings, sort_keys=True).encode())
    for clip in clips:
        facts = (clip.id, clip.split, clip.label, clip.group, dict(clip.attributes))
        sha.update(json.dumps(facts, sort_keys=True).encode())
    return sha.hexdigest()


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


def _code() -> str:
    """A digest of the project's modules in use, which are those that the stage reaches."""
    package = __name__.partition(".")[0]
    modules = (module for name, module in sorted(sys.modules.items()) if name.partition(".")[0] == package)
    return files.digest(*(Path(module.__file__) for module in modules if module.__file__))


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
