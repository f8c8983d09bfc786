"""Reject clips that a corpus holds twice, and train clips that would leak into its test split."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from cycle_sound.acquisition import fingerprints
from cycle_sound.acquisition.fingerprints import PICTURE_BITS, SOUND_BITS, Fingerprint
from cycle_sound.acquisition.manifest import Row
from cycle_sound.params import DataConfig


def reject(rows: Sequence[Row], prints: Sequence[Fingerprint | None], data: DataConfig) -> list[Row]:
    """The rows, each in its place, with the status `duplicate` for each accepted row that

    - is a train clip of a group (a source video, a recording) that has test clips,
    - has the files of an earlier row, both picture and sound, or
    - has nearly both: within data.near_picture and data.near_sound bits of that row's fingerprint.

    `prints` are the fingerprints of the rows, None for those rejected. Of equal rows the first stays, so test rows must
    come first; otherwise ValueError. A row that is like rejected rows alone stays.
    """
    if any(row.split == "train" and after.split == "test" for row, after in pairwise(rows)):
        raise ValueError("the test rows must come before the train rows")
    return _near(_exact(_spanning(rows)), prints, data)


def _spanning(rows: Sequence[Row]) -> list[Row]:
    """Reject the train clips of the groups that have test clips."""
    test = {row.group for row in rows if row.split == "test" and row.status == "ok"}
    return [
        _rejected(row, f"the test split has clips of its group, {row.group}")
        if row.split == "train" and row.status == "ok" and row.group in test
        else row
        for row in rows
    ]


def _exact(rows: Sequence[Row]) -> list[Row]:
    """Reject rows whose picture and sound have the digests of an earlier accepted row's."""
    first: dict[tuple[str, str], Row] = {}
    settled = []
    for row in rows:
        if row.status == "ok":
            same = first.setdefault((row.picture_sha256, row.sound_sha256), row)
            row = row if same is row else _rejected(row, f"the picture and the sound of {same.split} clip {same.id}")
        settled.append(row)
    return settled


def _near(rows: Sequence[Row], prints: Sequence[Fingerprint | None], data: DataConfig) -> list[Row]:
    """Reject rows whose picture and sound are nearly those of an earlier row that stays."""
    settled = list(rows)
    places = [place for place, row in enumerate(rows) if row.status == "ok"]
    accepted = [print_ for row, print_ in zip(rows, prints, strict=True) if row.status == "ok" and print_]
    alike = fingerprints.near(accepted, data.near_picture, data.near_sound)
    for one, other in sorted(alike, key=lambda pair: (pair[1], pair[0])):  # whether `one` stays is decided before
        kept, row = settled[places[one]], settled[places[other]]
        if kept.status == row.status == "ok":
            differing = _differing(accepted[one], accepted[other])
            reason = f"nearly the picture and the sound of {kept.split} clip {kept.id}: {differing}"
            settled[places[other]] = _rejected(row, reason)
    return settled


def _differing(one: Fingerprint, other: Fingerprint) -> str:
    picture, sound = map(fingerprints.differing, one, other)
    return f"{picture} of {PICTURE_BITS} and {sound} of {SOUND_BITS} bits differ"


def _rejected(row: Row, reason: str) -> Row:
    return replace(row, status="duplicate", reason=reason, picture_sha256="", sound_sha256="")
