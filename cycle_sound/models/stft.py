"""Log-mels, waveforms and their short-time Fourier transforms as tensors, framed as `media.mel` frames them.

Frame t is centred on sample t × hop_length, silence lies around the sound, and a log-mel drops the frame at the very
end: a sound of `frames` hops has spectra (b, frames + 1, fft / 2 + 1).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from cycle_sound.media import mel
from cycle_sound.params import AudioConfig


def powers(log_mels: Tensor, audio: AudioConfig) -> Tensor:
    """Mel spectra of power, the frame at the end like the last one: (b, 1, mels, frames) → (b, frames + 1, mels)."""
    scaled = F.pad(log_mels[:, 0].float().clamp(-1, 1), (0, 1), mode="replicate")  # (b, mels, frames + 1)
    decibel = (scaled + 1) / 2 * (audio.max_db - audio.min_db) + audio.min_db
    return (10 ** (decibel / 10)).transpose(1, 2).contiguous()


def floor(audio: AudioConfig) -> float:
    """The power of each frequency of a flat spectrum that a log-mel just does not clip."""
    return 10 ** (audio.min_db / 10) * audio.sample_rate / audio.fft


def turns(audio: AudioConfig, device: torch.device) -> Tensor:
    """By what angle a phase advances in a hop at each frequency of the transform: (fft / 2 + 1,), below 2 π."""
    cycles = torch.arange(audio.fft // 2 + 1, device=device) * audio.hop_length % audio.fft
    return cycles * (2 * torch.pi / audio.fft)


def spectra(waves: Tensor, audio: AudioConfig) -> Tensor:
    """The short-time Fourier transform: (b, frames × hop_length) → complex (b, frames + 1, fft / 2 + 1)."""
    fft = audio.fft
    return torch.fft.rfft(F.pad(waves, (fft // 2, fft // 2)).unfold(1, fft, audio.hop_length) * _window(waves, fft))


def waves(spectra: Tensor, audio: AudioConfig) -> Tensor:
    """The inverse of `spectra`, in the sense of least squares: (b, frames + 1, fft / 2 + 1) → (b, frames × hop)."""
    fft, hop, frames = audio.fft, audio.hop_length, spectra.shape[1]
    window = _window(spectra, fft)
    inside = slice(fft // 2, fft // 2 + (frames - 1) * hop)
    weight = _overlapped((window**2).expand(1, frames, fft), hop)[:, inside].clamp(min=torch.finfo(window.dtype).tiny)
    return _overlapped(torch.fft.irfft(spectra, fft) * window, hop)[:, inside] / weight


def _window(like: Tensor, fft: int) -> Tensor:
    return torch.from_numpy(mel.window(fft)).to(like.device)


def _overlapped(windows: Tensor, hop: int) -> Tensor:
    """The sum of windows (b, t, fft) that lie `hop` apart: (b, at least (t - 1) × hop + fft)."""
    count, fft = windows.shape[1:]
    overlap = -(-fft // hop)
    parts = F.pad(windows, (0, overlap * hop - fft)).unflatten(2, (overlap, hop))  # (b, t, overlap, hop)
    whole = windows.new_zeros(len(windows), count + overlap - 1, hop)
    for number in range(overlap):
        whole[:, number : number + count] += parts[:, :, number]
    return whole.flatten(1)
