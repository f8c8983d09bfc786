"""The vocoder with weights: what it makes, what it learns from, its file."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from cycle_sound import paths
from cycle_sound.dataset.reader import Split
from cycle_sound.dataset.sounds import Sounds
from cycle_sound.errors import BadCheckpoint
from cycle_sound.inference import export
from cycle_sound.inference.system import CycleSound
from cycle_sound.io import params_file
from cycle_sound.media import mel, sound_files
from cycle_sound.models import learned_vocoder, stft
from cycle_sound.models.learned_vocoder import LearnedVocoder
from cycle_sound.nn.rng import BatchRng, seeded
from cycle_sound.params import Params
from cycle_sound.training.objectives import vocoder as objectives
from cycle_sound.training.objectives.vocoder import Batch, VocoderObjective
from stages import download, shard, train_vocoder

SAMPLES = 24576
WEIGHT = 0.1  # of the error of powers, per dB
OTHERS = [  # other framings
    {},
    {"hop_length": 256, "fft": 512, "mels": 40},
    {"hop_length": 250, "fft": 1000, "sample_rate": 8000},
]


def untrained(params: Params, **audio: float) -> LearnedVocoder:
    config = params.vocoder.learned.model_copy(update={"width": 16, "blocks": 1})
    torch.manual_seed(0)
    return LearnedVocoder(config, params.audio.model_copy(update=audio)).eval()


def bursts(rate: int, samples: int) -> np.ndarray:
    """Three bursts of noise, of other pitch and level, with silence before, between and after."""
    rng, wave = np.random.default_rng(0), np.zeros(samples, np.float32)
    for start, level in ((0.2, 0.3), (0.5, 0.1), (0.72, 0.2)):
        place = round(start * samples)
        noise = rng.normal(0, level, rate // 8)
        wave[place : place + len(noise)] += noise * np.exp(-np.arange(len(noise)) * 30 / rate)
    return wave


# --- what it makes


@pytest.mark.parametrize("audio", OTHERS)
def test_the_transform_is_that_of_the_log_mel_and_its_inverse_gives_the_sound_back(params: Params, audio: dict):
    config = params.audio.model_copy(update=audio)
    wave = bursts(config.sample_rate, 50 * config.hop_length)
    spectra = stft.spectra(torch.from_numpy(wave)[None], config)
    assert torch.allclose(stft.waves(spectra, config)[0], torch.from_numpy(wave), atol=1e-5)
    heard = spectra[0, :-1].abs().square().numpy() @ mel.filters(config).T  # (frames, mels)
    decibel = 10 * np.log10(np.maximum(heard.T, 10 ** (config.min_db / 10)))
    scaled = 2 * (decibel - config.min_db) / (config.max_db - config.min_db) - 1
    assert np.abs(scaled - mel.log_mel(wave, config)[0]).max() < 1e-3


@pytest.mark.parametrize("audio", OTHERS)
def test_what_is_heard_has_the_log_mel_given_frame_for_frame_even_untrained(params: Params, audio: dict):
    model = untrained(params, **audio)
    given = objectives.log_mels(
        torch.from_numpy(bursts(model.audio.sample_rate, 50 * model.audio.hop_length))[None], model.audio
    )
    heard = model.waveforms(given)
    assert heard.shape == (1, 50 * model.audio.hop_length)
    again = objectives.log_mels(heard, model.audio)
    errors = {shift: float((again.roll(shift, -1) - given).abs().mean()) for shift in (-1, 0, 1)}
    assert errors[0] < 0.07  # 3 dB
    assert errors[0] < 0.6 * min(errors[-1], errors[1])


@pytest.mark.parametrize("audio", OTHERS)
def test_a_silent_log_mel_is_silence(params: Params, audio: dict):
    model = untrained(params, **audio)
    silent = torch.full((1, 1, model.audio.mels, 20), -1.0)
    assert sound_files.level_db(model.waveforms(silent)[0].numpy()) < -150


def test_a_sound_is_the_same_to_the_byte_in_any_batch_and_each_time(params: Params):
    model = untrained(params)
    pictures = torch.rand(5, 1, params.audio.mels, 20, generator=seeded(0)) * 2 - 1
    together = model.waveforms(pictures)
    assert torch.isfinite(together).all()
    torch.manual_seed(1)
    for first, last in ((0, 1), (3, 4), (1, 5)):
        assert torch.equal(model.waveforms(pictures[first:last]), together[first:last])


# --- what it learns from


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, write_tiny: Callable[..., None]) -> Path:
    """A few pairs of the toy orchestra and their shards, without the sounds of test."""
    folder = tmp_path_factory.mktemp("corpus")
    write_tiny(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        download.main(params_file.load())
        shard.main(params_file.load())
    shutil.rmtree(folder / paths.RAW / "test_data")
    return folder


@pytest.fixture
def project(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, which is the current folder."""
    monkeypatch.chdir(shutil.copytree(corpus, tmp_path / "project"))
    return Path.cwd()


def trained() -> bytes:
    train_vocoder.main(params_file.load())
    return paths.vocoder().read_bytes()


def test_the_stage_needs_no_test_sound_and_is_the_same_each_time(project: Path):
    first = trained()
    config = params_file.load().vocoder.learned
    found = learned_vocoder.load(paths.vocoder(), params_file.load().audio).config.model_dump()
    assert found == config.model_dump(exclude={"quietest", "log_power_weight"})  # of the training alone
    figures = (project / paths.metrics("train_vocoder")).read_text(encoding="utf-8")
    assert "valid_spectral_convergence" in figures
    assert "valid_log_spectral_distance" in figures
    assert trained() == first


@pytest.mark.parametrize("step", [0, 1, 2])
def test_a_killed_training_ends_with_the_same_bytes(project: Path, kill: Callable[..., None], step: int) -> None:
    undisturbed = trained()
    kill(VocoderObjective, step, trained)
    assert paths.snapshot("train_vocoder").exists() == (step > 0)
    assert trained() == undisturbed
    assert not paths.snapshot("train_vocoder").exists()


def test_a_batch_is_of_stretches_with_their_own_log_mels(project: Path):
    params = params_file.load()
    originals = Split(project / paths.SHARDS, "train").originals[:4]
    sounds = Sounds(project / paths.RAW, originals, SAMPLES, params.audio.sample_rate)
    objective = VocoderObjective(
        LearnedVocoder(params.vocoder.learned, params.audio), (sounds, sounds), params.vocoder.learned
    )
    batch = objective.train.batch(torch.arange(4), BatchRng(0, places=range(4)))
    frames = params.vocoder.learned.frames
    assert batch.log_mels.shape == (4, 1, params.audio.mels, frames)
    assert batch.waves.shape == (4, frames * params.audio.hop_length)
    assert torch.equal(batch.log_mels, objectives.log_mels(batch.waves, params.audio))
    for wave, whole in zip(batch.waves, sounds.waveforms(range(4)), strict=True):
        found = np.correlate(whole.numpy(), wave.numpy()).max() ** 2  # Cauchy and Schwarz: only a part of it reaches
        energy = whole.unfold(0, len(wave), 1).square().sum(1).max() * wave.square().sum()
        assert found <= float(energy) * 1.001


def test_the_weight_of_the_powers_and_the_gains_are_those_of_params_yaml(project: Path):
    params = params_file.load()
    originals = Split(project / paths.SHARDS, "train").originals[:4]
    sounds = Sounds(project / paths.RAW, originals, SAMPLES, params.audio.sample_rate)
    loudest = []
    for quietest, weight in ((0.0, 0.0), (-300.0, 0.5)):
        config = params.vocoder.learned.model_copy(update={"quietest": quietest, "log_power_weight": weight})
        objective = VocoderObjective(untrained(params), (sounds, sounds), config)
        batch = objective.train.batch(torch.arange(4), BatchRng(0, places=range(4)))
        terms = objective.loss(batch, 0, BatchRng(0, places=range(4)))
        rest = terms["convergence"] + terms["advance"]
        assert torch.isclose(terms["loss"], rest + weight * terms["log_power"])
        loudest.append(float(batch.waves.abs().max()))
    assert loudest[1] < loudest[0] / 100


def test_a_batch_learns_what_its_parts_learn_on_several_processes(params: Params):
    waves = (
        0.1
        * torch.randn(4, 12 * params.audio.hop_length, generator=seeded(0))
        * torch.tensor([1, 0.1, 0.5, 0])[:, None]
    )
    batch, model = Batch(objectives.log_mels(waves, params.audio), waves), untrained(params)
    whole = objectives.losses(model, batch, WEIGHT)
    parts = [
        objectives.losses(model, Batch(*(rows[part] for rows in batch)), WEIGHT) for part in (slice(0, 2), slice(2, 4))
    ]
    for name, term in whole.items():
        assert torch.isfinite(term)
        assert torch.allclose(term, torch.stack([part[name] for part in parts]).mean(), rtol=1e-4)


def test_it_learns_what_lies_between_the_mels(params: Params):
    """Steady tones: after a few steps their spectra and the advance of their phases are known."""
    model = untrained(params)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    times = torch.arange(16 * params.audio.hop_length) / params.audio.sample_rate

    def batch(seed: int) -> Batch:
        pitches = 300 + 60 * torch.rand(8, 1, generator=seeded(seed))
        waves = 0.3 * torch.sin(2 * torch.pi * pitches * times)
        return Batch(objectives.log_mels(waves, params.audio), waves)

    def terms() -> dict[str, float]:
        return {name: float(term.detach()) for name, term in objectives.losses(model, batch(1_000), WEIGHT).items()}

    before = terms()
    for step in range(40):
        optimizer.zero_grad()
        objectives.losses(model, batch(step), WEIGHT)["loss"].backward()
        optimizer.step()
    after = terms()
    assert all(after[name] < 0.8 * before[name] for name in ("loss", "convergence", "advance"))


# --- its file


def test_weights_come_back_from_their_file_and_not_beside_other_log_mels(params: Params, tmp_path: Path):
    model = untrained(params)
    torch.nn.init.normal_(model.magnitude.weight)
    learned_vocoder.save(tmp_path / "a.safetensors", model)
    again = learned_vocoder.load(tmp_path / "a.safetensors", params.audio)
    picture = torch.rand(1, 1, params.audio.mels, 12, generator=seeded(0)) * 2 - 1
    assert torch.equal(again.waveforms(picture), model.waveforms(picture))
    for change in ({"mels": 32}, {"hop_length": 256}, {"min_db": -80.0}):
        with pytest.raises(BadCheckpoint, match=r"a.safetensors: .* log-mels"):
            learned_vocoder.load(tmp_path / "a.safetensors", params.audio.model_copy(update=change))


def with_kind(data: Path, kind: str, folder: Path) -> Path:
    """The data/ of a copy of a project whose vocoder is of a kind."""
    project = shutil.copytree(data.parent, folder)
    text = (project / "params.yaml").read_text(encoding="utf-8")
    for other in ("griffin_lim", "learned"):
        text = text.replace(f"kind: {other}", f"kind: {kind}")
    (project / "params.yaml").write_text(text, encoding="utf-8")
    return project / "data"


def test_an_export_carries_the_vocoder_that_is_heard(data: Path, tmp_path: Path):
    made = {}
    pictures = [CycleSound.load(data).image(bursts(16000, SAMPLES), 16000)]
    for kind in ("griffin_lim", "learned"):
        project = with_kind(data, kind, tmp_path / kind)
        export.export(project, tmp_path / f"of {kind}")
        assert (tmp_path / f"of {kind}/vocoder/learned.safetensors").exists() == (kind == "learned")
        heard = [CycleSound.load(one).sounds(pictures)[0].waveform for one in (project, tmp_path / f"of {kind}")]
        assert heard[0].tobytes() == heard[1].tobytes()
        made[kind] = heard[0].tobytes()
    assert made["griffin_lim"] != made["learned"]


def test_only_the_learned_kind_needs_weights(data: Path, tmp_path: Path):
    for kind in ("griffin_lim", "learned"):
        paths.vocoder(with_kind(data, kind, tmp_path / kind)).unlink()
    CycleSound.load(tmp_path / "griffin_lim/data")
    with pytest.raises(BadCheckpoint, match=r"learned.safetensors: no such model"):
        CycleSound.load(tmp_path / "learned/data")
