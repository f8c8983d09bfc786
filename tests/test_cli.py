"""The command line: useful files, or one clear line and a code that is not zero."""

import errno
import os
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Mapping
from html.parser import HTMLParser
from importlib import metadata
from pathlib import Path
from unittest.mock import Mock

import av
import numpy as np
import pytest
import soundfile
from commands import Run, files, is_one_line_of_error, running, told
from films import evenly, telling_film
from PIL import Image
from typer.testing import CliRunner

from cycle_sound import paths
from cycle_sound.acquisition.manifest import Row
from cycle_sound.app import cli, inputs, outputs
from cycle_sound.app.cli import app, changes, chosen
from cycle_sound.app.web import reading
from cycle_sound.dataset import writer
from cycle_sound.inference import bundle, export
from cycle_sound.inference.system import CycleSound
from cycle_sound.io import bounded, names
from cycle_sound.io.files import digest
from cycle_sound.media import images, sound_files, sound_reader
from cycle_sound.params import DIRECTIONS, MAX_CANDIDATES, Params, SamplingConfig, SamplingConfigs

RATE = 16000


@pytest.fixture
def run(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run(*words)`: a command in a folder of its own, with untrained models."""
    monkeypatch.chdir(tmp_path)
    return running(data)


def write_sound(path: Path, seconds: float = 1.5, frequency: float = 440) -> Path:
    path.parent.mkdir(exist_ok=True)
    wave = 0.3 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * RATE)) / RATE)
    soundfile.write(path, wave, RATE)
    return path


def write_picture(path: Path, colour: str = "red", size: tuple[int, int] = (64, 64)) -> Path:
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


# --- useful output


def test_a_sound_becomes_a_picture(run: Run, tmp_path: Path) -> None:
    result = run("image", write_sound(tmp_path / "bell.wav"), "-o", "out")
    assert result.exit_code == 0, result.output
    assert result.stdout.split() == ["out/bell.png"]
    assert Image.open(tmp_path / "out/bell.png").size == (64, 64)


def test_a_seed_gives_the_same_files_alone_and_among_others(run: Run, tmp_path: Path) -> None:
    for number in range(9):
        write_sound(tmp_path / f"in/{number}.wav", frequency=200 + 50 * number)
    assert run("image", "in", "-o", "all", "--seed", 3).exit_code == 0
    assert run("image", "in/8.wav", "-o", "one", "--seed", 3).exit_code == 0
    assert files(tmp_path / "all") == [f"{number}.png" for number in range(9)]
    assert (tmp_path / "one/8.png").read_bytes() == (tmp_path / "all/8.png").read_bytes()


def test_samples_are_those_of_the_seeds_that_follow(run: Run, tmp_path: Path) -> None:
    write_sound(tmp_path / "bell.wav")
    assert run("image", "bell.wav", "-o", "three", "--samples", 3, "--seed", 5).exit_code == 0
    assert run("image", "bell.wav", "-o", "last", "--seed", 7, "--rerank", 1).exit_code == 0
    assert files(tmp_path / "three") == ["bell.1.png", "bell.2.png", "bell.3.png"]
    assert (tmp_path / "three/bell.3.png").read_bytes() == (tmp_path / "last/bell.png").read_bytes()


def test_a_long_sound_becomes_a_sheet_and_a_film_with_its_sound(run: Run, tmp_path: Path) -> None:
    result = run("image", write_sound(tmp_path / "long.wav", 14.0), "-o", "out")
    assert result.stdout.split() == ["out/long.png", "out/long.mp4"]
    sheet = Image.open(tmp_path / "out/long.png")
    assert sheet.width > 8 * 128
    assert 2 * 128 < sheet.height < 3 * 128  # nine windows, eight to a row; the rest of 0.18 s is a scrap no more
    with av.open(str(tmp_path / "out/long.mp4")) as film:
        assert float(film.streams.video[0].duration * film.streams.video[0].time_base) == pytest.approx(13.9, abs=0.3)
        assert float(film.streams.audio[0].duration * film.streams.audio[0].time_base) == pytest.approx(14, abs=0.1)


@pytest.mark.parametrize("kind", ["wav", "flac", "mp3"])
def test_pictures_become_sounds_with_spectrograms_and_one_joined(run: Run, tmp_path: Path, kind: str) -> None:
    for colour in ("red", "blue"):
        write_picture(tmp_path / f"in/{colour}.png", colour)
    result = run("sound", "in", "-o", "out", "--format", kind)
    assert result.exit_code == 0, result.output
    names = [f"{name}.{ending}" for name in ("blue", "joined", "red") for ending in (kind, "png")]
    assert files(tmp_path / "out") == sorted(names)
    seconds = soundfile.info(tmp_path / f"out/joined.{kind}").duration
    assert seconds == pytest.approx(2 * 1.536 - 0.1, abs=0.15)


@pytest.mark.parametrize("kind", ["wav", "flac", "mp3"])
def test_a_picture_sounds_as_long_as_it_should(run: Run, tmp_path: Path, kind: str) -> None:
    for name in ("red", "blue"):
        write_picture(tmp_path / f"{name}.png", name)
    result = run("sound", "red.png", "blue.png", "-o", "out", "--seconds", "3.5", "--format", kind)
    assert result.exit_code == 0, result.output
    assert files(tmp_path / "out") == sorted(f"{name}.{end}" for name in ("red", "blue") for end in (kind, "png"))
    for name in ("red", "blue"):
        assert soundfile.info(tmp_path / f"out/{name}.{kind}").duration == pytest.approx(3.5, abs=1e-3)


def test_a_soundtrack_has_the_length_of_its_film(run: Run, tmp_path: Path) -> None:
    telling_film(tmp_path / "film.mp4", evenly(0, 2, 25), (0, 2))
    result = run("sound", "film.mp4", "-o", "out", "--seconds", "4")
    assert result.exit_code == 2
    assert "--seconds" in result.output
    assert files(tmp_path) == ["film.mp4"]


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (("red.png", "--mix"), "--mix"),
        (("film.mp4", "--format", "mp3"), "--format"),
        (("film.mp4", "--format", "wav"), "--format"),
    ],
)
def test_what_has_no_effect_on_these_sources_is_refused(
    run: Run, tmp_path: Path, words: tuple[str, ...], option: str
) -> None:
    write_picture(tmp_path / "red.png"), telling_film(tmp_path / "film.mp4", evenly(0, 1), (0, 1))
    result = run("sound", *words, "-o", "out")
    assert result.exit_code == 2
    assert option in result.output
    assert not (tmp_path / "out").exists()
    assert run("sound", "red.png", "film.mp4", "--mix", "--format", "mp3", "-o", "out").exit_code == 0
    assert files(tmp_path / "out") == ["film.mp4", "red.mp3", "red.png"]


def test_a_sound_of_one_pixel_is_a_sound(run: Run, tmp_path: Path) -> None:
    assert run("sound", write_picture(tmp_path / "dot.png", size=(1, 1)), "-o", "out").exit_code == 0
    assert files(tmp_path / "out") == ["dot.png", "dot.wav"]


def test_inputs_are_never_written_over_and_equal_names_are_told_apart(run: Run, tmp_path: Path) -> None:
    picture = write_picture(tmp_path / "x.png")
    before = picture.read_bytes()
    assert run("sound", "x.png", "-o", ".").stdout.split() == ["x-2.wav", "x-2.png"]
    assert picture.read_bytes() == before
    for folder in ("a", "b"):
        write_sound(tmp_path / folder / "y.wav")
    assert run("image", "a", "b/y.wav", "-o", "out").stdout.split() == ["out/y.png", "out/y-2.png"]


MADE = pytest.mark.parametrize(
    ("command", "made"), [("image", ["png", "mp4"]), ("sound", ["wav", "png"]), ("cycle", ["html"])], ids=str
)


@pytest.mark.parametrize("out", [".", "clips", "link", "elsewhere"])
@MADE
def test_no_file_is_overwritten_unasked(run: Run, tmp_path: Path, command: str, made: list[str], out: str) -> None:
    source = tmp_path / "clips" / ("bell.jpg" if command == "sound" else "bell.wav")
    write_picture(source) if command == "sound" else write_sound(source, 4.0)
    (tmp_path / "link").symlink_to("clips")
    (tmp_path / "elsewhere").mkdir()
    own = [tmp_path / folder / f"bell.{ending}" for folder in (".", "clips", "elsewhere") for ending in made]
    for path in own:
        path.write_text("somebody's own")
    result = run(command, "clips/bell.jpg" if command == "sound" else "clips/bell.wav", "-o", out)
    assert result.exit_code == 0, result.output
    assert [(tmp_path / out / f"bell-2.{ending}").is_file() for ending in made] == [True] * len(made)
    assert {path.read_text() for path in own} == {"somebody's own"}


@pytest.mark.parametrize("linked", [True, False])
@MADE
def test_no_file_that_appears_meanwhile_is_overwritten(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, made: list[str], linked: bool
) -> None:
    place, refused = outputs.Names.place, PermissionError(errno.EPERM, "Operation not permitted")

    def late(names_: outputs.Names, parts: Mapping[Path, Path]) -> None:
        if (last := Path(f"out/bell.{made[-1]}")) in parts.values():
            last.write_text("somebody's own")
        place(names_, parts)

    monkeypatch.setattr(outputs.Names, "place", late)
    if not linked:  # as on some file systems
        monkeypatch.setattr(os, "link", Mock(side_effect=refused))
    write_picture(tmp_path / "bell.jpg") if command == "sound" else write_sound(tmp_path / "bell.wav", 4.0)
    result = run(command, "bell.jpg" if command == "sound" else "bell.wav", "-o", "out")
    assert result.exit_code == 0, result.output
    assert files(tmp_path / "out") == sorted([f"bell.{made[-1]}", *(f"bell-2.{ending}" for ending in made)])
    assert (tmp_path / f"out/bell.{made[-1]}").read_text() == "somebody's own"
    assert [line for line in result.stdout.split() if "out/" in line] == [f"out/bell-2.{ending}" for ending in made]


@MADE
def test_overwriting_replaces_results_but_no_source(run: Run, tmp_path: Path, command: str, made: list[str]) -> None:
    write = write_picture if command == "sound" else write_sound
    source = write(tmp_path / "out" / ("bell.png" if command == "sound" else "bell.wav"))
    before = source.read_bytes()
    found = []
    for seed in range(2):
        assert run(command, source, "-o", "out", "--overwrite", "--seed", seed).exit_code == 0
        found.append(files(tmp_path / "out"))
    assert found[0] == found[1]
    assert source.read_bytes() == before


def test_models_are_given_the_pixels_of_a_large_jpeg_that_training_data_hold(
    run: Run, params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, sound = tmp_path / "raw/test_data/big.jpg", write_sound(tmp_path / "bell.wav")
    path.parent.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (520, 530, 3), np.uint8)
    Image.fromarray(noise).save(path, quality=90)
    row = Row("big", "test", "", "big", "ok", "", picture_sha256=digest(path))
    wanted = writer.sample(row, tmp_path / "raw", params, "image").image
    assert wanted is not None
    size, given = params.image.size, list[np.ndarray]()
    read = [inputs.picture(path, size), inputs.either(path, size), reading.picture(path, size)]
    read.append(reading.either(path, size))  # type: ignore[arg-type]
    assert all(np.array_equal(images.to_array(one, size), wanted) for one in read)
    to_array = images.to_array

    def noted(picture: Image.Image, size: int) -> np.ndarray:
        given.append(to_array(picture, size))
        return given[-1]

    monkeypatch.setattr(images, "to_array", noted)
    for words in (
        ("sound", path),
        ("sound", path, "--unlike", path, "--blend", path, 0.5),
        ("cycle", path),
        ("search", path, tmp_path),
        ("search", sound, path.parent),
    ):
        given.clear()
        result = run(*words, *(() if words[0] == "search" else ("-o", "out")))
        assert result.exit_code == 0, result.output
        seen = [one for one in given if not np.array_equal(one, wanted)]
        assert len(seen) < len(given)
        assert words[0] == "cycle" or not seen  # a cycle also looks at the pictures that it makes


def test_the_cycle_is_a_page_of_all_stations(run: Run, tmp_path: Path) -> None:
    result = run("cycle", write_sound(tmp_path / "<b>bell.wav"), "--rounds", 2, "-o", "out")
    assert result.exit_code == 0, result.output
    text = (tmp_path / "out/<b>bell.html").read_text(encoding="utf-8")
    seen: list[str] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: seen.append(tag)  # type: ignore[method-assign]
    parser.feed(text)
    assert (seen.count("figure"), seen.count("img"), seen.count("audio"), seen.count("b")) == (5, 5, 3, 0)
    for word in ("label", "score", "content", "round 2: back"):
        assert word in text
        assert word in result.stdout
    assert "http" not in text.replace("http-equiv", "")  # needs nothing beside it


@pytest.mark.parametrize(
    "words",
    [
        ("cycle", "long.wav", "-o", "out"),
        ("image", "bell.wav", "--unlike", "long.wav", "--guidance", 2, "-o", "out"),
        ("image", "bell.wav", "--blend", "long.wav", 0.5, "-o", "out"),
    ],
    ids=lambda words: " ".join(map(str, words[:3])),
)
def test_that_only_the_beginning_of_a_sound_is_used_is_said(
    run: Run, tmp_path: Path, data: Path, words: tuple[object, ...]
) -> None:
    clip = CycleSound.load(data, "cpu").seconds
    for name, seconds in (("bell", clip), ("long", 9.0)):
        write_sound(tmp_path / f"{name}.wav", seconds)
    result = run(*words)
    assert (result.exit_code, told(result)) == (0, [f"only the first {clip:.1f} s of long.wav are used"])
    shutil.copy(tmp_path / "bell.wav", tmp_path / "long.wav")
    assert told(run(*words)) == []


def test_a_search_ranks_every_readable_file(run: Run, tmp_path: Path) -> None:
    for colour in ("red", "blue", "green"):
        write_picture(tmp_path / f"shown/{colour}.png", colour)
    write_sound(tmp_path / "heard/long.wav", 3.0)
    write_sound(tmp_path / "heard/short.wav")
    result = run("search", "heard/long.wav", "shown")
    lines = [line.split() for line in result.stdout.splitlines()]
    assert result.exit_code == 0
    assert {path for _, path in lines} == {"shown/red.png", "shown/blue.png", "shown/green.png"}
    scores = [float(score) for score, _ in lines]
    assert scores == sorted(scores, reverse=True)
    (tmp_path / "heard/broken.wav").write_bytes(b"RIFF")
    result = run("search", "shown/red.png", "heard", "--top", 1)
    assert len(result.stdout.splitlines()) == 1
    assert is_one_line_of_error(result, "broken.wav")


def test_a_search_warns_of_a_query_unlike_the_training_data(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CycleSound, "familiarities", lambda _, sources: [0.25] * len(sources))
    write_picture(tmp_path / "shown/red.png")
    write_sound(tmp_path / "long.wav", 3.0)
    (line,) = told(run("search", "long.wav", "shown"))
    assert line.startswith("long.wav is unlike the training data (familiarity 0.25)")


def test_exported_models_are_used_by_name(run: Run, tmp_path: Path) -> None:
    write_sound(tmp_path / "bell.wav")
    assert run("export", "models").exit_code == 0
    assert run("image", "bell.wav", "-o", "mine").exit_code == 0
    assert run("image", "bell.wav", "-o", "theirs", models=tmp_path / "models").exit_code == 0
    assert (tmp_path / "mine/bell.png").read_bytes() == (tmp_path / "theirs/bell.png").read_bytes()


@pytest.mark.parametrize("command", ["image", "sound"])
def test_other_sources_steer_what_is_made(run: Run, tmp_path: Path, command: str) -> None:
    ending = ".wav" if command == "image" else ".png"
    for number, name in enumerate(("in/1", "in/2", "in/3", "other")):
        if command == "image":
            write_sound(tmp_path / f"{name}.wav", frequency=200 * (1 + number) ** 2)
        else:
            write_picture(tmp_path / f"{name}.png", ("red", "green", "white", "blue")[number])
    other = f"other{ending}"
    ways = {"plain": (), "unlike": ("--unlike", other), "blend": ("--blend", other, 0.5), "none": ("--blend", other, 0)}
    for name, words in ways.items():
        result = run(command, "in", "-o", name, "--guidance", 8, *words)
        assert result.exit_code == 0, result.output
    made = {name: b"".join(path.read_bytes() for path in sorted((tmp_path / name).glob("*"))) for name in ways}
    assert made["none"] == made["plain"]
    assert len(set(made.values())) == 3


def test_a_scale_enlarges_pictures_smoothly(run: Run, tmp_path: Path) -> None:
    write_sound(tmp_path / "bell.wav")
    assert run("image", "bell.wav", "-o", "one").exit_code == 0
    assert run("image", "bell.wav", "-o", "large", "--scale", 3).exit_code == 0
    small, large = (Image.open(tmp_path / f"{name}/bell.png") for name in ("one", "large"))
    assert (small.size, large.size) == ((64, 64), (192, 192))
    again = large.resize(small.size, Image.Resampling.BOX)
    assert np.abs(np.asarray(again, int) - np.asarray(small, int)).mean() < 8
    steps = np.abs(np.diff(np.asarray(large, int), axis=0)).mean((1, 2))
    assert (steps > 0).mean() > 0.9  # no pixel is merely repeated
    assert run("image", write_sound(tmp_path / "long.wav", 3.0), "-o", "large", "--scale", 5).exit_code == 0
    with av.open(str(tmp_path / "large/long.mp4")) as film:
        assert film.streams.video[0].width == 320


# --- one clear line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--unlike", "missing.wav"), "missing.wav: no such file"),
        (("--unlike", "red.png"), "red.png"),
        (("--blend", "missing.wav", 0.5), "missing.wav: no such file"),
    ],
)
def test_what_cannot_steer_is_said_and_nothing_is_written(
    run: Run, tmp_path: Path, words: tuple[object, ...], said: str
) -> None:
    write_picture(tmp_path / "red.png")
    for name in ("one", "other"):
        write_sound(tmp_path / f"{name}.wav")
    assert is_one_line_of_error(run("image", "one.wav", "-o", "out", *words), said)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["image", "sound", "cycle", "search"])
@pytest.mark.parametrize("content", [b"", b"%PDF-1.4\n" * 500, bytes(4000)])
def test_files_that_hold_something_else_are_refused(run: Run, tmp_path: Path, command: str, content: bytes) -> None:
    write_picture(tmp_path / "shown/red.png")
    (tmp_path / "song.mp3").write_bytes(content)
    result = run(command, "song.mp3", *(["shown"] if command == "search" else ["-o", "out"]))
    assert is_one_line_of_error(result, "song.mp3"), result.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["\x1b]0;title\x07", "a\nb\u202egpj"])
def test_a_file_name_reaches_the_terminal_as_text(run: Run, tmp_path: Path, name: str) -> None:
    write_sound(tmp_path / f"in/{name}.wav")
    (tmp_path / f"in/{name}.mp3").write_bytes(b"no sound")
    made = run("image", "in", "-o", "out")
    assert files(tmp_path / "out") == [names.UNSHOWN.sub("_", name) + ".png"]
    found = run("search", write_picture(tmp_path / "red.png"), "in")
    missing = run("cycle", f"{name}.png", "-o", "out")
    for result, lines in ((made, (1, 2)), (found, (1, 2)), (missing, (0, 1))):  # of models that are used, too
        assert result.exit_code == 1
        for text, count in zip((result.stdout, result.stderr), lines, strict=True):
            assert text.count("\n") == count
            assert not names.UNSHOWN.search(text.replace("\n", ""))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a name is text, and shorter")
@pytest.mark.parametrize("command", ["image", "cycle"])
@pytest.mark.parametrize("name", ["\udcff", "x" * 251, "é" * 125, ".", ".."])
def test_what_is_made_of_a_file_has_a_name_whatever_the_file_is_called(
    run: Run, tmp_path: Path, command: str, name: str
) -> None:
    write_sound(tmp_path / "bell.wav").rename(tmp_path / f"{name}.wav")
    for _ in range(2):  # the next one is numbered
        result = run(command, f"{name}.wav", "-o", "out")
        assert result.exit_code == 0, result.output
    assert len(files(tmp_path / "out")) == 2
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.wav", "out"}


def test_hidden_files_in_a_folder_are_passed_over(run: Run, tmp_path: Path) -> None:
    write_sound(tmp_path / "in/bell.wav")
    (tmp_path / "in/._bell.wav").write_bytes(b"a note of macOS")
    (tmp_path / "in/.DS_Store").write_bytes(b"another")
    result = run("image", "in", "-o", "out")
    assert result.exit_code == 0, result.output
    assert files(tmp_path / "out") == ["bell.png"]


def test_the_good_files_are_used_beside_the_bad(run: Run, tmp_path: Path) -> None:
    write_sound(tmp_path / "good.wav")
    (tmp_path / "bad.wav").write_bytes(b"")
    result = run("image", "bad.wav", "good.wav", "-o", "out", "--samples", 2)
    assert is_one_line_of_error(result, "bad.wav", "empty file")
    assert files(tmp_path / "out") == ["good.1.png", "good.2.png"]


def write_loud(path: Path) -> Path:
    """A sound whose numbers are far beyond full scale, as no mixture of sounds is."""
    path.parent.mkdir(exist_ok=True)
    soundfile.write(path, np.full(RATE, 2 * sound_files.LOUDEST), RATE, subtype="FLOAT")
    return path


def test_a_sound_too_loud_to_be_one_costs_a_line_and_the_others_are_used(run: Run, tmp_path: Path) -> None:
    write_loud(tmp_path / "in/bad.wav"), write_sound(tmp_path / "in/good.wav"), write_picture(tmp_path / "red.png")
    made, found = run("image", "in", "-o", "out"), run("search", "red.png", "in")
    for result, name in ((made, "good.png"), (found, "good.wav")):
        assert is_one_line_of_error(result, "bad.wav", "full scale")
        assert name in result.stdout


@pytest.mark.parametrize("words", [("image", "good.wav", "--unlike"), ("cycle",)])
def test_a_sound_too_loud_to_be_one_is_named(run: Run, tmp_path: Path, words: tuple[str, ...]) -> None:
    write_loud(tmp_path / "bad.wav"), write_sound(tmp_path / "good.wav")
    assert is_one_line_of_error(run(*words, "bad.wav", "-o", "out"), "bad.wav", "full scale")


def png_of(width: int, height: int) -> bytes:
    """A PNG that claims so many pixels."""
    header = struct.pack(">4sIIBBBBB", b"IHDR", width, height, 8, 2, 0, 0, 0)
    chunks = [(13, header), (0, b"IDAT")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", size) + chunk + struct.pack(">I", zlib.crc32(chunk)) for size, chunk in chunks
    )


def test_what_libraries_warn_of_is_one_line_alone(tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(png_of(10_000, 10_000))
    soundfile.write(tmp_path / "endless.wav", np.full((RATE, 2), np.inf), RATE, subtype="FLOAT")
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    for name, reason in (("bomb.png", "10000 x 10000 pixels"), ("endless.wav", "NaN or infinite samples")):
        words = [sys.executable, "-m", "cycle_sound", "cycle", name, "-o", "out"]
        done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, env=environment)
        using, error = done.stderr.splitlines()
        assert using.startswith("using ")
        assert error.startswith(f"error: {name}: ")
        assert reason in error


def test_what_would_fill_the_memory_is_refused(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_sound(tmp_path / "x.wav", 3.0)
    monkeypatch.setattr(sound_reader, "MAX_SECONDS", 2.0)
    assert is_one_line_of_error(run("image", "x.wav", "-o", "out"), "x.wav", "more than 2 s")
    assert files(tmp_path) == ["x.wav"]
    monkeypatch.setattr(sound_files, "MAX_SECONDS", 2.0)
    assert is_one_line_of_error(run("search", "x.wav", "."), "x.wav", "more than 2 s")
    monkeypatch.setattr(bounded, "MAX_MEDIA", 1000)
    assert is_one_line_of_error(run("cycle", "x.wav", "-o", "out"), "x.wav", "GiB")


def test_where_one_clip_is_used_no_more_of_a_sound_is_decoded(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it is, and the result is that of its beginning."""
    write_sound(tmp_path / "bell.wav")
    wave = np.random.default_rng(0).normal(0, 0.1, RATE * 20)
    for name, seconds in (("long.wav", 20), ("short.wav", 6)):
        soundfile.write(tmp_path / name, wave[: RATE * seconds], RATE)
    monkeypatch.setattr(sound_files, "MAX_SECONDS", 10.0)
    made = []
    for name in ("long.wav", "short.wav"):
        result = run("image", "bell.wav", "-o", "out", "--overwrite", "--unlike", name)
        assert [f"of {name} are used" in line for line in told(result)] == [True]
        made.append((tmp_path / "out/bell.png").read_bytes())
        assert run("cycle", name, "-o", "out").exit_code == 0
    assert made[0] == made[1]


@pytest.mark.parametrize(
    "read", ["cycle", "image", "sound"], ids=lambda command: f"{command} and a disk that does not give a file"
)
def test_a_file_that_a_disk_does_not_give_costs_a_line_that_names_it(read: str, run: Run, tmp_path: Path) -> None:
    broken = Path("/proc/self/mem")  # readable, it is said; but nothing lies at its beginning
    if not broken.exists():
        pytest.skip("no /proc here")
    (tmp_path / "broken.png").symlink_to(broken)
    assert is_one_line_of_error(run(read, "broken.png", "-o", "out"), "broken.png: ")


def test_a_folder_to_search_is_looked_for_before_models_are_read(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CycleSound, "load", Mock(side_effect=ArithmeticError("models are read")))
    write_sound(tmp_path / "bell.wav")
    assert is_one_line_of_error(run("search", "bell.wav", "nowhere"), "nowhere: no such folder")


def test_the_sound_of_a_film_becomes_a_film_and_one_in_python(run: Run, tmp_path: Path, data: Path) -> None:
    telling_film(tmp_path / "seen.mkv", evenly(0, 4), (0, 4))
    assert run("image", "seen.mkv", "-o", "out").stdout.split() == ["out/seen.png", "out/seen.mp4"]
    CycleSound.load(data, "cpu").film(tmp_path / "seen.mkv", tmp_path / "mine.mp4")
    assert (tmp_path / "mine.mp4").read_bytes() == (tmp_path / "out/seen.mp4").read_bytes()


@pytest.mark.parametrize(
    "words", [("image", "nothing.wav"), ("image", "/dev/zero"), ("sound", "empty"), ("image", "circle")]
)
def test_what_is_not_there_is_named(run: Run, tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "circle").symlink_to("circle")
    assert is_one_line_of_error(run(*words, "-o", "out"), words[1])


def test_no_models_yet_is_said(run: Run, tmp_path: Path) -> None:
    write_sound(tmp_path / "bell.wav")
    for words in (("image", "bell.wav", "-o", "out"), ("export", "models")):
        assert is_one_line_of_error(run(*words, models=tmp_path / "data"), "data", "no models")


def test_missing_models_are_said_before_torch_is_loaded(tmp_path: Path) -> None:
    for command in (["image", "x.wav", "-o", "out"], ["export", "out"], ["push-to-hub", "ann/x"], ["web"]):
        words = [sys.executable, "-X", "importtime", "-m", "cycle_sound", *command, "--models", str(tmp_path)]
        done = subprocess.run(words, capture_output=True, text=True, cwd=Path(__file__).parents[1])
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1].startswith(f"error: {tmp_path}: no models here")
        assert "torch" not in done.stderr


def test_the_models_of_a_project_go_before_those_that_come_along(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def used(*words: str) -> str:
        result = CliRunner().invoke(app, ["image", "bell.wav", "-o", "out", "--overwrite", *words])
        assert result.exit_code == 0, result.output
        assert result.stdout.split() == ["out/bell.png"]
        return result.stderr

    project = shutil.copytree(data.parent, tmp_path / "project")
    export.export(data, tmp_path / "pretrained")
    monkeypatch.setattr(paths, "PRETRAINED", tmp_path / "pretrained")
    monkeypatch.chdir(project)
    write_sound(Path("bell.wav"))
    said = used()
    assert said.startswith("using the models in data. These models know 2 kinds: bell, bird. ")
    assert said.count("\n") == 1
    assert used("--models", "../pretrained").startswith("using the models in ../pretrained. These models know 2 kinds")
    paths.cycle("audio_to_image").unlink()  # as in a build that has not ended
    assert used().startswith("using the bundled models. These models know 2 kinds")
    shutil.rmtree(tmp_path / "pretrained")
    result = CliRunner().invoke(app, ["image", "bell.wav", "-o", "out"])
    assert is_one_line_of_error(result, "data/cycle/audio_to_image.safetensors", "no such model")


def test_the_version_is_printed_also_of_the_module() -> None:
    wanted = f"cycle-sound {metadata.version('cycle-sound')}\n"
    assert CliRunner().invoke(app, ["--version"]).stdout == wanted
    words = [sys.executable, "-m", "cycle_sound", "--version"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert done.stdout == wanted


@pytest.mark.parametrize("words", [("image", "bell.wav", "-o", "circle"), ("export", "circle")])
def test_a_link_that_leads_back_to_itself_is_no_folder(run: Run, tmp_path: Path, words: tuple[str, ...]) -> None:
    write_sound(tmp_path / "bell.wav")
    (tmp_path / "circle").symlink_to("circle")
    assert is_one_line_of_error(run(*words), "circle")


def test_a_folder_that_cannot_be_written_is_named(run: Run, tmp_path: Path) -> None:
    write_sound(tmp_path / "bell.wav")
    (tmp_path / "file").write_bytes(b"")
    assert is_one_line_of_error(run("image", "bell.wav", "-o", "file/out"), "file/out")


@pytest.mark.parametrize(
    "words",
    [
        ("--top-p", "0"),
        ("--top-p", "nan"),
        ("--temperature", "-1"),
        ("--temperature", "1e-40"),
        ("--guidance", "inf"),
        ("--guidance", "1e38"),
        ("--samples", "0"),
        ("--rerank", "0"),
        ("--rerank", "1001"),
        ("--scale", "0"),
        ("--scale", "9"),
        ("--device", "abacus"),
        ("--seed", "-1"),
    ],
)
def test_impossible_options_are_named(run: Run, tmp_path: Path, words: tuple[str, str]) -> None:
    result = run("image", write_sound(tmp_path / "bell.wav"), "-o", "out", *words)
    assert result.exit_code == 2
    assert words[0] in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("command", "option", "most"),
    [
        ("sound", "--seconds", sound_reader.MAX_SECONDS),
        *((command, "--rerank", MAX_CANDIDATES) for command in ("image", "sound", "cycle")),
    ],
)
def test_more_than_can_be_made_is_refused_before_models_are_read(
    command: str, option: str, most: float, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CycleSound, "load", Mock(side_effect=ArithmeticError("models are read")))
    source = write_picture(tmp_path / "red.png") if command == "sound" else write_sound(tmp_path / "bell.wav")
    assert isinstance(run(command, source, "-o", "out", option, f"{most:.0f}").exception, ArithmeticError)
    refused = run(command, source, "-o", "out", option, f"{most + 1:.0f}")
    assert refused.exit_code == 2
    assert option in refused.stderr
    assert f"{most:.0f}" in refused.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("sound", "--blend", "red.png", 1.5),
        ("sound", "--blend", "red.png", "nan"),
        ("sound", "--guidance", 1, "--unlike", "red.png"),
        ("sound", "--min-confidence", "nan"),
        *(
            (command, *words)
            for command in ("sound", "cycle")
            for words in (("--temperature", -1), ("--top-p", 0), ("--top-k", -1), ("--guidance", "inf"))
        ),
        ("export", "--license", "CC BY"),
        ("push-to-hub", "--license", "CC BY"),
    ],
    ids=lambda words: " ".join(map(str, words[:3])),
)
def test_the_impossible_is_refused_before_models_are_read(
    words: tuple[object, ...], run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CycleSound, "load", Mock(side_effect=ArithmeticError("models are read")))
    monkeypatch.setattr(bundle, "load", Mock(side_effect=ArithmeticError("models are read")))
    write_picture(tmp_path / "red.png")
    command, option, *rest = words
    place = {"export": ["out"], "push-to-hub": ["ann/orchestra"]}.get(str(command), ["red.png", "-o", "out"])
    refused = run(command, *place, option, *rest)
    assert refused.exit_code == 2, refused.output
    assert str(option) in refused.stderr
    assert not (tmp_path / "out").exists()


def test_what_is_given_of_the_draw_holds_both_ways_and_the_rest_is_each_ways_own(data: Path) -> None:
    own = SamplingConfigs(  # the two differ, whatever params.yaml says of them
        audio_to_image=SamplingConfig(temperature=0.9, top_k=0, top_p=1, guidance=2, candidates=1),
        image_to_audio=SamplingConfig(temperature=0.7, top_k=8, top_p=0.9, guidance=3, candidates=2),
    )
    system = CycleSound(CycleSound.load(data, "cpu").models, own)
    assert chosen(system, changes(temperature=None, guidance=None)) == own
    for given in ({"temperature": 0.0}, {"candidates": 4}):
        changed = chosen(system, changes(guidance=None, **given))
        for direction in DIRECTIONS:
            assert changed[direction] == own[direction].model_copy(update=given)


def test_a_fault_of_the_program_keeps_its_traceback(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: Path) -> None:
        raise ValueError("a fault")

    monkeypatch.setattr(inputs, "long_sound", broken)
    assert isinstance(run("image", write_sound(tmp_path / "bell.wav"), "-o", "out").exception, ValueError)


def test_a_file_that_cannot_be_opened_costs_a_line_and_the_others_are_used(run: Run, tmp_path: Path) -> None:
    write_picture(tmp_path / "red.png")
    unnameable = f"{'x' * 300}.png"
    result = run("sound", unnameable, "red.png", "-o", "out")
    assert (result.exit_code, result.stdout.split()) == (1, ["out/red.wav", "out/red.png"])
    [line] = told(result)
    assert line.startswith(f"error: {unnameable}: ")


def test_a_reader_that_has_enough_of_the_output_is_no_error(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(paths: object) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    write_sound(tmp_path / "bell.wav")
    monkeypatch.setattr(cli, "show", gone)
    assert told(run("image", "bell.wav", "-o", "out")) == []


def test_a_name_that_the_outputs_encoding_lacks_is_written_in_another_way(data: Path, tmp_path: Path) -> None:
    write_sound(tmp_path / "gong 鑼.wav")
    runner = CliRunner(charset="cp1252")
    result = runner.invoke(app, ["image", str(tmp_path / "gong 鑼.wav"), "-o", str(tmp_path), "--models", str(data)])
    assert result.exit_code == 0
    assert result.stdout.endswith("gong \\u947c.png\n")


# --- help


@pytest.mark.parametrize("command", ["image", "sound", "cycle", "search", "export", "push-to-hub"])
def test_every_command_shows_examples(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert f"  cycle-sound {command}" in result.stdout


def test_help_and_completion_come_without_the_models_code() -> None:
    code = "import sys; from cycle_sound.app.cli import app; app(['--help'], standalone_mode=False); "
    code += "assert not {'torch', 'librosa', 'numpy'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert done.returncode == 0, done.stderr
    assert "cycle-sound image song.mp3" in done.stdout
    assert "completion" in done.stdout
