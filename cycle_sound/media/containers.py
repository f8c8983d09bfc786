"""Sound and video files as FFmpeg reads them (PyAV): opened, demuxed, decoded. No file is trusted."""

import ctypes
import errno
from collections.abc import Iterable, Iterator
from functools import cache
from typing import IO, Any

import av

from cycle_sound.errors import BadFilm

# FFmpeg's names of what a file may be. Others are playlists, which lead to more files, or would only add risk.
VIDEOS = "mov,matroska,avi,mpeg,mpegvideo,mpegts,flv,ogg"
ENDINGS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".flv", ".ogv", ".3gp")  # of videos
SOUNDS = f"mp3,wav,flac,aac,asf,amr,amrnb,amrwb,aiff,caf,{VIDEOS}"  # a film has one, too
MAX_DECODED = 5_000_000_000  # pixels for one picture, or pair: 600 frames of 4K, and some ten seconds of work
RESET = 1.0  # s back in decoding time: another recording begins, whose times are its own
EXACT = 1e-6  # s; equal times differ by less
UNDATED = ("h264", "hevc")  # of whose pictures FFmpeg guesses no times: AVI has none
COVER = av.stream.Disposition.attached_pic
LARGEST_BLOCK = 256 << 20  # bytes: more than the largest picture takes, and than a table of ten million samples


class Sought:
    """A file that a container sends anywhere, before its start too: FFmpeg or libsndfile is told, and says what it is.

    An exception would not get far: libraries in C are told of it by a number, and Python prints it on stderr.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def seek(self, offset: int, whence: int) -> int:
        """Go to a place in the file: where that is, or, staying here, a negative number where there is none."""
        try:
            return self._file.seek(offset, whence)
        except (OSError, ValueError):
            return -errno.EINVAL


def opened(file: IO[bytes], formats: str, **options: str) -> Any:
    """The container in a file, to be closed; tags may be in any encoding. Raises av.FFmpegError for another format."""
    _limit_blocks()
    return av.open(Sought(file), options={"format_whitelist": formats, **options}, metadata_errors="replace")


@cache
def _limit_blocks() -> None:
    """Let FFmpeg ask for no block of memory above LARGEST_BLOCK: an MP4 of a kilobyte may claim samples without end.

    PyAV has no name for it; a system whose loader does not find it through PyAV's own library goes without.
    """
    limit = getattr(ctypes.CDLL(av._core.__file__), "av_max_alloc", None)
    if limit is not None:
        limit(ctypes.c_size_t(LARGEST_BLOCK))


def packets(container: Any, *streams: Any) -> Iterator[Any]:
    """The packets of streams, from where the container stands until it ends or breaks off."""
    try:
        yield from container.demux(*streams)
    except (av.FFmpegError, IndexError):  # the latter behind all packets, where a stream began midway that PyAV ignores
        return


def check_dated(container: Any, video: Any) -> None:
    """Raise `BadFilm` where a container does not say when a stream's pictures are shown, nor FFmpeg knows."""
    codec = video.codec_context.codec.canonical_name
    if container.format.name == "avi" and codec in UNDATED and video.codec_context.has_b_frames:
        raise BadFilm(f"AVI does not say when pictures of {codec} with B-frames are shown")


def dated(packets: Iterable[Any], video: Any | None) -> Iterator[Any]:
    """Packets, those of the pictures from the first key frame on. Raises `BadFilm` for a picture without any time."""
    has_begun = False
    for packet in packets:
        if video is not None and packet.stream_index == video.index:
            has_begun = has_begun or packet.is_keyframe
            if not has_begun:
                continue
            if stamp(packet) is None and packet.size:  # an empty one is the end of the file
                raise BadFilm("holds pictures that no time is given for")
        yield packet


def stamp(one: Any) -> int | None:
    """The time stamp of a packet or a frame; AVI has but one of two kinds."""
    found: int | None = one.dts if one.pts is None else one.pts
    return found


def decoded(packets: Iterable[Any]) -> Iterator[Any]:
    """The frames in packets of one stream; what is broken is passed over, as players do."""
    for packet in packets:
        try:
            frames = packet.decode()
        except av.FFmpegError:
            continue
        yield from frames


def is_of_system(error: Exception) -> bool:
    """Whether the system does not read a file, whose content nobody knows then: no decoder's word about that."""
    return isinstance(error, OSError) and error.errno is not None and not isinstance(error, av.FFmpegError)


def sound_of(container: Any, picture: Any | None) -> Any | None:
    """The sound that players choose: the default track or else the best, of the picture's programme; None without."""
    return container.streams.best("audio", related=picture)


def picture_of(container: Any) -> Any | None:
    """The moving picture that players choose; None without. A cover is a still picture of its own."""
    best = container.streams.best("video")
    moving = [stream for stream in container.streams.video if not stream.disposition & COVER]
    return best if best in moving else next(iter(moving), None)
