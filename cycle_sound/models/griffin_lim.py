"""From log-mels back to waveforms without weights: mel bands to a spectrogram, then phases for it.

Magnitudes by non-negative least squares, phases by Griffin-Lim, many sounds at a time and on any device; librosa's own
way, one sound at a time, stands beside it as the reference.
"""

import librosa
import numpy as np
import torch
from torch import Tensor, nn

from cycle_sound.media import mel
from cycle_sound.models import stft
from cycle_sound.nn import device
from cycle_sound.nn.rng import seeded
from cycle_sound.params import AudioConfig

LEAST_SQUARES_ROUNDS = 30  # leave a fifth, or less, of the residual at which librosa's solver stops
MOMENTUM = 0.99  # of Griffin-Lim, as in librosa
FRAMES = {"cpu": 512, "gpu": 1 << 16}  # transformed at once: their spectra stay in a cache, or fill a GPU


class MelToLinear(nn.Module):
    """Spectra x ≥ 0 of which a filter bank (mels, fft / 2 + 1) makes given mel spectra.

    The least squares by projected gradients with Nesterov's momentum (Beck & Teboulle, "A Fast Iterative
    Shrinkage-Thresholding Algorithm", 2009), from where librosa starts: the clipped solution without the constraint.
    A frequency's step is the inverse of its row's sum in filtersᵀ filters, so low and high ones converge alike.
    """

    def __init__(self, filters: Tensor) -> None:
        super().__init__()
        steps = 1 / (filters.T @ filters.sum(1)).clamp(min=torch.finfo(filters.dtype).tiny)  # (fft / 2 + 1,)
        self.filters, self.gradient = nn.Buffer(filters), nn.Buffer(filters * steps)
        self.inverse = nn.Buffer(torch.linalg.pinv(filters.double()).to(filters))

    def forward(self, powers: Tensor) -> Tensor:
        """(t, mels) → (t, fft / 2 + 1), both of power."""
        ahead = spectra = (powers @ self.inverse.T).clamp(min=0)
        weight = 1.0
        for _ in range(LEAST_SQUARES_ROUNDS):
            missing = torch.addmm(powers, ahead, self.filters.T, alpha=-1)
            before, spectra = spectra, torch.addmm(ahead, missing, self.gradient).clamp_(min=0)
            last, weight = weight, (1 + (1 + 4 * weight**2) ** 0.5) / 2
            ahead = before.lerp(spectra, 1 + (last - 1) / weight)
        return spectra


class GriffinLim:
    """The vocoder without weights."""

    def __init__(self, audio: AudioConfig, rounds: int) -> None:
        self.audio, self.rounds = audio, rounds
        self.mel_to_linear = MelToLinear(torch.from_numpy(mel.filters(audio)))

    def waveforms(self, log_mels: Tensor) -> Tensor:
        """(b, 1, mels, frames) in [-1, 1] → (b, frames × hop_length), on the same device."""
        to_linear = self.mel_to_linear.to(log_mels.device)
        # One after another: a matrix product rounds differently in a batch of another size.
        magnitudes = torch.stack([to_linear(powers).sqrt() for powers in stft.powers(log_mels, self.audio)])
        return with_phases(magnitudes, random_phases(magnitudes), self.audio, self.rounds)


def by_librosa(log_mel: np.ndarray, config: AudioConfig, rounds: int) -> np.ndarray:
    """The reference: the waveform (frames × hop_length,) of one log-mel (1, mels, frames), by librosa alone."""
    powers = stft.powers(torch.from_numpy(log_mel)[None], config)[0].numpy().T
    return librosa.griffinlim(
        librosa.feature.inverse.mel_to_stft(powers, power=2.0, **mel.spectrum(config)),
        n_iter=rounds,
        n_fft=config.fft,
        hop_length=config.hop_length,
        random_state=0,
        length=log_mel.shape[-1] * config.hop_length,
    ).astype(np.float32, copy=False)


def random_phases(magnitudes: Tensor) -> Tensor:
    """Phases to start from, the same for all sounds: (b, frames + 1, fft / 2 + 1) twice."""
    turns = torch.rand(magnitudes.shape[1:], generator=seeded(0)).to(magnitudes.device)
    return (2 * torch.pi * turns).expand_as(magnitudes)


def with_phases(magnitudes: Tensor, phases: Tensor, audio: AudioConfig, rounds: int) -> Tensor:
    """Waveforms whose spectra have nearly these magnitudes: (b, frames + 1, fft / 2 + 1) → (b, frames × hop_length).

    Perraudin, Balazs & Søndergaard, "A Fast Griffin-Lim Algorithm", 2013, from given phases of the same shape.
    """
    together = max(1, FRAMES[device.kind(magnitudes.device)] // magnitudes.shape[1])  # sounds
    parts = zip(magnitudes.split(together), phases.split(together), strict=True)
    return torch.cat([_with_phases(*part, audio, rounds) for part in parts])


def _with_phases(magnitudes: Tensor, phases: Tensor, audio: AudioConfig, rounds: int) -> Tensor:
    spectra, before = torch.polar(magnitudes, phases), None
    for _ in range(rounds):
        heard = stft.spectra(stft.waves(spectra, audio), audio)
        ahead = heard if before is None else heard.sub(before, alpha=MOMENTUM / (1 + MOMENTUM))
        power = ahead.real.square() + ahead.imag.square()  # sgn rounds by its place in memory
        spectra, before = ahead * (magnitudes * power.clamp_(min=torch.finfo(power.dtype).tiny).rsqrt_()), heard
    return stft.waves(spectra, audio)
