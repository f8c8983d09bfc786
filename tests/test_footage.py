"""Films: one clock for picture and sound, pictures as players show them, the track that players choose."""

import io
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from films import (
    FORMATS,
    RATE,
    chirp,
    evenly,
    heard,
    mux,
    picture,
    picture_stream,
    shade,
    sound_stream,
    telling_film,
    time_heard,
    time_seen,
)
from PIL import Image
from shared import CASES, needs

from cycle_sound.acquisition.sources import footage, videos
from cycle_sound.acquisition.sources.clip import Pair, Rejected
from cycle_sound.acquisition.sources.footage import Film
from cycle_sound.acquisition.sources.moments import Frame
from cycle_sound.errors import BadFilm
from cycle_sound.media import containers, images, sound_files
from cycle_sound.media.film_reader import FilmReader

CLIP = 0.6  # s of sound
SHARES = (0.0, 0.2, 0.5, 0.8, 1.0)


KINDS = [  # suffix, codec, ticks a second
    *((suffix, "libx264", 1000) for suffix in (".mp4", ".mkv", ".ts", ".flv")),
    *((suffix, "mpeg2video", 25) for suffix in (".mpg", ".ts", ".mkv")),
    (".avi", "mpeg4", 25),
    (".webm", "libvpx", 1000),
]


def fetch(path: Path, moment: Any, clip: float = CLIP) -> Pair:
    return videos.cut(Film(path), moment, clip_seconds=clip, min_seconds=0.1, still_difference=0.0, lone=False)


def last(times: list[float], moment: float) -> float:
    """When the picture on show at a moment was first shown."""
    return max((time for time in times if time <= moment + 1e-6), default=times[0])


# --- time


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".ts", ".flv"])
@pytest.mark.parametrize(
    ("seen", "sounding"),
    [((0, 5), (2, 5)), ((2, 5), (0, 5)), ((0, 3), (0, 5)), ((0, 5), (0, 3)), ((0, 4), (1.5, 6)), ((1, 4), (1, 4))],
)
def test_picture_and_sound_are_of_one_time_wherever_their_streams_begin_and_end(
    suffix: str, seen: tuple[float, float], sounding: tuple[float, float], tmp_path: Path
):
    times = evenly(*seen)
    path = telling_film(tmp_path / f"film{suffix}", times, sounding)
    start, end = max(seen[0], sounding[0]), min(seen[1], sounding[1])
    for share in SHARES:
        moment = start + share * (end - start)
        pair = fetch(path, share)
        assert time_seen(pair) == pytest.approx(last(times, moment), abs=0.21)
        middle = min(max(moment, start + CLIP / 2), end - CLIP / 2)
        assert time_heard(pair) == pytest.approx(middle, abs=0.11)


def test_a_frame_without_sound_is_rejected_as_such(tmp_path: Path):
    path = telling_film(tmp_path / "film.mp4", evenly(0, 5), (3, 5))
    for number in (0, 15, 25):
        with pytest.raises(Rejected, match=f"frame {number} is shown at {number / 10}") as rejected:
            fetch(path, Frame(number))
        assert rejected.value.status == "no_audio"
    assert time_seen(fetch(path, Frame(40))) == pytest.approx(4, abs=0.05)
    assert time_heard(fetch(path, Frame(40))) == pytest.approx(4, abs=0.05)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_streams_that_never_meet_have_no_moment(suffix: str, tmp_path: Path):
    path = telling_film(tmp_path / f"film{suffix}", evenly(0, 2), (3, 5))
    with pytest.raises(Rejected, match="no moment with both"):
        fetch(path, 0.5)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_of_slides_the_last_one_shown_is_taken_and_not_the_nearest(suffix: str, tmp_path: Path):
    times = [0.0, 1.0, 5.0, 9.5]
    path = telling_film(tmp_path / f"slides{suffix}", times, (0, 10))
    with Film(path).opened(lone=False) as film:
        for moment in (0.0, 0.9, 1.0, 3.11, 4.99, 5.0, 9.4, 9.5):
            level = images.to_array(film.picture(moment), 8).mean()
            assert (level - 20) / 20 == pytest.approx(last(times, moment), abs=0.1)
    for number, time in enumerate(times):
        assert time_seen(fetch(path, Frame(number))) == pytest.approx(time, abs=0.1)


@pytest.mark.parametrize(("suffix", "codec", "ticks"), KINDS)
@pytest.mark.parametrize("gop", [1, 12, 300])
def test_every_moment_has_its_frame_however_far_apart_the_key_frames_are(
    suffix: str, codec: str, ticks: int, gop: int, tmp_path: Path
):
    times = evenly(0, 6, 25)
    path = telling_film(tmp_path / f"film{suffix}", times, (0, 6), codec, gop, ticks)
    for share in (0.05, 0.3, 0.77, 0.95):
        pair = fetch(path, share)
        assert time_seen(pair) == pytest.approx(6 * share, abs=0.15)
        assert time_heard(pair) == pytest.approx(min(max(6 * share, 0.3), 5.7), abs=0.15)


@pytest.mark.parametrize(
    ("suffix", "codec", "options"),
    [
        *((suffix, codec, {"bf": "2"}) for suffix in (".mpg", ".mkv") for codec in ("mpeg1video", "mpeg2video")),
        (".ts", "mpeg2video", {"bf": "2"}),
        (".avi", "mpeg4", {"bf": "2"}),
        *((suffix, "libx264", {"bf": "3"}) for suffix in (".mp4", ".mkv", ".ts", ".flv")),
        *((suffix, "libx264", {"intra-refresh": "1", "bf": "0"}) for suffix in (".mp4", ".mkv", ".ts")),
    ],
)
def test_of_pictures_that_others_are_made_of_each_is_the_one_asked_for(
    suffix: str, codec: str, options: dict[str, str], tmp_path: Path
):
    path, noise = tmp_path / f"film{suffix}", np.random.default_rng(0).integers(0, 40, (240, 352, 3), np.uint8)
    with av.open(str(path), "w", format=FORMATS.get(suffix)) as container:
        moving = picture_stream(container, codec, 25, 25, width=352, height=240)
        sound = sound_stream(container, "mp2" if suffix == ".mpg" else "aac")
        moving.options = {"qmin": "1", "qmax": "2", **options}
        mux(container, moving, (picture(noise + np.uint8(20 + 3 * i), i / 25, 25) for i in range(60)))
        mux(container, sound, chirp(0, 2.4))
    with Film(path).opened(lone=False) as film:
        seen = [(np.asarray(film.picture(film.time(Frame(i)))).mean() - 39.5) / 3 for i in range(60)]
    assert np.rint(seen).tolist() == list(range(60))


@pytest.mark.parametrize(
    ("suffix", "codec", "words"),
    [
        (".avi", "libx264", "AVI does not say when pictures of h264 with B-frames are shown"),
        (".mpg", "libx264", "holds pictures that no time is given for"),
    ],
)
def test_a_film_that_does_not_say_when_its_pictures_are_shown_is_refused_in_words(
    suffix: str, codec: str, words: str, tmp_path: Path
):
    path = telling_film(tmp_path / f"film{suffix}", evenly(0, 2, 25), (0, 2), codec, ticks=25, max_b_frames=2)
    for moment in (0.5, Frame(20)):
        with pytest.raises(Rejected, match=words) as rejected:
            fetch(path, moment)
        assert rejected.value.status == "corrupt"
    with pytest.raises(BadFilm, match=words):
        FilmReader(path)


@pytest.mark.parametrize(("suffix", "codec", "ticks"), KINDS)
@pytest.mark.parametrize("kept", [1.0, 0.6])
def test_moments_of_one_film_are_those_of_each_alone_and_it_is_looked_through_once(
    suffix: str, codec: str, ticks: int, kept: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = telling_film(tmp_path / f"film{suffix}", evenly(0, 4, 25), (0, 4), codec, ticks=ticks)
    path.write_bytes(path.read_bytes()[: round(kept * path.stat().st_size)])
    moments = (0.1, Frame(30), 0.9, Frame(1000), 0.4, 0.1)
    alone = [outcome(Film(path), moment) for moment in moments]
    looks = []
    monkeypatch.setattr(footage, "_index", lambda *words, index=footage._index: looks.append(1) or index(*words))
    for film in (Film(path), Film(path.read_bytes())):
        assert [outcome(film, moment) for moment in moments] == alone
    is_film = any(isinstance(one, Pair) for one in alone)
    assert is_film or suffix == ".mp4"  # of which the end tells where everything is
    assert not is_film or len(looks) == 2


def outcome(film: Film, moment: Any) -> Pair | str:
    try:
        return videos.cut(film, moment, clip_seconds=CLIP, min_seconds=0.1, still_difference=0.0, lone=False)
    except (Rejected, av.FFmpegError) as error:
        return getattr(error, "strerror", None) or str(error)


def test_a_film_that_is_cut_off_gives_the_moments_that_are_left(tmp_path: Path):
    path = telling_film(tmp_path / "film.ts", evenly(0, 6), (0, 6))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    for share in SHARES:
        pair = fetch(path, share, 0.4)
        assert abs(time_seen(pair) - time_heard(pair)) < 0.4
    assert 2 < time_seen(fetch(path, 1.0)) < 4


def test_a_gap_in_the_sound_is_silence_and_nothing_moves_into_it(tmp_path: Path):
    path = tmp_path / "gap.mkv"
    with av.open(str(path), "w") as container:
        moving, sound = picture_stream(container), sound_stream(container, "pcm_s16le")
        mux(container, moving, (picture(np.zeros((48, 64, 3), np.uint8), time) for time in evenly(0, 6)))
        mux(container, sound, [*chirp(0, 2), *chirp(4, 6)])
    assert time_heard(fetch(path, 5 / 6)) == pytest.approx(5, abs=0.1)
    wave, rate = sound_files.decode(fetch(path, 2 / 6, 1.0).sound)
    assert np.abs(wave[: rate // 3]).max() > 0.4
    assert np.abs(wave[rate * 2 // 3 :]).max() < 0.05
    with pytest.raises(Rejected, match=r"0\.000 s of sound") as rejected:
        fetch(path, 3 / 6)
    assert rejected.value.status == "no_audio"


@pytest.mark.parametrize(
    ("suffix", "codec", "sound_codec"),
    [
        *((suffix, "libx264", "aac") for suffix in (".mp4", ".mov", ".mkv", ".ts", ".flv")),
        (".mkv", "libx264", "pcm_s16le"),
        (".webm", "libvpx", "libopus"),
        (".ts", "mpeg2video", "mp2"),
    ],
)
@pytest.mark.parametrize("period", [3, 10])  # packets, of which the last is lost
def test_small_gaps_in_the_sound_add_up_in_pairs_as_in_soundtracks(
    suffix: str, codec: str, sound_codec: str, period: int, tmp_path: Path
):
    path, wave = tmp_path / f"film{suffix}", 0.01 * np.sin(np.arange(10 * RATE) / 20)
    wave[8 * RATE : 8 * RATE + 300] = 0.9  # a click
    with av.open(str(path), "w", format=FORMATS.get(suffix)) as container:
        moving, sound = picture_stream(container, codec, ticks=25), sound_stream(container, sound_codec)
        mux(container, moving, (shade(90, time, 25) for time in evenly(0, 10)))
        packets = [packet for frame in (*heard(wave[None]), None) for packet in sound.encode(frame)]
        for number, packet in enumerate(packets):
            if number % period < period - 1 or abs(packet.pts * packet.time_base - 8) < 0.3:
                container.mux(packet)
    with Film(path).opened(lone=False) as film:
        paired, rate = film.sound(film.time(0.0), 9.5, 1.0)
    played = np.concatenate(list(FilmReader(path).sound(RATE)))
    assert np.abs(paired).argmax() / rate == pytest.approx(8, abs=0.1)
    assert np.abs(played).argmax() / RATE == pytest.approx(8, abs=0.1)


def test_a_recording_behind_another_one_is_left_alone(tmp_path: Path):
    parts = [
        telling_film(tmp_path / "one.ts", evenly(0, 4), (0, 4)),
        telling_film(tmp_path / "two.ts", evenly(0, 3), (0, 3)),
    ]
    (tmp_path / "both.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    for share in SHARES:
        pair = fetch(tmp_path / "both.ts", share)
        assert abs(time_seen(pair) - time_heard(pair)) < 0.4


# --- geometry


def quarters() -> np.ndarray:
    """A picture whose quarters are black, red, green and blue: (48, 64, 3)."""
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[:24, 32:, 0] = pixels[24:, :32, 1] = pixels[24:, 32:, 2] = 250
    return pixels


def shown(path: Path, prepare: Callable[[Any], None]) -> Image.Image:
    """The picture of a film whose stream was prepared."""
    with av.open(str(path), "w") as container:
        moving, sound = picture_stream(container), sound_stream(container)
        prepare(moving)
        mux(container, moving, (picture(quarters(), time) for time in evenly(0, 2)))
        mux(container, sound, chirp(0, 2))
    return images.open_picture(fetch(path, 0.5).picture)


def likest(found: Image.Image) -> list[int]:
    """Which colour each quarter has: 0 black, 1 red, 2 green, 3 blue."""
    pixels = np.asarray(found.resize((2, 2), Image.Resampling.BOX)).astype(int).reshape(4, 3)
    return [int(pixel.argmax()) + 1 if pixel.max() > 120 else 0 for pixel in pixels]


@pytest.mark.parametrize("vflip", [False, True])
@pytest.mark.parametrize("hflip", [False, True])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_a_picture_is_turned_and_mirrored_as_players_do(
    suffix: str, degrees: int, hflip: bool, vflip: bool, tmp_path: Path
):
    found = shown(
        tmp_path / f"film{suffix}", lambda stream: stream.set_display_rotation(degrees, hflip=hflip, vflip=vflip)
    )
    wanted = np.rot90(np.arange(4).reshape(2, 2), degrees // 90)
    wanted = wanted[:: -1 if vflip else 1, :: -1 if hflip else 1]
    assert likest(found) == wanted.ravel().tolist()
    assert found.size == ((48, 64) if degrees % 180 else (64, 48))


def test_a_film_that_is_too_wide_for_a_jpeg_as_it_is_shown_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(images, "MAX_SIDE", 100)
    with pytest.raises(Rejected, match="128 x 48"):
        shown(tmp_path / "film.mp4", lambda stream: setattr(stream.codec_context, "sample_aspect_ratio", Fraction(2)))


@pytest.mark.parametrize("error", [IndexError("list index out of range"), av.InvalidDataError(1, "broken")], ids=repr)
def test_packets_end_where_pyav_fails_over_the_rest(error: Exception):
    class Container:
        def demux(self) -> Iterator[int]:
            yield from (1, 2)
            raise error

    assert list(containers.packets(Container())) == [1, 2]


@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_a_film_that_leads_before_its_start_is_ffmpegs_error(kind: str, tmp_path: Path):
    (tmp_path / "film").write_bytes(b"film")
    with (tmp_path / "film").open("rb") if kind == "disk" else io.BytesIO(b"film") as file:
        sought = containers.Sought(file)
        assert sought.seek(2, 0) == 2
        assert all(sought.seek(place, 0) < 0 for place in (-1, -(1 << 62)))
        assert sought.tell() == 2


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".mov"])
@pytest.mark.parametrize("aspect", [Fraction(4, 3), Fraction(3, 4), Fraction(16, 11), Fraction(1), Fraction(1, 99)])
def test_pixels_that_are_not_square_are_made_so(suffix: str, aspect: Fraction, tmp_path: Path):
    found = shown(
        tmp_path / f"film{suffix}", lambda stream: setattr(stream.codec_context, "sample_aspect_ratio", aspect)
    )
    assert found.size == (64 if aspect == Fraction(1, 99) else round(64 * aspect), 48)


# --- tracks


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
@pytest.mark.parametrize("default", [0, 1, 2])
def test_the_default_track_is_heard(suffix: str, default: int, tmp_path: Path):
    path = tmp_path / f"film{suffix}"
    with av.open(str(path), "w") as container:
        moving = picture_stream(container)
        sounds = [sound_stream(container) for _ in range(3)]
        for number, sound in enumerate(sounds):
            sound.disposition = av.stream.Disposition.default if number == default else 0
        mux(container, moving, (picture(quarters(), time) for time in evenly(0, 2)))
        for number, sound in enumerate(sounds):
            mux(container, sound, chirp(0, 2) if number == default else heard(np.zeros((1, 32000))))
    assert time_heard(fetch(path, 0.5)) == pytest.approx(1, abs=0.05)


def test_channels_in_opposite_phase_are_heard(tmp_path: Path):
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(32000) / 16000)
    with av.open(str(tmp_path / "film.mkv"), "w") as container:
        moving, sound = picture_stream(container), sound_stream(container, "flac", "stereo")
        mux(container, moving, (picture(quarters(), time) for time in evenly(0, 2)))
        mux(container, sound, heard(np.stack([tone, -tone])))
    assert sound_files.level_db(sound_files.decode(fetch(tmp_path / "film.mkv", 0.5).sound)[0]) > -12


# --- bounds


def test_a_film_that_takes_too_much_work_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = telling_film(tmp_path / "film.mp4", evenly(0, 4), (0, 4), gop=100)
    monkeypatch.setattr(containers, "MAX_DECODED", 20 * 64 * 48)
    with pytest.raises(Rejected, match="pixels lie between its key frames"):
        fetch(path, 0.9)
    monkeypatch.setattr(footage, "MAX_PACKETS", 30)
    with pytest.raises(Rejected, match="more than 30 packets"):
        fetch(path, 0.1)


# --- the inputs from the field


@needs(CASES)
def test_late_sound_pairs_with_its_own_pictures_or_none():
    path = CASES / "late_a_8000aac.mp4"  # 25 pictures a second, and sound from 3.6 s on
    for moment in (*SHARES, *map(Frame, range(100, 250, 20))):
        pair = fetch(path, moment)
        assert abs(time_seen(pair) - time_heard(pair)) < CLIP
    for number in range(0, 80, 20):
        with pytest.raises(Rejected, match="sound is heard from 3") as rejected:
            fetch(path, Frame(number))
        assert rejected.value.status == "no_audio"


@needs(CASES)
def test_the_slide_of_one_second_is_still_on_show_at_three():
    with Film(CASES / "slides_vfr.mkv").opened(lone=False) as film:
        assert (images.to_array(film.picture(3.11), 8).mean() - 20) / 20 == pytest.approx(1, abs=0.2)
    assert time_seen(fetch(CASES / "slides_vfr.mkv", 0.311)) == pytest.approx(1, abs=0.2)


@needs(CASES)
def test_key_frames_ten_seconds_apart():
    for share in np.linspace(0, 1, 9):
        pair = fetch(CASES / "gop_10s.ts", float(share))
        assert abs(time_seen(pair) - time_heard(pair)) < CLIP


@needs(CASES)
def test_an_anamorphic_film_is_wide():
    width, height = images.open_picture(fetch(CASES / "anamorphic.mp4", 0.5).picture).size
    assert width / height == pytest.approx(1.78, abs=0.04)


@needs(CASES)
def test_the_second_track_is_the_default():
    pair = fetch(CASES / "second_track_default.mp4", 0.5)
    assert sound_files.level_db(sound_files.decode(pair.sound)[0]) > -30


@needs(CASES)
def test_a_title_in_latin_1_is_no_fault():
    videos.check(CASES / "faults/tag_not_utf8.webm")
    with pytest.raises(Rejected, match="holds no audio stream"):
        fetch(CASES / "faults/tag_not_utf8.webm", 0.5)


@pytest.mark.parametrize(("size", "space"), [((1280, 720), 1), ((720, 576), 5)])  # BT.709, BT.601
def test_a_film_that_does_not_name_its_colours_has_those_of_its_size(
    size: tuple[int, int], space: int, tmp_path: Path
) -> None:
    pixels = np.full((size[1], size[0], 3), (30, 160, 60), np.uint8)
    shown = []
    for said in (space, 2):  # and unspecified
        with av.open(str(tmp_path / f"{said}.mp4"), "w") as container:
            stream = picture_stream(container, colorspace=said)
            stream.width, stream.height = size
            mux(
                container,
                stream,
                [picture(pixels, time).reformat(format="yuv420p", dst_colorspace=space) for time in (0, 1)],
            )
        ((found, *_),) = [list(FilmReader(tmp_path / f"{said}.mp4").pictures([0.0], 16))]
        shown.append(np.asarray(found))
    assert np.abs(shown[0].astype(int) - shown[1]).max() <= 3


COLOURS = {"YCgCo": 8, "BT.2020, constant luminance": 10, "constant luminance": 13, "ICtCp": 14}  # numbers in FFmpeg


@pytest.mark.parametrize("space", COLOURS.values(), ids=COLOURS)
def test_a_film_in_colours_that_ffmpeg_does_not_convert_is_refused_in_words(space: int, tmp_path: Path) -> None:
    path = telling_film(tmp_path / "film.mp4", evenly(0, 1), (0, 1), colorspace=space)
    with pytest.raises(Rejected, match="the colours of its pictures"):
        fetch(path, 0.5)
    with pytest.raises(BadFilm, match="the colours of its pictures"):
        list(FilmReader(path).pictures([0.0], 16))
