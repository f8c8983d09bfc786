"""Perceptual fingerprints: 400 bits of how a pair looks and sounds, and which pairs of a corpus are nearly equal.

Re-encoding and resizing flip a few bits; another picture or another sound flips about half of them.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy.fft import dctn, rfft

REDUCED = 32  # pixels to a side of the picture whose frequencies are looked at
WAVES = 12  # of these frequencies, the lowest to a side
PICTURE_BITS = WAVES**2

STEPS, BANDS = 16, 16  # of the sound
SOUND_BITS = STEPS * BANDS
LOWEST, HIGHEST = 300.0, 3400.0  # Hz: what even a telephone keeps
OVERLAP = 4  # a window lasts so many steps: a small shift of the sound changes little
RESOLUTION = 20.0  # Hz, at least: the narrowest band is 46 Hz wide


class Fingerprint(NamedTuple):
    """The fingerprint of a pair, as bits packed into bytes; where a picture or a sound is alone, the other has none."""

    picture: bytes  # PICTURE_BITS
    sound: bytes  # SOUND_BITS


def of(picture: Image.Image | None, sound: tuple[np.ndarray, int] | None) -> Fingerprint:
    """The fingerprint of a picture and of a sound, a waveform of at least 17 samples and its rate in Hz."""
    of_picture = b"" if picture is None else _packed(picture_bits(picture))
    return Fingerprint(of_picture, b"" if sound is None else _packed(sound_bits(*sound)))


def picture_bits(picture: Image.Image) -> np.ndarray:
    """Which low frequencies of the reduced grey picture lie above their median: bool (PICTURE_BITS,).

    A perceptual hash by the cosine transform: Zauner, "Implementation and Benchmarking of Perceptual Image Hash
    Functions", 2010, section 3.2.1.
    """
    grey = np.asarray(picture.convert("L").resize((REDUCED, REDUCED), Image.Resampling.LANCZOS), np.float64)
    low = dctn(grey, norm="ortho")[:WAVES, :WAVES].ravel()
    return low > np.median(low)


def sound_bits(wave: np.ndarray, rate: int) -> np.ndarray:
    """Whether the step from each band to the next grows or shrinks from each moment to the next: bool (SOUND_BITS,).

    Haitsma & Kalker, "A Highly Robust Audio Fingerprinting System", ISMIR 2002, section 4.2; with a fixed number of
    moments, spread over the whole of the sound, however long.
    """
    steps = -np.diff(_energies(wave, rate), axis=1)  # (moments, bands)
    return (np.diff(steps, axis=0) > 0).ravel()


def near(prints: Sequence[Fingerprint], picture_bits: int, sound_bits: int) -> list[tuple[int, int]]:
    """All pairs of positions (i < j), in order, whose pictures differ in at most `picture_bits` of their bits, and
    whose sounds differ in at most `sound_bits`.

    Bits that differ in at most k places agree in at least two of k + 2 parts, so only what agrees in two parts is
    compared. The work is almost linear where pictures are various; among n that look alike it grows as n².
    """
    if len(prints) < 2:
        return []
    pictures = _words([print_.picture for print_ in prints])
    sounds = _words([print_.sound for print_ in prints])
    found: set[tuple[int, int]] = set()
    for one_part, other_part in combinations(_parts(pictures, picture_bits + 2), 2):
        keys = one_part << 32 | other_part
        order = np.argsort(keys)
        for one, other in _agreeing(keys[order]):
            one, other = order[one], order[other]
            for words, most in ((pictures, picture_bits), (sounds, sound_bits)):
                close = _close(words[one], words[other], most)
                one, other = one[close], other[close]
            found.update((min(i, j), max(i, j)) for i, j in zip(one.tolist(), other.tolist(), strict=True))
    return sorted(found)


def first_near(some: Sequence[bytes], others: Sequence[bytes], bits: int) -> list[int | None]:
    """For each picture (or sound) the position of the first of `others` within `bits` differing bits; None without one.

    Only those are compared that differ little in one part of 16 bits: Norouzi, Punjani & Fleet, "Fast Search in Hamming
    Space with Multi-Index Hashing", CVPR 2012. Beside 200,000 various sounds that is one in 50, of pictures one in 900.
    Memory grows with the others alone.
    """
    if not some or not others:
        return [None] * len(some)
    known, own_parts, parts = _words(others), _sixteens(some), _sixteens(others)
    order = np.stack([np.argsort(part, kind="stable").astype(np.uint32) for part in parts.T])
    starts = np.stack([np.searchsorted(np.sort(part), np.arange(2**16 + 1)) for part in parts.T])
    part, flips = _probes(parts.shape[1], bits)
    found: list[int | None] = []
    for word, own in zip(_words(some), own_parts, strict=True):
        keys = own[part] ^ flips
        first = starts[part, keys]
        counts = starts[part, keys.astype(np.int64) + 1] - first
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        places = order[np.repeat(part, counts), np.repeat(first, counts) + within]
        near = places[_close(known[places], word, bits)]
        found.append(int(near.min()) if near.size else None)
    return found


def differing(one: bytes, other: bytes) -> int:
    """Hamming distance, in bits, of two pictures' or two sounds' fingerprints."""
    return (int.from_bytes(one) ^ int.from_bytes(other)).bit_count()


def _energies(wave: np.ndarray, rate: int) -> np.ndarray:
    """Energy of the bands around evenly spaced moments of a sound: (STEPS + 1, BANDS + 1)."""
    step = len(wave) / (STEPS + 1)
    length = max(round(OVERLAP * step), 2)  # samples of a window
    starts = np.round((np.arange(STEPS + 1) + 0.5) * step).astype(int)
    padded = np.pad(wave, (length // 2, length))
    windows = padded[starts[:, None] + np.arange(length)] * np.hanning(length).astype(np.float32)
    samples = max(length, round(rate / RESOLUTION))
    spectra = rfft(windows, samples)  # (moments, frequencies)
    power = spectra.real**2 + spectra.imag**2
    edges = np.searchsorted(np.fft.rfftfreq(samples, 1 / rate), np.geomspace(LOWEST, HIGHEST, BANDS + 2))
    return np.diff(np.cumsum(np.pad(power, ((0, 0), (1, 0))), axis=1, dtype=np.float64)[:, edges], axis=1)


def _packed(bits: np.ndarray) -> bytes:
    return np.packbits(bits).tobytes()


def _words(halves: Sequence[bytes]) -> np.ndarray:
    """Fingerprints of n pictures, or n sounds, as words: uint64 (n, words)."""
    packed = np.frombuffer(b"".join(halves), np.uint8).reshape(len(halves), -1)
    return np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8))).view(np.uint64)


def _close(some: np.ndarray, others: np.ndarray, most: int) -> np.ndarray:
    """Which fingerprints, as words (n, words), differ in at most `most` bits from the others, or one: bool (n,)."""
    return np.bitwise_count(some ^ others).sum(axis=1) <= most


def _sixteens(halves: Sequence[bytes]) -> np.ndarray:
    """Fingerprints of n pictures, or n sounds, in parts of 16 bits: uint16 (n, parts)."""
    return np.frombuffer(b"".join(halves), np.uint16).reshape(len(halves), -1)


def _probes(parts: int, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """All changes of single parts of which one at least turns a part into that of whatever differs in so many bits.

    The numbers of the parts, and the bits that change there: int64 (n,), uint16 (n,). With bits = parts × r + rest, a
    part among the first rest + 1 differs in r bits at most, or one of the others in r - 1: else more bits would differ.
    """
    each, rest = divmod(bits, parts)
    flips = [
        (part, sum(1 << bit for bit in changed))
        for part in range(parts)
        for count in range(each + (part <= rest))
        for changed in combinations(range(16), count)
    ]
    numbers, masks = zip(*flips, strict=True)
    return np.array(numbers), np.array(masks, np.uint16)


def _parts(words: np.ndarray, count: int) -> list[np.ndarray]:
    """Every `count`-th bit, from each of the first on, as a number below 2³²: `count` of uint64 (n,).

    Equal bits give equal numbers; of more than 31 bits, others may give the same.
    """
    bits = np.unpackbits(words.view(np.uint8), axis=1)
    parts = (bits[:, part::count] for part in range(count))
    return [part @ (1 << np.arange(part.shape[1], dtype=np.uint64) % 31) % 2**32 for part in parts]


def _agreeing(ordered: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Every two positions of sorted keys that are equal, once: blocks (m,), (m,)."""
    first, apart = np.arange(len(ordered)), 0
    while first.size:
        apart += 1
        first = first[first + apart < len(ordered)]
        first = first[ordered[first] == ordered[first + apart]]
        yield first, first + apart
