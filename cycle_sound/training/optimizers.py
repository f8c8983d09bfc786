"""The optimizers: Muon for the weights of linear layers and 2-D convolutions, AdamW for all others.

Muon is momentum whose steps are made orthogonal: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon, with
the step size of Liu et al. 2025, arXiv:2502.16982. Here it needs half of AdamW's steps. torch.optim.Muon does it in
bfloat16, in which many CPUs are a hundred times slower, and for matrices alone. AdamW's are embeddings, codebooks,
biases, scales, and the vocoder's depthwise convolutions over frames.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from cycle_sound.nn import device
from cycle_sound.params import OptimizerConfig
from cycle_sound.training import fsdp

SLACK = 1.02  # values are taken to be so much smaller: beyond 1, where bfloat16 rounds some, the polynomials diverge
# Odd polynomials a x + b x³ + c x⁵, one per round, each the best for what the one before leaves (Amsel et al. 2025,
# arXiv:2505.16932), for singular values down to 0.005 of the norm: they come to 0.5 … 1.5, smaller ones grow 100-fold.
POLYNOMIALS = tuple(
    (a / SLACK, b / SLACK**3, c / SLACK**5)
    for a, b, c in ((8.2987, -24.4305, 18.0903), (3.9152, -2.9211, 0.5592), (3.1746, -2.3804, 0.4978))
)
STEP = 0.2  # root mean square of a weight's step, × the learning rate: about that of AdamW
MOMENTUM = 0.95  # of Muon, as in its reference implementation
BETA1, EPSILON = 0.9, 1e-8  # of AdamW


class Muon:
    """Steps of a fixed size in every direction of a layer's weights, whatever the gradient's own."""

    def __init__(self, weights: Iterable[Tensor], weight_decay: float) -> None:
        self.weights, self.weight_decay = list(weights), weight_decay
        self.averages = [torch.zeros_like(weight) for weight in self.weights]

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """One step down the gradients there are, at a learning rate."""
        kept = zip(self.weights, self.averages, strict=True)
        moved = [(weight, _smoothed(weight.grad, average)) for weight, average in kept if weight.grad is not None]
        smoothed = [gradient for _, gradient in moved]
        if any(fsdp.is_share(weight) for weight, _ in moved):
            directions = fsdp.on_whole(orthogonal, smoothed, [len(weight) for weight, _ in moved])
        else:
            directions = orthogonal(smoothed)
        for (weight, _), direction in zip(moved, directions, strict=True):
            rows, size = fsdp.local(weight), STEP * max(len(weight), direction.shape[1]) ** 0.5
            rows.mul_(1 - rate * self.weight_decay).sub_(direction.view_as(rows), alpha=rate * size)

    def moments(self) -> dict[str, list[Tensor]]:
        """What it keeps of each weight, by name, to be copied to and from."""
        return {"average": self.averages}


def _smoothed(gradient: Tensor, average: Tensor) -> Tensor:
    """A gradient with Nesterov's momentum, taken into its average: (rows, columns), of a share the rows that are here.

    A convolution's weights are a matrix with a row for each output channel.
    """
    own = fsdp.local(gradient)
    return own.lerp(fsdp.local(average).lerp_(own, 1 - MOMENTUM), MOMENTUM).flatten(1)


class AdamW:
    """Adam with decoupled weight decay, but for biases and scales (Loshchilov and Hutter 2019, arXiv:1711.05101).

    The steps are torch's own, but a torch.optim.Optimizer imports torch's compiler, for three seconds.
    """

    def __init__(self, weights: Iterable[Tensor], weight_decay: float, beta2: float) -> None:
        self.weights, self.weight_decay, self.beta2 = list(weights), weight_decay, beta2
        self.means = [torch.zeros_like(weight) for weight in self.weights]
        self.squares = [torch.zeros_like(weight) for weight in self.weights]
        self.steps = [torch.zeros((), device=weight.device) for weight in self.weights]

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """One step down the gradients there are, at a learning rate."""
        for decayed in (True, False):
            rows = [row for row, weight in enumerate(self.weights) if (weight.dim() > 1) == decayed]
            self._step([row for row in rows if self.weights[row].grad is not None], rate, self.weight_decay * decayed)

    def _step(self, rows: Sequence[int], rate: float, weight_decay: float) -> None:
        if not rows:
            return
        gradients = [weight.grad for weight in self.weights]
        weights, slopes, means, squares = (
            [fsdp.local(tensors[row]) for row in rows]
            for tensors in (self.weights, gradients, self.means, self.squares)
        )
        adamw(
            weights,
            slopes,
            means,
            squares,
            max_exp_avg_sqs=[],
            state_steps=[self.steps[row] for row in rows],
            fused=True,
            amsgrad=False,
            beta1=BETA1,
            beta2=self.beta2,
            lr=rate,
            weight_decay=weight_decay,
            eps=EPSILON,
            maximize=False,
        )

    def moments(self) -> dict[str, list[Tensor]]:
        """What it keeps of each weight, by name, to be copied to and from."""
        return {"mean": self.means, "square": self.squares, "step": self.steps}


def orthogonal(matrices: Sequence[Tensor]) -> list[Tensor]:
    """Matrices (rows, columns) of the given singular vectors, but with all singular values about 1.

    Every round multiplies a wide matrix x by a polynomial of its Gram matrix x xᵀ. Those of all rounds commute, so the
    rounds are done on the small Gram matrices alone, those of one size together, and x is multiplied once: for a VAE's
    convolutions a fifth of the work. In bfloat16, where that is faster, steps are off by 0.03, and take on a CPU 5.7 ms
    instead of 13.3, for a default transformer, and on a GPU a seventh.
    """
    wide = [matrix if len(matrix) <= matrix.shape[1] else matrix.mT for matrix in matrices]
    unit = [(x / (x.norm() + 1e-7)).to(device.dtype(x.device)) for x in wide]
    made: list[Tensor] = list(unit)
    for size in sorted({len(x) for x in unit}):
        places = [place for place, x in enumerate(unit) if len(x) == size]
        products = polynomials(torch.stack([unit[place] @ unit[place].mT for place in places]))
        for place, product in zip(places, products, strict=True):
            made[place] = product @ unit[place]
    turned = [x if len(matrix) <= matrix.shape[1] else x.mT for x, matrix in zip(made, matrices, strict=True)]
    return [x.to(matrix.dtype) for x, matrix in zip(turned, matrices, strict=True)]


def polynomials(gram: Tensor) -> Tensor:
    """The product of all rounds' polynomials of Gram matrices (b, n, n), by which x is to be multiplied: (b, n, n)."""
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
        self.model, self.config = model, config
        self.muon = Muon(layers, config.weight_decay)
        self.adamw = AdamW(others, config.weight_decay, config.beta2)

    def step(self, rate: float) -> None:
        """One step along the accumulated gradients, clipped by norm, at a learning rate; then clears them."""
        nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        self.muon.step(rate * self.config.muon_rate)
        self.adamw.step(rate)
        self.model.zero_grad(set_to_none=True)

    def tensors(self) -> dict[str, Any]:
        """The moments of both optimizers: a tree of tensors, by optimizer, name and the weight's number."""
        return {
            name: {moment: {str(number): one for number, one in enumerate(tensors)} for moment, tensors in kept.items()}
            for name, kept in self._moments().items()
        }

    @torch.no_grad()
    def restore(self, kept: Mapping[str, Any]) -> None:
        """Put moments back, a tree as `tensors` gives, of whole weights."""
        for name, moments in self._moments().items():
            for moment, tensors in moments.items():
                for number, tensor in enumerate(tensors):
                    tensor.copy_(fsdp.share(kept[name][moment][str(number)], tensor))

    def _moments(self) -> dict[str, dict[str, list[Tensor]]]:
        return {"muon": self.muon.moments(), "adamw": self.adamw.moments()}
