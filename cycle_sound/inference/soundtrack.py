"""A film's soundtrack, made from its frames while it is written: overlapping windows, each the sound of one frame.

A window hears the picture in the middle of its moment, as in training. However long a film is, no more of it is in
memory than a batch of windows, and of MP4 the tables of packets, which FFmpeg holds until a file is closed: some 14 kB
a second, and 12 more if the film's own sound is read, too (measured with 25 pictures a second). An MP4 without them
would be in fragments, in which not all players can seek.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from math import ceil
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from cycle_sound.inference.bundle import Models
from cycle_sound.inference.fixed_batches import TOGETHER, batched
from cycle_sound.io.progress import track
from cycle_sound.media import film_writer
from cycle_sound.media.blocks import cut, resampled
from cycle_sound.media.crossfade import crossfaded
from cycle_sound.media.film_reader import FilmReader
from cycle_sound.media.film_writer import AUDIO_RATE
from cycle_sound.media.sound_files import fit_length
from cycle_sound.media.sounds import Sound

# Of a window, with each neighbour. Clips rise at their start and fade at their end: seams of the default models' sounds
# of valid's pictures are 1.2 dB softer than what lies between them with 1 / 8, 0.6 to 2.0 with 1 / 4, 0.2 with this.
SHARED = 7 / 16
UNDER = 0.5  # × the original sound where it is kept: 6 dB below itself

Make = Callable[[Sequence[Image.Image]], list[Sound]]


class Layout(NamedTuple):
    """Windows that overlap and cover a film."""

    total: int  # samples of the film
    width: int  # samples of a window
    shared: int  # of them, with the next one
    windows: int

    @property
    def middles(self) -> Iterator[float]:
        """The middle of each window, in samples; of the last window, the middle of its part within the film."""
        for number in range(self.windows):
            start = number * (self.width - self.shared)
            yield (start + min(start + self.width, self.total)) / 2


def layout(seconds: float, models: Models) -> Layout:
    """The windows of a film of so many seconds."""
    rate = models.audio.sample_rate
    total, width = ceil(seconds * rate), round(models.seconds * rate)
    shared = int(SHARED * width)
    return Layout(total, width, shared, max(1, ceil((total - shared) / (width - shared))))


def write(path: Path, film: FilmReader, make: Make, models: Models, mix: bool, progress: str = "") -> None:
    """Write a film with the sounds that `make` generates of its pictures; the packets of its pictures stay as they are.

    `mix` keeps its own sound under them. `progress` is the name under which its progress is printed on stderr, where
    it is more than one batch; "" prints none. Raises `BadFilm`, `BadSound`, and what `make` raises.
    """
    laid, rate = layout(film.seconds, models), models.audio.sample_rate
    pictures = film.pictures((middle / rate for middle in laid.middles), models.size)
    waves = (sound.waveform for batch in batched(pictures) for sound in make(batch))
    shown = track(waves, laid.windows, progress) if progress and laid.windows > TOGETHER else waves
    blocks = resampled(crossfaded(shown, laid.shared), rate, AUDIO_RATE)
    heard = _mixed(blocks, film.sound(AUDIO_RATE)) if mix else blocks
    film_writer.write_soundtrack(path, film, cut(heard, round(film.seconds * AUDIO_RATE)))


def _mixed(blocks: Iterable[np.ndarray], under: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """A waveform in blocks (samples,) with another, in blocks of any size, under it as far as that reaches."""
    rest = np.zeros(0, np.float32)
    for block in blocks:
        while len(rest) < len(block) and (more := next(under, None)) is not None:
            rest = np.concatenate([rest, more])
        yield block + UNDER * fit_length(rest, len(block))
        rest = rest[len(block) :]
