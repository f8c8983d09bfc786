"""Sounds read a block at a time are those read whole; films of them are written a picture at a time."""

import io
import struct
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from films import evenly, heard, mux, sound_stream, telling_film
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from cycle_sound.app import inputs
from cycle_sound.errors import BadSound
from cycle_sound.media import contact_sheet, containers, film_writer, sound_files, sound_reader, sound_writer
from cycle_sound.media.blocks import resampled, windows
from cycle_sound.media.contact_sheet import Thumbnails
from cycle_sound.media.sounds import Sound

RATE = 16000


def tone(seconds: float, rate: int = RATE, channels: int = 1) -> np.ndarray:
    """(samples, channels): a chirp, in the first channel loudest."""
    times = np.arange(round(seconds * rate)) / rate
    return np.stack([0.5 / (1 + i) * np.sin((2000 + 300 * times) * times) for i in range(channels)], axis=1)


def in_blocks(wave: np.ndarray, rate: int, size: int) -> Iterator[Sound]:
    return (Sound(wave[start : start + size], rate) for start in range(0, len(wave), size))


def whole(blocks: Iterator[Sound]) -> tuple[np.ndarray, int]:
    found = list(blocks)
    return np.concatenate([block.waveform for block in found]), found[0].sample_rate


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg", "mp3", "aiff"])
@pytest.mark.parametrize(("rate", "channels", "seconds"), [(16000, 1, 3.0), (44100, 2, 30.0), (48000, 6, 10.0)])
def test_blocks_are_the_whole(kind: str, rate: int, channels: int, seconds: float, tmp_path: Path):
    path, channels = tmp_path / f"x.{kind}", min(channels, 2) if kind == "mp3" else channels
    soundfile.write(path, tone(seconds, rate, channels), rate)
    wave, found = whole(sound_reader.blocks(path))
    wanted, expected = sound_files.decode(path.read_bytes())
    assert found == expected
    assert np.array_equal(wave, wanted)
    assert sound_reader.seconds(path) == pytest.approx(seconds, abs=0.1)


@pytest.mark.parametrize("kind", sound_writer.FORMATS)
@pytest.mark.parametrize("rate", [16000, 22000])
def test_a_sound_written_in_blocks_is_the_one_written_whole(kind: sound_writer.Format, rate: int, tmp_path: Path):
    wave = 1.5 * tone(5.0, rate)[:, 0].astype(np.float32)  # beyond full scale
    sound_writer.write(tmp_path / "x", in_blocks(wave, rate, 7000), kind)
    found, wanted = (
        sound_files.decode(content)
        for content in ((tmp_path / "x").read_bytes(), sound_writer.encoded(Sound(wave, rate), kind))
    )
    assert found[1] == wanted[1]
    assert found[0].shape == wanted[0].shape
    assert np.allclose(found[0], wanted[0], atol=1e-3)


@pytest.mark.parametrize("suffix", [".m4a", ".mp4", ".mkv", ".aac"])
def test_blocks_of_what_ffmpeg_decodes_are_the_whole(suffix: str, tmp_path: Path):
    path = tmp_path / f"x{suffix}"
    with av.open(str(path), "w", format={".m4a": "mp4", ".aac": "adts"}.get(suffix)) as container:
        mux(container, sound_stream(container), heard(tone(40.0).T))
    assert np.array_equal(whole(sound_reader.blocks(path))[0], sound_files.decode(path.read_bytes())[0])
    assert sound_reader.seconds(path) == pytest.approx(40, abs=0.2)


@pytest.mark.parametrize("suffix", containers.ENDINGS)
def test_the_sound_of_a_film_is_a_sound_to_every_command(suffix: str, tmp_path: Path):
    codec = {".avi": "mpeg4", ".webm": "libvpx", ".ogv": "libvpx"}.get(suffix, "libx264")
    codec = "mpeg2video" if suffix in (".mpg", ".mpeg") else codec
    path = telling_film(tmp_path / f"film{suffix}", evenly(0, 2, 25), (0, 2), codec, ticks=25)
    read = inputs.sound(path)
    for wave, rate in (whole(sound_reader.blocks(path)), (read.waveform, read.sample_rate)):
        assert len(wave) / rate == pytest.approx(2, abs=0.15)  # with what AAC puts before it
        assert sound_files.level_db(wave) == pytest.approx(-9, abs=0.5)


@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_of_a_wav_file_that_was_never_closed_or_cut_off_all_is_read(kept: float, tmp_path: Path):
    file = io.BytesIO()
    soundfile.write(file, tone(3.0), RATE, format="WAV")
    content = bytearray(file.getvalue())
    (tmp_path / "cut.wav").write_bytes(content[: round(kept * len(content))])
    content[40:44] = bytes(4)  # the length of its samples
    (tmp_path / "open.wav").write_bytes(content)
    for name in ("cut.wav", "open.wav"):
        wave, _ = whole(sound_reader.blocks(tmp_path / name))
        assert np.array_equal(wave, sound_files.decode((tmp_path / name).read_bytes())[0])
        assert len(wave) / RATE == pytest.approx(3.0 if name == "open.wav" else 3 * kept, abs=0.05)


SUBTYPES = [
    *(("WAV", "PCM_16"), ("WAV", "PCM_U8"), ("WAVEX", "PCM_24"), ("WAV", "FLOAT"), ("RF64", "PCM_16")),
    *(("AIFF", "PCM_16"), ("AIFF", "PCM_24"), ("AIFF", "FLOAT")),  # the last one is AIFC
]


@pytest.mark.parametrize("seconds", [0.0, 0.02, 1.0, 2.8])
@pytest.mark.parametrize(("kind", "subtype"), SUBTYPES)
def test_a_wav_file_that_counts_fewer_samples_than_it_holds_is_heard_to_its_end(
    kind: str, subtype: str, seconds: float, tmp_path: Path
):
    file = io.BytesIO()
    soundfile.write(file, tone(3.0), RATE, format=kind, subtype=subtype)
    content = bytearray(file.getvalue())
    wanted, _ = sound_files.decode(bytes(content))
    data, counted = content.index(b"SSND" if kind == "AIFF" else b"data") + 4, round(seconds * (len(content) - 100) / 3)
    if kind == "AIFF":
        struct.pack_into(">I", content, data, 8 + counted // 12 * 12)
        struct.pack_into(">I", content, content.index(b"COMM") + 10, 0)  # frames, as of a writer that was killed
        struct.pack_into(">I", content, 4, 0)
    elif kind == "RF64":
        struct.pack_into("<Q", content, content.index(b"ds64") + 16, counted // 4 * 4)
    else:
        struct.pack_into("<I", content, data, counted // 12 * 12)
    (tmp_path / "x.wav").write_bytes(content)
    for wave in (sound_files.decode(bytes(content))[0], whole(sound_reader.blocks(tmp_path / "x.wav"))[0]):
        assert np.array_equal(wave, wanted)
    assert np.array_equal(sound_files.decode(bytes(content), 2.95)[0], wanted[: round(2.95 * RATE)])
    assert sound_reader.seconds(tmp_path / "x.wav") == pytest.approx(3, abs=0.01)


LEADING_ASTRAY = {  # a name, how far behind it something is changed, and what makes decoders go where there is no place
    "CAF": (b"data", 4, struct.pack(">q", 2 * RATE + 4)),
    "AIFF": (b"SSND", 0, b"\0"),
    "W64": (b"data", 16, struct.pack("<q", -1000)),
}


@pytest.mark.parametrize("kind", LEADING_ASTRAY)
def test_a_file_that_leads_before_its_start_prints_nothing(
    kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    file, (name, behind, other) = io.BytesIO(), LEADING_ASTRAY[kind]
    soundfile.write(file, tone(8.0), RATE, format=kind, subtype="PCM_16")
    content = bytearray(file.getvalue())
    place = content.index(name) + behind
    content[place : place + len(other)] = other
    (tmp_path / "x").write_bytes(content)
    with suppress(BadSound):
        whole(sound_reader.blocks(tmp_path / "x"))
    with suppress(BadSound):
        sound_reader.seconds(tmp_path / "x")
    with suppress(BadSound):
        sound_files.decode(bytes(content))
    assert "".join(capfd.readouterr()) == ""


BEHIND = {  # of a sound of a second; each more than a tenth of one
    "a chunk": b"note" + struct.pack("<I", 20_000) + b"~" * 20_000,
    "a chunk that is cut off": b"LIST" + struct.pack("<I", 40_000) + b"~" * 20_000,
    "a chunk behind a sector of zeros": bytes(512) + b"note" + struct.pack("<I", 20_000) + b"~" * 20_000,
    "an ID3 tag": b"ID3\3\0\0\0\1\0\0" + b"~" * 20_000,
    "an APE tag": b"APETAGEX" + b"~" * 20_000,
    "another file": b"RIFF" + struct.pack("<I", 20_000) + b"~" * 20_000,
}


@pytest.mark.parametrize("behind", BEHIND.values(), ids=BEHIND)
@pytest.mark.parametrize(("kind", "subtype"), SUBTYPES)
@pytest.mark.parametrize("samples", [RATE, RATE + 1])
def test_what_lies_behind_the_samples_counted_is_no_noise(
    samples: int, kind: str, subtype: str, behind: bytes, tmp_path: Path
):
    file = io.BytesIO()
    soundfile.write(file, tone(2.0)[:samples], RATE, format=kind, subtype=subtype)
    for size in (20_000, 40_000) if kind == "AIFF" else ():
        behind = behind.replace(struct.pack("<I", size), struct.pack(">I", size))
    content = file.getvalue() + behind
    (tmp_path / "x.wav").write_bytes(content)
    for wave in (sound_files.decode(content)[0], whole(sound_reader.blocks(tmp_path / "x.wav"))[0]):
        assert len(wave) == samples
    assert sound_reader.seconds(tmp_path / "x.wav") == samples / RATE


@pytest.mark.parametrize("codec", ["pcm_s16le", "pcm_s24le", "adpcm_ima_wav", "adpcm_yamaha"])  # the last: FFmpeg alone
@pytest.mark.parametrize(
    ("chunk", "size"), [(b"id3 ", 300_001), (b"_PMX", 40_000), (b"LIST", 40_000), (b"junk", 99_999)]
)
def test_what_lies_behind_the_sound_of_a_wav_file_is_not_heard(codec: str, chunk: bytes, size: int, tmp_path: Path):
    with av.open(str(tmp_path / "plain.wav"), "w") as container:
        mux(container, sound_stream(container, codec), heard(tone(3.0).T))
    plain, tag = whole(sound_reader.blocks(tmp_path / "plain.wav"))[0], np.random.default_rng(0).bytes(size)
    content = bytearray((tmp_path / "plain.wav").read_bytes())
    content += chunk + struct.pack("<I", size) + tag + bytes(size % 2)
    content[4:8] = struct.pack("<I", len(content) - 8)
    (tmp_path / "tagged.wav").write_bytes(content)
    wave, _ = whole(sound_reader.blocks(tmp_path / "tagged.wav"))
    assert np.array_equal(wave, plain)
    assert np.array_equal(wave, sound_files.decode(bytes(content))[0])
    assert sound_reader.seconds(tmp_path / "tagged.wav") == pytest.approx(len(plain) / RATE, abs=0.1)


@pytest.mark.parametrize(
    ("content", "words"), [(b"", "empty file"), (b"%PDF-1.4\n" * 500, "cannot be decoded"), (bytes(4000), "cannot be")]
)
def test_what_is_no_sound_is_refused(content: bytes, words: str, tmp_path: Path):
    (tmp_path / "x.wav").write_bytes(content)
    for read in (sound_reader.seconds, lambda path: list(sound_reader.blocks(path))):
        with pytest.raises(BadSound, match=words):
            read(tmp_path / "x.wav")


def test_sounds_that_are_not_finite_or_too_long_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    soundfile.write(tmp_path / "x.wav", np.array([0.1, np.nan, 0.1]), RATE, subtype="FLOAT")
    with pytest.raises(BadSound, match="NaN"):
        list(sound_reader.blocks(tmp_path / "x.wav"))
    soundfile.write(tmp_path / "long.wav", tone(3.0), RATE)
    monkeypatch.setattr(sound_reader, "MAX_SECONDS", 2.0)
    for read in (sound_reader.seconds, lambda path: list(sound_reader.blocks(path))):  # the first before any work
        with pytest.raises(BadSound, match="more than 2 s"):
            read(tmp_path / "long.wav")


@given(
    samples=st.integers(1, 100_000),
    size=st.integers(500, 40_000),
    rate=st.sampled_from([8000, 11025, 44100]),
    seconds=st.floats(0.2, 2.0),
)
@example(samples=23_042, size=500, rate=11_025, seconds=0.46)  # a window begins halfway between two samples
@settings(deadline=None)
def test_windows_of_blocks_are_those_of_the_whole(samples: int, size: int, rate: int, seconds: float):
    wave = np.arange(samples, dtype=np.float32)
    wanted = list(windows([Sound(wave, rate)], seconds))
    found = list(windows(in_blocks(wave, rate, size), seconds))
    assert len(found) == len(wanted)
    assert all(
        one.sample_rate == rate and np.array_equal(one.waveform, other.waveform)
        for one, other in zip(found, wanted, strict=True)
    )


@pytest.mark.parametrize(("rate_from", "rate_to"), [(16000, 48000), (44100, 48000), (48000, 16000), (8000, 8000)])
@pytest.mark.parametrize("size", [100, 4096, 100_000])
def test_resampling_in_blocks_leaves_no_seams(rate_from: int, rate_to: int, size: int):
    wave = tone(2.0, rate_from)[:, 0].astype(np.float32)
    parts = (wave[start : start + size] for start in range(0, len(wave), size))
    found = np.concatenate(list(resampled(parts, rate_from, rate_to)))
    wanted = sound_files.resample(wave, rate_from, rate_to)
    assert abs(len(found) - len(wanted)) <= 1
    assert np.abs(found[: len(wanted)] - wanted[: len(found)]).max() < 1e-5


@pytest.mark.parametrize("seconds", [2.2, 3.0, 3.04])
def test_a_film_shows_each_picture_while_its_window_is_heard(seconds: float, tmp_path: Path):
    pictures = [Image.new("RGB", (64, 64), (60 * number, 0, 0)) for number in range(3)]
    wave = tone(seconds)[:, 0].astype(np.float32)
    film_writer.write_film(tmp_path / "film.mp4", iter(pictures), 1.0, in_blocks(wave, RATE, 5000))
    with av.open(str(tmp_path / "film.mp4")) as film:
        shown = [frame.to_ndarray(format="rgb24")[:, :, 0].mean() for frame in film.decode(video=0)]
        film.seek(0)
        sound = np.concatenate([frame.to_ndarray()[0] for frame in film.decode(audio=0)])
    assert len(shown) == round(min(seconds, 3.0) * 10)
    assert [round(level / 60) for level in shown] == [number // 10 for number in range(len(shown))]
    assert len(sound) / film_writer.AUDIO_RATE == pytest.approx(seconds, abs=0.03)


def test_a_sheet_of_many_pictures_shows_evenly_spaced_ones(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(contact_sheet, "MOST", 8)
    for count, shown, step in ((8, 8, 1), (9, 5, 2), (17, 5, 4), (100, 7, 16)):
        sheet = Thumbnails()
        pictures = [Image.new("RGB", (64, 64), (number, 0, 0)) for number in range(count)]
        assert list(sheet.noted(iter(pictures))) == pictures
        wanted = contact_sheet.contact_sheet(pictures[::step], 2.0 * step)
        assert len(pictures[::step]) == shown
        assert sheet.drawn(2.0).tobytes() == wanted.tobytes()


def test_memory_does_not_grow_with_a_sounds_length(tmp_path: Path):
    peaks = []
    for seconds in (200, 800):
        soundfile.write(tmp_path / "x.flac", tone(seconds)[:, 0], RATE)
        blocks = (sound_reader.blocks(tmp_path / "x.flac") for _ in range(2))
        tracemalloc.start()
        pictures = (Image.new("RGB", (64, 64)) for _ in windows(next(blocks), 1.5))
        film_writer.write_film(tmp_path / "film.mp4", pictures, 1.5, next(blocks))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]
