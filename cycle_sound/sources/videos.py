"""Pairs cut from a folder of video files: a frame, and the sound around it.

The folder is what is asked for. The optional list of labels (`NAME.mp4,label`, no header, as VGGSound has it) labels
the files found; what it lists beyond them is not asked for, because such a list names a whole corpus, of which a folder
usually holds a part. File and list are matched by name without extension: a corpus is often converted.
"""

import csv
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from cycle_sound import audio, hygiene, images, splits
from cycle_sound.params import Data
from cycle_sound.sources.clip import Clip, Pair, Rejected

EXTENSIONS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".flv", ".ogv", ".3gp")
EXCERPT = re.compile(r"(.{11})_\d{6}")  # VGGSound's YOUTUBEID_SSSSSS: one video, several excerpts
PREROLL = 0.2  # s decoded before the sound wanted: a codec's first block after a jump is not right yet
MICROSECONDS = 1_000_000  # FFmpeg's unit for a whole file


def fetch(path: Path, place: float, clip_seconds: float, min_seconds: float, still_difference: float) -> Pair:
    """The frame at `place` (0 the start of the video, 1 its end) and `clip_seconds` of sound centred on it.

    Near an end the sound is shifted to stay inside the file; of a shorter file it is all there is. The picture is a
    JPEG of the frame's size, upright; the sound a mono MP3 at the file's rate, or the nearest one that MP3 has.
    Raises `Rejected`, or what PyAV raises for a broken file.
    """
    with av.open(str(path.absolute())) as container:  # absolute: no name can read as an option or a protocol
        video = next((stream for stream in container.streams.video if not _is_cover(stream)), None)
        if video is None:
            raise Rejected("no_video", "holds no video stream")
        if not container.streams.audio:
            raise Rejected("no_audio", "holds no audio stream")
        sound = container.streams.audio[0]
        if video.width * video.height > images.MAX_PIXELS:
            raise Rejected("corrupt", f"frames of {video.width} x {video.height} pixels")
        if sound.rate not in audio.RATES:
            raise Rejected("corrupt", f"sound at {sound.rate} Hz")
        seconds = _seconds(container, video, sound)
        start = min(max(place * seconds - clip_seconds / 2, 0), max(seconds - clip_seconds, 0))
        picture = _frame(container, video, place * seconds)
        ends = [_frame(container, video, moment) for moment in (start, min(start + clip_seconds, seconds))]
        wave = _sound(container, sound, start, clip_seconds)
    if len(wave) < min_seconds * sound.rate:
        raise Rejected("too_short", f"{len(wave) / sound.rate:.3f} s of sound")
    motion = hygiene.motion([picture, *ends])
    if motion < still_difference:
        raise Rejected("still", f"frames differ by {motion:.2f} levels; data.still_difference is {still_difference}")
    return Pair(images.encode_jpeg(picture), audio.encode_mp3(wave, sound.rate))


def clips(data: Data) -> list[Clip]:
    """data.videos.pairs_per_clip clips of each video file: evenly spaced moments, with ids STEM_0, STEM_1, …

    (STEM alone for one.) All clips of a source video share its group, and so its split: test for the groups whose hash
    falls below data.videos.test_share, at least one where there are two. Raises ValueError for a folder without video
    files, and for a malformed or missing list.
    """
    root = Path(data.videos.path)
    if not root.is_dir():
        raise ValueError(f"data.videos.path: no such folder: {root}")
    found = sorted(path for path in root.iterdir() if path.suffix.lower() in EXTENSIONS and path.is_file())
    found = [path for path in found if not path.name.startswith(".")]
    if not found:
        raise ValueError(f"{root}: holds no video files ({', '.join(EXTENSIONS)})")
    labels = _labels(Path(data.videos.labels)) if data.videos.labels else {}
    test = splits.held_out(map(_group, found), data.videos.test_share)
    count = data.videos.pairs_per_clip
    return [
        Clip(
            id=path.stem if count == 1 else f"{path.stem}_{i}",
            split="test" if _group(path) in test else "train",
            label=labels.get(path.stem, ""),
            group=_group(path),
            fetch=partial(fetch, path, (i + 0.5) / count, data.clip_seconds, data.min_seconds, data.still_difference),
        )
        for path in found
        for i in range(count)
    ]


def _group(path: Path) -> str:
    excerpt = EXCERPT.fullmatch(path.stem)
    return excerpt[1] if excerpt else path.stem


def _labels(path: Path) -> dict[str, str]:
    labels: dict[str, str] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            for row in filter(None, reader):
                if len(row) != 2:
                    raise ValueError(f"{path}: line {reader.line_num}: needs two columns, NAME.mp4,label")
                labels[Path(row[0]).stem] = row[1]
    except FileNotFoundError:
        raise ValueError(f"data.videos.labels: no such file: {path}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: not a CSV file in UTF-8: {error}") from None
    return labels


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
    nearest, distance = None, np.inf
    for time, frame in _from(container, stream, moment):
        if abs(time - moment) < distance:
            nearest, distance = frame, abs(time - moment)
        if time >= moment:
            break
    if nearest is None:
        raise Rejected("no_video", f"no frame at {moment:.3f} s")
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
