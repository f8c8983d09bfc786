"""Pairs cut from a folder of video files: a frame, and the sound around it.

The clips asked for are those of the files found. An optional list (`NAME.mp4,label`, no header, as VGGSound has it)
labels them; what it lists beyond them is not asked for, because such a list names a whole corpus, of which a folder
usually holds a part. Files and list are matched by name without extension: a corpus is often converted.
"""

import csv
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any

import av
import numpy as np
from PIL import Image

from cycle_sound.acquisition import quality, splits
from cycle_sound.acquisition.sources import archives, lists, moments
from cycle_sound.acquisition.sources.clip import Clip, Pair, Rejected
from cycle_sound.acquisition.sources.moments import Frame, Moment
from cycle_sound.errors import BadSource
from cycle_sound.io import names
from cycle_sound.media import images, picture_files, sound_files
from cycle_sound.params import DataConfig

# FFmpeg's names of what a video file is. Others are playlists, which lead to more files, or would only add risk.
FORMATS = {"format_whitelist": "mov,matroska,avi,mpeg,mpegvideo,mpegts,flv,ogg"}
PREROLL = 0.2  # s decoded before the sound wanted: a codec's first block after a jump is not right yet
GAP = 0.5  # s, or two frames of a slower film: a stream that ends so long before the moment is cut off
MICROSECONDS = 1_000_000  # FFmpeg's unit for a whole file


def fetch(path: Path, moment: Moment, clip_seconds: float, min_seconds: float, still_difference: float) -> Pair:
    """The pair at a moment of a video file, as `cut` makes it."""
    with path.open("rb") as file:
        return cut(file, moment, clip_seconds, min_seconds, still_difference)


def cut(file: IO[bytes], moment: Moment, clip_seconds: float, min_seconds: float, still_difference: float) -> Pair:
    """The frame at a moment of a video (a seekable file) and `clip_seconds` of sound centred on it.

    Near an end the sound is shifted to stay inside the file; of a shorter file it is all there is. The picture is a
    JPEG of the frame's size, upright; the sound a mono MP3 at the file's rate, or the nearest one that MP3 has.
    Raises `Rejected`, or what PyAV raises for a broken file.
    """
    with av.open(file, options=FORMATS) as container:
        video, sound = _streams(container)
        seconds = _seconds(container, video, sound)
        time = _time(container, video, moment, seconds)
        start = min(max(time - clip_seconds / 2, 0), max(seconds - clip_seconds, 0))
        picture = _frame(container, video, time)
        ends = [_frame(container, video, end) for end in (start, min(start + clip_seconds, seconds))]
        wave = _sound(container, sound, start, clip_seconds)
    if len(wave) < min_seconds * sound.rate:
        raise Rejected("too_short", f"{len(wave) / sound.rate:.3f} s of sound")
    motion = quality.motion([picture, *ends])
    if motion < still_difference:
        raise Rejected("still", f"frames differ by {motion:.2f} levels; data.still_difference is {still_difference}")
    return Pair(picture_files.encode_jpeg(picture), sound_files.encode_mp3(wave, sound.rate))


def check(path: Path) -> None:
    """Raise `Rejected` for a file that is no video, whatever its name says, or one with nothing in it."""
    try:
        with path.open("rb") as file, av.open(file, options=FORMATS) as container:
            if not container.streams:
                raise Rejected("no_video", "a video without a single frame or sound")
    except av.FFmpegError as error:
        raise Rejected("corrupt", f"no video file: {error.strerror}") from None


def clips(data: DataConfig) -> list[Clip]:
    """The clips of each video file: its middle, or data.videos.pairs_per_clip moments, named by `name`.

    All clips of a source video share its group, and so its split: test for the groups whose hash falls below
    data.videos.test_share, at least one where there are two. Raises `BadSource` for a folder without video files, and
    for a malformed or missing list.
    """
    root = Path(data.videos.path)
    if not root.is_dir():
        raise BadSource(f"data.videos.path: no such folder: {root}")
    found = sorted(path for path in root.iterdir() if archives.is_video(path.name) and path.is_file())
    if not found:
        raise BadSource(f"{root}: holds no video files ({', '.join(archives.EXTENSIONS)})")
    labels = _labels(Path(data.videos.labels)) if data.videos.labels else {}
    test = splits.held_out(map(_group, found), data.videos.test_share)
    wanted = moments.of_all(data.pairs, data.videos.pairs_per_clip)
    return [
        Clip(
            id=name(names.stem(path), i, len(wanted)),
            split="test" if _group(path) in test else "train",
            label=labels.get(names.stem(path), ""),
            group=_group(path),
            fetch=partial(fetch, path, moment, data.clip_seconds, data.min_seconds, data.still_difference),
        )
        for path in found
        for i, moment in enumerate(wanted)
    ]


def name(stem: str, i: int, count: int) -> str:
    """The id of the i-th of `count` clips of a video: STEM_0, STEM_1, …, or STEM where it is the only one."""
    return stem if count == 1 else f"{stem}_{i}"


def _group(path: Path) -> str:
    """The source video: of an excerpt as VGGSound names them, the YouTube id."""
    excerpt = lists.recognised(path.stem)
    return excerpt.video if excerpt else names.stem(path)


def _labels(path: Path) -> dict[str, str]:
    labels: dict[str, str] = {}
    with lists.opened(path) as file:
        reader = csv.reader(file)
        for row in filter(None, reader):
            place = f"{path}: line {reader.line_num}"
            if len(row) != 2:
                raise BadSource(f"{place}: needs two columns, NAME.mp4,label")
            lists.add(labels, names.stem(Path(row[0])), row[1], f"{place}: {row[0]}")
    return labels


def _streams(container: Any) -> tuple[Any, Any]:
    """The video and the sound. Raises `Rejected` where one is missing, or is not what a camera makes."""
    video = next((stream for stream in container.streams.video if not _is_cover(stream)), None)
    if video is None:
        raise Rejected("no_video", "holds no video stream")
    if not container.streams.audio:
        raise Rejected("no_audio", "holds no audio stream")
    sound = container.streams.audio[0]
    if video.width * video.height > images.MAX_PIXELS:
        raise Rejected("corrupt", f"frames of {video.width} x {video.height} pixels")
    if sound.rate not in sound_files.RATES:
        raise Rejected("corrupt", f"sound at {sound.rate} Hz")
    return video, sound


def _is_cover(stream: Any) -> bool:
    """Whether a video stream is a still cover picture."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _seconds(container: Any, *streams: Any) -> float:
    """How long all the streams last: from the headers, or from the packets where these say nothing (recorded live)."""
    known = [float(stream.duration * stream.time_base) for stream in streams if stream.duration]
    if container.duration:
        known.append(container.duration / MICROSECONDS)
    if not known:
        start = (container.start_time or 0) / MICROSECONDS
        ends = (float(packet.pts * packet.time_base) for packet in container.demux(*streams) if packet.pts is not None)
        known.append(max(ends, default=start) - start)
    return min(known)


def _time(container: Any, video: Any, moment: Moment, seconds: float) -> float:
    """A moment in seconds from the file's start."""
    if not isinstance(moment, Frame):
        return moment * seconds
    late = float((video.start_time or 0) * video.time_base) - (container.start_time or 0) / MICROSECONDS
    time = late + moment.number / _rate(video)
    if time > seconds + GAP:
        raise Rejected("too_short", f"frame {moment.number} lies at {time:.3f} s of {seconds:.3f} s")
    return time


def _rate(video: Any) -> float:
    """Frames per second."""
    return float(video.average_rate or video.guessed_rate or 1)


def _from(container: Any, stream: Any, moment: float) -> Iterator[tuple[float, Any]]:
    """Decode a stream from a key frame before `moment`: (time, frame), both in seconds from the file's start."""
    first = container.start_time or 0
    container.seek(first + round(max(moment, 0) * MICROSECONDS))
    time = 0.0
    for frame in container.decode(stream):
        time = time if frame.time is None else frame.time - first / MICROSECONDS
        yield time, frame


def _frame(container: Any, stream: Any, moment: float) -> Image.Image:
    """The frame nearest to `moment`, upright."""
    nearest, distance, time = None, np.inf, 0.0
    for time, frame in _from(container, stream, moment):
        if abs(time - moment) < distance:
            nearest, distance = frame, abs(time - moment)
        if time >= moment:
            break
    if nearest is None:
        raise Rejected("no_video", f"no frame at {moment:.3f} s")
    if distance > max(GAP, 2 / _rate(stream)) and time < moment:
        raise Rejected("corrupt", f"the pictures end at {time:.3f} s, before {moment:.3f} s")
    if nearest.width * nearest.height > images.MAX_PIXELS:  # the stream may say otherwise than its header
        raise Rejected("corrupt", f"a frame of {nearest.width} x {nearest.height} pixels")
    picture: Image.Image = nearest.to_image()
    return picture.rotate(nearest.rotation, expand=True) if nearest.rotation else picture


def _sound(container: Any, stream: Any, start: float, seconds: float) -> np.ndarray:
    """The waveform from `start` on, channels averaged: so many seconds, or fewer where the stream ends."""
    to_float = av.AudioResampler(format="fltp", rate=stream.rate)
    first, waves, samples = None, [np.zeros(0, np.float32)], 0
    for time, frame in _from(container, stream, start - PREROLL):
        if first is None:
            first = time
        for part in to_float.resample(frame):
            waves.append(part.to_ndarray().mean(axis=0))  # (channels, samples)
            samples += len(waves[-1])
        if first + samples / stream.rate >= start + seconds:
            break
    skipped = max(0, round((start - (first or 0)) * stream.rate))
    return np.concatenate(waves)[skipped : skipped + round(seconds * stream.rate)]
