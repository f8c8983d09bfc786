"""Sounds as values: cut into windows, joined by cross-fades, encoded as files."""

import io
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, NamedTuple, get_args

import numpy as np
import soundfile

from cycle_sound.media import mel, sound_files
from cycle_sound.media.crossfade import crossfaded

Format = Literal["wav", "flac", "mp3"]
FORMATS: tuple[Format, ...] = get_args(Format)
FADE = 0.1  # seconds that two joined sounds share
SCRAP = 0.1  # of a window: a shorter rest at the end of a sound is left out


class Sound(NamedTuple):
    """A waveform and its sample rate."""

    waveform: np.ndarray  # float32 (samples,), mono, 1.0 at full scale
    sample_rate: int  # Hz

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return len(self.waveform) / self.sample_rate


def windows(sound: Sound, seconds: float) -> list[Sound]:
    """A sound as stretches of `seconds`, one behind the other; the last may be shorter. At least one.

    Each holds up to `mel.MARGIN` seconds more of what follows, for the filter that resamples it.
    """
    width = seconds * sound.sample_rate  # samples, perhaps a fraction: windows must not drift from the clock
    count = max(1, int(np.ceil(len(sound.waveform) / width - SCRAP)))
    margin = round(mel.MARGIN * sound.sample_rate)
    cuts = [round(number * width) for number in range(count + 1)]
    return [sound._replace(waveform=sound.waveform[a : b + margin]) for a, b in pairwise(cuts)]


def joined(sounds: Sequence[Sound]) -> Sound:
    """Join sounds of one sample rate, of two samples or more, each fading into the next over FADE seconds.

    n sounds of s seconds make n s − (n − 1) FADE seconds; of a sound shorter than 2 FADE half is faded.
    """
    rate = sounds[0].sample_rate
    fade = min(round(FADE * rate), *(len(sound.waveform) // 2 for sound in sounds))
    return Sound(np.concatenate([*crossfaded((sound.waveform for sound in sounds), fade)]), rate)


def encoded(sound: Sound, kind: Format) -> bytes:
    """Encode a sound as 16-bit WAV or FLAC, or as MP3 at the nearest rate it has; beyond full scale it is clipped."""
    if kind == "mp3":
        return sound_files.encode_mp3(*sound)
    file = io.BytesIO()
    soundfile.write(file, np.clip(sound.waveform, -1, 1), sound.sample_rate, format=kind.upper(), subtype="PCM_16")
    return file.getvalue()
