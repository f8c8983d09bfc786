"""One training loop for every model: schedule → step → average → validate → keep the best."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import torch
from dvclive import Live
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from cycle_sound import device, files, progress, schedules
from cycle_sound.batches import seeded
from cycle_sound.params import Optimizer


class Objective(Protocol):
    """What a model is trained for."""

    def loss(self, step: int, generator: torch.Generator) -> Mapping[str, Tensor]:
        """The named terms of a step, each (); the one called `loss` is minimised."""

    def validate(self, model: nn.Module) -> Mapping[str, float]:
        """Figures of a model on held-out data; the model of the lowest `loss` is kept."""


class Curve:
    """The learning curve: a row per validation, live through DVCLive, and a CSV file at the end."""

    def __init__(self, path: Path, live: Path) -> None:
        self.path = path
        self.rows: list[dict[str, float]] = []
        self._live = Live(str(live), save_dvc_exp=False, dvcyaml=None, report=None, monitor_system=False)

    def add(self, row: dict[str, float]) -> bool:
        """Log a row; True if its `valid_loss` is the lowest so far. Raises FloatingPointError on a NaN or infinity."""
        for name, value in row.items():
            if not math.isfinite(value):
                raise FloatingPointError(f"{self.path.stem}: {name} is {value} at step {row['step']:.0f}")
            self._live.log_metric(name, value)
        self._live.next_step()
        self.rows.append(row)
        return row is self.best()

    def best(self) -> dict[str, float]:
        """The row of the lowest `valid_loss`."""
        return min(self.rows, key=lambda row: row["valid_loss"])

    def note(self) -> str:
        """The last figures in a few words."""
        last = self.rows[-1] if self.rows else {}
        return ", ".join(f"{name} {last[name]:.4g}" for name in ("train_loss", "valid_loss") if name in last)

    def close(self) -> None:
        """Write the CSV file and end the live log."""
        files.write_csv(self.path, self.rows)
        self._live.end()


def adamw(model: nn.Module, config: Optimizer) -> torch.optim.AdamW:
    """AdamW with weight decay on matrices and filters alone."""
    weights = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    others = [parameter for parameter in model.parameters() if parameter.dim() <= 1]
    groups = [{"params": weights, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, config.beta2), fused=True)


def update(model: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor, rate: float, clip_norm: float) -> None:
    """One step down the gradient, clipped by norm."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
    optimizer.step()


def fit(model: nn.Module, objective: Objective, config: Optimizer, seed: int, curve: Curve) -> dict[str, float]:
    """Train `model` in place and leave in it the averaged weights that were best on valid.

    Returns the best validation's row. Raises FloatingPointError where a figure is not finite.
    """
    optimizer = adamw(model, config)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(config.ema_decay), use_buffers=True)
    best: dict[str, Tensor] = {}
    terms: list[Mapping[str, Tensor]] = []
    for step in progress.track(range(config.steps), config.steps, curve.path.stem, note=curve.note):
        torch.manual_seed(seed * 1_000_003 + step)  # dropout takes no generator
        model.train()
        terms.append(objective.loss(step, seeded(seed, step, device=device.of(model))))
        update(model, optimizer, terms[-1]["loss"], schedules.learning_rate(step, config), config.clip_norm)
        average.update_parameters(model)
        terms[-1] = {name: term.detach() for name, term in terms[-1].items()}
        if (step + 1) % config.valid_every == 0 or step + 1 == config.steps:
            average.eval()
            row = {"step": float(step + 1), **means(terms)}
            row |= {f"valid_{name}": value for name, value in objective.validate(average.module).items()}
            terms = []
            if curve.add(row):
                best = {name: tensor.clone() for name, tensor in average.module.state_dict().items()}
    curve.close()
    model.load_state_dict(best)
    model.eval()
    return curve.best()


def means(terms: list[Mapping[str, Tensor]]) -> dict[str, float]:
    """The mean of each named term, as `train_*`."""
    return {f"train_{name}": float(torch.stack([term[name] for term in terms]).mean()) for name in terms[0]}
