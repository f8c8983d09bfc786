"""Fetch every clip of a source, check it, write the good pairs, and keep account of all."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np

from cycle_sound import audio, files, images, manifest, paths, progress
from cycle_sound.manifest import Row
from cycle_sound.params import Data
from cycle_sound.sources.clip import Clip, Pair, Rejected

MAX_ID_BYTES = 200  # file systems allow 255, of which the extension and a temporary name need some
MAX_REASON = 300  # characters: a manifest is read by people


class TooManyRejected(ValueError):
    """More clips were rejected than data.max_rejected allows: the source is not what it was thought to be."""


def acquire(clips: Sequence[Clip], data: Data, into: Path, jobs: int = -1) -> list[Row]:
    """Fetch the clips in `jobs` processes (-1: one per core), write `into`/{train_data,test_data}/ID.jpg and ID.mp3.

    Whatever becomes of them, `into`/manifest.csv gets one row for each, before this function complains. Returns the
    rows. Raises `TooManyRejected`, and ValueError where no pair is left in train or in test.
    """
    if not clips:
        raise ValueError("the source offers no clips")
    for split in ("train", "test"):
        (into / f"{split}_data").mkdir(parents=True, exist_ok=True)
    again = _repeated(clips)
    todo = [joblib.delayed(_acquire)(clip, data, into, index in again) for index, clip in enumerate(clips)]
    done = joblib.Parallel(jobs, return_as="generator")(todo)
    rows = sorted(progress.track(done, len(todo), "download"), key=lambda row: (row.split, row.id))
    manifest.write(into / paths.MANIFEST.name, rows)
    _judge(rows, data.max_rejected)
    return rows


def check(pair: Pair, data: Data) -> None:
    """Decode a pair. Raises `Rejected`, `BadPicture` or `BadSound` if it cannot be learned from."""
    images.open_picture(pair.picture)
    wave, rate = audio.decode(pair.sound)
    if len(wave) < data.min_seconds * rate:
        raise Rejected("too_short", f"{len(wave) / rate:.3f} s of sound; data.min_seconds is {data.min_seconds}")
    loudest = _loudest_db(wave, rate)
    if loudest < data.silence_db:
        raise Rejected("silent", f"{loudest:.1f} dBFS in the loudest second; data.silence_db is {data.silence_db}")


def _acquire(clip: Clip, data: Data, into: Path, again: bool) -> Row:
    """One clip's row; its files are written if it is ok."""
    name, label, group = map(_printable, (clip.id, clip.label, clip.group))
    row = Row(name, clip.split, label, group, "ok", "", clip.attributes)
    try:
        _check_id(clip.id)
        if again:
            raise Rejected("duplicate", "another clip has this id, in the test split or before this one")
        pair = clip.fetch()
        check(pair, data)
    except Rejected as rejected:
        return replace(row, status=rejected.status, reason=_one_line(rejected.reason))
    except (images.BadPicture, audio.BadSound) as error:
        return replace(row, status="corrupt", reason=_one_line(str(error)))
    except Exception as error:  # one clip's content must not end the work on all others
        what = getattr(error, "strerror", None) or error  # of an error with a file, the words without the file's place
        return replace(row, status="corrupt", reason=_one_line(f"{type(error).__name__}: {what}"))
    place = into / f"{clip.split}_data"  # outside the `try`: a full disk is nobody's bad clip
    files.write_bytes(place / f"{clip.id}.jpg", pair.picture)
    files.write_bytes(place / f"{clip.id}.mp3", pair.sound)
    return replace(row, picture_sha256=_sha256(pair.picture), sound_sha256=_sha256(pair.sound))


def _check_id(name: str) -> None:
    """Refuse what cannot be, or should not be, a file's name: it could lead out of the folder."""
    faults = {
        "is empty": not name,
        "holds a path separator": "/" in name or "\\" in name,
        "holds a control character": any(ord(char) < 32 or ord(char) == 127 for char in name),
        "begins with a dot": name.startswith("."),
        "is not valid Unicode": any(0xD800 <= ord(char) < 0xE000 for char in name),
        f"is longer than {MAX_ID_BYTES} bytes": len(name.encode(errors="replace")) > MAX_ID_BYTES,
    }
    for fault, found in faults.items():
        if found:
            raise Rejected("corrupt", f"the id {fault}")


def _repeated(clips: Sequence[Clip]) -> set[int]:
    """Which clips have the id of another one that comes first; a test clip comes before any train clip."""
    ordered = sorted(range(len(clips)), key=lambda index: (clips[index].split != "test", index))
    seen: set[str] = set()
    again = set()
    for index in ordered:
        if clips[index].id in seen:
            again.add(index)
        seen.add(clips[index].id)
    return again


def _loudest_db(wave: np.ndarray, rate: int) -> float:
    """Level of the loudest second: a clip may hold one short sound."""
    return max(audio.level_db(wave[start : start + rate]) for start in range(0, len(wave), rate))


def _judge(rows: Sequence[Row], max_rejected: float) -> None:
    rejected = Counter(row.status for row in rows if row.status != "ok")
    share = rejected.total() / len(rows)
    if share > max_rejected:
        examples = {row.status: row.reason for row in reversed(rows)}
        named = "; ".join(f"{count} {status} ({examples[status]})" for status, count in rejected.most_common(3))
        allowed = f"data.max_rejected is {max_rejected:.0%}"
        raise TooManyRejected(f"{rejected.total()} of {len(rows)} clips rejected, {share:.0%}; {allowed}: {named}")
    for split in ("train", "test"):
        if not any(row.split == split and row.status == "ok" for row in rows):
            fates = ", ".join(f"{count} {status}" for status, count in rejected.most_common(3)) or "none rejected"
            raise ValueError(f"no {split} pairs are left of {len(rows)} clips asked for ({fates})")


def _printable(text: str) -> str:
    """A name that any file and any terminal can show."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _one_line(text: str) -> str:
    return _printable(" ".join(text.split()))[:MAX_REASON]


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
