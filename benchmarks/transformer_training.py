"""How near transformer training comes to the machine's matrix product.

python -m benchmarks.transformer_training [--json]
"""

import argparse
import json
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks import hardware, peer
from benchmarks.sizes import LAPTOP, VGGSOUND, Measured, Size
from cycle_sound import device
from cycle_sound.optimizers import Optimizers
from cycle_sound.params import load


def step_of(model: nn.Module, loss: Callable[[], torch.Tensor]) -> Callable[[], None]:
    """One training step, as `training.fit` does it."""
    config = load().transformer.audio_to_image.optimizer
    optimizers = Optimizers(model, config)

    def step() -> None:
        loss().backward()
        optimizers.step(config.learning_rate)

    return step


def ours(size: Size, where: torch.device, dtype: torch.dtype) -> Callable[[], None]:
    """A step of this project's transformer."""
    model = Measured(size).to(where)
    source = model.sources(size.batch)
    tokens = torch.randint(size.codebook, (size.batch, size.tokens), device=where)

    def loss() -> torch.Tensor:
        with torch.autocast(where.type, dtype, enabled=dtype != torch.float32):
            logits = model(source, tokens)
        return F.cross_entropy(logits.flatten(0, 1).float(), tokens.flatten())

    return step_of(model, loss)


def theirs(size: Size) -> Callable[[], None] | None:
    """A step of the peer's, or None without it."""
    package = peer.load()
    if package is None:
        return None
    model = peer.dalle(package)
    text, image = (torch.randint(1, 1024, (size.batch, count)) for count in (64, size.tokens))
    return step_of(model, lambda: model(text, image, return_loss=True))


def main() -> None:
    """Print the table, and with --json one object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    as_json = parser.parse_args().json
    where = device.best()
    size, dtype = (VGGSOUND, torch.bfloat16) if where.type == "cuda" else (LAPTOP, torch.float32)
    ceiling = hardware.matmul_rate(where, dtype)
    mine = hardware.seconds(ours(size, where, dtype), where)
    ceiling = max(ceiling, hardware.matmul_rate(where, dtype))  # before and after: the machine may be shared
    figures = {
        "ceiling_flops": ceiling,
        "tokens_per_second": size.batch * size.tokens / mine,
        "share_of_ceiling": size.training_flops() / mine / ceiling,
    }
    other = theirs(size) if where.type == "cpu" else None
    if other is not None:
        figures["ratio_to_dalle_pytorch"] = hardware.seconds(other, where, repeats=3) / mine
    for name, value in figures.items():
        print(f"{name:24} {value:.4g}")
    if as_json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
