"""Jobs on processes of this machine, or on a Dask cluster.

A job whose process dies is run again, so it must not matter whether it has run before, in part or as a whole. A
cluster's workers need this project's code and share the file system.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, wait
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from multiprocessing.connection import Connection, Pipe
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import joblib
from joblib.externals.loky.process_executor import ProcessPoolExecutor, TerminatedWorkerError

from cycle_sound.errors import MissingPackage, NoCluster, WorkerLost
from cycle_sound.io import interrupts

if TYPE_CHECKING:
    from distributed import Client

Name = TypeVar("Name")

SCHEDULER = "CYCLE_SOUND_DASK"  # a Dask scheduler's address; in the environment, as it changes no result
CONNECT = 10.0  # seconds until a scheduler must answer, and have a worker
UNDER_WAY = 2  # jobs that a cluster has at a time for each of its threads: what they are given lies in memory
HANDING = 0.001  # seconds between two looks whether a job was handed over
STARTS = 2  # of a process, before a job: it may have died since its last one
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")  # beside one another


class Job(NamedTuple):
    """Work for another process.

    `load` is called in this process when the job's turn comes; its result is passed to `work`.
    """

    work: Callable[..., Any]  # can be pickled
    seconds: float  # of work after which it counts as hanging; a cluster does not watch it
    load: Callable[[], Any] | None = None

    def given(self) -> tuple[Any, ...]:
        """What `work` is called with."""
        return () if self.load is None else (self.load(),)


class Lost(NamedTuple):
    """What stands for the result of a job whose process died or, if `late`, was ended because its time was over."""

    late: bool


def run(jobs: Mapping[Name, Job], workers: int) -> Iterator[tuple[Name, Any]]:
    """Yield (name, result) of each job as it ends, on the cluster that the environment names, or else `here`.

    Jobs begin in their order, and no more is loaded of them than is being worked on, or is about to be.
    Raises `WorkerLost` for a job that is `Lost`, `NoCluster` or `MissingPackage` where the cluster cannot be used, and
    whatever a job raises.
    """
    address = os.environ.get(SCHEDULER)
    for name, result in _on_cluster(jobs, address) if address else here(jobs, workers):
        if isinstance(result, Lost):
            raise WorkerLost(job=name)
        yield name, result


def here(jobs: Mapping[Name, Job], workers: int = -1) -> Iterator[tuple[Name, Any]]:
    """Yield (name, result) of each job as it ends, from `workers` processes (-1: one per core).

    Jobs begin in their order, and no more is loaded of them than is being worked on. A job that is lost is run again
    when all others have ended, alone, since memory or time may have been short; its result is `Lost` if it is lost
    again. One worker (1) is this process itself, where nothing stands between a job and the others. Raises whatever a
    job raises, and `WorkerLost` where processes die before they have begun.
    """
    if workers == 1:
        yield from ((name, job.work(*job.given())) for name, job in jobs.items())
        return
    lost = set()
    for name, result in _beside_one_another(jobs, joblib.effective_n_jobs(workers)):
        if isinstance(result, Lost):
            lost.add(name)
        else:
            yield name, result
    yield from _beside_one_another({name: job for name, job in jobs.items() if name in lost}, 1)


class Worker:
    """A process that does one job at a time; one that is lost is replaced when the next job begins.

    In each process `prepare` is called before the first job, and takes none of its time.
    """

    def __init__(self, prepare: Callable[[], Any]) -> None:
        self._prepare = prepare
        self._executor: Any = None

    def start(self) -> None:
        """Start the process, unless it is there, without waiting for it."""
        if self._executor is None:
            parent, self._life = Pipe(duplex=False)
            begin = {"initializer": _begin, "initargs": (parent, self._prepare)}
            with interrupts.withheld():
                self._executor = ProcessPoolExecutor(1, **begin, env=ONE_THREAD)
                self._ready = self.future = self._executor.submit(int)

    def begin(self, job: Job) -> None:
        """Hand over a job. Raises `WorkerLost` where processes die before they have begun."""
        given = job.given()
        for _ in range(STARTS):
            self.start()
            with suppress(TerminatedWorkerError):
                self._ready.result()
                self.future = self._executor.submit(job.work, *given)
                self.due = time.monotonic() + job.seconds
                return
            self.end()
        raise WorkerLost(job="their start")

    def result(self) -> Any:
        """Wait for the job's end: what it returned, or `Lost`. Raises whatever it raised."""
        done, _ = wait([self.future], max(0.0, self.due - time.monotonic()))
        if done:
            with suppress(TerminatedWorkerError):
                return self.future.result()
        self.end()
        return Lost(late=not done)

    def end(self) -> None:
        """End the process, and what it has started."""
        if self._executor is not None:
            while not (self.future.running() or self.future.done()):
                time.sleep(HANDING)  # the executor's thread fails if it is ended before it has handed a job over
            self._executor.shutdown(kill_workers=True)
            self._life.close()
            self._executor = None


def _beside_one_another(jobs: Mapping[Name, Job], count: int) -> Iterator[tuple[Name, Any]]:
    """Yield (name, result) of each job as it ends, `Lost` or not, from `count` processes."""
    todo = iter(jobs.items())
    idle = [Worker(partial(_arrived, job.work)) for job in islice(jobs.values(), count)]
    busy: dict[Worker, Name] = {}
    try:
        for worker in idle:
            worker.start()  # all at once
        while True:
            while idle and (entry := next(todo, None)):
                name, job = entry
                worker = idle.pop()
                busy[worker] = name
                worker.begin(job)
            if not busy:
                return
            soonest = min(worker.due for worker in busy)
            wait([worker.future for worker in busy], max(0.0, soonest - time.monotonic()), FIRST_COMPLETED)
            over = [one for one in busy if one.future.done() or one.due <= time.monotonic()]
            for worker in over:
                yield busy[worker], worker.result()
                del busy[worker]
                idle.append(worker)
    finally:
        for worker in (*idle, *busy):
            worker.end()


def _begin(parent: Connection, prepare: Callable[[], Any]) -> None:
    """What a process does first."""
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    prepare()


def _end_with(parent: Connection) -> None:
    """End this process with the one that holds the other end of a pipe: nobody would take its results."""
    with suppress(EOFError, OSError):
        parent.recv_bytes()
    os._exit(1)


def _arrived(work: Callable[[], Any]) -> None:
    """Do nothing: once `work` is here, what it needs has been imported."""


def _on_cluster(jobs: Mapping[Name, Job], address: str) -> Iterator[tuple[Name, Any]]:
    # Not by joblib's own backend for Dask: it waits for ever for a job that the scheduler has given up.
    with _client(address) as client:
        from distributed import KilledWorker, as_completed

        todo, ended = iter(jobs.items()), as_completed()
        names: dict[Any, Name] = {}  # of jobs that are under way

        def submit() -> None:
            """Hand over as many jobs as the cluster has room for, which may have grown."""
            room = UNDER_WAY * sum(client.nthreads().values()) - len(names)
            for name, job in islice(todo, max(room, 1)):
                future = client.submit(job.work, *job.given(), pure=False)
                names[future] = name
                ended.add(future)

        submit()
        for future in ended:
            name = names.pop(future)
            try:
                result = future.result()
            except KilledWorker:
                result = Lost(late=False)
            submit()
            yield name, result


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
