"""The loop, the schedules and the batches."""

import csv
import math
import os
import signal
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from cycle_sound import batches, device, schedules, snapshot
from cycle_sound.batches import Draws
from cycle_sound.feeding import UnevenBatch
from cycle_sound.params import Augment, Optimizer, Params
from cycle_sound.snapshot import STOPPED, Snapshot, flat, tree
from cycle_sound.training import Curve, fit


@pytest.fixture
def config(params: Params) -> Optimizer:
    tiny = {"steps": 30, "batch_size": 4, "valid_every": 10, "warmup": 5, "learning_rate": 0.1, "ema_decay": 0.5}
    return params.classifier.optimizer.model_copy(update=tiny)


class Batch(NamedTuple):
    x: Tensor  # (b, 1)


class Line:
    """A one-weight model is to become 3, with noise from the generator and from dropout."""

    def __init__(self, dropout: float = 0.1) -> None:
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(1, 1), nn.Dropout(dropout))
        self.valid: list[float] = []

    pairs = 10

    def batch(self, rows: Tensor, draws: Draws) -> Batch:
        return Batch(draws.uniform(1))

    def loss(self, batch: Batch, step: int, draws: Draws) -> dict[str, Tensor]:
        x = batch.x + 0.1 * draws.normal(1)
        error = self.model(x) - 3 * x
        return {"loss": (error**2).mean(), "distance": error.abs().mean()}  # not in the order of their names

    def validate(self, model: nn.Module) -> dict[str, float]:
        with torch.no_grad():
            x = torch.linspace(0, 1, 10)[:, None]
            self.valid.append(float(((model(x) - 3 * x) ** 2).mean()))
        return {"loss": self.valid[-1]}


def trained(config: Optimizer, folder: Path, line: Line | None = None) -> tuple[Line, dict[str, float]]:
    line = line or Line()
    curve, kept = Curve(folder / "curve.csv", folder / "live"), Snapshot(folder / "work.safetensors", "line")
    return line, fit(line.model, line, config, 7, curve, kept)


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(one, other) for one, other in zip(a.parameters(), b.parameters(), strict=True))


def test_the_same_seed_trains_the_same_model(config: Optimizer, tmp_path: Path) -> None:
    (first, _), (again, _) = trained(config, tmp_path / "a"), trained(config, tmp_path / "b")
    assert same(first.model, again.model)
    assert (tmp_path / "a/curve.csv").read_bytes() == (tmp_path / "b/curve.csv").read_bytes()


def test_a_batch_in_portions_trains_as_one_in_a_piece(
    config: Optimizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "dtype", lambda where: torch.float32)
    whole, parts = (Line(dropout=0.0), Line(dropout=0.0))
    trained(config, tmp_path / "whole", whole)
    trained(config.model_copy(update={"accumulation": 4}), tmp_path / "parts", parts)
    for one, other in zip(whole.model.parameters(), parts.model.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_a_batch_that_does_not_divide_is_refused(config: Optimizer, tmp_path: Path) -> None:
    with pytest.raises(UnevenBatch, match="batch_size 4 does not divide into 1 processes × accumulation 3"):
        trained(config.model_copy(update={"accumulation": 3}), tmp_path)


def test_what_remains_is_the_best_on_valid(config: Optimizer, tmp_path: Path) -> None:
    line, best = trained(config, tmp_path)
    assert best["valid_loss"] == min(line.valid[:3])
    assert line.validate(line.model)["loss"] == pytest.approx(best["valid_loss"])
    with (tmp_path / "curve.csv").open() as file:
        assert [float(row["step"]) for row in csv.DictReader(file)] == [10, 20, 30]


def test_a_loss_that_is_not_finite_ends_the_run_with_its_step(config: Optimizer, tmp_path: Path) -> None:
    line = Line()
    line.validate = lambda model: {"loss": float("nan")}  # type: ignore[method-assign]
    with pytest.raises(FloatingPointError, match="valid_loss is nan at step 10"):
        trained(config, tmp_path, line)


class Killed(BaseException):
    """What stands for SIGKILL within one process."""


@pytest.mark.parametrize("step", [0, 1, 9, 10, 17, 29])
def test_a_killed_training_ends_with_the_same_bytes(
    config: Optimizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    monkeypatch.setattr(snapshot, "SECONDS", 0.0)  # a snapshot after every step
    monkeypatch.setattr(snapshot, "SHARE", math.inf)
    undisturbed, best = trained(config, tmp_path / "undisturbed")
    killed = Line()
    loss = killed.loss
    killed.loss = lambda batch, at, draws: kill() if at == step else loss(batch, at, draws)  # type: ignore[method-assign]

    def kill() -> dict[str, Tensor]:
        raise Killed

    with pytest.raises(Killed):
        trained(config, tmp_path / "killed", killed)
    again, best_again = trained(config, tmp_path / "killed")
    assert same(again.model, undisturbed.model)
    assert best_again == best
    assert (tmp_path / "killed/curve.csv").read_bytes() == (tmp_path / "undisturbed/curve.csv").read_bytes()


def test_sigterm_saves_at_once_and_says_so_by_its_code(config: Optimizer, tmp_path: Path) -> None:
    undisturbed, _ = trained(config, tmp_path / "undisturbed")
    line = Line()
    loss = line.loss
    asked = []

    def ask(batch: Batch, step: int, draws: Draws) -> dict[str, Tensor]:
        if step == 12:
            os.kill(os.getpid(), signal.SIGTERM)
            asked.append(step)
        assert step <= 12
        return loss(batch, step, draws)

    line.loss = ask  # type: ignore[method-assign]
    with pytest.raises(SystemExit) as ended:
        trained(config, tmp_path / "stopped", line)
    assert (ended.value.code, asked) == (STOPPED, [12])
    assert same(trained(config, tmp_path / "stopped")[0].model, undisturbed.model)


def test_a_snapshot_of_another_training_or_a_broken_one_is_ignored_with_a_word(
    config: Optimizer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "work.safetensors"
    trained(config, tmp_path)
    assert Snapshot(path, "line").load() is not None
    assert Snapshot(path, "another line").load() is None
    assert "of other data, parameters or code" in capsys.readouterr().out
    path.write_bytes(path.read_bytes()[:100])
    assert Snapshot(path, "line").load() is None
    assert "cannot be read" in capsys.readouterr().out
    Snapshot(path, "line").discard()
    assert not path.exists()


def test_a_tree_of_tensors_survives_being_flat() -> None:
    grown = {"a": {"0": {"x": torch.ones(2)}}, "b": torch.zeros(1)}
    assert flat(tree(flat(grown))).keys() == {"a/0/x", "b"}


def test_learning_rate_warms_up_and_falls_to_its_end(config: Optimizer) -> None:
    rates = [schedules.learning_rate(step, config) for step in range(config.steps)]
    peak = config.learning_rate
    assert max(rates) == pytest.approx(peak)
    assert rates[: config.warmup] == sorted(rates[: config.warmup])
    assert rates[config.warmup :] == sorted(rates[config.warmup :], reverse=True)
    assert rates[-1] == pytest.approx(peak * config.final_learning_rate)


def test_temperature_is_a_pure_function_that_reaches_its_end() -> None:
    heats = [schedules.temperature(step, 100, 1.0, 0.125) for step in range(100)]
    assert heats[0] == 1.0
    assert heats == sorted(heats, reverse=True)
    assert heats[75:] == pytest.approx([0.125] * 25)
    assert schedules.temperature(50, 100, 1.0, 0.125) == heats[50]


def test_every_row_is_drawn_once_an_epoch() -> None:
    drawn = torch.cat([batches.rows(step, 10, 4, seed=3) for step in range(5)])
    assert sorted(drawn[:10].tolist()) == list(range(10))
    assert sorted(drawn[10:].tolist()) == list(range(10))
    assert drawn[:10].tolist() != drawn[10:].tolist()


def test_a_batch_larger_than_the_data_is_filled_from_further_epochs() -> None:
    assert sorted(batches.rows(0, 3, 9, seed=0).tolist()) == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_shifts_move_within_their_bounds_and_along_their_axis() -> None:
    pictures = torch.zeros(50, 1, 9, 9)
    pictures[:, :, 4, 4] = 1
    moved = batches.shifted(pictures, Augment(rows=0, columns=2), Draws(batches.seeded(0), 50))
    rows, columns = moved[:, 0].nonzero()[:, 1], moved[:, 0].nonzero()[:, 2]
    assert set(rows.tolist()) == {4}
    assert set(columns.tolist()) == {2, 3, 4, 5, 6}
