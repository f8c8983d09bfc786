"""Files that exist whole or not at all, whatever kills the process or the machine, and their digests."""

import csv
import errno
import hashlib
import json
import math
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from cycle_sound.errors import ChangedOriginal, DiskFull

FULL = (errno.ENOSPC, errno.EDQUOT)
WINDOWS = os.name == "nt"  # where a file is flushed by a handle that may write, and a folder by none


class State(NamedTuple):
    """The size and time of a file, by which a change is noticed."""

    size: int  # bytes
    changed: int  # ns


def state(found: os.stat_result) -> State:
    """The state of a file, of what the system says of it."""
    return State(found.st_size, found.st_mtime_ns)


@contextmanager
def replacing(path: Path, size: int | None = None) -> Iterator[Path]:
    """Yield a temporary path that atomically and durably replaces `path` on success and is deleted otherwise.

    `size`: bytes that will be written, where they are known. Raises `DiskFull`, or an OSError that names `path`.
    """
    # Not the process's id: workers on two machines may share it.
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with naming(path, part, size):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield part
            move(part, path)
    finally:
        with suppress(OSError):  # it took its place; or the disk, of which the block's error tells, refuses this too
            part.unlink()


def move(source: Path, path: Path) -> None:
    """Rename a complete file durably: after a power loss `path` is this file or the previous one."""
    _flush(source)
    os.replace(source, path)
    _flush(path.parent)


def append(path: Path, content: bytes) -> None:
    """Append to a file durably. Raises `DiskFull`, or an OSError that names `path`."""
    is_new = not path.exists()
    with naming(path, size=len(content)):
        with path.open("ab") as file:
            file.write(content)
        _flush(path)
        if is_new:
            _flush(path.parent)


@contextmanager
def naming(path: Path, part: Path | None = None, size: int | None = None) -> Iterator[None]:
    """Make a disk error name `path` if the system names no file, or the temporary `part`.

    `size`: bytes to be written, where they are known. Raises `DiskFull`, or the OSError.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None:  # no word of the system
            raise
        named = str(path) if error.filename in (None, str(part)) else str(error.filename)
        reason = error.strerror or os.strerror(error.errno)
        if error.errno in FULL:
            raise _full(named, part or path / "part", size, reason) from error
        raise OSError(error.errno, reason, named) from error


def empty(folder: Path) -> None:
    """Make an empty folder, removing what a folder of this name holds."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)  # another process of the same stage may make it, too


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    with replacing(path, len(content)) as part:
        part.write_bytes(content)


def write_json(path: Path, tree: Mapping[str, Any]) -> None:
    """Write JSON atomically, with six significant digits: what a person compares, stable to the byte.

    Raises ValueError for a NaN or an infinity: a metric that cannot be computed is left out, not written.
    """
    text = json.dumps({name: _rounded(value) for name, value in tree.items()}, indent=2, allow_nan=False)
    write_bytes(path, (text + "\n").encode())


def write_csv(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows, at least one, with the keys of the first as header, atomically and one at a time."""
    later = iter(rows)
    first = next(later)
    with replacing(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(first), lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _rounded(value) for name, value in row.items()} for row in chain([first], later))


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file with a header."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def digest(*paths: Path) -> str:
    """SHA-256 over the contents of files, in the order given."""
    sha = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                sha.update(block)
    return sha.hexdigest()


def verified(path: Path, sha256: str) -> bytes:
    """The content of a file. Raises FileNotFoundError, or `ChangedOriginal` where it has another SHA-256."""
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ChangedOriginal(path=path)
    return content


def lies_in(path: Path, folder: Path) -> bool:
    """Whether a path is a folder or lies in it, as the file system has it: also by links, mounts and other case."""
    whole = path.resolve()
    return any(_is_same(part, folder) for part in (whole, *whole.parents))


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:  # one of them is not there yet
        return one == other.resolve()


def _flush(path: Path) -> None:
    """Wait until the disk has a file's content, or a folder's names, where the system lets anybody wait for these."""
    if WINDOWS and path.is_dir():
        return
    handle = os.open(path, os.O_RDWR if WINDOWS else os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # of a file system that knows no waiting
            raise
    finally:
        os.close(handle)


def _full(path: str, part: Path, size: int | None, reason: str) -> DiskFull:
    folder = next(folder for folder in part.absolute().parents if folder.exists())
    free = shutil.disk_usage(folder).free + (part.stat().st_size if part.exists() else 0)
    needed = f"more than {_megabytes(free)}" if size is None else _megabytes(size)
    return DiskFull(path=path, reason=reason, needed=needed, free=_megabytes(free))


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.3g} MB"


def _rounded(value: Any) -> Any:
    if isinstance(value, float) and math.isfinite(value):
        return float(f"{value:.6g}")
    return value
