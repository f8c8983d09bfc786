"""A pool of processes on this machine, or a Dask cluster, that runs jobs.

A job is what `joblib.delayed(function)(...)` makes. One whose worker dies is run again, so it must not matter whether a
job has run before, in part or as a whole. A cluster's workers need this project's code and share the file system.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError

from cycle_sound.errors import MissingPackage, NoCluster, WorkerLost

if TYPE_CHECKING:
    from distributed import Client

Job = tuple[Callable[..., Any], Sequence[Any], Mapping[str, Any]]

SCHEDULER = "CYCLE_SOUND_DASK"  # a Dask scheduler's address; in the environment, as it changes no result
CONNECT = 10.0  # seconds until a scheduler must answer, and have a worker
ROUNDS = 3  # in a row that may lose a worker before any job is finished


def run(jobs: Mapping[str, Job], workers: int = -1) -> Iterator[tuple[str, Any]]:
    """Yield (name, result) of each job as it ends, from `workers` processes (-1: one per core) or the cluster.

    Raises `WorkerLost`, `NoCluster` or `MissingPackage` where the cluster cannot be used, and whatever a job raises.
    """
    address = os.environ.get(SCHEDULER)
    return _on_cluster(jobs, address) if address else _here(jobs, workers)


def _here(jobs: Mapping[str, Job], workers: int) -> Iterator[tuple[str, Any]]:
    left = dict(jobs)
    fruitless = 0
    while left:
        before = len(left)
        todo = [joblib.delayed(_named)(name, job) for name, job in left.items()]
        try:
            for name, result in joblib.Parallel(workers, return_as="generator_unordered", batch_size=1)(todo):
                del left[name]
                yield name, result
        except TerminatedWorkerError:  # its pool is gone; the next round has a new one
            fruitless = fruitless + 1 if len(left) == before else 0
            if fruitless == ROUNDS:
                raise WorkerLost(job=next(iter(left))) from None


def _on_cluster(jobs: Mapping[str, Job], address: str) -> Iterator[tuple[str, Any]]:
    # Not by joblib's own backend for Dask: it waits for ever for a job that the scheduler has given up.
    with _client(address) as client:
        from distributed import KilledWorker, as_completed

        names = {
            client.submit(partial(function, *args, **more), pure=False): name
            for name, (function, args, more) in jobs.items()
        }
        for future in as_completed(names):
            try:
                result = future.result()
            except KilledWorker:
                raise WorkerLost(job=names[future]) from None
            yield names[future], result


@contextmanager
def _client(address: str) -> "Iterator[Client]":
    try:
        from distributed import Client
    except ImportError:
        raise MissingPackage(feature=SCHEDULER, package="Dask", extra="dask") from None
    try:
        client = Client(address, timeout=CONNECT)
        client.wait_for_workers(1, timeout=CONNECT)
    except (OSError, ValueError):
        raise NoCluster(address=address) from None
    with client:
        yield client


def _named(name: str, job: Job) -> tuple[str, Any]:
    function, args, more = job
    return name, function(*args, **more)
