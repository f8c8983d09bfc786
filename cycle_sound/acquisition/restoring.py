"""Clips of the manifest, obtained again from their source where this workspace does not have them.

DVC keeps the manifest alone: another workspace, or an experiment that is gone back to, has it without its files. The
SHA-256 in it says what they must be, so nothing that a stage computes depends on how they came back.
"""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from cycle_sound import paths
from cycle_sound.acquisition import acquire, film_jobs, overlap, sources
from cycle_sound.acquisition.claims import Claims
from cycle_sound.acquisition.film_jobs import Task
from cycle_sound.acquisition.originals import Original
from cycle_sound.acquisition.sources.clip import Clip
from cycle_sound.errors import LostOriginals
from cycle_sound.io import pool, progress
from cycle_sound.io.pool import Job, Lost
from cycle_sound.params import DataConfig, Params

JOBS = -1  # processes: one per core
ABSENT = "the source does not list it"


def restore(originals: Iterable[Original], folder: Path, params: Params) -> None:
    """Obtain again the files of clips that a folder of pairs lacks, or that are known to be those of other clips.

    If none is missing, only their names are looked at. Bytes changed by hand are not noticed here, but when they are
    read. Raises `BadSource` if the source cannot be read, or if somebody else's file has one of the names; and, once
    all other files are restored, `LostOriginals` for clips that the source no longer provides.
    """
    claimed = Claims(folder)
    unknown = {one.name: one for one in claimed.unknown(originals)}
    if not unknown:
        return
    looks = {name: Job(partial(one.is_whole, folder), film_jobs.SECONDS) for name, one in unknown.items()}
    found = {name for name, is_whole in pool.here(looks, JOBS) if is_whole is True}
    claimed.note(unknown[name] for name in found)
    wanted = {name: one for name, one in unknown.items() if name not in found}
    if not wanted:
        return
    claimed.begin_again(wanted.values())
    reasons = _obtain(wanted, folder, params)
    claimed.note(one for name, one in wanted.items() if name not in reasons)
    if reasons:
        name, reason = min(reasons.items())
        raise LostOriginals(count=len(reasons), name=name, reason=reason)


def _obtain(wanted: dict[str, Original], folder: Path, params: Params) -> dict[str, str]:
    """Write the files of clips again; returns the reason for each clip that could not be obtained, by its name."""
    overlap.keep_apart(params.data, paths.made())
    ids = {one.id for one in wanted.values()}
    tasks: dict[str, Task] = {}
    for clip in sources.clips(params.data, params.audio.sample_rate, params.seed, ids):
        original = wanted.get(f"{clip.split}_data/{clip.id}")
        if original and original.name not in tasks:
            tasks[original.name] = Task(clip, partial(_obtain_one, clip, original, params.data, folder))
    reasons = dict.fromkeys(wanted.keys() - tasks.keys(), ABSENT)
    for name, result in progress.track(film_jobs.done(tasks, JOBS), len(tasks), "restore"):
        reason = film_jobs.why(tasks[name].clip, result) if isinstance(result, Lost) else result
        if reason:
            reasons[name] = reason
    return reasons


def _obtain_one(clip: Clip, original: Original, data: DataConfig, folder: Path, *film: Any) -> str:
    """Write one clip's files if they are the same as before, and return ""; otherwise return the reason."""
    finished, pair = acquire.obtained(clip, data, *film)
    if pair is None:
        return finished.row.reason
    if not original.is_of(finished.row.original):
        return "it has other bytes now"
    acquire.write(original, pair, folder)
    return ""
