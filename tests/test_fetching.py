"""Fetching with the real yt-dlp from a server on 127.0.0.1 that has all the trouble that servers make."""

import errno
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import av
import films
import numpy as np
import pytest
from excerpts import DEAF, brightness, decoded, heard, ids, likeness, likest, write_list
from folders import contents
from mirror import Mirror, acquired, counted_film
from red_films import tagged
from shared import VGGSOUND, needs

from cycle_sound.acquisition import acquire, manifest
from cycle_sound.acquisition.sources import failures, fetching, vggsound, videos
from cycle_sound.acquisition.sources.failures import Failure
from cycle_sound.acquisition.sources.footage import Film
from cycle_sound.acquisition.sources.lists import Excerpt
from cycle_sound.errors import BadSource, MissingPackage, NetworkGone, StoreInUse
from cycle_sound.media import sound_files
from cycle_sound.params import DataConfig, Params

pytest.importorskip("yt_dlp", reason="needs the extra vggsound")
pytest.importorskip("imageio_ffmpeg", reason="needs the extra vggsound")

ROOT = Path(__file__).resolve().parents[1]
QUICK = {"fetch_jobs": 4, "rate_limit": 1e9, "retries": 1, "backoff_seconds": 0.05}
STALL = 3.0  # seconds, in which a server on a loaded machine answers
Settings = Callable[..., DataConfig]


@pytest.fixture(autouse=True)
def _direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy of this machine stands before 127.0.0.1."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def settings(params: Params, tmp_path: Path) -> Settings:
    """`settings(**vggsound)`: data.source vggsound in tmp_path, quick to give up; data's own fields go in `data`."""

    def made(data: dict[str, Any] | None = None, **own: Any) -> DataConfig:
        own = {"path": str(tmp_path / "store"), "list": str(tmp_path / "list.csv"), **QUICK, **own}
        changes = {"source": "vggsound", "pairs": "middle", "max_rejected": 1.0, "clip_seconds": 0.5, **(data or {})}
        return params.data.model_copy(update={**changes, "vggsound": params.data.vggsound.model_copy(update=own)})

    return made


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    counted_film(path, seconds=20)
    return path.read_bytes()


@pytest.fixture(scope="module")
def streamed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A film whose header comes first."""
    path = tmp_path_factory.mktemp("streamed") / "film.mp4"
    counted_film(path, seconds=2, faststart=True)
    return path.read_bytes()


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    with Mirror({}) as made:
        yield made


def excerpts(mirror: Mirror, film: bytes, **troubles: str) -> dict[str, Excerpt]:
    """An excerpt for each trouble, by its name; "" is none."""
    made = {name: Excerpt(f"{name:_<11}", 30) for name in troubles}
    mirror.files |= {f"{excerpt.name}.mp4": film for excerpt in made.values()}
    mirror.troubles |= {f"{made[name].name}.mp4": trouble for name, trouble in troubles.items() if trouble}
    return made


def test_every_trouble_has_its_fate_and_only_what_may_pass_is_tried_again(
    mirror: Mirror, film: bytes, settings: Settings, tmp_path: Path
):
    made = excerpts(
        mirror, film, good="", gone="404", barred="403", busy="429-then", down="500", torn="torn", mute="stalled",
        later="stall-later", page="page", json="", cut="",
    )  # fmt: skip
    name = {trouble: f"{excerpt.name}.mp4" for trouble, excerpt in made.items()}
    mirror.files[name["json"]] = b'{"error": "not today"}' * 100
    mirror.files[name["cut"]] = film[: len(film) // 2]  # as its server has it
    write_list(
        tmp_path / "list.csv", [(e.video, e.start, "x", "test" if t == "good" else "train") for t, e in made.items()]
    )
    data = settings(url=mirror.url(), timeout_seconds=STALL)
    rows = acquired(vggsound.clips(data), data, tmp_path / "raw", 1)
    again = "the next run tries again: "
    assert {row.id.split("_")[0]: (row.status, row.reason) for row in rows} == {
        "good": ("ok", ""),
        "busy": ("ok", ""),
        "gone": ("unavailable", "gone for good: HTTP 404 Not Found"),
        "barred": ("unavailable", f"{again}HTTP 403 Forbidden"),
        "down": ("unavailable", f"{again}HTTP 500 Internal Server Error"),
        "torn": ("unavailable", f"{again}the connection broke off"),
        "mute": ("unavailable", f"{again}the connection stalled"),
        "later": ("unavailable", f"{again}the connection broke off"),
        "page": ("unavailable", f"{again}no video file at the address"),
        "json": ("corrupt", f"{again}no video file: Invalid data found when processing input"),
        "cut": ("corrupt", f"{again}no video file: Invalid data found when processing input"),
    }
    assert manifest.read(tmp_path / "raw/manifest.csv") == rows
    asked = {trouble: mirror.asked[name[trouble]] for trouble in made}
    assert asked["gone"] == 1
    assert min(asked[trouble] for trouble in ("barred", "down", "mute", "page")) == 2  # one retry
    store = tmp_path / "store"
    assert {path.name for path in store.iterdir()} == {name["good"], name["busy"], failures.JOURNAL}

    mirror.troubles.clear()  # it has passed: the next run gets what it lacks, and asks for nothing else
    mirror.files |= dict.fromkeys(name.values(), film)
    rows = acquired(vggsound.clips(data), data, tmp_path / "again", 1)
    assert {row.id.split("_")[0] for row in rows if row.status != "ok"} == {"gone"}
    more = {trouble: mirror.asked[name[trouble]] - asked[trouble] for trouble in made}
    assert {trouble for trouble, count in more.items() if not count} == {"good", "busy", "gone"}
    before = mirror.asked.total()
    vggsound.clips(data)
    assert mirror.asked.total() == before


def test_a_torn_journal_forgets_one_line_and_no_more(mirror: Mirror, film: bytes, settings: Settings, tmp_path: Path):
    made = list(excerpts(mirror, film, a="404", b="404", c="404").values())
    own = settings(url=mirror.url(), fetch_jobs=1).vggsound
    fetching.fetch(made[:2], own)
    journal = tmp_path / "store" / failures.JOURNAL
    journal.write_bytes(journal.read_bytes()[:-20])
    fetching.fetch(made, own)
    assert [mirror.asked[f"{excerpt.name}.mp4"] for excerpt in made] == [1, 2, 1]
    fetching.fetch(made, own)
    assert mirror.asked.total() == 4


def test_a_journal_of_anything_forgets_what_it_cannot_read_and_shows_no_escapes(tmp_path: Path):
    said = "Private\x1b[2J\x9b2J\u202e vidéo"
    failures.note(tmp_path, "a", Failure("gone", "unavailable", said), "")
    path = tmp_path / failures.JOURNAL
    assert not {*"\x1b\x9b\u202e"} & {*path.read_text("utf-8")}
    odd = [
        "[" * 99_999,
        '{"a":' * 99_999,
        "3",
        "[]",
        "null",
        '{"address": 3, "reason": "x"}',
        '{"address": "b"}',
        "\xff",
    ]
    with path.open("ab") as file:
        file.write("\n".join(["", *odd, '{"address": "c", "reason": 4}', "9" * 9999]).encode("latin-1"))
    assert failures.known(tmp_path, "") == {"a": Failure("gone", "unavailable", said)}


def header(film: bytes) -> bytes:
    """All of a film before its pictures and sounds."""
    return film[: film.index(b"mdat") + 4]


SPOILT = {  # of a film whose header comes last, and one whose header comes first
    "empty": lambda *_: b"",
    "zeros": lambda *_: bytes(5000),
    "cut off before its header": lambda film, _: film[: len(film) // 2],
    "cut off behind its header": lambda _, streamed: header(streamed),
    "zeros behind its header": lambda _, streamed: header(streamed).ljust(len(streamed), b"\0"),
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
@pytest.mark.parametrize("link", [False, True])
def test_what_cannot_be_read_in_the_store_moves_aside_and_is_fetched_again(
    mirror: Mirror,
    film: bytes,
    streamed: bytes,
    settings: Settings,
    tmp_path: Path,
    spoil: Callable[[bytes, bytes], bytes],
    link: bool,
):
    spoilt = spoil(film, streamed)
    good, bad = excerpts(mirror, film, good="", bad="").values()
    write_list(tmp_path / "list.csv", [(good.video, 30, "x", "train"), (bad.video, 30, "x", "test")])
    store, place = tmp_path / "store", tmp_path / "store" / f"deep/{bad.video}_30.mkv"
    place.parent.mkdir(parents=True)
    (store / f"{good.name}.mp4").write_bytes(film)
    if link:
        (tmp_path / "elsewhere").write_bytes(spoilt)
        place.symlink_to(tmp_path / "elsewhere")
    else:
        place.write_bytes(spoilt)
    data = settings(url="")
    assert len(vggsound.clips(data)) == 2  # nothing can be fetched, and nothing is moved
    assert place.exists()
    data = settings(url=mirror.url())
    rows = acquired(vggsound.clips(data), data, tmp_path / "raw", 1)
    assert {row.status for row in rows} == {"ok"}
    assert mirror.asked == {f"{bad.name}.mp4": 2}  # for its header, then for all of it
    aside = list((store / ".unreadable").iterdir())
    assert [path.read_bytes() for path in aside] == [spoilt]
    assert len(vggsound.clips(data)) == 2
    assert mirror.asked.total() == 2


def half(path: Path, kind: str) -> None:
    """A film of pictures or of sound alone."""
    with av.open(str(path), "w") as made:
        if kind == "pictures":
            films.mux(made, films.picture_stream(made), (films.shade(99, time) for time in films.evenly(0, 2)))
        else:
            films.mux(made, films.sound_stream(made), films.chirp(0, 2))


def test_what_shows_or_sounds_at_all_stays_in_the_store(streamed: bytes, settings: Settings, tmp_path: Path):
    store = tmp_path / "store"
    store.mkdir()
    made = {name: Excerpt(f"{name:_<11}", 30) for name in ("good", "torn", "deaf", "blind")}
    place = {name: store / f"{excerpt.name}.mp4" for name, excerpt in made.items()}
    place["good"].write_bytes(streamed)
    place["torn"].write_bytes(streamed[: (len(header(streamed)) + len(streamed)) // 2])
    half(place["deaf"], "pictures"), half(place["blind"], "sound")
    splits = dict.fromkeys(made, "train") | {"good": "test"}
    write_list(tmp_path / "list.csv", [(excerpt.video, 30, "x", splits[name]) for name, excerpt in made.items()])
    data = settings(url="http://127.0.0.1:1/{id}")
    fates = {row.id.partition("_")[0]: row.status for row in acquired(vggsound.clips(data), data, tmp_path / "raw", 1)}
    assert not (store / ".unreadable").exists()
    assert fates == {"good": "ok", "torn": "ok", "deaf": "no_audio", "blind": "no_video"}


def test_a_film_of_pictures_too_large_is_not_decoded_to_look_at_it(
    streamed: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "film.mp4").write_bytes(streamed)
    monkeypatch.setattr(videos.images, "MAX_PIXELS", 1000)
    monkeypatch.setattr(videos.containers, "decoded", lambda _: pytest.fail("it would take the memory"))
    videos.check(tmp_path / "film.mp4")


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file that nobody can read")
def test_what_the_system_does_not_read_stays_in_the_store_and_is_a_clips_fate(
    film: bytes, settings: Settings, tmp_path: Path
):
    good, bad = Excerpt("good_______", 30), Excerpt("bad________", 30)
    write_list(tmp_path / "list.csv", [(good.video, 30, "x", "train"), (bad.video, 30, "x", "test")])
    (tmp_path / "store").mkdir()
    (tmp_path / f"store/{good.name}.mp4").write_bytes(film)
    (tmp_path / f"store/{bad.name}.mp4").symlink_to("/proc/self/mem")
    data = settings(url="http://127.0.0.1:1/{id}")
    rows = acquired(vggsound.clips(data), data, tmp_path / "raw", 1)
    assert {row.id: (row.status, row.reason) for row in rows} == {
        good.name: ("ok", ""),
        bad.name: ("unavailable", "OSError: Input/output error"),
    }


def test_an_address_that_has_moved_is_followed(mirror: Mirror, film: bytes, settings: Settings):
    (one,) = excerpts(mirror, film, a="moved deep/er.mp4").values()
    mirror.files["deep/er.mp4"] = film
    assert isinstance(fetching.fetch([one], settings(url=mirror.url()).vggsound)[one], Path)


def test_a_full_disk_ends_the_run_and_is_nobodys_failure():
    from yt_dlp.utils import DownloadError

    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError, match="No space left"):
        failures.understood(DownloadError("ERROR: unable to write data", (OSError, full, None)), "generic")


FULL = """
import sys
from pathlib import Path

from mirror import Mirror

from cycle_sound.acquisition.sources import fetching
from cycle_sound.acquisition.sources.lists import Excerpt
from cycle_sound.errors import DiskFull
from cycle_sound.io import params_file

film, store = map(Path, sys.argv[1:])
with Mirror({"wholewholew.mp4": film.read_bytes()}) as mirror:
    own = {"path": str(store), "url": mirror.url("{id}.mp4"), "retries": 0, "rate_limit": 1e9}
    try:
        fetching.fetch([Excerpt("wholewholew", 3)], params_file.load().data.vggsound.model_copy(update=own))
    except DiskFull as error:
        print(error)
"""


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("unshare"), reason="needs unshare")
def test_a_disk_that_is_full_while_a_section_is_cut_ends_the_run_too(film: bytes, tmp_path: Path):
    (tmp_path / "film.mp4").write_bytes(film)
    (tmp_path / "store").mkdir()
    mounted = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    words = 'mount -t tmpfs -o size=40k tmpfs "$3" && exec "$0" -c "$1" "$2" "$3"'
    command = [*mounted, words, sys.executable, FULL, str(tmp_path / "film.mp4"), str(tmp_path / "store")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if "mount" in done.stderr or "unshare" in done.stderr:
        pytest.skip(f"no small disk can be had here: {done.stderr.strip()}")
    assert "store: No space left on device" in done.stdout


def test_what_one_address_has_lost_another_may_have(mirror: Mirror, film: bytes, settings: Settings):
    (one,) = excerpts(mirror, film, a="404").values()
    assert isinstance(fetching.fetch([one], settings(url=mirror.url()).vggsound)[one], Failure)
    mirror.files[f"b/{one.name}.mp4"] = film
    assert isinstance(fetching.fetch([one], settings(url=mirror.url("b/{id}_{start:06d}.mp4")).vggsound)[one], Path)


def test_of_a_whole_video_only_the_section_is_kept_and_it_begins_where_it_should(
    mirror: Mirror, film: bytes, settings: Settings, tmp_path: Path
):
    (tmp_path / "film.mp4").write_bytes(film)
    mirror.files["wholewholew.mp4"] = film  # 20 s, of which frame n is 255 n / 200 bright
    wanted = [Excerpt("wholewholew", start) for start in (0, 7, 15, 40)]
    got = fetching.fetch(wanted, settings(url=mirror.url("{id}.mp4")).vggsound)
    assert got[wanted[3]] == Failure("passing", "no_video", "a video without a single frame or sound")
    source = decoded(tmp_path / "film.mp4")
    for excerpt in wanted[:3]:
        path, seconds = got[excerpt], min(10, 20 - excerpt.start)
        assert isinstance(path, Path)
        frames = decoded(path)
        assert len(frames) == pytest.approx(10 * seconds, abs=1)
        for time_, frame in frames:
            same = source[round(10 * (excerpt.start + time_))][1]
            assert abs(frame.astype(float) - same).mean() < 2.5
        pair = videos.cut(Film(path), 0.5, clip_seconds=0.5, min_seconds=0.1, still_difference=0.0, lone=False)
        middle = excerpt.start + seconds / 2
        assert brightness(pair) == pytest.approx(255 * middle / 20, abs=3)
        wave, _ = sound_files.decode(pair.sound)
        assert np.sqrt(np.mean(wave**2)) / 0.2 == pytest.approx(middle / 20, abs=0.05)


@needs(VGGSOUND)
def test_the_real_clips_are_fetched_byte_for_byte_and_cut_as_from_their_folder(
    mirror: Mirror, settings: Settings, tmp_path: Path
):
    mirror.files |= {path.name: path.read_bytes() for path in (VGGSOUND / "videos").iterdir()}
    write_list(tmp_path / "list.csv", [(name, "x") for name in sorted(mirror.files)])
    data = settings(url=mirror.url())
    rows = acquire.acquire(vggsound.clips(data), data, tmp_path / "fetched", 1)
    assert {row.id: row.status for row in rows} == {Path(name).stem: "ok" for name in mirror.files} | {DEAF: "no_audio"}
    assert contents(tmp_path / "store") == mirror.files
    own = settings(url="", path=str(VGGSOUND / "videos"))
    acquire.acquire(vggsound.clips(own), own, tmp_path / "own", 1)
    assert contents(tmp_path / "fetched") == contents(tmp_path / "own")


@needs(VGGSOUND)
def test_a_section_of_a_real_video_shows_and_sounds_what_the_video_does_there(
    mirror: Mirror, settings: Settings, tmp_path: Path
):
    path = VGGSOUND / "videos/0nib7bMm8BA_000015.mp4"
    mirror.files["0nib7bMm8BA.mp4"] = path.read_bytes()
    own = settings(url=mirror.url("{id}.mp4")).vggsound
    (got,) = fetching.fetch([Excerpt("0nib7bMm8BA", 3)], own).values()
    assert isinstance(got, Path)
    for share in (0.2, 0.6):
        pair = videos.cut(Film(got), share, clip_seconds=0.5, min_seconds=0.1, still_difference=0.0, lone=False)
        with av.open(str(got)) as container:
            moment = 3 + share * container.duration / 1_000_000
        assert likest(pair, path, moment) == pytest.approx(moment, abs=0.05)
        wave, rate = heard(path)
        sound, _ = sound_files.decode(pair.sound)
        like, shift = likeness(wave[round((moment - 0.25) * rate) :][: rate // 2], sound, rate // 4)
        assert like > 0.9
        assert abs(shift) / rate < 0.08


def test_a_stalled_section_ends_too(mirror: Mirror, film: bytes, settings: Settings):
    mirror.files["wholewholew.mp4"] = film
    mirror.troubles["wholewholew.mp4"] = "stall-later"
    own = settings(url=mirror.url("{id}.mp4"), timeout_seconds=STALL, retries=0).vggsound
    (got,) = fetching.fetch([Excerpt("wholewholew", 7)], own).values()
    assert isinstance(got, Failure)
    assert (got.kind, got.status) == ("passing", "unavailable")
    assert "ffmpeg exited" in got.reason  # by itself, long before its process is ended


def test_a_dead_network_stops_the_run_with_one_line(mirror: Mirror, film: bytes, settings: Settings):
    made = list(excerpts(mirror, film, good="").values())
    many = [Excerpt(f"{i:011d}", 0) for i in range(200)]
    url = mirror.url()
    mirror.server.server_close()
    own = settings(url=url, retries=0, timeout_seconds=STALL).vggsound
    with pytest.raises(NetworkGone, match=r"^10 clips in a row .*\(no connection\).*`dvc repro` resumes"):
        fetching.fetch(made + many, own)
    with pytest.raises(NetworkGone):
        fetching.fetch(many, own.model_copy(update={"url": "http://no.such.host.invalid/{id}"}))


def test_a_server_that_wants_no_more_of_us_stops_the_run(mirror: Mirror, settings: Settings):
    many = [Excerpt(f"{i:011d}", 0) for i in range(200)]
    mirror.troubles |= {f"{excerpt.name}.mp4": "429" for excerpt in many}
    with pytest.raises(NetworkGone, match="HTTP 429"):
        fetching.fetch(many, settings(url=mirror.url(), retries=0).vggsound)
    assert mirror.asked.total() < 50


def test_cookies_are_sent_and_their_file_is_left_alone(mirror: Mirror, film: bytes, settings: Settings, tmp_path: Path):
    (one,) = excerpts(mirror, film, a="").values()
    cookies = tmp_path / "cookies.txt"
    text = "# Netscape HTTP Cookie File\n127.0.0.1\tFALSE\t/\tFALSE\t0\tkey\tworth\n"
    for marked in ("", "\ufeff"):  # as some editors begin a file
        cookies.write_text(marked + text)
        fetching.fetch([one], settings(url=mirror.url(), cookies=str(cookies)).vggsound)
        assert all(headers.get("Cookie") == "key=worth" for headers in mirror.headers)
        assert cookies.read_text() == marked + text
    for content, message in ((None, "cannot be read"), ("<html>", "not a cookies.txt")):
        other = tmp_path / "other.txt"
        other.write_text(content) if content else other.unlink(missing_ok=True)
        with pytest.raises(BadSource, match=message):
            fetching.fetch([Excerpt("bbbbbbbbbbb", 0)], settings(url=mirror.url(), cookies=str(other)).vggsound)


def test_a_proxy_is_asked_instead(mirror: Mirror, film: bytes, settings: Settings):
    one = Excerpt("aaaaaaaaaaa", 30)
    mirror.files["http://far.invalid/aaaaaaaaaaa_000030.mp4"] = film  # as a proxy is asked
    own = settings(url="http://far.invalid/{id}_{start:06d}.mp4", proxy=mirror.url("")).vggsound
    assert isinstance(fetching.fetch([one], own)[one], Path)


@pytest.mark.parametrize("address", ["http://[", "http://far.invalid:99999", "far.invalid:port"])
@pytest.mark.parametrize("setting", ["url", "proxy", "environment"])
def test_an_address_that_is_none_is_said_in_one_line(
    setting: str, address: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    own = {"url": f"{address}/{{id}}"} if setting == "url" else {"url": "http://127.0.0.1:1/{id}"}
    if setting == "proxy":
        own["proxy"] = address
    elif setting == "environment":
        monkeypatch.setenv("https_proxy", address)
    with pytest.raises(BadSource, match=r"^data.vggsound.url, data.vggsound.proxy or a proxy of the environment: \w"):
        fetching.fetch([Excerpt("aaaaaaaaaaa", 30)], settings(**own).vggsound)


def test_a_file_too_large_is_not_taken(mirror: Mirror, settings: Settings, tmp_path: Path):
    mirror.files |= {"aaaaaaaaaaa_000030.mp4": bytes(3_000_000)}
    (got,) = fetching.fetch([Excerpt("aaaaaaaaaaa", 30)], settings(url=mirror.url(), max_megabytes=1).vggsound).values()
    assert got == Failure("passing", "unavailable", "more than 1 MB")
    assert not any(path.suffix == ".mp4" for path in (tmp_path / "store").rglob("*"))


def test_the_rate_limit_holds_over_all_jobs(mirror: Mirror, film: bytes, settings: Settings):
    made = list(excerpts(mirror, film, **dict.fromkeys("abcdef", "")).values())
    begun = time.monotonic()
    fetching.fetch(made, settings(url=mirror.url(), rate_limit=4.0 * len(film), fetch_jobs=2).vggsound)
    assert time.monotonic() - begun >= 1.4  # 6 files at 4 a second


def test_without_its_packages_fetching_says_what_to_install(
    mirror: Mirror, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "yt_dlp", None)
    with pytest.raises(MissingPackage, match=r"data.vggsound.url needs yt_dlp: pip install 'cycle-sound\[vggsound\]'"):
        fetching.fetch([Excerpt("aaaaaaaaaaa", 0)], settings(url=mirror.url()).vggsound)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("Private video. Sign in if you've been granted access to this video", "gone"),
        ("Video unavailable", "gone"),
        ("This video is unavailable", "gone"),
        ("Video unavailable. This video isn’t available anymore", "gone"),
        ("Video unavailable. This video has been removed by the uploader", "gone"),
        (
            "This video is no longer available because the YouTube account associated with it has been terminated",
            "gone",
        ),
        ("Video unavailable. This video contains content from X, who has blocked it on copyright grounds", "gone"),
        (
            "Video unavailable. This content isn't available, try again later. The session has been rate-limited",
            "cut_off",
        ),
        ("Sign in to confirm you’re not a bot", "cut_off"),
        ("All player responses are invalid. Your IP is likely being blocked by Youtube", "cut_off"),
        ("Sign in to confirm your age. This video may be inappropriate for some users", "passing"),
        ("Video unavailable. This content isn’t available.", "passing"),
        ("The uploader has not made this video available in your country", "passing"),
        (
            "Video unavailable. This video contains content from X, who has blocked it in your country on copyright"
            " grounds",
            "passing",
        ),
        ("This video has been removed in your region", "passing"),
        ("Video unavailable. This video is no longer available in some countries", "passing"),
        ("This content is not available on this country domain due to a copyright complaint", "passing"),
        ("Requested format is not available. Use --list-formats for a list of available formats", "unfit"),
    ],
)
def test_what_youtube_says_is_understood(said: str, kind: str):
    from yt_dlp.utils import DownloadError, ExtractorError

    inner = ExtractorError(said, expected=True, video_id="x", ie="youtube")
    outer = DownloadError(f"ERROR: [youtube] x: {said}", (ExtractorError, inner, None))
    assert failures.understood(outer, "youtube") == Failure(kind, "unavailable", said)  # type: ignore[arg-type]


@pytest.mark.parametrize("said", ["Private video", "blocked on copyright grounds", "Video unavailable", "not here"])
def test_what_is_refused_to_a_place_is_not_gone(said: str):
    from yt_dlp.utils import DownloadError, GeoRestrictedError

    inner = GeoRestrictedError(said, countries=["DE"])
    outer = DownloadError(f"ERROR: [youtube] x: {said}", (GeoRestrictedError, inner, None))
    assert failures.understood(outer, "youtube") == Failure("passing", "unavailable", said)


def test_what_an_older_journal_took_for_gone_because_of_the_place_is_asked_for_again(
    mirror: Mirror, film: bytes, settings: Settings, tmp_path: Path
):
    one, other = excerpts(mirror, film, a="", b="").values()
    own = settings(url=mirror.url()).vggsound
    (tmp_path / "store").mkdir()
    for excerpt, said in ((one, "who has blocked it in your country on copyright grounds"), (other, "Private video")):
        address = mirror.url(f"{excerpt.name}.mp4")
        failures.note(tmp_path / "store", address, Failure("gone", "unavailable", said), "")
    got = fetching.fetch([one, other], own)
    assert isinstance(got[one], Path)
    assert got[other] == Failure("gone", "unavailable", "Private video")


def test_what_is_unfit_is_asked_for_again_under_other_settings_alone(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    asked = []

    def unfit(self: Any, excerpt: Excerpt, folder: Path) -> Failure:
        asked.append(excerpt)
        return Failure("unfit", "unavailable", failures.UNFIT)

    monkeypatch.setattr(fetching._Fetcher, "_attempt", unfit)
    one = Excerpt("aaaaaaaaaaa", 0)
    for height, javascript, wanted in (
        (360, True, 1),
        (360, True, 1),
        (720, True, 2),
        (720, False, 3),
        (720, False, 3),
    ):
        monkeypatch.setattr(fetching, "_has_javascript", lambda javascript=javascript: javascript)
        got = fetching.fetch([one], settings(url="http://127.0.0.1:1/{id}", max_height=height).vggsound)
        assert got == {one: Failure("unfit", "unavailable", failures.UNFIT)}
        assert len(asked) == wanted


def test_a_missing_javascript_runtime_is_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(fetching, "_has_javascript", lambda: False)
    monkeypatch.setattr(fetching._Fetcher, "_done", lambda *_: Failure("unfit", "unavailable", failures.UNFIT))
    url = "https://www.youtube.com/watch?v={id}"
    (got,) = fetching.fetch([Excerpt("aaaaaaaaaaa", 0)], settings(url=url).vggsound).values()
    assert isinstance(got, Failure)
    assert "no JavaScript runtime" in got.reason
    assert capsys.readouterr().err.count("install deno") == 1


# --- several runs


def test_a_second_run_is_refused_in_one_line_and_the_first_gets_its_file(
    mirror: Mirror, film: bytes, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    one, other = excerpts(mirror, film, a="", b="").values()
    own, obtain = settings(url=mirror.url()).vggsound, fetching._Fetcher.obtain
    begun, go_on = threading.Event(), threading.Event()

    def waiting(self: Any, excerpt: Excerpt) -> Any:
        begun.set()
        assert go_on.wait(60)
        return obtain(self, excerpt)

    monkeypatch.setattr(fetching._Fetcher, "obtain", waiting)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(fetching.fetch, [one], own)
        assert begun.wait(60)
        with pytest.raises(StoreInUse, match=r"store: another run is fetching into this folder") as refused:
            fetching.fetch([other], own)
        go_on.set()
        assert first.result() == {one: tmp_path / f"store/{one.name}.mp4"}
    assert "\n" not in str(refused.value)
    assert set(mirror.asked) == {f"{one.name}.mp4"}
    assert isinstance(fetching.fetch([other], own)[other], Path)


def test_what_killed_runs_have_left_in_the_store_is_gone(
    mirror: Mirror, film: bytes, settings: Settings, tmp_path: Path
):
    (one,) = excerpts(mirror, film, a="").values()
    for name in (".fetching", ".fetching.0a1b2c_z", ".fetching.of mine"):
        (tmp_path / "store" / name / "deep").mkdir(parents=True)
    fetching.fetch([one], settings(url=mirror.url()).vggsound)
    assert {path.name for path in (tmp_path / "store").iterdir()} == {f"{one.name}.mp4", ".fetching.of mine"}


def test_nothing_is_fetched_into_a_copy_of_the_project_that_is_thrown_away(
    mirror: Mirror, film: bytes, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (one,) = excerpts(mirror, film, a="").values()
    write_list(tmp_path / "list.csv", [(one.video, 30, "x", "test")])
    copy = tmp_path / ".dvc/tmp/exps/tmp0123"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    with pytest.raises(BadSource, match=r"no such folder: data/vggsound; clips fetched into it would be lost"):
        vggsound.clips(settings(url=mirror.url(), path="data/vggsound"))
    assert not mirror.asked
    assert list(copy.iterdir()) == []
    (copy / "data/vggsound").mkdir(parents=True)  # as -C copies it along
    for path in ("data/vggsound", str(tmp_path / "store")):
        assert len(vggsound.clips(settings(url=mirror.url(), path=path))) == 1
    assert mirror.asked[f"{one.name}.mp4"] == 4  # twice for its header, then for all of it


# --- hostile servers


def fetched(mirror: Mirror, settings: Settings, template: str, troubles: dict[str, str], **own: Any) -> list[Any]:
    """What becomes of one excerpt for each trouble, named by an id, all asked for at once."""
    made = [Excerpt(f"{name:_<11}", 3) for name in troubles]
    for excerpt, trouble in zip(made, troubles.values(), strict=True):
        name = template.format(id=excerpt.video, start=excerpt.start)
        mirror.files.setdefault(name, bytes(20_000))
        mirror.troubles[name] = trouble
    own = {"url": mirror.url(template), "retries": 0, "fetch_jobs": 2, **own}
    got = fetching.fetch(made, settings(**own).vggsound)
    return [got[excerpt] for excerpt in made]


CUT, WHOLE = "{id}_{start:06d}.mp4", "{id}.mp4"


@pytest.mark.parametrize("template", [CUT, WHOLE])
def test_a_byte_at_a_time_holds_no_run(template: str, mirror: Mirror, settings: Settings):
    troubles = {"body": "trickle", "header": "trickle-header"}
    for got in fetched(mirror, settings, template, troubles, timeout_seconds=0.5):
        assert isinstance(got, Failure)
        assert (got.status, got.reason) == ("unavailable", "the connection stalled")


NO_VIDEOS = (
    *("text/html", "text/plain", "application/xhtml+xml", "application/json", "application/rss+xml"),
    *("application/vnd.apple.mpegurl", "application/dash+xml", "image/gif"),
)


def test_of_what_is_no_video_by_its_type_nothing_is_read(mirror: Mirror, settings: Settings):
    troubles = {f"{number}": f"endless {kind}" for number, kind in enumerate(NO_VIDEOS)}
    got = fetched(mirror, settings, CUT, troubles)
    assert set(got) == {Failure("passing", "unavailable", "no video file at the address")}
    assert max(mirror.sent.values()) < 20_000_000  # what lies in buffers


def test_a_video_that_never_ends_is_not_taken(mirror: Mirror, settings: Settings):
    troubles = {"video": "endless video/mp4", "bytes": "endless application/octet-stream"}
    got = fetched(mirror, settings, CUT, troubles, max_megabytes=1)
    assert set(got) == {Failure("passing", "unavailable", "more than 1 MB")}


HOSTS = ("127.0.0.1", "localhost", "127.1", "0.0.0.0", "[::ffff:127.0.0.1]")


@pytest.mark.parametrize("template", [CUT, WHOLE])
@pytest.mark.parametrize("trouble", ["elsewhere", "later elsewhere", "feed"])
def test_nothing_leads_into_a_private_network(
    template: str, trouble: str, mirror: Mirror, film: bytes, settings: Settings
):
    with Mirror({"secret.mp4": film}) as inside:
        place = f"{inside.server.server_port}/secret.mp4"
        troubles = {f"{number}": f"{trouble} http://{host}:{place}" for number, host in enumerate(HOSTS)}
        mirror.files |= {template.format(id=f"{number:_<11}", start=3): film for number in troubles}
        for got in fetched(mirror, settings, template, troubles):
            assert isinstance(got, Failure)
            assert got.kind == "passing"
        assert not inside.asked


def test_no_plugin_of_the_users_home_is_run(
    mirror: Mirror, film: bytes, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    code = f"open({str(tmp_path / 'ran')!r}, 'w')"
    for root in (".config/yt-dlp/plugins/evil", ".config/yt-dlp-plugins/evil", "pythonpath"):
        for kind in ("extractor", "postprocessor"):
            place = tmp_path / root / "yt_dlp_plugins" / kind / "evil.py"
            place.parent.mkdir(parents=True)
            place.write_text(code)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / ".config"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "pythonpath"))
    (one,) = excerpts(mirror, film, a="").values()
    assert isinstance(fetching.fetch([one], settings(url=mirror.url()).vggsound)[one], Path)
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / ".cache").exists()


def test_a_film_with_a_tag_in_another_encoding_is_fetched(mirror: Mirror, settings: Settings, tmp_path: Path):
    tagged(tmp_path / "film.mkv", False, b"Caf\xe9")
    odd, good = excerpts(mirror, (tmp_path / "film.mkv").read_bytes(), odd="", good="").values()
    got = fetching.fetch([odd, good], settings(url=mirror.url()).vggsound)
    assert all(isinstance(path, Path) for path in got.values())


def test_a_file_that_ends_the_process_that_looks_at_it_is_one_failure(settings: Settings, tmp_path: Path):
    fetcher = fetching._Fetcher(settings(url="http://127.0.0.1:1/{id}").vggsound, tmp_path)
    assert fetcher._done(partial(os._exit, 1), 0) == Failure(
        "passing", "corrupt", "reading it ends the process: a decoder's fault"
    )
    assert fetcher._done(partial(pow, 2, 3), 0) == 8
    fetcher.end()


# --- killed


def downloaded(data: DataConfig, into: Path) -> None:
    """What the download stage does."""
    acquired(vggsound.clips(data), data, into, 1)


def killable() -> Any:
    """A context whose processes begin at once: a server of forks has loaded what they need."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["cycle_sound.acquisition.sources", "cycle_sound.acquisition.acquire", "pytest", "yt_dlp"]
    )
    return context


def settled(store: Path) -> set[str]:
    """What need not be asked for again: the files in the store, and what the journal knows to be gone."""
    journal = store / failures.JOURNAL
    gone = journal.read_text().count("404______") if journal.exists() else 0
    return {path.name for path in store.glob("*.mp4")} | ({"404_________000001.mp4"} if gone else set())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_killed_ten_times_the_result_is_the_same_and_nothing_is_fetched_twice(settings: Settings, tmp_path: Path):
    counted_film(tmp_path / "film.mp4", seconds=10)
    film = (tmp_path / "film.mp4").read_bytes()
    words = {"404": "404", "403": "403", "torn": "torn", "page": "page", "busy": "429-then"}
    troubles = {f"{name:_<11}_000001.mp4": trouble for name, trouble in words.items()}
    files = dict.fromkeys([*(f"{name}_000030.mp4" for name in ids(9)), *troubles], film)
    write_list(tmp_path / "list.csv", [(name, "x") for name in files])
    own = {"fetch_jobs": 2, "pairs_per_clip": 2}

    with Mirror(files, troubles) as mirror:
        data = settings({"pairs": "even"}, url=mirror.url(), path=str(tmp_path / "calm"), **own)
        downloaded(data, tmp_path / "undisturbed")

    with Mirror(files, troubles, pause=0.02) as mirror:
        data = settings({"pairs": "even"}, url=mirror.url(), **own)
        context, store, raw = killable(), tmp_path / "store", tmp_path / "raw"
        goals = sorted(random.Random(0).sample(range(30), 10), reverse=True)  # of 11 settled clips and 20 pairs
        asked: dict[str, int] = {}  # of what was settled when a run was killed, the requests until then
        while goals:
            process = context.Process(target=downloaded, args=(data, raw))
            process.start()
            while process.is_alive() and len(settled(store)) + len(list(raw.rglob("*.jpg"))) < goals[-1]:
                time.sleep(0.002)
            if process.is_alive():
                goals.pop()
            process.kill()
            process.join()
            asked = {name: mirror.asked[name] for name in settled(store)} | asked
        downloaded(data, tmp_path / "raw")
        assert {name: mirror.asked[name] for name in asked} == asked
        assert settled(store) == settled(tmp_path / "calm")
        assert len(asked) == 11  # nine films, the busy one, and the one that is gone

    assert contents(tmp_path / "raw") == contents(tmp_path / "undisturbed")
    fates = {row.id.split("_0")[0]: row.status for row in manifest.read(tmp_path / "raw/manifest.csv")}
    assert sorted(fates.values()) == ["ok"] * 10 + ["unavailable"] * 4
