"""The learned vocoder: a small network predicts, frame by frame, what a log-mel does not tell about a spectrum.

ConvNeXt blocks over the frames and an inverse STFT at the end, as in Vocos (Siuzdak 2023, arXiv:2306.00814). It
predicts magnitudes, and the advance of phases from frame to frame, which is summed: a network that sees the same frame
over and over, as in a steady tone, cannot tell how often it has seen it. With a hop of a third of the FFT length, the
rounds of Griffin-Lim that follow are still needed.
"""

from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cycle_sound.errors import OtherVersion
from cycle_sound.media import mel
from cycle_sound.models import stft
from cycle_sound.models.griffin_lim import with_phases
from cycle_sound.nn import checkpoint, device
from cycle_sound.params import AudioConfig, LearnedVocoderConfig

KIND = "vocoder"
NEIGHBOURS = 3  # frames that are seen together at first
KERNEL = 7  # frames that a block sees, as in Vocos
WIDER = 3  # × width, inside a block, as in Vocos
FITTING_ROUNDS = 3  # after which the mel bands are those given, within a few percent
TINY = 1e-9  # of power, where there is none: far below what can be heard


class Facts(checkpoint.Facts):
    """What the file of a learned vocoder says of it."""

    config: LearnedVocoderConfig
    audio: AudioConfig  # how the sounds it was trained on became log-mels


class Block(nn.Module):
    """A ConvNeXt block (Liu et al. 2022, arXiv:2201.03545) over frames: (b, t, width) → (b, t, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.frames = nn.Conv1d(width, width, KERNEL, padding=KERNEL // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, WIDER * width)
        self.down = nn.Linear(WIDER * width, width)
        nn.init.zeros_(self.down.weight)  # so that each block starts as the identity

    def forward(self, x: Tensor) -> Tensor:
        """(b, t, width) → (b, t, width)."""
        return x + self.down(F.gelu(self.up(self.norm(self.frames(x.mT).mT))))


class Spectrum(NamedTuple):
    """The network's prediction of the short-time Fourier transform of sounds: (b, frames + 1, fft / 2 + 1) each."""

    powers: Tensor
    advances: Tensor  # complex, of size 1: what a phase has turned since the frame before, beyond its frequency's own


class LearnedVocoder(nn.Module):
    """A `Vocoder`. Before training, its spectra are flat within each mel band."""

    filters: Tensor
    shares: Tensor

    def __init__(self, config: LearnedVocoderConfig, audio: AudioConfig) -> None:
        super().__init__()
        self.config, self.audio = config, audio
        filters = torch.from_numpy(mel.filters(audio))  # (mels, fft / 2 + 1)
        self.filters = nn.Buffer(filters, persistent=False)
        self.shares = nn.Buffer(filters / filters.sum(0).clamp(min=TINY), persistent=False)  # of bands in frequencies
        self.embed = nn.Linear(audio.mels * NEIGHBOURS, config.width)
        self.blocks = nn.Sequential(*[Block(config.width) for _ in range(config.blocks)])
        self.norm = nn.LayerNorm(config.width)
        self.magnitude = nn.Linear(config.width, audio.fft // 2 + 1)
        self.advance = nn.Linear(config.width, 2 * (audio.fft // 2 + 1))
        nn.init.zeros_(self.magnitude.weight)
        nn.init.zeros_(self.magnitude.bias)

    def forward(self, log_mels: Tensor) -> Spectrum:
        """Spectra of log-mels (b, 1, mels, frames) in [-1, 1]."""
        padded = F.pad(log_mels[:, 0], (1, 2), mode="replicate")  # the frame at the very end, and one around all
        neighbours = padded.unfold(2, NEIGHBOURS, 1).transpose(1, 2).flatten(2)  # (b, frames + 1, mels × NEIGHBOURS)
        features = self.norm(self.blocks(self.embed(neighbours)))
        with device.exact(features.device):
            powers = self._fitted(self.magnitude(features.float()), self._heard(log_mels))
            cosines, sines = self.advance(features.float()).chunk(2, dim=-1)
            scale = (cosines.square() + sines.square() + TINY).rsqrt()
            return Spectrum(powers, torch.complex(cosines * scale, sines * scale))

    def waveforms(self, log_mels: Tensor) -> Tensor:
        """(b, 1, mels, frames) in [-1, 1] → (b, frames × hop_length), on the same device."""
        with torch.inference_mode():
            # One after another: a matrix product rounds differently in a batch of another size.
            magnitudes, phases = zip(*(self._polar(one[None]) for one in log_mels), strict=True)
            return with_phases(torch.cat(magnitudes), torch.cat(phases), self.audio, self.config.griffin_lim_rounds)

    def _polar(self, log_mel: Tensor) -> tuple[Tensor, Tensor]:
        """Magnitudes and phases of one sound: (1, 1, mels, frames) → (1, frames + 1, fft / 2 + 1) each."""
        spectrum = self(log_mel)
        turns = spectrum.advances.angle() + stft.turns(self.audio, log_mel.device)
        before = torch.ones(turns.shape[1], turns.shape[1], device=turns.device).tril()  # cumsum draws lots on a GPU
        return spectrum.powers.sqrt(), before @ turns

    def _heard(self, log_mels: Tensor) -> Tensor:
        """Mel power spectra, 0 where the log-mel was clipped to `min_db`: (b, frames + 1, mels)."""
        return (stft.powers(log_mels, self.audio) - 10 ** (self.audio.min_db / 10)).clamp(min=0)

    def _fitted(self, detail: Tensor, heard: Tensor) -> Tensor:
        """Power spectra that start from `detail`, in nepers of power, and are fitted to the mel bands in `heard`.

        (b, t, fft / 2 + 1), (b, t, mels) → (b, t, fft / 2 + 1). Each round is a Richardson-Lucy
        iteration: a frequency is multiplied by the factor that its bands lack.
        """
        spectra = detail.clamp(max=20).exp()
        for _ in range(FITTING_ROUNDS):
            spectra = spectra * ((heard / (spectra @ self.filters.T + TINY)) @ self.shares)
        return spectra


def save(path: Path, model: LearnedVocoder) -> None:
    """Write a learned vocoder with all that is needed to use it."""
    config = model.config.model_dump(include={*LearnedVocoderConfig.model_fields})
    checkpoint.save(path, model, KIND, {"config": config, "audio": model.audio.model_dump()})


def load(path: Path, audio: AudioConfig) -> LearnedVocoder:
    """Rebuild a learned vocoder of log-mels of `audio` from its file. Raises `BadCheckpoint`."""
    facts = checkpoint.facts(path, Facts, KIND)
    if facts.audio != audio:
        raise OtherVersion(path=path, reason="its log-mels are not those of the audio VAE")
    return checkpoint.load(path, lambda: LearnedVocoder(facts.config, facts.audio))
