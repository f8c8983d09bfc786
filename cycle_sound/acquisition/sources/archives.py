"""Local videos: files below a folder, and members of the tar archives there, compressed or not, never unpacked.

Archives are not trusted: their names are only compared, members have a size that was found in listing them, and links
are ignored.
"""

import bz2
import gzip
import os
import zlib
from collections.abc import Iterator
from functools import lru_cache
from lzma import LZMAError
from pathlib import Path
from typing import IO, Any, NamedTuple

from cycle_sound.acquisition.sources import lists
from cycle_sound.acquisition.sources.clip import Rejected
from cycle_sound.acquisition.sources.footage import Film
from cycle_sound.acquisition.sources.lists import Excerpt
from cycle_sound.errors import BadSource, BadTar
from cycle_sound.io import names, tar_members
from cycle_sound.io.xz import XzFile
from cycle_sound.media import containers

TAR = ".tar"
COMPRESSED: dict[str, Any] = {  # tars, and what opens them
    **dict.fromkeys((".tar.gz", ".tgz"), gzip.open),
    **dict.fromkeys((".tar.bz2", ".tbz2", ".tbz"), bz2.open),
    **dict.fromkeys((".tar.xz", ".txz"), XzFile),
}
BROKEN = (OSError, EOFError, zlib.error, LZMAError)  # what reading them raises
MAX_EXPANSION = 20  # × its size, that an archive is unpacked to in reading it: videos do not get smaller by half
SPARE = 1 << 26  # bytes more: of few videos, what a tar pads them with


class Video(NamedTuple):
    """A local video: a file, or a member of an archive."""

    path: Path
    offset: int = 0  # bytes, in the archive's uncompressed content
    size: int | None = None  # bytes; None: the whole file

    @property
    def length(self) -> int:
        """Its size in bytes."""
        return self.path.stat().st_size if self.size is None else self.size

    def load(self) -> Film:
        """The video, in memory where it is a member; of members loaded in their order the archive is read once."""
        if self.size is None:
            return Film(self.path)
        try:
            return Film(_part(self.path, self.offset, self.size))
        except Rejected as rejected:
            return Film(rejected)


def is_video(name: str) -> bool:
    """Whether a file name, or a path in an archive, has a video's extension and is not hidden."""
    path = Path(name)
    return path.suffix.lower() in containers.ENDINGS and not names.is_hidden(path)


def find(root: Path) -> dict[Excerpt, Video]:
    """The local excerpts below a folder, by the names of their files; a file has precedence over an archive's member.

    Raises `BadSource` for a broken archive: what it should hold would be missed silently.
    """
    files = _files(root)
    found: dict[Excerpt, Video] = {}
    for path in files:
        _add(found, path.name, Video(path))
    for path in files:
        if path.name.lower().endswith((TAR, *COMPRESSED)):
            for name, video in _members(path):
                _add(found, name, video)
    return found


def _files(root: Path) -> list[Path]:
    """The files below a folder, hidden ones aside, in order of their paths; also in folders that links lead to.

    What several ways lead to is found by one of them, and a link back to where it came from leads nowhere.
    """
    seen: set[tuple[int, int]] = set()
    found = []
    for place, folders, files in os.walk(root, followlinks=True):
        status = os.stat(place)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not names.is_hidden(Path(name)))
        found += [Path(place, name) for name in files if not names.is_hidden(Path(name))]
    return sorted(path for path in found if path.is_file())


def _add(found: dict[Excerpt, Video], name: str, video: Video) -> None:
    excerpt = lists.recognised(Path(name).stem) if is_video(name) else None
    if excerpt:
        found.setdefault(excerpt, video)


def _members(path: Path) -> Iterator[tuple[str, Video]]:
    """The regular files in an archive, by name."""
    packed = path.stat().st_size
    length = packed if path.name.lower().endswith(TAR) else MAX_EXPANSION * packed + SPARE
    try:
        with _opened(path) as file:
            for member in tar_members.listed(file, length):
                yield member.name, Video(path, member.offset, member.size)
    except (BadTar, *BROKEN) as error:
        if containers.is_of_system(error):
            raise
        raise BadSource(f"{path}: broken archive: fetch it again or move it away: {error}") from None


def _opened(path: Path) -> IO[bytes]:
    """The uncompressed content of an archive."""
    unpack = next((COMPRESSED[ending] for ending in COMPRESSED if path.name.lower().endswith(ending)), None)
    file: IO[bytes] = unpack(path) if unpack else path.open("rb")
    return file


@lru_cache(maxsize=1)
def _kept(path: Path) -> IO[bytes]:
    """An open archive at its last position: members are read in order, as compressed data can only be read forwards."""
    return _opened(path)


def _part(path: Path, offset: int, size: int) -> bytes:
    try:
        file = _kept(path)
        file.seek(offset)
        content = file.read(size)
    except BROKEN as error:
        _kept.cache_clear()
        what = getattr(error, "strerror", None) or error  # of an error with a file, the words without the file's place
        if containers.is_of_system(error):
            raise Rejected("unavailable", f"the archive cannot be read: {what}") from None
        raise Rejected("corrupt", f"the archive is broken here: {what}") from None
    if len(content) < size:
        raise Rejected("corrupt", "the archive ends before the video does")
    return content
