"""What grows with a corpus, a batch or the number of processes, and what does not: by simulation, without the data.

python -m benchmarks.scale [--json]

Costs are processor time, so that other work on the machine matters little; memory is read from Linux's /proc.
"""

import argparse
import multiprocessing
import os
import re
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks import hardware, printing
from cycle_sound import params as parameters
from cycle_sound.dataset import augment
from cycle_sound.nn.rng import BatchRng
from cycle_sound.training import order
from cycle_sound.training.prefetch import Prefetcher

PAIRS = 10_000_000
LOCAL, GLOBAL = 32, 1024  # pairs of a process, and of all together
SIDE = 256  # pixels
NOISE = (256, 8192)  # places and codes, of Gumbel noise
PORTIONS = 4
ROUNDS = 5


def main() -> None:
    """Measure, and print a table, and with --json one object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    options = parser.parse_args()
    printing.show(steps(), options.json)


# --- what a step sees, and what it draws


def steps() -> dict[str, float]:
    """The order of ten million pairs, and a local portion of a large batch beside one that is all of its batch."""
    first = PAIRS - GLOBAL // 2  # a step that begins another epoch
    cpu = torch.device("cpu")
    order_s = hardware.seconds(lambda: order.rows(range(first, first + GLOBAL), PAIRS, 0), cpu, repeats=99)
    alone, part = zip(*((portion(LOCAL), portion(GLOBAL)) for _ in range(ROUNDS)), strict=True)
    return {
        "order_ms_10m": 1000 * order_s,
        "order_missing_10m": PAIRS - len(np.unique(order.rows(range(PAIRS), PAIRS, 0).numpy())),
        "local_batch_ms": 1000 * statistics.median(cost.seconds for cost in part),
        "local_batch_mb": max(cost.bytes for cost in part) / 1e6,
        "local_batch_time_ratio": statistics.median(a.seconds / b.seconds for a, b in zip(part, alone, strict=True)),
        "local_batch_memory_ratio": max(cost.bytes for cost in part) / max(cost.bytes for cost in alone),
    }


class Cost(NamedTuple):
    """Of a portion of a batch."""

    seconds: float  # of processor time
    bytes: float  # the most at a time, beside what the process held before


class Batch(NamedTuple):
    """Pictures, shifted and degraded."""

    pictures: Tensor  # (b, 3, SIDE, SIDE)


class Pictures:
    """As many pictures as there are pairs, all of them grey."""

    pairs = PAIRS

    def __init__(self) -> None:
        self.augment = parameters.load().augment

    def batch(self, rows: Tensor, rng: BatchRng) -> Batch:
        """What a transformer's training makes of them, after what a VAE's draws."""
        rng.uniform(*NOISE)  # here, and not for the loss beside it: the most memory would be a matter of chance
        pictures = torch.zeros(len(rows), 3, SIDE, SIDE)
        return Batch(augment.degrade(augment.shifted(pictures, self.augment.image, rng), self.augment.degradation, rng))


def portion(batch_size: int) -> Cost:
    """What LOCAL pairs of a batch cost, in a process of its own."""
    os.environ["MALLOC_MMAP_THRESHOLD_"] = "100000"  # bytes: glibc gives back at once what is freed, not by chance
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(measured_portion, batch_size).result()


def measured_portion(batch_size: int) -> Cost:
    """The same, in this process."""
    torch.set_num_threads(1)
    sizes = {"batch_size": batch_size, "accumulation": batch_size // LOCAL}
    config = parameters.load().vae.image.optimizer.model_copy(update=sizes)
    prefetcher = Prefetcher(Pictures(), config, 0, torch.device("cpu"))
    held, begin = memory("VmRSS"), time.process_time()
    for _ in islice(prefetcher.micro_batches(range(PORTIONS + 1)), PORTIONS):
        pass
    return Cost((time.process_time() - begin) / (PORTIONS + 1), memory("VmHWM") - held)


def memory(field: str) -> float:
    """A figure of this process in bytes: VmRSS, what it holds, or VmHWM, the most that it held."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    assert found
    return 1024 * float(found[1])


if __name__ == "__main__":
    main()
