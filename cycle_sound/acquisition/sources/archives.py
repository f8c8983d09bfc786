"""Local videos: files below a folder, and members of the tar and tar.gz archives there, which are never unpacked.

Archives are not trusted: their names are only compared, members are read up to a bound, and links are ignored.
"""

import gzip
import io
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import IO, NamedTuple, cast

from cycle_sound.acquisition.sources import lists
from cycle_sound.acquisition.sources.clip import Rejected
from cycle_sound.acquisition.sources.lists import Excerpt
from cycle_sound.errors import BadSource, BadTar
from cycle_sound.io import names, tar_members

EXTENSIONS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".flv", ".ogv", ".3gp")
TARS, GZIPPED = (".tar",), (".tar.gz", ".tgz")
MAX_EXPANSION = 20  # × its size, that an archive is unpacked to in reading it: videos do not get smaller by half
SPARE = 1 << 26  # bytes more: of few videos, what a tar pads them with


class Video(NamedTuple):
    """A local video: a file, or a member of an archive."""

    path: Path
    offset: int = 0  # bytes, in the archive's uncompressed content
    size: int | None = None  # bytes; None: the whole file

    @property
    def reach(self) -> int:
        """Bytes that are read to have it, at most: a compressed archive is read from its start on."""
        if self.size is None:
            return self.path.stat().st_size
        return self.size + (self.offset if _is_gzipped(self.path) else 0)

    def open(self, max_bytes: int) -> IO[bytes]:
        """The content as a seekable file. Raises `Rejected` for a member, which is read into memory, above `max_bytes`.

        A compressed archive is read from its start on, so members are best opened in their order.
        """
        if self.size is None:
            return self.path.open("rb")
        if self.size > max_bytes:
            raise Rejected("corrupt", f"{self.size} bytes in the archive; more than {max_bytes}")
        return io.BytesIO(_part(self.path, self.offset, self.size))


def is_video(name: str) -> bool:
    """Whether a file name, or a path in an archive, has a video's extension and is not hidden."""
    path = Path(name)
    return path.suffix.lower() in EXTENSIONS and not names.is_hidden(path)


def find(root: Path) -> dict[Excerpt, Video]:
    """The local excerpts below a folder, by the names of their files; a file has precedence over an archive's member.

    Raises `BadSource` for a broken archive: what it should hold would be missed silently.
    """
    shown = (path for path in sorted(root.rglob("*")) if not names.is_hidden(path.relative_to(root)))
    files = [path for path in shown if path.is_file()]
    found: dict[Excerpt, Video] = {}
    for path in files:
        _add(found, path.name, Video(path))
    for path in files:
        if path.name.lower().endswith(TARS + GZIPPED):
            for name, video in _members(path):
                _add(found, name, video)
    return found


def _add(found: dict[Excerpt, Video], name: str, video: Video) -> None:
    excerpt = lists.recognised(Path(name).stem) if is_video(name) else None
    if excerpt:
        found.setdefault(excerpt, video)


def _members(path: Path) -> Iterator[tuple[str, Video]]:
    """The regular files in an archive, by name."""
    packed = path.stat().st_size
    length = MAX_EXPANSION * packed + SPARE if _is_gzipped(path) else packed
    try:
        with _opened(path) as file:
            for member in tar_members.listed(file, length):
                yield member.name, Video(path, member.offset, member.size)
    except (BadTar, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BadSource(f"{path}: a broken archive, to be fetched again or moved away: {error}") from None


def _is_gzipped(path: Path) -> bool:
    return path.name.lower().endswith(GZIPPED)


def _opened(path: Path) -> IO[bytes]:
    """The uncompressed content of an archive."""
    return cast(IO[bytes], gzip.open(path)) if _is_gzipped(path) else path.open("rb")


_kept = lru_cache(maxsize=1)(_opened)  # the place in it, too: members come in their order, and gzip cannot jump


def _part(path: Path, offset: int, size: int) -> bytes:
    try:
        file = _kept(path)
        file.seek(offset)
        content = file.read(size)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        _kept.cache_clear()
        raise Rejected("corrupt", f"the archive is broken here: {error}") from None
    if len(content) < size:
        raise Rejected("corrupt", "the archive ends before the video does")
    return content
