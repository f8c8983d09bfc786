"""Measuring, by analysis alone, what sound and picture share: no trained model can flatter these figures.

A picture is a float array (3, h, w) in [-1, 1], a waveform a float array (samples,) in [-1, 1].
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import ndimage, signal

COLOURED = 0.3  # max - min of red, green and blue, in [0, 1]: above it a pixel belongs to a thing
SMALLEST = 0.006  # share of the picture: a smaller speck is no thing
LOWEST, HIGHEST = 150.0, 1200.0  # Hz: where a pitch is looked for
SPECTRUM = 16384  # samples of the padded transform
SILENT = -75.0  # dB
RISE = 5.0  # dB by which a stroke stands out of what lies before and after it
DEPTH = 18.0  # dB below the loudest: nothing lower is a stroke
APART = 0.2  # seconds between strokes, at least
WINDOW, FOLLOWED = 0.025, 250  # seconds of a spectrum, and how many a second: a warble has a period of 55 to 100 ms
REACH = 4 / 12  # octaves each way from the pitch within which a partial is followed, so that it is one partial
WARBLES = np.arange(10, 18.5, 0.5)  # Hz: the rates of a warble; a vibrato's are lower
TOGETHER = 0.06  # seconds, standard deviation of a bell curve: so long a warble keeps its phase, each stroke its own


class Warble(NamedTuple):
    """How a tone wavers about its pitch."""

    depth: float  # cents: the amplitude of its strongest sine; nan for a silent sound
    rate: float  # Hz, of that sine


def chroma(picture: np.ndarray) -> np.ndarray:
    """Distance from grey: (3, h, w) → (h, w) in [0, 1]."""
    return (picture.max(axis=0) - picture.min(axis=0)) / 2


def coloured(picture: np.ndarray) -> np.ndarray:
    """Which pixels belong to a thing: (3, h, w) → bool (h, w)."""
    return chroma(picture) > COLOURED


def hue(picture: np.ndarray) -> float:
    """Mean hue of the coloured pixels: degrees in [-45, 315), cut between violet and red; nan if there are none."""
    mask = coloured(picture)
    if not mask.any():
        return math.nan
    red, green, blue = picture[:, mask].astype(np.float64)
    turns = np.arctan2(math.sqrt(3) * (green - blue), 2 * red - green - blue)
    mean = (np.exp(1j * turns) * chroma(picture)[mask]).sum()
    return float((np.rad2deg(np.angle(mean)) + 45) % 360 - 45)


def size(picture: np.ndarray) -> float:
    """Share of the picture that is coloured."""
    return float(coloured(picture).mean())


def things(picture: np.ndarray) -> int:
    """Number of coloured patches, specks aside."""
    labels, _ = ndimage.label(coloured(picture))
    areas = np.bincount(labels.ravel())[1:]
    return int((areas >= SMALLEST * labels.size).sum())


def levels(waveform: np.ndarray, width: int, hop: int) -> np.ndarray:
    """Level of each stretch of `width` samples, `hop` apart: dB, relative to full scale."""
    padded = np.pad(waveform.astype(np.float64), width // 2)
    stretches = np.lib.stride_tricks.sliding_window_view(padded, width)[::hop]
    return 10 * np.log10((stretches**2).mean(axis=-1) + 1e-12)


def loudness(waveform: np.ndarray) -> float:
    """Level of the loudest stretch of 1024 samples: dB, relative to full scale."""
    return float(levels(waveform, 1024, 256).max())


def stft(
    waveform: np.ndarray, sample_rate: int, length: int, overlap: int, padded: int
) -> tuple[np.ndarray, np.ndarray]:
    """Spectra of stretches of `length` samples: Hz (f,), complex (f, stretches); a shorter sound ends in silence."""
    whole = np.pad(waveform, (0, max(0, length - len(waveform))))
    frequencies, _, spectra = signal.stft(whole, sample_rate, nperseg=length, noverlap=overlap, nfft=padded)
    return frequencies, spectra


def pitch(waveform: np.ndarray, sample_rate: int) -> float:
    """The strongest tone, averaged over the sound: Hz, in [150, 1200]; nan if the sound is silent.

    A peak of the spectrum smoothed over a semitone or so, then its centre of mass: a mel inversion smears a tone over a
    band, whose middle is all that is left.
    """
    if loudness(waveform) < SILENT:
        return math.nan
    frequencies, spectra = stft(waveform, sample_rate, length=2048, overlap=1536, padded=SPECTRUM)
    power = (np.abs(spectra) ** 2).mean(axis=1)
    octaves = np.arange(math.log2(LOWEST / 1.15), math.log2(HIGHEST * 1.15), 1 / 120)
    even = np.interp(2**octaves, frequencies, power)
    peak = ndimage.gaussian_filter1d(even, 8)[20:-20].argmax() + 20
    near = slice(max(peak - 20, 0), peak + 21)  # two semitones each way
    return float(2 ** np.average(octaves[near], weights=even[near]))


def partial(waveform: np.ndarray, sample_rate: int, pitch: float) -> tuple[np.ndarray, np.ndarray]:
    """The strongest partial near a pitch (Hz), FOLLOWED times a second: its cents above the pitch, and its power.

    The peak of each spectrum, refined by the parabola through the logarithms of it and its neighbours.
    """
    length = round(WINDOW * sample_rate)
    overlap, padded = length - sample_rate // FOLLOWED, max(length, 2048)
    frequencies, spectra = stft(waveform, sample_rate, length, overlap, padded)
    near = np.flatnonzero((frequencies > pitch / 2**REACH) & (frequencies < pitch * 2**REACH))
    around = slice(near[0] - 1, near[-1] + 2)
    power = np.log(np.abs(spectra[around]) ** 2 + 1e-20)
    peaks, places = power[1:-1].argmax(axis=0) + 1, np.arange(power.shape[1])
    before, at, after = (power[peaks + step, places] for step in (-1, 0, 1))
    beside = (before - after) / (2 * np.minimum(before - 2 * at + after, -1e-9))  # bins
    found = frequencies[peaks + around.start] + beside.clip(-0.5, 0.5) * frequencies[1]
    return 1200 * np.log2(found / pitch), np.exp(at)


def warble(waveform: np.ndarray, sample_rate: int) -> Warble:
    """Frequency modulation of the strongest partial at the rates of WARBLES, averaged over the sound by its power."""
    middle = pitch(waveform, sample_rate)
    if math.isnan(middle):
        return Warble(math.nan, math.nan)
    cents, power = partial(waveform, sample_rate, middle)

    def smoothed(values: np.ndarray) -> np.ndarray:
        return ndimage.gaussian_filter1d(values, TOGETHER * FOLLOWED, mode="constant")

    weights = smoothed(power)
    wavering = power * (cents - smoothed(power * cents) / np.maximum(weights, 1e-30))
    sines = np.exp(2j * np.pi * WARBLES[:, None] * np.arange(len(cents)) / FOLLOWED)
    depths = 2 * np.abs(smoothed(wavering * sines)).sum(axis=1) / weights.sum()
    return Warble(float(depths.max()), float(WARBLES[depths.argmax()]))


def strokes(waveform: np.ndarray, sample_rate: int) -> int:
    """Number of strokes: peaks of the level that stand out of their surroundings."""
    hop = sample_rate // 100
    level = ndimage.gaussian_filter1d(levels(waveform, 4 * hop, hop), 1.5)
    if level.max() < SILENT:
        return 0
    floor = level.max() - DEPTH
    level = np.pad(np.maximum(level, floor - RISE), 1, constant_values=floor - RISE)
    peaks, _ = signal.find_peaks(level, height=floor, prominence=RISE, distance=round(APART * 100))
    return len(peaks)
