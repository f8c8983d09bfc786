"""VGGSound's lists, and the names its clips go by.

The official list has four columns (`YouTube ID,start seconds,label,split`), the older pair of lists two
(`YTID_SSSSSS.mp4,label`); neither has a header. Ten seconds of a video, an excerpt, are known by the video's id and the
second they start at, and the public mirrors write that in three ways, which are all recognised here.
"""

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

SECONDS = 10  # of an excerpt
VIDEO = r"[A-Za-z0-9_-]{11}"  # a YouTube id: it may hold `_` and begin with `-`
NAME = re.compile(rf"(?P<video>{VIDEO})_(?:(?P<start>\d{{1,6}})|(?P<first>\d{{1,9}})_(?P<last>\d{{1,9}}))", re.ASCII)

Split = Literal["train", "test"]


class Excerpt(NamedTuple):
    """Ten seconds of a video."""

    video: str  # YouTube id
    start: int  # seconds

    @property
    def name(self) -> str:
        """YTID_SSSSSS, as the older lists have it."""
        return f"{self.video}_{self.start:06d}"


class Listed(NamedTuple):
    """One row of a list."""

    excerpt: Excerpt
    label: str
    split: Split | None  # None where the list does not say


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


def read(path: Path, split: Split | None = None) -> list[Listed]:
    """The rows of a list, each excerpt once. `split` is that of a list of two columns, which does not say.

    Raises ValueError, one line, for a missing, empty or malformed list, and one that contradicts itself.
    """
    rows: dict[Excerpt, Listed] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            for fields in filter(None, reader):
                row = _row(fields, split)
                if row is None:
                    raise ValueError(f"{path}: line {reader.line_num}: needs ID,start,label,split or NAME.mp4,label")
                if rows.setdefault(row.excerpt, row) != row:
                    raise ValueError(
                        f"{path}: line {reader.line_num}: {row.excerpt.name} is listed before, differently"
                    )
    except FileNotFoundError:
        raise ValueError(f"no such list: {path}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: not a CSV file in UTF-8: {error}") from None
    if not rows:
        raise ValueError(f"{path}: lists no clips")
    return list(rows.values())


def _row(fields: Sequence[str], split: Split | None) -> Listed | None:
    match fields:
        case [video, start, label, "train" | "test" as side] if re.fullmatch(VIDEO, video):
            seconds = re.fullmatch(r"\d{1,6}", start, re.ASCII)
            return Listed(Excerpt(video, int(start)), label, side) if seconds else None
        case [name, label]:
            excerpt = recognised(Path(name).stem)
            return Listed(excerpt, label, split) if excerpt else None
    return None
