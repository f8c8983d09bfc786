"""How the toy orchestra sounds: eight kinds of thing, each a short note with its own envelope and spectrum (numpy).

Every kind is strongest at its pitch, so that one measure of pitch holds for all; they differ in how a note starts and
dies away, in what rings above the pitch, and in how much is noise.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft, rfftfreq

LOUD = -12.0  # dB, relative to full scale: level of the loudest stretch of a sound of loudness 0
STRETCH = 1024  # samples over which a level is taken
HIGHEST = 0.45  # of the sample rate: no partial above it
PEAK = 0.9  # of full scale
NOTE = 0.36  # seconds from the last stroke to the end of the clip, at least
GAPS = {2: (0.38, 0.62), 3: (0.38, 0.46)}  # seconds between strokes, for a clip of GAPS_FOR
GAPS_FOR = 1.536  # seconds, data.clip_seconds by default; shorter clips have shorter gaps


class Score(NamedTuple):
    """What a sound plays."""

    kind: str  # a key of VOICES
    pitch: float  # Hz
    loudness: float  # dB, at most 0
    strokes: int  # 1 to 3


class Touch(NamedTuple):
    """What all strokes of one sound have in common."""

    pitch: float  # Hz
    times: np.ndarray  # seconds since the stroke, (samples,)
    decay: float  # about 1: how long a struck thing rings
    length: float  # seconds: how long a blown note lasts
    bright: float  # about 1: weight of what lies above the pitch


Voice = Callable[[Touch, np.random.Generator], np.ndarray]


def ring(touch: Touch, ratios: Sequence[float], weights: Sequence[float], decays: Sequence[float]) -> np.ndarray:
    """A sum of dying sines at `ratios` × pitch; decays in seconds."""
    rate = 1 / (touch.times[1] - touch.times[0])
    sound = np.zeros_like(touch.times)
    for ratio, weight, decay in zip(ratios, weights, decays, strict=True):
        if touch.pitch * ratio < HIGHEST * rate:
            strength = weight * (touch.bright if ratio > 1 else 1)
            fade = np.exp(-touch.times / (decay * touch.decay))
            sound += strength * fade * np.sin(2 * np.pi * touch.pitch * ratio * touch.times)
    return sound


def band(touch: Touch, middle: float, width: float, rng: np.random.Generator) -> np.ndarray:
    """Noise of RMS 1 around `middle` Hz, a bell curve of standard deviation `width` Hz."""
    rate, count = 1 / (touch.times[1] - touch.times[0]), len(touch.times)
    samples = next_fast_len(count, real=True)
    spectrum = rfft(rng.standard_normal(samples))
    bell_curve = np.exp(-(((rfftfreq(samples, 1 / rate) - middle) / width) ** 2) / 2)
    noise = irfft(spectrum * bell_curve, samples)[:count]
    return noise / np.sqrt((noise**2).mean())


def held(touch: Touch, attack: float, release: float) -> np.ndarray:
    """Envelope of a blown note: rises over `attack`, lasts `touch.length`, falls over `release` seconds."""
    rise = np.clip(touch.times / attack, 0, 1)
    fall = np.clip((touch.length - touch.times) / release, 0, 1)
    return np.sin(np.pi / 2 * np.minimum(rise, fall)) ** 2


def swept(touch: Touch, bend: np.ndarray) -> np.ndarray:
    """Phase in radians of a tone at pitch × (1 + bend)."""
    step = touch.times[1] - touch.times[0]
    return 2 * np.pi * np.cumsum(touch.pitch * (1 + bend)) * step


def drum(touch: Touch, rng: np.random.Generator) -> np.ndarray:
    """A skin: falls to its pitch, dies at once, starts with a click."""
    tone = np.sin(swept(touch, 0.15 * np.exp(-touch.times / 0.008))) * np.exp(-touch.times / (0.09 * touch.decay))
    click = rng.standard_normal(len(touch.times)) * np.exp(-touch.times / 0.006)
    return tone + ring(touch, (1.59, 2.14), (0.3, 0.2), (0.04, 0.03)) + 0.5 * touch.bright * click


def bell(touch: Touch, rng: np.random.Generator) -> np.ndarray:
    """Metal: long, with partials that are no harmonics and that beat."""
    ratios = (1, 1.005, 2.41, 2.76, 4.1, 5.4, 8.9)
    return ring(touch, ratios, (1, 0.25, 0.25, 0.4, 0.25, 0.35, 0.2), (0.3, 0.3, 0.25, 0.2, 0.2, 0.15, 0.1))


def guitar(touch: Touch, rng: np.random.Generator) -> np.ndarray:
    """A plucked string: harmonics, the higher the shorter."""
    numbers = np.arange(1, 13)
    weights = np.sin(np.pi * numbers * rng.uniform(0.22, 0.3)) / numbers**0.8
    decays = 0.22 / (1 + 0.35 * (numbers - 1))
    return ring(touch, numbers.tolist(), (weights / weights[0]).tolist(), decays.tolist())


def flute(touch: Touch, rng: np.random.Generator) -> np.ndarray:
    """A soft, almost pure tone with breath and a slow start."""
    phase = swept(touch, 0.006 * np.sin(2 * np.pi * 5.5 * touch.times))
    breath = band(touch, 2.5 * touch.pitch, touch.pitch, rng)
    return held(touch, 0.09, 0.07) * (np.sin(phase) + 0.12 * np.sin(2 * phase) + 0.07 * touch.bright * breath)


def trumpet(touch: Touch, rng: np.random.Generator) -> np.ndarray:
    """Brass: many strong harmonics, the brighter the longer it blows."""
    top = int(HIGHEST / (touch.times[1] - touch.times[0]) / touch.pitch)
    phase = swept(touch, -0.02 * np.exp(-touch.times / 0.02))
    swell = np.clip(touch.times / 0.06, 0, 1)
    numbers = range(2, min(top, 14) + 1)
    tones = sum(0.75 * touch.bright * swell ** (n / 4) * np.sin(n * phase + n * n) / n**0.35 for n in numbers)
    return held(touch, 0.03, 0.04) * (1.3 * np.sin(phase) + tones)


def maraca(touch: Touch, rng: np.random.Generator) -> np.ndarray:
    """Seeds: a hollow rattle about the pitch under a short hiss."""
    rattle = band(touch, touch.pitch, 0.05 * touch.pitch, rng) * np.exp(-touch.times / (0.09 * touch.decay))
    hiss = band(touch, 5500, 1200, rng) * np.exp(-touch.times / (0.05 * touch.decay))
    return np.clip(touch.times / 0.012, 0, 1) * (rattle + 0.8 * touch.bright * hiss)


def xylophone(touch: Touch, rng: np.random.Generator) -> np.ndarray:
    """Wood: short, with one partial two octaves up and a knock."""
    return ring(touch, (1, 4, 9.2), (1, 0.7, 0.3), (0.06, 0.03, 0.012))


def bird(touch: Touch, rng: np.random.Generator) -> np.ndarray:
    """A trill: a clear tone that warbles widely about the pitch."""
    warble = np.sin(2 * np.pi * rng.uniform(13, 16) * touch.times)
    phase = swept(touch, 0.15 * warble**3)  # cubed: it dwells on the pitch, not at the ends of the sweep
    pulse = 0.75 - 0.25 * np.sin(2 * np.pi * 14 * touch.times)
    return held(touch, 0.02, 0.05) * pulse * (np.sin(phase) + 0.35 * touch.bright * np.sin(3 * phase))


VOICES: dict[str, Voice] = {
    "drum": drum,
    "bell": bell,
    "guitar": guitar,
    "flute": flute,
    "trumpet": trumpet,
    "maraca": maraca,
    "xylophone": xylophone,
    "bird": bird,
}


def onsets(strokes: int, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """When the strokes fall, in seconds: evenly spaced, the last with room to sound."""
    shrink = min(1.0, seconds / GAPS_FOR)  # a longer clip leaves more room around the strokes, not between them
    gap = rng.uniform(*GAPS[strokes]) * shrink if strokes > 1 else 0.0
    first = rng.uniform(0.02 * shrink, seconds - (strokes - 1) * gap - NOTE * shrink)
    return first + gap * np.arange(strokes)


def level(sound: np.ndarray) -> float:
    """RMS of the loudest stretch."""
    power = np.concatenate([[0.0], np.cumsum(sound**2)])
    return float(np.sqrt((power[STRETCH:] - power[:-STRETCH]).max() / STRETCH))


def play(score: Score, seconds: float, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Play a score: (samples,), within ±1. Timing, detuning, timbre and a noise floor come from `rng`."""
    starts = np.round(onsets(score.strokes, seconds, rng) * sample_rate).astype(int)
    pitch = score.pitch * 2 ** (rng.uniform(-20, 20) / 1200)
    decay, length, bright = rng.uniform(0.85, 1.15), rng.uniform(0.24, 0.3), rng.uniform(0.8, 1.2)
    sound = np.zeros(round(seconds * sample_rate))
    ends = [*starts[1:], len(sound)]
    for start, end in zip(starts, ends, strict=True):
        touch = Touch(pitch, np.arange(end - start) / sample_rate, decay, length * min(1.0, seconds / GAPS_FOR), bright)
        note = VOICES[score.kind](touch, rng)
        note[-160:] *= np.linspace(1, 0, 160)  # the next stroke damps the last without a click
        sound[start:end] = note * 10 ** (rng.uniform(-1, 1) / 20)
    sound *= 10 ** ((LOUD + score.loudness) / 20) / level(sound)
    sound *= min(1.0, PEAK / np.abs(sound).max())
    return sound + 10 ** (rng.uniform(-70, -55) / 20) * rng.standard_normal(len(sound))
