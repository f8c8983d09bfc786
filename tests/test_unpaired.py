"""Pictures and sounds without partners: obtained, kept apart so that no pairing is left, and learned from."""

import json
import pickle
import shutil
import tarfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import av
import films
import numpy as np
import pytest
import torch
from folders import contents, digested
from hypothesis import given, settings
from hypothesis import strategies as st
from pairs import give, melody, pair_of

from cycle_sound import paths
from cycle_sound.acquisition import acquire, claims, duplicates, journal, manifest, restoring, sources, splits, summary
from cycle_sound.acquisition.claims import Claims
from cycle_sound.acquisition.manifest import Row
from cycle_sound.acquisition.originals import Original
from cycle_sound.acquisition.sources.clip import Clip, Pair
from cycle_sound.dataset import lone_sounds, reader, sounds, writer
from cycle_sound.dataset.reader import Split
from cycle_sound.dataset.token_cache import TokenCache
from cycle_sound.dataset.training_set import TrainingSet
from cycle_sound.errors import BadShard, BadSource, LostOriginals
from cycle_sound.io import files, params_file, pool
from cycle_sound.media import sound_files
from cycle_sound.models.loading import load_tokenizer
from cycle_sound.nn import order
from cycle_sound.params import LONE, MODALITIES, SPLITS, DataConfig, Modality, Params
from stages import cache_tokens, download, shard, train_vae, train_vocoder

SHARE = 0.4
SETTINGS: dict[str, Any] = {
    "data": {"valid_share": 0.2, "paired_share": SHARE, "synthetic": {"train_pairs": 14, "test_pairs": 2}},
    "shard": {"pairs_per_shard": 3},
}


@pytest.fixture(scope="module")
def small(tiny) -> Params:
    """Fourteen pairs to train on, of which some keep their pairing; three to a shard."""
    return Params.model_validate(tiny(**SETTINGS))


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory, small: Params) -> Path:
    """Their files, and two pictures and two sounds that came alone."""
    folder = tmp_path_factory.mktemp("raw")
    clips = sources.clips(small.data, small.audio.sample_rate, 0)
    clips += [Clip(f"alone_{i}", "train", "bell", f"alone_{i}", partial(one_of, i)) for i in range(4)]
    acquire.acquire(clips, small.data, folder, jobs=1)
    return folder


def one_of(number: int) -> Pair:
    """A picture, or a sound, alone."""
    pair = pair_of(100 + number, 100 + number)
    return pair._replace(picture=None) if number % 2 else pair._replace(sound=None)


@pytest.fixture(scope="module")
def shards(raw: Path, small: Params, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shards of all."""
    place = tmp_path_factory.mktemp("sharded")
    sharded(manifest.read(raw / "manifest.csv"), raw, place, small)
    return place / "shards"


def sharded(rows: Sequence[Row], raw: Path, place: Path, params: Params) -> dict[str, int]:
    return writer.shard(rows, raw, place / "shards", place / "receipts", params, workers=1)


def parted(rows: Sequence[Row]) -> list[Row]:
    """The rows whose pictures and sounds come apart."""
    kept = {name for split in SPLITS for name in ids(writer.collected(rows, 0.2, SHARE)[split])}
    return [row for row in rows if row.status == "ok" and not row.lone and row.id not in kept]


def ids(rows: Sequence[Row]) -> list[str]:
    return [row.id for row in rows]


def moved(rows: Sequence[Row], raw: Path, into: Path, take: dict[str, tuple[str, str]]) -> list[Row]:
    """The rows, and in `into` their files, where of some ids picture and sound are those of others."""
    by_id = {row.id: row for row in rows}
    made = []
    for row in rows:
        picture, sound = (by_id[name] for name in take.get(row.id, (row.id, row.id)))
        new = replace(row, picture_sha256=picture.picture_sha256, sound_sha256=sound.sound_sha256)
        froms = picture.original.places(raw)[0], sound.original.places(raw)[1]
        for source, target in zip(froms, new.original.places(into), strict=True):
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.exists():
                shutil.copyfile(source, target)
        made.append(new)
    return made


# --- the pairing is gone


@given(st.randoms(use_true_random=False), st.sampled_from(["pictures", "sounds", "both"]))
@settings(deadline=None, max_examples=6)
def test_shuffling_what_has_no_partners_changes_no_byte(tmp_path_factory, raw: Path, small: Params, rng, what: str):
    rows = [replace(row, label="") for row in manifest.read(raw / "manifest.csv")]
    place = tmp_path_factory.mktemp("shuffled")
    sharded(rows, raw, place / "before", small)
    names = ids(parted(rows))
    assert len(names) > 4
    others = [rng.sample(names, len(names)) if what in (side, "both") else names for side in ("pictures", "sounds")]
    take = {name: pair for name, *pair in zip(names, *others, strict=True)}
    sharded(moved(rows, raw, place / "raw", take), place / "raw", place / "after", small)
    assert digested(place / "after/shards") == digested(place / "before/shards")
    assert digested(place / "after/receipts") == digested(place / "before/receipts")


def test_shuffling_within_a_label_changes_no_byte_though_labels_stay(raw: Path, small: Params, tmp_path: Path):
    labels = ("bell", "bird")
    rows = [replace(row, label=labels[number % 2]) for number, row in enumerate(manifest.read(raw / "manifest.csv"))]
    sharded(rows, raw, tmp_path / "before", small)
    take = {}
    for label in labels:
        names = [row.id for row in parted(rows) if row.label == label]
        assert len(names) > 1
        take |= {name: (name, other) for name, other in zip(names, names[1:] + names[:1], strict=True)}
    sharded(moved(rows, raw, tmp_path / "raw", take), tmp_path / "raw", tmp_path / "after", small)
    assert digested(tmp_path / "after/shards") == digested(tmp_path / "before/shards")
    alone = reader.lone(tmp_path / "after/shards", "audio")
    assert alone is not None
    assert alone.known_labels() == set(labels)


def test_names_groups_and_attributes_of_what_has_no_partners_change_no_byte(raw: Path, small: Params, tmp_path: Path):
    rows = manifest.read(raw / "manifest.csv")
    sharded(rows, raw, tmp_path / "before", small)
    apart, renamed = {*ids(parted(rows))}, []
    for number, row in enumerate(rows):
        of = row if row.id not in apart | {"alone_0"} else replace(row, id=f"other {99 - number}", attributes={})
        of = replace(of, group="another") if row.id == "alone_0" else of
        for source, target in zip(row.original.places(raw), of.original.places(tmp_path / "raw"), strict=True):
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.exists():
                shutil.copyfile(source, target)
        renamed.append(of)
    sharded(renamed[::-1], tmp_path / "raw", tmp_path / "after", small)
    assert digested(tmp_path / "after/shards") == digested(tmp_path / "before/shards")


def test_what_came_alone_and_what_was_parted_are_the_same(raw: Path, small: Params, tmp_path: Path, shards: Path):
    rows = manifest.read(raw / "manifest.csv")
    apart = parted(rows)
    pictures = [replace(row, id=f"p{row.id}", group=f"p{row.id}", sound_sha256="") for row in apart]
    sides = pictures + [replace(row, id=f"s{row.id}", group=f"s{row.id}", picture_sha256="") for row in apart]
    shutil.copytree(raw, tmp_path / "raw")
    for row in apart:
        for kind, path in zip("ps", row.original.places(tmp_path / "raw"), strict=True):
            path.rename(path.with_name(f"{kind}{path.name}"))
    left = [row for row in rows if row not in apart]
    whole = small.model_copy(update={"data": small.data.model_copy(update={"paired_share": 1.0})})
    sharded([*left, *sides], tmp_path / "raw", tmp_path, whole)
    assert digested(tmp_path / "shards") == digested(shards)


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_lone_shard_tells_a_content_and_its_label_alone(modality: Modality, raw: Path, shards: Path):
    rows = [row for row in manifest.read(raw / "manifest.csv") if row.status == "ok"]
    other = "audio" if modality == "image" else "image"
    alone = Split(shards, LONE[modality])
    told = b"".join(path.read_bytes() for path in sorted(shards.glob(f"{LONE[modality]}*")))
    for row in rows:
        hidden = row.picture_sha256 if other == "image" else row.sound_sha256
        assert row.id.encode() not in told
        assert not hidden or (hidden.encode() not in told and bytes.fromhex(hidden) not in told)
    for path in shards.glob(f"{LONE[modality]}-*.tar"):
        with tarfile.open(path) as tar:
            facts = [json.load(tar.extractfile(one)) for one in tar if one.name.endswith(".json")]  # type: ignore[arg-type]
            assert all(one.keys() == {"id", "label"} for one in facts)
    assert not alone.digests(other).any()
    assert list(alone.attributes) == [{}] * len(alone)
    assert list(alone.ids) == sorted(alone.ids)


def test_pictures_without_partners_are_what_the_files_show(raw: Path, small: Params, shards: Path):
    rows = {row.picture_sha256: row for row in manifest.read(raw / "manifest.csv") if row.status == "ok"}
    alone = Split(shards, "lone_image")
    assert len(alone) == len(parted([*rows.values()])) + 2
    for place, original in enumerate(alone.originals):
        wanted = writer.sample(rows[original.picture_sha256], raw, small, "image").image
        assert torch.equal(alone.pictures("image", [place])[0], torch.from_numpy(wanted).float() / 127.5 - 1)
        assert alone.labels[place] == rows[original.picture_sha256].label


def test_of_equal_contents_one_is_kept():
    rows = [Row(f"{i}", "train", f"{i % 2}", f"g{i}", "ok", "", {}, f"p{i % 3}", f"s{i}") for i in range(40)]
    members = writer.collected([*rows, Row("t", "test", "", "t", "ok", "", {}, "p", "s")], 0.1, 0.1)
    assert sorted(row.picture_sha256 for row in members["lone_image"]) == ["p0", "p1", "p2"]
    assert {row.label for row in members["lone_image"]} == {"1"}
    assert len(members["lone_audio"]) == 40 - len(members["train"]) - len(members["valid"])


# --- splits


@given(st.sets(st.text(), min_size=1), st.floats(0.001, 1), st.floats(0.001, 1))
def test_the_pairs_of_a_smaller_share_are_among_those_of_a_larger(groups: set[str], one: float, other: float):
    few, many = (splits.paired(groups, share) for share in sorted((one, other)))
    assert set() < few <= many <= groups
    assert splits.paired(groups, 1.0) == groups


def test_a_share_is_about_what_it_says_also_of_what_valid_leaves():
    groups = [f"g{i}" for i in range(5000)]
    left = {*groups} - splits.held_out(groups, 0.3)
    assert len(splits.paired(left, 0.1)) / len(left) == pytest.approx(0.1, abs=0.02)


def test_valid_and_test_are_those_of_a_corpus_of_pairs(raw: Path, small: Params, shards: Path, tmp_path: Path):
    whole = small.model_copy(update={"data": small.data.model_copy(update={"paired_share": 1.0})})
    pairs = [row for row in manifest.read(raw / "manifest.csv") if not row.lone]
    sharded(pairs, raw, tmp_path, whole)
    for name in ("valid", "test"):
        mine, theirs = Split(shards, name), Split(tmp_path / "shards", name)
        assert list(mine.ids) == list(theirs.ids)
        tars = [path.name for path in sorted((tmp_path / "shards").glob(f"{name}-*.tar"))]
        assert [files.digest(shards / tar) for tar in tars] == [files.digest(tmp_path / "shards" / tar) for tar in tars]


def test_where_all_are_pairs_there_is_nothing_but_pairs(raw: Path, small: Params, shards: Path, tmp_path: Path):
    rows = [row for row in manifest.read(raw / "manifest.csv") if not row.lone]
    whole = small.model_copy(update={"data": small.data.model_copy(update={"paired_share": 1.0})})
    shutil.copytree(shards.parent, tmp_path / "before")  # of lone clips nothing is left
    for place in ("before", "fresh"):
        counts = sharded(rows, raw, tmp_path / place, whole)
        assert counts.keys() == {f"{name}_pairs" for name in SPLITS}
    found = digested(tmp_path / "fresh/shards")
    assert digested(tmp_path / "before/shards") == found
    assert {name.partition("-")[0].partition(".")[0] for name in found} == {*SPLITS, "index"}
    assert {*reader.read_index(tmp_path / "fresh/shards").files} == found.keys() - {"index.json"}
    assert reader.lone(tmp_path / "fresh/shards", "image") is None


def test_what_came_alone_of_a_held_out_group_is_left_out():
    rows = [Row(f"{i}", "train", "", f"g{i}", "ok", "", {}, f"p{i}", f"s{i}") for i in range(20)]
    alone = [replace(row, id=f"a{row.id}", picture_sha256=f"q{row.id}", sound_sha256="") for row in rows]
    members = writer.collected([*rows, *alone], 0.3, 1.0)
    valid = {row.group for row in members["valid"]}
    assert {row.group for row in members["lone_image"]} == {row.group for row in rows} - valid
    assert "lone_audio" not in members


def test_after_a_kill_one_shard_is_written_again(raw: Path, small: Params, shards: Path, tmp_path: Path):
    shutil.copytree(shards.parent, tmp_path, dirs_exist_ok=True)
    (tmp_path / "shards/lone_audio-000001.tar").unlink()
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("shards/*.tar")}
    sharded(manifest.read(raw / "manifest.csv"), raw, tmp_path, small)
    after = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("shards/*.tar")}
    assert {name for name in after if after[name] != before.get(name)} == {"lone_audio-000001.tar"}
    assert digested(tmp_path / "shards") == digested(shards)


# --- what learns


@pytest.mark.parametrize("modality", MODALITIES)
def test_an_epoch_sees_each_picture_of_the_pairs_and_of_the_others_once(modality: Modality, shards: Path):
    train, alone, every = Split(shards, "train"), Split(shards, LONE[modality]), TrainingSet(shards, modality)
    known = torch.cat([train.pictures(modality, range(len(train))), alone.pictures(modality, range(len(alone)))])
    assert len(every) == len(known) == len(train) + len(alone)
    assert torch.equal(every.pictures(modality, range(len(every))), known)
    assert [*every.labels] == [*train.labels, *alone.labels]
    assert every.shape(modality) == train.shape(modality)
    rows = order.rows(range(len(every)), len(every), seed=3)
    assert sorted(rows.tolist()) == list(range(len(every)))
    assert torch.equal(every.pictures(modality, rows.tolist()), known[rows])
    sent = pickle.dumps(every)
    assert len(sent) < 1000
    assert torch.equal(pickle.loads(sent).pictures(modality, [len(train)]), known[len(train) :][:1])


def test_labels_of_what_has_no_partners_are_learned(shards: Path):
    every = TrainingSet(shards, "image")
    for label in every.known_labels():
        assert [every.labels[row] for row in every.labelled([label])] == [label] * len(every.labelled([label]))
    rows = np.sort(np.concatenate([every.labelled([label]) for label in every.known_labels()]))
    assert rows.tolist() == list(range(len(every)))


def lone_originals(alone: Split, raw: Path, folder: Path) -> lone_sounds.Originals:
    """The sounds without partners, of which the table lies in a folder."""
    lone_sounds.find(alone, raw, folder / "table.npy")
    return lone_sounds.Originals(alone, folder / "table.npy")


def test_a_vocoder_hears_the_sounds_of_all(raw: Path, small: Params, shards: Path, tmp_path: Path):
    train, alone = Split(shards, "train"), Split(shards, "lone_audio")
    heard = sounds.of(train, raw, small.audio, lone_originals(alone, raw, tmp_path))
    assert len(heard) == len(train) + len(alone)
    by_digest = {row.sound_sha256: row for row in manifest.read(raw / "manifest.csv")}
    for row, original in enumerate(heard.originals):
        assert original.sound_sha256 == files.digest(by_digest[original.sound_sha256].original.places(raw)[1])
        assert heard.waveforms([row]).abs().max() > 0
    assert torch.equal(pickle.loads(pickle.dumps(heard)).waveforms([len(train)]), heard.waveforms([len(train)]))


def test_a_process_that_reads_sounds_without_partners_is_sent_no_table_of_them(
    raw: Path, small: Params, shards: Path, tmp_path: Path
):
    rows = manifest.read(raw / "manifest.csv")
    renamed = [replace(row, id=f"{number} {'é' * 90}") for number, row in enumerate(rows)]
    manifest.write(tmp_path / "manifest.csv", renamed)
    alone = Split(shards, "lone_audio")
    originals = lone_originals(alone, tmp_path, tmp_path)
    assert len(alone) * 180 > 1000
    names = {row.sound_sha256: row.id for row in renamed}
    assert [one.id for one in originals] == [names[one.sound_sha256] for one in originals]
    sent = pickle.dumps(sounds.of(alone, tmp_path, small.audio, originals))
    assert len(sent) < 1000
    assert list(pickle.loads(sent).originals)[len(alone) :] == list(originals)


def test_a_sound_that_the_manifest_does_not_name_is_one_clear_error(raw: Path, shards: Path, tmp_path: Path):
    rows = manifest.read(raw / "manifest.csv")
    manifest.write(tmp_path / "manifest.csv", [row for row in rows if row.lone != "audio"])
    with pytest.raises(BadShard, match="does not name all of its sounds"):
        lone_sounds.find(Split(shards, "lone_audio"), tmp_path, tmp_path / "table.npy")
    assert not (tmp_path / "table.npy").exists()


@pytest.fixture
def enter(tmp_path: Path, write_tiny: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Params]:
    """`enter(name, **over)`: go into a workspace, of parameters for a few pairs."""

    def entered(name: str, **over: Any) -> Params:
        (tmp_path / name).mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / name)
        write_tiny(Path(), **over)
        return params_file.load()

    monkeypatch.setattr(pool, "here", lambda jobs, workers=1, here=pool.here: here(jobs, 1))
    return entered


def test_stages_learn_from_all_and_cache_tokens_of_all(enter: Callable[..., Params]):
    params = enter("here", data={"paired_share": 0.3, "synthetic": {"train_pairs": 20, "test_pairs": 4}})
    download.main(params)
    shard.main(params)
    train_vae.main("audio", params)
    cache_tokens.main("audio", params)
    tokenizer = load_tokenizer(paths.vae("audio"), torch.device("cpu"))
    digest = reader.read_index(paths.SHARDS).digest
    for name in ("train", "lone_audio"):
        split, cache = Split(paths.SHARDS, name), TokenCache(paths.tokens("audio"), name, tokenizer.digest, digest)
        assert (len(cache), cache.views) == (len(split), params.tokens.views)
        for rows in split.shards().values():
            codes = tokenizer.model.encode(split.pictures("audio", rows)).flatten(2)
            assert torch.equal(cache.most_likely(torch.tensor(rows)), codes)
    assert not (paths.tokens("audio") / "lone_image.json").exists()

    train_vocoder.main(params)
    model = paths.vocoder().read_bytes()
    shutil.rmtree(paths.RAW / "train_data")
    train_vocoder.main(params)
    assert paths.vocoder().read_bytes() == model


# --- where they come from


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A folder of the user's with pairs, and with pictures and sounds alone on both sides."""
    root = tmp_path / "mine"
    sides = {"pair": ("jpg", "mp3"), "seen": ("jpg",), "heard": ("mp3",)}
    for number, (split, name) in enumerate((split, name) for split in ("train", "test") for name in sides):
        pair = pair_of(number, number)
        for kind, content in zip(("jpg", "mp3"), pair, strict=True):
            if kind in sides[name]:
                files.write_bytes(root / f"{split}_data/{name} {split}.{kind}", content)  # type: ignore[arg-type]
    return root


def of_folder(params: Params, root: Path, unpaired: str = "keep") -> DataConfig:
    folder = params.data.folder.model_copy(update={"path": str(root)})
    return params.data.model_copy(update={"source": "folder", "folder": folder, "unpaired": unpaired})


def obtained(data: DataConfig, into: Path, past: journal.Journal | None = None) -> dict[str, Row]:
    rows = acquire.acquire(sources.clips(data, 16000, 0), data, into, 1, past)
    assert manifest.read(into / "manifest.csv") == rows
    return {row.id: row for row in rows}


def test_a_folder_gives_what_is_alone_to_train_on_and_never_to_test(params: Params, mine: Path, tmp_path: Path):
    rows = obtained(of_folder(params, mine), tmp_path / "raw")
    fates = {name: row.fate for name, row in rows.items()}
    assert fates == {
        **{"pair train": "train", "seen train": "lone_image", "heard train": "lone_audio"},
        **{"pair test": "test", "seen test": "unpaired", "heard test": "unpaired"},
    }
    assert rows["seen test"].reason == "seen test.jpg has no sound beside it"
    written = {str(path.relative_to(tmp_path / "raw")) for path in (tmp_path / "raw").rglob("*.mp3")}
    assert written == {"train_data/pair train.mp3", "train_data/heard train.mp3", "test_data/pair test.mp3"}
    assert (tmp_path / "raw/train_data/seen train.jpg").read_bytes() == (
        mine / "train_data/seen train.jpg"
    ).read_bytes()
    counts = manifest.summary(rows.values())
    assert (counts["train"], counts["lone_image"], counts["lone_audio"], counts["ok"]) == (1, 1, 1, 4)
    (line,) = summary.table(rows.values())
    assert (line["train"], line["lone_image"], line["unpaired"]) == (1, 1, 2)


def test_by_default_what_is_alone_is_rejected(params: Params, mine: Path, tmp_path: Path):
    rows = obtained(of_folder(params, mine, params.data.unpaired), tmp_path / "raw")
    assert {name for name, row in rows.items() if row.status == "ok"} == {"pair train", "pair test"}
    assert {row.status for row in rows.values()} == {"ok", "unpaired"}
    assert "lone_image" not in manifest.summary(rows.values())


def textured(path: Path, seed: int, tracks: set[str]) -> None:
    """Two seconds of moving blocks, of noise, or of both, as no other film has them."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (6, 8, 3), np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    frames = [films.picture(np.roll(blocks, 8 * step, axis=1), step / 10) for step in range(20)]
    with av.open(str(path), "w") as container:
        moving = films.picture_stream(container) if "seen" in tracks else None
        sound = films.sound_stream(container) if "heard" in tracks else None
        if moving:
            films.mux(container, moving, frames)
        if sound:
            films.mux(container, sound, films.heard(rng.normal(0, 0.1, (1, 2 * films.RATE))))


@pytest.mark.parametrize("lacking", ["heard", "seen"])
def test_a_film_without_sound_or_pictures_gives_what_it_has(lacking: str, params: Params, tmp_path: Path):
    names = [f"film{number}" for number in range(4)]
    (tmp_path / "films").mkdir()
    for number, name in enumerate(names):
        textured(tmp_path / f"films/{name}.mp4", number, {*("seen", "heard")} - ({lacking} if number > 1 else set()))
    videos = params.data.videos.model_copy(update={"path": str(tmp_path / "films"), "pairs_per_clip": 2})
    changed = {"source": "videos", "videos": videos, "pairs": "even", "near_picture": 0, "near_sound": 0}
    for unpaired in ("keep", "reject"):
        data = params.data.model_copy(update=changed | {"unpaired": unpaired})
        rows = obtained(data, tmp_path / unpaired)
        assert len(rows) == 8
        status, fate = ("no_audio", "lone_image") if lacking == "heard" else ("no_video", "lone_audio")
        for name, row in rows.items():
            lone = name.startswith(("film2", "film3"))
            wanted = row.split if not lone else fate if unpaired == "keep" and row.split == "train" else status
            assert row.fate == wanted, row
            assert row.status != "ok" or row.original.is_whole(tmp_path / unpaired)
        assert {row.split for row in rows.values()} == {"train", "test"}


def test_a_picture_or_sound_alone_that_a_pair_has_or_that_comes_twice_is_a_duplicate(params: Params, tmp_path: Path):
    good, other = pair_of(1, 1), pair_of(2, 2)
    softer = sound_files.encode_mp3(0.8 * melody(1), 16000)
    clips = {
        ("test", "pair"): good,
        ("train", "pair too"): other,
        ("train", "picture of the test pair"): Pair(good.picture, None),
        ("train", "sound of the test pair, softer"): Pair(None, softer),
        ("train", "one"): pair_of(3, 3)._replace(sound=None),
        ("train", "one again"): pair_of(3, 3)._replace(sound=None),
        ("train", "another"): pair_of(4, 4)._replace(picture=None),
    }
    asked = [Clip(name, split, "", name, partial(give, pair)) for (split, name), pair in clips.items()]
    rows = {row.id: row for row in acquire.acquire(asked, params.data, tmp_path, 1)}
    assert {name for name, row in rows.items() if row.status == "ok"} == {"pair", "pair too", "one", "another"}
    assert rows["picture of the test pair"].reason == "nearly the picture of test clip pair: 0 of 144 bits differ"
    assert rows["sound of the test pair, softer"].reason.startswith("nearly the sound of test clip pair: ")
    assert rows["one again"].reason == "the picture of train clip one"


def test_an_unfinished_download_goes_on_with_what_is_alone(params: Params, mine: Path, tmp_path: Path):
    data = of_folder(params, mine)
    fresh = obtained(data, tmp_path / "fresh")
    finished: dict[journal.Name, journal.Finished] = {}
    with suppress(KeyboardInterrupt), journal.keeping(tmp_path / "journal", "key") as past:
        obtained(data, tmp_path / "raw", past)
        raise KeyboardInterrupt
    before = {path: path.stat().st_ino for path in (tmp_path / "raw").rglob("*_data/*")}
    with journal.keeping(tmp_path / "journal", "key") as past:
        finished.update(past.finished)
        assert obtained(data, tmp_path / "raw", past) == fresh
    prints = {one.row.id: one.fingerprint for one in finished.values() if one.fingerprint}
    assert {name: tuple(map(len, found)) for name, found in prints.items()} == {
        **dict.fromkeys(("pair train", "pair test"), (18, 32)),
        **{"seen train": (18, 0), "heard train": (0, 32)},
    }
    assert {path: path.stat().st_ino for path in before} == before
    rows = sorted((one.row for one in finished.values()), key=lambda row: row.split)
    again = [next(one.fingerprint for one in finished.values() if one.row == row) for row in rows]
    assert duplicates.reject(rows, again, data) == rows


# --- whose they are


def test_what_is_alone_comes_back_from_its_source(mine: Path, tmp_path: Path, enter: Callable[..., Params]):
    data = {"source": "folder", "folder": {"path": str(mine)}, "unpaired": "keep", "max_rejected": 1.0}
    params = enter("first", data=data)
    download.main(params)
    table, raw = paths.MANIFEST.read_bytes(), contents(paths.RAW)
    params = enter("fresh", data=data)
    files.write_bytes(paths.MANIFEST, table)
    originals = [row.original for row in manifest.read(paths.MANIFEST) if row.status == "ok"]
    restoring.restore(originals, paths.RAW, params)
    assert contents(paths.RAW) == raw
    lost = paths.RAW / "train_data/heard train.mp3"
    lost.unlink()
    restoring.restore(originals, paths.RAW, params)
    assert contents(paths.RAW) == raw
    lost.unlink()
    (mine / "train_data/heard train.mp3").unlink()
    with pytest.raises(LostOriginals, match="heard train: the source does not list it"):
        restoring.restore(originals, paths.RAW, params)


def test_a_file_beside_what_is_alone_is_the_users_and_stays(params: Params, mine: Path, tmp_path: Path):
    data, into = of_folder(params, mine), tmp_path / "raw"
    rows = obtained(data, into)
    own = into / "train_data/seen train.mp3"
    own.write_bytes(b"precious")
    originals = [row.original for row in rows.values() if row.status == "ok"]
    claimed = Claims(into)
    assert not claimed.unknown(originals)
    claimed.begin_again(originals)
    claimed.note(originals)
    Claims(into).end(originals)
    assert own.read_bytes() == b"precious"
    with pytest.raises(BadSource, match=r"seen train\.mp3: was not written by a download, .*: move it away"):
        obtained(data, into)
    Claims(into).end([])
    assert own.read_bytes() == b"precious"
    assert [path.name for path in into.rglob("*_data/*")] == [own.name]


def test_of_a_pair_that_became_a_picture_alone_the_sound_is_swept(params: Params, mine: Path, tmp_path: Path):
    data, into = of_folder(params, mine), tmp_path / "raw"
    obtained(data, into)
    (mine / "train_data/pair train.mp3").unlink()
    rows = obtained(data, into)
    assert rows["pair train"].fate == "lone_image"
    assert not (into / "train_data/pair train.mp3").exists()
    assert (into / "train_data/pair train.jpg").exists()


def test_what_another_experiment_left_beside_what_is_alone_stays_the_programs(tmp_path: Path):
    place, whole = tmp_path / "train_data", Original("train", "x", "a" * 64, "b" * 64)
    for kind in claims.KINDS:
        files.write_bytes(place / f"x{kind}", b"")
    claimed = Claims(tmp_path)
    claimed.note([whole])
    picture = whole._replace(sound_sha256="")
    assert not claimed.unknown([picture])
    assert claimed.unknown([whole._replace(sound_sha256="c" * 64)])
    claimed.begin_again([picture])
    assert Claims(tmp_path).unknown([picture])
    claimed.end([picture])
    assert [path.name for path in place.iterdir()] == ["x.jpg"]
