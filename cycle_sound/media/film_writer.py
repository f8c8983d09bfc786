"""Films written a picture and a block of sound at a time, in memory that does not grow with their length."""

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
from cycle_sound.media.contact_sheet import magnified
from cycle_sound.media.film_reader import FilmReader
from cycle_sound.media.sound_reader import resampled
from cycle_sound.media.sounds import Sound

RATE = 10  # pictures per second: players dislike fewer
SHOWN = 256  # pixels, at least
AUDIO_RATE = 48_000  # Hz, which every player knows
MP4_CODECS = ("av1", "h264", "hevc", "mpeg4", "vp9")  # of pictures that players expect in MP4


def ending(film: FilmReader) -> str:
    """Of the file that holds a film's pictures as they are: `.mp4` where players expect them in MP4, else `.mkv`."""
    return ".mp4" if film.codec in MP4_CODECS else ".mkv"


def write_soundtrack(path: Path, film: FilmReader, sound: Iterable[np.ndarray]) -> None:
    """Write the pictures of a film, its packets as they are, with a sound: mono blocks (samples,) at AUDIO_RATE.

    The file is of the kind that `ending` says, whatever its name. Raises `BadFilm`, and what the sound raises.
    """
    form = {".mp4": "mp4", ".mkv": "matroska"}[ending(film)]
    with film.opened() as (container, video), av.open(str(path), "w", format=form) as written:
        pictures = written.add_stream_from_template(video)
        track = _Track(written, sound)
        with _copying():
            for packet in film.packets(container, video):
                track.write_until(float(packet.dts * packet.time_base))
                packet.stream = pictures
                written.mux(packet)
            track.end()


def write_film(path: Path, pictures: Iterable[Image.Image], seconds: float, sound: Iterable[Sound]) -> None:
    """Write an MP4 file (H.264, AAC) of square pictures of one size, each shown for `seconds`, with their sound.

    At the end of the sound the last picture ends, too. Raises what the iterables raise.
    """
    with av.open(str(path), "w", format="mp4") as written:
        video = written.add_stream("libx264", rate=RATE, options={"crf": "18", "preset": "veryfast"})
        video.pix_fmt = "yuv420p"
        track = _Track(written, _at_audio_rate(sound))
        for number, picture in enumerate(_frames(pictures, seconds, track.end)):
            if not number:
                video.width = video.height = picture.width // 2 * 2  # H.264 halves the colours' resolution
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
        shown = magnified(picture, SHOWN)
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
def _copying() -> Iterator[None]:
    """Raise `BadFilm` for packets that a container does not take."""
    try:
        yield
    except (av.ArgumentError, av.InvalidDataError) as error:
        raise BadFilm(f"its pictures cannot be copied: {error.strerror}") from None
