"""Archives of films: read once, from front to back, whatever becomes of what lies in them."""

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mirror import acquired, counted_film
from pipelines import untimed

from cycle_sound.acquisition import journal
from cycle_sound.acquisition.journal import Finished
from cycle_sound.acquisition.sources import archives, vggsound
from cycle_sound.acquisition.sources.clip import Clip
from cycle_sound.errors import BadSource
from cycle_sound.io import xz
from cycle_sound.params import DataConfig, Params

PACKINGS = {".tar": "w", ".tar.gz": "w:gz", ".tar.bz2": "w:bz2", ".tar.xz": "w:xz"}
NAMES = [f"{letter * 11}_000030" for letter in "dbfaec"]  # as they lie in an archive: not in the order of the list
TIMES = 3  # moments of each
BROKEN = {2: "cut off", 4: "noise"}  # films


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return counted_film(tmp_path_factory.mktemp("film") / "film.mp4").read_bytes()


@pytest.fixture
def settings(params: Params, tmp_path: Path) -> DataConfig:
    """Three moments of each of the films in tmp_path/store."""
    (tmp_path / "list.csv").write_text("".join(f"{name}.mp4,x\n" for name in sorted(NAMES)), encoding="utf-8")
    own = {"path": str(tmp_path / "store"), "list": str(tmp_path / "list.csv"), "url": "", "pairs_per_clip": TIMES}
    changes = {"source": "vggsound", "pairs": "even", "clip_seconds": 0.5}
    return params.data.model_copy(update={**changes, "vggsound": params.data.vggsound.model_copy(update=own)})


def archive(path: Path, films: list[bytes]) -> Path:
    """An archive of films, in which other files lie between them."""
    path.parent.mkdir(exist_ok=True)
    noise = np.random.default_rng(0)
    ending = next(ending for ending in PACKINGS if path.name.endswith(ending))
    with tarfile.open(path, PACKINGS[ending]) as tar:  # type: ignore[call-overload]
        for name, content in zip(NAMES, films, strict=True):
            for member, held in (f"{name}.txt", noise.bytes(100_000)), (f"{name}.mp4", content):
                info = tarfile.TarInfo(member)
                info.size = len(held)
                tar.addfile(info, io.BytesIO(held))
    return path


def clips(settings: DataConfig, tmp_path: Path, film: bytes, ending: str = ".tar.gz") -> list[Clip]:
    """The clips of an archive of films, two of which are broken."""
    spoiled = {"cut off": film[: len(film) // 2], "noise": np.random.default_rng(0).bytes(len(film))}
    archive(tmp_path / f"store/x{ending}", [spoiled.get(BROKEN.get(i, ""), film) for i in range(len(NAMES))])
    return vggsound.clips(settings)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): untimed(path) for path in folder.rglob("*") if path.is_file()}


class Followed:
    """A file that notes where it is sent."""

    def __init__(self, file: Any, places: list[int]) -> None:
        self._file, self._places = file, places

    def seek(self, place: int) -> None:
        self._places.append(place)
        self._file.seek(place)

    def read(self, size: int) -> bytes:
        return bytes(self._file.read(size))


@pytest.fixture
def walks(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[list[int]]]:
    """`walks()`: from now on, for each time that an archive is opened, the places in it that are gone to."""

    def followed() -> list[list[int]]:
        found: list[list[int]] = []

        def opened(path: Path, opened: Callable[[Path], Any] = archives._opened) -> Any:
            found.append([])
            return Followed(opened(path), found[-1])

        monkeypatch.setattr(archives, "_opened", opened)
        return found

    return followed


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("ending", PACKINGS)
def test_an_archive_is_read_once_from_front_to_back_for_all_moments_of_all_clips(
    ending: str, jobs: int, settings: DataConfig, tmp_path: Path, film: bytes, walks: Callable[[], list[list[int]]]
):
    asked = clips(settings, tmp_path, film, ending)
    assert len(asked) == len(NAMES) * TIMES
    found = walks()
    acquired(asked, settings, tmp_path / "raw", jobs)
    (places,) = found
    assert len(places) == len(NAMES)  # each film once
    assert places == sorted(places)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_broken_member_costs_its_own_moments_alone(jobs: int, settings: DataConfig, tmp_path: Path, film: bytes):
    rows = acquired(clips(settings, tmp_path, film), settings, tmp_path / "raw", jobs)
    assert [row.id for row in rows if row.status != "ok"] == sorted(
        f"{NAMES[i]}_{moment}" for i in BROKEN for moment in range(TIMES)
    )
    assert {row.status for row in rows} == {"ok", "corrupt"}


@pytest.mark.parametrize("ending", PACKINGS)
def test_an_archive_that_is_cut_after_it_was_listed_costs_what_is_gone(
    ending: str, settings: DataConfig, tmp_path: Path, film: bytes
):
    asked = clips(settings, tmp_path, film, ending)
    path = tmp_path / f"store/x{ending}"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    rows = acquired(asked, settings, tmp_path / "raw", 1)
    gone = [row for row in rows if row.reason.startswith("the archive ")]
    assert {row.id for row in gone} >= {f"{NAMES[-1]}_{moment}" for moment in range(TIMES)}
    path.unlink()
    archives._kept.cache_clear()
    rows = acquired(asked, settings, tmp_path / "raw", 1)
    assert {row.reason for row in rows} == {"the archive cannot be read: No such file or directory"}


class Stopped(Exception):
    """A run that does not end well."""


def stopped_after(count: int, asked: list[Clip], settings: DataConfig, folder: Path) -> int:
    """Acquire clips until so many more fates are on record; how many are in all."""
    with suppress(Stopped), journal.keeping(folder / "journal.jsonl", "key") as kept:
        add, left = kept.add, iter(range(count))

        def adding(finished: Finished) -> None:
            if next(left, None) is None:
                raise Stopped
            add(finished)

        kept.add = adding  # type: ignore[method-assign]
        acquired(asked, settings, folder / "raw", 1, kept)
    return (folder / "journal.jsonl").read_text("utf-8").count("\n") - 1 if (folder / "journal.jsonl").exists() else -1


@pytest.mark.parametrize("step", [1, 4, 5])  # of three moments of a film: one, some of the next, too
def test_a_run_stopped_within_films_goes_on_from_there_to_the_same_bytes(
    step: int, settings: DataConfig, tmp_path: Path, film: bytes, walks: Callable[[], list[list[int]]]
):
    asked = clips(settings, tmp_path, film)
    acquired(asked, settings, tmp_path / "alone", 1)
    done = 0
    while done >= 0:
        found = walks()
        before, done = done, stopped_after(step, asked, settings, tmp_path / "stopped")
        archives._kept.cache_clear()
        assert done in (before + step, -1)
        assert sum(map(len, found)) <= (before + step) // TIMES - before // TIMES + 1  # what is done is not read again
    assert contents(tmp_path / "stopped/raw") == contents(tmp_path / "alone")


def test_an_xz_file_reads_as_python_reads_it(tmp_path: Path):
    content = np.random.default_rng(0).integers(0, 4, 300_000, np.uint8).tobytes() + bytes(1 << 20)
    (tmp_path / "x.xz").write_bytes(lzma.compress(content, preset=0))
    with xz.XzFile(tmp_path / "x.xz") as file:
        for place, size in ((0, 10), (250_000, 100_000), (1_000_000, 5), (3, 7), (1_300_000, 1 << 20), (9_999_999, 1)):
            file.seek(place)
            assert file.read(size) == content[place : place + size]
    whole = (tmp_path / "x.xz").read_bytes()
    (tmp_path / "x.xz").write_bytes(whole[: len(whole) // 2])
    with xz.XzFile(tmp_path / "x.xz") as file, pytest.raises(EOFError):
        file.seek(len(content))


@pytest.mark.parametrize(
    ("suffix", "pack", "padding"),  # bytes, 0 of which lie behind a stream
    [(".gz", gzip.compress, 0), (".gz", gzip.compress, 5), (".bz2", bz2.compress, 0)]
    + [(".xz", lzma.compress, padding) for padding in (0, 4, 512, 2 * xz.BLOCK + 8)],
)
@pytest.mark.parametrize("streams", [2, 3, 50])
def test_an_archive_may_be_packed_in_several_streams(
    suffix: str, pack: Callable[[bytes], bytes], padding: int, streams: int, tmp_path: Path, film: bytes
):
    archive(tmp_path / "x.tar", [film] * len(NAMES))
    content = (tmp_path / "x.tar").read_bytes()
    expected = {key: (video.offset, video.size) for key, video in archives.find(tmp_path).items()}
    (tmp_path / "x.tar").unlink()
    size = -(-len(content) // streams)
    parts = [content[start : start + size] for start in range(0, len(content), size)]
    packed = b"".join(pack(part) + bytes(padding) for part in (parts[0], b"", *parts[1:]))
    (tmp_path / f"x.tar{suffix}").write_bytes(packed)
    found = archives.find(tmp_path)
    assert {key: (video.offset, video.size) for key, video in found.items()} == expected
    assert all(video.load().content == film for video in found.values())


@pytest.mark.parametrize("behind", [b"\0", bytes(6), b"junk", b"junk" * 20, bytes(4) + b"junk" * 20], ids=repr)
def test_what_lies_behind_an_xz_stream_is_another_one_or_padding(behind: bytes, tmp_path: Path):
    (tmp_path / "x.xz").write_bytes(lzma.compress(b"all") + behind)
    with xz.XzFile(tmp_path / "x.xz") as file:
        assert file.read(3) == b"all"
        with pytest.raises((lzma.LZMAError, EOFError)):
            file.read(1)


def test_an_archive_that_asks_for_more_memory_than_any_needs_is_refused(
    tmp_path: Path, film: bytes, monkeypatch: pytest.MonkeyPatch
):
    archive(tmp_path / "x.tar.xz", [film] * len(NAMES))
    assert len(archives.find(tmp_path)) == len(NAMES)
    monkeypatch.setattr(xz, "MAX_MEMORY", 1 << 20)  # of 8 MB that the file needs
    with pytest.raises(BadSource, match=r"x\.tar\.xz: broken archive: .* limit"):
        archives.find(tmp_path)


def test_films_lie_in_folders_that_links_lead_to_as_well(tmp_path: Path, film: bytes):
    store, disk = tmp_path / "store", tmp_path / "disk"
    (disk / "deeper").mkdir(parents=True)
    store.mkdir()
    (disk / f"deeper/{NAMES[0]}.mp4").write_bytes(film)
    (disk / "round").symlink_to(store)  # and back again
    (store / "part").symlink_to(disk)
    (store / ".hidden").symlink_to(disk)
    (video,) = archives.find(store).values()
    assert video.path == store / f"part/deeper/{NAMES[0]}.mp4"
