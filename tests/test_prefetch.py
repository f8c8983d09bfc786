"""Batches are the same whoever makes them, and the processes that make them end with the training."""

import math
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
import torch
from line import Line, trained
from pipelines import digests, environment, run
from torch import Tensor

from cycle_sound.errors import BadShard, LoaderLost, TrainingDiverged
from cycle_sound.io.params_file import load
from cycle_sound.nn import distributed
from cycle_sound.nn.rng import BatchRng
from cycle_sound.params import OptimizerConfig, Params
from cycle_sound.training.prefetch import Prefetcher


@pytest.fixture
def config(params: Params) -> OptimizerConfig:
    tiny = {"steps": 30, "batch_size": 4, "valid_every": 10, "warmup": 5}
    return params.classifier.optimizer.model_copy(update=tiny)


class Batch(NamedTuple):
    """What was drawn for a micro-batch, and by whom."""

    rows: Tensor
    drawn: Tensor
    process: Tensor


class Drawing:
    """A source of nothing but rows and random numbers."""

    pairs = 10

    def batch(self, rows: Tensor, rng: BatchRng) -> Batch:
        drawn = torch.cat([rng.uniform(3), rng.normal(20), rng.integers(99)[:, None]], 1)
        return Batch(rows, drawn, torch.tensor([os.getpid(), torch.get_num_threads()]))


class Dying(Drawing):
    """A source over whose second batch a process is killed, as one is when memory is short."""

    made = 0

    def batch(self, rows: Tensor, rng: BatchRng) -> Batch:
        self.made += 1
        if self.made == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().batch(rows, rng)


class Failing(Drawing):
    """A source that raises an error."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def batch(self, rows: Tensor, rng: BatchRng) -> Batch:
        raise self.error


def prefetcher(source: Any, workers: int) -> Prefetcher:
    sizes = {"batch_size": 8, "accumulation": 2}
    optimizer = load().vae.image.optimizer.model_copy(update=sizes)
    return Prefetcher(source, optimizer, 5, torch.device("cpu"), workers)


def seen(workers: int, steps: range) -> tuple[list[bytes], set[int], set[int]]:
    """All that a process sees, as bytes; who made the batches, and with how many threads."""
    with closing(prefetcher(Drawing(), workers).micro_batches(steps)) as micro_batches:
        parts = list(micro_batches)
    content = [torch.cat([one.batch.rows[:, None], one.batch.drawn, one.rng.normal(4)], 1) for one in parts]
    makers, threads = torch.stack([one.batch.process for one in parts]).T.tolist()
    return [part.numpy().tobytes() for part in content], set(makers), set(threads)


@pytest.mark.parametrize(("processes", "rank"), [(1, 0), (2, 1), (4, 2)])
def test_worker_processes_make_the_batches_of_a_thread_also_after_a_kill(
    processes: int, rank: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distributed, "world_size", lambda: processes)
    monkeypatch.setattr(distributed, "rank", lambda: rank)
    undisturbed, here, _ = seen(0, range(4))
    resumed, there, threads = seen(2, range(2, 4))
    assert resumed == undisturbed[4:]  # two passes a step
    assert here == {os.getpid()}
    assert len(there) == 2
    assert os.getpid() not in there
    assert threads == {1}
    assert not multiprocessing.active_children()


def test_a_worker_process_that_dies_is_one_clear_error_and_takes_the_others_along() -> None:
    with pytest.raises(LoaderLost, match=r"out of memory.*loader\.workers"):
        list(prefetcher(Dying(), 2).micro_batches(range(9)))
    assert not multiprocessing.active_children()


@pytest.mark.parametrize(
    "error", [BadShard(path="x.tar", reason="torn"), FileNotFoundError(2, "gone", "x.mp3")], ids=["user", "system"]
)
def test_what_a_source_raises_for_people_is_said_in_its_own_words(error: Exception) -> None:
    for workers in (0, 1):
        with pytest.raises(type(error), match=re.escape(str(error))) as caught:
            list(prefetcher(Failing(error), workers).micro_batches(range(2)))
        assert str(caught.value) == str(error)
    assert not multiprocessing.active_children()


def test_a_fault_of_the_program_in_a_worker_process_keeps_its_traceback() -> None:
    with pytest.raises(KeyError, match=r"raise self\.error"):
        list(prefetcher(Failing(KeyError("a fault")), 1).micro_batches(range(2)))


# --- trainings in processes of their own

SLOW = """
import sys
import time
from pathlib import Path

from line import Line, trained

from cycle_sound.params import OptimizerConfig


class Slow(Line):
    def loss(self, batch, step, rng):
        print(step, flush=True)
        time.sleep(0.02)
        return super().loss(batch, step, rng)


if __name__ == "__main__":
    trained(OptimizerConfig.model_validate_json(sys.argv[1]), Path("."), Slow(), workers=2)
"""


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_training_that_is_stopped_leaves_no_process_and_goes_on_to_the_same_bytes(
    end: signal.Signals, config: OptimizerConfig, tmp_path: Path
) -> None:
    """A cluster sends SIGTERM to all of a training's processes, a terminal SIGINT: its batch makers heed neither."""
    folder = tmp_path / "stopped"
    folder.mkdir()
    (folder / "slow.py").write_text(SLOW, encoding="utf-8")
    around = environment(folder)
    around["PYTHONPATH"] += os.pathsep + str(Path(__file__).parent)
    words = [sys.executable, "slow.py", config.model_dump_json()]
    training = subprocess.Popen(
        words, cwd=folder, env=around, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert training.stdout
    assert "12\n" in iter(training.stdout.readline, "")
    makers = psutil.Process(training.pid).children()
    assert len(makers) > 2  # and what keeps account of what they share
    training.kill() if end == signal.SIGKILL else os.killpg(training.pid, end)
    training.communicate()
    assert training.returncode == (-end if end == signal.SIGKILL else 128 + end)
    _, left = psutil.wait_procs(makers, timeout=60)
    assert not left
    assert (folder / "work.safetensors").exists() or end == signal.SIGKILL
    trained(config, tmp_path / "alone")
    trained(config, folder)
    assert (folder / "curve.csv").read_bytes() == (tmp_path / "alone/curve.csv").read_bytes()


def test_a_training_that_fails_leaves_no_process(config: OptimizerConfig, tmp_path: Path) -> None:
    line = Line()
    line.validate = lambda model: {"loss": math.nan}  # type: ignore[method-assign]
    with pytest.raises(TrainingDiverged):
        trained(config, tmp_path, line, workers=1)
    assert not multiprocessing.active_children()


EVERY = """
import pickle

from cycle_sound.io.params_file import load
from cycle_sound.training import loop
from stages import finetune_decoder, train_classifier, train_transformer, train_vae, train_vocoder


class Weighed(loop.Prefetcher):
    def __init__(self, source, *rest):
        print("sent:", type(source).__name__, len(pickle.dumps(source)))
        super().__init__(source, *rest)


if __name__ == "__main__":
    loop.Prefetcher, params = Weighed, load()
    train_vae.main("image", params)
    finetune_decoder.main("image", params)
    train_classifier.main("audio", params)
    train_transformer.main("audio_to_image", params)
    train_vocoder.main(params)
"""


@pytest.mark.slow
def test_a_worker_process_trains_every_model_to_the_same_bytes_and_is_sent_neither_weights_nor_data(
    built: Path, write_tiny: Callable[..., None], tmp_path: Path
) -> None:
    folder = shutil.copytree(built, tmp_path / "project", ignore=shutil.ignore_patterns(".dvc", ".git"))
    write_tiny(folder, loader={"workers": 1})
    for name in ("vae/image", "classifier/audio", "transformer/audio_to_image", "vocoder/learned"):
        (folder / f"data/{name}.safetensors").unlink()
    (folder / "every.py").write_text(EVERY, encoding="utf-8")
    said = run(folder, sys.executable, "every.py", PYTHONPATH=str(folder))
    sizes = {name: int(size) for name, size in re.findall(r"sent: (\w+) (\d+)", said)}
    assert len(sizes) == 4  # a VAE and its decoder learn from the same
    assert max(sizes.values()) < 4000, sizes
    assert digests(folder) == digests(built)
