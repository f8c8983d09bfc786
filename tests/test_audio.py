"""Sound files ⇄ waveforms ⇄ log-mels."""

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import librosa
import numpy as np
import pytest
import soundfile
from librosa import mel_frequencies
from shared import CASES, needs

from cycle_sound.errors import BadSound
from cycle_sound.media import mel, sound_files, sound_reader, sound_writer
from cycle_sound.media.sound_writer import Format
from cycle_sound.media.sounds import Sound
from cycle_sound.params import AudioConfig

RATE = 16000
AUDIO = AudioConfig(
    sample_rate=RATE,
    fft=1024,
    hop_length=384,
    mels=64,
    fmin=40.0,
    min_db=-60.0,
    max_db=30.0,
)


def sine(frequency: float, seconds: float = 1.536, rate: int = RATE) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def encoded(samples: np.ndarray, rate: int, **options: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, **options)
    return file.getvalue()


def pitch(waveform: np.ndarray) -> float:
    """Frequency of the strongest partial, in Hz."""
    spectrum = np.abs(np.fft.rfft((waveform - waveform.mean()) * np.hanning(len(waveform))))
    return float(spectrum.argmax() * RATE / len(waveform))


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3"])
def test_every_kind_is_decoded_to_mono(kind: str):
    content = encoded(np.stack([sine(440), sine(440), np.zeros(24576, np.float32)], 1)[:, :2], RATE, format=kind)
    wave, rate = sound_files.decode(content)
    assert wave.dtype == np.float32
    assert (wave.shape, rate) == ((24576,), RATE)
    assert pitch(wave) == pytest.approx(440, abs=1)


@pytest.mark.parametrize("channels", [1, 2, 3, 9])
def test_the_channels_average_is_numpys(channels: int, monkeypatch: pytest.MonkeyPatch):
    samples = np.random.default_rng(0).uniform(-1, 1, (5000, channels)).astype(np.float32)
    content = encoded(samples, RATE, format="WAV", subtype="FLOAT")
    for block in (sound_files.BLOCK, 999):
        monkeypatch.setattr(sound_files, "BLOCK", block)
        assert np.allclose(sound_files.decode(content)[0], samples.mean(axis=1), rtol=0, atol=1e-6)


OPPOSITE = {  # (samples, channels) that people hear, and an average does not
    "exactly": np.stack([sine(440), -sine(440)], 1),
    "nearly": np.stack([sine(440), -0.8 * sine(440)], 1),
    "with offsets": np.stack([sine(440) / 2 + 0.3, 0.2 - sine(440) / 2], 1),
    "with opposite offsets": np.stack([sine(440) / 2 + 0.3, -0.3 - sine(440) / 2], 1),
    "two pairs": np.stack([sine(440), sine(440), -sine(440), -sine(440)], 1),
    "beside silence": np.stack([sine(440), 0 * sine(440), -sine(440)], 1),
    "for a while": np.stack([sine(440), np.where(np.arange(24576) < 16000, 1, -1) * sine(440)], 1),
}


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG"])
@pytest.mark.parametrize("samples", OPPOSITE.values(), ids=OPPOSITE)
def test_channels_in_opposite_phase_are_heard(samples: np.ndarray, kind: str):
    wave, _ = sound_files.decode(encoded(samples, RATE, format=kind))
    assert pitch(wave) == pytest.approx(440, abs=1)
    quietest = min(sound_files.level_db(part) for part in np.split(wave, 6))
    assert quietest > sound_files.level_db(samples[:, 0]) - 2


AGREEING = {  # (samples, channels) whose average is what people hear
    "in opposite offsets": np.stack([sine(440) / 2 + 0.3, sine(440) / 2 - 0.3], 1),
    "in one offset": np.stack([sine(440) / 2 + 0.3, sine(660) / 2 + 0.3], 1),
    "of which one is silent": np.stack([sine(440), 0 * sine(440)], 1),
}


@pytest.mark.parametrize("samples", AGREEING.values(), ids=AGREEING)
def test_channels_that_agree_are_averaged_whatever_their_offsets(samples: np.ndarray):
    assert np.array_equal(sound_files.mono(samples, RATE), samples.sum(1) / np.float32(2))


def test_of_opposite_channels_that_are_louder_in_turns_one_is_heard_throughout():
    """Where pieces of both met, the sound would click."""
    wave = np.tile(sine(440), 4)
    louder = np.where(np.arange(len(wave)) // (RATE // 2) % 2, 1.05, 0.95).astype(np.float32)
    samples = np.stack([wave, -louder * wave], 1)
    assert np.array_equal(sound_files.mono(samples, RATE), samples[:, 0])


def opposite_at_first(seconds: float = 12.0) -> np.ndarray:
    """(samples, channels): two seconds in opposite phase, softly, then loud ones in phase."""
    wave = sine(440, seconds)
    opening = np.arange(len(wave)) < 2 * RATE
    return np.stack([np.where(opening, 0.05, 1) * wave, np.where(opening, -0.05, 1) * wave], 1)


def unknown(file: Any) -> None:
    """What libsndfile does with a file that it does not know."""
    raise soundfile.LibsndfileError(1)


@pytest.mark.parametrize("way", ["libsndfile", "FFmpeg"])
@pytest.mark.parametrize("block", [sound_files.BLOCK, 50_000])
def test_how_much_of_a_sound_is_read_does_not_change_its_start(
    way: str, block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    content = encoded(opposite_at_first(), RATE, format="FLAC")
    (tmp_path / "x.flac").write_bytes(content)
    wanted = sound_files.mono(opposite_at_first(), RATE)
    monkeypatch.setattr(sound_files, "BLOCK", block)
    if way == "FFmpeg":
        monkeypatch.setattr(soundfile, "SoundFile", unknown)
    whole, _ = sound_files.decode(content)
    assert np.allclose(whole, wanted, rtol=0, atol=1e-4)
    assert sound_files.level_db(whole[: 2 * RATE]) == pytest.approx(sound_files.level_db(wanted[: 2 * RATE]), abs=0.1)
    assert np.array_equal(np.concatenate([one.waveform for one in sound_reader.blocks(tmp_path / "x.flac")]), whole)
    for seconds in (0.01, 0.75, 1.5, 1.9, 2.2, 11.9, 20.0):
        assert np.array_equal(sound_files.decode(content, seconds)[0], whole[: round(seconds * RATE)])


@needs(CASES)
def test_the_stereo_sound_in_opposite_phase_is_heard():
    assert sound_files.level_db(sound_files.decode((CASES / "out_of_phase.flac").read_bytes())[0]) > -30


BEYOND = {"NaN": np.nan, "infinite": np.inf, "near float32's end": 3e38, "of infinite energy": 1e20, "finite": 1e7}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("value", BEYOND.values(), ids=BEYOND)
def test_samples_that_no_sound_has_are_refused_without_a_warning(value: float, channels: int, tmp_path: Path):
    samples = np.repeat(sine(440)[:, None], channels, 1)
    samples[100:9000, 0] = value
    samples[100:9000, -1] = -value if channels > 1 else value  # so that an average would be silent
    content = encoded(samples, RATE, format="WAV", subtype="FLOAT")
    (tmp_path / "x.wav").write_bytes(content)
    for read in (lambda: sound_files.decode(content), lambda: list(sound_reader.blocks(tmp_path / "x.wav"))):
        with pytest.raises(BadSound, match=r"NaN or infinite|above 1e\+06"):
            read()


@pytest.mark.filterwarnings("error")
def test_a_loud_sound_of_any_length_is_a_sound():
    loud = np.full(1_100_000, 999_999, np.float32)  # whose energy alone does not tell
    assert sound_files.checked(loud) is loud


def muxed(file: Any, wave: np.ndarray, rate: int, kind: str, codec: str, **options: str) -> None:
    """Write a mono sound as FFmpeg does."""
    with av.open(file, "w", format=kind) as container:
        stream = container.add_stream(codec, rate=rate, layout="mono", options=options)
        for start in range(0, len(wave), 1024):
            pulses = np.rint(32767 * wave[None, start : start + 1024]).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(pulses, format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def made(wave: np.ndarray, rate: int, kind: str, codec: str, **options: str) -> bytes:
    file = io.BytesIO()
    muxed(file, wave, rate, kind, codec, **options)
    return file.getvalue()


class Pipe(io.BytesIO):
    """A file that cannot be gone back in, so that a header stays as it was guessed."""

    def seekable(self) -> bool:
        return False


def piped(wave: np.ndarray, rate: int, kind: str, codec: str, **options: str) -> bytes:
    pipe = Pipe()
    muxed(pipe, wave, rate, kind, codec, **options)
    return pipe.getvalue()


@pytest.mark.parametrize(
    ("kind", "codec", "rate"),
    [
        ("ipod", "aac", 44100),
        ("mp4", "alac", 44100),
        ("3gp", "libopencore_amrnb", 8000),
        ("opus", "libopus", 48000),
        ("webm", "libopus", 48000),
        ("ogg", "flac", 16000),
        ("adts", "aac", 22050),
        ("asf", "wmav2", 44100),
        ("amr", "libopencore_amrnb", 8000),
        ("aiff", "pcm_s16be", 44100),
        ("caf", "pcm_s16le", 44100),
        ("wav", "adpcm_ima_wav", 22050),
        ("matroska", "flac", 48000),
        ("mov", "pcm_s16le", 44100),
    ],
)
def test_what_telephones_and_programs_record_is_decoded(kind: str, codec: str, rate: int):
    content = made(sine(440, 2.0, rate), rate, kind, codec, **({"b": "64k"} if codec == "wmav2" else {}))
    wave, found = sound_files.decode(content)
    assert found == rate
    assert len(wave) / rate == pytest.approx(2, abs=0.1)
    heard = sound_files.resample(wave, rate, RATE)
    assert pitch(heard[4000:28000]) == pytest.approx(440, abs=2)
    part, _ = sound_files.decode(content, 0.25)
    assert np.array_equal(part, wave[: round(0.25 * rate)])
    mp3 = sound_files.as_mp3(content, 1.0)
    assert soundfile.info(io.BytesIO(mp3)).format == "MP3"


@pytest.mark.parametrize(
    "content", [b"hello " * 100, bytes(5000), b"\x89PNG\r\n\x1a\n" + bytes(100), b"#EXTM3U\nx.mp3\n"]
)
def test_who_brings_no_sound_is_told_what_is_read(content: bytes):
    with pytest.raises(BadSound, match=r"MP3, WAV, FLAC, Ogg, Opus, M4A, AAC, WMA, AMR, AIFF"):
        sound_files.decode(content)


JUNK = {
    "a zero byte": b"\0",
    "a page of zeros": bytes(4096),
    "ID3 padding": b"ID3\3\0\0\0\0\0\x0a" + bytes(10) + bytes(2000),
    "noise": np.random.default_rng(0).integers(0, 250, 700, np.uint8).tobytes(),
    "an HTTP header": b"HTTP/1.0 200 OK\r\nContent-Type: audio/mpeg\r\n\r\n",
}


@pytest.mark.parametrize("junk", JUNK.values(), ids=JUNK)
def test_junk_before_an_mp3_is_passed_over(junk: bytes):
    wave, rate = sound_files.decode(junk + sound_files.encode_mp3(sine(440, 2.0), RATE))
    assert len(wave) / rate == pytest.approx(2, abs=0.15)
    assert pitch(wave) == pytest.approx(440, abs=1)


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3"])
def test_a_stray_file_in_the_working_folder_makes_no_difference(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    content = encoded(sine(440), RATE, format=kind)
    wave, _ = sound_files.decode(content)
    (tmp_path / "._").touch()  # in which libsndfile looks for the resource fork of a file without a name
    monkeypatch.chdir(tmp_path)
    again, _ = sound_files.decode(content)
    assert len(again) == pytest.approx(len(wave), abs=RATE // 10)
    assert pitch(again) == pytest.approx(440, abs=1)


def swelling(seconds: float) -> np.ndarray:
    """Noise that fades into a tone: the frames of a VBR file are large at first."""
    loud = np.random.default_rng(0).uniform(-0.9, 0.9, RATE // 2)
    return np.concatenate([loud, 0.1 * sine(440, seconds - 0.5)]).astype(np.float32)


def with_xing_frames(mp3: bytes, frames: int) -> bytes:
    """An MP3 file whose header counts so many frames."""
    place = max(mp3.find(b"Xing", 0, 2000), mp3.find(b"Info", 0, 2000)) + 8
    assert place > 8
    return mp3[:place] + frames.to_bytes(4) + mp3[place + 4 :]


def patched(content: bytes, place: int, other: bytes) -> bytes:
    return content[:place] + other + content[place + len(other) :]


VBR = {"flags": "+qscale", "global_quality": "1062"}
GUESSED = {  # of eight seconds; the headers say otherwise, or nothing
    "VBR through a pipe": lambda wave: piped(wave, RATE, "mp3", "libmp3lame", **VBR),
    "CBR through a pipe": lambda wave: piped(wave, RATE, "mp3", "libmp3lame"),
    "VBR without a header": lambda wave: made(wave, RATE, "mp3", "libmp3lame", write_xing="0", **VBR),
    "a header of a tenth": lambda wave: with_xing_frames(sound_files.encode_mp3(wave, RATE), 22),
    "a header of ten times": lambda wave: with_xing_frames(sound_files.encode_mp3(wave, RATE), 2220),
    "one behind another": lambda wave: b"".join(sound_files.encode_mp3(part, RATE) for part in np.split(wave, 2)),
    "FLAC of unknown length": lambda wave: patched(encoded(wave, RATE, format="FLAC"), 22, bytes(4)),
    "FLAC of a lying length": lambda wave: patched(encoded(wave, RATE, format="FLAC"), 22, (9999).to_bytes(4)),
    "FLAC through a pipe": lambda wave: piped(wave, RATE, "flac", "flac"),
    "WAV of length 0": lambda wave: patched(encoded(wave, RATE, format="WAV"), 40, bytes(4)),
    "WAV of endless length": lambda wave: patched(encoded(wave, RATE, format="WAV"), 40, b"\xff" * 4),
    "WAV through a pipe": lambda wave: piped(wave, RATE, "wav", "pcm_s16le"),
    "AAC": lambda wave: made(wave, RATE, "adts", "aac"),
    "WebM through a pipe": lambda wave: piped(wave, RATE, "webm", "libopus"),
    "Ogg through a pipe": lambda wave: piped(wave, RATE, "ogg", "libopus"),
}


@pytest.mark.parametrize("kind", GUESSED)
def test_a_length_in_a_header_is_not_believed(kind: str):
    content = GUESSED[kind](swelling(8.0))
    wave, rate = sound_files.decode(content)
    assert len(wave) / rate == pytest.approx(8, abs=0.2)
    part, _ = sound_files.decode(content, seconds=6.0)
    assert len(part) / rate == pytest.approx(6, abs=0.01)
    assert pitch(sound_files.resample(part[3 * rate :], rate, RATE)) == pytest.approx(440, abs=1)


@needs(CASES)
def test_an_mp3_through_a_pipe_is_heard_to_its_end():
    wave, rate = sound_files.decode((CASES / "vbr_through_a_pipe_8s.mp3").read_bytes())
    assert len(wave) / rate == pytest.approx(8, abs=0.1)


@pytest.mark.parametrize("form", ["s16", "s16p", "flt", "fltp"])
@pytest.mark.parametrize("layout", ["mono", "stereo", "7.1", "hexadecagonal", "22.2"])
def test_any_number_of_channels_is_mixed(layout: str, form: str):
    channels = av.AudioLayout(layout).nb_channels
    wanted = np.arange(1, channels + 1).mean() / 64
    packed = np.tile(np.arange(1, channels + 1, dtype=np.int16) * 512, (1, 100))
    frame = av.AudioFrame.from_ndarray(packed, format="s16", layout=layout)
    frame.sample_rate = RATE
    (frame,) = av.AudioResampler(format=form).resample(frame)
    (stretch,) = sound_files.stretches([frame])
    assert stretch.wave == pytest.approx(np.full(100, wanted), abs=1e-4)


@pytest.mark.parametrize("kind", ["MP3", "OGG"])
def test_a_good_file_is_decoded_once(kind: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sound_files, "_by_ffmpeg", None)
    for seconds in (0.2, 1.5, 10.0):
        content = encoded(np.stack([sine(440, seconds), sine(660, seconds)], 1), RATE, format=kind)
        sound_files.decode(content)
        sound_files.decode(content, seconds=seconds + 0.25)


@pytest.mark.parametrize(
    ("kind", "codec", "rates"),
    [
        ("mp3", "libmp3lame", (44100, 22050)),
        ("mp3", "libmp3lame", (16000, 48000)),
        ("adts", "aac", (44100, 16000)),
        ("flac", "flac", (44100, 22050)),
    ],
)
def test_a_rate_that_changes_midway_changes_neither_pitch_nor_length(kind: str, codec: str, rates: tuple[int, int]):
    wave, rate = sound_files.decode(b"".join(made(sine(440, 2.0, rate), rate, kind, codec) for rate in rates))
    assert rate == rates[0]
    assert len(wave) / rate == pytest.approx(4, abs=0.2)
    heard = sound_files.resample(wave, rate, RATE)
    assert pitch(heard[4000:28000]) == pytest.approx(440, abs=1)
    assert pitch(heard[36000:60000]) == pytest.approx(440, abs=1)


@pytest.mark.parametrize("kind", ["MP3", "WAV", "FLAC", "OGG"])
def test_the_start_of_a_sound_is_that_of_the_whole_to_the_bit(kind: str):
    content = encoded(sine(440, 4.0), RATE, format=kind)
    whole, _ = sound_files.decode(content)
    for seconds in (0.25, 3.9, 100.0):
        assert np.array_equal(sound_files.decode(content, seconds)[0], whole[: round(seconds * RATE)])


@pytest.mark.parametrize("content", [b"", b"hello " * 100, bytes(5000), b"ID3" + bytes(100)])
def test_what_is_no_sound_is_refused(content: bytes):
    with pytest.raises(BadSound):
        sound_files.decode(content)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_no_numbers_are_refused(value: float):
    wave = sine(440)
    wave[100] = value
    with pytest.raises(BadSound, match="NaN"):
        sound_files.decode(encoded(wave, RATE, format="WAV", subtype="FLOAT"))


def test_no_samples_and_absurd_headers_are_refused():
    with pytest.raises(BadSound, match="no samples"):
        sound_files.decode(encoded(np.zeros(0, np.float32), RATE, format="WAV"))
    lying = bytearray(encoded(sine(440), RATE, format="WAV"))
    lying[24:28] = (1).to_bytes(4, "little")
    with pytest.raises(BadSound, match="1 Hz"):
        sound_files.decode(bytes(lying))


def test_hours_of_sound_are_refused_without_decoding_them_all(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sound_files, "MAX_SECONDS", 1.0)
    content = encoded(sine(440), RATE, format="FLAC")
    with pytest.raises(BadSound, match="more than 1 s"):
        sound_files.decode(content)
    assert len(sound_files.decode(content, 0.2)[0]) == 3200


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3"])
def test_of_a_sound_of_hours_what_is_used_of_it_becomes_mp3(kind: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sound_files, "MAX_SECONDS", 1.0)
    content = encoded(sine(440, 4.0), RATE, format=kind)
    found, rate = sound_files.decode(sound_files.as_mp3(content, 0.5), 0.5)
    assert (len(found), rate) == (8000, RATE)
    assert pitch(found) == pytest.approx(440, abs=4)


def test_mp3_is_written_at_the_nearest_rate_that_it_has():
    assert soundfile.info(io.BytesIO(sound_files.encode_mp3(sine(440, rate=96000), 96000))).samplerate == 48000
    assert soundfile.info(io.BytesIO(sound_files.encode_mp3(sine(440, rate=10000), 10000))).samplerate == 11025
    mp3 = sound_files.encode_mp3(sine(440), RATE)
    assert sound_files.as_mp3(mp3, 0.1) == mp3
    assert len(sound_files.decode(sound_files.as_mp3(encoded(sine(440), RATE, format="WAV"), 9.0))[0]) == 24576


def test_resampling_keeps_the_pitch():
    wave = sound_files.resample(sine(440, rate=44100), 44100, RATE)
    assert len(wave) == pytest.approx(24576, abs=1)
    assert wave.dtype == np.float32
    assert pitch(wave) == pytest.approx(440, abs=1)
    same = sine(440)
    assert sound_files.resample(same, RATE, RATE) is same


@pytest.mark.parametrize("rate", [4000, 11025, 22050, 44100, 48000, 192_000])
@pytest.mark.parametrize("samples", [1, 999, 44100])
def test_resampling_is_librosas(rate: int, samples: int):
    wave = np.random.default_rng(0).uniform(-1, 1, samples).astype(np.float32)
    assert np.array_equal(sound_files.resample(wave, rate, RATE), librosa.resample(wave, orig_sr=rate, target_sr=RATE))


def test_length_is_fitted():
    assert sound_files.fit_length(np.ones(5, np.float32), 3).tolist() == [1, 1, 1]
    assert sound_files.fit_length(np.ones(2, np.float32), 4).tolist() == [1, 1, 0, 0]


def test_level():
    assert sound_files.level_db(np.tile([1, -1], 50)) == pytest.approx(0)
    assert sound_files.level_db(sine(440)) == pytest.approx(-9.03, abs=0.05)
    assert sound_files.level_db(sine(440) + 0.4) == pytest.approx(-9.03, abs=0.05)  # an offset is no sound
    assert sound_files.level_db(np.zeros(100, np.float32)) == sound_files.level_db(np.ones(100, np.float32)) == -200


@pytest.mark.parametrize("frequency", [220.0, 880.0, 3000.0])
def test_the_log_mel_of_a_sine_peaks_in_its_band(frequency: float):
    picture = mel.log_mel(sine(frequency), AUDIO)
    assert picture.shape == (1, 64, 64)
    assert picture.dtype == np.float32
    assert -1 <= picture.min() < picture.max() <= 1
    edges = mel_frequencies(n_mels=66, fmin=AUDIO.fmin, fmax=RATE / 2)  # band i spans edges i to i + 2
    band = int(picture[0].mean(1).argmax())
    assert edges[band] <= frequency <= edges[band + 2]


@pytest.mark.parametrize(("fft", "hop", "samples"), [(1024, 384, 24576), (2048, 512, 30000), (512, 100, 777)])
def test_log_mels_are_those_of_librosa(fft: int, hop: int, samples: int):
    settings = AUDIO.model_copy(update={"fft": fft, "hop_length": hop})
    rng = np.random.default_rng(0)
    sound = (rng.normal(0, 0.1, samples) * np.geomspace(1e-4, 1, samples)).astype(np.float32)
    power = librosa.feature.melspectrogram(y=sound, sr=RATE, n_fft=fft, hop_length=hop, n_mels=64, fmin=40.0)
    decibel = np.clip(librosa.power_to_db(power, ref=1.0, amin=1e-10, top_db=None), -60, 30)[:, : samples // hop]
    picture = mel.log_mel(sound, settings)[0]
    assert np.abs((picture + 1) * 45 - 60 - decibel).max() < 1e-4  # dB
    assert np.unique(picture).size > 100


def test_silence_is_the_bottom_of_the_log_mel():
    assert (mel.log_mel(np.zeros(24576, np.float32), AUDIO) == -1).all()


def test_a_waveform_shorter_than_a_hop_has_no_log_mel():
    assert mel.log_mel(sine(440)[:1151], AUDIO).shape == (1, 64, 2)
    with pytest.raises(ValueError, match="one hop"):
        mel.log_mel(sine(440)[:383], AUDIO)


@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_written_sounds_are_clipped_at_full_scale_and_not_wrapped(kind: Format):
    wave, rate = soundfile.read(io.BytesIO(sound_writer.encoded(Sound(4 * sine(440), RATE), kind)))
    assert rate == RATE
    assert 0.99 < np.abs(wave).max() <= 1
    assert np.corrcoef(wave, sine(440)[: len(wave)])[0, 1] > 0.9
