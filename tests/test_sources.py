"""Clips from folders and videos, their acquisition, and the manifest."""

import io
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import soundfile
from folders import fill
from pairs import lossless_jpeg
from PIL import Image
from red_films import film, tagged
from shared import CASES, VGGSOUND, needs

from cycle_sound.acquisition import acquire, film_jobs, manifest, sources
from cycle_sound.acquisition.manifest import Row
from cycle_sound.acquisition.sources import folder, videos
from cycle_sound.acquisition.sources.clip import Clip, Pair
from cycle_sound.acquisition.sources.footage import Film
from cycle_sound.dataset import acceptance, writer
from cycle_sound.errors import BadSource, NoPairs, TooManyRejected
from cycle_sound.io import params_file
from cycle_sound.media import images, picture_files, sound_files
from cycle_sound.params import DataConfig, FolderConfig, SyntheticConfig, VideosConfig

RATE = 16000
ROOT = Path(__file__).resolve().parents[1]


def data(source: Literal["folder", "videos"], path: Path, **video: Any) -> DataConfig:
    settings: dict[str, Any] = {"labels": "", "pairs_per_clip": 1, "test_share": 0.5, **video}
    return DataConfig(
        source=source,
        pairs="even",
        clip_seconds=0.5,
        min_seconds=0.1,
        silence_db=-60.0,
        max_clipped=0.2,
        still_difference=0.5,
        near_picture=12,
        near_sound=40,
        max_rejected=1.0,
        valid_share=0.1,
        unpaired="reject",
        paired_share=1.0,
        drop_worst=0.0,
        synthetic=SyntheticConfig(train_pairs=1, test_pairs=1),
        folder=FolderConfig(path=str(path)),
        videos=VideosConfig(path=str(path), **settings),
        vggsound=params_file.load(ROOT / "params.yaml").data.vggsound,
    )


def tone(seconds: float = 0.5, level: float = 0.5) -> np.ndarray:
    return (level * np.sin(2 * np.pi * 440 * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def sound(kind: str, wave: np.ndarray) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, wave, RATE, format=kind)
    return file.getvalue()


def png() -> bytes:
    file = io.BytesIO()
    Image.new("RGBA", (30, 20), "green").save(file, "PNG")
    return file.getvalue()


def some_pixels(name: str) -> np.ndarray:
    """Blocks of colour that no other name has: (32, 32, 3)."""
    blocks = np.random.default_rng(list(name.encode())).integers(0, 256, (8, 8, 3), np.uint8)
    return blocks.repeat(4, axis=0).repeat(4, axis=1)


def some_jpeg(name: str) -> bytes:
    return picture_files.encode_jpeg(Image.fromarray(some_pixels(name)))


def some_mp3(name: str) -> bytes:
    """Half a second of noise that no other name has."""
    noise = np.random.default_rng(list(name.encode())).normal(0, 0.1, RATE // 2)
    return sound_files.encode_mp3(noise.astype(np.float32), RATE)


JPEG = some_jpeg("good")
MP3 = some_mp3("good")


@pytest.fixture
def troubled(tmp_path: Path) -> Path:
    """A folder with every kind of trouble, and two good pairs in each split."""
    root = tmp_path / "folder"
    fill(
        root,
        **{
            "train_data/good.jpg": JPEG,
            "train_data/good.mp3": MP3,
            "train_data/CASE.PNG": png(),
            "train_data/CASE.Wav": sound("WAV", tone()),
            "test_data/t.jpeg": JPEG,
            "test_data/t.flac": sound("FLAC", tone()),
            "test_data/both.jpg": some_jpeg("both"),
            "test_data/both.mp3": some_mp3("both"),
            "train_data/both.jpg": JPEG,
            "train_data/both.mp3": MP3,
            "train_data/two.jpg": JPEG,
            "train_data/two.png": png(),
            "train_data/two.mp3": MP3,
            "train_data/blind.mp3": MP3,
            "train_data/deaf.jpg": JPEG,
            "train_data/torn.jpg": JPEG[:200],
            "train_data/torn.mp3": MP3,
            "train_data/text.jpg": JPEG,
            "train_data/text.mp3": "hello " * 100,
            "train_data/empty.jpg": "",
            "train_data/empty.mp3": MP3,
            "train_data/quiet.jpg": JPEG,
            "train_data/quiet.mp3": sound_files.encode_mp3(np.zeros(RATE, np.float32), RATE),
            "train_data/brief.jpg": JPEG,
            "train_data/brief.ogg": sound("OGG", tone(0.05)),
            "train_data/notes.txt": "none of ours",
            "train_data/._good.jpg": "none of ours",
            "labels.csv": 'id,split,label,group\ngood,train,"a, b",g1\nt,test,c,\nlost,train,d,\n../../x,train,d,\n',
        },
    )
    return root


def test_a_folder_with_all_kinds_of_trouble_is_accounted_for(troubled: Path, tmp_path: Path):
    settings = data("folder", troubled)
    rows = acquire.acquire(sources.clips(settings, RATE, 0), settings, tmp_path / "raw", jobs=1)
    assert {(row.split, row.id): row.status for row in rows} == {
        ("train", "good"): "ok",
        ("train", "CASE"): "ok",
        ("test", "t"): "ok",
        ("test", "both"): "ok",
        ("train", "both"): "duplicate",
        ("train", "two"): "duplicate",
        ("train", "blind"): "unpaired",
        ("train", "deaf"): "unpaired",
        ("train", "torn"): "corrupt",
        ("train", "text"): "corrupt",
        ("train", "empty"): "corrupt",
        ("train", "quiet"): "silent",
        ("train", "brief"): "too_short",
        ("train", "lost"): "unavailable",
        ("train", "../../x"): "corrupt",
    }
    assert all((row.status == "ok") == (row.reason == "") for row in rows)
    written = {str(path.relative_to(tmp_path / "raw")) for path in (tmp_path / "raw").rglob("*") if path.is_file()}
    pairs = [f"{row.split}_data/{row.id}" for row in rows if row.status == "ok"]
    assert written == {
        "manifest.csv",
        ".claimed",
        *(f"{pair}.jpg" for pair in pairs),
        *(f"{pair}.mp3" for pair in pairs),
    }
    assert (tmp_path / "raw/train_data/good.mp3").read_bytes() == MP3  # byte for byte
    assert (tmp_path / "raw/train_data/good.jpg").read_bytes() == JPEG
    good = next(row for row in rows if row.id == "good")
    assert (good.label, good.group) == ("a, b", "g1")
    assert next(row for row in rows if row.id == "t").group == "t"


def test_the_manifest_reads_as_written_and_its_bytes_do_not_depend_on_the_jobs(troubled: Path, tmp_path: Path):
    settings = data("folder", troubled)
    clips = sources.clips(settings, RATE, 0)
    rows = acquire.acquire(clips, settings, tmp_path / "one", jobs=1)
    acquire.acquire(clips[::-1], settings, tmp_path / "two", jobs=2)
    assert manifest.read(tmp_path / "one/manifest.csv") == rows
    assert (tmp_path / "one/manifest.csv").read_bytes() == (tmp_path / "two/manifest.csv").read_bytes()
    counts = manifest.summary(rows)
    assert (counts["asked"], counts["ok"], counts["train"], counts["test"]) == (15, 4, 2, 2)
    assert counts["rejected"] == 11 == sum(count for name, count in counts.items() if name.startswith("rejected_"))


def test_folders_of_another_layout_and_bad_lists_are_refused_in_one_line(tmp_path: Path):
    with pytest.raises(BadSource, match="no such folder"):
        folder.clips(data("folder", tmp_path / "none"))
    with pytest.raises(BadSource, match="neither train_data nor test_data"):
        folder.clips(data("folder", tmp_path))
    (tmp_path / "train_data").mkdir()
    with pytest.raises(BadSource, match="no pictures"):
        folder.clips(data("folder", tmp_path))
    for text, message in {
        "a,train,x\n": "header",
        "id,split,label\na,valid,x\n": "line 2",
        "id,split,label\na,train\n": "line 2",
        "id,split,label\na,train,x\na,train,y\n": "line 3: a is already listed, with different values",
        "id,split,label,label\na,train,dog,cat\n": "the header names label twice",
        "id,split,label,id\na,train,dog,b\n": "the header names id twice",
        "id,split,label,split\na,train,dog,test\n": "the header names split twice",
        b"id,split,label\na,train,\xff\n": "UTF-8",
    }.items():
        fill(tmp_path, **{"labels.csv": text})
        with pytest.raises(BadSource, match=message):
            folder.clips(data("folder", tmp_path))


UNREAD = ["x.heic", "x.tiff", "x.avif", "x.JXL", "x.caf", "x.webm", "x.mp4", "x.3gp", "x.aifc", "x.m4b", "x"]


@pytest.mark.parametrize("unpaired", ["reject", "keep"])
@pytest.mark.parametrize("half", ["x.jpg", "x.wav"])
@pytest.mark.parametrize("name", UNREAD)
def test_a_partner_of_a_kind_that_is_not_read_is_named_and_not_passed_over(
    name: str, half: str, unpaired: Literal["reject", "keep"], tmp_path: Path
):
    content = {"x.jpg": JPEG, "x.wav": sound("WAV", tone())}[half]
    fill(tmp_path, **{f"train_data/{half}": content, f"train_data/{name}": "?"})
    settings = data("folder", tmp_path).model_copy(update={"unpaired": unpaired})
    (row,) = acquire.acquire(folder.clips(settings), settings, tmp_path / "raw", jobs=1)
    read = ".aac, .aif, .aiff, .amr" if half == "x.jpg" else ".bmp, .gif, .jpeg, .jpg, .png, .webp"
    assert row.status == "unpaired"
    assert row.reason.startswith(f"{name} is of a kind that is not read; read are {read}")


@pytest.mark.parametrize("unpaired", ["reject", "keep"])
@pytest.mark.parametrize("name", ["x.mp3", "x.m4a"])
def test_a_partner_that_a_link_no_longer_leads_to_is_not_passed_over(
    name: str, unpaired: Literal["reject", "keep"], tmp_path: Path
):
    fill(tmp_path, **{"train_data/x.jpg": JPEG})
    (tmp_path / "train_data" / name).symlink_to("nowhere.mp3")
    settings = data("folder", tmp_path).model_copy(update={"unpaired": unpaired})
    (row,) = acquire.acquire(folder.clips(settings), settings, tmp_path / "raw", jobs=1)
    assert (row.status, row.reason) == ("unavailable", f"{name} is a link that leads nowhere, or no regular file")


def test_of_what_is_listed_a_file_that_is_not_read_is_named(tmp_path: Path):
    fill(tmp_path, **{"train_data/x.heic": "?", "labels.csv": "id,split,label\nx,train,dog\n"})
    settings = data("folder", tmp_path)
    (row,) = acquire.acquire(folder.clips(settings), settings, tmp_path / "raw", jobs=1)
    assert (row.status, row.reason[:42]) == ("unpaired", "x.heic is of a kind that is not read; read")


@pytest.mark.parametrize("unpaired", ["reject", "keep"])
def test_a_clip_of_kinds_that_are_not_read_has_a_row_with_the_reason(
    unpaired: Literal["reject", "keep"], tmp_path: Path
):
    names = ["good.jpg", "good.mp3", "iphone.heic", "iphone.caf", "film.mov", "Thumbs.db", "notes.txt", "LICENSE"]
    fill(tmp_path, **{f"train_data/{name}": {".jpg": JPEG, ".mp3": MP3}.get(name[-4:], "?") for name in names})
    (tmp_path / "train_data/gone.jpg").symlink_to("nowhere")
    settings = data("folder", tmp_path).model_copy(update={"unpaired": unpaired})
    rows = acquire.acquire(folder.clips(settings), settings, tmp_path / "raw", jobs=1)
    fates = {row.id: (row.status, row.reason.split("; ")[0]) for row in rows}
    assert fates == {
        "good": ("ok", ""),
        "iphone": ("unpaired", "iphone.caf is of a kind that is not read"),
        "film": ("unpaired", "film.mov is of a kind that is not read"),
        "gone": ("unavailable", "gone.jpg is a link that leads nowhere, or no regular file"),
    }


@pytest.mark.parametrize("name", ["dog/3.jpg", "dog/deep/3.WAV"])
def test_pictures_and_sounds_in_deeper_folders_are_not_passed_over(name: str, tmp_path: Path):
    fill(tmp_path, **{"train_data/a.jpg": JPEG, "train_data/a.mp3": MP3, "train_data/.cache/b.jpg": "?"})
    fill(tmp_path, **{"train_data/notes/read.txt": "?", "train_data/notes/.b.jpg": "?"})
    assert [clip.id for clip in folder.clips(data("folder", tmp_path))] == ["a"]
    fill(tmp_path, **{f"train_data/{name}": "?"})
    with pytest.raises(BadSource, match=r"train_data/dog: holds pictures or sounds, and no folders in train_data are"):
        folder.clips(data("folder", tmp_path))


def test_films_in_deeper_folders_are_told_of_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    fill(tmp_path, **dict.fromkeys(["a.mp4", ".cache/b.mp4", "lists/c.csv"], ""))
    assert [clip.id for clip in videos.clips(data("videos", tmp_path))] == ["a"]
    assert capsys.readouterr().err == ""
    fill(tmp_path, **dict.fromkeys(["cats/d.MKV", "dogs/deep/e.mp4"], ""))
    assert [clip.id for clip in videos.clips(data("videos", tmp_path))] == ["a"]
    assert capsys.readouterr().err == f"{tmp_path}: no folders in it are looked into; there are films in cats, dogs\n"


def test_notes_beside_what_is_alone_and_anything_beside_a_pair_change_nothing(tmp_path: Path):
    pair = {"train_data/pair.jpg": JPEG, "train_data/pair.mp3": MP3}
    lone = {"train_data/lone.jpg": some_jpeg("lone")}
    fill(tmp_path, **pair, **lone, **dict.fromkeys(["train_data/pair.heic", "train_data/pair.caf"], "?"))
    fill(
        tmp_path,
        **{f"train_data/{name}": "?" for name in ("lone.txt", "lone.json", "README", "labels.csv", ".lone.m4b")},
    )
    (tmp_path / "train_data/lone").mkdir()
    (tmp_path / "train_data/pair.wav").symlink_to("nowhere")
    settings = data("folder", tmp_path).model_copy(update={"unpaired": "keep"})
    rows = acquire.acquire(folder.clips(settings), settings, tmp_path / "raw", jobs=1)
    assert {row.id: (row.status, row.lone) for row in rows} == {"lone": ("ok", "image"), "pair": ("ok", None)}


@pytest.mark.parametrize("name", ["labels.csv", "Labels.csv", "LABELS.CSV"])
def test_a_list_is_read_in_whatever_case_and_is_never_passed_over(name: str, tmp_path: Path):
    fill(tmp_path, **{"train_data/a.jpg": JPEG, "train_data/a.mp3": MP3, name: "id,split,label\na,train,bell\n"})
    assert [clip.label for clip in folder.clips(data("folder", tmp_path))] == ["bell"]
    (tmp_path / name).rename(tmp_path / "moved")
    (tmp_path / name).symlink_to("nowhere")
    with pytest.raises(BadSource, match=f"{name}: no such list"):
        folder.clips(data("folder", tmp_path))
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    with pytest.raises(BadSource, match=f"{name}: not a regular file"):
        folder.clips(data("folder", tmp_path))


def test_of_two_lists_none_is_chosen(tmp_path: Path):
    fill(tmp_path, **dict.fromkeys(["train_data/a.jpg", "labels.csv", "Labels.csv"], ""))
    if len(list(tmp_path.iterdir())) == 3:  # a disk that tells them apart
        with pytest.raises(BadSource, match=r"holds both Labels.csv and labels.csv"):
            folder.clips(data("folder", tmp_path))


def give(pair: Pair) -> Pair:
    return pair


def fail() -> Pair:
    raise RuntimeError("a decoder\nfell over")


def made(name: str, fetch: Callable[[], Pair] | None = None, split: Literal["train", "test"] = "train") -> Clip:
    content = repr(name)  # half of a surrogate pair has no bytes
    return Clip(
        name, split, "", name, fetch or partial(give, Pair(some_jpeg(content), some_mp3(content))), {"pitch": 0.25}
    )


@pytest.mark.parametrize(
    "name", ["../out", "a/b", "a\\b", "/abs", "nul\0", "line\nbreak", ".hidden", "..", "", "x" * 201, "\udcff"]
)
def test_an_id_that_is_no_file_name_writes_nothing_anywhere(name: str, tmp_path: Path):
    into = tmp_path / "deep" / "raw"
    rows = acquire.acquire([made(name), made("a"), made("-b", split="test")], data("folder", tmp_path), into, 1)
    assert [row.status for row in rows if row.id not in ("a", "-b")] == ["corrupt"]
    assert sum(path.is_file() for path in tmp_path.rglob("*")) == 6  # two pairs, the manifest and the account
    assert len(manifest.read(into / "manifest.csv")) == 3


def late(pair: Pair, other: Path) -> Pair:
    """A pair that comes only after another clip's sound has been written, which is the last of its files."""
    while not other.exists():  # or the test hangs, and fails
        time.sleep(0.002)
    return pair


def test_the_order_of_the_rows_does_not_depend_on_which_clip_is_done_first(tmp_path: Path):
    slow = partial(late, Pair(JPEG, MP3), tmp_path / "test_data/b.mp3")
    clips = [made("a", slow), made("a"), made("b", split="test")]
    rows = acquire.acquire(clips, data("folder", tmp_path), tmp_path, 2)
    assert [(row.id, row.status) for row in rows] == [("b", "ok"), ("a", "ok"), ("a", "duplicate")]


def test_an_exception_in_a_source_is_one_corrupt_clip(tmp_path: Path):
    clips = [made("a", fail), made("b"), made("c", split="test")]
    rows = acquire.acquire(clips, data("folder", tmp_path), tmp_path, 1)
    assert [(row.id, row.status, row.reason) for row in rows] == [
        ("c", "ok", ""),
        ("a", "corrupt", "RuntimeError: a decoder fell over"),
        ("b", "ok", ""),
    ]
    assert manifest.read(tmp_path / "manifest.csv")[0].attributes == {"pitch": 0.25}


def overflow(depth: int = 0) -> Pair:
    return overflow(depth + 1)


def misread() -> Pair:
    raise UnicodeDecodeError("utf-8", b"\xe9", 0, 1, "invalid continuation byte")


def exhaust() -> Pair:
    raise MemoryError


class Unspeakable(Exception):
    def __init__(self, one: int, other: int) -> None:  # cannot be unpickled
        super().__init__(one)


def unspeakable() -> Pair:
    raise Unspeakable(1, 2)


@pytest.mark.parametrize("jobs", [1, 2])
def test_any_exception_in_a_source_is_its_clips_fate(jobs: int, tmp_path: Path):
    bad = [made(fetch.__name__, fetch) for fetch in (overflow, misread, exhaust, unspeakable)]
    rows = acquire.acquire([*bad, made("a"), made("b", split="test")], data("folder", tmp_path), tmp_path, jobs)
    fates = {row.id: row.status for row in rows}
    assert fates == {"a": "ok", "b": "ok", **dict.fromkeys([clip.id for clip in bad], "corrupt")}


def end_with(number: int) -> Pair:
    os.kill(os.getpid(), number)
    raise AssertionError


def hang() -> Pair:
    time.sleep(1000)
    raise AssertionError


ENDS: dict[str, Callable[[], Pair]] = {
    "segfault": partial(end_with, signal.SIGSEGV),
    "abort": partial(end_with, signal.SIGABRT),
    "killed": partial(end_with, signal.SIGKILL),
    "exit": partial(os._exit, 0),
}


def test_clips_that_end_their_process_are_named_and_cost_no_other(tmp_path: Path):
    good = [made("a"), made("b"), made("t", split="test")]
    clips = [*good[:1], *(made(name, end) for name, end in ENDS.items()), *good[1:]]
    rows = acquire.acquire(clips, data("folder", tmp_path), tmp_path, 2)
    fates = {row.id: (row.status, row.reason) for row in rows}
    lost = ("corrupt", "reading it ends the process: a decoder's fault")
    assert fates == {**dict.fromkeys("abt", ("ok", "")), **dict.fromkeys(ENDS, lost)}
    assert manifest.read(tmp_path / "manifest.csv") == sorted(rows, key=lambda row: (row.split, row.id))


def test_a_lossless_jpeg_is_corrupt_and_its_process_goes_on(tmp_path: Path):
    clips = [made("a"), made("b", partial(give, Pair(lossless_jpeg(), some_mp3("b")))), made("t", split="test")]
    rows = acquire.acquire(clips, data("folder", tmp_path), tmp_path, 2)
    assert {row.id: row.reason for row in rows} == {"a": "", "b": "a lossless JPEG", "t": ""}


LOADED: list[str] = []


def load(film: str) -> str:
    LOADED.append(film)
    return film


def cut(moment: str, pair: Pair, film: str) -> Pair:
    assert moment.startswith(film)
    if moment == "b1":
        end_with(signal.SIGKILL)
    return pair


def test_a_moment_that_ends_its_process_costs_no_other_of_its_film_and_films_are_loaded_in_their_order(tmp_path: Path):
    LOADED.clear()
    loads = {film: partial(load, film) for film in "abc"}
    pairs = {f"{film}{i}": Pair(some_jpeg(f"{film}{i}"), some_mp3(f"{film}{i}")) for film in loads for i in range(3)}
    clips = [replace(made(name), fetch=partial(cut, name, pair), load=loads[name[0]]) for name, pair in pairs.items()]
    rows = acquire.acquire(clips, data("folder", tmp_path), tmp_path, 2)
    assert [*loads, *"b", *"bbb", *"b"] == LOADED  # in the end: the film alone, each of its moments, the one alone
    lost = {row.id: row.reason for row in rows if row.status != "ok"}
    assert lost == {"b1": "reading it ends the process: a decoder's fault"}


def cut_slowly(moment: str, pair: Pair, film: str) -> Pair:
    if moment == "b1":
        hang()
    return pair


def test_a_moment_that_hangs_costs_no_other_of_its_film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(film_jobs, "SECONDS", 0.3)
    loads = {film: partial(load, film) for film in "ab"}
    sizes = {"a0": 10**9, "a1": 10**9, "b0": 2_000_000, "b1": 0}  # bytes, and so time for what does not hang
    clips = [
        replace(
            made(name),
            fetch=partial(cut_slowly, name, Pair(some_jpeg(name), some_mp3(name))),
            load=loads[name[0]],
            size=size,
        )
        for name, size in sizes.items()
    ]
    rows = acquire.acquire(clips, data("folder", tmp_path), tmp_path, 2)
    assert {row.id: row.status for row in rows if row.status != "ok"} == {"b1": "corrupt"}


def test_a_clip_that_hangs_is_named_and_costs_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(film_jobs, "SECONDS", 1.0)
    good = [replace(clip, size=10**9) for clip in (made("a"), made("b"), made("t", split="test"))]
    rows = acquire.acquire([made("evil", hang), *good, made("worse", hang)], data("folder", tmp_path), tmp_path, 2)
    assert {row.id: row.reason for row in rows} == {
        **dict.fromkeys(["a", "b", "t"], ""),
        **dict.fromkeys(["evil", "worse"], "reading it takes more than 1 s"),
    }


def test_a_clip_may_take_longer_the_longer_it_is(tmp_path: Path):
    fill(tmp_path, **{"train_data/a.jpg": JPEG, "train_data/a.mp3": MP3, "train_data/b.jpg": JPEG})
    fill(tmp_path, **{"train_data/b.mp3": bytes(50_000_000)})
    short, long = folder.clips(data("folder", tmp_path))
    assert film_jobs.seconds([long]) - film_jobs.seconds([short]) == pytest.approx(50, abs=1)
    assert film_jobs.seconds([short]) > 30
    assert film_jobs.seconds([long] * 3) == film_jobs.seconds([long]) + 2 * film_jobs.SECONDS  # each moment is work


def test_more_rejected_than_is_allowed_is_one_line_with_the_reasons(tmp_path: Path):
    clips = [made("a", fail), made("b", fail), made("c"), made("d", split="test")]
    rows = acquire.acquire(clips, data("folder", tmp_path), tmp_path, 1)
    with pytest.raises(TooManyRejected, match=r"^2 of 4 clips rejected, 50%; .* 25%: 2 corrupt \(Runtime"):
        acceptance.check(rows, 0.25)
    acceptance.check(rows, 0.5)
    assert manifest.read(tmp_path / "manifest.csv") == sorted(rows, key=lambda row: (row.split, row.id))


def test_an_empty_side_is_refused(tmp_path: Path):
    with pytest.raises(BadSource, match="no clips"):
        acquire.acquire([], data("folder", tmp_path), tmp_path, 1)
    with pytest.raises(NoPairs, match="no test pairs"):
        acceptance.check(acquire.acquire([made("a")], data("folder", tmp_path), tmp_path, 1), 0.25)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_a_moment_of_a_video_gives_its_frame_and_the_sound_around_it(suffix: str, tmp_path: Path):
    path = tmp_path / f"-film{suffix}"
    film(path)
    levels = []
    for place in (0.0, 0.5, 1.0):
        pair = videos.cut(Film(path), place, clip_seconds=0.5, min_seconds=0.1, still_difference=0.5, lone=False)
        red = images.to_array(images.open_picture(pair.picture), 16)[0].mean()
        assert red == pytest.approx(255 * place, abs=16)
        wave, rate = sound_files.decode(pair.sound)
        assert rate == 22050
        assert len(wave) == pytest.approx(rate / 2, abs=rate * 0.07)
        levels.append(np.sqrt(np.mean(wave**2)) / (0.2 / np.sqrt(2)))
    assert levels == pytest.approx([0.14, 0.5, 0.92], abs=0.06)


TAGS = {
    "Latin-1": "Café del Mär".encode("latin-1"),
    "Shift JIS": "蛙の歌".encode("shift_jis"),
    "UTF-16": "蛙".encode("utf-16"),
    "cut off": "Café".encode()[:-1],
    "no characters": b"\xff\xfe\xc0\x80",
}


@pytest.mark.parametrize("tag", TAGS.values(), ids=TAGS)
@pytest.mark.parametrize(("suffix", "stream"), [(".mkv", False), (".mkv", True), (".mp4", False), (".avi", False)])
def test_a_film_with_a_tag_in_any_encoding_is_a_good_film(suffix: str, stream: bool, tag: bytes, tmp_path: Path):
    path = tmp_path / f"film{suffix}"
    tagged(path, stream, tag)
    videos.check(path)
    assert videos.cut(Film(path), 0.5, clip_seconds=0.5, min_seconds=0.1, still_difference=0.5, lone=False).picture


@needs(CASES)
def test_a_film_from_the_field_with_a_tag_in_another_encoding_is_a_good_film():
    videos.check(CASES / "faults/tag_not_utf8.webm")


@pytest.mark.parametrize("source", ["folder", "videos"])
def test_a_file_name_that_is_no_utf_8_is_one_clips_fate(source: Literal["folder", "videos"], tmp_path: Path):
    root = tmp_path / "root"
    if source == "folder":
        fill(
            root, **{"train_data/a.jpg": JPEG, "train_data/a.mp3": MP3, "test_data/t.jpg": JPEG, "test_data/t.mp3": MP3}
        )
    else:
        root.mkdir()
        film(root / "a.mp4")
        film(root / "another.mp4", seed=1)
    odd = os.fsdecode(b"train_data/caf\xe9.jpg" if source == "folder" else b"caf\xe9.mp4")
    try:
        (root / odd).write_bytes(JPEG)
    except OSError:
        pytest.skip("this file system has names in UTF-8 alone")
    settings = data(source, root)
    rows = acquire.acquire(sources.clips(settings, RATE, 0), settings, tmp_path / "raw", 1)
    assert [row.status for row in rows if "udce9" in row.id] == ["corrupt"]
    assert len([row for row in rows if row.status == "ok"]) >= 1


def test_a_video_shorter_than_a_clip_gives_all_its_sound(tmp_path: Path):
    film(tmp_path / "short.mp4", 1.0)
    wave, rate = sound_files.decode(
        videos.cut(
            Film(tmp_path / "short.mp4"), 0.5, clip_seconds=5.0, min_seconds=0.1, still_difference=0.5, lone=False
        ).sound
    )
    assert len(wave) / rate == pytest.approx(1, abs=0.1)


def test_a_video_stored_sideways_is_turned_upright(tmp_path: Path):
    film(tmp_path / "phone.mp4", rotation=-90)
    assert images.open_picture(
        videos.cut(
            Film(tmp_path / "phone.mp4"), 0.5, clip_seconds=0.5, min_seconds=0.1, still_difference=0.5, lone=False
        ).picture
    ).size == (48, 64)


def test_videos_that_cannot_be_used_are_rejected_for_the_right_reason(tmp_path: Path):
    film(tmp_path / "good.mp4")
    film(tmp_path / "another.mp4", seed=1)  # by its hash in the other split
    film(tmp_path / "mute.mp4", mute=True)
    film(tmp_path / "blind.mp4", blind=True)
    film(tmp_path / "brief.mp4", 1.0)
    film(tmp_path / "slide.mp4", still=True)
    (tmp_path / "torn.mp4").write_bytes((tmp_path / "good.mp4").read_bytes()[:3000])
    (tmp_path / "empty.webm").write_bytes(b"")
    (tmp_path / "good.mpeg").write_bytes(b"the same id again")
    settings = data("videos", tmp_path).model_copy(update={"min_seconds": 1.2, "clip_seconds": 1.5})
    rows = acquire.acquire(videos.clips(settings), settings, tmp_path / "raw", 1)
    assert not any(str(tmp_path) in row.reason for row in rows)  # a manifest is the same wherever it is made
    fates = sorted((row.id, row.status) for row in rows)
    assert fates == [
        ("another", "ok"),
        ("blind", "no_video"),
        ("brief", "too_short"),
        ("empty", "corrupt"),
        ("good", "duplicate"),
        ("good", "ok"),
        ("mute", "no_audio"),
        ("slide", "still"),
        ("torn", "corrupt"),
    ]


def test_all_clips_of_one_source_video_stay_on_one_side(tmp_path: Path):
    names = [f"{chr(97 + i) * 11}_{when}.mp4" for i in range(8) for when in ("000000", "30000_40000")]
    fill(tmp_path, **dict.fromkeys(names, ""))
    for share in (0.0001, 0.5, 0.9999):
        clips = videos.clips(data("videos", tmp_path, pairs_per_clip=3, test_share=share))
        assert len({clip.id for clip in clips}) == 48
        sides = {split: {clip.group for clip in clips if clip.split == split} for split in ("train", "test")}
        assert sides["train"]
        assert sides["test"]
        assert not sides["train"] & sides["test"]
        assert sides["train"] | sides["test"] == {chr(97 + i) * 11 for i in range(8)}


@pytest.mark.parametrize("form", ["performance_{:02d}", "my_birthday_{}", "performance_{}000_{}500", "film {}"])
def test_films_of_a_series_are_films_of_their_own(form: str, tmp_path: Path):
    stems = [form.format(i, i) for i in range(1, 9)]
    fill(tmp_path, **{f"{stem}.mp4": "" for stem in stems})
    clips = videos.clips(data("videos", tmp_path))
    assert {clip.group for clip in clips} == {*stems}
    assert {clip.split for clip in clips} == {"train", "test"}


@pytest.mark.parametrize("share", [0.06, 0.2])
def test_of_the_videos_that_are_not_tested_validation_gets_its_share(share: float, tmp_path: Path):
    fill(tmp_path, **{f"film {i}.mp4": "" for i in range(500)})
    clips = videos.clips(data("videos", tmp_path, pairs_per_clip=2, test_share=0.2))
    split = writer.split([Row(clip.id, clip.split, "", clip.group, "ok", "", {}) for clip in clips], share)
    assert len(split["test"]) == pytest.approx(0.2 * 1000, rel=0.3)
    assert len(split["valid"]) == pytest.approx(share * 800, rel=0.3)


def test_a_list_labels_the_videos_found_and_asks_for_no_others(tmp_path: Path):
    fill(tmp_path, **{"-a_b.mp4": "", "c.mkv": "", "list.csv": '-a_b.mp4,"dog, barking"\nc.mp4,cat\nd.mp4,bird\n'})
    clips = videos.clips(data("videos", tmp_path, labels=str(tmp_path / "list.csv")))
    assert {clip.id: clip.label for clip in clips} == {"-a_b": "dog, barking", "c": "cat"}
    with pytest.raises(BadSource, match="no such list"):
        videos.clips(data("videos", tmp_path, labels=str(tmp_path / "none.csv")))
    fill(tmp_path, **{"list.csv": "a,b,c\n"})
    with pytest.raises(BadSource, match="line 1: needs two columns"):
        videos.clips(data("videos", tmp_path, labels=str(tmp_path / "list.csv")))


@needs(VGGSOUND)
def test_real_videos(tmp_path: Path):
    settings = data("videos", VGGSOUND / "videos", labels=str(VGGSOUND / "test.csv"), test_share=0.2)
    rows = acquire.acquire(sources.clips(settings, RATE, 0), settings, tmp_path, 2)
    assert len(rows) == 7
    assert {row.id: row.status for row in rows if row.status != "ok"} == {"0jZtLuEdjrk_000110": "no_audio"}
    labels = {row.id: row.label for row in rows}
    assert labels["1aDnyPubxdY_000118"] == "baby crying"
