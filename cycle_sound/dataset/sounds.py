"""The sounds of clips as waveforms, which shards do not hold: decoded when they are asked for.

So a corpus of any size takes no memory; two or three milliseconds a sound are hidden behind the step before.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cycle_sound.acquisition.originals import Original
from cycle_sound.dataset.reader import Split
from cycle_sound.dataset.sequences import Joined
from cycle_sound.media import sound_files
from cycle_sound.params import AudioConfig


class Sounds:
    """The sounds of given clips, in a folder of clips."""

    def __init__(self, folder: Path, originals: Sequence[Original], samples: int, sample_rate: int) -> None:
        self.folder, self.originals = folder, originals
        self.samples, self.sample_rate = samples, sample_rate

    def __len__(self) -> int:
        return len(self.originals)

    def waveforms(self, rows: Iterable[int]) -> Tensor:
        """Sounds of the given rows, at least one, silence behind a shorter one: float32 (b, samples).

        Raises FileNotFoundError, `ChangedOriginal`, and `BadSound` for a file that is none.
        """
        return torch.from_numpy(np.stack([self._waveform(self.originals[row]) for row in rows]))

    def _waveform(self, original: Original) -> np.ndarray:
        seconds = self.samples / self.sample_rate + sound_files.MARGIN
        wave, rate = sound_files.decode(original.sound(self.folder), seconds=seconds)
        return sound_files.fit_length(sound_files.resample(wave, rate, self.sample_rate), self.samples)


def of(pairs: Split, folder: Path, audio: AudioConfig, more: Sequence[Original] = ()) -> Sounds:
    """The sounds of a split, as long as its log-mels, and `more` behind them."""
    originals = Joined(pairs.originals, more)
    return Sounds(folder, originals, pairs.shape("audio")[2] * audio.hop_length, audio.sample_rate)
