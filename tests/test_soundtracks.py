"""Films get soundtracks: the pictures stay as they are, the level is steady, and length costs no memory."""

import errno
import os
import shutil
import signal
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from commands import Run, files, is_one_line_of_error, running, told
from films import chirp, evenly, heard, mux, picture_stream, shade, sound_stream, telling_film
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, features

from cycle_sound.app import inputs
from cycle_sound.errors import BadFilm, BadSteering, BadTarget
from cycle_sound.inference import soundtrack
from cycle_sound.inference.system import CycleSound
from cycle_sound.media import containers, film_reader, film_writer, sound_writer
from cycle_sound.media.crossfade import crossfaded, faded
from cycle_sound.media.film_reader import FilmReader
from cycle_sound.media.film_writer import AUDIO_RATE
from cycle_sound.media.sounds import Sound

RATE = 16000  # Hz, of the models
PICTURE = Image.new("RGB", (64, 64), "red")
KINDS = [  # suffix, codec, ticks a second, and what the film with its soundtrack is
    *((suffix, "libx264", 1000, ".mp4") for suffix in (".mp4", ".mkv", ".ts", ".flv")),
    *((suffix, "mpeg2video", 25, ".mkv") for suffix in (".mpg", ".ts", ".mkv")),
    (".avi", "mpeg4", 25, ".mp4"),
    (".webm", "libvpx", 1000, ".mkv"),
    (".mp4", "libsvtav1", 1000, ".mp4"),
]


@pytest.fixture
def run(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run(*words)`: a command in a folder of its own, with untrained models."""
    monkeypatch.chdir(tmp_path)
    return running(data)


@pytest.fixture(scope="module")
def system(data: Path) -> CycleSound:
    return CycleSound.load(data, "cpu")


def packets(path: Path) -> list[tuple[float, bool, bytes]]:
    """Of the pictures: when each is shown, from the first one on, whether it is a key frame, and its content."""
    with av.open(str(path), options={"fflags": "genpts"}) as container:
        found = [one for one in container.demux(video=0) if one.size]
        first = min(one.pts for one in found if one.pts is not None)
        return [(float((one.pts - first) * one.time_base), one.is_keyframe, bytes(one)) for one in found]


def shown(path: Path) -> list[tuple[float, int]]:
    """The pictures that a film shows: when, from the first one on, and their level."""
    with av.open(str(path)) as container:
        frames = [(frame.time, round(frame.to_ndarray(format="gray").mean())) for frame in container.decode(video=0)]
    return [(time - frames[0][0], level) for time, level in frames]


def sound_of(path: Path) -> np.ndarray:
    """The sound of a film, float32 (samples,)."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
    return np.concatenate(frames)


def levels(wave: np.ndarray, width: int) -> np.ndarray:
    """The level of each stretch of `width` samples, in dB."""
    return 10 * np.log10((wave[: len(wave) // width * width].reshape(-1, width) ** 2).mean(1))


def long_film(path: Path, seconds: float) -> Path:
    """A film of two pictures a second, with sound."""
    with av.open(str(path), "w") as container:
        moving, sound = picture_stream(container), sound_stream(container)
        mux(container, moving, (shade(20 + 20 * (time % 10), time) for time in evenly(0, seconds, 2)))
        mux(container, sound, chirp(0, seconds))
    return path


def noise(seed: int, samples: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


def sine(phase: float, samples: int, frequency: float = 440) -> np.ndarray:
    return np.sin(2 * np.pi * frequency * np.arange(samples) / RATE + phase).astype(np.float32) / 2


def noises(system: CycleSound) -> Any:
    """Stands for the models: each picture sounds like noise of one level, of its own."""
    made: list[int] = []

    def make(pictures: Sequence[Image.Image]) -> list[Sound]:
        made.extend(range(len(made), len(made) + len(pictures)))
        waves = (noise(number, round(system.seconds * RATE)) for number in made[-len(pictures) :])
        return [Sound(wave, RATE) for wave in waves]

    return make


# --- cross-fading


@given(samples=st.integers(400, 3000), shared=st.integers(1, 200), count=st.integers(1, 5))
@settings(deadline=None)
def test_what_was_one_sound_is_one_again(samples: int, shared: int, count: int):
    whole = noise(0, count * samples - (count - 1) * shared)
    starts = [number * (samples - shared) for number in range(count)]
    again = np.concatenate(list(crossfaded((whole[start : start + samples] for start in starts), shared)))
    assert np.allclose(again, whole, atol=1e-5)


@pytest.mark.parametrize("kind", ["noise", "tones", "one tone"])
def test_the_level_at_seams_is_that_inside(kind: str):
    width, shared, rng = 24576, 3072, np.random.default_rng(0)
    phases = rng.uniform(0, 2 * np.pi, 40)
    waves = {
        "noise": [noise(seed, width) for seed in range(40)],
        "tones": [sine(phase, width) for phase in phases],
        "one tone": [sine(2 * np.pi * 440 * number * (width - shared) / RATE, width) for number in range(40)],
    }[kind]
    joined = np.concatenate(list(crossfaded(waves, shared)))
    hop = width - shared
    seams = np.array([10 * np.log10((joined[at : at + shared] ** 2).mean()) for at in range(hop, 39 * hop, hop)])
    inside = np.array([10 * np.log10((joined[at + shared : at + hop] ** 2).mean()) for at in range(hop, 39 * hop, hop)])
    assert np.abs(seams - inside.mean()).max() < 1


def test_a_fade_is_linear_where_sounds_are_equal_and_of_equal_power_where_they_are_unrelated():
    rise = (np.arange(1000) + 0.5) / 1000
    assert np.allclose(faded(sine(0, 1000), sine(0, 1000)), sine(0, 1000), atol=1e-6)
    ones, other = np.zeros(1000, np.float32), np.zeros(1000, np.float32)
    ones[::2], other[1::2] = 1, 1
    mixed = faded(ones, other)
    assert np.allclose(mixed[::2] ** 2 + mixed[1::2] ** 2, 1, atol=5e-3)
    assert np.allclose(mixed[::2] / mixed[1::2], (1 - rise[::2]) / rise[1::2], rtol=5e-3)
    assert np.array_equal(faded(np.zeros(9, np.float32), np.zeros(9, np.float32)), np.zeros(9))


def test_a_join_makes_no_click():
    joined = np.concatenate(list(crossfaded([sine(0, 4096, 220), sine(2, 4096, 330), np.zeros(4096)], 512)))
    assert np.abs(np.diff(joined)).max() < 1.5 * np.pi * 330 / RATE


# --- films read


@pytest.mark.parametrize(("suffix", "codec", "ticks", "_"), KINDS)
def test_pictures_are_those_on_show_and_the_length_is_told_by_packets(
    suffix: str, codec: str, ticks: int, _: str, tmp_path: Path
):
    path = telling_film(tmp_path / f"film{suffix}", evenly(0, 4, 25), (0, 4), codec, ticks=ticks)
    film, odd = FilmReader(path), 0.08 if suffix == ".avi" else 0.0  # s, two frames later than they were meant
    assert film.seconds == pytest.approx(4 + odd, abs=0.05)
    times = [0.0, 0.5, 0.51, 1.7, 3.9, 9.0]
    for time, picture in zip(times, film.pictures(times, 16), strict=True):
        assert picture.size == (16, 16)
        assert (np.asarray(picture).mean() - 20) / 20 == pytest.approx(min(time, 3.96), abs=0.12 + odd)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
@pytest.mark.parametrize("begin", [0.0, 1.5])
def test_sound_is_on_the_clock_of_the_pictures(suffix: str, begin: float, tmp_path: Path):
    """Of the chirp's pitch, 300 + 200 t Hz; it is heard from 1 s to 3 s, and pictures are seen from `begin` on."""
    film = FilmReader(telling_film(tmp_path / f"film{suffix}", evenly(begin, 4), (1, 3)))
    wave = np.concatenate([np.zeros(0, np.float32), *film.sound(22050)])
    for time in (1.1, 1.6, 2.0, 2.8):
        start = round((time - begin - 0.05) * 22050)
        if start >= 0:
            crossings = np.flatnonzero(np.diff(np.signbit(wave[start : start + 2205])))
            pitch = (len(crossings) - 1) / 2 * 22050 / (crossings[-1] - crossings[0])
            assert (pitch - 300) / 200 == pytest.approx(time, abs=0.05)
    assert np.abs(wave[: round((0.9 - begin) * 22050)]).sum() == 0 if begin < 0.9 else True
    assert len(wave) / 22050 == pytest.approx(3 - begin, abs=0.15)


def test_a_gap_in_the_sound_is_silent(tmp_path: Path):
    path = tmp_path / "film.mkv"
    with av.open(str(path), "w") as container:
        moving, sound = picture_stream(container), sound_stream(container)
        mux(container, moving, (shade(90, time) for time in evenly(0, 5)))
        for start, end in ((0, 1), (3, 4)):
            for frame in chirp(start, end):
                container.mux(sound.encode(frame))
        container.mux(sound.encode())
    wave = np.concatenate(list(FilmReader(path).sound(RATE)))
    assert np.abs(wave[round(1.2 * RATE) : round(2.8 * RATE)]).max() == 0
    assert np.abs(wave[round(3.2 * RATE) : round(3.8 * RATE)]).max() > 0.3


def test_small_gaps_in_the_sound_add_up(tmp_path: Path):
    """Of recordings that lose a packet now and then: 0.064 s of each 0.512 s are missing."""
    path = tmp_path / "film.mkv"
    with av.open(str(path), "w") as container:
        moving, sound = picture_stream(container), sound_stream(container, "pcm_s16le")
        mux(container, moving, (shade(90, time) for time in evenly(0, 6)))
        mux(container, sound, (frame for number, frame in enumerate(chirp(0, 6)) if number % 8 < 7))
    wave = np.concatenate(list(FilmReader(path).sound(RATE)))
    assert len(wave) / RATE == pytest.approx(6, abs=0.1)
    late = wave[round(5.5 * RATE) : round(5.7 * RATE)]
    crossings = np.flatnonzero(np.diff(np.signbit(late[late != 0])))
    pitch = (len(crossings) - 1) / 2 * RATE / (crossings[-1] - crossings[0])
    assert (pitch - 300) / 200 == pytest.approx(5.6, abs=0.1)


@pytest.mark.parametrize("content", [b"", b"%PDF-1.4\n" * 500, bytes(4000)])
def test_what_is_no_film_is_refused(content: bytes, tmp_path: Path):
    (tmp_path / "film.mp4").write_bytes(content)
    with pytest.raises(BadFilm):
        FilmReader(tmp_path / "film.mp4")


def write_avif(path: Path, *colours: str) -> Path:
    """A still picture, or of several colours a sequence."""
    first, *others = (Image.new("RGB", (64, 64), colour) for colour in colours)
    first.save(path, "AVIF", save_all=bool(others), append_images=others, duration=500)
    return path


@pytest.mark.skipif(not features.check("avif"), reason="a Pillow without AVIF")
@pytest.mark.parametrize("brand", [b"avif", b"heic", b"heix", b"heim", b"heis", b"mif1"])
def test_a_still_picture_is_no_film(brand: bytes, run: Run, tmp_path: Path):
    path = write_avif(tmp_path / "photo.avif", "red")
    path.write_bytes(path.read_bytes().replace(b"ftypavif", b"ftyp" + brand, 1))
    with pytest.raises(BadFilm, match=r"^a still picture, not a film$"):
        FilmReader(path)
    assert is_one_line_of_error(run("sound", "photo.avif", "-o", "out"), "photo.avif: not an image of a known kind")


@pytest.mark.skipif(not features.check("avif"), reason="a Pillow without AVIF")
@pytest.mark.parametrize("brand", [b"avis", b"hevc", b"msf1"])
def test_a_sequence_of_pictures_is_a_film(brand: bytes, tmp_path: Path):
    path = write_avif(tmp_path / "moving.avif", "black", "white")
    path.write_bytes(path.read_bytes().replace(b"ftypavis", b"ftyp" + brand, 1))
    assert inputs.is_film(path)
    dark, light = FilmReader(path).pictures([0.0, 0.6], 8)
    assert light.getpixel((4, 4)) > dark.getpixel((4, 4))


def test_films_of_impossible_sizes_lengths_and_work_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = telling_film(tmp_path / "film.mkv", [0.0, 1.0, 2.0], (0, 2))
    for name, value, words in (("MAX_PACKETS", 2, "more than 2"), ("MAX_SECONDS", 1.5, "shows pictures for")):
        with monkeypatch.context() as patch:
            patch.setattr(film_reader, name, value)
            with pytest.raises(BadFilm, match=words):
                FilmReader(path)
    monkeypatch.setattr(containers, "MAX_DECODED", 64 * 48)
    with pytest.raises(BadFilm, match="lie before the picture"):
        list(FilmReader(path).pictures([2.0], 16))


# --- films written


@pytest.mark.parametrize(("suffix", "codec", "ticks", "ending"), KINDS)
def test_the_packets_of_the_pictures_are_the_same(suffix: str, codec: str, ticks: int, ending: str, tmp_path: Path):
    path = telling_film(tmp_path / f"film{suffix}", evenly(0, 2, 25), (0, 2), codec, ticks=ticks)
    film, new = FilmReader(path), tmp_path / f"new{ending}"
    assert film_writer.ending(film) == ending
    film_writer.write_soundtrack(new, film, iter([0.1 * np.ones(2 * AUDIO_RATE, np.float32)]))
    before, after = packets(path), packets(new)
    assert len(before) == len(after) == 50
    for old, fresh in zip(before, after, strict=True):
        assert fresh[0] == pytest.approx(old[0], abs=2e-3)
        assert fresh[1] == old[1]
        if suffix != ".ts" or codec != "libx264":  # whose frames begin with marks, in MP4 with lengths
            assert fresh[2] == old[2]
    assert len(sound_of(new)) == pytest.approx(2 * AUDIO_RATE, abs=2048)


UNEVEN = {  # seconds
    "slides": [0, 1, 5, 9.5],
    "two slides": [0, 11],
    "a slide, then a film": [0, *np.arange(9, 11, 0.04)],
    "a film, then slides": [*np.arange(0, 2, 0.04), 5, 6, 11],
    "a recorded screen": [0, *np.cumsum(0.001 + np.random.default_rng(0).exponential(0.15, 60))],
}


@pytest.mark.parametrize("times", UNEVEN.values(), ids=UNEVEN)
@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov"])
@pytest.mark.parametrize("gop", [1, 12])
def test_pictures_that_are_shown_for_uneven_times_are_copied(
    suffix: str, gop: int, times: Sequence[float], tmp_path: Path
):
    path, new = telling_film(tmp_path / f"film{suffix}", times, (0, 0.5), gop=gop), tmp_path / "new.mp4"
    film_writer.write_soundtrack(new, FilmReader(path), iter([np.zeros(AUDIO_RATE, np.float32)]))
    assert [one[2] for one in packets(new)] == [one[2] for one in packets(path)]
    shown = [one[0] for one in packets(new)]
    assert sorted(shown) == pytest.approx([time - times[0] for time in times], abs=2e-3)


@pytest.mark.parametrize(("suffix", "ending"), [(".mp4", ".mp4"), (".mov", ".mp4")])
def test_a_film_that_is_turned_stays_turned(suffix: str, ending: str, tmp_path: Path):
    path, new = tmp_path / f"film{suffix}", tmp_path / f"new{ending}"
    with av.open(str(path), "w") as container:
        moving = picture_stream(container)
        moving.set_display_rotation(90)
        mux(container, moving, (shade(90, time) for time in evenly(0, 1)))
    film_writer.write_soundtrack(new, FilmReader(path), iter([np.zeros(AUDIO_RATE, np.float32)]))
    with av.open(str(path)) as before, av.open(str(new)) as after:
        frames = [next(container.decode(video=0)) for container in (before, after)]
    assert [frame.rotation for frame in frames] == [frames[0].rotation] * 2
    assert frames[0].rotation != 0


@pytest.mark.parametrize(
    ("codec", "pixels", "ending"),
    [("libx264", "yuv420p", ".mp4"), ("libvpx-vp9", "yuv420p", ".mp4"), ("prores", "yuv422p10le", ".mov")],
)
def test_pixels_that_are_not_square_stay_so(codec: str, pixels: str, ending: str, tmp_path: Path):
    """Of VP9 and ProRes the container alone knows."""
    path, new, kept = tmp_path / "film.mov", tmp_path / f"new{ending}", Fraction(4, 3)
    with av.open(str(path), "w", format="mov" if codec == "prores" else "mp4") as container:
        moving = picture_stream(container, codec, pix_fmt=pixels, sample_aspect_ratio=kept)
        mux(container, moving, (shade(90, time) for time in evenly(0, 1)))
    assert film_writer.ending(FilmReader(path)) == ending
    film_writer.write_soundtrack(new, FilmReader(path), iter([np.zeros(AUDIO_RATE, np.float32)]))
    with av.open(str(path)) as before, av.open(str(new)) as after:
        assert [one.streams.video[0].sample_aspect_ratio for one in (before, after)] == [kept, kept]


@pytest.mark.parametrize(("start", "seconds"), [(0.0, 1.1), (0.5, 1.1), (0.5, 1.5)])
def test_what_an_edit_list_cuts_off_stays_hidden(start: float, seconds: float, tmp_path: Path):
    """As telephones trim films. Of pictures behind the end those stay that earlier ones are decoded from."""
    path, new = telling_film(tmp_path / "film.mp4", evenly(0, 2, 25), (0, 2)), tmp_path / "new.mp4"
    content = bytearray(path.read_bytes())
    edit = content.index(b"elst") + 12  # of the pictures, the first track: milliseconds shown, ticks passed over
    ticks = int.from_bytes(content[(media := content.index(b"mdhd")) + 16 : media + 20])
    passed = int.from_bytes(content[edit + 4 : edit + 8]) + round(start * ticks)
    content[edit : edit + 8] = round(1000 * seconds).to_bytes(4) + passed.to_bytes(4)
    path.write_bytes(content)
    film = FilmReader(path)
    assert film.seconds == pytest.approx(seconds, abs=0.045)
    film_writer.write_soundtrack(new, film, iter([np.zeros(AUDIO_RATE, np.float32)]))
    before, after = shown(path), shown(new)
    assert [time for time, _ in after[: len(before)]] == pytest.approx([time for time, _ in before], abs=2e-3)
    assert [level for _, level in after[: len(before)]] == [level for _, level in before]
    assert len(after) <= len(before) + 3


def test_hevc_in_mp4_has_the_tag_that_all_players_know(tmp_path: Path):
    path, new = telling_film(tmp_path / "film.mkv", evenly(0, 1), (0, 1), "libx265"), tmp_path / "new.mp4"
    film_writer.write_soundtrack(new, FilmReader(path), iter([np.zeros(AUDIO_RATE, np.float32)]))
    with av.open(str(new)) as container:
        assert container.streams.video[0].codec_context.codec_tag == "hvc1"


def test_an_encoding_that_no_container_holds_is_said(tmp_path: Path):
    film = FilmReader(telling_film(tmp_path / "film.avi", evenly(0, 1), (0, 1), "huffyuv", ticks=25, pix_fmt="yuv422p"))
    with pytest.raises(BadFilm, match="huffyuv"):
        film_writer.write_soundtrack(tmp_path / "new.mkv", film, iter([np.zeros(AUDIO_RATE, np.float32)]))


def test_a_picture_that_is_left_out_does_not_end_the_film(tmp_path: Path):
    path, new = telling_film(tmp_path / "film.mp4", evenly(0, 2), (0, 2), max_b_frames=0), tmp_path / "new.mp4"
    content = bytearray(path.read_bytes())
    size = content.index(b"stsz") + 16 + 4 * 5  # of the sixth picture
    content[size : size + 4] = bytes(4)
    path.write_bytes(content)
    film = FilmReader(path)
    assert film.seconds == pytest.approx(2, abs=0.1)
    film_writer.write_soundtrack(new, film, iter([np.zeros(2 * AUDIO_RATE, np.float32)]))
    assert [(one[0], one[2]) for one in packets(new)] == [(one[0], one[2]) for one in packets(path)]
    assert len(packets(new)) == 19


@pytest.mark.parametrize("name", ["12:30.mp4", "100%d.mp4", "a b\u0301.mp4"])
def test_a_films_name_may_hold_anything(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    film = FilmReader(telling_film(tmp_path / "film.mp4", evenly(0, 1), (0, 1)))
    film_writer.write_soundtrack(Path(f".{name}"), film, iter([np.zeros(AUDIO_RATE, np.float32)]))
    assert len(packets(tmp_path / f".{name}")) == 10


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full disk here")
def test_a_full_disk_is_the_systems_word_of_it(tmp_path: Path):
    film = FilmReader(telling_film(tmp_path / "film.mp4", evenly(0, 1), (0, 1)))
    with pytest.raises(OSError, match="No space left") as refused:
        film_writer.write_soundtrack(Path("/dev/full"), film, iter([np.zeros(AUDIO_RATE, np.float32)]))
    assert (refused.value.errno, refused.value.filename) == (errno.ENOSPC, None)
    for kind in sound_writer.FORMATS:
        with pytest.raises(OSError, match="No space left") as refused:
            sound_writer.write(Path("/dev/full"), [Sound(noise(0, 9 * RATE), RATE)], kind)
        assert refused.value.errno == errno.ENOSPC


@pytest.mark.parametrize("seconds", [0.12, 1.0, 1.536, 1.6, 3.0, 7.7])
@pytest.mark.parametrize("rate", [7.5, 10, 23.976])
def test_a_soundtrack_is_as_long_as_the_film(seconds: float, rate: float, system: CycleSound, tmp_path: Path):
    times = [number / rate for number in range(max(round(seconds * rate), 1))]
    film = FilmReader(telling_film(tmp_path / "film.mkv", times, (0, seconds)))
    soundtrack.write(tmp_path / "new.mp4", film, noises(system), system.models, mix=False)
    assert len(sound_of(tmp_path / "new.mp4")) / AUDIO_RATE == pytest.approx(film.seconds, abs=0.05)


def test_each_window_hears_the_picture_in_the_middle_of_its_moment(system: CycleSound, tmp_path: Path):
    seen: list[float] = []
    make = noises(system)

    def watched(pictures: Sequence[Image.Image]) -> list[Sound]:
        seen.extend((np.asarray(picture).mean() - 20) / 20 for picture in pictures)
        return make(pictures)

    film = FilmReader(telling_film(tmp_path / "film.mp4", evenly(0, 8, 25), (0, 8)))
    soundtrack.write(tmp_path / "new.mp4", film, watched, system.models, mix=False)
    hop = system.seconds * (1 - soundtrack.SHARED)
    middles = [number * hop + system.seconds / 2 for number in range(len(seen))]
    assert len(seen) == 9
    assert seen[:-1] == pytest.approx(middles[:-1], abs=0.1)
    assert seen[-1] == pytest.approx((8 * hop + 8) / 2, abs=0.1)  # of the part that lies in the film


def test_the_level_of_a_films_sound_is_steady(system: CycleSound, tmp_path: Path):
    film = FilmReader(long_film(tmp_path / "film.mp4", 30))
    soundtrack.write(tmp_path / "new.mp4", film, noises(system), system.models, mix=False)
    found = levels(sound_of(tmp_path / "new.mp4")[AUDIO_RATE // 10 :], round(0.192 * AUDIO_RATE))
    assert found.max() - found.min() < 1


def test_the_original_sound_is_kept_under_the_new_one(system: CycleSound, tmp_path: Path):
    film = FilmReader(telling_film(tmp_path / "film.mp4", evenly(0, 3), (1, 3)))
    silence = Sound(np.zeros(round(system.seconds * RATE), np.float32), RATE)
    for mix in (False, True):
        soundtrack.write(tmp_path / "new.mp4", film, lambda seen: [silence] * len(seen), system.models, mix)
        wave = sound_of(tmp_path / "new.mp4")
        loudest = [
            np.abs(wave[round(a * AUDIO_RATE) : round(b * AUDIO_RATE)]).max() for a, b in ((0.1, 0.8), (1.2, 2.8))
        ]
        assert loudest[0] < 0.01
        assert loudest[1] == pytest.approx(0.25 if mix else 0, abs=0.06)  # half of the chirp's amplitude


def test_memory_does_not_grow_with_a_films_length(system: CycleSound, tmp_path: Path):
    peaks = []
    for seconds in (150, 600):
        path = long_film(tmp_path / "film.mkv", seconds)
        tracemalloc.start()
        soundtrack.write(tmp_path / "new.mp4", FilmReader(path), noises(system), system.models, mix=True)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


def soundless(path: Path) -> None:
    telling_film(path, evenly(0, 1), (0, 1))
    with av.open(str(path)) as film, av.open(str(path.with_name("silent.mp4")), "w") as written:
        stream = written.add_stream_from_template(film.streams.video[0])
        for packet in film.demux(film.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                written.mux(packet)
    path.with_name("silent.mp4").replace(path)


def of_unknown_sound(path: Path) -> None:
    content = telling_film(path, evenly(0, 1), (0, 1)).read_bytes()
    path.write_bytes(content.replace(b"mp4a", b"nope").replace(b"esds", b"free"))


@pytest.mark.parametrize("share", [0.5, 1, 2.5])  # of a clip
def test_the_film_of_a_sound_is_as_long_as_it(share: float, system: CycleSound, tmp_path: Path) -> None:
    seconds = share * system.seconds
    soundfile.write(tmp_path / "heard.wav", noise(0, round(seconds * RATE)), RATE)
    path = system.film(tmp_path / "heard.wav", tmp_path / "film")
    assert FilmReader(path).seconds == pytest.approx(seconds, abs=0.1)


# --- the command line


@pytest.mark.parametrize("write", [soundless, of_unknown_sound])
def test_that_there_is_no_sound_to_be_kept_is_said_once(
    write: Callable[[Path], None],
    run: Run,
    system: CycleSound,
    tmp_path: Path,
) -> None:
    write(tmp_path / "film.mp4")
    telling_film(tmp_path / "heard.mp4", evenly(0, 1), (0, 1))
    result = run("sound", "film.mp4", "heard.mp4", "-o", "out", "--mix", "--samples", 2)
    assert result.exit_code == 0, result.output
    assert told(result) == ["film.mp4 has no sound that can be kept"]
    assert len(files(tmp_path / "out")) == 4
    assert system.soundtrack(tmp_path / "film.mp4", tmp_path / "mixed.mp4", mix=True)
    assert system.soundtrack(tmp_path / "film.mp4", tmp_path / "alone.mp4")
    assert np.array_equal(sound_of(tmp_path / "mixed.mp4"), sound_of(tmp_path / "alone.mp4"))


def test_a_film_gets_a_soundtrack(run: Run, tmp_path: Path) -> None:
    path = telling_film(tmp_path / "film.mp4", evenly(0, 4), (0, 4))
    result = run("sound", "film.mp4", "-o", "out", "--mix", "--samples", 2)
    assert result.exit_code == 0, result.output
    assert result.stdout.split() == ["out/film.1.mp4", "out/film.2.mp4"]
    assert files(tmp_path / "out") == ["film.1.mp4", "film.2.mp4"]
    assert [one[2] for one in packets(tmp_path / "out/film.1.mp4")] == [one[2] for one in packets(path)]
    assert not np.array_equal(sound_of(tmp_path / "out/film.1.mp4"), sound_of(tmp_path / "out/film.2.mp4"))


def test_a_film_in_python_is_that_of_the_command_line(run: Run, system: CycleSound, tmp_path: Path) -> None:
    telling_film(tmp_path / "film.webm", evenly(0, 4, 25), (0, 4), "libvpx")
    assert run("sound", "film.webm", "-o", "out", "--seed", 3).stdout.split() == ["out/film.mkv"]
    assert system.soundtrack(tmp_path / "film.webm", tmp_path / "mine.mp4", seed=3) == tmp_path / "mine.mkv"
    assert np.array_equal(sound_of(tmp_path / "mine.mkv"), sound_of(tmp_path / "out/film.mkv"))


def test_a_film_that_was_not_named_is_never_replaced(system: CycleSound, tmp_path: Path) -> None:
    film = telling_film(tmp_path / "trip.mkv", evenly(0, 1), (0, 1))
    (tmp_path / "trip.mp4").write_bytes(b"mine")
    with pytest.raises(BadTarget, match=r"trip\.mp4: is there"):
        system.soundtrack(film, tmp_path / "trip.mov")
    assert (tmp_path / "trip.mp4").read_bytes() == b"mine"
    for named in ("trip.mp4", "trip"):  # now it is, also without the ending that every such film gets
        (tmp_path / "trip.mp4").write_bytes(b"mine")
        assert system.soundtrack(film, tmp_path / named) == tmp_path / "trip.mp4"
        assert (tmp_path / "trip.mp4").read_bytes() != b"mine"


@pytest.mark.parametrize("command", ["image", "sound"])
def test_other_sources_steer_films_in_python_as_on_the_command_line(
    command: str,
    run: Run,
    system: CycleSound,
    tmp_path: Path,
) -> None:
    telling_film(tmp_path / "film.mp4", evenly(0, 2), (0, 2))
    for name, frequency in (("film.flac", 440), ("other.flac", 3200)):
        sound_writer.write(tmp_path / name, [Sound(sine(0, 4 * RATE, frequency), RATE)], "flac")
    PICTURE.save(tmp_path / "other.png")
    film, name, other, make, direction = {
        "image": ("film.flac", "other.flac", inputs.sound(tmp_path / "other.flac"), system.film, "audio_to_image"),
        "sound": ("film.mp4", "other.png", PICTURE, system.soundtrack, "image_to_audio"),
    }[command]
    sampling = system.sampling[direction].model_copy(update={"guidance": 8.0})
    made = set()
    for words, how in {
        (): {},
        ("--unlike", name): {"unlike": other},
        ("--blend", name, 0.5): {"blend": (other, 0.5)},
    }.items():
        assert run(command, film, "-o", "out", "--overwrite", "--guidance", 8, *words).exit_code == 0
        make(tmp_path / film, tmp_path / "mine.mp4", sampling=sampling, **how)
        made.add(mine := (tmp_path / "mine.mp4").read_bytes())
        assert (tmp_path / "out/film.mp4").read_bytes() == mine
    assert len(made) > 1


@pytest.mark.parametrize(
    "how", [{"unlike": PICTURE}, {"blend": (PICTURE, 2.0)}, {"blend": (Sound(sine(0, 9), 9), 0.5)}]
)
def test_what_cannot_steer_a_film_is_said_and_nothing_is_written(
    how: dict[str, Any], system: CycleSound, tmp_path: Path
) -> None:
    telling_film(tmp_path / "film.mp4", evenly(0, 1), (0, 1))
    sampling = system.sampling.image_to_audio.model_copy(update={"guidance": 1.0})
    with pytest.raises(BadSteering):
        system.soundtrack(tmp_path / "film.mp4", tmp_path / "mine.mp4", sampling=sampling, **how)
    assert files(tmp_path) == ["film.mp4"]


def test_a_film_without_pictures_is_one_line_and_the_others_are_made(run: Run, tmp_path: Path) -> None:
    with av.open(str(tmp_path / "dark.mp4"), "w") as container:
        mux(container, sound_stream(container), heard(0.1 * np.ones((1, RATE))))
    (tmp_path / "cut.mp4").write_bytes(telling_film(tmp_path / "film.mp4", evenly(0, 1), (0, 1)).read_bytes()[:2000])
    result = run("sound", "dark.mp4", "cut.mp4", "film.mp4", "-o", "out")
    assert (result.exit_code, result.stdout.split()) == (1, ["out/film.mp4"])
    assert [line.partition(".mp4: ")[0] for line in told(result)] == ["error: dark", "error: cut"]
    assert files(tmp_path / "out") == ["film.mp4"]


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_an_interrupt_leaves_no_half_film(
    run: Run,
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    telling_film(tmp_path / "film.mp4", evenly(0, 8), (0, 8))
    number = getattr(signal, name, signal.SIGINT)

    def interrupted(waves: Iterator[np.ndarray], shared: int) -> Iterator[np.ndarray]:
        for place, block in enumerate(crossfaded(waves, shared)):
            if place == 3:
                signal.raise_signal(number)
            yield block

    monkeypatch.setattr(soundtrack, "crossfaded", interrupted)
    inherited = signal.getsignal(number)
    if inherited == signal.SIG_IGN:  # of SIGHUP below `nohup`, of SIGINT in the background
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    try:
        assert run("sound", "film.mp4", "-o", "out").exit_code == 128 + number
    finally:
        signal.signal(number, inherited)
    assert list((tmp_path / "out").iterdir()) == []


def by_a_link(folder: Path) -> tuple[Path, list[str]]:
    """A film in `out`, known elsewhere by a link, beside another one of its name."""
    os.symlink(folder / "out/film.mp4", folder / "link.mp4")
    shutil.copy(folder / "out/film.mp4", folder / "film.mp4")
    return folder / "out/film.mp4", ["sound", "link.mp4", "film.mp4"]


def a_link(folder: Path) -> tuple[Path, list[str]]:
    """A link in `out` to a film elsewhere."""
    (folder / "out/film.mp4").rename(folder / "far.mp4")
    os.symlink(folder / "far.mp4", folder / "out/film.mp4")
    return folder / "out/film.mp4", ["sound", "out/film.mp4"]


def of_another_source(folder: Path) -> tuple[Path, list[str]]:
    """A film in `out` whose sound steers what is made of another film of its name."""
    shutil.copy(folder / "out/film.mp4", folder / "film.mp4")
    return folder / "out/film.mp4", ["image", "film.mp4", "--blend", "out/film.mp4", "0.5"]


@pytest.mark.parametrize("case", [by_a_link, a_link, of_another_source])
def test_no_film_that_is_read_is_written_over(
    run: Run,
    case: Callable[[Path], tuple[Path, list[str]]],
    tmp_path: Path,
) -> None:
    (tmp_path / "out").mkdir()
    telling_film(tmp_path / "out/film.mp4", evenly(0, 2), (0, 2))
    kept, words = case(tmp_path)
    before = (kept.read_bytes(), kept.is_symlink())
    result = run(*words, "-o", "out")
    assert result.exit_code == 0, result.output
    assert "out/film-2.mp4" in result.stdout
    assert (kept.read_bytes(), kept.is_symlink()) == before


def test_in_python_a_film_never_takes_the_place_of_what_it_is_made_of(system: CycleSound, tmp_path: Path) -> None:
    path = telling_film(tmp_path / "film.mp4", evenly(0, 2), (0, 2))
    before = path.read_bytes()
    for make in (system.soundtrack, system.film):
        with pytest.raises(BadTarget, match="is the source itself"):
            make(path, tmp_path / "x/../film.mp4")
    assert path.read_bytes() == before
