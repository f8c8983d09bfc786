"""From files to shards: decode, resample, log-mel, crop. One shard is one job, whoever runs it.

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
from cycle_sound.dataset import columns, indexing, lone, tars
from cycle_sound.dataset.indexing import Contents
from cycle_sound.dataset.tars import Sample
from cycle_sound.errors import BadPicture, BadSound, EmptySplit, StaleWorker, WorkerLost
from cycle_sound.io import code, files, memory, pool, progress
from cycle_sound.io.pool import Job
from cycle_sound.media import images, mel, sound_files
from cycle_sound.params import LONE, SPLITS, AudioConfig, ImageConfig, Modality, Params, SplitName

CODE = code.digest(__name__)  # as loaded, though the files change afterwards
PAIR_SECONDS = 60.0  # for one clip, on average, where one takes a hundredth of a second: beyond it, a decoder hangs


class Part(NamedTuple):
    """One shard to be written: where to, where its receipt goes, the key, and the clips."""

    path: Path
    receipt: Path
    key: str
    rows: Sequence[Row]  # of the manifest
    modality: Modality | None = None  # what is written of them without its partner; None: both


class Written(NamedTuple):
    """A shard that is there."""

    digest: str
    members: np.ndarray  # int64 (clips, 2, 2), of `tars.members`


def split(rows: Sequence[Row], valid_share: float) -> dict[SplitName, list[Row]]:
    """The accepted pairs of each split, in a fixed shuffled order; valid is held out of train by group."""
    pairs = (row for row in rows if row.status == "ok" and not row.lone)
    accepted = sorted(pairs, key=lambda row: splits.order(row.id))
    valid = splits.held_out((row.group for row in accepted if row.split == "train"), valid_share)
    members: dict[SplitName, list[Row]] = {name: [] for name in SPLITS}
    for row in accepted:
        members["valid" if row.split == "train" and row.group in valid else row.split].append(row)
    return members


def collected(rows: Sequence[Row], valid_share: float, paired_share: float) -> dict[SplitName, list[Row]]:
    """The accepted rows of each split, and, where there are any, those of pictures and of sounds without partners.

    Of train `paired_share` of the groups keep their pairs. Pictures and sounds of the others are without partners, as
    those that came alone; what came alone of a group in valid is left out.
    """
    members = split(rows, valid_share)
    valid = {row.group for row in members["valid"]}
    paired = splits.paired((row.group for row in members["train"]), paired_share)
    parted = [row for row in members["train"] if row.group not in paired]
    members["train"] = [row for row in members["train"] if row.group in paired]
    came = [row for row in rows if row.fate in LONE.values() and row.group not in valid]
    for modality, name in LONE.items():
        if having := [*parted, *(row for row in came if row.lone == modality)]:
            members[name] = lone.each_once(having, modality)
    return members


def sample(row: Row, raw: Path, params: Params, modality: Modality | None = None) -> Sample:
    """Decode one clip into what a shard holds; `modality`: the only one to keep, of a clip without a partner.

    Raises `ChangedOriginal` for files that the manifest does not name, and `BadPicture` or `BadSound`, with their name,
    for files that are not decoded: another version of the program has obtained them.
    """
    original = row.original
    picture, sound = original.places(raw)
    try:
        image = None if modality == "audio" else _image(original.picture(raw), params.image)
    except BadPicture as error:
        raise BadPicture(f"{picture}: {error}") from None
    try:
        audio = None if modality == "image" else _audio(original.sound(raw), params.audio, params.data.clip_seconds)
    except BadSound as error:
        raise BadSound(f"{sound}: {error}") from None
    if modality:
        told = lone.alone(row, modality)
        return Sample(image, audio, {"id": told.id, "label": told.label})
    facts = {"id": row.id, "label": row.label, "group": row.group, "attributes": dict(row.attributes)}
    return Sample(image, audio, facts)


def _image(picture: bytes, config: ImageConfig) -> np.ndarray:
    return images.to_array(images.open_picture(picture, config.size), config.size)


def _audio(sound: bytes, config: AudioConfig, seconds: float) -> np.ndarray:
    wave, rate = sound_files.decode(sound, seconds=seconds + sound_files.MARGIN)
    return mel.of_clip(wave, rate, config, seconds)


def key(rows: Sequence[Row], params: Params) -> str:
    """A digest of all that a shard's bytes depend on: its rows with their files' digests, the parameters, the code."""
    pictures, sounds = params.image.model_dump(), params.audio.model_dump()
    settings = [params.data.clip_seconds, pictures, sounds, params.shard.jpeg_quality]
    facts = [settings, CODE, [asdict(row) for row in rows]]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def told(rows: Sequence[Row], modality: Modality | None) -> Sequence[Row]:
    """The rows as shards describe them: without partners, if `modality` names what stands alone."""
    return [lone.alone(row, modality) for row in rows] if modality else rows


def write(part: Part, raw: Path, params: Params) -> Written:
    """Write one shard, with one clip in memory at a time, unless its receipt says that it is there.

    Raises `StaleWorker` in a worker that would not write what the stage wants: it has loaded other code.
    """
    if part.key != key(told(part.rows, part.modality), params):
        raise StaleWorker()
    digest = _finished(part)
    if digest is None:
        memory.keep_freed()
        samples = (sample(row, raw, params, part.modality) for row in part.rows)
        tars.write_shard(part.path, samples, params.shard.jpeg_quality)
        digest = files.digest(part.path)
        files.write_bytes(part.receipt, f"{part.key} {digest}".encode())
    return Written(digest, tars.members(part.path))


def batched(rows: Sequence[Row], size: int) -> list[Sequence[Row]]:
    """Rows in parts of `size`; the last may be shorter."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def shard(
    rows: Sequence[Row], raw: Path, into: Path, receipts: Path, params: Params, workers: int = -1
) -> dict[str, int]:
    """Write every accepted clip into the shards of its split, then the splits' columns and the index.

    The bytes depend neither on the number of `workers` (-1: one per core) nor on what an earlier run has left in `into`
    and `receipts`. Returns the number of pairs per split, and of clips without partners where there are any. Raises
    `EmptySplit`, and what `pool.run` raises; `WorkerLost` names the clip, if one of the shard is to blame.
    """
    members = collected(rows, params.data.valid_share, params.data.paired_share)
    for name in SPLITS:
        if not members[name]:
            raise EmptySplit(split=name)
    into, receipts = into.absolute(), receipts.absolute()  # a cluster's workers may stand in another folder
    modalities = {name: modality for modality, name in LONE.items()}

    def part(name: SplitName, number: int, some: Sequence[Row]) -> Part:
        own, modality = f"{name}-{number:06d}", modalities.get(name)
        return Part(into / f"{own}.tar", receipts / own, key(told(some, modality), params), some, modality)

    parts = {
        name: [part(name, *one) for one in enumerate(batched(members[name], params.shard.pairs_per_shard))]
        for name in members
    }
    (into / paths.INDEX.name).unlink(missing_ok=True)  # it tells of whole shards only
    every = [part for some in parts.values() for part in some]
    jobs = {
        part.path.name: Job(partial(write, part, raw.absolute(), params), PAIR_SECONDS * len(part.rows))
        for part in every
    }
    try:
        written: dict[str, Written] = dict(progress.track(pool.run(jobs, workers), len(jobs), "shard"))
    except WorkerLost as lost:
        suspects = [one for one in every if one.path.name == lost.facts["job"]]
        for suspect in suspects:
            _try_clips(suspect, raw.absolute(), params, workers)
        raise
    _clear(into, receipts, keep=every)
    contents = {
        name: Contents(told(members[name], modalities.get(name)), [written[one.path.name].members for one in some])
        for name, some in parts.items()
    }
    for name in LONE.values() - members.keys():
        columns.remove(into, name)
    digests = {name: one.digest for name, one in written.items()}
    jpeg_size = params.image.size if params.shard.jpeg_quality else None
    indexing.write(into, contents, digests, params.audio.model_dump(), jpeg_size)
    return {f"{name}_{'clips' if name in modalities else 'pairs'}": len(some) for name, some in members.items()}


def _try_clips(part: Part, raw: Path, params: Params, workers: int) -> None:
    """Decode the clips of a shard one by one. Raises `WorkerLost`, with its name, for one that is lost when alone."""
    jobs = {
        f"{part.path.name}, at the clip {row.id}": Job(partial(_try, row, raw, params, part.modality), PAIR_SECONDS)
        for row in part.rows
    }
    for _ in pool.run(jobs, workers):
        pass


def _try(row: Row, raw: Path, params: Params, modality: Modality | None) -> None:
    """Decode one clip."""
    sample(row, raw, params, modality)


def _finished(part: Part) -> str | None:
    """The digest of a shard that is there, and is what its receipt says; None for another, or none."""
    if not (part.path.exists() and part.receipt.exists()):
        return None
    digest = files.digest(part.path)
    return digest if part.receipt.read_bytes() == f"{part.key} {digest}".encode() else None


def _clear(into: Path, receipts: Path, keep: Iterable[Part]) -> None:
    """Remove what other settings and killed workers have left."""
    wanted = {path for part in keep for path in (part.path, part.receipt)}
    ours = [path for name in (*SPLITS, *LONE.values()) for path in into.glob(f"{name}-[0-9]*.tar")]
    left = [*ours, *into.glob(".*.part"), *receipts.iterdir()]
    for path in left:
        if path not in wanted and not path.is_dir():  # of a file manager or a notebook
            path.unlink()
