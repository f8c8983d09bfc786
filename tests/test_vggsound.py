"""VGGSound's lists and names, what is at hand, the moments, and the pairs cut of them."""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import av
import numpy as np
import pytest
from excerpts import DEAF, brightness, heard, ids, likeness, likest, write_list
from mirror import acquired, counted_film
from shared import VGGSOUND, needs

from cycle_sound import params as parameters
from cycle_sound.acquisition import acquire, manifest, sources
from cycle_sound.acquisition.manifest import Row
from cycle_sound.acquisition.sources import archives, lists, moments, vggsound, videos
from cycle_sound.acquisition.sources.archives import Video
from cycle_sound.acquisition.sources.clip import Pair, Rejected
from cycle_sound.acquisition.sources.footage import Film
from cycle_sound.acquisition.sources.lists import Excerpt, Listed
from cycle_sound.acquisition.sources.moments import Frame, Moment
from cycle_sound.dataset import writer
from cycle_sound.errors import BadSource, ParamsError
from cycle_sound.media import sound_files
from cycle_sound.params import DataConfig, Params

Settings = Callable[..., DataConfig]


@pytest.fixture
def settings(params: Params, tmp_path: Path) -> Settings:
    """`settings(**vggsound)`: data.source vggsound in tmp_path, fetching nothing; data's own fields go in `data`."""

    def made(data: dict[str, Any] | None = None, **own: Any) -> DataConfig:
        own = {"path": str(tmp_path / "store"), "list": str(tmp_path / "list.csv"), "url": "", **own}
        changes = {"source": "vggsound", "max_rejected": 1.0, "clip_seconds": 0.5, **(data or {})}
        return params.data.model_copy(update={**changes, "vggsound": params.data.vggsound.model_copy(update=own)})

    return made


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return counted_film(tmp_path_factory.mktemp("film") / "film.mp4").read_bytes()


# --- lists and names


def test_the_names_of_all_mirrors_are_recognised_and_no_others():
    for name in ("-b_c__d-e_f_000030", "-b_c__d-e_f_30000_40000", "-b_c__d-e_f_30"):
        assert lists.recognised(name) == Excerpt("-b_c__d-e_f", 30)
    assert lists.recognised("-b_c__d-e_f_0_10000") == Excerpt("-b_c__d-e_f", 0)
    assert Excerpt("-b_c__d-e_f", 30).name == "-b_c__d-e_f_000030"
    for name in ("", "holiday", "-b_c__d-e_f", "-b_c__d-e_f_", "-b_c__d-e_f_30_40", "b/c__d-e_fg_30", "-b_c__d-e_f_٣٠"):
        assert lists.recognised(name) is None
    assert lists.recognised("-b_c__d-e_f_40000_30000") is None


def test_both_kinds_of_list_are_read(tmp_path: Path):
    (tmp_path / "four.csv").write_text("---g-f_I2yQ,1,people marching,test\n_-a,b", encoding="utf-8")
    (tmp_path / "four.csv").write_text(
        '---g-f_I2yQ,1,people marching,test\n-Qowmc0P9ic,034,"chirping, tweeting",train\n\n'
    )
    assert lists.read(tmp_path / "four.csv", None) == [
        Listed(Excerpt("---g-f_I2yQ", 1), "people marching", "test"),
        Listed(Excerpt("-Qowmc0P9ic", 34), "chirping, tweeting", "train"),
    ]
    (tmp_path / "two.csv").write_text('-Qowmc0P9ic_000034.mp4,"chirping, tweeting"\n')
    assert lists.read(tmp_path / "two.csv", "test") == [
        Listed(Excerpt("-Qowmc0P9ic", 34), "chirping, tweeting", "test")
    ]
    assert lists.read(tmp_path / "two.csv", None)[0].split is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("YouTube ID,start seconds,label,split\n", "line 1: needs"),
        ("aaaaaaaaaaa,1,x,valid\n", "line 1: needs"),
        ("aaaaaaaaaaa,-1,x,test\n", "line 1: needs"),
        ("aaaaaaaaaaa,1,x,test\n../../etc/p,1,x,test\n", "line 2: needs"),
        ("aaaaaaaaaaa_000001.mp4,x\nsome.mp4,y\n", "line 2: needs"),
        (
            "aaaaaaaaaaa,1,x,test\naaaaaaaaaaa,1,y,test\n",
            "line 2: aaaaaaaaaaa_000001 is already listed, with different values",
        ),
        (b"aaaaaaaaaaa,1,\xff,test\n", "UTF-8"),
        ("\n", "lists no clips"),
    ],
)
def test_a_bad_list_is_refused_in_one_line(text: str | bytes, message: str, tmp_path: Path):
    (tmp_path / "list.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(BadSource, match=message) as error:
        lists.read(tmp_path / "list.csv", None)
    assert "\n" not in str(error.value)
    with pytest.raises(BadSource, match="no such list"):
        lists.read(tmp_path / "none.csv", None)


@needs(VGGSOUND)
def test_every_row_of_the_real_test_list_is_read():
    rows = lists.read(VGGSOUND / "test.csv", "test")
    assert len(rows) == 15446
    assert len({row.label for row in rows}) == 309
    assert sum(row.excerpt.video.startswith("-") for row in rows) > 100


# --- the selection


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """40 videos: two labels by turns, the first 30 train."""
    rows = [
        (name, i, f"label {i % 2}", "train" if i < 30 else "test")
        for i, name in enumerate(f"{i:011d}" for i in range(40))
    ]
    write_list(tmp_path / "list.csv", rows)
    return tmp_path / "list.csv"


def test_rows_are_selected_by_split_label_and_count(listed: Path, settings: Settings):
    def chosen(**own: Any) -> list[vggsound.Row]:
        return vggsound.selected(settings(**own).vggsound)

    assert len(chosen()) == 40
    assert [row.split for row in chosen()] == ["train"] * 30 + ["test"] * 10
    assert {row.label for row in chosen(labels=["label 1"])} == {"label 1"}
    few = chosen(clips_per_label=2)
    assert len(few) == 8
    assert set(few) < set(chosen(clips_per_label=3)) < set(chosen())  # more are the same and more
    with pytest.raises(BadSource, match="no row has the label cat, dog"):
        chosen(labels=["label 1", "dog", "cat"])


def test_of_one_split_alone_whole_videos_are_held_out(listed: Path, settings: Settings, tmp_path: Path):
    rows = vggsound.selected(settings(split="test", test_share=0.5).vggsound)
    assert {row.excerpt.start for row in rows} == set(range(30, 40))
    assert {row.split for row in rows} == {"train", "test"}
    old = [(f"{i:011d}_{second:06d}.mp4", "x") for i in range(10) for second in (0, 30)]
    write_list(tmp_path / "old.csv", old)
    for split in ("both", "train", "test"):
        rows = vggsound.selected(settings(list=str(tmp_path / "old.csv"), split=split, test_share=0.5).vggsound)
        sides = [{row.excerpt.video for row in rows if row.split == side} for side in ("train", "test")]
        assert len(rows) == 20
        assert all(sides)
        assert not sides[0] & sides[1]


def test_of_the_videos_of_one_split_that_are_not_tested_validation_gets_its_share(settings: Settings, tmp_path: Path):
    write_list(tmp_path / "list.csv", [(f"{i:011d}_000030.mp4", "x") for i in range(1000)])
    rows = vggsound.selected(settings(test_share=0.2).vggsound)
    split = writer.split(
        [Row(row.excerpt.name, row.split, "", row.excerpt.video, "ok", "", {}) for row in rows], valid_share=0.06
    )
    assert len(split["test"]) == pytest.approx(0.2 * 1000, rel=0.3)
    assert len(split["valid"]) == pytest.approx(0.06 * 800, rel=0.3)


def test_an_older_pair_of_lists_is_one_corpus(settings: Settings, tmp_path: Path):
    write_list(tmp_path / "train.csv", [("aaaaaaaaaaa_000001.mp4", "x")])
    write_list(tmp_path / "test.csv", [("bbbbbbbbbbb_000001.mp4", "x")])
    own = {"list": str(tmp_path / "train.csv"), "test_list": str(tmp_path / "test.csv")}
    rows = vggsound.selected(settings(**own).vggsound)
    assert [(row.excerpt.video[0], row.split) for row in rows] == [("a", "train"), ("b", "test")]
    write_list(tmp_path / "test.csv", [("aaaaaaaaaaa_000001.mp4", "x")])
    with pytest.raises(BadSource, match="aaaaaaaaaaa_000001 is in both lists"):
        vggsound.selected(settings(**own).vggsound)


# --- what is at hand


def tar(path: Path, members: dict[str, bytes], links: dict[str, str] | None = None) -> None:
    packing = {".gz": "w:gz", ".tgz": "w:gz", ".bz2": "w:bz2", ".xz": "w:xz"}.get(path.suffix, "w")
    with tarfile.open(path, packing) as archive:  # type: ignore[call-overload]
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def content(video: Video) -> bytes | Rejected:
    held = video.load().content
    return held.read_bytes() if isinstance(held, Path) else held


def test_folders_and_archives_are_one_store_and_nothing_is_unpacked(tmp_path: Path):
    (tmp_path / "deep/er").mkdir(parents=True)
    (tmp_path / ".fetching").mkdir()
    a, b, c, d, e, f = (Excerpt(name, 30) for name in ids(6))
    (tmp_path / f"deep/er/{a.name}.mp4").write_bytes(b"loose a")
    (tmp_path / f".fetching/{d.name}.mp4").write_bytes(b"not whole")
    tar(
        tmp_path / "x.tar",
        {f"v/{a.video}_30.mp4": b"tarred a", f"v/{b.video}_30000_40000.webm": b"tarred b", "v/list.csv": b"-"},
    )
    tar(tmp_path / "y.tar.gz", {f"../../{c.video}_000030.mp4": b"zipped c" * 9, f"{b.video}_30.mp4": b"zipped b"})
    tar(tmp_path / "z.tgz", {f"._{d.name}.mp4": b"-"}, {f"{d.name}.mp4": "/etc/passwd"})
    tar(tmp_path / "z.tar.bz2", {f"{e.name}.mp4": b"zipped e"})
    tar(tmp_path / "z.tar.xz", {"first": bytes(1 << 20), f"{f.name}.mp4": b"zipped f"})
    before = sorted(tmp_path.rglob("*"))
    found = archives.find(tmp_path)
    assert {excerpt: content(video) for excerpt, video in found.items()} == {
        a: b"loose a",
        b: b"tarred b",
        c: b"zipped c" * 9,
        e: b"zipped e",
        f: b"zipped f",
    }
    for one in (c, e, f):
        assert content(found[one]) == content(found[one])  # backwards, too
    assert sorted(tmp_path.rglob("*")) == before


def test_a_member_too_large_is_refused_before_it_is_read(settings: Settings, tmp_path: Path):
    (tmp_path / "store").mkdir()
    tar(tmp_path / "store/x.tar", {"aaaaaaaaaaa_30.mp4": bytes(1_000_001)})
    write_list(tmp_path / "list.csv", [("aaaaaaaaaaa", 30, "x", "train")])
    data = settings(max_megabytes=1, pairs_per_clip=2)
    with patch.object(archives, "_part", side_effect=AssertionError):
        rows = acquired(vggsound.clips(data), data, tmp_path / "raw", 1)
    reason = "1000001 bytes in the archive; more than 1000000"
    assert [(row.id, row.status, row.reason) for row in rows] == [
        (f"aaaaaaaaaaa_000030_{i}", "corrupt", reason) for i in range(2)
    ]


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz", "x.tar.bz2", "x.tar.xz"])
def test_a_broken_archive_is_named_before_any_work(name: str, tmp_path: Path):
    noise = np.random.default_rng(0).bytes(20_000)
    tar(tmp_path / name, {"aaaaaaaaaaa_30.mp4": noise, "bbbbbbbbbbb_30.mp4": noise})
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:15_000])
    with pytest.raises(BadSource, match="broken archive: fetch it again or move it away"):
        archives.find(tmp_path)
    (tmp_path / name).write_bytes(b"neither tar nor gzip" * 100)
    with pytest.raises(BadSource, match="broken archive: fetch it again or move it away"):
        archives.find(tmp_path)


def test_without_an_address_what_is_at_hand_is_asked_for(settings: Settings, tmp_path: Path, film: bytes, capsys: Any):
    names = ids(6)
    write_list(tmp_path / "list.csv", [(name, 30, "x", "test" if i % 2 else "train") for i, name in enumerate(names)])
    with pytest.raises(BadSource, match="no such folder"):
        vggsound.clips(settings())
    (tmp_path / "store").mkdir()
    with pytest.raises(BadSource, match="none of the clips asked for"):
        vggsound.clips(settings())
    (tmp_path / f"store/{names[0]}_30.mp4").write_bytes(film)
    tar(tmp_path / "store/a.tar.gz", {f"{names[1]}_000030.mp4": film, f"{names[2]}_30000_40000.mp4": film[:2000]})
    data = settings({"pairs": "middle"})
    rows = acquired(sources.clips(data, 16000, 0), data, tmp_path / "raw", 1)
    assert {(row.id, row.group, row.split, row.status) for row in rows} == {
        (f"{names[0]}_000030", names[0], "train", "ok"),
        (f"{names[1]}_000030", names[1], "test", "ok"),
        (f"{names[2]}_000030", names[2], "train", "corrupt"),
    }
    assert "3 of 6 clips" in capsys.readouterr().err
    assert not any(str(tmp_path) in row.reason for row in rows)


def test_an_archive_and_a_folder_give_the_same_bytes(settings: Settings, tmp_path: Path, film: bytes):
    names = ids(4)
    kinds = ("folder", "tar", "tar.gz", "tar.bz2", "tar.xz")
    write_list(tmp_path / "list.csv", [(name, 30, "x", "test" if i % 2 else "train") for i, name in enumerate(names)])
    for kind in kinds:
        store = tmp_path / kind
        store.mkdir()
        files = {f"{name}_000030.mp4": film for name in names}
        if kind == "folder":
            for name, content in files.items():
                (store / name).write_bytes(content)
        else:
            tar(store / f"all.{kind}", files)
        data = settings({"pairs": "even"}, path=str(store), pairs_per_clip=3)
        rows = acquired(vggsound.clips(data), data, tmp_path / f"raw {kind}", 2 if kind == "tar.gz" else 1)
        assert len([row for row in rows if row.status == "ok"]) == 12
    assert len({(tmp_path / f"raw {kind}/manifest.csv").read_bytes() for kind in kinds}) == 1


def test_a_video_on_both_sides_stays_in_test(settings: Settings, tmp_path: Path, film: bytes):
    a, b = ids(2)
    write_list(tmp_path / "list.csv", [(a, 0, "x", "train"), (a, 30, "x", "test"), (b, 0, "x", "train")])
    (tmp_path / "store").mkdir()
    for name in (f"{a}_000000", f"{a}_000030", f"{b}_000000"):
        (tmp_path / f"store/{name}.mp4").write_bytes(film)
    data = settings({"pairs": "middle"})
    rows = acquired(vggsound.clips(data), data, tmp_path / "raw", 1)
    assert [(row.id, row.status) for row in rows] == [
        (f"{a}_000030", "ok"),
        (f"{a}_000000", "duplicate"),
        (f"{b}_000000", "ok"),
    ]


# --- the moments


def test_the_middle_and_evenly_spaced_moments():
    assert moments.of_all("middle", 3) == [0.5]
    assert moments.of_all("even", 1) == [0.5]
    assert moments.of_all("even", 4) == [0.125, 0.375, 0.625, 0.875]


def test_a_folder_of_videos_has_the_same_choice_of_moments(settings: Settings, tmp_path: Path, film: bytes):
    (tmp_path / "film.mp4").write_bytes(film)
    own = settings().videos.model_copy(update={"path": str(tmp_path), "pairs_per_clip": 2})
    for pairs, names in {"middle": ["film"], "even": ["film_0", "film_1"]}.items():
        assert [clip.id for clip in videos.clips(settings({"pairs": pairs, "videos": own}))] == names


def test_listed_moments_are_read_and_nothing_else_is_taken_for_them(tmp_path: Path):
    path = tmp_path / "moments.json"
    path.write_text(json.dumps([{"-b_c__d-e_f_30000_40000": [7, 0, 7]}, {"aaaaaaaaaaa_0_10000": []}]))
    assert moments.listed(path) == {Excerpt("-b_c__d-e_f", 30): [Frame(7), Frame(0)], Excerpt("aaaaaaaaaaa", 0): []}
    for tree in (
        {},
        ["a"],
        [{"x": [1]}],
        [{"aaaaaaaaaaa_0_10000": [-1]}],
        [{"aaaaaaaaaaa_0_10000": [True]}],
        [{"aaaaaaaaaaa_0_10000": 3}],
    ):
        path.write_text(json.dumps(tree))
        with pytest.raises(BadSource, match="needs"):
            moments.listed(path)
    path.write_text("[" * 100_000)
    with pytest.raises(BadSource, match="not JSON"):
        moments.listed(path)
    with pytest.raises(BadSource, match="no such file"):
        moments.listed(tmp_path / "none.json")


def cut(film: Film, moment: Moment) -> Pair:
    return videos.cut(film, moment, clip_seconds=0.5, min_seconds=0.1, still_difference=0.0, lone=False)


def test_a_listed_frame_is_that_frame_and_its_sound(tmp_path: Path):
    counted_film(tmp_path / "film.mp4", seconds=4)
    for number in (0, 1, 11, 12, 13, 27, 39):
        pair = cut(Film(tmp_path / "film.mp4"), Frame(number))
        assert brightness(pair) == pytest.approx(255 * number / 40, abs=3)  # the next one is 6 brighter
        wave, _ = sound_files.decode(pair.sound)
        loud = np.sqrt(np.mean(wave**2)) / 0.2
        assert loud == pytest.approx(min(max(number / 10, 0.25), 3.75) / 4, abs=0.07)
    with pytest.raises(Rejected, match="frame 46 is not among its 40 frames"):
        cut(Film(tmp_path / "film.mp4"), Frame(46))


def test_excerpts_without_listed_frames_are_accounted_for(settings: Settings, tmp_path: Path, film: bytes):
    names = ids(3)
    write_list(tmp_path / "list.csv", [(name, 30, "x", "test" if i else "train") for i, name in enumerate(names)])
    (tmp_path / "store").mkdir()
    for name in names:
        (tmp_path / f"store/{name}_30.mp4").write_bytes(film)
    chosen = [{f"{name}_30000_40000": list(range(0, 30, 3))} for name in names[:2]]
    (tmp_path / "moments.json").write_text(json.dumps(chosen))
    data = settings({"pairs": "listed"}, moments=str(tmp_path / "moments.json"))
    rows = acquired(vggsound.clips(data), data, tmp_path / "raw", 1)
    assert {row.id: row.status for row in rows} == {
        **{f"{name}_000030_{i}": "ok" for name in names[:2] for i in range(10)},
        f"{names[2]}_000030": "unavailable",
    }
    assert {row.group for row in rows} == set(names)


def test_a_film_cut_off_gives_what_it_has_and_no_wrong_picture(tmp_path: Path):
    counted_film(tmp_path / "film.mp4", seconds=6, faststart=True)
    whole = (tmp_path / "film.mp4").read_bytes()
    (tmp_path / "film.mp4").write_bytes(whole[: int(len(whole) * 0.6)])
    for number in (0, 10, 20, 30):
        assert brightness(cut(Film(tmp_path / "film.mp4"), Frame(number))) == pytest.approx(255 * number / 60, abs=3)
    with pytest.raises(Rejected, match="frame 55 is not among"):
        cut(Film(tmp_path / "film.mp4"), Frame(55))


def test_a_playlist_that_calls_itself_a_video_is_not_followed(tmp_path: Path):
    counted_film(tmp_path / "film.ts")
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:3", "#EXTINF:3,", str(tmp_path / "film.ts"), "#EXT-X-ENDLIST", ""]
    (tmp_path / "aaaaaaaaaaa_30.mp4").write_text("\n".join(lines))
    with pytest.raises(Rejected, match="no video file"):
        videos.check(tmp_path / "aaaaaaaaaaa_30.mp4")
    with pytest.raises(av.FFmpegError):
        cut(Film(tmp_path / "aaaaaaaaaaa_30.mp4"), 0.5)


def test_impossible_settings_are_one_line_before_any_work(tree: dict[str, Any]):
    data, own = tree["data"], tree["data"]["vggsound"]

    def refused(message: str) -> None:
        with pytest.raises(ParamsError, match=message):
            parameters.parse(tree)

    for url in (
        "https://a/{name}",
        "https://a/{id.real}",
        "https://a/{}",
        "https://a/b",
        "https://a/{id",
        "file:///{id}",
    ):
        own["url"] = url
        refused("data.vggsound.url")
    own["url"] = "https://a/{id}_{start:06d}.mp4"
    data.update(source="vggsound", pairs="listed")
    refused("needs vggsound.moments")
    data["source"] = "videos"
    refused("data.source vggsound")
    data["pairs"] = "even"
    parameters.parse(tree)


# --- the real clips, against PyAV's own decoding


@needs(VGGSOUND)
def test_the_real_clips_give_their_frames_and_their_sound(settings: Settings, tmp_path: Path):
    stems = sorted(path.stem for path in (VGGSOUND / "videos").iterdir())
    write_list(tmp_path / "list.csv", [(f"{stem}.mp4", "x") for stem in stems])
    data = settings({"pairs": "even"}, path=str(VGGSOUND / "videos"), pairs_per_clip=2)
    rows = acquire.acquire(vggsound.clips(data), data, tmp_path / "raw", 2)
    assert {row.id for row in rows} == {f"{stem}_{i}" for stem in stems for i in range(2)}
    assert {row.id[:-2]: row.status for row in rows if row.status != "ok"} == {DEAF: "no_audio"}
    assert manifest.read(tmp_path / "raw/manifest.csv") == rows
    for row in (row for row in rows if row.status == "ok"):
        path, share = VGGSOUND / f"videos/{row.id[:-2]}.mp4", (0.25, 0.75)[int(row.id[-1])]
        wave, rate = heard(path)
        with av.open(str(path)) as container:
            ends = [float(stream.duration * stream.time_base) for stream in container.streams]
        moment = share * min(ends)
        place = tmp_path / f"raw/{row.split}_data/{row.id}"
        pair = Pair(place.with_suffix(".jpg").read_bytes(), place.with_suffix(".mp3").read_bytes())
        assert -0.01 < moment - likest(pair, path, moment) < 0.05, row.id  # the last one shown
        sound, mp3_rate = sound_files.decode(pair.sound)
        assert mp3_rate == rate
        start = round((moment - data.clip_seconds / 2) * rate)
        like, shift = likeness(wave[start : start + round(data.clip_seconds * rate)], sound, rate // 4)
        assert like > 0.9, row.id
        assert abs(shift) / rate < 0.08, row.id
