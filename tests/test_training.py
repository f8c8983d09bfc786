"""The loop, the schedules and the batches."""

import csv
import itertools
import json
import math
import os
import signal
import threading
from collections.abc import Callable, Generator, Mapping
from pathlib import Path

import psutil
import pytest
import torch
from line import Batch, Line, Numbers, trained
from threadpoolctl import threadpool_info
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from cycle_sound.dataset import augment
from cycle_sound.errors import TrainingDiverged, UnevenBatch, told
from cycle_sound.models.source_encoder import CodeEmbedding
from cycle_sound.nn import checkpoint, device, distributed
from cycle_sound.nn.rng import BatchRng
from cycle_sound.params import OptimizerConfig, Params, ShiftConfig
from cycle_sound.training import resume, schedules
from cycle_sound.training.loop import Curve, Trainer, fit, moving_average
from cycle_sound.training.prefetch import MicroBatch, Prefetcher
from cycle_sound.training.resume import STOPS, Snapshot, State, flat, tree


@pytest.fixture
def config(params: Params) -> OptimizerConfig:
    tiny = {"steps": 30, "batch_size": 4, "valid_every": 10, "warmup": 5, "learning_rate": 0.1, "ema_decay": 0.5}
    return params.classifier.optimizer.model_copy(update=tiny)


def steps_in(path: Path) -> list[float]:
    """The steps of a curve's rows."""
    with path.open(encoding="utf-8") as file:
        return [float(row["step"]) for row in csv.DictReader(file)]


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(one, other) for one, other in zip(a.parameters(), b.parameters(), strict=True))


def test_the_same_seed_trains_the_same_model(config: OptimizerConfig, tmp_path: Path) -> None:
    (first, _), (again, _) = trained(config, tmp_path / "a"), trained(config, tmp_path / "b")
    assert same(first.model, again.model)
    assert (tmp_path / "a/curve.csv").read_bytes() == (tmp_path / "b/curve.csv").read_bytes()


def test_a_batch_in_micro_batches_trains_as_one_in_a_piece(
    config: OptimizerConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "dtype", lambda where: torch.float32)
    whole, parts = (Line(), Line())
    trained(config, tmp_path / "whole", whole)
    trained(config.model_copy(update={"accumulation": 4}), tmp_path / "parts", parts)
    for one, other in zip(whole.model.parameters(), parts.model.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_batches_are_made_on_one_thread_and_steps_on_all(config: OptimizerConfig) -> None:
    """With a second team of threads on the same cores both would sleep wherever they wait."""
    teams: list[int] = []
    threads: list[int] = []

    class Noting(Numbers):
        def batch(self, rows: Tensor, rng: BatchRng) -> Batch:
            teams.append(team())
            threads.append(psutil.Process().num_threads())
            return super().batch(rows, rng)

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        team()
        own = psutil.Process().num_threads()
        steps = [team() for _ in Prefetcher(Noting(), config, 0, torch.device("cpu")).micro_batches(range(2))]
    finally:
        torch.set_num_threads(before)
    assert (teams, steps, threads) == ([1, 1], [2, 2], [own + 1, own + 1])


def team() -> int:
    """How many threads OpenMP gives to what the calling thread computes."""
    torch.ones(1 << 17).add_(1)
    return next(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "openmp")


def test_a_batch_that_does_not_divide_is_refused(config: OptimizerConfig, tmp_path: Path) -> None:
    with pytest.raises(UnevenBatch, match="batch_size 4 does not divide into 1 processes × accumulation 3"):
        trained(config.model_copy(update={"accumulation": 3}), tmp_path)


def test_what_remains_is_the_best_on_valid(config: OptimizerConfig, tmp_path: Path) -> None:
    line, best = trained(config, tmp_path)
    assert best["valid_loss"] == min(line.valid[:3])
    assert line.validate(line.model)["loss"] == pytest.approx(best["valid_loss"])
    assert steps_in(tmp_path / "curve.csv") == [10, 20, 30]


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9, 0.95, 0.999, 0.9999])
def test_the_averaged_model_looks_codes_up_and_counts_batches_as_the_model_does(decay: float) -> None:
    """A code would be read as its neighbour: with 512 codes at 0.95, for one, or 16 at 0.9, or 128 at 0.9999."""
    norm = nn.BatchNorm2d(1)
    model = nn.ModuleList([norm, *(CodeEmbedding(4, size, 1) for size in (16, 128, 256, 512, 1024, 8192))])
    average = AveragedModel(model, multi_avg_fn=moving_average(decay), use_buffers=True)
    for step in range(50):
        norm(torch.full((1, 1, 2, 2), float(step)))
        average.update_parameters(model)
    whole = {name: own for name, own in model.named_buffers() if not own.is_floating_point()}
    assert len(whole) == 7
    assert all(torch.equal(average.module.get_buffer(name), own) for name, own in whole.items())
    assert decay == 0 or average.module[0].running_mean < norm.running_mean


def test_where_nothing_is_held_out_the_last_weights_remain(config: OptimizerConfig, tmp_path: Path) -> None:
    line = Line()
    line.validate = lambda model: {}  # type: ignore[method-assign]
    _, last = trained(config, tmp_path, line)
    assert (last["step"], "valid_loss" in last) == (30, False)
    judged, _ = trained(config, tmp_path / "judged", Falling())
    assert same(line.model, judged.model)
    with (tmp_path / "curve.csv").open(encoding="utf-8") as file:
        assert [row["valid_loss"] for row in csv.DictReader(file)] == ["", "", ""]  # the plots name the column


class Falling(Line):
    """Whatever is learned later counts as better."""

    def validate(self, model: nn.Module) -> dict[str, float]:
        self.valid.append(-float(len(self.valid)))
        return {"loss": self.valid[-1]}


def test_the_curve_can_be_read_while_the_training_runs(config: OptimizerConfig, tmp_path: Path) -> None:
    line, seen = Line(), []
    loss = line.loss

    def look(batch: Batch, step: int, rng: BatchRng) -> dict[str, Tensor]:
        seen.append(steps_in(tmp_path / "curve.csv") if (tmp_path / "curve.csv").exists() else [])
        return loss(batch, step, rng)

    line.loss = look  # type: ignore[method-assign]
    trained(config, tmp_path, line)
    assert seen == [[]] * 10 + [[10]] * 10 + [[10, 20]] * 10


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_the_run_with_its_step(
    config: OptimizerConfig, tmp_path: Path, value: float
) -> None:
    line = Line()
    line.validate = lambda model: {"loss": value}  # type: ignore[method-assign]
    with pytest.raises(TrainingDiverged, match=f"curve: valid_loss is {value} at step 10"):
        trained(config, tmp_path, line)


class Killed(BaseException):
    """What stands for SIGKILL within one process."""


@pytest.mark.parametrize("step", [0, 1, 9, 10, 17, 29])
def test_a_killed_training_ends_with_the_same_bytes(
    config: OptimizerConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    monkeypatch.setattr(resume, "SECONDS", 0.0)  # a snapshot after every step
    monkeypatch.setattr(resume, "FRACTION", math.inf)
    undisturbed, best = trained(config, tmp_path / "undisturbed")
    killed = Line()
    loss = killed.loss
    killed.loss = lambda batch, at, rng: kill() if at == step else loss(batch, at, rng)  # type: ignore[method-assign]

    def kill() -> dict[str, Tensor]:
        raise Killed

    with pytest.raises(Killed):
        trained(config, tmp_path / "killed", killed)
    (tmp_path / "killed/curve.csv").unlink(missing_ok=True)  # as DVC does before it runs a stage again
    again, best_again = trained(config, tmp_path / "killed")
    assert same(again.model, undisturbed.model)
    assert best_again == best
    assert (tmp_path / "killed/curve.csv").read_bytes() == (tmp_path / "undisturbed/curve.csv").read_bytes()


@pytest.mark.parametrize("signal_", STOPS)
def test_a_signal_saves_at_once_and_says_so_in_one_line_and_by_its_code(
    signal_: signal.Signals, config: OptimizerConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    undisturbed, _ = trained(config, tmp_path / "undisturbed")
    line = Line()
    loss = line.loss
    asked = []

    def ask(batch: Batch, step: int, rng: BatchRng) -> dict[str, Tensor]:
        if step == 12:
            for _ in range(2):  # more than once, as people do
                os.kill(os.getpid(), signal_)
            asked.append(step)
        assert step <= 12
        return loss(batch, step, rng)

    line.loss = ask  # type: ignore[method-assign]
    with pytest.raises(SystemExit) as ended:
        trained(config, tmp_path / "stopped", line)
    assert (ended.value.code, asked) == (128 + signal_, [12])
    assert capsys.readouterr().out.splitlines()[-1].startswith(f"stopped by {signal_.name}; `dvc repro` goes on from")
    assert same(trained(config, tmp_path / "stopped")[0].model, undisturbed.model)


def test_a_signal_while_the_makers_of_batches_end_stops_a_training_that_is_saved(
    config: OptimizerConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    undisturbed, _ = trained(config, tmp_path / "undisturbed")
    made, save, saved, moments = Prefetcher._made, Snapshot.save, threading.Event(), list[str]()

    def noted(self: Snapshot, state: State) -> None:
        assert self.asked is None
        save(self, state)
        moments.append(f"saved after {state.step}")
        saved.set()

    def asked(self: Prefetcher, steps: range) -> Generator[MicroBatch]:
        yield from made(self, steps)
        saved.wait(60)  # from then on the training only waits for this thread
        moments.append("signal")
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    with monkeypatch.context() as ending:
        ending.setattr(Snapshot, "save", noted)
        ending.setattr(Prefetcher, "_made", asked)
        with pytest.raises(SystemExit) as ended:
            trained(config, tmp_path / "stopped")
    assert moments == ["saved after 30", "signal"]
    assert ended.value.code == 128 + signal.SIGINT
    assert capsys.readouterr().out.splitlines()[-1].startswith("stopped by SIGINT; `dvc repro` goes on from")
    assert same(trained(config, tmp_path / "stopped")[0].model, undisturbed.model)


class Disk:
    """A disk that is slow until it is `released`, and which states it was given to write."""

    def __init__(self, write: Callable[[Path, Mapping[str, Tensor], str], None]) -> None:
        self._write = write
        self.steps: list[int] = []
        self.changed = False  # whether a state became another one meanwhile
        self.released = threading.Event()

    def write(self, path: Path, tensors: Mapping[str, Tensor], facts: str) -> None:
        self.steps.append(json.loads(facts)["step"])
        before = {name: tensor.clone() for name, tensor in tensors.items()}
        assert self.released.wait(timeout=60)
        self.changed |= not all(torch.equal(tensors[name], tensor) for name, tensor in before.items())
        self._write(path, tensors, facts)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """The disk of trainings that would write their state after every step."""
    monkeypatch.setattr(resume, "SECONDS", 0.0)
    monkeypatch.setattr(resume, "FRACTION", math.inf)
    disk = Disk(checkpoint.write)
    monkeypatch.setattr(checkpoint, "write", disk.write)
    return disk


def at(moment: int, line: Line, act: Callable[[], None]) -> None:
    """Let something happen in the given step of a training."""
    loss = line.loss

    def acting(batch: Batch, step: int, rng: BatchRng) -> dict[str, Tensor]:
        if step == moment:
            act()
        return loss(batch, step, rng)

    line.loss = acting  # type: ignore[method-assign]


def test_a_slow_disk_holds_up_no_step_and_no_state_queues(config: OptimizerConfig, tmp_path: Path, disk: Disk) -> None:
    line = Line()
    at(20, line, disk.released.set)  # which is never reached where a step waits for the disk
    at(20, line, lambda: meanwhile.extend(disk.steps))  # before that: what is set up last happens first
    meanwhile: list[int] = []
    trained(config, tmp_path, line)
    assert meanwhile == [1]
    assert (disk.steps[0], disk.steps[-1], disk.changed) == (1, 30, False)
    assert disk.steps == sorted(set(disk.steps))
    state = Snapshot(tmp_path / "work.safetensors", "line").load()
    assert state is not None
    assert state.step == 30


def test_sigterm_waits_for_the_state_under_way_and_writes_the_last(
    config: OptimizerConfig, tmp_path: Path, disk: Disk
) -> None:
    line = Line()
    at(12, line, disk.released.set)
    at(12, line, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(SystemExit):
        trained(config, tmp_path / "stopped", line)
    assert disk.steps == [1, 13]
    assert same(trained(config, tmp_path / "stopped")[0].model, trained(config, tmp_path / "undisturbed")[0].model)


def test_what_the_disk_refuses_a_state_ends_the_training(config: OptimizerConfig, tmp_path: Path, disk: Disk) -> None:
    disk.released.set()
    (tmp_path / "file").touch()
    line, snapshot = Line(), Snapshot(tmp_path / "file/work.safetensors", "line")
    with pytest.raises(OSError, match=r"exists|directory") as refused:
        fit(line.model, line, config, 7, Curve(tmp_path / "curve.csv"), snapshot)
    assert told(refused.value).startswith(str(tmp_path / "file"))
    assert disk.steps == [1]


@pytest.mark.parametrize("first", [True, False])
def test_the_process_that_writes_snapshots_alone_gathers_a_state(
    first: bool, config: OptimizerConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gathered, state = [], Trainer.state

    def noted(trainer: Trainer, step: int) -> State:
        gathered.append(step)
        return state(trainer, step)

    monkeypatch.setattr(resume, "SECONDS", 0.0)
    monkeypatch.setattr(resume, "FRACTION", math.inf)
    monkeypatch.setattr(Trainer, "state", noted)
    monkeypatch.setattr(distributed, "is_first", lambda: first)
    trained(config, tmp_path)
    assert gathered[-1] == config.steps
    assert (len(gathered) > 1) is (tmp_path / "work.safetensors").exists() is first


def test_a_snapshot_of_another_training_or_a_broken_one_is_ignored_with_a_word(
    config: OptimizerConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "work.safetensors"
    trained(config, tmp_path)
    assert Snapshot(path, "line").load() is not None
    assert Snapshot(path, "another line").load() is None
    assert "of other data, parameters or code" in capsys.readouterr().out
    Snapshot(path, "line").discard()
    assert not path.exists()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: b"",
        lambda content: content[:100],
        lambda content: content[:-1],
        lambda content: content[:-1] + bytes([content[-1] ^ 1]),
        lambda content: content.replace(b"average", b"everage"),
        lambda content: content.replace(rb"\"step\":30", rb"\"step\":-9"),
        lambda content: content.replace(rb"\"step\":30", rb'\"step\":"x'),
        lambda content: content.replace(rb"\"rows\":[{", rb"\"rows\":[[{"),
        lambda content: content.replace(b"identity", b"idendity"),
        lambda content: content.replace(b"identity", rb"\\u001bi"),  # a key that a terminal would obey
        lambda content: content.replace(b"facts", b"facta"),
        lambda content: bytes(len(content)),
    ],
)
def test_a_snapshot_that_is_damaged_in_any_way_is_made_again(
    config: OptimizerConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str], spoil: Callable[[bytes], bytes]
) -> None:
    undisturbed, _ = trained(config, tmp_path)
    path = tmp_path / "work.safetensors"
    content = path.read_bytes()
    assert spoil(content) != content
    path.write_bytes(spoil(content))
    capsys.readouterr()
    assert Snapshot(path, "line").load() is None
    said = capsys.readouterr().out
    assert "cannot be read" in said
    assert said.count("\n") == 1
    assert "\x1b" not in said
    assert same(trained(config, tmp_path)[0].model, undisturbed.model)


def test_a_tree_of_tensors_survives_being_flat() -> None:
    x, b = torch.arange(2.0), torch.tensor([5.0])
    grown = {"a": {"0": {"x": x}}, "b": b}
    assert flat(grown).keys() == {"a/0/x", "b"}
    again = tree(flat(grown))
    assert again.keys() == grown.keys()
    assert torch.equal(again["a"]["0"]["x"], x)
    assert torch.equal(again["b"], b)


def test_learning_rate_warms_up_and_falls_to_its_end(config: OptimizerConfig) -> None:
    rates = [schedules.learning_rate(step, config) for step in range(config.steps)]
    peak = config.learning_rate
    assert max(rates) == pytest.approx(peak)
    assert rates[: config.warmup] == sorted(rates[: config.warmup])
    assert rates[config.warmup :] == sorted(rates[config.warmup :], reverse=True)
    assert rates[-1] == pytest.approx(peak * config.final_learning_rate)
    held = [step for step, rate in enumerate(rates) if rate == peak]
    assert len(held) == pytest.approx(schedules.HELD * (config.steps - config.warmup), abs=2)
    falls = [before - after for before, after in itertools.pairwise(rates[held[-1] + 1 :])]
    assert max(falls) == pytest.approx(min(falls))


def test_temperature_is_a_pure_function_that_reaches_its_end() -> None:
    heats = [schedules.temperature(step, 100, 1.0, 0.125) for step in range(100)]
    assert heats[0] == 1.0
    assert heats == sorted(heats, reverse=True)
    assert heats[75:] == pytest.approx([0.125] * 25)
    assert schedules.temperature(50, 100, 1.0, 0.125) == heats[50]


def test_shifts_move_within_their_bounds_and_along_their_axis() -> None:
    pictures = torch.zeros(50, 1, 9, 9)
    pictures[:, :, 4, 4] = 1
    moved = augment.shifted(pictures, ShiftConfig(rows=0, columns=2), BatchRng(0, places=range(50)))
    rows, columns = moved[:, 0].nonzero()[:, 1], moved[:, 0].nonzero()[:, 2]
    assert set(rows.tolist()) == {4}
    assert set(columns.tolist()) == {2, 3, 4, 5, 6}
