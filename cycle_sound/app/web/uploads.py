"""What visitors of the page upload, and films made of it: a folder of this process alone, gone with it.

It is bounded in age, number and size.
"""

import atexit
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Collection
from contextlib import suppress
from functools import cache
from pathlib import Path

FOLDER = Path(tempfile.gettempdir()).resolve() / f"cycle-sound-{secrets.token_hex(8)}"
FOLDERS = re.compile(r"cycle-sound-[0-9a-f]{16}")  # of all processes
MAX_AGE = 3600.0  # seconds: who comes back later uploads again
MAX_FILES = 1000  # of a few bytes each they would cost inodes and memory, not space
MAX_BYTES = 2 << 30  # of all files together: sixty of the largest


@cache
def prepare() -> None:
    """Make the folder, for this user alone; it is deleted when the process ends, or if that is killed, by the next one.

    Held by a lock, which ends with its process however that ends; where folders cannot be locked, as on Windows, that
    of a killed process stays.
    """
    FOLDER.mkdir(mode=0o700, exist_ok=True)
    _locked(FOLDER)
    atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
    for folder in FOLDER.parent.iterdir():
        if FOLDERS.fullmatch(folder.name):
            with suppress(OSError):
                _delete_left(folder)


def holds(path: str) -> bool:
    """Whether a path, as a visitor names it, lies in the folder."""
    return Path(path).resolve().is_relative_to(FOLDER)


def free(ending: str) -> Path:
    """Where to write a file that is made, under a name that nobody guesses."""
    return FOLDER / f"{secrets.token_hex(16)}{ending}"


def files() -> set[Path]:
    """All files in the folder, those that are still being sent among them."""
    walk = os.walk(FOLDER)  # passes over a folder that has gone meanwhile
    return {path for folder, _, names in walk for path in map(Path(folder).joinpath, names) if path.is_file()}


def tidy(kept: Collection[Path] = ()) -> None:
    """Delete the files older than MAX_AGE, and of the others the oldest beyond MAX_FILES and MAX_BYTES.

    Those in `kept` stay and do not count.
    """
    entries = []
    for path in files().difference(kept):
        with suppress(FileNotFoundError):  # one that was being sent has got its name
            entries.append((path.stat(), path))
    entries.sort(key=lambda entry: entry[0].st_mtime, reverse=True)
    oldest, room = time.time() - MAX_AGE, MAX_BYTES
    for number, (status, path) in enumerate(entries):
        room -= status.st_size
        if number >= MAX_FILES or room < 0 or status.st_mtime < oldest:
            _delete(path)


def _locked(folder: Path) -> int | None:
    """A handle that holds a folder until it is closed; None where another process holds it, or nothing can."""
    try:
        import fcntl
    except ModuleNotFoundError:
        return None
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


def _delete_left(folder: Path) -> None:
    """Delete a folder of this user that no process holds; an empty one may be that of a process that is just starting.

    Raises OSError where it cannot be looked into.
    """
    if (handle := _locked(folder)) is not None:
        try:
            if os.fstat(handle).st_uid == os.getuid() and any(folder.iterdir()):
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(handle)


def _delete(path: Path) -> None:
    """Delete a file, and its folder with the last of them."""
    path.unlink(missing_ok=True)
    if path.parent != FOLDER:
        with suppress(OSError):  # it holds another
            os.rmdir(path.parent)
