"""VGGSound's lists of clips, and the file names that stand for its clips.

The official list has four columns (`YouTube ID,start seconds,label,split`), the older pair of lists two
(`YTID_SSSSSS.mp4,label`); neither has a header. Ten seconds of a video, an excerpt, are known by the video's id and the
second they start at, and the public mirrors write that in three ways, which are all recognised here.
"""

import csv
import re
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from cycle_sound.errors import BadSource
from cycle_sound.io import bounded, names
from cycle_sound.params import SourceSplit

SECONDS = 10  # of an excerpt
VIDEO = r"[A-Za-z0-9_-]{11}"  # a YouTube id: it may hold `_` and begin with `-`
NAME = re.compile(rf"(?P<video>{VIDEO})_(?:(?P<start>\d{{1,6}})|(?P<first>\d{{1,9}})_(?P<last>\d{{1,9}}))", re.ASCII)

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Excerpt(NamedTuple):
    """Ten seconds of a video."""

    video: str  # YouTube id
    start: int  # seconds

    @property
    def name(self) -> str:
        """YTID_SSSSSS, as the older lists have it."""
        return f"{self.video}_{self.start:06d}"

    @property
    def long_names(self) -> tuple[str, str]:
        """YTID_SSSSSS and YTID_FIRST_LAST, in milliseconds: so long that no other file has them by chance."""
        return self.name, f"{self.video}_{1000 * self.start}_{1000 * (self.start + SECONDS)}"


class Listed(NamedTuple):
    """One row of a list."""

    excerpt: Excerpt
    label: str
    split: SourceSplit | None  # None where the list does not say


def recognised(stem: str) -> Excerpt | None:
    """The excerpt that a file name without extension stands for; None if it is none.

    `YTID_000030` and `YTID_30` count in seconds, `YTID_30000_40000` in milliseconds.
    """
    match = NAME.fullmatch(stem)
    if not match:
        return None
    if match["start"]:
        return Excerpt(match["video"], int(match["start"]))
    first, last = int(match["first"]), int(match["last"])
    return Excerpt(match["video"], first // 1000) if first % 1000 == 0 and first < last else None


def check(path: Path) -> None:
    """Raise `BadSource` for a list, or another file of settings, that is no file or has more than `bounded.MAX_LIST`.

    One that is missing passes.
    """
    if path.exists() and not path.is_file():  # a device or a pipe might never end
        raise BadSource(f"{path}: not a regular file")
    if path.exists() and (excess := bounded.excess(path, bounded.MAX_LIST)):
        raise BadSource(f"{path}: {excess}")


@contextmanager
def opened(path: Path) -> Iterator[Iterator[str]]:
    """The lines of a CSV file in UTF-8, with all names and labels in normal form.

    Raises `BadSource` for a missing file, for one that proves to be something else, and for one too large.
    """
    check(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            yield map(names.normal, file)
    except FileNotFoundError:
        raise BadSource(f"{path}: no such list") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadSource(f"{path}: not a CSV file in UTF-8: {error}") from None


def add(rows: dict[Key, Value], key: Key, value: Value, place: str) -> None:
    """Add a row of a list. The same row may come again; raises `BadSource` for another one, which contradicts it.

    `place`: the file, the line and the name, for the message.
    """
    if rows.setdefault(key, value) != value:
        raise BadSource(f"{place} is already listed, with different values")


def read(path: Path, split: SourceSplit | None) -> list[Listed]:
    """The rows of a list, each excerpt once. `split` is that of a list of two columns, which does not say.

    Raises `BadSource` for a missing, empty or malformed list, and for one that contradicts itself.
    """
    rows: dict[Excerpt, Listed] = {}
    with opened(path) as file:
        reader = csv.reader(file, strict=True)  # else a quote that is never closed takes all that follows
        for fields in filter(None, reader):
            row, place = _row(fields, split), f"{path}: line {reader.line_num}"
            if row is None:
                raise BadSource(f"{place}: needs ID,start,label,split or NAME.mp4,label")
            add(rows, row.excerpt, row, f"{place}: {row.excerpt.name}")
    if not rows:
        raise BadSource(f"{path}: lists no clips")
    return list(rows.values())


def _row(fields: Sequence[str], split: SourceSplit | None) -> Listed | None:
    match fields:
        case [video, start, label, "train" | "test" as side] if re.fullmatch(VIDEO, video):
            seconds = re.fullmatch(r"\d{1,6}", start, re.ASCII)
            return Listed(Excerpt(video, int(start)), label, side) if seconds else None
        case [name, label]:
            excerpt = recognised(Path(name).stem)
            return Listed(excerpt, label, split) if excerpt else None
    return None
