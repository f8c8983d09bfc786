"""What a discrete VAE learns in a given time, beside the peer's.

python -m benchmarks.dvae [--seconds 120] [--pairs FOLDER] [--json]

FOLDER holds train_data/*.jpg, of which every tenth is held out; by default the pairs of the last `dvc repro`.
"""

import argparse
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import hardware, peer, printing
from cycle_sound import paths
from cycle_sound.io.params_file import load
from cycle_sound.media import images, pixels
from cycle_sound.models.dvae import DiscreteVAE
from cycle_sound.nn import device, order
from cycle_sound.nn.rng import BatchRng
from cycle_sound.params import Modality, Params
from cycle_sound.training import schedules
from cycle_sound.training.objectives.vae import VaeObjective
from cycle_sound.training.optimizers import Optimizers

BATCH = 32
CODES = 1024
MOST = 4000  # pictures, in memory
CHECKS = 20  # looks at the hard error on the way


class Pictures:
    """Pictures in memory, as a shard's split offers them."""

    def __init__(self, files: Sequence[Path], size: int) -> None:
        arrays = [images.to_array(images.open_picture(path.read_bytes(), size), size) for path in files]
        self.all = pixels.to_float(torch.from_numpy(np.stack(arrays)))  # (n, 3, size, size)

    def __len__(self) -> int:
        return len(self.all)

    def pictures(self, _modality: Modality, rows: Iterable[int]) -> Tensor:
        """(b, 3, size, size) in [-1, 1]."""
        return self.all[list(rows)]


class Learned(NamedTuple):
    """A training of a given time."""

    images_per_second: float
    flops: float  # of convolutions and matrix products, per second
    times: list[float]  # of training, in seconds
    errors: list[float]  # hard, on held-out pictures, at these times


def timed(step: Callable[[int], None], error: Callable[[], float], steps: int) -> Learned:
    """Train for so many steps; the time of looking at the error does not count."""
    with FlopCounterMode(display=False) as counter:
        step(0)
    spent, times, errors = 0.0, [], []
    for number in range(steps):
        begin = time.perf_counter()
        step(number)
        spent += time.perf_counter() - begin
        if (number + 1) % max(steps // CHECKS, 1) == 0 or number + 1 == steps:
            times.append(spent)
            errors.append(error())
    rate = steps / spent
    return Learned(rate * BATCH, rate * counter.get_total_flops(), times, errors)


def steps_in(seconds: float, step: Callable[[int], None]) -> int:
    """How many steps fit: from the time of a few."""
    return max(1, round(seconds / hardware.seconds(lambda: step(0), torch.device("cpu"), repeats=8)))


def ours(train: Pictures, held_out: Pictures, params: Params, seconds: float) -> Learned:
    """This project's VAE, with its schedules stretched over the time."""
    config = params.vae.image.model_copy(update={"codebooks": 1, "codebook_size": CODES})

    def prepared(steps: int) -> tuple[Callable[[int], None], Callable[[], float]]:
        torch.manual_seed(0)
        optimizer_config = config.optimizer.model_copy(update={"steps": steps, "batch_size": BATCH})
        model = DiscreteVAE(config.model_copy(update={"optimizer": optimizer_config}), 3)
        objective = VaeObjective(model, "image", (train, held_out), params.augment.image, len(held_out))  # type: ignore[arg-type]
        average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(optimizer_config.ema_decay))
        optimizers = Optimizers(model, optimizer_config)

        def step(number: int) -> None:
            rows = order.rows(range(number * BATCH, (number + 1) * BATCH), objective.train.pairs, 0)
            draws = BatchRng(0, number, places=range(BATCH))
            with device.autocast(device.of(model)):
                loss = objective.loss(objective.train.batch(rows, draws), number, draws)["loss"]
            loss.backward()
            optimizers.step(schedules.learning_rate(number, optimizer_config))
            average.update_parameters(model)

        return step, lambda: objective.validate(average.module)["loss"]

    steps = steps_in(seconds, prepared(1000)[0])
    return timed(*prepared(steps), steps)


def theirs(package: object, train: Pictures, held_out: Pictures, seconds: float) -> Learned:
    """The peer's VAE, as its own script trains it: Adam, a temperature that falls to 0.5."""

    def prepared(steps: int) -> tuple[Callable[[int], None], Callable[[], float]]:
        torch.manual_seed(0)
        model = peer.discrete_vae(package)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

        def step(number: int) -> None:
            rows = order.rows(range(number * BATCH, (number + 1) * BATCH), len(train), 0).tolist()
            pictures = (train.pictures("image", rows) + 1) / 2
            heat = schedules.temperature(number, steps, 1.0, 0.5)
            optimizer.zero_grad()
            model(pictures, return_loss=True, temp=heat).backward()
            optimizer.step()

        def error() -> float:
            with torch.no_grad():
                made = [model.decode(model.get_codebook_indices((part + 1) / 2)) for part in held_out.all.split(100)]
            return float(F.mse_loss(torch.cat(made), held_out.all))  # the peer's decoder speaks in [-1, 1]

        return step, error

    steps = steps_in(seconds, prepared(1000)[0])
    return timed(*prepared(steps), steps)


def main() -> None:
    """Print the table, and with --json one object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--pairs", type=Path, default=paths.RAW)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    device.prepare(0)
    params = load()
    found = sorted((asked.pairs / "train_data").glob("*.jpg"))[:MOST]
    if len(found) < 2:
        parser.error(f"{asked.pairs}: no pictures in train_data: give --pairs, or build the default first")
    train = Pictures([path for number, path in enumerate(found) if number % 10], 64)
    held_out = Pictures(found[::10], 64)
    mine = ours(train, held_out, params, asked.seconds)
    figures = {"images_per_second": mine.images_per_second, "hard_error": mine.errors[-1]}
    figures["convolution_ceiling_flops"] = hardware.convolution_rate(device.best(), torch.float32)
    figures["share_of_ceiling"] = mine.flops / figures["convolution_ceiling_flops"]
    package = peer.load()
    if package is not None:
        other = theirs(package, train, held_out, asked.seconds)
        # a training is planned for its time, and sharp only at its end: so also one that is planned for half of it
        half = ours(train, held_out, params, asked.seconds / 2)
        looks = zip(mine.times + half.times, mine.errors + half.errors, strict=True)
        reached = sorted(at for at, error in looks if error <= other.errors[-1])
        figures["images_per_second_dalle_pytorch"] = other.images_per_second
        figures["hard_error_dalle_pytorch"] = other.errors[-1]
        figures["hard_error_ratio_to_dalle_pytorch"] = mine.errors[-1] / other.errors[-1]
        figures["time_to_its_error_ratio"] = (reached or [float("inf")])[0] / other.times[-1]
    printing.show(figures, asked.json)


if __name__ == "__main__":
    main()
