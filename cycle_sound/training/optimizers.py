"""How weights are stepped: those of linear and convolutional layers by Muon, all else by AdamW.

Muon is momentum whose steps are made orthogonal: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon, with
the step size of Liu et al. 2025, arXiv:2502.16982. Here it needs half of AdamW's steps. torch.optim.Muon does it in
bfloat16, in which many CPUs are a hundred times slower, and for matrices alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from cycle_sound.params import OptimizerConfig
from cycle_sound.training import sharding

# Odd polynomials a x + b x³ + c x⁵, one per round, each the best for what the one before leaves (Amsel et al. 2025,
# arXiv:2505.16932), for singular values down to 0.005 of the norm: they come to 0.5 … 1.5, smaller ones grow 100-fold.
POLYNOMIALS = ((8.2987, -24.4305, 18.0903), (3.9152, -2.9211, 0.5592), (3.1746, -2.3804, 0.4978))
STEP = 0.2  # root mean square of a weight's step, × the learning rate: about that of AdamW
MOMENTUM = 0.95


class Muon(torch.optim.Optimizer):
    """Steps of a fixed size in every direction of a layer's weights, whatever the gradient's own."""

    def __init__(self, weights: Iterable[Tensor], lr: float, weight_decay: float) -> None:
        super().__init__(weights, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step down the gradients; a closure is not supported."""
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            smoothed = [self._smoothed(weight) for weight in weights]
            if any(map(sharding.is_share, weights)):
                directions = sharding.on_whole(orthogonal, smoothed, [len(weight) for weight in weights])
            else:
                directions = orthogonal(smoothed)
            for weight, direction in zip(weights, directions, strict=True):
                rate = group["lr"] * STEP * max(len(weight), direction.shape[1]) ** 0.5
                rows = sharding.local(weight)
                rows.mul_(1 - group["lr"] * group["weight_decay"]).sub_(direction.view_as(rows), alpha=rate)

    def _smoothed(self, weight: Tensor) -> Tensor:
        """A weight's gradient with Nesterov's momentum: (rows, columns), of a share the rows that are here."""
        assert weight.grad is not None
        state = self.state[weight]
        if not state:
            state["average"] = torch.zeros_like(weight)
        gradient = sharding.local(weight.grad)
        average = sharding.local(state["average"]).lerp_(gradient, 1 - MOMENTUM)
        return gradient.lerp(average, MOMENTUM).flatten(1)


def orthogonal(matrices: Sequence[Tensor]) -> list[Tensor]:
    """Matrices (rows, columns) of the given singular vectors, but with all singular values about 1.

    Every round multiplies a wide matrix x by a polynomial of its Gram matrix x xᵀ. Those of all rounds commute, so the
    rounds are done on the small Gram matrices alone, those of one size together, and x is multiplied once: for a VAE's
    convolutions a fifth of the work.
    """
    wide = [matrix if len(matrix) <= matrix.shape[1] else matrix.mT for matrix in matrices]
    unit = [x / (x.norm() + 1e-7) for x in wide]
    made: list[Tensor] = list(unit)
    for size in sorted({len(x) for x in unit}):
        places = [place for place, x in enumerate(unit) if len(x) == size]
        products = polynomials(torch.stack([unit[place] @ unit[place].mT for place in places]))
        for place, product in zip(places, products, strict=True):
            made[place] = product @ unit[place]
    return [x if len(matrix) <= matrix.shape[1] else x.mT for x, matrix in zip(made, matrices, strict=True)]


def polynomials(gram: Tensor) -> Tensor:
    """What Gram matrices (b, n, n) make of all rounds together, to be multiplied by what they are of: (b, n, n)."""
    identity = torch.eye(gram.shape[1], dtype=gram.dtype, device=gram.device)
    product = identity.expand_as(gram)
    for number, (a, b, c) in enumerate(POLYNOMIALS):
        factor = torch.baddbmm(a * identity.expand_as(gram), gram, b * identity + c * gram)
        product = factor @ product if number else factor
        if number + 1 < len(POLYNOMIALS):
            gram = factor @ gram @ factor
    return product


class Optimizers:
    """Muon and AdamW for one model. Weight decay is for what is at least a matrix: not for biases and scales."""

    def __init__(self, model: nn.Module, config: OptimizerConfig) -> None:
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
        for optimizer, factor in ((self.muon, self.config.muon_rate), (self.adamw, 1.0)):
            for group in optimizer.param_groups:
                group["lr"] = rate * factor
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def tensors(self) -> dict[str, Any]:
        """The moments of both optimizers: a tree of tensors, by optimizer and by the weight's number."""
        return {
            name: {str(number): moments for number, moments in optimizer.state_dict()["state"].items()}
            for name, optimizer in self._named().items()
        }

    def restore(self, moments: Mapping[str, Any]) -> None:
        """Put moments back, a tree as `tensors` gives; the groups and their rates stay those of this configuration."""
        for name, optimizer in self._named().items():
            weights = [weight for group in optimizer.param_groups for weight in group["params"]]
            state = {
                int(number): {key: sharding.share(value, weights[int(number)]) for key, value in values.items()}
                for number, values in moments.get(name, {}).items()
            }
            optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})

    def _named(self) -> dict[str, torch.optim.Optimizer]:
        return {"muon": self.muon, "adamw": self.adamw}
