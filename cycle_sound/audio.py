"""Sound files, waveforms, and the picture of the audio modality: a log-mel (1, mels, frames) in [-1, 1].

A waveform is float32 (samples,), mono, 1.0 at full scale. Frame t is centred on sample t × hop_length.
"""

import io
from functools import cache, reduce
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import soundfile
from numpy.lib.stride_tricks import sliding_window_view
from scipy.fft import rfft
from scipy.sparse import csr_array

from cycle_sound import files
from cycle_sound.params import Audio

MAX_SECONDS = 600.0  # a pair needs seconds; ten minutes at 48 kHz already take 115 MB, per worker
RATES = range(4_000, 192_001)  # Hz; a header that says 1 Hz would be resampled to thousands of times its size
MAX_CHANNELS = 64  # no recorder has more, and a block is read with all of them
MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)  # Hz, all that the format knows
BLOCK = 1 << 20  # samples of all channels read at once, 4 MB: each read ends in a seek, so small ones cost an MP3 twice
PREROLL = 16 * 1152  # samples decoded before a part: MP3 frames need bits of those before them, or begin as silence
SILENCE = 1e-10  # amplitude that stands for nothing: -200 dBFS
FRAMES = 64  # transformed at once, in the processor's wide registers; their spectra stay in its cache


class BadSound(ValueError):
    """The content is not a sound that can be used; the message says why."""


def decode(content: bytes, start: float = 0.0, seconds: float | None = None) -> tuple[np.ndarray, int]:
    """Decode a sound file (MP3, WAV, OGG, FLAC) to a waveform and its sample rate in Hz, channels averaged.

    With `start` and `seconds` only that part is decoded, as far as the file and MAX_SECONDS reach.
    Raises `BadSound` for what is no sound, empty, broken or not finite, or longer than MAX_SECONDS if no part is named.
    """
    if not content:
        raise BadSound("empty file")
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            rate = file.samplerate
            if rate not in RATES or file.channels > MAX_CHANNELS:
                raise BadSound(f"{rate} Hz, {file.channels} channels: outside what is decoded")
            # A header's own length is not to be trusted: of an MP3 it may be a guess, twice too long.
            wanted = round(rate * (MAX_SECONDS if seconds is None else min(seconds, MAX_SECONDS)))
            wave = _read_mono(file, round(start * rate), wanted + (seconds is None))
            if seconds is None and len(wave) > wanted:
                raise BadSound(f"more than {MAX_SECONDS:.0f} s of sound")
    except soundfile.SoundFileError as error:
        raise BadSound(f"cannot be decoded: {getattr(error, 'error_string', error)}") from None
    if not wave.size:
        raise BadSound("no samples")
    if not np.isfinite(wave).all():
        raise BadSound("holds NaN or infinite samples")
    return wave, rate


def resample(waveform: np.ndarray, rate_from: int, rate_to: int) -> np.ndarray:
    """Change the sample rate, in Hz, of a waveform."""
    if rate_from == rate_to:
        return waveform
    return librosa.resample(waveform, orig_sr=rate_from, target_sr=rate_to).astype(np.float32, copy=False)


def fit_length(waveform: np.ndarray, samples: int) -> np.ndarray:
    """Exactly so many samples: the first of a longer waveform, or zeros behind a shorter one."""
    return np.pad(waveform[:samples], (0, max(0, samples - len(waveform))))


def level_db(waveform: np.ndarray) -> float:
    """Root mean square level in dBFS: 0 for a full-scale square wave, -200 for silence."""
    power = np.mean(np.square(waveform, dtype=np.float64)) if waveform.size else 0.0
    return float(20 * np.log10(max(np.sqrt(power), SILENCE)))


def log_mel(waveform: np.ndarray, audio: Audio) -> np.ndarray:
    """The log-mel picture of a waveform at audio.sample_rate: float32 (1, mels, samples // hop_length) in [-1, 1].

    The values are those of librosa.feature.melspectrogram within 0.0001 dB, in less than half of its time: transforms
    in single precision, many at once, and a product with the two filters that a frequency falls into, not with all.
    """
    frames = len(waveform) // audio.hop_length
    if not frames:
        raise ValueError(f"{len(waveform)} samples: at least one hop of {audio.hop_length} is needed")
    decibel = 10 * np.log10(np.maximum(_mel(waveform, audio, frames), 10 ** (audio.min_db / 10)))
    scaled = 2 * (decibel - audio.min_db) / (audio.max_db - audio.min_db) - 1
    return np.clip(scaled, -1, 1).astype(np.float32)[None]


def spectrum(audio: Audio) -> dict[str, Any]:
    """What both directions must agree on: the spectra and their mel bands."""
    return {"sr": audio.sample_rate, "n_fft": audio.fft, "fmin": audio.fmin, "fmax": audio.sample_rate / 2}


@cache
def window(fft: int) -> np.ndarray:
    """The Hann window: float32 (fft,)."""
    return librosa.filters.get_window("hann", fft).astype(np.float32)


@cache
def filters(audio: Audio) -> np.ndarray:
    """The mel filter bank: float32 (mels, fft // 2 + 1)."""
    return librosa.filters.mel(n_mels=audio.mels, **spectrum(audio))


def encode_mp3(waveform: np.ndarray, sample_rate: int) -> bytes:
    """A mono MP3 file of a waveform, at the nearest rate that MP3 has."""
    rate = min(MP3_RATES, key=lambda known: abs(known - sample_rate))
    file = io.BytesIO()
    soundfile.write(file, np.clip(resample(waveform, sample_rate, rate), -1, 1), rate, format="MP3")
    return file.getvalue()


def as_mp3(content: bytes) -> bytes:
    """A sound file as MP3: byte for byte if it is one. Raises `BadSound` where it cannot be decoded."""
    try:
        if soundfile.info(io.BytesIO(content)).format == "MP3":
            return content
    except soundfile.SoundFileError:
        pass  # `decode` says what is wrong
    return encode_mp3(*decode(content))


def write_wav(path: Path, waveform: np.ndarray, sample_rate: int) -> None:
    """Write a waveform as a 16-bit WAV file, atomically; samples beyond full scale are clipped."""
    with files.replacing(path) as part:
        soundfile.write(part, np.clip(waveform, -1, 1), sample_rate, format="WAV", subtype="PCM_16")


def _mel(waveform: np.ndarray, audio: Audio, frames: int) -> np.ndarray:
    """The first `frames` mel spectra of power: float32 (mels, frames)."""
    padded = np.pad(waveform.astype(np.float32, copy=False), audio.fft // 2)
    windows = sliding_window_view(padded, audio.fft)[:: audio.hop_length].T  # (fft, frames and perhaps one more)
    mel = np.empty((audio.mels, frames), np.float32)
    for start in range(0, frames, FRAMES):
        end = min(start + FRAMES, frames)  # centred frames stand at both ends: the last has no hop of its own
        spectra = rfft(window(audio.fft)[:, None] * windows[:, start:end], axis=0)
        mel[:, start:end] = _bands(audio) @ (spectra.real**2 + spectra.imag**2)
    return mel


@cache
def _bands(audio: Audio) -> csr_array:
    """The mel filter bank, two of a column's values not zero."""
    return csr_array(filters(audio))


def _read_mono(file: soundfile.SoundFile, first: int, samples: int) -> np.ndarray:
    skipped = min(first, PREROLL)
    if first > skipped:
        file.seek(min(first - skipped, file.frames))
    samples += skipped
    blocks = [np.zeros(0, np.float32)]
    while samples > 0:
        asked = min(BLOCK // file.channels, samples)
        block = file.read(asked, dtype="float32", always_2d=True)  # (samples, channels)
        blocks.append(_mono(block))
        samples -= len(block)
        if len(block) < asked:
            break
    return np.concatenate(blocks)[skipped:]


def _mono(block: np.ndarray) -> np.ndarray:
    """The average of the channels; numpy's mean over so short an axis would take nearly as long as decoding an MP3."""
    return reduce(np.add, block.T) / np.float32(block.shape[1])
