"""Sound files ⇄ waveforms ⇄ log-mels."""

import io

import librosa
import numpy as np
import pytest
import soundfile
from librosa import mel_frequencies

from cycle_sound.errors import BadSound
from cycle_sound.media import mel, sound_files, sounds
from cycle_sound.media.sounds import Format
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
    spectrum = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform))))
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


def test_channels_are_averaged():
    wave, _ = sound_files.decode(encoded(np.stack([sine(440), -sine(440)], 1), RATE, format="WAV"))
    assert np.abs(wave).max() < 1e-4


def test_a_part_equals_the_same_part_of_the_whole():
    content = sound_files.encode_mp3(sine(440), RATE)
    whole, _ = sound_files.decode(content)
    part, _ = sound_files.decode(content, start=0.5, seconds=0.25)
    assert np.allclose(part, whole[8000:12000], atol=1e-4)
    content = sound_files.encode_mp3(sine(440, 4.0), RATE)  # long enough to be entered by a jump
    assert np.allclose(
        sound_files.decode(content, 3.0, 0.25)[0], sound_files.decode(content)[0][48000:52000], atol=1e-3
    )
    with pytest.raises(BadSound, match="no samples"):
        sound_files.decode(content, start=100, seconds=1)


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
    assert len(sound_files.decode(content, 1.0, 0.2)[0]) == 3200


def test_mp3_is_written_at_the_nearest_rate_that_it_has():
    assert soundfile.info(io.BytesIO(sound_files.encode_mp3(sine(440, rate=96000), 96000))).samplerate == 48000
    assert soundfile.info(io.BytesIO(sound_files.encode_mp3(sine(440, rate=10000), 10000))).samplerate == 11025
    mp3 = sound_files.encode_mp3(sine(440), RATE)
    assert sound_files.as_mp3(mp3) == mp3
    assert len(sound_files.decode(sound_files.as_mp3(encoded(sine(440), RATE, format="WAV")))[0]) == 24576


def test_resampling_keeps_the_pitch():
    wave = sound_files.resample(sine(440, rate=44100), 44100, RATE)
    assert len(wave) == pytest.approx(24576, abs=1)
    assert wave.dtype == np.float32
    assert pitch(wave) == pytest.approx(440, abs=1)
    same = sine(440)
    assert sound_files.resample(same, RATE, RATE) is same


def test_length_is_fitted():
    assert sound_files.fit_length(np.ones(5, np.float32), 3).tolist() == [1, 1, 1]
    assert sound_files.fit_length(np.ones(2, np.float32), 4).tolist() == [1, 1, 0, 0]


def test_level():
    assert sound_files.level_db(np.ones(100, np.float32)) == pytest.approx(0)
    assert sound_files.level_db(sine(440)) == pytest.approx(-9.03, abs=0.05)
    assert sound_files.level_db(np.zeros(100, np.float32)) == -200


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
    wave, rate = soundfile.read(io.BytesIO(sounds.encoded(sounds.Sound(4 * sine(440), RATE), kind)))
    assert rate == RATE
    assert 0.99 < np.abs(wave).max() <= 1
    assert np.corrcoef(wave, sine(440)[: len(wave)])[0, 1] > 0.9
