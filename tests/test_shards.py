"""Shards: their bytes, their readers, their splits."""

import hashlib
import json
import os
import pickle
import random
import re
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import psutil
import pytest
import torch
import webdataset
from folders import digested
from tiny import sharded

from cycle_sound import paths
from cycle_sound.acquisition import acquire, manifest, sources
from cycle_sound.acquisition.manifest import Row
from cycle_sound.acquisition.originals import Original
from cycle_sound.dataset import columns, reader, tars, writer
from cycle_sound.dataset.reader import Split
from cycle_sound.dataset.tars import Sample
from cycle_sound.errors import BadPicture, BadSound, MissingModality, WorkerLost
from cycle_sound.io import files, pool
from cycle_sound.media import images
from cycle_sound.params import SPLITS, Params

ROOT = Path(__file__).resolve().parents[1]
SETTINGS: dict[str, Any] = {
    "data": {"valid_share": 0.3, "synthetic": {"train_pairs": 10, "test_pairs": 4}},
    "shard": {"pairs_per_shard": 3},
}
DOTTED = ("a.b.image", "a%2Eb", "ends.", "…ünï cøde")


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory, small: Params) -> Path:
    """A few pairs of the toy orchestra."""
    folder = tmp_path_factory.mktemp("raw")
    acquire.acquire(sources.clips(small.data, small.audio.sample_rate, 0), small.data, folder, jobs=1)
    return folder


@pytest.fixture(scope="module")
def small(tiny) -> Params:
    """Ten pairs to train on, four to test on, three to a shard."""
    return Params.model_validate(tiny(**SETTINGS))


@pytest.fixture(scope="module")
def folder(raw: Path, small: Params, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their shards."""
    place = tmp_path_factory.mktemp("sharded")
    shard(raw, place, small)
    return place / "shards"


def shard(raw: Path, place: Path, params: Params, workers: int = 1) -> dict[str, int]:
    """Shard all of `raw` into place/shards."""
    return writer.shard(manifest.read(raw / "manifest.csv"), raw, place / "shards", place / "receipts", params, workers)


def written(folder: Path) -> dict[str, int]:
    """When each shard was written, in nanoseconds."""
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.tar")}


def made_up(clip: str, seed: int = 0) -> Sample:
    rng = np.random.default_rng(seed)
    image = rng.integers(256, size=(3, 8, 8), dtype=np.uint8)
    audio = rng.uniform(-1, 1, size=(1, 8, 4)).astype(np.float16)
    return Sample(image, audio, {"id": clip, "label": "x", "group": clip, "attributes": {"pitch": 440.0}})


def rows(count: int, clips_per_group: int) -> list[Row]:
    return [Row(f"{i}", "train", "", f"g{i // clips_per_group}", "ok", "") for i in range(count)]


@pytest.mark.parametrize("workers", [2, 4])
def test_many_workers_write_the_bytes_of_one(raw: Path, small: Params, folder: Path, tmp_path: Path, workers: int):
    counts = shard(raw, tmp_path, small, workers)
    assert digested(tmp_path / "shards") == digested(folder)
    assert "train-000001.tar" in digested(folder)
    assert counts == {f"{split}_pairs": len(Split(folder, split)) for split in SPLITS}
    assert sum(counts.values()) == 14


def test_the_order_of_the_manifest_does_not_matter(raw: Path, small: Params, folder: Path, tmp_path: Path):
    rows = manifest.read(raw / "manifest.csv")[::-1]
    writer.shard(rows, raw, tmp_path / "shards", tmp_path / "receipts", small, workers=1)
    assert digested(tmp_path / "shards") == digested(folder)


def test_plain_webdataset_reads_what_random_access_reads(folder: Path):
    for split in SPLITS:
        pairs = Split(folder, split)
        urls = [str(path) for path in sorted(folder.glob(f"{split}-*.tar"))]
        plain = list(webdataset.WebDataset(urls, shardshuffle=False, empty_check=False).decode())
        assert [one["json"]["id"] for one in plain] == list(pairs.ids)
        assert [one["json"]["label"] for one in plain] == list(pairs.labels)
        assert [one["json"]["attributes"] for one in plain] == list(pairs.attributes)
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
        picture = images.open_picture((raw / f"test_data/{clip}.jpg").read_bytes())
        wanted = torch.from_numpy(images.to_array(picture, small.image.size)).float() / 127.5 - 1
        assert torch.equal(pairs.pictures("image", [row])[0], wanted)
    assert pairs.shape("image") == (3, small.image.size, small.image.size)
    assert pairs.shape("audio") == (1, small.audio.mels, small.audio.frames(small.data.clip_seconds))


def test_any_row_in_any_order_is_what_was_written(tmp_path: Path):
    samples = [made_up(clip, seed) for seed, clip in enumerate(DOTTED)]
    sharded(tmp_path, train=[samples[:2], samples[2:]])
    pairs = Split(tmp_path, "train")
    order = [3, 0, 2, 0]
    wanted = torch.from_numpy(np.stack([samples[row].audio for row in order])).float()
    assert torch.equal(pairs.pictures("audio", order), wanted)
    wanted = torch.from_numpy(np.stack([samples[row].image for row in order])).float() / 127.5 - 1
    assert torch.equal(pairs.pictures("image", order), wanted)
    assert list(pairs.attributes) == [{"pitch": 440.0}] * 4


def test_ids_with_dots_survive_and_stay_apart_for_every_reader(tmp_path: Path):
    sharded(tmp_path, train=[[made_up(clip) for clip in DOTTED]])
    assert list(Split(tmp_path, "train").ids) == list(DOTTED)
    plain = list(webdataset.WebDataset([str(tmp_path / "train-000000.tar")], shardshuffle=False, empty_check=False))
    assert [json.loads(one["json"])["id"] for one in plain] == list(DOTTED)
    assert len({one["__key__"] for one in plain}) == len(DOTTED)


def test_the_longest_id_that_the_sources_let_through_fits_a_member(tmp_path: Path):
    for clip in ("a" * acquire.MAX_ID_BYTES, "." * acquire.MAX_ID_BYTES, "é" * (acquire.MAX_ID_BYTES // 2)):
        sharded(tmp_path, train=[[made_up(clip)]])
        assert list(Split(tmp_path, "train").ids) == [clip]


def test_columns_are_mapped_and_of_many_tars_few_are_open(tmp_path: Path):
    samples = [made_up(f"{number}", number) for number in range(3 * reader.OPEN)]
    sharded(tmp_path, train=[[one] for one in samples])
    opened = tmp_path.resolve().as_posix()
    pairs = Split(tmp_path, "train")

    def open_files() -> list[str]:
        links = (os.path.realpath(link) for link in Path("/proc/self/fd").iterdir())
        return [link for link in links if link.startswith(opened)]

    assert not any(link.endswith(".tar") for link in open_files())
    order = random.Random(0).sample(range(len(samples)), len(samples))
    wanted = torch.from_numpy(np.stack([samples[row].audio for row in order])).float()
    assert torch.equal(pairs.pictures("audio", order), wanted)
    assert sum(link.endswith(".tar") for link in open_files()) <= reader.OPEN


def test_pictures_may_be_jpeg_files_that_anybody_reads(raw: Path, small: Params, folder: Path, tmp_path: Path):
    settings = small.shard.model_copy(update={"jpeg_quality": 92})
    shard(raw, tmp_path, small.model_copy(update={"shard": settings}))
    exact, pairs = Split(folder, "train"), Split(tmp_path / "shards", "train")
    size = [sum(path.stat().st_size for path in place.glob("*.tar")) for place in (folder, tmp_path / "shards")]
    rows = range(len(pairs))
    assert size[1] < size[0]
    assert torch.equal(pairs.pictures("audio", rows), exact.pictures("audio", rows))
    assert 0 < (pairs.pictures("image", rows) - exact.pictures("image", rows)).square().mean() < 0.001
    assert pairs.shape("image") == exact.shape("image")
    urls = [str(path) for path in sorted((tmp_path / "shards").glob("train-*.tar"))]
    plain = list(webdataset.WebDataset(urls, shardshuffle=False, empty_check=False).decode("rgb8"))
    there = torch.from_numpy(np.stack([one["image.jpg"] for one in plain]).transpose(0, 3, 1, 2)).float() / 127.5 - 1
    assert torch.equal(pairs.pictures("image", rows), there)


def test_another_process_opens_the_files_itself(folder: Path):
    pairs = Split(folder, "train")
    content = pickle.dumps(pairs)
    assert len(content) < 1000
    assert torch.equal(pickle.loads(content).pictures("image", [1]), pairs.pictures("image", [1]))


@pytest.mark.parametrize(("missing", "other"), [("image", "audio"), ("audio", "image")])
def test_a_lone_picture_or_sound_is_read_and_the_other_is_clearly_missing(missing: str, other: str, tmp_path: Path):
    sharded(tmp_path, train=[[made_up("a"), made_up("b")]])
    found = columns.mapped(tmp_path, "train", 1)
    members = getattr(found, missing).copy()
    members[1] = 0
    columns.write(tmp_path, "train", found._replace(**{missing: members}))
    pairs = Split(tmp_path, "train")
    assert len(pairs.pictures(other, [0, 1])) == 2
    with pytest.raises(MissingModality, match=f"b: has no {missing}, which is needed here"):
        pairs.pictures(missing, [0, 1])


@pytest.mark.parametrize("share", [0.01, 0.3, 0.99])
def test_no_group_stands_on_two_sides(share: float):
    members = writer.split(rows(60, clips_per_group=4), share)
    groups = {name: {row.group for row in members[name]} for name in SPLITS}
    assert groups["train"]
    assert groups["valid"]
    assert not groups["train"] & groups["valid"]
    assert len(members["train"]) + len(members["valid"]) == 60


def test_more_clips_move_no_group_of_the_old_ones():
    before, after = (writer.split(rows(count, 2), 0.3)["valid"] for count in (60, 80))
    assert {row.id for row in before} == {row.id for row in after if int(row.id) < 60}


def test_rejected_clips_reach_no_split():
    silent = Row("s", "train", "", "s", "silent", "…")
    members = writer.split([silent, *rows(4, 1)], 0.3)
    assert all(silent not in rows for rows in members.values())


def test_an_empty_split_is_a_clear_error(small: Params, tmp_path: Path):
    with pytest.raises(ValueError, match="the valid split is empty: add more clips"):
        writer.shard(rows(3, clips_per_group=3), tmp_path, tmp_path, tmp_path, small, workers=1)
    with pytest.raises(ValueError, match="the test split is empty"):
        writer.shard(rows(4, clips_per_group=1), tmp_path, tmp_path, tmp_path, small, workers=1)


def test_a_shard_that_fails_leaves_nothing_behind(tmp_path: Path):
    def samples():
        yield made_up("a")
        raise RuntimeError("a full disk")

    with pytest.raises(RuntimeError, match="full disk"):
        tars.write_shard(tmp_path / "train-000000.tar", samples())
    assert not list(tmp_path.iterdir())


# --- runs that go on from an earlier one


@pytest.fixture
def place(raw: Path, folder: Path, tmp_path: Path) -> Path:
    """A copy of the pairs in data/raw and of their shards, with receipts."""
    shutil.copytree(raw, tmp_path / "data/raw")
    shutil.copytree(folder.parent, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_finished_shards_are_kept(raw: Path, small: Params, folder: Path, place: Path):
    before = written(place / "shards")
    (place / "shards/valid-000000.tar").unlink()
    shard(raw, place, small)
    after = written(place / "shards")
    assert {name for name in before if after[name] == before[name]} == before.keys() - {"valid-000000.tar"}
    assert digested(place / "shards") == digested(folder)


def test_another_label_touches_its_shard_alone(raw: Path, small: Params, folder: Path, place: Path):
    table = (place / "data/raw/manifest.csv").read_text(encoding="utf-8")
    clip = Split(folder, "valid").ids[0]
    label = Split(folder, "valid").labels[0]
    (place / "data/raw/manifest.csv").write_text(table.replace(f"{clip},train,{label}", f"{clip},train,other"))
    before = written(place / "shards")
    shard(place / "data/raw", place, small)
    after = written(place / "shards")
    assert {name for name in before if after[name] != before[name]} == {"valid-000000.tar"}
    assert Split(place / "shards", "valid").labels[0] == "other"


def test_leftovers_of_other_settings_and_of_killed_workers_are_removed(
    raw: Path, small: Params, place: Path, tmp_path: Path
):
    (place / "shards/.train-000000.tar.0123abcd.part").write_bytes(b"half")
    (place / "receipts/.ipynb_checkpoints").mkdir()  # of a notebook: no receipt
    larger = small.model_copy(update={"shard": small.shard.model_copy(update={"pairs_per_shard": 5})})
    shard(raw, place, larger)
    shard(raw, tmp_path / "fresh", larger)
    (place / "receipts/.ipynb_checkpoints").rmdir()
    assert digested(place / "shards") == digested(tmp_path / "fresh/shards")
    assert digested(place / "receipts") == digested(tmp_path / "fresh/receipts")


def test_a_shard_that_was_damaged_is_written_again(raw: Path, small: Params, folder: Path, place: Path):
    tar = place / "shards/train-000001.tar"
    tar.write_bytes(tar.read_bytes()[:-1] + b"x")
    shard(raw, place, small)
    assert digested(place / "shards") == digested(folder)


def test_links_into_a_cache_are_replaced_and_never_written_through(raw: Path, small: Params, place: Path):
    cached = place / "cached"
    for path in (place / "shards").iterdir():
        path.chmod(0o444)
    shutil.copytree(place / "shards", cached, copy_function=os.link)
    before = digested(cached)
    louder = small.model_copy(update={"audio": small.audio.model_copy(update={"max_db": 40.0})})
    shard(raw, place, louder)
    assert digested(cached) == before
    assert not {path.name: files.digest(path) for path in (place / "shards").glob("*.tar")}.items() & before.items()


def test_other_code_in_a_worker_is_refused(raw: Path, small: Params, tmp_path: Path):
    part = writer.Part(tmp_path / "train-000000.tar", tmp_path / "receipt", "of other code", ())
    with pytest.raises(ValueError, match="different code"):
        writer.write(part, raw, small)


class Deadly(Row):
    """A clip that ends the process that reads it."""

    @property
    def original(self) -> Original:
        os.kill(os.getpid(), signal.SIGKILL)
        return super().original


def test_a_clip_that_ends_each_process_that_reads_it_is_named(raw: Path, small: Params, tmp_path: Path):
    clips = [Deadly(**asdict(row)) if row.id == "train_00004" else row for row in manifest.read(raw / "manifest.csv")]
    assert sum(isinstance(clip, Deadly) for clip in clips) == 1
    with pytest.raises(WorkerLost, match=r"during \w+-\d{6}\.tar, at the clip train_00004: "):
        writer.shard(clips, raw, tmp_path, tmp_path / "receipts", small, workers=2)


@pytest.mark.parametrize(("half", "error"), [(0, BadPicture), (1, BadSound)])
def test_a_file_that_this_version_does_not_decode_is_named(
    half: int, error: type[Exception], raw: Path, small: Params, tmp_path: Path
):
    clips = manifest.read(raw / "manifest.csv")
    shutil.copytree(raw, tmp_path / "raw")
    broken = clips[0].original.places(tmp_path / "raw")[half]
    broken.write_bytes(b"none")
    digest = hashlib.sha256(b"none").hexdigest()
    clips[0] = replace(clips[0], **{("picture_sha256", "sound_sha256")[half]: digest})
    with pytest.raises(error, match=f"^{re.escape(str(broken))}: "):
        writer.shard(clips, tmp_path / "raw", tmp_path, tmp_path / "receipts", small, workers=1)


# --- killed midway: a named pipe in place of a sound holds a worker in the middle of a shard

needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc to find who reads a pipe")


def strike_midway(raw: Path, clip: str, strike: Callable[[], None]) -> Thread:
    """Start a thread that calls `strike` when somebody reads the clip's sound; the next one finds the sound again."""
    sound = raw / f"train_data/{clip}.mp3"
    content = sound.read_bytes()
    sound.unlink()
    os.mkfifo(sound)

    def wait() -> None:
        with sound.open("wb"):  # returns as soon as there is a reader
            pipe = sound.rename(raw / "pipe")
            files.write_bytes(sound, content)
            strike()
            pipe.unlink()

    thread = Thread(target=wait, daemon=True)
    thread.start()
    return thread


def kill_reader(pipe: Path) -> None:
    """Kill the process below this one that has a pipe open."""
    for process in psutil.Process().children(recursive=True):
        opened = [os.path.realpath(link) for link in Path(f"/proc/{process.pid}/fd").iterdir()]
        if str(pipe.resolve()) in opened:
            process.kill()
            process.wait()


@needs_proc
def test_a_worker_killed_midway_costs_its_shard_and_not_the_run(small: Params, folder: Path, place: Path):
    raw, clip = place / "data/raw", Split(folder, "train").ids[4]
    thread = strike_midway(raw, clip, lambda: kill_reader(raw / "pipe"))
    shard(raw, place / "fresh", small, workers=2)
    thread.join(timeout=60)
    assert not thread.is_alive()
    assert digested(place / "fresh/shards") == digested(folder)


def test_a_stage_killed_at_any_point_goes_on_to_the_same_shards(
    folder: Path, place: Path, write_tiny: Callable[..., None]
):
    write_tiny(place, **SETTINGS)
    stage = [sys.executable, "-m", "stages.shard"]
    options: dict[str, Any] = {"cwd": place, "env": os.environ | {"PYTHONPATH": str(ROOT)}, "start_new_session": True}

    def killed_midway(clip: str) -> int:
        thread = strike_midway(place / "data/raw", clip, lambda: os.killpg(process.pid, signal.SIGKILL))
        process = subprocess.Popen(stage, stderr=subprocess.DEVNULL, **options)
        process.wait()
        thread.join(timeout=60)
        return process.returncode

    for clip in random.Random(0).sample(list(Split(folder, "train").ids), 2):
        assert killed_midway(clip) == -signal.SIGKILL
        assert not (place / paths.INDEX).exists()
    finished = {path.name for path in (place / paths.RECEIPTS).iterdir() if not path.name.startswith(".")}
    before = written(place / "data/shards")
    subprocess.run(stage, check=True, capture_output=True, **options)
    after = written(place / "data/shards")
    assert {name: after[f"{name}.tar"] for name in finished} == {name: before[f"{name}.tar"] for name in finished}
    assert digested(place / "data/shards") == digested(folder)


@needs_proc
def test_a_cluster_writes_the_same_shards_though_one_of_its_two_workers_is_killed(
    small: Params, folder: Path, place: Path, monkeypatch: pytest.MonkeyPatch
):
    distributed = pytest.importorskip("distributed", reason="needs the extra `dask`")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        monkeypatch.setenv(pool.SCHEDULER, cluster.scheduler_address)
        raw, clip = place / "data/raw", Split(folder, "train").ids[4]
        shard(raw, place / "quiet", small)
        assert digested(place / "quiet/shards") == digested(folder)
        thread = strike_midway(raw, clip, lambda: kill_reader(raw / "pipe"))
        shard(raw, place / "struck", small)
        thread.join(timeout=60)
        assert not thread.is_alive()
        assert digested(place / "struck/shards") == digested(folder)
