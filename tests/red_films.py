"""Films that turn from black to red, with a sound that grows."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np


def film(
    path: Path,
    seconds: float = 3.0,
    *,
    mute: bool = False,
    blind: bool = False,
    still: bool = False,
    rotation: int = 0,
    seed: int = 0,
) -> None:
    """A video that turns from black to red, with a sound that grows from nothing over its length."""
    rate, frames = 22050, round(seconds * 10)
    with av.open(str(path), "w") as container:
        streams: list[Any] = []  # all of them before the first packet: the header names them
        if not blind:
            video = container.add_stream("mpeg4", rate=10)
            video.width, video.height, video.pix_fmt, video.gop_size = 64, 48, "yuv420p", 12
            video.set_display_rotation(rotation)
            streams.append((video, film_frames(frames, still)))
        if not mute:
            sound = container.add_stream("pcm_s16le" if path.suffix == ".avi" else "aac", rate=rate, layout="stereo")
            streams.append((sound, film_sound(seconds, rate, seed)))
        for stream, parts in streams:
            for part in parts:
                container.mux(stream.encode(part))
            container.mux(stream.encode())


def film_frames(count: int, still: bool) -> Iterator[av.VideoFrame]:
    for i in range(count):
        picture = np.zeros((48, 64, 3), np.uint8)
        picture[..., 0] = 100 if still else 255 * i // count
        yield av.VideoFrame.from_ndarray(picture, format="rgb24")


def film_sound(seconds: float, rate: int, seed: int, size: int = 1024) -> Iterator[av.AudioFrame]:
    wave = np.random.default_rng(seed).normal(0, 0.2, (2, round(seconds * rate)))
    wave = (wave * np.linspace(0, 1, wave.shape[1])).clip(-1, 1)
    for start in range(0, wave.shape[1], size):
        pulses = np.rint(32767 * wave[:, start : start + size].T.reshape(1, -1)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(pulses, format="s16", layout="stereo")
        frame.rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
        yield frame


def tagged(path: Path, stream: bool, tag: bytes) -> None:
    """A film with a tag of any bytes: the title of the whole, or of its streams."""
    plain, marker = path.with_stem("plain"), "M" * len(tag)
    film(plain)
    with av.open(str(plain)) as source, av.open(str(path), "w") as target:
        streams = {one: target.add_stream_from_template(one) for one in source.streams}
        for metadata in [one.metadata for one in streams.values()] if stream else [target.metadata]:
            metadata["title"] = marker
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream]
                target.mux(packet)
    plain.unlink()
    assert marker.encode() in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(marker.encode(), tag))
