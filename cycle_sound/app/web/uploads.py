"""What visitors of the page upload, and films made of it: a folder of this process alone, gone with it.

It is bounded in age, number and size.
"""

import atexit
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Collection
from contextlib import suppress
from functools import cache
from pathlib import Path

FOLDER = Path(tempfile.gettempdir()).resolve() / f"cycle-sound-{secrets.token_hex(8)}"
MAX_AGE = 3600.0  # seconds: who comes back later uploads again
MAX_FILES = 1000  # of a few bytes each they would cost inodes and memory, not space
MAX_BYTES = 2 << 30  # of all files together: sixty of the largest


@cache
def prepare() -> None:
    """Make the folder, for this user alone; it is deleted when the process ends."""
    FOLDER.mkdir(mode=0o700, exist_ok=True)
    atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)


def holds(path: str) -> bool:
    """Whether a path, as a visitor names it, lies in the folder."""
    return Path(path).resolve().is_relative_to(FOLDER)


def free(ending: str) -> Path:
    """Where to write a file that is made, under a name that nobody guesses."""
    return FOLDER / f"{secrets.token_hex(16)}{ending}"


def files() -> set[Path]:
    """All files in the folder, those that are still being sent among them."""
    return {path for path in FOLDER.rglob("*") if path.is_file()}


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


def _delete(path: Path) -> None:
    """Delete a file, and its folder with the last of them."""
    path.unlink(missing_ok=True)
    if path.parent != FOLDER:
        with suppress(OSError):  # it holds another
            os.rmdir(path.parent)
