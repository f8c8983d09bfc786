"""Films that tell their own time t: the pictures are 20 + 20 t bright, the pitch of the sound is 300 + 200 t Hz."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from cycle_sound.acquisition.sources.clip import Pair
from cycle_sound.media import images, sound_files

RATE = 16000
SIZE = (64, 48)
QUALITY = {"libx264": {"sc_threshold": "0", "crf": "3"}, "libsvtav1": {"crf": "10"}}
FORMATS = {".ts": "mpegts", ".mpg": "mpeg"}


def telling_film(
    path: Path,
    times: Sequence[float],
    heard: tuple[float, float],
    codec: str = "libx264",
    gop: int = 12,
    ticks: int = 1000,
    **video: Any,
) -> Path:
    """Write a film with pictures at `times`, in `ticks` a second, and with sound from heard[0] to heard[1]."""
    with av.open(str(path), "w", format=FORMATS.get(path.suffix)) as container:
        moving = picture_stream(container, codec, gop, ticks, **video)
        sound = sound_stream(
            container, "mp2" if path.suffix == ".mpg" else {"mpeg2video": "mp2", "libvpx": "libopus"}.get(codec, "aac")
        )
        mux(container, moving, (shade(20 + 20 * time, time, ticks) for time in times))
        mux(container, sound, chirp(*heard))
    return path


def picture_stream(container: Any, codec: str = "libx264", gop: int = 12, ticks: int = 1000, **video: Any) -> Any:
    """A new stream of pictures."""
    stream = container.add_stream(codec, rate=25)
    stream.width, stream.height, stream.pix_fmt, stream.gop_size = *SIZE, "yuv420p", gop
    stream.codec_context.time_base = Fraction(1, ticks)
    stream.bit_rate = 0 if codec == "libsvtav1" else 3_000_000
    stream.options = QUALITY.get(codec, {"qmin": "1", "qmax": "2"})
    for name, value in video.items():
        setattr(stream.codec_context, name, value)
    return stream


def sound_stream(container: Any, codec: str = "aac", layout: str = "mono") -> Any:
    """A new stream of sound."""
    return container.add_stream(codec, rate=RATE, layout=layout)


def mux(container: Any, stream: Any, frames: Iterable[Any]) -> None:
    """Encode all frames of a stream."""
    with usual_scheduling():
        for frame in frames:
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


@contextmanager
def usual_scheduling() -> Iterator[None]:
    """Put the calling thread's scheduling back at the end.

    SVT-AV1, opened by root, lets it go before all others (SCHED_FIFO at 99) for good. Processes that it starts inherit
    that, and a browser then takes all cores.
    """
    if not hasattr(os, "sched_setscheduler"):
        yield
        return
    policy, param = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, param)


def picture(pixels: np.ndarray, time: float, ticks: int = 1000) -> av.VideoFrame:
    """A frame to be shown at a time."""
    frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
    frame.pts, frame.time_base = round(time * ticks), Fraction(1, ticks)
    return frame


def shade(level: float, time: float, ticks: int = 1000) -> av.VideoFrame:
    """An evenly grey frame."""
    return picture(np.full((SIZE[1], SIZE[0], 3), round(level), np.uint8), time, ticks)


def chirp(start: float, end: float) -> Iterator[av.AudioFrame]:
    """The sound that tells its time."""
    times = np.arange(round(start * RATE), round(end * RATE)) / RATE
    return heard(0.5 * np.sin(2 * np.pi * (300 + 100 * times) * times)[None], start)


def heard(channels: np.ndarray, start: float = 0.0, rate: int = RATE) -> Iterator[av.AudioFrame]:
    """Frames of sound, (channels, samples), from a time on."""
    pulses = np.rint(32767 * channels).astype(np.int16)
    for place in range(0, pulses.shape[1], 1024):
        part = np.ascontiguousarray(pulses[:, place : place + 1024].T.reshape(1, -1))
        frame = av.AudioFrame.from_ndarray(part, format="s16", layout="mono" if len(channels) == 1 else "stereo")
        frame.sample_rate, frame.pts, frame.time_base = rate, round(start * rate) + place, Fraction(1, rate)
        yield frame


def evenly(start: float, end: float, rate: int = 10) -> list[float]:
    """The times of `rate` pictures a second."""
    return [start + number / rate for number in range(round((end - start) * rate))]


def time_seen(pair: Pair) -> float:
    """The time that a pair's picture tells."""
    return float((images.to_array(images.open_picture(pair.picture), 16).mean() - 20) / 20)


def time_heard(pair: Pair) -> float:
    """The time that the middle of a pair's sound tells: of a sine whose pitch rises, how often it crosses zero."""
    wave, rate = sound_files.decode(pair.sound)
    wave = wave[len(wave) // 8 : -len(wave) // 8]
    crossings = np.flatnonzero(np.diff(np.signbit(wave)))
    pitch = (len(crossings) - 1) / 2 / ((crossings[-1] - crossings[0]) / rate)
    return float((pitch - 300) / 200)
