"""Reject clips that a corpus holds twice, and train clips that would leak into its test split."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from cycle_sound.acquisition import fingerprints
from cycle_sound.acquisition.fingerprints import PICTURE_BITS, SOUND_BITS, Fingerprint
from cycle_sound.acquisition.manifest import Row
from cycle_sound.params import DataConfig, Modality

SIDES: dict[Modality | None, str] = {  # what a clip of one modality alone has, and what a pair has
    None: "the picture and the sound",
    "image": "the picture",
    "audio": "the sound",
}


def reject(rows: Sequence[Row], prints: Sequence[Fingerprint | None], data: DataConfig) -> list[Row]:
    """The rows, each in its place, with the status `duplicate` for each accepted row that

    - is a train clip of a group (a source video, a recording) that has test clips,
    - has the files of an earlier row, both picture and sound,
    - has nearly both: within data.near_picture and data.near_sound bits of that row's fingerprint, or
    - is a picture, or a sound, alone, and has nearly that of a pair that stays. Lone clips that are only nearly alike
      stay: the pictures of one film are, and none of them is tested.

    `prints` are the fingerprints of the rows, None for those rejected. Of equal rows the first stays, so test rows must
    come first; otherwise ValueError. A row that is like rejected rows alone stays.
    """
    if any(row.split == "train" and after.split == "test" for row, after in pairwise(rows)):
        raise ValueError("the test rows must come before the train rows")
    return _lone(_near(_exact(_spanning(rows)), prints, data), prints, data)


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
    """Reject rows all of whose files have the digests of an earlier accepted row."""
    first: dict[tuple[str, str], Row] = {}
    settled = []
    for row in rows:
        if row.status == "ok":
            same = first.setdefault((row.picture_sha256, row.sound_sha256), row)
            row = row if same is row else _rejected(row, f"{SIDES[row.lone]} of {same.split} clip {same.id}")
        settled.append(row)
    return settled


def _near(rows: Sequence[Row], prints: Sequence[Fingerprint | None], data: DataConfig) -> list[Row]:
    """Reject rows whose picture and sound are nearly those of an earlier row that stays."""
    settled = list(rows)
    places, accepted = _accepted(rows, prints, None)
    alike = fingerprints.near(accepted, data.near_picture, data.near_sound)
    for one, other in sorted(alike, key=lambda pair: (pair[1], pair[0])):  # whether `one` stays is decided before
        kept, row = settled[places[one]], settled[places[other]]
        if kept.status == row.status == "ok":
            differing = _differing(accepted[one], accepted[other])
            reason = f"nearly the picture and the sound of {kept.split} clip {kept.id}: {differing}"
            settled[places[other]] = _rejected(row, reason)
    return settled


def _lone(rows: Sequence[Row], prints: Sequence[Fingerprint | None], data: DataConfig) -> list[Row]:
    """Reject pictures and sounds alone that are nearly those of a pair."""
    settled = list(rows)
    pairs, of_pairs = _accepted(rows, prints, None)
    halves: dict[Modality, tuple[int, int, int]] = {
        "image": (0, data.near_picture, PICTURE_BITS),
        "audio": (1, data.near_sound, SOUND_BITS),
    }
    for modality, (half, most, bits) in halves.items():
        places, own = _accepted(rows, prints, modality)
        found = fingerprints.first_near([one[half] for one in own], [one[half] for one in of_pairs], most)
        for place, print_, first in zip(places, own, found, strict=True):
            if first is not None:
                pair, count = rows[pairs[first]], fingerprints.differing(print_[half], of_pairs[first][half])
                reason = f"nearly {SIDES[modality]} of {pair.split} clip {pair.id}: {count} of {bits} bits differ"
                settled[place] = _rejected(rows[place], reason)
    return settled


def _accepted(
    rows: Sequence[Row], prints: Sequence[Fingerprint | None], lone: Modality | None
) -> tuple[list[int], list[Fingerprint]]:
    """The places and fingerprints of the accepted pairs, or of the accepted clips of one modality alone."""
    found = [
        (place, print_)
        for place, (row, print_) in enumerate(zip(rows, prints, strict=True))
        if row.status == "ok" and row.lone == lone and print_
    ]
    return [place for place, _ in found], [print_ for _, print_ in found]


def _differing(one: Fingerprint, other: Fingerprint) -> str:
    picture, sound = map(fingerprints.differing, one, other)
    return f"{picture} of {PICTURE_BITS} and {sound} of {SOUND_BITS} bits differ"


def _rejected(row: Row, reason: str) -> Row:
    return replace(row, status="duplicate", reason=reason, picture_sha256="", sound_sha256="")
