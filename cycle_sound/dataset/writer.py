"""From pairs of files to shards: decode, resample, log-mel, crop. One shard is one job, whoever runs it.

A finished shard has a receipt: its key, which is a digest of all that its bytes depend on, and the digest of its bytes.
A later run keeps what has the right receipt. Receipts lie apart from the shards, which are the same whatever made them.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cycle_sound import paths
from cycle_sound.acquisition import splits
from cycle_sound.acquisition.manifest import Row
from cycle_sound.dataset import indexing, tars
from cycle_sound.dataset.indexing import Contents
from cycle_sound.dataset.tars import Sample
from cycle_sound.errors import EmptySplit, StaleWorker
from cycle_sound.io import code, files, memory, pool, progress
from cycle_sound.io.pool import Job
from cycle_sound.media import images, mel, sound_files
from cycle_sound.params import SPLITS, Params, SplitName

CODE = code.digest(__name__)  # as loaded, though the files change afterwards
PAIR_SECONDS = 60.0  # for one pair, on average, where one takes a hundredth of a second: beyond it, a decoder hangs


class Part(NamedTuple):
    """One shard to be written: where to, where its receipt goes, the key, and the pairs."""

    path: Path
    receipt: Path
    key: str
    rows: Sequence[Row]


class Written(NamedTuple):
    """A shard that is there."""

    digest: str
    members: np.ndarray  # int64 (pairs, 2, 2), of `tars.members`


def split(rows: Sequence[Row], valid_share: float) -> dict[SplitName, list[Row]]:
    """The accepted rows of each split, in a fixed shuffled order; valid is held out of train by group."""
    accepted = sorted((row for row in rows if row.status == "ok"), key=lambda row: splits.order(row.id))
    valid = splits.held_out((row.group for row in accepted if row.split == "train"), valid_share)
    members: dict[SplitName, list[Row]] = {name: [] for name in SPLITS}
    for row in accepted:
        members["valid" if row.split == "train" and row.group in valid else row.split].append(row)
    return members


def sample(row: Row, raw: Path, params: Params) -> Sample:
    """Decode one pair into what a shard holds. Raises `ChangedOriginal` for files that the manifest does not name."""
    picture = images.open_picture(row.original.picture(raw))
    seconds = params.data.clip_seconds
    sound, rate = sound_files.decode(row.original.sound(raw), seconds=seconds + mel.MARGIN)
    facts = {"id": row.id, "label": row.label, "group": row.group, "attributes": dict(row.attributes)}
    log_mel = mel.of_clip(sound, rate, params.audio, seconds)
    return Sample(images.to_array(picture, params.image.size), log_mel, facts)


def key(rows: Sequence[Row], params: Params) -> str:
    """A digest of all that a shard's bytes depend on: its rows with their files' digests, the parameters, the code."""
    pictures, sounds = params.image.model_dump(), params.audio.model_dump()
    settings = [params.data.clip_seconds, pictures, sounds, params.shard.jpeg_quality]
    facts = [settings, CODE, [asdict(row) for row in rows]]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def write(part: Part, raw: Path, params: Params) -> Written:
    """Write one shard, with one pair in memory at a time, unless its receipt says that it is there.

    Raises `StaleWorker` in a worker that would not write what the stage wants: it has loaded other code.
    """
    if part.key != key(part.rows, params):
        raise StaleWorker()
    digest = _finished(part)
    if digest is None:
        memory.keep_freed()
        tars.write_shard(part.path, (sample(row, raw, params) for row in part.rows), params.shard.jpeg_quality)
        digest = files.digest(part.path)
        files.write_bytes(part.receipt, f"{part.key} {digest}".encode())
    return Written(digest, tars.members(part.path))


def batched(rows: Sequence[Row], size: int) -> list[Sequence[Row]]:
    """Rows in parts of `size`; the last may be shorter."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def shard(
    rows: Sequence[Row], raw: Path, into: Path, receipts: Path, params: Params, workers: int = -1
) -> dict[str, int]:
    """Write every accepted pair into the shards of its split, then the splits' columns and the index.

    The bytes depend neither on the number of `workers` (-1: one per core) nor on what an earlier run has left in `into`
    and `receipts`. Returns the number of pairs per split. Raises `EmptySplit`, and what `pool.run` raises.
    """
    members = split(rows, params.data.valid_share)
    for name in SPLITS:
        if not members[name]:
            raise EmptySplit(split=name)
    into, receipts = into.absolute(), receipts.absolute()  # a cluster's workers may stand in another folder
    parts = {
        name: [
            Part(into / f"{name}-{number:06d}.tar", receipts / f"{name}-{number:06d}", key(some, params), some)
            for number, some in enumerate(batched(members[name], params.shard.pairs_per_shard))
        ]
        for name in SPLITS
    }
    (into / paths.INDEX.name).unlink(missing_ok=True)  # it tells of whole shards only
    every = [part for name in SPLITS for part in parts[name]]
    jobs = {
        part.path.name: Job(partial(write, part, raw.absolute(), params), PAIR_SECONDS * len(part.rows))
        for part in every
    }
    written: dict[str, Written] = dict(progress.track(pool.run(jobs, workers), len(jobs), "shard"))
    _clear(into, receipts, keep=every)
    contents = {
        name: Contents(members[name], [written[part.path.name].members for part in parts[name]]) for name in SPLITS
    }
    digests = {name: one.digest for name, one in written.items()}
    jpeg_size = params.image.size if params.shard.jpeg_quality else None
    indexing.write(into, contents, digests, params.audio.model_dump(), jpeg_size)
    return {f"{name}_pairs": len(members[name]) for name in SPLITS}


def _finished(part: Part) -> str | None:
    """The digest of a shard that is there, and is what its receipt says; None for another, or none."""
    if not (part.path.exists() and part.receipt.exists()):
        return None
    digest = files.digest(part.path)
    return digest if part.receipt.read_bytes() == f"{part.key} {digest}".encode() else None


def _clear(into: Path, receipts: Path, keep: Iterable[Part]) -> None:
    """Remove what other settings and killed workers have left."""
    wanted = {path for part in keep for path in (part.path, part.receipt)}
    ours = [path for name in SPLITS for path in into.glob(f"{name}-[0-9]*.tar")]
    left = [*ours, *into.glob(".*.part"), *receipts.iterdir()]
    for path in left:
        if path not in wanted:
            path.unlink()
