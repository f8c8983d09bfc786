"""The discrete VAE and its bottleneck."""

import math

import pytest
import torch
from torch import Tensor, nn

from cycle_sound.errors import BadCheckpoint
from cycle_sound.models import dvae
from cycle_sound.models.dvae import DiscreteVAE
from cycle_sound.models.gumbel import Gumbel, divergences
from cycle_sound.nn import fidelity, rng
from cycle_sound.nn.rng import BatchRng
from cycle_sound.params import Params, VaeConfig
from cycle_sound.training.optimizers import Optimizers


@pytest.fixture(params=[1, 3])
def config(request: pytest.FixtureRequest, params: Params) -> VaeConfig:
    return params.vae.image.model_copy(
        update={"width": 16, "blocks": 1, "codebooks": request.param, "codebook_size": 32}
    )


def pictures(count: int, channels: int = 3) -> Tensor:
    """Smooth coloured gradients."""
    generator = rng.seeded(1)
    coarse = torch.rand(count, channels, 4, 4, generator=generator) * 2 - 1
    return nn.functional.interpolate(coarse, size=(32, 32), mode="bilinear")


@pytest.mark.parametrize(("channels", "sides"), [(3, (32, 32)), (1, (64, 16))])
def test_encode_and_decode_keep_shape_and_range(config: VaeConfig, channels: int, sides: tuple[int, int]) -> None:
    model = DiscreteVAE(config, channels).eval()
    given = torch.rand(2, channels, *sides) * 2 - 1
    tokens = model.encode(given)
    shape = model.code_shape((channels, *sides))
    assert tokens.shape == (2, shape.codebooks, shape.rows, shape.columns)
    assert 0 <= tokens.min() <= tokens.max() < config.codebook_size
    made = model.decode(tokens)
    assert made.shape == given.shape
    assert made.abs().max() <= 1


def test_tokens_are_the_same_each_time_even_in_training_mode(config: VaeConfig) -> None:
    model = DiscreteVAE(config, 3).train()
    given = pictures(4)
    assert torch.equal(model.encode(given), model.encode(given))


def test_overfits_four_pictures(config: VaeConfig) -> None:
    torch.manual_seed(0)
    model = DiscreteVAE(config, 3)
    optimizers = Optimizers(model, config.optimizer)
    given = pictures(4)
    for step in range(150):
        made = model(given, temperature=0.5, rng=BatchRng(0, step, places=range(4)))
        nn.functional.mse_loss(made.pictures, given).backward()
        optimizers.step(rate=5e-3)
    with torch.no_grad():
        hard = model.decode(model.encode(given))
    assert fidelity.psnr(hard, given).mean() > 20


def test_relaxed_codes_carry_gradient_to_the_encoder(config: VaeConfig) -> None:
    model = DiscreteVAE(config, 3)
    model(pictures(2), temperature=1.0, rng=BatchRng(0, places=range(2))).pictures.sum().backward()
    assert all(parameter.grad is not None for parameter in model.encoder.parameters())
    assert model.encoder[1].weight.grad.abs().sum() > 0


def test_forward_uses_one_code_per_place_and_codebook() -> None:
    gumbel = Gumbel(codebooks=2, codebook_size=16, code_width=4)
    vectors = gumbel(torch.randn(2, 8, 3, 3), 1.0, 0.5, BatchRng(0, places=range(2))).vectors
    groups = vectors.unflatten(1, (2, 4)).permute(1, 0, 3, 4, 2).flatten(1, 3)  # (k, n, code_width)
    nearest = torch.cdist(groups, gumbel.codes()).min(-1).values
    assert nearest.max() < 1e-3


def test_decoding_one_hot_weights_equals_decoding_tokens(config: VaeConfig) -> None:
    model = DiscreteVAE(config, 3).eval()
    tokens = torch.randint(config.codebook_size, (2, config.codebooks, 4, 4), generator=rng.seeded(0))
    weights = nn.functional.one_hot(tokens, config.codebook_size).float()
    assert torch.allclose(model.decode_relaxed(weights).clamp(-1, 1), model.decode(tokens), atol=1e-5)


def test_divergences_add_up_to_the_kl_and_do_not_grow_with_the_batch() -> None:
    logits = torch.randn(3, 2, 4, 5, 10, generator=rng.seeded(0))
    q = logits.softmax(-1)
    kl = (q * (q.log() + math.log(10))).sum(-1).mean()
    once, twice = divergences(logits), divergences(torch.cat([logits, logits]))
    assert torch.isclose(sum(once), kl, atol=1e-5)
    assert all(torch.isclose(a, b, atol=1e-5) for a, b in zip(once, twice, strict=True))


def test_a_checkpoint_rebuilds_the_model_alone(config: VaeConfig, params: Params, tmp_path) -> None:
    model = DiscreteVAE(config, 3).eval()
    dvae.save(tmp_path / "vae.safetensors", model, (3, 32, 32), "digest", params.audio)
    given = pictures(2)
    again, facts = dvae.load(tmp_path / "vae.safetensors")
    assert torch.equal(again.logits(given), model.logits(given))
    assert (facts.config, facts.shape, facts.shards, facts.audio) == (config, (3, 32, 32), "digest", params.audio)
    (tmp_path / "bad.safetensors").write_bytes(b"not a model")
    with pytest.raises(BadCheckpoint, match=r"bad\.safetensors"):
        dvae.load(tmp_path / "bad.safetensors")
