"""Fetch every clip of a source, check it, keep the good ones once each, and keep account of all."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cycle_sound import paths
from cycle_sound.acquisition import claims, duplicates, film_jobs, fingerprints, manifest, overlap, quality
from cycle_sound.acquisition.claims import Claims
from cycle_sound.acquisition.film_jobs import Task
from cycle_sound.acquisition.fingerprints import Fingerprint
from cycle_sound.acquisition.journal import Finished, Journal, States, file_states
from cycle_sound.acquisition.manifest import Row
from cycle_sound.acquisition.originals import Original
from cycle_sound.acquisition.sources.clip import Clip, Pair, Rejected, Status
from cycle_sound.errors import BadPicture, BadSound, BadSource
from cycle_sound.io import files, names, pool, progress
from cycle_sound.io.pool import Job, Lost
from cycle_sound.media import containers, images, sound_files
from cycle_sound.params import DataConfig

MAX_ID_BYTES = 200  # file systems allow 255, of which the extension and a temporary name need some
MAX_REASON = 300  # characters: a manifest is read by people


def acquire(
    clips: Sequence[Clip], data: DataConfig, into: Path, jobs: int = -1, journal: Journal | None = None
) -> list[Row]:
    """Fetch the clips in `jobs` processes (-1: one per core), write `into`/{train_data,test_data}/ID.jpg and ID.mp3.

    A lone picture or sound has only one of the two files.

    `into`/manifest.csv gets one row per clip, accepted or rejected. Files in `into` that earlier runs wrote are
    removed once all clips are there; all others stay. A clip that `journal` lists as finished, and whose files are
    intact, is not fetched again, unless it was unavailable or a file that it is made of has changed. Returns the rows;
    the next stage judges whether enough were accepted. Raises `BadSource`, before anything is changed, if there are no
    clips, if a clip is made of a file in `into`, or if somebody else's file has a name that is to be written.
    """
    if not clips:
        raise BadSource("the source offers no clips")
    folders = [into / name for name in claims.FOLDERS]
    overlap.keep_clips_apart(clips, [into, *folders])
    claimed = Claims(into)
    wanted = {f"{clip.split}_data/{clip.id}" for clip in clips if _fault(clip.id) is None}
    claimed.begin(wanted)
    for folder in folders:
        folder.mkdir(exist_ok=True)
    fates = _fates(clips, data, into, jobs, journal)
    fates.sort(key=lambda fate: (fate.row.split != "test", fate.row.id))
    rows = duplicates.reject([fate.row for fate in fates], [fate.fingerprint for fate in fates], data)
    manifest.write(into / paths.MANIFEST.name, rows)
    claimed.end(row.original for row in rows if row.status == "ok")
    return rows


def check(pair: Pair, data: DataConfig) -> Fingerprint:
    """Decode a pair, or a lone picture or sound, and return its fingerprint; of a sound, only the part used is decoded.

    Raises `Rejected`, `BadPicture` or `BadSound` if it cannot be learned from.
    """
    picture = None if pair.picture is None else images.open_picture(pair.picture)
    sound = None if pair.sound is None else _audible(pair.sound, data)
    return fingerprints.of(picture, sound)


def _audible(sound: bytes, data: DataConfig) -> tuple[np.ndarray, int]:
    """The waveform of a sound, as far as it is used, and its rate in Hz. Raises `Rejected` or `BadSound`."""
    wave, rate = sound_files.decode(sound, seconds=data.clip_seconds)
    if len(wave) < data.min_seconds * rate:
        raise Rejected("too_short", f"{len(wave) / rate:.3f} s of sound; data.min_seconds is {data.min_seconds}")
    part = f"its first {data.clip_seconds:g} s, of which alone is learned (data.clip_seconds)"
    loudest = quality.loudest_db(wave, rate)
    if loudest < data.silence_db:
        raise Rejected(
            "silent", f"{loudest:.1f} dBFS in the loudest second of {part}; data.silence_db is {data.silence_db}"
        )
    clipped = quality.clipped(wave)
    if clipped > data.max_clipped:
        raise Rejected("corrupt", f"{clipped:.0%} at full scale in {part}; data.max_clipped is {data.max_clipped}")
    return wave, rate


def _fates(clips: Sequence[Clip], data: DataConfig, into: Path, jobs: int, journal: Journal | None) -> list[Finished]:
    """What becomes of each clip, in the order of the clips; on record as soon as it is known."""
    fates = _refused(clips)
    states = {index: file_states(clip) for index, clip in enumerate(clips)} if journal else {}
    called = {index: (clip.split, clip.id) for index, clip in enumerate(clips) if index not in fates}
    known = {} if journal is None else journal.finished
    past = {index: known[name] for index, name in called.items() if name in known}
    fates |= _standing(past, states, into, jobs)
    todo = {index: clip for index, clip in enumerate(clips) if index not in fates}
    for index, finished in progress.track(_finished(todo, data, into, jobs), len(todo), "download"):
        if journal:
            journal.add(finished._replace(files=states[index]))
        fates[index] = finished
    return [fates[index] for index in range(len(clips))]


def _refused(clips: Sequence[Clip]) -> dict[int, Finished]:
    """The fates of clips that are rejected unfetched: their ids cannot name files, or repeat those of other clips."""
    again = "another clip has this id, in the test split or before this one"
    reasons: dict[int, tuple[Status, str]] = {index: ("duplicate", again) for index in _repeated(clips)}
    reasons |= {index: ("corrupt", f"the id {fault}") for index, clip in enumerate(clips) if (fault := _fault(clip.id))}
    return {index: _fate(_row(clips[index]), *reason) for index, reason in reasons.items()}


def _standing(past: Mapping[int, Finished], states: Mapping[int, States], into: Path, jobs: int) -> dict[int, Finished]:
    """The fates from an earlier run that still hold: those of clips whose files have not changed."""
    same = {index: finished for index, finished in past.items() if finished.files == states.get(index)}
    looks = {index: Job(partial(_stands, finished.row, into), film_jobs.SECONDS) for index, finished in same.items()}
    return {index: past[index] for index, stands in pool.here(looks, jobs) if stands is True}


def _finished(clips: Mapping[int, Clip], data: DataConfig, into: Path, jobs: int) -> Iterator[tuple[int, Finished]]:
    """What becomes of each clip, as soon as it is known."""
    tasks = {index: Task(clip, partial(_acquire, clip, data, into)) for index, clip in clips.items()}
    for index, result in film_jobs.done(tasks, jobs):
        lost = isinstance(result, Lost)
        yield index, _fate(_row(clips[index]), "corrupt", film_jobs.why(clips[index], result)) if lost else result


def _acquire(clip: Clip, data: DataConfig, into: Path, *film: Any) -> Finished:
    """One clip's fate, with its files written if it is ok."""
    finished, pair = obtained(clip, data, *film)
    if pair:
        write(finished.row.original, pair, into)
    return finished


def obtained(clip: Clip, data: DataConfig, *film: Any) -> tuple[Finished, Pair | None]:
    """One clip's fate, and its content if accepted. `film`: the loaded film that it is cut from, if any."""
    row = _row(clip)
    try:
        pair = clip.fetch(*film)
        fingerprint = check(pair, data)
    except Rejected as rejected:
        return _fate(row, rejected.status, rejected.reason), None
    except (BadPicture, BadSound) as error:
        return _fate(row, "corrupt", str(error)), None
    except Exception as error:  # one clip's content must not end the work on all others
        what = getattr(error, "strerror", None) or error  # of an error with a file, the words without the file's place
        status: Status = "unavailable" if containers.is_of_system(error) else "corrupt"
        return _fate(row, status, f"{type(error).__name__}: {what}"), None
    ok = replace(row, picture_sha256=_sha256(pair.picture), sound_sha256=_sha256(pair.sound))
    return Finished(ok, fingerprint), pair


def write(original: Original, pair: Pair, into: Path) -> None:
    """Write those files of a clip for which `original` names a digest."""
    digests = original.picture_sha256, original.sound_sha256
    for path, content, digest in zip(original.places(into), pair, digests, strict=True):
        if content is not None and digest:
            files.write_bytes(path, content)


def _row(clip: Clip) -> Row:
    """The row of a clip that is ok."""
    name, label, group = map(names.printable, (clip.id, clip.label, clip.group))
    return Row(name, clip.split, label, group, "ok", "", clip.attributes)


def _fate(row: Row, status: Status, reason: str) -> Finished:
    return Finished(replace(row, status=status, reason=names.one_line(reason)[:MAX_REASON]), None)


def _stands(row: Row, into: Path) -> bool:
    """Whether a fate still holds: accepted files must still be intact, and unavailable clips are tried again."""
    return row.original.is_whole(into) if row.status == "ok" else row.status != "unavailable"


def _fault(name: str) -> str | None:
    """What is wrong with an id that cannot be, or should not be, a file's name: it could lead out of the folder."""
    faults = {
        "is empty": not name,
        "holds a path separator": "/" in name or "\\" in name,
        "holds an unprintable character": names.printable(name) != name,  # a line break, half of a surrogate pair
        "begins with a dot": name.startswith("."),
        f"is longer than {MAX_ID_BYTES} bytes": len(name.encode(errors="replace")) > MAX_ID_BYTES,
    }
    return next((fault for fault, found in faults.items() if found), None)


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


def _sha256(content: bytes | None) -> str:
    return "" if content is None else hashlib.sha256(content).hexdigest()
