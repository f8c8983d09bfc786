"""What the models are trained for."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from cycle_sound import batches, metrics
from cycle_sound.batches import Draws
from cycle_sound.dvae import DiscreteVAE
from cycle_sound.objectives.perceptual import MissingWeights, Perceptual
from cycle_sound.objectives.transformer import TransformerObjective
from cycle_sound.objectives.vae import CodebookCollapse, examine
from cycle_sound.params import Params, Wear


class Pictures:
    """Stands for a split: ten smooth pictures."""

    def __len__(self) -> int:
        return 10

    def pictures(self, modality: str, rows: Any) -> Tensor:
        coarse = torch.rand(10, 3, 4, 4, generator=batches.seeded(0)) * 2 - 1
        return torch.nn.functional.interpolate(coarse, size=(32, 32), mode="bilinear")[list(rows)]


def tiny_vae(params: Params, min_usage: float) -> DiscreteVAE:
    tiny = {"width": 8, "blocks": 1, "codebook_size": 16, "min_usage": min_usage}
    torch.manual_seed(0)
    return DiscreteVAE(params.vae.image.model_copy(update=tiny), 3).eval()


def test_a_collapsed_codebook_fails_with_advice(params: Params) -> None:
    model = tiny_vae(params, min_usage=0.9)
    with torch.no_grad():
        model.gumbel.codebook[1:] = -model.gumbel.codebook[0]
    with pytest.raises(CodebookCollapse, match=r"vae\.image: .* of the codebook is in use.*Raise balance_weight"):
        examine(model, "image", Pictures(), 90.0)  # type: ignore[arg-type]


def test_hard_figures_are_of_argmax_tokens(params: Params) -> None:
    model = tiny_vae(params, min_usage=0.0)
    real = Pictures().pictures("image", range(10))
    with torch.no_grad():
        made = model.decode(model.encode(real))
    figures = examine(model, "image", Pictures(), 90.0)  # type: ignore[arg-type]
    assert figures["psnr"] == pytest.approx(metrics.psnr(made, real), rel=1e-5)


def test_the_reconstruction_error_of_the_transformer_truly_carries_gradient(params: Params) -> None:
    vae = tiny_vae(params, min_usage=0.0).requires_grad_(False)
    logits = torch.randn(2, 16, 16, generator=batches.seeded(0)).requires_grad_()
    tokens = torch.randint(16, (2, 16), generator=batches.seeded(1))
    objective = SimpleNamespace(model=SimpleNamespace(shapes=SimpleNamespace(target_grid=(4, 4))))
    TransformerObjective._reconstruction(objective, logits, tokens, vae.decode_relaxed).backward()  # type: ignore[arg-type]
    assert logits.grad is not None
    assert (logits.grad.abs().sum(-1) > 0).all()


def test_a_perceptual_loss_without_weights_is_an_error_never_a_zero(tmp_path) -> None:
    with pytest.raises(MissingWeights, match="needs VGG16's weights"):
        Perceptual(str(tmp_path / "nothing.pth"))


def test_wear_keeps_shape_and_spares_nothing_but_the_content() -> None:
    pictures = Pictures().pictures("image", range(10))
    worn = batches.worn(pictures, Wear(blur=4, noise=0.2), Draws(batches.seeded(0), 10))
    assert worn.shape == pictures.shape
    assert 0.01 < float((worn - pictures).std()) < 0.25
    assert torch.equal(worn, batches.worn(pictures, Wear(blur=4, noise=0.2), Draws(batches.seeded(0), 10)))
