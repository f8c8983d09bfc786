"""Sounds written as files, a block at a time."""

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO, Literal, get_args

import numpy as np
import soundfile

from cycle_sound.media.blocks import resampled
from cycle_sound.media.sound_files import mp3_rate
from cycle_sound.media.sounds import Sound

Format = Literal["wav", "flac", "mp3"]
FORMATS: tuple[Format, ...] = get_args(Format)
PROBE = 1 << 16  # bytes: more than a disk has left that refused some


def write(path: Path, blocks: Iterable[Sound], kind: Format) -> None:
    """Write a sound, at least one block of one rate, as 16-bit WAV or FLAC, or as MP3 at the nearest rate of MP3.

    Samples beyond full scale are clipped. Raises OSError, and what the blocks raise.
    """
    with _telling(path):
        _write(path, blocks, kind)


def encoded(sound: Sound, kind: Format) -> bytes:
    """The content of the file that `write` makes of a sound."""
    file = io.BytesIO()
    _write(file, [sound], kind)
    return file.getvalue()


def _write(file: Path | IO[bytes], blocks: Iterable[Sound], kind: Format) -> None:
    rest = iter(blocks)
    first = next(rest)
    rate, subtype = first.sample_rate, "PCM_16"
    if kind == "mp3":
        rate, subtype = mp3_rate(first.sample_rate), "MPEG_LAYER_III"
    waves = resampled((block.waveform for block in chain([first], rest)), first.sample_rate, rate)
    with soundfile.SoundFile(file, "w", rate, 1, subtype, format=kind.upper()) as written:
        for wave in waves:
            written.write(np.clip(wave, -1, 1))


@contextmanager
def _telling(path: Path) -> Iterator[None]:
    """Raise OSError for what the disk refuses of a file, where libsndfile says no more than that it failed."""
    try:
        yield
    except (soundfile.SoundFileError, AssertionError):  # the latter where less was written than was given
        with path.open("ab") as file:
            file.write(bytes(PROBE))  # which the system refuses, too, and says why
        raise
