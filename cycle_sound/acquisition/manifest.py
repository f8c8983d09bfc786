"""data/raw/manifest.csv: one row for every clip asked for, accepted or rejected."""

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from cycle_sound.acquisition.originals import Original
from cycle_sound.errors import BadManifest
from cycle_sound.io import files
from cycle_sound.params import LONE, SOURCE_SPLITS, Modality, SourceSplit

ATTRIBUTES = TypeAdapter(dict[str, int | float])


@dataclass(frozen=True, slots=True)
class Row:
    """One clip asked for."""

    id: str
    split: SourceSplit
    label: str  # "" where there is none
    group: str
    status: str  # "ok", or why not: a `Status` of sources.clip, not imported: later stages read this file without it
    reason: str  # in words; "" if ok
    attributes: Mapping[str, int | float] = field(default_factory=dict)
    picture_sha256: str = ""  # of the files written; "" unless ok, and where there is no such file
    sound_sha256: str = ""

    @property
    def original(self) -> Original:
        """The files of an accepted clip."""
        return Original(self.split, self.id, self.picture_sha256, self.sound_sha256)

    @property
    def lone(self) -> Modality | None:
        """The modality of an accepted clip that is a picture or a sound alone; None for a pair."""
        if bool(self.picture_sha256) == bool(self.sound_sha256):
            return None
        return "image" if self.picture_sha256 else "audio"

    @property
    def fate(self) -> str:
        """What became of a clip: its split, `lone_image` or `lone_audio` where it is ok, else its status."""
        if self.status != "ok":
            return self.status
        return LONE[self.lone] if self.lone else self.split


def write(path: Path, rows: Iterable[Row]) -> None:
    """Write the rows, at least one, sorted by split and id."""
    files.write_csv(path, map(_line, sorted(rows, key=lambda row: (row.split, row.id))))


def read(path: Path) -> list[Row]:
    """The rows of a manifest, at least one. Raises FileNotFoundError, or `BadManifest` for another file."""
    rows = list(each(path))
    if not rows:
        raise BadManifest(path=path)
    return rows


def each(path: Path) -> Iterator[Row]:
    """The rows of a manifest, one at a time. Raises FileNotFoundError, or `BadManifest` for another file."""
    with path.open(newline="", encoding="utf-8") as file:
        try:
            yield from map(_row, csv.DictReader(file))
        except (KeyError, TypeError, ValueError, csv.Error):
            raise BadManifest(path=path) from None


def summary(rows: Iterable[Row]) -> dict[str, int]:
    """How many clips were asked for, are ok (in all and per split), and were rejected (in all and per status).

    Of the accepted ones `train` and `test` are pairs; pictures and sounds alone, where there are any, have own counts.
    """
    rows = list(rows)
    accepted = Counter(row.fate for row in rows if row.status == "ok")
    rejected = Counter(row.status for row in rows if row.status != "ok")
    return {
        "asked": len(rows),
        "ok": accepted.total(),
        "train": accepted["train"],
        "test": accepted["test"],
        **{name: accepted[name] for name in LONE.values() if accepted[name]},
        "rejected": rejected.total(),
        **{f"rejected_{status}": count for status, count in sorted(rejected.items())},
    }


def split_digest(rows: Iterable[Row]) -> str:
    """A name of the split: 16 hex digits of the SHA-256 over the accepted clips' sorted CSV lines `split,id,label`.

    Two people with the same name have the same pairs on the same sides, though their files may differ: a video that is
    downloaded again is seldom the same to the byte. The split of a picture or a sound alone is its collection.
    """
    lines = io.StringIO(newline="")
    accepted = sorted((row.fate, row.id, row.label) for row in rows if row.status == "ok")
    csv.writer(lines, lineterminator="\n").writerows(accepted)
    return hashlib.sha256(lines.getvalue().encode()).hexdigest()[:16]


def _line(row: Row) -> dict[str, Any]:
    attributes = json.dumps(dict(row.attributes), sort_keys=True) if row.attributes else ""
    return {**asdict(row), "attributes": attributes}


def _row(line: dict[str, str]) -> Row:
    if line["split"] not in SOURCE_SPLITS or None in line or None in line.values():
        raise ValueError("a row of other columns")
    return Row(
        id=line["id"],
        split=line["split"],
        label=line["label"],
        group=line["group"],
        status=line["status"],
        reason=line["reason"],
        attributes=ATTRIBUTES.validate_json(line["attributes"] or "{}", strict=True),
        picture_sha256=line["picture_sha256"],
        sound_sha256=line["sound_sha256"],
    )
