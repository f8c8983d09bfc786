"""Size limits for untrusted files that are read whole, and journals read with a limit per line."""

from collections.abc import Iterator
from pathlib import Path

MAX_MEDIA = 1 << 30  # bytes of a picture or a sound: no picture is so large, nor ten minutes of sound
MAX_LIST = 1 << 28  # bytes of a list of clips: ten million rows of 25
MAX_LINE = 1 << 20  # bytes of a line of a journal: it tells of one clip


def excess(path: Path, most: int) -> str:
    """What is wrong with a file of more than so many bytes, in words; "" where it has no more."""
    size = path.stat().st_size
    return f"{size / 2**30:.1f} GiB: more than is read" if size > most else ""


def lines(path: Path) -> Iterator[str]:
    """The lines of a journal without their ends; one of MAX_LINE bytes or more, which no program wrote, is skipped.

    They are read as UTF-8, and what is none is replaced.
    """
    with path.open("rb") as file:
        is_begun = False  # a line that is too long
        while piece := file.readline(MAX_LINE):
            is_whole = piece.endswith(b"\n") or len(piece) < MAX_LINE
            if is_whole and not is_begun:
                yield piece.removesuffix(b"\n").decode("utf-8", "replace")
            is_begun = not is_whole
