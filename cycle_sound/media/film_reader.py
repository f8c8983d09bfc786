"""Reading a film from start to end, a frame, a stretch of sound or a packet at a time.

Each of the three opens the file again, so that none waits for another. Files are not trusted: durations in headers are
guesses, so the length of a film is taken from its packets.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, islice, pairwise
from math import inf
from pathlib import Path
from typing import IO, Any

import av
import numpy as np
from PIL import Image

from cycle_sound.errors import BadFilm
from cycle_sound.media import containers, frames, images, sound_runs
from cycle_sound.media.blocks import resampled
from cycle_sound.media.sound_files import Stretch
from cycle_sound.media.sound_reader import MAX_SECONDS

# How a still picture in HEIF or AVIF begins, which FFmpeg reads as a film of a second; sequences have other brands.
STILL = re.compile(rb".{4}ftyp(avif|heic|heim|heis|heix|mif1)", re.DOTALL)
MAX_PACKETS = 4_000_000  # of pictures: a day and a half
REORDERED = 32  # pictures, at most, that are decoded before one that is shown earlier; codecs allow 16
SILENCE = 1 << 16  # samples of it at a time: a time stamp may lie years ahead


class FilmReader:
    """A film file. Times are in seconds, from its first frame.

    `most`: upper limit of the pixels decoded in one reading. Raises `BadFilm` if the file is not a film, or cannot be
    copied packet by packet.
    """

    def __init__(self, path: Path, most: float = inf) -> None:
        self.path, self._most = path, most
        with self.opened() as (container, video):
            self.codec: str = video.codec_context.codec.canonical_name
            containers.check_dated(container, video)
            self._base = float(video.time_base)
            self._first, last, self._count = _extent(_timed_packets(container, video), self._base)
        self.seconds = (last - self._first) * self._base

    @contextmanager
    def opened(self) -> Iterator[tuple[Any, Any]]:
        """Its container and the stream of its pictures. Raises `BadFilm`."""
        with self.path.open("rb") as file:
            if is_still(file):
                raise BadFilm("a still picture, not a film")
            try:
                # Where a file gives no times of presentation they follow from the order of the packets.
                container = containers.opened(file, containers.VIDEOS, fflags="genpts")
            except av.FFmpegError as error:
                raise BadFilm(f"cannot be read as a film: {error.strerror}") from None
            with container:
                video = containers.picture_of(container)
                if video is None or video.codec_context is None:
                    raise BadFilm("holds no moving picture of a known encoding")
                frames.check_size(video.width, video.height)
                yield container, video

    def packets(self, container: Any, video: Any) -> Iterator[Any]:
        """The packets of its pictures, from the first that can be decoded to the last that is shown.

        The first picture is shown at 0. What an edit list cuts off at the end is left out.
        """
        for packet in islice(_timed_packets(container, video), self._count):
            packet.pts, packet.dts = packet.pts - self._first, packet.dts - self._first
            yield packet

    def pictures(self, times: Iterable[float], size: int) -> Iterator[Image.Image]:
        """The picture on show at each of ascending times: upright, its centre square, of `size` × `size` pixels.

        What cannot be decoded is passed over: the one before stays. Raises `BadFilm` where there is none at all, where
        one takes more work than containers.MAX_DECODED, or all more than they may.
        """
        with self.opened() as (container, video):
            video.thread_type = "AUTO"
            aspect = frames.aspect(video)
            decoded = self._timed(containers.decoded(containers.packets(container, video)))
            shown, ahead, total = None, next(decoded, None), 0
            for time in times:
                pixels = 0
                while ahead is not None and (shown is None or ahead[0] <= time + containers.EXACT):
                    shown = ahead[1]
                    frames.check_size(shown.width, shown.height)  # the stream may say otherwise than its header
                    pixels += shown.width * shown.height
                    if pixels > containers.MAX_DECODED:
                        raise BadFilm(
                            f"more than {containers.MAX_DECODED} pixels lie before the picture at {time:.3f} s"
                        )
                    if total + pixels > self._most:
                        raise BadFilm(f"more than {self._most:.0f} pixels in all its pictures: too large a film")
                    ahead = next(decoded, None)
                total += pixels
                if shown is None:
                    raise BadFilm("none of its pictures can be decoded")
                yield images.to_square(frames.upright(shown, aspect), size)

    def has_sound(self, rate: int) -> bool:
        """Whether `sound` finds any: not without a track, nor where nothing of it can be decoded. Raises `BadSound`."""
        return next(self.sound(rate), None) is not None

    def sound(self, rate: int) -> Iterator[np.ndarray]:
        """Its sound, mixed to mono, at a rate in Hz, as it is heard from the first picture on: blocks (samples,).

        Silence where it has a gap, nothing after its end; nothing at all of a film without sound, or with one that
        cannot be decoded. Raises `BadSound`.
        """
        with self.opened() as (container, video):
            track = containers.sound_of(container, video)
            if track is not None and track.codec_context is not None:
                heard = containers.decoded(containers.packets(container, track))
                yield from _laid_out(sound_runs.runs(heard), self._first * self._base, rate)

    def _timed(self, decoded: Iterable[Any]) -> Iterator[tuple[float, Any]]:
        """Frames with the times at which they are shown."""
        for frame in decoded:
            if (stamp := containers.stamp(frame)) is not None:
                yield (stamp - self._first) * self._base, frame


def is_still(file: IO[bytes]) -> bool:
    """Whether a file, read from its start and left there, holds a still picture in a container of films."""
    start = file.read(12)
    file.seek(0)
    return STILL.match(start) is not None


def _timed_packets(container: Any, video: Any) -> Iterator[Any]:
    """Packets of the pictures, from the first key frame on, all with their times. Raises `BadFilm` for one without any.

    Matroska has no times of decoding: of the first packets, until the order is known, FFmpeg leaves them out.
    """
    held: list[Any] = []
    for packet in containers.dated(containers.packets(container, video), video):
        if not packet.size:  # the end of the file, or a picture that is left out
            continue
        packet.pts = containers.stamp(packet)
        held.append(packet)
        if packet.dts is not None or len(held) == REORDERED:
            yield from _dated(held)
            held = []
    yield from _dated(held)


def _dated(packets: list[Any]) -> list[Any]:
    """Packets of which the last one at most has a time of decoding, with one for each, in order.

    A packet is decoded as long before the next one as its picture is shown, and not after that is shown: slides stay
    for longer than they say.
    """
    if packets and packets[-1].dts is None:
        packets[-1].dts = min(packet.pts for packet in packets)
    for packet, after in reversed(list(pairwise(packets))):
        packet.dts = min(packet.pts, after.dts - (packet.duration or 1))
    return packets


def _extent(packets: Iterable[Any], base: float) -> tuple[int, int, int]:
    """When the first picture is shown, and when the last one ends, in units of `base`, and how many packets that takes.

    Raises `BadFilm`.
    """
    key, first, last, duration, latest, count = None, None, None, 0, None, 0
    for number, packet in enumerate(packets, 1):
        if number > MAX_PACKETS:
            raise BadFilm(f"more than {MAX_PACKETS} pictures")
        if latest is not None and packet.dts < latest - containers.RESET / base:
            raise BadFilm(f"its times start anew behind {latest * base:.3f} s: another recording")
        latest = packet.dts
        key = packet.pts if key is None else key
        if packet.is_discard or packet.pts < key:  # never shown, or not to be decoded
            continue
        count = number
        first = packet.pts if first is None else min(first, packet.pts)
        if last is None or packet.pts >= last:
            last, duration = packet.pts, packet.duration or 0
    if first is None or last is None:
        raise BadFilm("holds no picture that can be decoded")
    end = last + (duration or (last - first) / max(count - 1, 1))
    if not 0 < (end - first) * base <= MAX_SECONDS:
        raise BadFilm(f"shows pictures for {(end - first) * base:.3f} s")
    return first, round(end), count


# --- sound on the film's clock


def _laid_out(runs: Iterable[Iterator[Stretch]], start: float, rate: int) -> Iterator[np.ndarray]:
    """Sound from a time on, in seconds, at a rate in Hz, with silence between its runs: blocks (samples,)."""
    place = 0
    for run in runs:
        first, waves = _peeked(run)
        target = place if first.time is None else round((first.time - start) * rate)
        while place < target:
            silence = np.zeros(min(SILENCE, target - place), np.float32)
            place += len(silence)
            yield silence
        skipped = place - target
        for wave in resampled(waves, first.rate, rate):
            part = wave[skipped:]
            skipped = max(skipped - len(wave), 0)
            place += len(part)
            yield part


def _peeked(run: Iterator[Stretch]) -> tuple[Stretch, Iterator[np.ndarray]]:
    """The first stretch of a run, and the waveforms of all."""
    first = next(run)
    return first, chain([first.wave], (stretch.wave for stretch in run))
