"""Counts per label: clips asked for, accepted in train and in test, and rejected for each reason."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from cycle_sound.acquisition import manifest
from cycle_sound.acquisition.manifest import Row

UNLABELLED = "(no label)"
TOTAL = "(all)"
MARKUP = re.compile(r"<(?=[/!?A-Za-z])")  # where HTML sees a tag or a comment

NONE: Mapping[str, str] = {}


def table(rows: Iterable[Row], dropped: Mapping[str, str] = NONE) -> list[dict[str, str | int]]:
    """One row per label, sorted: label, asked, train, test, and the count of each other fate that occurs.

    The rows are to be shown: a `<` in a label that would begin or end something in HTML has a space behind it, since
    DVC writes labels into the script of a page of plots as they are.
    `dropped`: of accepted training clips that an audit has dropped the status, by id.
    """
    counts: dict[str, Counter[str]] = {}
    for row in rows:
        fate = dropped.get(row.id, row.fate) if row.fate == "train" else row.fate
        counts.setdefault(row.label or UNLABELLED, Counter())[fate] += 1
    statuses = sorted(set().union(*counts.values()) - {"train", "test"})
    return [
        {
            "label": MARKUP.sub("< ", label),
            "asked": fates.total(),
            **{name: fates[name] for name in ("train", "test", *statuses)},
        }
        for label, fates in sorted(counts.items())
    ]


def lines(rows: Sequence[Row], dropped: Mapping[str, str]) -> list[str]:
    """The table of the rows, at least one, with its totals, aligned for a terminal, and the split's digest."""
    counted = table(rows, dropped)
    names = list(counted[0])
    total = [TOTAL, *(sum(int(line[name]) for line in counted) for name in names[1:])]
    cells = [[str(cell) for cell in line] for line in (names, *(line.values() for line in counted), total)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [*(_aligned(line, widths) for line in cells), "", f"split {manifest.split_digest(rows)}"]


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    """The label to the left, the counts to the right."""
    label, *counts = (cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
    return "  ".join([cells[0].ljust(len(label)), *counts])
