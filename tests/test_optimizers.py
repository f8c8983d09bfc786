"""Muon and AdamW."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from cycle_sound.nn import device
from cycle_sound.params import OptimizerConfig, Params
from cycle_sound.training.optimizers import STEP, AdamW, Muon, Optimizers, orthogonal


@pytest.fixture
def config(params: Params) -> OptimizerConfig:
    return params.vae.image.optimizer


@pytest.mark.parametrize(("dtype", "aside"), [(torch.float32, 1e-3), (torch.bfloat16, 0.1)])
@pytest.mark.parametrize("shape", [(20, 50), (50, 20), (1, 9), (128, 128)])
@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_orthogonal_keeps_the_singular_vectors_and_evens_the_values(
    shape: tuple[int, int], size: float, dtype: torch.dtype, aside: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "dtype", lambda _device: dtype)
    torch.manual_seed(0)
    u, values, vh = torch.linalg.svd(torch.randn(3, *shape), full_matrices=False)
    number = torch.arange(values.shape[1])
    for spectrum in (values, torch.full_like(values, 1.0), 0.9 ** number.expand_as(values)):
        given = u @ torch.diag_embed(spectrum) @ vh * size
        steps = torch.stack(orthogonal(given.unbind()))
        assert torch.linalg.svdvals(steps).max() < 1.6
        turned = u.mT @ steps @ vh.mT  # diagonal where the vectors are the same
        made = turned.diagonal(dim1=1, dim2=2)
        assert (turned - torch.diag_embed(made)).abs().max() < aside
        seen = spectrum > 0.02 * spectrum.norm(dim=1, keepdim=True)
        assert made[seen].min() > 0.4


def test_a_gradient_of_one_direction_does_not_explode_in_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "dtype", lambda _device: torch.bfloat16)
    torch.manual_seed(0)
    for rows, columns in ((1, 9), (64, 144), (128, 512)):
        given = torch.outer(torch.randn(rows), torch.randn(columns)) + 1e-3 * torch.randn(rows, columns)
        assert torch.linalg.svdvals(orthogonal([given])[0]).max() < 1.6


def test_no_gradient_gives_no_step() -> None:
    weight = nn.Parameter(torch.ones(4, 8))
    weight.grad = torch.zeros(4, 8)
    Muon([weight], weight_decay=0.0).step(0.1)
    assert torch.equal(weight, torch.ones(4, 8))


def test_weights_of_one_size_are_stepped_as_if_alone() -> None:
    torch.manual_seed(0)
    gradients = torch.randn(2, 4, 3, 3, 3)
    together = [nn.Parameter(torch.zeros(4, 3, 3, 3)) for _ in gradients]
    optimizer = Muon(together, weight_decay=0.0)
    for weight, gradient in zip(together, gradients, strict=True):
        weight.grad = gradient.clone()
    optimizer.step(1.0)
    for weight, gradient in zip(together, gradients, strict=True):
        alone = nn.Parameter(torch.zeros_like(weight))
        alone.grad = gradient.clone()
        Muon([alone], weight_decay=0.0).step(1.0)
        assert torch.allclose(weight, alone, atol=1e-6)


def test_a_step_has_the_size_of_the_rate_whatever_the_gradients() -> None:
    torch.manual_seed(0)
    gradient = torch.randn(64, 64)
    for size in (1e-4, 1.0, 1e4):
        weight = nn.Parameter(torch.zeros(64, 64))
        weight.grad = gradient * size
        Muon([weight], weight_decay=0.0).step(0.01)
        assert float(weight.detach().square().mean().sqrt()) == pytest.approx(0.01 * STEP, rel=0.2)


def test_every_weight_has_one_optimizer(config: OptimizerConfig) -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Embedding(5, 8), nn.Linear(8, 2), nn.Conv1d(8, 8, 7, groups=8)
    )
    optimizers = Optimizers(model, config)
    taken = [*optimizers.muon.weights, *optimizers.adamw.weights]
    assert sorted(map(id, taken)) == sorted(map(id, model.parameters()))
    assert {id(weight) for weight in optimizers.muon.weights} == {id(model[0].weight), id(model[3].weight)}


@pytest.mark.parametrize("missing", [(), (1,)])
def test_adamw_steps_as_torch_does(missing: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    shapes, gradients = [(5, 3), (4,), (2, 3)], torch.randn(4, 3, 5, 3)
    ours, theirs = ([nn.Parameter(torch.ones(shape)) for shape in shapes] for _ in range(2))
    adamw = AdamW(ours, weight_decay=0.1, beta2=0.99)
    groups = [
        {"params": [weight for weight in theirs if weight.dim() > 1], "weight_decay": 0.1},
        {"params": [weight for weight in theirs if weight.dim() == 1], "weight_decay": 0.0},
    ]
    peer = torch.optim.AdamW(groups, lr=0.01, betas=(0.9, 0.99))
    for step in gradients:
        for number, weights in enumerate(zip(ours, theirs, strict=True)):
            for weight in weights:
                given = step[number].flatten()[: weight.numel()].view_as(weight)
                weight.grad = None if number in missing else given.clone()
        adamw.step(0.01)
        peer.step()
    for weight, other in zip(ours, theirs, strict=True):
        assert torch.allclose(weight, other, atol=1e-6)


def test_no_optimizer_loads_torchs_compiler() -> None:
    program = (
        "import sys, torch; from cycle_sound.io import params_file;"
        "from cycle_sound.training.optimizers import Optimizers;"
        "model = torch.nn.Linear(2, 2); optimizers = Optimizers(model, params_file.load().vae.image.optimizer);"
        "model(torch.ones(1, 2)).sum().backward(); optimizers.step(0.1); sys.exit('torch._dynamo' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[1])


def test_weights_are_decayed_and_biases_are_not(config: OptimizerConfig) -> None:
    model = nn.Linear(4, 4)
    nn.init.ones_(model.weight)
    nn.init.ones_(model.bias)
    optimizers = Optimizers(model, config.model_copy(update={"weight_decay": 0.5, "muon_rate": 2.0}))
    sum(0.0 * weight.sum() for weight in model.parameters()).backward()
    optimizers.step(rate=0.1)
    assert torch.allclose(model.weight, torch.full((4, 4), 0.9))
    assert torch.equal(model.bias, torch.ones(4))
