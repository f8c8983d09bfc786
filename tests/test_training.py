"""The loop, the schedules and the batches."""

import csv

import pytest
import torch
from torch import Tensor, nn

from cycle_sound import batches, schedules
from cycle_sound.params import Augment, Optimizer, Params
from cycle_sound.training import Curve, fit


@pytest.fixture
def config(params: Params) -> Optimizer:
    tiny = {"steps": 30, "batch_size": 4, "valid_every": 10, "warmup": 5, "learning_rate": 0.1, "ema_decay": 0.5}
    return params.classifier.optimizer.model_copy(update=tiny)


class Line:
    """A one-weight model is to become 3, with noise from the generator and from dropout."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(1, 1), nn.Dropout(0.1))
        self.valid: list[float] = []

    def loss(self, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        x = torch.rand(4, 1, generator=generator)
        return {"loss": ((self.model(x) - 3 * x) ** 2).mean()}

    def validate(self, model: nn.Module) -> dict[str, float]:
        with torch.no_grad():
            x = torch.linspace(0, 1, 10)[:, None]
            self.valid.append(float(((model(x) - 3 * x) ** 2).mean()))
        return {"loss": self.valid[-1]}


def trained(config: Optimizer, folder) -> tuple[Line, dict[str, float]]:
    line = Line()
    return line, fit(line.model, line, config, 7, Curve(folder / "curve.csv", folder / "live"))


def test_the_same_seed_trains_the_same_model(config: Optimizer, tmp_path) -> None:
    (first, _), (again, _) = trained(config, tmp_path / "a"), trained(config, tmp_path / "b")
    assert all(torch.equal(a, b) for a, b in zip(first.model.parameters(), again.model.parameters(), strict=True))
    assert (tmp_path / "a/curve.csv").read_bytes() == (tmp_path / "b/curve.csv").read_bytes()


def test_what_remains_is_the_best_on_valid(config: Optimizer, tmp_path) -> None:
    line, best = trained(config, tmp_path)
    assert best["valid_loss"] == min(line.valid[:3])
    assert line.validate(line.model)["loss"] == pytest.approx(best["valid_loss"])
    with (tmp_path / "curve.csv").open() as file:
        assert [float(row["step"]) for row in csv.DictReader(file)] == [10, 20, 30]


def test_a_loss_that_is_not_finite_ends_the_run_with_its_step(config: Optimizer, tmp_path) -> None:
    line = Line()
    line.validate = lambda model: {"loss": float("nan")}  # type: ignore[method-assign]
    with pytest.raises(FloatingPointError, match="valid_loss is nan at step 10"):
        fit(line.model, line, config, 7, Curve(tmp_path / "curve.csv", tmp_path / "live"))


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
    moved = batches.shifted(pictures, Augment(rows=0, columns=2), batches.seeded(0))
    rows, columns = moved[:, 0].nonzero()[:, 1], moved[:, 0].nonzero()[:, 2]
    assert set(rows.tolist()) == {4}
    assert set(columns.tolist()) == {2, 3, 4, 5, 6}
