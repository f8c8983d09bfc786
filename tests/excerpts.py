"""Excerpts of videos: lists of them, and what their pictures and sounds are."""

from fractions import Fraction
from functools import lru_cache
from itertools import takewhile
from pathlib import Path
from typing import Any

import av
import numpy as np

from cycle_sound.acquisition.sources.clip import Pair
from cycle_sound.media import images

DEAF = "0jZtLuEdjrk_000110"  # the real clip without sound


def ids(count: int) -> list[str]:
    """YouTube ids as hard as they come."""
    return [f"-_{'abcdefghijklmnop'[i]}_-_000{i // 10}{i % 10}" for i in range(count)]


def write_list(path: Path, rows: list[tuple[Any, ...]]) -> None:
    """Write a list of excerpts; the third column, of labels, in quotes."""
    path.write_text(
        "".join(",".join(f'"{value}"' if i == 2 else str(value) for i, value in enumerate(row)) + "\n" for row in rows)
    )


def brightness(pair: Pair) -> float:
    return float(images.to_array(images.open_picture(pair.picture), 16).mean())


def decoded(path: Path, after: float = 0.0, before: float = np.inf) -> list[tuple[float, np.ndarray]]:
    """The frames between two times, in seconds from the file's start, decoded from the first on without a jump."""
    with av.open(str(path)) as container:
        first = Fraction(container.start_time or 0, 1_000_000)
        timed = ((float(frame.pts * frame.time_base - first), frame) for frame in container.decode(video=0))
        shown = takewhile(lambda one: one[0] <= before, timed)
        return [(time, frame.to_ndarray(format="rgb24")) for time, frame in shown if time >= after]


def likest(pair: Pair, path: Path, moment: float) -> float:
    """When a video shows the picture of a pair, of the frames within half a second of a moment."""
    picture = np.asarray(images.open_picture(pair.picture)).astype(float)
    frames = decoded(path, moment - 0.5, moment + 0.5)
    return min(frames, key=lambda frame: abs(picture - frame[1]).mean())[0]


@lru_cache(1)
def heard(path: Path) -> tuple[np.ndarray, int]:
    """The whole sound, channels averaged, from the file's start on."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        resampler = av.AudioResampler(format="fltp", rate=stream.rate)
        frames = [part for frame in container.decode(stream) for part in resampler.resample(frame)]
        late = float(frames[0].pts * frames[0].time_base) - (container.start_time or 0) / 1_000_000
        wave = np.concatenate([frame.to_ndarray().mean(axis=0) for frame in frames])
        return np.pad(wave, (max(0, round(late * stream.rate)), 0)), stream.rate


def likeness(wave: np.ndarray, other: np.ndarray, reach: int) -> tuple[float, int]:
    """The largest correlation of two waveforms within `reach` samples, and how far they are shifted for it."""
    size = 1 << (len(wave) + len(other)).bit_length()
    product = np.fft.irfft(np.fft.rfft(other, size) * np.fft.rfft(wave, size).conj())
    near = np.concatenate([product[-reach:], product[: reach + 1]])
    best = int(near.argmax())
    return float(near[best] / np.linalg.norm(wave) / np.linalg.norm(other)), best - reach
