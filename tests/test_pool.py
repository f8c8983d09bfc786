"""Jobs on processes or a cluster: what happens when it goes wrong."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakSet

import psutil
import pytest

from cycle_sound.errors import MissingPackage, NoCluster, StaleWorker, WorkerLost
from cycle_sound.io import pool
from cycle_sound.io.pool import Job, Lost

ROOT = Path(__file__).resolve().parents[1]
LONG = 1000.0  # seconds
SQUARES = {f"{number}": Job(partial(pow, number, 2), LONG) for number in range(20)}


def hang() -> None:
    time.sleep(LONG)


def end_with(number: int) -> None:
    os.kill(os.getpid(), number)


ENDS: dict[str, Callable[[], Any]] = {
    "exit": partial(os._exit, 1),
    "abort": os.abort,
    "segfault": partial(end_with, signal.SIGSEGV),
    "killed": partial(end_with, signal.SIGKILL),
}


@pytest.mark.parametrize("count", [1, 2])
def test_every_job_is_yielded_once_with_its_name(count: int):
    assert sorted(pool.run(SQUARES, count)) == sorted((f"{number}", number**2) for number in range(20))


def test_jobs_that_end_their_process_are_lost_and_named_and_all_others_are_done():
    first, *others = ENDS
    deadly = {first: Job(ENDS[first], LONG), **SQUARES, **{name: Job(ENDS[name], LONG) for name in others}}
    done = dict(pool.here(deadly, 2))
    assert done == {name: job.work() for name, job in SQUARES.items()} | dict.fromkeys(ENDS, Lost(False))
    with pytest.raises(WorkerLost, match=f"during ({'|'.join(ENDS)}): "):
        list(pool.run(deadly, 2))


def test_a_job_that_hangs_is_ended_when_its_time_is_over_and_all_others_are_done():
    done = dict(pool.here({"hung": Job(hang, 0.5), **SQUARES}, 2))
    assert done.pop("hung") == Lost(late=True)
    assert done == {name: job.work() for name, job in SQUARES.items()}


def once(marker: Path, end: Callable[[], Any]) -> str:
    """End the process, but not a second time."""
    if not marker.exists():
        marker.touch()
        end()
    return "done"


@pytest.mark.parametrize("end", [partial(os._exit, 1), hang], ids=["dies", "hangs"])
def test_a_job_that_is_lost_once_is_done_when_it_is_alone(end: Callable[[], Any], tmp_path: Path):
    jobs = {"twice": Job(partial(once, tmp_path / "marker", end), 5.0), **SQUARES}
    assert dict(pool.here(jobs, 2))["twice"] == "done"


class Loaded:
    """Something large."""


def test_what_jobs_are_given_is_loaded_here_in_their_order_and_not_all_at_once():
    order: list[int] = []
    held: WeakSet[Loaded] = WeakSet()
    most = []

    def load(number: int) -> Loaded:
        order.append(number)
        held.add(loaded := Loaded())
        most.append(len(held))
        return loaded

    jobs = {number: Job(type, LONG, partial(load, number)) for number in range(40)}
    assert dict(pool.here(jobs, 2)) == dict.fromkeys(jobs, Loaded)
    assert order == list(jobs)
    assert max(most) < 10
    assert dict(pool.here(jobs, 1)) == dict.fromkeys(jobs, Loaded)


def refuse():
    raise StaleWorker()


def run_out():
    raise TimeoutError("the job's own")


@pytest.mark.parametrize(("work", "error"), [(partial(divmod, 1, 0), ZeroDivisionError), (run_out, TimeoutError)])
@pytest.mark.parametrize("count", [1, 2])
def test_an_error_in_a_job_is_raised_here(work: Callable[[], Any], error: type[Exception], count: int):
    with pytest.raises(error):
        list(pool.run({"x": Job(work, LONG)}, count))


def test_a_user_error_keeps_its_words():
    with pytest.raises(StaleWorker, match="different code"):
        list(pool.run({"x": Job(refuse, LONG)}, 2))


PARENT = """
from functools import partial
from test_pool import hang
from cycle_sound.io import pool
from cycle_sound.io.pool import Job
list(pool.here({name: Job(hang, 1000.0) for name in "ab"}, 2))
"""


def test_a_run_that_is_killed_leaves_no_process():
    around = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    parent = subprocess.Popen([sys.executable, "-c", PARENT], env=around)
    try:
        while len(workers := psutil.Process(parent.pid).children(recursive=True)) < 2:
            time.sleep(0.02)
    finally:
        parent.kill()
        parent.wait()
    _, left = psutil.wait_procs(workers, timeout=60)
    assert not left


def test_the_same_happens_on_a_cluster(monkeypatch: pytest.MonkeyPatch):
    dask = pytest.importorskip("dask")
    distributed = pytest.importorskip("distributed", reason="needs the extra `dask`")
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster,
    ):
        monkeypatch.setenv(pool.SCHEDULER, cluster.scheduler_address)
        assert sorted(pool.run(SQUARES, -1)) == sorted((f"{number}", number**2) for number in range(20))
        loaded: list[int] = []
        done: list[tuple[int, int]] = []
        ahead = []

        def load(number: int) -> int:
            loaded.append(number)
            ahead.append(len(loaded) - len(done))
            return number

        for entry in pool.run({number: Job(abs, LONG, partial(load, number)) for number in range(20)}, -1):
            done.append(entry)
        assert sorted(done) == [(number, number) for number in range(20)]
        assert loaded == list(range(20))
        assert max(ahead) <= pool.UNDER_WAY + 1
        with pytest.raises(ZeroDivisionError):
            list(pool.run({"x": Job(partial(divmod, 1, 0), LONG)}, -1))
        with pytest.raises(WorkerLost, match=r"during deadly\.tar"):
            list(pool.run({"deadly.tar": Job(partial(os._exit, 1), LONG)}, -1))


def test_a_cluster_that_does_not_answer_is_one_clear_line(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("distributed", reason="needs the extra `dask`")
    monkeypatch.setattr(pool, "CONNECT", 0.5)
    monkeypatch.setenv(pool.SCHEDULER, "tcp://127.0.0.1:1")
    with pytest.raises(NoCluster, match=r"no Dask scheduler with a worker answers at tcp://127\.0"):
        list(pool.run(SQUARES, -1))


def test_a_cluster_without_the_package_is_one_clear_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.setenv(pool.SCHEDULER, "tcp://127.0.0.1:1")
    with pytest.raises(MissingPackage, match=r"CYCLE_SOUND_DASK needs Dask: pip install 'cycle-sound\[dask\]'"):
        list(pool.run(SQUARES, -1))
