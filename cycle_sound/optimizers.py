"""How weights are stepped: those of linear and convolutional layers by Muon, all else by AdamW.

Muon is momentum whose steps are made orthogonal: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon, with
the step size of Liu et al. 2025, arXiv:2502.16982. Here it needs half of AdamW's steps. torch.optim.Muon does it in
bfloat16, in which many CPUs are a hundred times slower, and for matrices alone.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from cycle_sound.params import Optimizer as Config

ROUNDS = 5  # of Newton and Schulz
QUINTIC = (3.4445, -4.7750, 2.0315)  # of Jordan et al.: singular values of any size come to 0.7 … 1.2, fast
STEP = 0.2  # root mean square of a weight's step, × the learning rate: about that of AdamW
MOMENTUM = 0.95


class Muon(torch.optim.Optimizer):
    """Steps of a fixed size in every direction of a layer's weights, whatever the gradient's own."""

    def __init__(self, weights: Iterable[Tensor], lr: float, weight_decay: float) -> None:
        super().__init__(weights, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step down the gradients; no closure is known."""
        for group in self.param_groups:
            alike: dict[tuple[int, int], list[Tensor]] = {}
            for weight in group["params"]:
                if weight.grad is not None:
                    alike.setdefault((len(weight), weight[0].numel()), []).append(weight)
            for weights in alike.values():
                self._step(weights, group)

    def _step(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        """One step of weights of one shape, all at once."""
        directions = orthogonal(torch.stack([self._smoothed(weight) for weight in weights]))
        rate = group["lr"] * STEP * max(directions.shape[1:]) ** 0.5
        for weight, direction in zip(weights, directions, strict=True):
            weight.mul_(1 - group["lr"] * group["weight_decay"]).sub_(direction.view_as(weight), alpha=rate)

    def _smoothed(self, weight: Tensor) -> Tensor:
        """A weight's gradient with Nesterov's momentum: (rows, columns)."""
        assert weight.grad is not None
        state = self.state[weight]
        if not state:
            state["average"] = torch.zeros_like(weight)
        average = state["average"].lerp_(weight.grad, 1 - MOMENTUM)
        return weight.grad.lerp(average, MOMENTUM).flatten(1)


def orthogonal(matrices: Tensor) -> Tensor:
    """Matrices with the same singular vectors, all singular values about 1: (b, rows, columns) → the same.

    Every round multiplies a wide matrix x by a polynomial of its Gram matrix x xᵀ. Those of all rounds commute, so the
    rounds are done on the small Gram matrix alone, and x is multiplied once: for the convolutions of a VAE less than
    half of the work.
    """
    a, b, c = QUINTIC
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    gram = x @ x.mT  # (b, n, n), n the shorter side
    identity = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    product = identity.expand_as(gram)
    for number in range(ROUNDS):
        factor = torch.baddbmm(a * identity.expand_as(gram), gram, b * identity + c * gram)
        product = factor @ product if number else factor
        if number + 1 < ROUNDS:
            gram = factor @ gram @ factor
    x = product @ x
    return x.mT if tall else x


class Optimizers:
    """Both, for one model. Weight decay is for what is at least a matrix: not for biases and scales."""

    def __init__(self, model: nn.Module, config: Config) -> None:
        layers = [part.weight for part in model.modules() if isinstance(part, nn.Linear | nn.Conv2d)]
        known = {id(weight) for weight in layers}
        others = [weight for weight in model.parameters() if id(weight) not in known]
        groups = [
            {"params": [weight for weight in others if weight.dim() > 1], "weight_decay": config.weight_decay},
            {"params": [weight for weight in others if weight.dim() <= 1], "weight_decay": 0.0},
        ]
        rate = config.learning_rate
        self.model, self.config = model, config
        self.muon = Muon(layers, config.muon_rate * rate, config.weight_decay)
        self.adamw = torch.optim.AdamW(groups, lr=rate, betas=(0.9, config.beta2), fused=True)

    def step(self, rate: float) -> None:
        """One step down the gradients that have gathered, clipped by norm, at a learning rate; they are gone then."""
        nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        for optimizer, share in ((self.muon, self.config.muon_rate), (self.adamw, 1.0)):
            for group in optimizer.param_groups:
                group["lr"] = rate * share
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def tensors(self) -> dict[str, Any]:
        """Their moments: a tree."""
        return {
            name: {str(number): moments for number, moments in optimizer.state_dict()["state"].items()}
            for name, optimizer in self._named().items()
        }

    def restore(self, moments: Mapping[str, Any]) -> None:
        """Put moments back; the groups, with their rates, are those the optimizers were made with."""
        for name, optimizer in self._named().items():
            state = {int(number): values for number, values in moments.get(name, {}).items()}
            optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})

    def _named(self) -> dict[str, torch.optim.Optimizer]:
        return {"muon": self.muon, "adamw": self.adamw}
