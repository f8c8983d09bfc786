"""The sounds of pairs as waveforms, which shards do not hold: decoded when they are asked for.

So a corpus of any size takes no memory; two or three milliseconds a sound are hidden behind the step before.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cycle_sound.media import mel, sound_files


class Sounds:
    """The sounds of given pairs, in a folder of `ID.mp3`."""

    def __init__(self, folder: Path, ids: Sequence[str], samples: int, sample_rate: int) -> None:
        self.folder, self.ids = folder, ids
        self.samples, self.sample_rate = samples, sample_rate

    def __len__(self) -> int:
        return len(self.ids)

    def waveforms(self, rows: Iterable[int]) -> Tensor:
        """Sounds of the given rows, at least one, silence behind a shorter one: float32 (b, samples).

        Raises FileNotFoundError, and `BadSound` for a file that is none.
        """
        return torch.from_numpy(np.stack([self._waveform(self.ids[row]) for row in rows]))

    def _waveform(self, name: str) -> np.ndarray:
        seconds = self.samples / self.sample_rate + mel.MARGIN
        wave, rate = sound_files.decode((self.folder / f"{name}.mp3").read_bytes(), seconds=seconds)
        return sound_files.fit_length(sound_files.resample(wave, rate, self.sample_rate), self.samples)
