"""Streaming cross-fades that keep the level constant, whatever the correlation."""

from collections.abc import Iterable, Iterator

import numpy as np


def crossfaded(waves: Iterable[np.ndarray], shared: int) -> Iterator[np.ndarray]:
    """Join waveforms (samples,), each at least 2 × `shared` long, of which neighbours share `shared` samples.

    n waveforms of s samples come as n + 1 blocks, together n s − (n − 1) shared; no more than one is held. Each fades
    into the next by `faded`. A waveform that correlates negatively with its neighbour is inverted, which is inaudible.
    """
    tail = np.zeros(0, np.float32)  # of the waveform before
    for wave in waves:
        head = wave[:shared]
        if len(tail) and tail @ head < 0:
            wave, head = -wave, -head
        yield np.concatenate([faded(tail, head) if len(tail) else head, wave[shared:-shared]])
        tail = wave[-shared:]
    yield tail


def faded(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """One stretch of sound fading into another, both (samples,), at the level of sounds correlated as these are.

    Unrelated ones fade at constant power, equal ones linearly, and all others in between: a ramp divided by the level
    that a sum so weighted has (Fink, Holters & Zölzer, "Signal-Matched Power-Complementary Cross-Fading and Dry-Wet
    Mixing", DAFx 2016).
    """
    rise = ((np.arange(len(first)) + 0.5) / len(first)).astype(np.float32)
    fall = 1 - rise
    level = np.sqrt(fall**2 + rise**2 + 2 * rise * fall * _correlation(first, second))
    return (fall * first + rise * second) / level


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Normalised correlation at lag 0, in [0, 1]; 0 for silence and for negative correlations."""
    energies = float(first @ first) * float(second @ second)
    return min(max(float(first @ second) / energies**0.5, 0.0), 1.0) if energies > 0 else 0.0
