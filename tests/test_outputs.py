"""Results appear whole, under one name, and never in the place of a file that nobody offered for it."""

import errno
import os
import re
import weakref
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import soundfile
from PIL import Image

from cycle_sound.app import pictures_to_files
from cycle_sound.app.outputs import Names, content
from cycle_sound.errors import DiskFull
from cycle_sound.inference import fixed_batches
from cycle_sound.inference.bundle import Models
from cycle_sound.inference.system import CycleSound
from cycle_sound.io import files
from cycle_sound.media import sound_files, sound_writer
from cycle_sound.media.sounds import FADE, Sound
from cycle_sound.params import Params

OWN = b"somebody's own"
RATE = 8000  # Hz


def no_links(*_: object) -> None:
    raise PermissionError(errno.EPERM, "Operation not permitted")


@pytest.fixture(params=["hard links", "no hard links"])
def disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system of one kind or the other."""
    if request.param == "no hard links":
        monkeypatch.setattr(os, "link", no_links)


def held(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def appearing(path: Path, text: bytes) -> Callable[[Path], object]:
    """A writer meanwhile somebody else writes a file."""

    def write(part: Path) -> None:
        path.write_bytes(OWN)
        part.write_bytes(text)

    return write


@pytest.mark.usefixtures("disk")
@pytest.mark.parametrize("name", ["bell.wav", "bell.png"])
def test_a_file_that_appears_meanwhile_stays_and_the_result_gets_the_next_name(name: str, tmp_path: Path) -> None:
    result = Names(tmp_path, []).result("bell", ".png", ".wav")
    written = result.write({".wav": content(b"heard"), ".png": appearing(tmp_path / name, b"seen")})
    assert written == [tmp_path / "bell-2.png", tmp_path / "bell-2.wav"]
    assert held(tmp_path) == {name: OWN, "bell-2.png": b"seen", "bell-2.wav": b"heard"}


@pytest.mark.usefixtures("disk")
def test_whoever_asks_for_it_gets_a_file_replaced_that_appears_meanwhile(tmp_path: Path) -> None:
    result = Names(tmp_path, [], overwrite=True).result("bell", ".png")
    assert result.write({".png": appearing(tmp_path / "bell.png", b"seen")}) == [tmp_path / "bell.png"]
    assert held(tmp_path) == {"bell.png": b"seen"}


def test_a_folder_is_never_replaced_nor_what_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "bell.png").mkdir()
    (tmp_path / "bell.wav").write_bytes(OWN)
    result = Names(tmp_path, [], overwrite=True).result("bell", ".wav", ".png")
    written = result.write({".wav": content(b"heard"), ".png": content(b"seen")})
    assert written == [tmp_path / "bell-2.wav", tmp_path / "bell-2.png"]
    assert (tmp_path / "bell.wav").read_bytes() == OWN


@pytest.mark.usefixtures("disk")
def test_two_commands_in_one_folder_keep_each_others_results(tmp_path: Path) -> None:
    one, other = (Names(tmp_path, []).result("bell", ".png") for _ in range(2))
    assert one.write({".png": content(b"one")}) == [tmp_path / "bell.png"]
    assert other.write({".png": content(b"other")}) == [tmp_path / "bell-2.png"]
    assert held(tmp_path) == {"bell.png": b"one", "bell-2.png": b"other"}


def test_a_name_stands_for_a_whole_file_that_the_disk_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done, link, fsync = [], os.link, os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (done.append(os.fstat(handle).st_ino), fsync(handle)))

    def linked(part: Path, path: Path) -> None:
        assert part.read_bytes() == b"seen"
        assert part.stat().st_ino in done
        link(part, path)
        done.clear()

    monkeypatch.setattr(os, "link", linked)
    Names(tmp_path, []).result("bell", ".png").write({".png": content(b"seen")})
    assert tmp_path.stat().st_ino in done  # the name is on the disk, too


@pytest.mark.usefixtures("disk")
@pytest.mark.parametrize("moment", range(8))  # content and folder of two files, before and after they have their names
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_what_a_disk_refuses_at_any_moment_names_a_file_and_leaves_nothing(
    number: int, moment: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync, calls = os.fsync, count()

    def refuse(handle: int) -> None:
        if next(calls) == moment:
            raise OSError(number, os.strerror(number))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", refuse)
    result = Names(tmp_path, []).result("bell", ".wav", ".png")
    with pytest.raises((OSError, DiskFull), match=re.escape(str(tmp_path / "bell."))):
        result.write({".wav": content(b"heard"), ".png": content(b"seen")})
    assert held(tmp_path) == {}


def test_what_is_not_accepted_is_not_kept(tmp_path: Path) -> None:
    assert Names(tmp_path, []).result("bell", ".png").write({".png": content(b"seen")}, lambda: False) == []
    assert held(tmp_path) == {}


def test_an_interrupt_between_two_files_of_a_result_leaves_neither(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    move = files.move

    def interrupted(source: Path, path: Path) -> None:
        move(source, path)
        if path.name == "bell.wav":
            raise KeyboardInterrupt

    monkeypatch.setattr(files, "move", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Names(tmp_path, []).result("bell", ".wav", ".png").write({".wav": content(b"heard"), ".png": content(b"seen")})
    assert held(tmp_path) == {}


def test_all_sounds_are_joined_however_many_and_one_batch_of_them_is_in_memory(
    params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive: list[weakref.ref[np.ndarray]] = []
    counts: list[int] = []  # of sounds in memory, whenever more are made
    shown: list[Path] = []
    monkeypatch.setattr(fixed_batches, "TOGETHER", 2)
    monkeypatch.setattr(pictures_to_files, "_plot", lambda *_: b"")

    def make(pictures: Sequence[Image.Image]) -> list[Sound]:
        counts.append(sum(one() is not None for one in alive))
        waves = [np.zeros(100 * RATE, np.float32) for _ in pictures]
        alive.extend(map(weakref.ref, waves))
        return [Sound(wave, RATE) for wave in waves]

    pictures = [(Path(f"{number}.png"), Image.new("RGB", (8, 8))) for number in range(9)]
    named = Names(tmp_path, [])
    pictures_to_files.write_sounds(
        make,
        pictures,
        lambda stem: named.result(stem, ".wav", ".png"),
        "wav",
        cast(Models, SimpleNamespace(audio=params.audio, size=8)),
        lambda path, *_: path.stem != "3",
        shown.extend,
    )
    assert [path.stem for path in shown[::2]] == [*"0124", *"5678", "joined"]
    assert soundfile.info(tmp_path / "joined.wav").duration == pytest.approx(8 * 100 - 7 * FADE)
    assert sound_files.MAX_SECONDS < 8 * 100
    assert max(counts) <= 2 * 2


@pytest.mark.parametrize("count", [7, 20])
def test_of_photographs_one_is_in_memory_and_of_others_what_the_models_see(
    count: int, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system, rng = CycleSound.load(data, "cpu"), np.random.default_rng(0)
    pixels = rng.integers(0, 256, (count, 90, 150, 3), np.uint8)
    alive: list[weakref.ref[Image.Image]] = []
    most = 0
    monkeypatch.setattr(pictures_to_files, "_plot", lambda *_: b"")

    def read() -> Iterator[tuple[Path, Image.Image]]:
        nonlocal most
        for number in range(count):
            picture = Image.fromarray(pixels[number])
            alive.append(weakref.ref(picture))
            most = max(most, sum(one() is not None for one in alive))
            yield Path(f"{number}.jpg"), picture

    named = Names(tmp_path, [])
    pictures_to_files.write_sounds(
        system.sounds,
        read(),
        lambda stem: named.result(stem, ".wav", ".png"),
        "wav",
        system.models,
        lambda *_: True,
        lambda _: None,
    )
    assert most <= 2  # one while the next is read
    whole = system.sound(Image.fromarray(pixels[3]))
    assert (tmp_path / "3.wav").read_bytes() == sound_writer.encoded(whole, "wav")
