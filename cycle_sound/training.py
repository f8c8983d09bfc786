"""One training loop for every model: schedule → step → average → validate → keep the best → go on after a kill."""

import math
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import torch
from dvclive import Live
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from cycle_sound import device, distributed, feeding, files, progress, schedules
from cycle_sound.batches import Draws
from cycle_sound.feeding import Portion
from cycle_sound.optimizers import Optimizers
from cycle_sound.params import Optimizer
from cycle_sound.snapshot import Snapshot, State


class Objective(feeding.Source, Protocol):
    """What a model is trained for."""

    def loss(self, batch: Any, step: int, draws: Draws) -> Mapping[str, Tensor]:
        """The named terms of a step, each (); the one called `loss` is minimised."""

    def validate(self, model: nn.Module) -> Mapping[str, float]:
        """Figures of a model on held-out data; the model of the lowest `loss` is kept."""


class Curve:
    """The learning curve: a row per validation, live through DVCLive, and a CSV file at the end."""

    def __init__(self, path: Path, live: Path) -> None:
        self.path = path
        self.rows: list[dict[str, float]] = []
        self._live = None
        if distributed.is_first():
            self._live = Live(str(live), save_dvc_exp=False, dvcyaml=None, report=None, monitor_system=False)

    def add(self, row: dict[str, float]) -> bool:
        """Log a row; True if its `valid_loss` is the lowest so far. Raises FloatingPointError on a NaN or infinity."""
        for name, value in row.items():
            if not math.isfinite(value):
                raise FloatingPointError(f"{self.path.stem}: {name} is {value} at step {row['step']:.0f}")
            if self._live:
                self._live.log_metric(name, value)
        if self._live:
            self._live.next_step()
        self.rows.append(row)
        return row is self.best()

    def resume(self, rows: list[dict[str, float]]) -> None:
        """Take over the rows of a training that goes on."""
        for row in rows:
            self.add(row)

    def best(self) -> dict[str, float]:
        """The row of the lowest `valid_loss`."""
        return min(self.rows, key=lambda row: row["valid_loss"])

    def note(self) -> str:
        """The last figures in a few words."""
        last = self.rows[-1] if self.rows else {}
        return ", ".join(f"{name} {last[name]:.4g}" for name in ("train_loss", "valid_loss") if name in last)

    def close(self) -> None:
        """Write the CSV file and end the live log."""
        if self._live:
            files.write_csv(self.path, self.rows)
            self._live.end()


class Goal(nn.Module):
    """A model with what it is trained for. Its forward is the loss: there DistributedDataParallel begins to listen."""

    def __init__(self, model: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self.objective = objective

    def forward(self, portion: Portion, step: int) -> Mapping[str, Tensor]:
        """The named terms, each ()."""
        with device.autocast(device.of(self.model)):
            return self.objective.loss(portion.batch, step, portion.draws)


class Run:
    """A training under way: the model, its optimizers, its average, and the best of the averages so far."""

    def __init__(self, model: nn.Module, objective: Objective, config: Optimizer, curve: Curve) -> None:
        self.model = model
        self.objective = objective
        self.config = config
        self.curve = curve
        self.optimizers = Optimizers(model, config)
        self.average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(config.ema_decay), use_buffers=True)
        self.best: dict[str, Tensor] = {}
        self.terms: list[Mapping[str, Tensor]] = []  # of the backward passes since the last validation
        goal = Goal(model, objective)
        self.goal = DistributedDataParallel(goal) if distributed.count() > 1 else goal

    def step(self, portions: Iterator[Portion], step: int, seed: int) -> None:
        """One step of training, in `accumulation` backward passes."""
        torch.manual_seed((seed * 1_000_003 + step) * 1_003 + distributed.number())  # dropout takes no generator
        self.model.train()
        for number in range(self.config.accumulation):
            with self._apart(last=number + 1 == self.config.accumulation):
                terms = self.goal(next(portions), step)
                (terms["loss"] / self.config.accumulation).backward()
            self.terms.append({name: term.detach() for name, term in terms.items()})
        self.optimizers.step(schedules.learning_rate(step, self.config))
        self.average.update_parameters(self.model)

    def _apart(self, last: bool) -> AbstractContextManager[None]:
        """Processes exchange gradients in the last of a step's backward passes alone."""
        if last or not isinstance(self.goal, DistributedDataParallel):
            return nullcontext()
        return self.goal.no_sync()

    def validate(self, step: int) -> None:
        """Add a row to the curve after `step` steps; keep the averaged weights if they are the best."""
        self.average.eval()
        valid = self.objective.validate(self.average.module)
        row = {"step": float(step), **means(self.terms), **{f"valid_{name}": value for name, value in valid.items()}}
        self.terms = []
        if self.curve.add(row):
            self.best = {name: tensor.clone() for name, tensor in self.average.module.state_dict().items()}

    def state(self, step: int) -> State:
        """All that is needed to go on after `step` steps."""
        names = list(self.terms[0]) if self.terms else []
        columns = {name: torch.stack([terms[name] for terms in self.terms]) for name in names}
        tensors = {
            "model": self.model.state_dict(),
            "optimizers": self.optimizers.tensors(),
            "average": self.average.state_dict(),
            "best": self.best,
            "terms": columns,
        }
        return State(step, self.curve.rows, tensors)

    def restore(self, state: State) -> None:
        """Take up a state."""
        self.model.load_state_dict(state.tensors["model"])
        self.optimizers.restore(state.tensors["optimizers"])
        self.average.load_state_dict(state.tensors["average"])
        self.best = state.tensors.get("best", {})
        columns = state.tensors.get("terms", {})
        self.terms = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        self.curve.resume(state.rows)


def fit(
    model: nn.Module, objective: Objective, config: Optimizer, seed: int, curve: Curve, snapshot: Snapshot
) -> dict[str, float]:
    """Train `model` in place and leave in it the averaged weights that were best on valid.

    Goes on from the snapshot where there is one, to the same bytes; the caller discards it when its own work is done.
    Returns the best validation's row. Raises `UnevenBatch`, FloatingPointError where a figure is not finite, and
    SystemExit after a SIGTERM.
    """
    run = Run(model, objective, config, curve)
    state = snapshot.load()
    if state:
        run.restore(state)
    steps = range(state.step if state else 0, config.steps)
    feed = feeding.Feed(objective, config, seed, device.of(model))
    portions = feed.portions(steps)
    distributed.meet()  # before the first snapshot is written, every process has read the one before
    begin = time.perf_counter()
    with snapshot.heeding_sigterm():
        for step in progress.track(steps, len(steps), curve.path.stem, note=curve.note):
            run.step(portions, step, seed)
            if (step + 1) % config.valid_every == 0 or step + 1 == config.steps:
                run.validate(step + 1)
            stopping = distributed.anywhere(snapshot.stopping)
            if stopping or snapshot.due or step + 1 == config.steps:
                snapshot.save(run.state(step + 1))
            if stopping:
                snapshot.stop()
    if steps:
        share = feed.waited / (time.perf_counter() - begin)
        print(f"{curve.path.stem}: {share:.1%} of the time was spent waiting for data", file=sys.stderr)
    curve.close()
    model.load_state_dict(run.best)
    model.eval()
    return curve.best()


def means(terms: list[Mapping[str, Tensor]]) -> dict[str, float]:
    """The mean of each named term over passes and processes, as `train_*`."""
    names = list(terms[-1])  # those that a snapshot kept stand in another order
    whole = distributed.mean(torch.stack([torch.stack([term[name] for name in names]) for term in terms]).mean(0))
    return {f"train_{name}": value for name, value in zip(names, whole.tolist(), strict=True)}
