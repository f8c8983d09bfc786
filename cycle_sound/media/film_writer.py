"""Writing films, a frame or a packet and a block of sound at a time."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from cycle_sound.errors import BadFilm
from cycle_sound.media import enlarging
from cycle_sound.media.blocks import resampled
from cycle_sound.media.film_reader import FilmReader
from cycle_sound.media.sounds import Sound

RATE = 10  # pictures per second: players dislike fewer
SHOWN = 256  # pixels, at least
AUDIO_RATE = 48_000  # Hz, which every player knows
FORMATS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}  # FFmpeg's names
MP4_CODECS = ("av1", "h264", "hevc", "mpeg4", "vp9")  # of pictures that players expect in MP4
# In QuickTime: what cameras and editors write. Matroska holds most of it not at all.
MOV_CODECS = ("cinepak", "dnxhd", "dvvideo", "h263", "png", "prores", "qtrle", "svq1", "svq3")


def ending(film: FilmReader) -> str:
    """The ending for a copy of a video stream: `.mp4` or `.mov` if players expect its codec there, else `.mkv`."""
    return ".mp4" if film.codec in MP4_CODECS else ".mov" if film.codec in MOV_CODECS else ".mkv"


def write_soundtrack(path: Path, film: FilmReader, sound: Iterable[np.ndarray]) -> None:
    """Write a film's video stream, without re-encoding, with a sound: mono blocks (samples,) at AUDIO_RATE.

    `ending` decides the container, whatever the file's name. Raises `BadFilm`, OSError, and what the sound raises.
    """
    form = FORMATS[ending(film)]
    with film.opened() as (container, video), _copying(), _created(path, form) as written:
        pictures = _stream_like(video, written)
        track = _Track(written, sound)
        for packet in film.packets(container, video):
            track.write_until(float(packet.dts * packet.time_base))
            packet.stream = pictures
            written.mux(packet)
        track.end()


def write_film(path: Path, pictures: Iterable[Image.Image], seconds: float, sound: Iterable[Sound]) -> None:
    """Write an MP4 file (H.264, AAC) of square pictures of one size, each shown for `seconds`, with their sound.

    At the end of the sound the last picture ends, too. Raises OSError, and what the iterables raise.
    """
    with _created(path, "mp4") as written:
        video = written.add_stream("libx264", rate=RATE, options={"crf": "18", "preset": "veryfast"})
        video.pix_fmt = "yuv420p"
        track = _Track(written, _at_audio_rate(sound))
        rest = iter(pictures)
        first = next(rest)
        # Before any sound is written, which opens the codec. H.264 halves the colours' resolution.
        video.width = video.height = enlarging.nearest(first, SHOWN).width // 2 * 2
        for number, picture in enumerate(_frames(chain([first], rest), seconds, track.end)):
            track.write_until(number / RATE)
            written.mux(video.encode(av.VideoFrame.from_image(picture)))
        written.mux(video.encode())


def _frames(pictures: Iterable[Image.Image], seconds: float, end: Callable[[], float]) -> Iterator[Image.Image]:
    """Each picture as often as it is shown in `seconds`, enlarged; the last until the end, which is asked for then."""
    shown, number, frames = None, 0, 0
    for number, picture in enumerate(pictures):
        while shown is not None and int(frames / RATE / seconds) < number:
            yield shown
            frames += 1
        shown = enlarging.nearest(picture, SHOWN)
    assert shown is not None
    for _ in range(frames, round(min((number + 1) * seconds, end()) * RATE)):
        yield shown


class _Track:
    """The sound of a film that is being written."""

    def __init__(self, container: Any, sound: Iterable[np.ndarray]) -> None:
        self._container, self._sound = container, iter(sound)
        self._stream = container.add_stream("aac", rate=AUDIO_RATE, layout="mono")
        self._samples = 0

    @property
    def seconds(self) -> float:
        """What is written."""
        return self._samples / AUDIO_RATE

    def write_until(self, time: float) -> None:
        """Write what is heard before a time, in seconds, and as much more as comes in one block."""
        while self.seconds < time and self._write_block():
            pass

    def end(self) -> float:
        """Write the rest; return when the sound ends, in seconds."""
        while self._write_block():
            pass
        self._container.mux(self._stream.encode())
        return self.seconds

    def _write_block(self) -> bool:
        wave = next(self._sound, None)
        if wave is None:
            return False
        if wave.size:
            frame = av.AudioFrame.from_ndarray(np.clip(wave, -1, 1)[None], format="fltp", layout="mono")
            frame.sample_rate, frame.time_base, frame.pts = AUDIO_RATE, Fraction(1, AUDIO_RATE), self._samples
            self._samples += wave.size
            self._container.mux(self._stream.encode(frame))
        return True


def _at_audio_rate(sound: Iterable[Sound]) -> Iterator[np.ndarray]:
    blocks = iter(sound)
    first = next(blocks)
    yield from resampled(chain([first.waveform], (block.waveform for block in blocks)), first.sample_rate, AUDIO_RATE)


@contextmanager
def _created(path: Path, form: str) -> Iterator[Any]:
    """A new container of a format. Raises OSError, which names no file, for what the disk refuses."""
    try:
        # Of a relative path FFmpeg takes what is before a colon for a protocol.
        with av.open(str(path.absolute()), "w", format=form) as written:
            yield written
    except av.FFmpegError as error:
        if not isinstance(error, OSError):
            raise
        raise OSError(error.errno, error.strerror) from error


def _stream_like(video: Any, written: Any) -> Any:
    """A stream for the packets of another one, in a new container. Raises `BadFilm` for an encoding it cannot hold."""
    try:
        stream = written.add_stream_from_template(video, opaque=True)  # not all that is decoded here can be encoded
    except ValueError:
        raise BadFilm(f"{written.format.long_name} holds no {video.codec_context.codec.canonical_name}") from None
    if video.sample_aspect_ratio:  # which the container may know alone
        stream.codec_context.sample_aspect_ratio = video.sample_aspect_ratio
    if (written.format.name, video.codec_context.codec.canonical_name) == ("mp4", "hevc"):
        stream.codec_context.codec_tag = "hvc1"  # Apple's players show no "hev1", which is FFmpeg's choice
    return stream


@contextmanager
def _copying() -> Iterator[None]:
    """Raise `BadFilm` for packets that a container does not take."""
    try:
        yield
    except (av.ArgumentError, av.InvalidDataError, av.PatchWelcomeError) as error:
        raise BadFilm(f"its pictures cannot be copied: {error.strerror}") from None
