"""Shards: their bytes, their readers, their splits."""

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
import webdataset

from cycle_sound import acquisition, files, images, manifest, sharding, shards, sources
from cycle_sound.manifest import Row
from cycle_sound.params import Params
from cycle_sound.shards import SPLITS, Sample, Split

DOTTED = ("a.b.image", "a%2Eb", "ends.", "…ünï cøde")


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory, small: Params) -> Path:
    """A few pairs of the toy orchestra."""
    folder = tmp_path_factory.mktemp("raw")
    acquisition.acquire(sources.clips(small.data, small.audio, 0), small.data, folder, jobs=1)
    return folder


@pytest.fixture(scope="module")
def small(tiny) -> Params:
    """Ten pairs to train on, four to test on, three to a shard."""
    settings = {"valid_share": 0.3, "synthetic": {"train_pairs": 10, "test_pairs": 4}}
    return Params.model_validate(tiny(data=settings, shard={"pairs_per_shard": 3}))


@pytest.fixture(scope="module")
def folder(raw: Path, small: Params, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their shards."""
    into = tmp_path_factory.mktemp("shards")
    sharding.shard(manifest.read(raw / "manifest.csv"), raw, into, small, workers=1)
    return into


def made_up(clip: str, seed: int = 0) -> Sample:
    rng = np.random.default_rng(seed)
    image = rng.integers(256, size=(3, 8, 8), dtype=np.uint8)
    audio = rng.uniform(-1, 1, size=(1, 8, 4)).astype(np.float16)
    return Sample(image, audio, {"id": clip, "label": "x", "group": clip, "attributes": {"pitch": 440.0}})


def rows(count: int, clips_per_group: int) -> list[Row]:
    return [Row(f"{i}", "train", "", f"g{i // clips_per_group}", "ok", "") for i in range(count)]


def test_four_workers_write_the_bytes_of_one(raw: Path, small: Params, folder: Path, tmp_path: Path):
    counts = sharding.shard(manifest.read(raw / "manifest.csv"), raw, tmp_path, small, workers=4)
    names = sorted(path.name for path in folder.iterdir())
    assert names == sorted(path.name for path in tmp_path.iterdir())
    assert "train-000001.tar" in names
    assert all(files.digest(folder / name) == files.digest(tmp_path / name) for name in names)
    assert counts == {f"{split}_pairs": len(Split(folder, split)) for split in SPLITS}
    assert sum(counts.values()) == 14


def test_the_order_of_the_manifest_does_not_matter(raw: Path, small: Params, folder: Path, tmp_path: Path):
    sharding.shard(manifest.read(raw / "manifest.csv")[::-1], raw, tmp_path, small, workers=1)
    assert shards.read_index(tmp_path) == shards.read_index(folder)


def test_plain_webdataset_reads_what_random_access_reads(folder: Path):
    for split in SPLITS:
        pairs = Split(folder, split)
        urls = [str(path) for path in sorted(folder.glob(f"{split}-*.tar"))]
        plain = list(webdataset.WebDataset(urls, shardshuffle=False, empty_check=False).decode())
        assert [one["json"]["id"] for one in plain] == pairs.ids
        assert [one["json"]["label"] for one in plain] == pairs.labels
        images_there = torch.from_numpy(np.stack([one["image.npy"] for one in plain])).float() / 127.5 - 1
        sounds_there = torch.from_numpy(np.stack([one["audio.npy"] for one in plain])).float()
        assert torch.equal(pairs.pictures("image", range(len(pairs))), images_there)
        assert torch.equal(pairs.pictures("audio", range(len(pairs))), sounds_there)


def test_members_name_no_time_no_owner_and_no_place(folder: Path):
    with tarfile.open(folder / "test-000000.tar") as tar:
        for member in tar:
            assert (member.mtime, member.uid, member.gid, member.uname, member.gname) == (0, 0, 0, "", "")
            assert "/" not in member.name


def test_pictures_are_what_the_files_show(raw: Path, small: Params, folder: Path):
    pairs = Split(folder, "test")
    for row, clip in enumerate(pairs.ids):
        picture = images.open_picture((raw / f"test_data/{clip}.jpg").read_bytes(), small.image.size)
        wanted = torch.from_numpy(images.to_array(picture, small.image.size)).float() / 127.5 - 1
        assert torch.equal(pairs.pictures("image", [row])[0], wanted)
    assert pairs.shape("image") == (3, small.image.size, small.image.size)
    assert pairs.shape("audio") == (1, small.audio.mels, small.audio.frames(small.data.clip_seconds))


def test_any_row_in_any_order_is_what_was_written(tmp_path: Path):
    samples = [made_up(clip, seed) for seed, clip in enumerate(DOTTED)]
    shards.write_shard(tmp_path / "train-000000.tar", samples[:2])
    shards.write_shard(tmp_path / "train-000001.tar", samples[2:])
    pairs = Split(tmp_path, "train")
    order = [3, 0, 2, 0]
    wanted = torch.from_numpy(np.stack([samples[row].audio for row in order])).float()
    assert torch.equal(pairs.pictures("audio", order), wanted)
    wanted = torch.from_numpy(np.stack([samples[row].image for row in order])).float() / 127.5 - 1
    assert torch.equal(pairs.pictures("image", order), wanted)
    assert pairs.attributes == [{"pitch": 440.0}] * 4


def test_ids_with_dots_survive_and_stay_apart_for_every_reader(tmp_path: Path):
    path = tmp_path / "train-000000.tar"
    shards.write_shard(path, [made_up(clip) for clip in DOTTED])
    assert Split(tmp_path, "train").ids == list(DOTTED)
    plain = list(webdataset.WebDataset([str(path)], shardshuffle=False, empty_check=False))
    assert [json.loads(one["json"])["id"] for one in plain] == list(DOTTED)
    assert len({one["__key__"] for one in plain}) == len(DOTTED)


def test_the_longest_id_that_the_sources_let_through_fits_a_member(tmp_path: Path):
    for clip in ("a" * acquisition.MAX_ID_BYTES, "." * acquisition.MAX_ID_BYTES, "é" * (acquisition.MAX_ID_BYTES // 2)):
        shards.write_shard(tmp_path / "train-000000.tar", [made_up(clip)])
        assert Split(tmp_path, "train").ids == [clip]


@pytest.mark.parametrize("share", [0.01, 0.3, 0.99])
def test_no_group_stands_on_two_sides(share: float):
    members = sharding.split(rows(60, clips_per_group=4), share)
    groups = {name: {row.group for row in members[name]} for name in SPLITS}
    assert groups["train"]
    assert groups["valid"]
    assert not groups["train"] & groups["valid"]
    assert len(members["train"]) + len(members["valid"]) == 60


def test_more_clips_move_no_group_of_the_old_ones():
    before, after = (sharding.split(rows(count, 2), 0.3)["valid"] for count in (60, 80))
    assert {row.id for row in before} == {row.id for row in after if int(row.id) < 60}


def test_rejected_clips_reach_no_split():
    silent = Row("s", "train", "", "s", "silent", "…")
    members = sharding.split([silent, *rows(4, 1)], 0.3)
    assert all(silent not in rows for rows in members.values())


def test_an_empty_split_is_a_clear_error(small: Params, tmp_path: Path):
    with pytest.raises(ValueError, match="the valid split is empty: bring more clips"):
        sharding.shard(rows(3, clips_per_group=3), tmp_path, tmp_path, small, workers=1)
    with pytest.raises(ValueError, match="the test split is empty"):
        sharding.shard(rows(4, clips_per_group=1), tmp_path, tmp_path, small, workers=1)


def test_a_shard_that_fails_leaves_nothing_behind(tmp_path: Path):
    def samples():
        yield made_up("a")
        raise RuntimeError("a full disk")

    with pytest.raises(RuntimeError, match="full disk"):
        shards.write_shard(tmp_path / "train-000000.tar", samples())
    assert not list(tmp_path.iterdir())
