"""The decoder that is fine-tuned against a discriminator: what each learns from, what stays, where it is used."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from cycle_sound import paths
from cycle_sound.errors import BadCheckpoint, MixedModels
from cycle_sound.inference import bundle, export
from cycle_sound.inference.system import CycleSound
from cycle_sound.io import files, params_file
from cycle_sound.models import dvae
from cycle_sound.models.loading import load_tokenizer
from cycle_sound.nn.rng import BatchRng, seeded
from cycle_sound.params import MODALITIES, Modality
from cycle_sound.training.objectives.decoder import Adversaries, DecoderObjective, feature_distance
from cycle_sound.training.objectives.discriminator import Discriminator
from cycle_sound.training.objectives.vae import Batch, gradient_error
from stages import download, finetune_decoder, shard, train_vae

CPU = torch.device("cpu")


# --- what each learns from


def gradients(model: torch.nn.Module, loss: Tensor) -> list[Tensor]:
    """The gradient of every weight, zero where the loss does not reach it."""
    weights = list(model.parameters())
    found = torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(weight) if one is None else one for weight, one in zip(weights, found, strict=True)]


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.allclose(a, b, rtol=1e-4, atol=1e-7) for a, b in zip(one, other, strict=True))


@pytest.fixture
def objective(data: Path) -> DecoderObjective:
    torch.manual_seed(0)
    vae, facts = dvae.load(paths.vae("image", data))
    tree = params_file.load(data.parent / "params.yaml")
    model = Adversaries(vae.decoder, Discriminator(facts.shape[0], 8))
    config = tree.decoder.image.model_copy(update={"adversarial_weight": 0.5, "feature_weight": 0.5})
    return DecoderObjective(model, vae, "image", (None, None), tree.augment.image, config, 10)  # type: ignore[arg-type]


def test_one_loss_trains_each_adversary_by_its_own_alone(objective: DecoderObjective) -> None:
    model, vae, config = objective.model, objective.vae, objective.config
    real = torch.rand(4, 3, 64, 64, generator=seeded(0)) * 2 - 1
    loss = objective.loss(Batch(real), 0, BatchRng(0, places=range(4)))["loss"]

    made = model.decoder(vae.gumbel.look_up(vae.encode(real)))
    of_real, of_made, of_fixed = (model.discriminator(x) for x in (real, made, made.detach()))
    discriminator = (1 - of_real.logits).relu().mean() + (1 + of_fixed.logits).relu().mean()
    matching = feature_distance(of_made.features, [one.detach() for one in of_real.features])
    errors = (made - real).square().mean() + vae.config.gradient_weight * gradient_error(made, real)
    decoder = errors - config.adversarial_weight * of_made.logits.mean() + config.feature_weight * matching

    assert same(gradients(model.discriminator, loss), gradients(model.discriminator, discriminator))
    assert same(gradients(model.decoder, loss), gradients(model.decoder, decoder))
    assert not same(gradients(model.decoder, loss), gradients(model.decoder, errors))
    assert not any(one.any() for part in (vae.encoder, vae.gumbel) for one in gradients(part, loss))


def test_each_can_get_better_at_its_own_task(objective: DecoderObjective) -> None:
    """Steps down its own weights' gradient alone lower what each is measured by."""
    real = torch.rand(4, 3, 64, 64, generator=seeded(0)) * 2 - 1

    def terms() -> dict[str, Tensor]:
        return dict(objective.loss(Batch(real), 0, BatchRng(0, places=range(4))))

    for part, measured in ((objective.model.discriminator, "discriminator"), (objective.model.decoder, "error")):
        optimizer = torch.optim.AdamW(part.parameters(), lr=1e-3)
        before = terms()[measured].item()
        for _ in range(10):
            optimizer.zero_grad()
            terms()["loss"].backward()
            optimizer.step()
        assert terms()[measured].item() < before


def test_the_distance_of_features_is_a_share_of_their_size() -> None:
    generator = seeded(0)
    real = [torch.randn(2, 4, 8, 8, generator=generator), torch.randn(2, 8, 4, 4, generator=generator)]
    assert feature_distance(real, real) == 0
    assert feature_distance([2 * one for one in real], real) == pytest.approx(1)
    assert feature_distance([20 * one for one in real], [10 * one for one in real]) == pytest.approx(1)
    assert torch.isfinite(feature_distance(real, [torch.zeros_like(one) for one in real]))


@pytest.mark.parametrize(("rows", "columns"), [(8, 8), (64, 64), (8, 136), (24, 40)])
def test_a_discriminator_sees_patches_of_pictures_of_any_size_that_is_allowed(rows: int, columns: int) -> None:
    seen = Discriminator(1, 8)(torch.zeros(2, 1, rows, columns))
    assert seen.logits.shape == (2, 1, rows // 8, columns // 8)
    assert [one.shape[1] for one in seen.features] == [8, 16, 32]


# --- where it is used


def with_decoder(folder: Path, modality: Modality) -> Path:
    """Write a decoder of other weights beside a folder's VAE; returns its file."""
    torch.manual_seed(1)
    _, facts = dvae.load(paths.vae(modality, folder))
    path = bundle.decoder_file(modality, folder)
    dvae.save_decoder(path, dvae.Decoder(facts.config, facts.shape[0]), paths.vae(modality, folder))
    return path


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_finetuned_decoder_draws_and_the_codes_stay(data: Path, tmp_path: Path, modality: Modality) -> None:
    own = load_tokenizer(paths.vae(modality, data), CPU)
    folder = shutil.copytree(data.parent, tmp_path / "copy") / "data"
    with_decoder(folder, modality)
    used = CycleSound.load(folder, "cpu").models.tokenizers[modality]
    pictures = torch.rand(2, *own.picture, generator=seeded(0)) * 2 - 1
    codes = own.model.encode(pictures)
    assert torch.equal(used.model.encode(pictures), codes)
    assert not torch.equal(used.model.decode(codes), own.model.decode(codes))
    assert used.digest == own.digest  # so every transformer still fits

    exported = tmp_path / "exported"
    export.export(folder, exported)
    again = CycleSound.load(exported, "cpu").models.tokenizers[modality]
    assert torch.equal(again.model.encode(pictures), codes)
    assert torch.equal(again.model.decode(codes), used.model.decode(codes))
    assert not bundle.decoder_file(modality, exported).exists()  # it is in its VAE's file, where another was


def test_an_export_with_a_finetuned_decoder_generates_the_same_and_keeps_its_confidence(
    data: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(data.parent, tmp_path / "copy") / "data"
    exported = tmp_path / "exported"
    export.export(folder, exported)
    before = CycleSound.load(folder, "cpu")
    picture = with_decoder(folder, "image")
    export.export(folder, exported)  # over the models of before
    wave = torch.rand(16000, generator=seeded(0)).numpy() - 0.5
    here, there = CycleSound.load(folder, "cpu"), CycleSound.load(exported, "cpu")
    drawn = [one.image(wave, 16000).tobytes() for one in (before, here, there)]
    assert drawn[0] != drawn[1] == drawn[2]
    sizes = [sum(path.stat().st_size for path in one.rglob("*.safetensors")) for one in (folder, exported)]
    assert sizes[0] - sizes[1] > 0.9 * picture.stat().st_size


def test_the_decoder_of_another_vae_is_refused(data: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(data.parent, tmp_path / "copy") / "data"
    path, vae = with_decoder(folder, "image"), paths.vae("image", folder)
    model, facts = dvae.load(vae)
    dvae.save(vae, model, facts.shape, "of other shards", facts.audio)
    with pytest.raises(MixedModels, match=r"decoder.*VAE"):
        load_tokenizer(vae, CPU, path)


def test_another_model_is_no_decoder(data: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(data.parent, tmp_path / "copy") / "data"
    path = with_decoder(folder, "image")
    vae, _ = dvae.load(paths.vae("audio", folder))  # of one channel
    dvae.save_decoder(path, vae.decoder, paths.vae("image", folder))
    with pytest.raises(BadCheckpoint):
        load_tokenizer(paths.vae("image", folder), CPU, path)
    path.write_bytes(paths.vae("audio", folder).read_bytes())
    with pytest.raises(BadCheckpoint):
        load_tokenizer(paths.vae("image", folder), CPU, path)


# --- its stage


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, write_tiny: Callable[..., None]) -> Path:
    """A few pairs of the toy orchestra, their shards, and VAEs."""
    folder = tmp_path_factory.mktemp("corpus")
    write_tiny(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        download.main(params_file.load())
        shard.main(params_file.load())
        for modality in MODALITIES:
            train_vae.main(modality, params_file.load())
    return folder


@pytest.fixture
def project(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, which is the current folder."""
    monkeypatch.chdir(shutil.copytree(corpus, tmp_path / "project"))
    return Path.cwd()


def finetuned() -> bytes:
    finetune_decoder.main("image", params_file.load())
    return bundle.decoder_file("image", paths.DATA).read_bytes()


def test_the_stage_leaves_the_vae_as_it_is_and_is_the_same_each_time(project: Path) -> None:
    vae = paths.vae("image").read_bytes()
    first = finetuned()
    assert paths.vae("image").read_bytes() == vae
    file = bundle.decoder_file("image", paths.DATA)
    own, used = (load_tokenizer(paths.vae("image"), CPU, decoder) for decoder in (None, file))
    codes = torch.zeros(1, *own.codes[:3], dtype=torch.int64)
    assert not torch.equal(own.model.decode(codes), used.model.decode(codes))
    assert {"gradient_ratio", "high_frequency_ratio", "psnr", "ssim"} <= figures("finetune_decoder").keys()
    assert finetuned() == first


@pytest.mark.parametrize("step", [0, 1, 2])
def test_a_killed_finetuning_ends_with_the_same_bytes(project: Path, kill: Callable[..., None], step: int) -> None:
    undisturbed = finetuned()
    kill(DecoderObjective, step, finetuned)
    assert paths.snapshot("finetune_decoder", "image").exists() == (step > 0)
    assert finetuned() == undisturbed
    assert not paths.snapshot("finetune_decoder", "image").exists()


def figures(stage: str) -> dict[str, float]:
    found: dict[str, float] = json.loads(paths.metrics(stage, "image").read_text(encoding="utf-8"))
    return found


def test_where_none_is_wanted_the_folder_is_empty_and_the_figures_are_of_the_vaes_own(
    project: Path, write_tiny: Callable[..., None]
) -> None:
    finetuned()
    write_tiny(project, decoder={"image": {"adversarial": False}})
    finetune_decoder.main("image", params_file.load())
    assert list(paths.decoder("image").iterdir()) == []
    assert figures("finetune_decoder").items() <= figures("train_vae").items()
    rows = files.read_csv(paths.curve("finetune_decoder", "image"))
    assert list(rows) == []
