"""How near transformer training comes to the machine's matrix product.

python -m benchmarks.transformer_training [--json]
"""

import argparse
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks import hardware, peer, printing
from benchmarks.sizes import LAPTOP, VGGSOUND, Measured, Size
from cycle_sound.io.params_file import load
from cycle_sound.nn import device
from cycle_sound.training.optimizers import Optimizers


def step_of(model: nn.Module, loss: Callable[[], torch.Tensor]) -> Callable[[], None]:
    """One training step, as `training.fit` does it."""
    config = load().transformer.audio_to_image.optimizer
    optimizers = Optimizers(model, config)

    def step() -> None:
        loss().backward()
        optimizers.step(config.learning_rate)

    return step


def ours(size: Size, where: torch.device) -> Callable[[], None]:
    """A step of this project's transformer, in the precision that it trains in on this device."""
    model = Measured(size).to(where)
    source = model.sources(size.batch)
    tokens = torch.randint(size.codebook, (size.batch, size.tokens), device=where)

    def loss() -> torch.Tensor:
        with device.autocast(where):
            return F.cross_entropy(model(source, tokens).flatten(0, 1), tokens.flatten())

    return step_of(model, loss)


def theirs(size: Size) -> Callable[[], None] | None:
    """A step of the peer's, or None without it."""
    package = peer.load()
    if package is None:
        return None
    model = peer.dalle(package)
    text, image = (torch.randint(1, 1024, (size.batch, count)) for count in (64, size.tokens))
    return step_of(model, lambda: model(text, image, return_loss=True))


def ceilings(where: torch.device) -> tuple[float, float]:
    """FLOP/s of a matrix product in float32 on a CPU and in bfloat16 on a GPU; and in the precision of the training."""
    own = device.dtype(where)
    return hardware.matmul_rate(where, own if where.type == "cuda" else torch.float32), hardware.matmul_rate(where, own)


def main() -> None:
    """Print the table, and with --json one object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    as_json = parser.parse_args().json
    device.prepare(0)
    where = device.best()
    size = VGGSOUND if where.type == "cuda" else LAPTOP
    step = ours(size, where)
    rates = [ceilings(where)]
    mine = hardware.seconds(step, where)
    rates.append(ceilings(where))  # before and after: the machine may be shared
    whole, own = (max(pair) for pair in zip(*rates, strict=True))
    flops = size.training_flops()
    figures = {
        "ceiling_flops": whole,
        "own_ceiling_flops": own,
        "tokens_per_second": size.batch * size.tokens / mine,
        "share_of_ceiling": flops / mine / whole,
        "share_of_own_ceiling": flops / mine / own,
    }
    other = theirs(size) if where.type == "cpu" else None
    if other is not None:
        figures["ratio_to_dalle_pytorch"] = hardware.seconds(other, where, repeats=3) / mine
    printing.show(figures, as_json)


if __name__ == "__main__":
    main()
