"""Sound files and waveforms: float32 (samples,), mono, 1.0 at full scale. Files are not trusted: all is bounded."""

import io
from functools import reduce

import librosa
import numpy as np
import soundfile

from cycle_sound.errors import BadSound

MAX_SECONDS = 600.0  # a pair needs seconds; ten minutes at 48 kHz already take 115 MB, per worker
RATES = range(4_000, 192_001)  # Hz; a header that says 1 Hz would be resampled to thousands of times its size
MAX_CHANNELS = 64  # no recorder has more, and a block is read with all of them
MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)  # Hz, all that the format knows
BLOCK = 1 << 20  # samples of all channels read at once, 4 MB: each read ends in a seek, so small ones cost an MP3 twice
PREROLL = 16 * 1152  # samples decoded before a part: MP3 frames need bits of those before them, or begin as silence
SILENCE = 1e-10  # amplitude that stands for nothing: -200 dBFS


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
    """Convert a waveform from one sample rate, in Hz, to another."""
    if rate_from == rate_to:
        return waveform
    return librosa.resample(waveform, orig_sr=rate_from, target_sr=rate_to).astype(np.float32, copy=False)


def fit_length(waveform: np.ndarray, samples: int) -> np.ndarray:
    """Cut a waveform to `samples`, or pad it with zeros at its end."""
    return np.pad(waveform[:samples], (0, max(0, samples - len(waveform))))


def level_db(waveform: np.ndarray) -> float:
    """Root mean square level in dBFS: 0 for a full-scale square wave, -200 for silence."""
    power = np.mean(np.square(waveform, dtype=np.float64)) if waveform.size else 0.0
    return float(20 * np.log10(max(np.sqrt(power), SILENCE)))


def encode_mp3(waveform: np.ndarray, sample_rate: int) -> bytes:
    """Encode a waveform as a mono MP3 file, at the nearest rate that MP3 has; beyond full scale it is clipped."""
    rate = min(MP3_RATES, key=lambda known: abs(known - sample_rate))
    file = io.BytesIO()
    soundfile.write(file, np.clip(resample(waveform, sample_rate, rate), -1, 1), rate, format="MP3")
    return file.getvalue()


def as_mp3(content: bytes) -> bytes:
    """Convert a sound file to MP3; one that is MP3 already is returned as it is. Raises `BadSound`."""
    try:
        if soundfile.info(io.BytesIO(content)).format == "MP3":
            return content
    except soundfile.SoundFileError:
        pass  # `decode` says what is wrong
    return encode_mp3(*decode(content))


def _read_mono(file: soundfile.SoundFile, first: int, samples: int) -> np.ndarray:
    """Up to `samples` samples from `first` on, channels averaged: float32 (n,)."""
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
    """Average the channels: (samples, channels) → (samples,); over so short an axis numpy's own mean is slow."""
    return reduce(np.add, block.T) / np.float32(block.shape[1])
