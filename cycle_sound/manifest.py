"""data/raw/manifest.csv: the fate of every clip asked for, one row each."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, cast

from cycle_sound import files


@dataclass(frozen=True)
class Row:
    """One clip asked for."""

    id: str
    split: Literal["train", "test"]
    label: str  # "" where there is none
    group: str
    status: str  # "ok", or why not: a `Status` of cycle_sound.sources.clip, not imported for the later stages' sake
    reason: str  # in words; "" if ok
    attributes: Mapping[str, float] = field(default_factory=dict)
    picture_sha256: str = ""  # of the files written; "" unless ok
    sound_sha256: str = ""


def write(path: Path, rows: Iterable[Row]) -> None:
    """Write the rows, at least one, sorted by split and id."""
    tables = []
    for row in sorted(rows, key=lambda row: (row.split, row.id)):
        attributes = json.dumps(dict(row.attributes), sort_keys=True) if row.attributes else ""
        tables.append({**asdict(row), "attributes": attributes})
    files.write_csv(path, tables)


def read(path: Path) -> list[Row]:
    """The rows of a manifest. Raises FileNotFoundError, or ValueError if the file is something else."""
    try:
        return [_row(line) for line in files.read_csv(path)]
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: not a manifest of this version ({error!r}); run the download stage again") from None


def summary(rows: Iterable[Row]) -> dict[str, int]:
    """How many clips were asked for, are ok (in all and per split), and were rejected (in all and per status)."""
    rows = list(rows)
    accepted = Counter(row.split for row in rows if row.status == "ok")
    rejected = Counter(row.status for row in rows if row.status != "ok")
    return {
        "asked": len(rows),
        "ok": accepted.total(),
        "train": accepted["train"],
        "test": accepted["test"],
        "rejected": rejected.total(),
        **{f"rejected_{status}": count for status, count in sorted(rejected.items())},
    }


def _row(line: dict[str, str]) -> Row:
    if line["split"] not in ("train", "test"):
        raise KeyError(line["split"])
    return Row(
        id=line["id"],
        split=cast(Literal["train", "test"], line["split"]),
        label=line["label"],
        group=line["group"],
        status=line["status"],
        reason=line["reason"],
        attributes=json.loads(line["attributes"] or "{}"),
        picture_sha256=line["picture_sha256"],
        sound_sha256=line["sound_sha256"],
    )
