"""The protocol of a vocoder: log-mels → waveforms, by the kind that `vocoder.kind` names.

Engine, evaluation, export and report use a vocoder only through this protocol.
"""

from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from cycle_sound.models import learned_vocoder
from cycle_sound.models.griffin_lim import GriffinLim
from cycle_sound.params import AudioConfig, VocoderConfig


class Vocoder(Protocol):
    """Turns log-mels into waveforms."""

    def waveforms(self, log_mels: Tensor) -> Tensor:
        """(b, 1, mels, frames) in [-1, 1] → float32 (b, frames × hop_length), 1.0 at full scale, on the same device.

        A log-mel gives the same bytes in a batch of any size.
        """


def load(path: Path, config: VocoderConfig, audio: AudioConfig, device: torch.device) -> Vocoder:
    """The vocoder of log-mels of `audio`, ready on a device. Only one with weights needs its file, `path`.

    Raises `BadCheckpoint`, also for weights that were trained on other log-mels.
    """
    if config.kind == "griffin_lim":
        return GriffinLim(audio, config.griffin_lim_rounds)
    return learned_vocoder.load(path, audio).to(device)
