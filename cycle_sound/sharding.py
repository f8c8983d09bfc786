"""From pairs of files to shards: decode, resample, log-mel, crop. One shard is one job, whoever runs it."""

from collections.abc import Sequence
from pathlib import Path

import joblib
import numpy as np

from cycle_sound import audio, images, progress, shards, splits
from cycle_sound.manifest import Row
from cycle_sound.params import Params
from cycle_sound.shards import SPLITS, SplitName


def split(rows: Sequence[Row], valid_share: float) -> dict[SplitName, list[Row]]:
    """The accepted rows of each split, in a fixed shuffled order; valid is held out of train by group."""
    accepted = sorted((row for row in rows if row.status == "ok"), key=lambda row: splits.order(row.id))
    valid = splits.held_out((row.group for row in accepted if row.split == "train"), valid_share)
    members: dict[SplitName, list[Row]] = {name: [] for name in SPLITS}
    for row in accepted:
        members["valid" if row.split == "train" and row.group in valid else row.split].append(row)
    return members


def sample(row: Row, raw: Path, params: Params) -> shards.Sample:
    """Decode one pair into what a shard holds."""
    place = raw / f"{row.split}_data"
    picture = images.open_picture((place / f"{row.id}.jpg").read_bytes(), params.image.size)
    sound, rate = audio.decode((place / f"{row.id}.mp3").read_bytes())
    wave = audio.resample(sound, rate, params.audio.sample_rate)
    wave = audio.fit_length(wave, round(params.data.clip_seconds * params.audio.sample_rate))
    facts = {"id": row.id, "label": row.label, "group": row.group, "attributes": dict(row.attributes)}
    log_mel = audio.log_mel(wave, params.audio).astype(np.float16)
    return shards.Sample(images.to_array(picture, params.image.size), log_mel, facts)


def write(path: Path, rows: Sequence[Row], raw: Path, params: Params) -> None:
    """Write one shard, with one pair in memory at a time."""
    shards.write_shard(path, (sample(row, raw, params) for row in rows))


def batched(rows: Sequence[Row], size: int) -> list[Sequence[Row]]:
    """Rows in parts of `size`; the last may be shorter."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def shard(rows: Sequence[Row], raw: Path, into: Path, params: Params, workers: int = -1) -> dict[str, int]:
    """Write every accepted pair into the shards of its split, in parallel, then the index.

    The bytes do not depend on the number of `workers` (-1: one per core). Returns the number of pairs per split.
    Raises ValueError where a split would be empty.
    """
    members = split(rows, params.data.valid_share)
    for name in SPLITS:
        if not members[name]:
            raise ValueError(f"the {name} split is empty: bring more clips, from more sources")
    jobs = [
        joblib.delayed(write)(into / f"{name}-{number:06d}.tar", part, raw, params)
        for name in SPLITS
        for number, part in enumerate(batched(members[name], params.shard.pairs_per_shard))
    ]
    for _ in progress.track(joblib.Parallel(workers, return_as="generator")(jobs), len(jobs), "shard"):
        pass
    shards.write_index(into, params.audio.model_dump())
    return {f"{name}_pairs": len(members[name]) for name in SPLITS}
