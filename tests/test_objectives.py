"""What the models are trained for."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cycle_sound.dataset import augment
from cycle_sound.errors import CodebookCollapse, MissingWeights
from cycle_sound.models.dvae import DiscreteVAE
from cycle_sound.models.tokenizer import CodeShape
from cycle_sound.nn import fidelity, rng
from cycle_sound.nn.rng import BatchRng
from cycle_sound.params import DegradationConfig, Params
from cycle_sound.training.objectives import vae
from cycle_sound.training.objectives.perceptual import Perceptual
from cycle_sound.training.objectives.transformer import TransformerObjective
from cycle_sound.training.objectives.vae import codebook_use, examine, expected_usage, gradient_error


class Pictures:
    """Stands for a split: ten smooth pictures."""

    def __len__(self) -> int:
        return 10

    def pictures(self, modality: str, rows: Any) -> Tensor:
        coarse = torch.rand(10, 3, 4, 4, generator=rng.seeded(0)) * 2 - 1
        return torch.nn.functional.interpolate(coarse, size=(32, 32), mode="bilinear")[list(rows)]


def tiny_vae(params: Params, min_usage: float = 0.0, codebooks: int = 1) -> DiscreteVAE:
    tiny = {"width": 8, "blocks": 1, "codebooks": codebooks, "codebook_size": 16, "min_usage": min_usage}
    torch.manual_seed(0)
    return DiscreteVAE(params.vae.image.model_copy(update=tiny), 3).eval()


@pytest.mark.parametrize("codebooks", [1, 3])
def test_a_collapsed_codebook_fails_with_advice(params: Params, codebooks: int) -> None:
    model = tiny_vae(params, min_usage=0.15, codebooks=codebooks)
    examine(model, "image", Pictures(), 10, 90.0)  # type: ignore[arg-type]
    with torch.no_grad():
        model.gumbel.codebooks[-1, 1:] = -model.gumbel.codebooks[-1, 0]  # one of them: two codes are left, of 16
    with pytest.raises(CodebookCollapse, match=r"vae\.image: .* of the codebook is in use.*Raise balance_weight"):
        examine(model, "image", Pictures(), 10, 90.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("clips", [1, 2])
def test_few_places_that_use_what_they_can_are_no_collapse(params: Params, clips: int) -> None:
    """Of a large codebook they can show a few codes only."""
    large = {"width": 8, "blocks": 1, "codebooks": 1, "codebook_size": 2048, "min_usage": 0.2}
    torch.manual_seed(0)
    model = DiscreteVAE(params.vae.image.model_copy(update=large), 3).eval()
    hard = {"codes": np.random.default_rng(0).integers(2048, size=(clips, 1, 8, 8))}
    usage = codebook_use(model, hard).usage
    assert usage < model.config.min_usage
    assert usage == pytest.approx(expected_usage(model, hard), rel=0.1)
    assert expected_usage(model, {"codes": np.zeros((50, 1, 64, 64), np.int64)}) == pytest.approx(1.0)


def test_the_perceptual_network_is_where_the_model_is(params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vae, "Perceptual", lambda _weights: nn.Linear(1, 1))
    config = params.vae.image.model_copy(update={"width": 8, "blocks": 1, "perceptual_weight": 0.1})
    splits: Any = Pictures(), Pictures()
    objective = vae.VaeObjective(DiscreteVAE(config, 3).to("meta"), "image", splits, params.augment.image, 10)
    assert next(objective.perceptual.parameters()).device.type == "meta"  # type: ignore[union-attr]


def test_hard_figures_are_of_argmax_tokens(params: Params) -> None:
    model = tiny_vae(params)
    real = Pictures().pictures("image", range(10))
    with torch.no_grad():
        made = model.decode(model.encode(real))
    figures = examine(model, "image", Pictures(), 10, 90.0)  # type: ignore[arg-type]
    assert figures["psnr"] == pytest.approx(float(fidelity.psnr(made, real).mean()), rel=1e-5)


@pytest.mark.parametrize("codebooks", [1, 2])
def test_the_reconstruction_error_of_the_transformer_truly_carries_gradient(params: Params, codebooks: int) -> None:
    vae = tiny_vae(params, codebooks=codebooks).requires_grad_(False)
    logits = torch.randn(2, codebooks, 16, 16, generator=rng.seeded(0)).requires_grad_()
    codes = torch.randint(16, (2, codebooks, 16), generator=rng.seeded(1))
    shapes = SimpleNamespace(target_codes=CodeShape(codebooks, 4, 4, 16))
    objective = SimpleNamespace(model=SimpleNamespace(shapes=shapes))
    TransformerObjective._reconstruction(objective, logits, codes, vae.decode_relaxed).backward()  # type: ignore[arg-type]
    assert logits.grad is not None
    assert (logits.grad.abs().sum(-1) > 0).all()


def test_a_perceptual_loss_without_weights_is_an_error_never_a_zero(tmp_path) -> None:
    with pytest.raises(MissingWeights, match="needs VGG16's weights"):
        Perceptual(str(tmp_path / "nothing.pth"))


@pytest.mark.parametrize("content", [{"a": torch.zeros(1)}, {3: 4}, [], 3, {"weight": torch.zeros(7)}], ids=str)
def test_weights_of_something_else_are_one_clear_error(
    content: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torchvision.models.vgg16", lambda: torch.nn.Linear(1, 1))
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(MissingWeights, match="needs VGG16's weights"):
        Perceptual(str(tmp_path / "weights.pth"))


def test_the_gradient_error_sees_edges_and_no_brightness() -> None:
    real = Pictures().pictures("image", range(10))
    columns = torch.arange(32)
    waves = [0.1 * torch.cos(2 * torch.pi * columns * cycles / 32) for cycles in (1, 4, 16)]
    slow, middle, fast = (float(gradient_error(real + wave, real)) for wave in waves)
    assert float(gradient_error(real + 0.1, real)) == pytest.approx(0, abs=1e-12)
    assert 0 < 10 * slow < middle < fast / 2
    assert float(gradient_error(real + waves[1][:, None], real)) == pytest.approx(middle, rel=1e-4)  # along both axes


def test_degradation_keeps_the_shape_and_comes_from_the_generator_alone() -> None:
    pictures = Pictures().pictures("image", range(10))
    config = DegradationConfig(blur=4, noise=0.2)
    once, again, other = (augment.degrade(pictures, config, BatchRng(seed, places=range(10))) for seed in (0, 0, 1))
    assert once.shape == pictures.shape
    assert 0.01 < float((once - pictures).std()) < 0.25
    assert torch.equal(once, again)
    assert not torch.equal(once, other)
