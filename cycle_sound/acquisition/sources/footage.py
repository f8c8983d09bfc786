"""A video file on one clock: its picture and its sound at a time, both in seconds of presentation time.

Durations and frame rates in headers are guesses, so the packets tell when pictures are shown and how long sound lasts.
So is a jump: it is believed where it leads to the packet that was wanted.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from io import BytesIO
from itertools import chain, dropwhile, takewhile
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import av
import numpy as np
from PIL import Image

from cycle_sound.acquisition.sources.clip import Rejected
from cycle_sound.acquisition.sources.moments import Frame, Moment
from cycle_sound.errors import BadFilm
from cycle_sound.media import containers, frames, sound_files, sound_runs

MAX_PACKETS = 4_000_000  # of a file: ten hours; a packet's times take 160 bytes, 240 while they are put in order: 1 GB
PREROLL = 0.2  # s decoded before the sound wanted: a codec's first block after a jump is not right yet
OFFSET = 0.1  # s by which pictures may begin before the sound, or end after it, and yet be of one moment
GAP = 0.5  # s between the picture on show and the one that could be decoded: more, and it is another picture
ATTEMPTS = 3  # at decoding one picture, each from an earlier key frame on
PROGRAM_STREAMS = ("mpeg", "mpegvideo")  # of which FFmpeg guesses other times after a jump than in reading on


class Track(NamedTuple):
    """When the packets of a stream are shown or heard; stamps are times in units of `base`."""

    number: int  # of the stream in its file
    base: float  # s
    stamps: Sequence[int]  # of all that is shown or heard, in order of time
    entries: Sequence[tuple[int, int]]  # packets from which on can be decoded: stamp, and where to jump for it
    end: float  # s

    def latest(self, time: float) -> int:
        """The stamp of what is shown or heard at a time: the last that has begun, or the first of all."""
        return self.stamps[max(bisect_right(self.stamps, (time + containers.EXACT) / self.base) - 1, 0)]

    def last_entries(self, time: float) -> Sequence[tuple[int, int]]:
        """From where on what is shown or heard at a time may be decoded: the latest first, ATTEMPTS at most."""
        count = max(bisect_right(self.entries, ((time + containers.EXACT) / self.base, 0)), 1)
        return self.entries[max(count - ATTEMPTS, 0) : count][::-1]


class Seen(NamedTuple):
    """A packet, its times in units of its stream's base."""

    stamp: int  # when it is shown or heard
    place: int  # where to jump for it: its time of decoding
    duration: int  # 0 where the file does not say
    is_key: bool  # whether decoding can begin here
    is_shown: bool


class Index(NamedTuple):
    """What the packets of a video file tell."""

    pictures: Track | None
    sounds: Track | None
    has_jumps: bool  # whether a jump knows the same times: not where time is counted anew, nor in PROGRAM_STREAMS


class Footage:
    """An open video file. From `start` to `end`, in seconds, it has both pictures and sound, or one of them alone."""

    def __init__(self, file: IO[bytes], lone: bool, index: Index | None) -> None:
        """Open a seekable file, and look through it where its index is None.

        `lone`: whether pictures or sound alone will do. Raises `Rejected`, and av.FFmpegError for no video file.
        """
        self._file = file
        self._container = containers.opened(file, containers.VIDEOS)
        video, sound = _streams(self._container, lone)
        self._aspect = Fraction(1) if video is None else frames.aspect(video)
        with _rejecting():
            self.index = index or _index(self._container, video, sound)
        self._pictures, self._sounds, self._has_jumps = self.index
        self._decoded = 0  # pixels
        self.has_pictures, self.has_sound = self._pictures is not None, self._sounds is not None
        tracks = [track for track in (self._pictures, self._sounds) if track]
        self.start = max(track.stamps[0] * track.base for track in tracks)
        self.end = min(track.end for track in tracks)
        if len(tracks) > 1 and self.start >= self.end:
            raise Rejected("no_audio", "holds no moment with both a picture and sound")

    def close(self) -> None:
        """Close what was opened of the file."""
        self._container.close()

    def time(self, moment: Moment) -> float:
        """A moment in seconds. Raises `Rejected` for a frame that is not there or has no sound."""
        if not isinstance(moment, Frame):
            return self.start + moment * (self.end - self.start)
        shown = _needed(self._pictures, "video")
        count = len(shown.stamps)
        if moment.number >= count:
            raise Rejected("too_short", f"frame {moment.number} is not among its {count} frames")
        time = shown.stamps[moment.number] * shown.base
        if not self.start - OFFSET <= time <= self.end + OFFSET:
            heard = f"from {self.start:.3f} s to {self.end:.3f} s"
            raise Rejected("no_audio", f"frame {moment.number} is shown at {time:.3f} s, sound is heard {heard}")
        return time

    def picture(self, time: float) -> Image.Image:
        """The picture on show at a time, the last that was shown until then: upright, of square pixels.

        Raises `Rejected` if it cannot be decoded, or not without more work than containers.MAX_DECODED.
        """
        track = _needed(self._pictures, "video")
        wanted, tried = track.latest(time), list[tuple[int, Any]]()
        for entry in track.last_entries(time):
            if shown := self._shown(track, entry, wanted):
                tried.append(shown)
                if shown[0] <= wanted:  # else it is renewed bit by bit from the entry on, and the first is a later one
                    break
        found, frame = min(tried, key=lambda one: abs(one[0] - wanted), default=(0, None))
        if frame is None or abs(found - wanted) * track.base > GAP:
            raise Rejected("corrupt", f"the picture shown at {time:.3f} s cannot be decoded")
        with _rejecting():
            return frames.upright(frame, self._aspect)

    def sound(self, start: float, seconds: float, least: float) -> tuple[np.ndarray, int]:
        """The waveform of so many seconds from `start` on, silence where the file has a gap, and its rate.

        Raises `Rejected` where less than `least` seconds of it are in the file.
        """
        track = _needed(self._sounds, "audio")
        decoded = containers.decoded(self._packets(track, track.last_entries(start - PREROLL)[0]))
        wave, rate, held = np.zeros(0, np.float32), 1, 0
        wanted = takewhile(lambda frame: _starts_before(frame, start + seconds), decoded)
        for stretch in chain.from_iterable(sound_runs.runs(wanted)):
            if not wave.size:
                wave, rate = np.zeros(round(seconds * stretch.rate), np.float32), stretch.rate
            part = sound_files.resample(stretch.wave, stretch.rate, rate)
            place = round(((start if stretch.time is None else stretch.time) - start) * rate)
            room = wave[max(place, 0) : max(place + len(part), 0)]
            room[:] = part[max(-place, 0) :][: len(room)]
            held += len(room)
        if held < least * rate:
            status: Any = "too_short" if held else "no_audio"
            raise Rejected(status, f"{held / rate:.3f} s of sound from {start:.3f} s on")
        return wave, rate

    def _shown(self, track: Track, entry: tuple[int, int], wanted: int) -> tuple[int, Any] | None:
        """The last picture that is shown until a stamp, or else the first, and its stamp, decoded from an entry on."""
        shown = None
        for frame in containers.decoded(self._packets(track, entry)):
            stamp = containers.stamp(self._counted(frame))
            if stamp is None:
                continue
            if shown is not None and not shown[0] <= stamp <= wanted:  # later, or of another recording
                break
            shown = stamp, frame
        return shown

    def _packets(self, track: Track, entry: tuple[int, int]) -> Iterator[Any]:
        """The packets of a track from an entry on. Raises `Rejected` where it is not found again."""
        stamp, place = entry
        for jump in (True, False) if self._has_jumps else (False,):
            read = self._jumped(track, place) if jump else self._from_start(track)
            packets = dropwhile(lambda packet: containers.stamp(packet) != stamp, read)
            if (first := next(packets, None)) is not None:
                return chain([first], packets)
        raise Rejected("corrupt", f"nothing can be read at {stamp * track.base:.3f} s")

    def _jumped(self, track: Track, place: int) -> Iterator[Any]:
        """The packets of a track from wherever a jump leads."""
        stream = self._container.streams[track.number]
        try:
            self._container.seek(place, stream=stream)
        except av.FFmpegError:  # a format without jumps
            return iter(())
        return containers.packets(self._container, stream)

    def _from_start(self, track: Track) -> Iterator[Any]:
        """All packets of a track."""
        self._container.close()
        self._file.seek(0)
        self._container = containers.opened(self._file, containers.VIDEOS)
        return containers.packets(self._container, self._container.streams[track.number])

    def _counted(self, frame: Any) -> Any:
        """A frame of pictures that was decoded. Raises `Rejected` for one that is too large, and for too many."""
        pixels = frame.width * frame.height
        with _rejecting():
            frames.check_size(frame.width, frame.height)  # the stream may say otherwise than its header
        self._decoded += pixels
        if self._decoded > containers.MAX_DECODED:
            raise Rejected("corrupt", f"more than {containers.MAX_DECODED} pixels lie between its key frames")
        return frame


class Film:
    """A video at hand: a file, or its content, or why there is none.

    However often it is opened, it is looked through once; but each time its decoders are new, since some, like that of
    AAC, go on from what they have decoded even after a jump.
    """

    def __init__(self, content: Path | bytes | Rejected) -> None:
        self.content = content
        self._index: Index | None = None

    @contextmanager
    def opened(self, lone: bool) -> Iterator[Footage]:
        """Its footage. Raises what `Footage` raises, and the `Rejected` that stands for a content."""
        if isinstance(self.content, Rejected):
            raise self.content
        with BytesIO(self.content) if isinstance(self.content, bytes) else self.content.open("rb") as file:
            footage = Footage(file, lone, self._index)
            self._index = footage.index
            try:
                yield footage
            finally:
                footage.close()


# --- streams and their times


def _streams(container: Any, lone: bool) -> tuple[Any, Any]:
    """The video and the sound that players choose; one of them None where the other is there and may be `lone`.

    Raises `Rejected` where one is missing that is needed, or cannot be decoded.
    """
    video = containers.picture_of(container)
    sound = containers.sound_of(container, video)
    if video is None and (sound is None or not lone):
        raise Rejected("no_video", "holds no video stream")
    if video is not None and video.codec_context is None:
        raise Rejected("no_video", "its pictures' encoding is unknown")
    if sound is None and not lone:
        raise Rejected("no_audio", "holds no audio stream")
    if sound is not None and sound.codec_context is None:
        raise Rejected("no_audio", "its sound's encoding is unknown")
    if video is not None:
        with _rejecting():
            frames.check_size(video.width, video.height)
            containers.check_dated(container, video)
    return video, sound


@contextmanager
def _rejecting() -> Iterator[None]:
    """Make pictures that cannot be shown, or of which nobody knows when, a clip's fate."""
    try:
        yield
    except BadFilm as error:
        raise Rejected("corrupt", str(error)) from None


def _index(container: Any, video: Any, sound: Any) -> Index:
    """What the packets tell. Raises `Rejected`."""
    has_jumps = container.format.name not in PROGRAM_STREAMS
    streams = [stream for stream in (video, sound) if stream is not None]
    seen: dict[int, list[Seen]] = {stream.index: [] for stream in streams}
    bases = {stream.index: float(stream.time_base) for stream in streams}
    latest = dict.fromkeys(seen, -np.inf)  # s
    for count, packet in enumerate(containers.dated(containers.packets(container, *streams), video)):
        stamp, index = containers.stamp(packet), packet.stream_index
        if stamp is None:
            continue
        if count >= MAX_PACKETS:
            raise Rejected("corrupt", f"more than {MAX_PACKETS} packets")
        if packet.dts is not None:
            if packet.dts * bases[index] < latest[index] - containers.RESET:
                has_jumps = False
                break
            latest[index] = packet.dts * bases[index]
        place = stamp if packet.dts is None else packet.dts
        one = Seen(stamp, place, packet.duration or 0, packet.is_keyframe, not packet.is_discard)
        seen[index].append(one)
    pictures, sounds = (None if stream is None else _track(stream, seen[stream.index]) for stream in (video, sound))
    return Index(pictures, sounds, has_jumps)


def _track(stream: Any, seen: Sequence[Seen]) -> Track:
    """The packets of one stream in order. Raises `Rejected` where none can be decoded."""
    entries = sorted((one.stamp, one.place) for one in seen if one.is_key)
    shown = sorted(one for one in seen if one.is_shown and entries and one.stamp >= entries[0][0])
    if not shown:
        raise Rejected("no_video" if stream.type == "video" else "no_audio", f"holds no {stream.type} to be decoded")
    stamps = [one.stamp for one in shown]
    usual = (stamps[-1] - stamps[0]) / max(len(stamps) - 1, 1)
    base = float(stream.time_base)
    return Track(stream.index, base, stamps, entries, (stamps[-1] + (shown[-1].duration or usual)) * base)


def _needed(track: Track | None, kind: Literal["video", "audio"]) -> Track:
    """A track. Raises `Rejected` where there is none."""
    if track is None:
        raise Rejected("no_video" if kind == "video" else "no_audio", f"holds no {kind} stream")
    return track


def _starts_before(frame: Any, time: float) -> bool:
    return frame.time is None or frame.time < time
