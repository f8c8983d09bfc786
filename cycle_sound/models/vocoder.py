"""From log-mels back to waveforms: mel bands to a spectrogram, then phases for it.

Magnitudes by non-negative least squares, phases by Griffin-Lim, many sounds at a time and on any device; librosa's own
way, one sound at a time, stands beside it as the reference.
"""

from typing import Protocol

import librosa
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cycle_sound.media import mel
from cycle_sound.nn.rng import seeded
from cycle_sound.params import AudioConfig, VocoderConfig

LEAST_SQUARES_ROUNDS = 30  # leave a fifth, or less, of the residual at which librosa's solver stops
MOMENTUM = 0.99  # of Griffin-Lim, as in librosa
FRAMES = {"cpu": 512, "cuda": 1 << 16}  # transformed at once: their spectra stay in a cache, or fill a GPU


class Vocoder(Protocol):
    """What turns log-mels into waveforms."""

    def waveforms(self, log_mels: Tensor) -> Tensor:
        """(b, 1, mels, frames) in [-1, 1] → float32 (b, frames × hop_length), 1.0 at full scale, on the same device.

        One log-mel gives one waveform, to the byte, in a batch of any size.
        """


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

    def __init__(self, audio: AudioConfig, config: VocoderConfig) -> None:
        self.audio, self.rounds = audio, config.griffin_lim_rounds
        self.mel_to_linear = MelToLinear(torch.from_numpy(mel.filters(audio)))

    def waveforms(self, log_mels: Tensor) -> Tensor:
        """(b, 1, mels, frames) in [-1, 1] → (b, frames × hop_length), on the same device."""
        to_linear = self.mel_to_linear.to(log_mels.device)
        together = max(1, FRAMES[log_mels.device.type] // log_mels.shape[-1])  # sounds
        waves = []
        for part in log_mels.split(together):
            # One after another: a matrix product rounds differently in a batch of another size.
            magnitudes = [to_linear(powers).sqrt() for powers in _powers(part, self.audio)]
            waves.append(griffin_lim(torch.stack(magnitudes), self.audio, self.rounds))
        return torch.cat(waves)


def by_librosa(log_mel: np.ndarray, config: AudioConfig, rounds: int) -> np.ndarray:
    """The reference: the waveform (frames × hop_length,) of one log-mel (1, mels, frames), by librosa alone."""
    powers = _powers(torch.from_numpy(log_mel)[None], config)[0].numpy().T
    return librosa.griffinlim(
        librosa.feature.inverse.mel_to_stft(powers, power=2.0, **mel.spectrum(config)),
        n_iter=rounds,
        n_fft=config.fft,
        hop_length=config.hop_length,
        random_state=0,
        length=log_mel.shape[-1] * config.hop_length,
    ).astype(np.float32, copy=False)


def griffin_lim(magnitudes: Tensor, config: AudioConfig, rounds: int) -> Tensor:
    """Waveforms whose spectra have nearly these magnitudes: (b, frames + 1, fft / 2 + 1) → (b, frames × hop_length).

    Perraudin, Balazs & Søndergaard, "A Fast Griffin-Lim Algorithm", 2013. All sounds start from the same random phases.
    """
    hop, window = config.hop_length, torch.from_numpy(mel.window(config.fft)).to(magnitudes.device)
    turns = torch.rand(magnitudes.shape[1:], generator=seeded(0)).to(magnitudes.device)
    spectra, before = torch.polar(magnitudes, (2 * torch.pi * turns).expand_as(magnitudes)), None
    for _ in range(rounds):
        heard = _spectra(_waves(spectra, window, hop), window, hop)
        ahead = heard if before is None else heard.sub(before, alpha=MOMENTUM / (1 + MOMENTUM))
        power = ahead.real.square() + ahead.imag.square()  # sgn rounds by its place in memory
        spectra, before = ahead * (magnitudes * power.clamp_(min=torch.finfo(power.dtype).tiny).rsqrt_()), heard
    return _waves(spectra, window, hop)


def _powers(log_mels: Tensor, config: AudioConfig) -> Tensor:
    """Mel spectra of power, with the centred frame at the very end, which a log-mel drops: (b, frames + 1, mels)."""
    scaled = F.pad(log_mels[:, 0].float().clamp(-1, 1), (0, 1), mode="replicate")  # (b, mels, frames + 1)
    decibel = (scaled + 1) / 2 * (config.max_db - config.min_db) + config.min_db
    return (10 ** (decibel / 10)).transpose(1, 2).contiguous()


def _spectra(waves: Tensor, window: Tensor, hop: int) -> Tensor:
    """Short-time Fourier transform, silence around the sound: (b, samples) → (b, samples / hop + 1, fft / 2 + 1)."""
    fft = len(window)
    return torch.fft.rfft(F.pad(waves, (fft // 2, fft // 2)).unfold(1, fft, hop) * window)


def _waves(spectra: Tensor, window: Tensor, hop: int) -> Tensor:
    """The inverse of `_spectra`, in the sense of least squares: (b, frames + 1, fft / 2 + 1) → (b, frames × hop)."""
    fft, frames = len(window), spectra.shape[1]
    inside = slice(fft // 2, fft // 2 + (frames - 1) * hop)
    weight = _overlapped((window**2).expand(1, frames, fft), hop)[:, inside].clamp(min=torch.finfo(window.dtype).tiny)
    return _overlapped(torch.fft.irfft(spectra, fft) * window, hop)[:, inside] / weight


def _overlapped(windows: Tensor, hop: int) -> Tensor:
    """The sum of windows (b, t, fft) that lie `hop` apart: (b, at least (t - 1) × hop + fft)."""
    count, fft = windows.shape[1:]
    overlap = -(-fft // hop)
    parts = F.pad(windows, (0, overlap * hop - fft)).unflatten(2, (overlap, hop))  # (b, t, overlap, hop)
    whole = windows.new_zeros(len(windows), count + overlap - 1, hop)
    for number in range(overlap):
        whole[:, number : number + count] += parts[:, :, number]
    return whole.flatten(1)
