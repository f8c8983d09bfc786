"""Pairs cut from a folder of video files: a frame, and the sound around it.

The clips asked for are those of the files found. An optional list (`NAME.mp4,label`, no header, as VGGSound has it)
labels them; what it lists beyond them is not asked for, because such a list names a whole corpus, of which a folder
usually holds a part. Files and list are matched by name without extension: a corpus is often converted. Folders in the
folder are not looked into; where one holds films, a line on stderr says so.
"""

import csv
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from cycle_sound.acquisition import quality, splits
from cycle_sound.acquisition.sources import archives, lists, moments, subfolders
from cycle_sound.acquisition.sources.archives import Video
from cycle_sound.acquisition.sources.clip import Clip, Pair, Rejected, may_be_lone
from cycle_sound.acquisition.sources.footage import Film
from cycle_sound.acquisition.sources.moments import Moment
from cycle_sound.errors import BadSource
from cycle_sound.io import names
from cycle_sound.media import containers, images, picture_files, sound_files
from cycle_sound.params import DataConfig, SourceSplit


def cutting(moment: Moment, split: SourceSplit, data: DataConfig) -> Callable[[Film], Pair]:
    """`cut` at a moment, as the parameters have it for a split."""
    return partial(
        cut,
        moment=moment,
        clip_seconds=data.clip_seconds,
        min_seconds=data.min_seconds,
        still_difference=data.still_difference,
        lone=may_be_lone(split, data),
    )


def cut(
    film: Film, moment: Moment, *, clip_seconds: float, min_seconds: float, still_difference: float, lone: bool
) -> Pair:
    """The frame at a moment of a film and `clip_seconds` of sound centred on it; one alone of a `lone` film.

    Near an end of what has both picture and sound, the sound is shifted to stay inside; of less than that it is all
    there is. The picture is a JPEG of the frame as players show it; the sound a mono MP3 at the file's rate, or the
    nearest one that MP3 has.
    Raises `Rejected`, `BadSound`, or what PyAV raises for a broken file.
    """
    with film.opened(lone) as footage:
        time, seconds = footage.time(moment), min(clip_seconds, footage.end - footage.start)
        start = min(max(time - seconds / 2, footage.start), footage.end - seconds)
        if not footage.has_sound:
            return Pair(picture_files.encode_jpeg(footage.picture(time)), None)
        if not footage.has_pictures:
            return Pair(None, sound_files.encode_mp3(*footage.sound(start, seconds, min_seconds)))
        picture = footage.picture(time)
        ends = [footage.picture(end) for end in (start, start + seconds)]
        wave, rate = footage.sound(start, seconds, min_seconds)
    motion = quality.motion([picture, *ends])
    if motion < still_difference:
        raise Rejected("still", f"frames differ by {motion:.2f} levels; data.still_difference is {still_difference}")
    return Pair(picture_files.encode_jpeg(picture), sound_files.encode_mp3(wave, rate))


def check(path: Path) -> None:
    """Raise `Rejected` for a file that is no video, whatever its name says, or one of which nothing can be decoded.

    One picture, or one frame of sound, will do. Raises OSError for a file that the system does not read, whose content
    nobody knows.
    """
    try:
        with path.open("rb") as file, containers.opened(file, containers.VIDEOS) as container:
            if not container.streams:
                raise Rejected("no_video", "a video without a single frame or sound")
            if not _is_decoded(container):
                raise Rejected("corrupt", "none of its pictures or sounds can be decoded")
    except Rejected:
        raise
    except Exception as error:  # a decoder given broken content may raise almost anything
        if containers.is_of_system(error):
            raise
        raise Rejected("corrupt", f"no video file: {getattr(error, 'strerror', None) or error}") from None


def _is_decoded(container: Any) -> bool:
    """Whether a picture or a frame of sound can be decoded; True if there is none: that is judged elsewhere."""
    video = containers.picture_of(container)
    chosen = (video, containers.sound_of(container, video))
    known = [stream for stream in chosen if stream is not None and stream.codec_context is not None]
    if not known or any(one.type == "video" and not images.fits(one.width, one.height) for one in known):
        return True
    return next(containers.decoded(containers.packets(container, *known)), None) is not None


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
        raise BadSource(f"{root}: holds no video files ({', '.join(containers.ENDINGS)})")
    if deeper := subfolders.holding(root, containers.ENDINGS):
        forgotten = ", ".join(path.name for path in deeper)
        print(
            names.one_line(f"{root}: no folders in it are looked into; there are films in {forgotten}"), file=sys.stderr
        )
    labels = _labels(Path(data.videos.labels)) if data.videos.labels else {}
    test = splits.tested(map(_group, found), data.videos.test_share)
    wanted = moments.of_all(data.pairs, data.videos.pairs_per_clip)
    sides: dict[Path, SourceSplit] = {path: "test" if _group(path) in test else "train" for path in found}
    return [
        Clip(
            id=name(names.stem(video.path), i, len(wanted)),
            split=sides[video.path],
            label=labels.get(names.stem(video.path), ""),
            group=_group(video.path),
            fetch=cutting(moment, sides[video.path], data),
            files=[video.path],
            size=video.length,
            load=video.load,
        )
        for video in map(Video, found)
        for i, moment in enumerate(wanted)
    ]


def name(stem: str, i: int, count: int) -> str:
    """The id of the i-th of `count` clips of a video: STEM_0, STEM_1, …, or STEM where it is the only one."""
    return stem if count == 1 else f"{stem}_{i}"


def _group(path: Path) -> str:
    """The source video: of an excerpt with one of VGGSound's long names, the YouTube id.

    A short one, `YTID_30`, may be any film of a series: `performance_30`.
    """
    excerpt = lists.recognised(path.stem)
    return excerpt.video if excerpt and path.stem in excerpt.long_names else names.stem(path)


def _labels(path: Path) -> dict[str, str]:
    labels: dict[str, str] = {}
    with lists.opened(path) as file:
        reader = csv.reader(file, strict=True)
        for row in filter(None, reader):
            place = f"{path}: line {reader.line_num}"
            if len(row) != 2:
                raise BadSource(f"{place}: needs two columns, NAME.mp4,label")
            lists.add(labels, names.stem(Path(row[0])), row[1], f"{place}: {row[0]}")
    return labels
