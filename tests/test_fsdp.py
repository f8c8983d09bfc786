"""Two processes of which each holds a share of the states learn what two that hold all do, and go on from one another.

The module is also what the two processes run.
"""

import json
import os
import shutil
import signal
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from processes import TWO, run
from torch import Tensor, nn

from cycle_sound.io import params_file
from cycle_sound.models.tokenizer import CodeShape
from cycle_sound.models.transformer import Shapes, Transformer
from cycle_sound.nn import device, distributed
from cycle_sound.nn.rng import BatchRng, seeded
from cycle_sound.params import Parallel
from cycle_sound.training import fsdp
from cycle_sound.training.loop import Curve, Trainer, fit
from cycle_sound.training.optimizers import orthogonal
from cycle_sound.training.prefetch import Prefetcher
from cycle_sound.training.resume import Snapshot, flat

CODES = CodeShape(2, 3, 3, 17)  # odd numbers do not divide by two
SHAPES = Shapes(CODES, (1, 16, 16), CODES, (3, 16, 16))
TINY = {"width": 32, "depth": 2, "heads": 2, "source_width": 8, "source_downsamples": 3, "dropout": 0.1}
OPTIMIZER = {"steps": 8, "batch_size": 4, "valid_every": 2, "learning_rate": 2e-3, "warmup": 2, "accumulation": 2}
STOP = 4  # the step in which a training is asked to stop, in the middle between two validations
SCRIPT = "from test_fsdp import together\nif __name__ == '__main__':\n    together()\n"
MATRICES = [(7, 3), (1, 9), (8, 8), (8, 8), (16, 4), (2, 5)]

Learned = dict[str, Any]


class Batch(NamedTuple):
    sources: Tensor  # (b, 1, 16, 16)
    codes: Tensor  # (b, k, t)
    pictures: Tensor  # (b, 3, 16, 16)


class Drawn:
    """A source of random pairs."""

    pairs = 50

    def batch(self, rows: Tensor, rng: BatchRng) -> Batch:
        return Batch(rng.uniform(1, 16, 16), (rng.uniform(2, CODES.places) * 17).long(), rng.uniform(3, 16, 16))


class Task:
    """What a transformer is trained for, without shards."""

    train = Drawn()

    def __init__(self, stop: int | None) -> None:
        config = params_file.load(Path(__file__).parents[1] / "params.yaml").transformer.audio_to_image
        torch.manual_seed(0)
        self.model = Transformer(config.model_copy(update=TINY), SHAPES)
        self.optimizer = config.optimizer.model_copy(update=OPTIMIZER)
        self.stop = stop

    def loss(self, batch: Batch, step: int, rng: BatchRng) -> dict[str, Tensor]:
        if step == self.stop:
            os.kill(os.getpid(), signal.SIGTERM)
        losses = self.model.losses(batch.sources, batch.codes, batch.pictures, rng)
        return {"loss": losses.cross_entropy + losses.alignment, "alignment": losses.alignment}

    @torch.inference_mode()
    def validate(self, model: nn.Module) -> dict[str, float]:
        assert isinstance(model, Transformer)
        sources, codes = (
            torch.rand(4, 1, 16, 16, generator=seeded(1)),
            torch.randint(17, (4, 2, 9), generator=seeded(2)),
        )
        return {"loss": -float(model.log_likelihood(model.encode_source(sources), codes).mean())}


def learned(name: str, parallel: Parallel = "ddp", stop: int | None = None, begun: str = "") -> Learned:
    """What a training learns that is asked to stop in a step, or goes on from another's snapshot."""
    path = Path(f"{name}.safetensors")
    if begun and distributed.is_first():
        shutil.copy(f"{begun}.safetensors", path)
    distributed.barrier()
    task, curve = Task(stop), Curve(Path(f"{name}.csv"))
    with suppress(SystemExit):
        fit(task.model, task, task.optimizer, 3, curve, Snapshot(path, "task"), parallel=parallel)
        assert not any(map(fsdp.is_share, task.model.state_dict().values()))
        return {"rows": curve.rows, "valid_loss": task.validate(task.model)["loss"]}
    assert stop is not None
    return {"rows": curve.rows}


def held(parallel: Parallel) -> int:
    """Bytes of weights, moments and averages in this process, after a step."""
    task = Task(None)
    trainer = Trainer(task.model, task, task.optimizer, 3, Curve(Path("none.csv")), parallel)
    prefetcher = Prefetcher(task.train, task.optimizer, 3, torch.device("cpu"))
    with closing(prefetcher.micro_batches(range(1))) as micro_batches:
        trainer.step(micro_batches, 0)
    return sum(fsdp.local(tensor).nbytes for tensor in flat(trainer.state(1).tensors).values())


def rows_of(matrix: Tensor) -> Tensor:
    """The rows of a matrix that this process has."""
    chunks = matrix.chunk(distributed.world_size())
    return chunks[distributed.rank()] if distributed.rank() < len(chunks) else matrix[:0]


def single(where: torch.device) -> torch.dtype:
    """In bfloat16, which some CPUs train in, sums of other parts differ by a hundredth."""
    return torch.float32


def orthogonal_by_shares() -> float:
    """The largest difference between matrices made orthogonal by one process and by all."""
    torch.manual_seed(0)
    matrices = [torch.randn(shape) for shape in MATRICES]
    made = fsdp.on_whole(orthogonal, [rows_of(matrix) for matrix in matrices], [len(one) for one in matrices])
    pairs = zip(made, map(rows_of, orthogonal(matrices)), strict=True)
    return max(float((one - other).abs().max()) for one, other in pairs if one.numel())


def together() -> None:
    """All that the two processes do."""
    device.dtype = single
    with distributed.process_group():
        found: Learned = {"orthogonal": orthogonal_by_shares()}
        for parallel in ("ddp", "fsdp"):
            found[parallel] = learned(parallel, parallel)
            learned(f"{parallel}_stopped", parallel, STOP)
            found[f"{parallel}_again"] = learned(f"{parallel}_again", parallel, begun=f"{parallel}_stopped")
            found[f"{parallel}_after_one"] = learned(f"{parallel}_after_one", parallel, begun="one_stopped")
            found[f"{parallel}_bytes"] = held(parallel)
        Path(f"{distributed.rank()}.json").write_text(json.dumps(found))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Learned:
    """What two processes and one have learned, by name."""
    folder = tmp_path_factory.mktemp("fsdp")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(device, "dtype", single)
        one = {"one": learned("one")}
        learned("one_stopped", stop=STOP)
        run(folder, SCRIPT, TWO)
        one |= {f"one_after_{name}": learned(f"one_{name}", begun=f"{name}_stopped") for name in ("ddp", "fsdp")}
    ranks = [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)]
    assert ranks[0]["fsdp"] == ranks[1]["fsdp"]
    return ranks[0] | one | {"second_bytes": ranks[1]["fsdp_bytes"]}


def distance(one: Learned, other: Learned) -> float:
    """The largest relative difference between any figures of two curves."""
    pairs = list(zip(one["rows"], other["rows"], strict=True))
    assert len(pairs) == 4
    return max(abs(a[name] / b[name] - 1) for a, b in pairs for name in a)


def test_a_process_holds_half_of_the_states(found: Learned) -> None:
    assert max(found["fsdp_bytes"], found["second_bytes"]) <= 0.55 * found["ddp_bytes"]


def test_shares_learn_what_whole_states_learn(found: Learned) -> None:
    assert distance(found["fsdp"], found["ddp"]) < 1e-5
    assert distance(found["fsdp"], found["one"]) < 1e-5
    assert found["orthogonal"] < 1e-5


@pytest.mark.parametrize("name", ["one", "ddp", "fsdp"])
def test_the_model_that_is_left_is_the_best_average_and_whole(name: str, found: Learned) -> None:
    assert found[name]["valid_loss"] == min(row["valid_loss"] for row in found[name]["rows"])


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_what_is_stopped_goes_on_to_the_same_bytes(parallel: str, found: Learned) -> None:
    assert found[f"{parallel}_again"] == found[parallel]


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_another_number_of_processes_goes_on_as_if_it_had_begun(parallel: str, found: Learned) -> None:
    assert distance(found[f"one_after_{parallel}"], found["one"]) < 1e-5
    assert distance(found[f"{parallel}_after_one"], found["one"]) < 1e-5
