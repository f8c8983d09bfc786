"""The picture of the audio modality: a log-mel (1, mels, frames) in [-1, 1].

Frame t is centred on sample t × hop_length.
"""

from collections.abc import Iterable
from functools import cache
from typing import Any

import librosa
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.fft import rfft
from scipy.sparse import csr_array

from cycle_sound.media import sound_files
from cycle_sound.params import AudioConfig

FRAMES = 96  # transformed at once, in the processor's wide registers; their spectra stay in its cache


def log_mel(waveform: np.ndarray, audio: AudioConfig, samples: int | None = None) -> np.ndarray:
    """The log-mel picture of a waveform at audio.sample_rate: float32 (1, mels, samples // hop_length) in [-1, 1].

    `samples` of it are transformed, with silence behind a shorter waveform; None: all. The values are those of
    librosa.feature.melspectrogram within 0.0001 dB, in less than half of its time: transforms in single precision, many
    at once, and a product with the two filters that a frequency falls into, not with all. Raises ValueError for less
    than one hop of sound.
    """
    heard = waveform[:samples]
    length = len(waveform) if samples is None else samples
    if length < audio.hop_length:
        raise ValueError(f"{length} samples: at least one hop of {audio.hop_length} is needed")
    padded = np.zeros(length + audio.fft, np.float32)
    padded[audio.fft // 2 :][: len(heard)] = heard
    decibel = 10 * np.log10(np.maximum(_mel(padded, audio, length // audio.hop_length), 10 ** (audio.min_db / 10)))
    scaled = 2 * (decibel - audio.min_db) / (audio.max_db - audio.min_db) - 1
    return np.clip(scaled, -1, 1).astype(np.float32)[None]


def of_clip(waveform: np.ndarray, sample_rate: int, audio: AudioConfig, seconds: float) -> np.ndarray:
    """The log-mel of the first `seconds` of a sound, silence behind a shorter one: float16 (1, mels, frames).

    The one way from a sound to what the models see, for shards, for evaluation and for use; half precision since that
    is what shards hold. The resampling filter looks ahead, so sound_files.MARGIN seconds more count, if there.
    """
    used = waveform[: round((seconds + sound_files.MARGIN) * sample_rate)]
    heard = sound_files.resample(used, sample_rate, audio.sample_rate)
    return log_mel(heard, audio, round(seconds * audio.sample_rate)).astype(np.float16)


def of_clips(waveforms: Iterable[np.ndarray], audio: AudioConfig, seconds: float) -> np.ndarray:
    """The log-mels of clips at audio.sample_rate, at least one, as `of_clip` has them: float32 (n, 1, mels, frames)."""
    return np.stack([of_clip(wave, audio.sample_rate, audio, seconds) for wave in waveforms]).astype(np.float32)


def spectrum(audio: AudioConfig) -> dict[str, Any]:
    """The spectra and mel bands as librosa's keyword arguments: equal for log-mels and their inversion."""
    return {"sr": audio.sample_rate, "n_fft": audio.fft, "fmin": audio.fmin, "fmax": audio.sample_rate / 2}


@cache
def window(fft: int) -> np.ndarray:
    """The Hann window of a transform: float32 (fft,)."""
    return librosa.filters.get_window("hann", fft).astype(np.float32)


@cache
def filters(audio: AudioConfig) -> np.ndarray:
    """The mel filter bank: float32 (mels, fft // 2 + 1)."""
    return librosa.filters.mel(n_mels=audio.mels, **spectrum(audio))


def _mel(padded: np.ndarray, audio: AudioConfig, frames: int) -> np.ndarray:
    """The first `frames` mel spectra of power, of half a window before the sound on: float32 (mels, frames)."""
    windows = sliding_window_view(padded, audio.fft)[:: audio.hop_length].T  # (fft, frames and perhaps one more)
    mel = np.empty((audio.mels, frames), np.float32)
    for start in range(0, frames, FRAMES):
        end = min(start + FRAMES, frames)  # centred frames stand at both ends: the last has no hop of its own
        spectra = rfft(window(audio.fft)[:, None] * windows[:, start:end], axis=0)
        power = spectra.real**2
        power += spectra.imag**2
        mel[:, start:end] = _bands(audio) @ power
    return mel


@cache
def _bands(audio: AudioConfig) -> csr_array:
    """The mel filter bank as a sparse matrix: each frequency lies in at most two bands."""
    return csr_array(filters(audio))
