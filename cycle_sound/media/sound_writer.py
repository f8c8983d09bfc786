"""Sound files written a block at a time."""

from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import numpy as np
import soundfile

from cycle_sound.media.sound_files import MP3_RATES
from cycle_sound.media.sound_reader import resampled
from cycle_sound.media.sounds import Format, Sound


def write(path: Path, blocks: Iterable[Sound], kind: Format) -> None:
    """Write a sound, at least one block of one rate, as 16-bit WAV or FLAC, or as MP3 at the nearest rate it has.

    Beyond full scale it is clipped. Raises what the blocks raise.
    """
    rest = iter(blocks)
    first = next(rest)
    rate, subtype = first.sample_rate, "PCM_16"
    if kind == "mp3":
        rate, subtype = min(MP3_RATES, key=lambda known: abs(known - first.sample_rate)), "MPEG_LAYER_III"
    waves = resampled((block.waveform for block in chain([first], rest)), first.sample_rate, rate)
    with soundfile.SoundFile(path, "w", rate, 1, subtype, format=kind.upper()) as file:
        for wave in waves:
            file.write(np.clip(wave, -1, 1))
