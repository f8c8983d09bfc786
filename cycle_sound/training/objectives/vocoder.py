"""What a learned vocoder is trained for: the spectra of real sounds, from their log-mels alone."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cycle_sound.dataset.sounds import Sounds
from cycle_sound.media import mel
from cycle_sound.models import stft
from cycle_sound.models.learned_vocoder import LearnedVocoder
from cycle_sound.nn import device
from cycle_sound.nn.rng import BatchRng
from cycle_sound.params import AudioConfig, LearnedVocoderSection

MOST = 64  # sounds of valid that a validation listens to
SILENT = 1e-12  # of power: keeps square roots and quotients finite
QUIET = 0.1  # norm of magnitudes, that of a hiss at -80 dBFS or so: what is softer counts no more


class Batch(NamedTuple):
    """What a step learns from."""

    log_mels: Tensor  # (b, 1, mels, frames)
    waves: Tensor  # (b, frames × hop_length)


class Stretches:
    """A `Source`: stretches of sounds, of so many frames, at random gains in dB, with their log-mels."""

    def __init__(self, sounds: Sounds, audio: AudioConfig, frames: int, quietest: float) -> None:
        self._sounds, self._audio, self._frames, self._quietest = sounds, audio, frames, quietest

    @property
    def pairs(self) -> int:
        """Sounds to learn from."""
        return len(self._sounds)

    def batch(self, rows: Tensor, rng: BatchRng) -> Batch:
        """A stretch of each sound from anywhere in it, at any gain from the quietest to 0 dB, with its log-mel."""
        whole = self._sounds.waveforms(rows.tolist())
        samples = min(self._frames * self._audio.hop_length, whole.shape[1])
        starts = rng.integers(whole.shape[1] - samples + 1).tolist()
        gains = 10 ** (rng.uniform(1) * self._quietest / 20)
        waves = gains * torch.stack([wave[start : start + samples] for wave, start in zip(whole, starts, strict=True)])
        return Batch(log_mels(waves, self._audio), waves)


class VocoderObjective:
    """Spectral convergence and log magnitude (Yamamoto et al. 2020, arXiv:1910.11480), and the advance of phases.

    Their one resolution is that of the head: magnitudes and phases are learned apart, so no other transform is needed
    to see one through the other.
    """

    def __init__(self, model: LearnedVocoder, splits: tuple[Sounds, Sounds], config: LearnedVocoderSection) -> None:
        self.model, self.log_power_weight = model, config.log_power_weight
        train, self.valid = splits
        self.train = Stretches(train, model.audio, config.frames, config.quietest)

    def loss(self, batch: Batch, _step: int, _rng: BatchRng) -> Mapping[str, Tensor]:
        """Terms of one step: convergence as a share, the error of powers in dB, that of the advance in 0 … 2."""
        return losses(self.model, batch, self.log_power_weight)

    @torch.inference_mode()
    def validate(self, model: nn.Module) -> dict[str, float]:
        """The loss on sounds of valid, and how near what is heard comes to them."""
        assert isinstance(model, LearnedVocoder)
        waves, where = self.valid.waveforms(range(min(len(self.valid), MOST))), device.of(model)
        batch = Batch(log_mels(waves, model.audio).to(where), waves.to(where))
        heard = model.waveforms(batch.log_mels)
        loss = float(losses(model, batch, self.log_power_weight)["loss"])
        return {"loss": loss, **distances(heard, batch.waves, model.audio)}


def losses(model: LearnedVocoder, batch: Batch, log_power_weight: float) -> dict[str, Tensor]:
    """The loss terms of a model's spectra: convergence, error of log power in dB, error of the phase advance; each ().

    An advance is weighted by the magnitudes that it lies between, and the error of log power by `log_power_weight`.
    """
    audio, (powers, advances) = model.audio, model(batch.log_mels)
    real = stft.spectra(batch.waves, audio)
    magnitudes = real.abs()
    convergence = spectral_convergence(powers.clamp(min=SILENT).sqrt(), magnitudes).mean()
    log_power = (_decibel(powers, audio) - _decibel(magnitudes.square(), audio)).abs().mean()
    turned = real[:, 1:] * real[:, :-1].conj() * torch.exp(-1j * stft.turns(audio, real.device))
    sizes = magnitudes[:, 1:] * magnitudes[:, :-1]
    missed = 1 - (advances[:, 1:] * turned.conj()).real / sizes.clamp(min=SILENT)  # 0 … 2
    weights = F.normalize(sizes.sqrt().flatten(1), p=1.0)  # of each sound 1 in all
    advance = (missed.flatten(1) * weights).sum(1).mean()
    loss = convergence + log_power_weight * log_power + advance
    return {"loss": loss, "convergence": convergence, "log_power": log_power, "advance": advance}


def spectral_convergence(made: Tensor, real: Tensor) -> Tensor:
    """How far magnitudes (b, t, fft / 2 + 1) lie from real ones, as a share of their norm: (b,)."""
    return (made - real).flatten(1).norm(dim=1) / real.flatten(1).norm(dim=1).clamp(min=QUIET)


def distances(heard: Tensor, real: Tensor, audio: AudioConfig) -> dict[str, float]:
    """How near waveforms (b, samples) come to real ones at the full resolution of the transform.

    The log-spectral distance in dB is the root mean square over frequencies, mean over frames.
    """
    made, wanted = stft.spectra(heard, audio).abs(), stft.spectra(real, audio).abs()
    lacking = _decibel(made.square(), audio) - _decibel(wanted.square(), audio)
    return {
        "spectral_convergence": float(spectral_convergence(made, wanted).mean()),
        "log_spectral_distance": float(lacking.square().mean(-1).sqrt().mean()),
    }


def log_mels(waves: Tensor, audio: AudioConfig) -> Tensor:
    """Log-mels of waveforms on the CPU, as shards hold them: (b, samples) → (b, 1, mels, frames)."""
    return torch.from_numpy(mel.of_clips(waves.numpy(), audio, waves.shape[1] / audio.sample_rate))


def _decibel(powers: Tensor, audio: AudioConfig) -> Tensor:
    """Powers in dB, no less than what a log-mel can tell from silence."""
    return 10 * powers.clamp(min=stft.floor(audio)).log10()
