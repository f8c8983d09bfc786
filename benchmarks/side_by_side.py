"""How two jobs that share the cores slow one another down, as `dvc queue start --jobs 2` runs them: 2 is fair.

python -m benchmarks.side_by_side [--json]
"""

import argparse
import multiprocessing
import time
from collections.abc import Callable
from typing import Any

from benchmarks import printing

SECONDS = 15.0  # of a job that runs alone
JOBS = ("training", "drawing")


def prepared(job: str) -> Callable[[], object]:
    """A piece of work of a job, after one that warms up."""
    from benchmarks import generation, transformer_training  # they load torch, which reads its environment then
    from benchmarks.sizes import LAPTOP, Measured
    from cycle_sound.nn import device

    where = device.best()
    if job == "training":
        work: Callable[[], object] = transformer_training.ours(LAPTOP, where)
    else:
        work = generation.ours(Measured(LAPTOP).to(where).eval(), batch=8)
    work()
    return work


def run(job: str, ready: Any, pieces: int, times: Any) -> None:
    """Do a job's pieces once all jobs are ready, and tell how long they took; 0: as many as SECONDS have room for."""
    work = prepared(job)
    ready.wait()
    begin = time.perf_counter()
    if not pieces:
        while time.perf_counter() < begin + SECONDS:
            work()
            pieces += 1
    else:
        for _ in range(pieces):
            work()
    times.put((job, pieces, time.perf_counter() - begin))


def together(*jobs: tuple[str, int]) -> list[tuple[str, int, float]]:
    """Jobs with so many pieces each, side by side: what each of them tells."""
    context = multiprocessing.get_context("spawn")
    ready, times = context.Barrier(len(jobs)), context.Queue()
    started = [context.Process(target=run, args=(job, ready, pieces, times)) for job, pieces in jobs]
    for process in started:
        process.start()
    told = [times.get() for _ in started]
    for process in started:
        process.join()
    return told


def main() -> None:
    """Print the table, and with --json one object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    as_json = parser.parse_args().json
    alone = {job: together((job, 0))[0] for job in JOBS}
    figures = {}
    for one, other in (("training", "training"), ("drawing", "drawing"), ("training", "drawing")):
        told = together((one, alone[one][1]), (other, alone[other][1]))
        figures[f"{one}_beside_{other}"] = max(seconds / alone[job][2] for job, _, seconds in told)
    printing.show(figures, as_json)


if __name__ == "__main__":
    main()
