"""One training loop for every model: schedule → step → average → validate → keep the best → go on after a kill."""

import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from cycle_sound.errors import TrainingDiverged
from cycle_sound.io import files, memory, progress
from cycle_sound.nn import device, distributed
from cycle_sound.nn.rng import BatchRng
from cycle_sound.params import OptimizerConfig, Parallel
from cycle_sound.training import empty_curve, fsdp, prefetch, schedules
from cycle_sound.training.optimizers import Optimizers
from cycle_sound.training.prefetch import MicroBatch, Prefetcher
from cycle_sound.training.resume import Snapshot, State


class Objective(Protocol):
    """What a model is trained for."""

    @property
    def train(self) -> prefetch.Source:
        """What there is to learn from: apart, so that no model is sent to the processes that make batches."""

    def loss(self, batch: Any, step: int, rng: BatchRng) -> Mapping[str, Tensor]:
        """The named terms of a step, each (); the one called `loss` is minimised."""

    def validate(self, model: nn.Module) -> Mapping[str, float]:
        """Figures of a model on held-out data; the model of the lowest `loss` is kept.

        Empty where nothing held out can judge the model: then the last one is kept.
        """


class Curve:
    """The learning curve: a row per validation, in a CSV file that is whole at any moment of the training.

    A curve may continue earlier rows, `before`; `of_all` is added to each new row. The column of the validation's loss,
    and `columns`, are written even if they are empty, since the plots name them.
    """

    def __init__(
        self, path: Path, before: Sequence[dict[str, Any]] = (), columns: Sequence[str] = (), **of_all: Any
    ) -> None:
        self.path, self.before, self.columns, self.of_all = path, before, ("valid_loss", *columns), of_all
        self.rows: list[dict[str, float]] = []

    def add(self, row: dict[str, float]) -> bool:
        """Write a row; True if it is the best so far. Raises `TrainingDiverged` on a NaN or an infinity."""
        for name, value in row.items():
            if not math.isfinite(value):
                raise TrainingDiverged(training=self.path.stem, figure=name, value=value, step=int(row["step"]))
        self.rows.append(row)
        self._write()
        return row is self.best()

    def resume(self, rows: list[dict[str, float]]) -> None:
        """Take over the rows of a training that goes on, in place of all others."""
        self.rows = list(rows)
        self._write()

    def leave_empty(self, *columns: str) -> None:
        """Write a file of no rows, for a model that is not trained."""
        if distributed.is_first():
            empty_curve.write(self.path, *columns)

    def best(self) -> dict[str, float]:
        """The row of the lowest `valid_loss`, or the last one where nothing could be validated."""
        return min(self.rows, key=lambda row: row.get("valid_loss", -row["step"]))

    def note(self) -> str:
        """The last losses in a few words."""
        last = self.rows[-1] if self.rows else {}
        return ", ".join(f"{name} {last[name]:.4g}" for name in ("train_loss", "valid_loss") if name in last)

    def whole(self) -> list[dict[str, Any]]:
        """The rows as they stand in the file, with those before; steps are counted on."""
        done = float(self.before[-1]["step"]) if self.before else 0.0
        own = [{**self.of_all, **row, "step": done + row["step"]} for row in self.rows]
        return [*self.before, *({**row, **{name: row.get(name, "") for name in self.columns}} for row in own)]

    def _write(self) -> None:
        if self.rows and distributed.is_first():
            files.write_csv(self.path, self.whole())


class LossModule(nn.Module):
    """A model with its objective. Its forward is the loss, so that DistributedDataParallel hooks into all of it."""

    def __init__(self, model: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self.objective = objective

    def forward(self, micro_batch: MicroBatch, step: int) -> Mapping[str, Tensor]:
        """The objective's named terms, each ()."""
        with device.autocast(device.of(self.model)):
            return self.objective.loss(micro_batch.batch, step, micro_batch.rng)


class Trainer:
    """A training under way: the model, its optimizers, its moving average, and the best of the averages so far."""

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        config: OptimizerConfig,
        seed: int,
        curve: Curve,
        parallel: Parallel,
    ) -> None:
        self.model = model
        self.objective = objective
        self.config = config
        self.seed = seed
        self.curve = curve
        self.average = AveragedModel(model, multi_avg_fn=moving_average(config.ema_decay), use_buffers=True)
        self.best: dict[str, Tensor] = {}
        self.terms: list[Mapping[str, Tensor]] = []  # of the backward passes since the last validation
        self.loss: nn.Module = LossModule(model, objective)
        if distributed.world_size() > 1 and parallel == "fsdp":
            fsdp.shard(self.loss, model.get_submodule("blocks").children())
            self.average.module.load_state_dict(copied(model), assign=True)
        elif distributed.world_size() > 1:
            self.loss = DistributedDataParallel(self.loss)
        self.optimizers = Optimizers(model, config)

    def step(self, micro_batches: Iterator[MicroBatch], step: int) -> None:
        """One step of the optimizers, after `accumulation` backward passes."""
        self.model.train()
        for number in range(self.config.accumulation):
            with self._synchronised(last=number + 1 == self.config.accumulation):
                terms = self.loss(next(micro_batches), step)
                (terms["loss"] / self.config.accumulation).backward()
            self.terms.append({name: term.detach() for name, term in terms.items()})
        self.optimizers.step(schedules.learning_rate(step, self.config))
        self.average.update_parameters(self.model)

    def _synchronised(self, last: bool) -> AbstractContextManager[None]:
        """Processes average their gradients in the last of a step's backward passes alone."""
        if last or not isinstance(self.loss, DistributedDataParallel):
            return nullcontext()
        return self.loss.no_sync()

    def validate(self, step: int) -> None:
        """Add a row to the curve after `step` steps; keep the averaged weights if they are the best."""
        self.average.eval()
        with fsdp.gathered(self.average.module):
            valid = self.objective.validate(self.average.module)
        row = {"step": float(step), **means(self.terms), **{f"valid_{name}": value for name, value in valid.items()}}
        self.terms = []
        if self.curve.add(row):
            self.best = copied(self.average.module)

    def state(self, step: int) -> State:
        """All that is needed to go on after `step` steps; to be called in every process."""
        tensors = {
            "model": self.model.state_dict(),
            "optimizers": self.optimizers.tensors(),
            "average": self.average.state_dict(),
            "best": self.best,
            "terms": over_processes(self.terms),
        }
        return State(step, list(self.curve.rows), tensors)

    def restore(self, state: State) -> None:
        """Go back to a state that was kept, by however many processes."""
        weights = self.model.state_dict()
        self.model.load_state_dict(fsdp.shares(state.tensors["model"], weights))
        self.optimizers.restore(state.tensors["optimizers"])
        self.average.load_state_dict(fsdp.shares(state.tensors["average"], self.average.state_dict()))
        self.best = fsdp.shares(state.tensors.get("best", {}), weights)
        columns = {name: terms.to(device.of(self.model)) for name, terms in state.tensors.get("terms", {}).items()}
        self.terms = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        self.curve.resume(state.rows)


def moving_average(decay: float) -> Callable[..., None]:
    """An update function for `AveragedModel`: exponential moving averages of tensors, in lists of one type each.

    It takes the averages, the new values and the number of earlier updates; of a sharded tensor, each process averages
    the rows that it holds. Whole numbers, such as where the codes of a codebook begin, are copied: torch would round
    their averages down.
    """
    average = get_ema_multi_avg_fn(decay)

    def update(averaged: Sequence[Tensor], new: Sequence[Tensor], count: Tensor | int) -> None:
        own, others = [*map(fsdp.local, averaged)], [*map(fsdp.local, new)]
        if own[0].is_floating_point():
            average(own, others, count)
        else:
            torch._foreach_copy_(own, others)

    return update


def copied(model: nn.Module) -> dict[str, Tensor]:
    """A model's weights, which its training changes no more."""
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def means(terms: list[Mapping[str, Tensor]]) -> dict[str, float]:
    """The mean of each named term over passes and processes, as `train_*`."""
    columns = over_processes(terms)
    whole = torch.stack(list(columns.values()), dim=1).mean(0)
    return {f"train_{name}": value for name, value in zip(columns, whole.tolist(), strict=True)}


def over_processes(terms: list[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean over processes of each named term in every pass: (passes,).

    Applied to values already averaged, it changes nothing.
    """
    names = list(terms[-1]) if terms else []  # those that a snapshot kept stand in another order
    return {name: distributed.mean(torch.stack([term[name] for term in terms])) for name in names}


def fit(
    model: nn.Module,
    objective: Objective,
    config: OptimizerConfig,
    seed: int,
    curve: Curve,
    snapshot: Snapshot,
    *,
    workers: int = 0,
    parallel: Parallel = "ddp",
) -> dict[str, float]:
    """Train `model` in place and leave in it the averaged weights that were best on held-out data.

    Goes on from the snapshot where there is one, to the same bytes; the caller discards it when its own work is done.
    `workers` processes make the batches, or a thread where there are none, of the same bytes. Of several processes that
    train, each holds all states, or by `parallel` its share of them, of a model that has `blocks`. Returns the best
    validation's row. Raises `UnevenBatch`, `LoaderLost`, `TrainingDiverged` where a figure is not finite, and
    SystemExit after a SIGTERM or a Ctrl-C.
    """
    memory.keep_freed()  # all steps need the same blocks; inference, whose results stay between its own, would grow
    trainer = Trainer(model, objective, config, seed, curve, parallel)
    state = snapshot.load()
    if state:
        trainer.restore(state)
    distributed.barrier()  # before the first snapshot is written, every process has read the one before
    _run(trainer, range(state.step if state else 0, config.steps), snapshot, workers)
    fsdp.put_back(model, trainer.best, trainer.average.module)
    model.eval()
    return curve.best()


def _run(trainer: Trainer, steps: range, snapshot: Snapshot, workers: int) -> None:
    """All steps that are left, with a validation and a snapshot wherever one is due."""
    config, name = trainer.config, trainer.curve.path.stem
    prefetcher = Prefetcher(trainer.objective.train, config, trainer.seed, device.of(trainer.model), workers)
    begin = time.perf_counter()
    with snapshot.open(), closing(prefetcher.micro_batches(steps)) as micro_batches:
        for step in progress.track(steps, len(steps), name, note=trainer.curve.note):
            trainer.step(micro_batches, step)
            last = step + 1 == config.steps
            if last or (step + 1) % config.valid_every == 0:
                trainer.validate(step + 1)
            stopping, due = distributed.anywhere(snapshot.asked is not None, snapshot.is_due())
            if stopping or last:
                snapshot.save(trainer.state(step + 1))
            elif due:
                snapshot.begin_saving(trainer.state(step + 1))
            if stopping:
                snapshot.stop()
    if distributed.anywhere(snapshot.asked is not None)[0]:  # after the last state, while what makes batches was ended
        snapshot.stop()
    if steps:
        waited = prefetcher.waited / (time.perf_counter() - begin)
        print(f"{name}: {waited:.1%} of the time was spent waiting for data", file=sys.stderr)
