"""The smallest training: of a model of one weight."""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cycle_sound.nn.blocks import dropped
from cycle_sound.nn.rng import BatchRng
from cycle_sound.params import OptimizerConfig
from cycle_sound.training.loop import Curve, fit
from cycle_sound.training.resume import Snapshot


class Batch(NamedTuple):
    x: Tensor  # (b, 1)


class Numbers:
    """A source of random numbers."""

    pairs = 10

    def batch(self, rows: Tensor, rng: BatchRng) -> Batch:
        return Batch(rng.uniform(1))


class Line:
    """A one-weight model is to become 3, with noise and dropout."""

    train = Numbers()

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model = nn.Linear(1, 1)
        self.valid: list[float] = []

    def loss(self, batch: Batch, step: int, rng: BatchRng) -> dict[str, Tensor]:
        x = batch.x + 0.1 * rng.normal(1)
        error = dropped(self.model(x), 0.1, rng) - 3 * x
        return {"loss": (error**2).mean(), "distance": error.abs().mean()}  # not in the order of their names

    def validate(self, model: nn.Module) -> dict[str, float]:
        with torch.no_grad():
            x = torch.linspace(0, 1, 10)[:, None]
            self.valid.append(float(((model(x) - 3 * x) ** 2).mean()))
        return {"loss": self.valid[-1]}


def trained(
    config: OptimizerConfig, folder: Path, line: Line | None = None, workers: int = 0
) -> tuple[Line, dict[str, float]]:
    line = line or Line()
    snapshot = Snapshot(folder / "work.safetensors", "line")
    return line, fit(line.model, line, config, 7, Curve(folder / "curve.csv"), snapshot, workers=workers)
