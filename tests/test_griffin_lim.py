"""Log-mels → waveforms, beside librosa's way."""

import numpy as np
import pytest
import torch
from librosa import mel_frequencies
from scipy.signal import chirp

from cycle_sound.media import mel, sound_files
from cycle_sound.models import griffin_lim
from cycle_sound.params import AudioConfig, Params

SAMPLES = 24576


@pytest.fixture
def config(params: Params) -> AudioConfig:
    return params.audio


@pytest.fixture
def vocoder(params: Params) -> griffin_lim.GriffinLim:
    return griffin_lim.GriffinLim(params.audio, params.vocoder.griffin_lim_rounds)


def sounds(rate: int) -> list[np.ndarray]:
    """A sine, a chirp with overtones, a burst of noise, silence."""
    times = np.arange(SAMPLES) / rate
    rng = np.random.default_rng(0)
    sweep = sum(chirp(times, 150 * n, times[-1], 600 * n) / n for n in range(1, 9))
    burst = rng.normal(0, 0.3, SAMPLES) * np.exp(-times * 6)
    made = (0.5 * np.sin(2 * np.pi * 880 * times), 0.1 * sweep, burst, np.zeros(SAMPLES))
    return [wave.astype(np.float32) for wave in made]


def log_mels(waves: list[np.ndarray], config: AudioConfig) -> torch.Tensor:
    return torch.from_numpy(np.stack([mel.log_mel(wave, config) for wave in waves]))


def distance(one: np.ndarray, other: np.ndarray, config: AudioConfig) -> float:
    """Log-spectral distance of two log-mels, in dB."""
    decibel = (one - other) * (config.max_db - config.min_db) / 2
    return float(np.sqrt((decibel**2).mean(axis=1)).mean())


def test_batched_inversion_is_no_worse_than_librosas(vocoder: griffin_lim.GriffinLim, config: AudioConfig):
    waves = sounds(config.sample_rate)
    pictures = log_mels(waves, config)
    ours = vocoder.waveforms(pictures).numpy()
    assert ours.shape == (4, SAMPLES)
    for picture, mine in zip(pictures.numpy(), ours, strict=True):
        theirs = griffin_lim.by_librosa(picture, config, vocoder.rounds)
        assert theirs.shape == mine.shape
        mine_db, theirs_db = (distance(mel.log_mel(wave, config), picture, config) for wave in (mine, theirs))
        assert mine_db <= theirs_db + 0.05


def test_the_mel_bands_are_unfolded_no_worse_than_by_librosa(config: AudioConfig):
    from librosa.util import nnls

    rng = np.random.default_rng(0)
    filters = mel.filters(config)
    powers = rng.exponential(1, (20, config.mels)).astype(np.float32)  # as no sound has them: some residual must stay
    mine = griffin_lim.MelToLinear(torch.from_numpy(filters))(torch.from_numpy(powers)).numpy()
    theirs = nnls(filters, powers.T).T
    assert (mine >= 0).all()
    mine_left, theirs_left = (float(np.linalg.norm(found @ filters.T - powers)) for found in (mine, theirs))
    assert mine_left <= theirs_left * 1.001


@pytest.mark.parametrize("frequency", [220.0, 880.0, 3000.0])
def test_a_sine_comes_back_at_its_pitch_and_level(
    frequency: float, vocoder: griffin_lim.GriffinLim, config: AudioConfig
):
    rate = config.sample_rate
    sine = (0.5 * np.sin(2 * np.pi * frequency * np.arange(SAMPLES) / rate)).astype(np.float32)
    wave = vocoder.waveforms(log_mels([sine], config))[0].numpy()
    edges = mel_frequencies(n_mels=config.mels + 2, fmin=config.fmin, fmax=rate / 2)
    band = int(np.searchsorted(edges, frequency))
    pitch = np.abs(np.fft.rfft(wave * np.hanning(SAMPLES))).argmax() * rate / SAMPLES
    assert abs(pitch - frequency) < edges[band] - edges[band - 1]
    assert sound_files.level_db(wave) == pytest.approx(sound_files.level_db(sine), abs=2)


def test_silence_comes_back_quiet(vocoder: griffin_lim.GriffinLim, config: AudioConfig):
    wave = vocoder.waveforms(torch.full((1, 1, config.mels, 64), -1.0))[0].numpy()
    assert sound_files.level_db(wave) < -50


def test_a_sound_is_the_same_to_the_byte_in_any_batch(vocoder: griffin_lim.GriffinLim, config: AudioConfig):
    pictures = torch.rand(11, 1, config.mels, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    together = vocoder.waveforms(pictures)
    for first, last in ((0, 1), (3, 4), (10, 11), (2, 9), (0, 8)):
        assert torch.equal(vocoder.waveforms(pictures[first:last]), together[first:last])
