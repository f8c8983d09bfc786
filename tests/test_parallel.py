"""Jobs on processes or a cluster: what happens when it goes wrong."""

import os
import sys

import joblib
import pytest

from cycle_sound.dataset import pool
from cycle_sound.errors import MissingPackage, NoCluster, StaleWorker, WorkerLost


def test_every_job_is_yielded_once_with_its_name():
    jobs = {f"{number}": joblib.delayed(pow)(number, 2) for number in range(20)}
    for count in (1, 2):
        assert sorted(pool.run(jobs, count)) == sorted((f"{number}", number**2) for number in range(20))


def test_a_job_that_always_kills_its_worker_is_named_after_a_few_rounds():
    jobs = {"whole.tar": joblib.delayed(pow)(1, 1), "deadly.tar": joblib.delayed(os._exit)(1)}
    with pytest.raises(WorkerLost, match=r"over deadly\.tar"):
        list(pool.run(jobs, 2))


def refuse():
    raise StaleWorker()


def test_an_error_in_a_job_is_raised_here():
    with pytest.raises(ZeroDivisionError):
        list(pool.run({"x": joblib.delayed(divmod)(1, 0)}, 2))
    with pytest.raises(StaleWorker, match="other code"):
        list(pool.run({"x": joblib.delayed(refuse)()}, 2))


def test_the_same_happens_on_a_cluster(monkeypatch: pytest.MonkeyPatch):
    dask = pytest.importorskip("dask")
    distributed = pytest.importorskip("distributed", reason="needs the extra `dask`")
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster,
    ):
        monkeypatch.setenv(pool.SCHEDULER, cluster.scheduler_address)
        jobs = {f"{number}": joblib.delayed(pow)(number, 2) for number in range(20)}
        assert sorted(pool.run(jobs)) == sorted((f"{number}", number**2) for number in range(20))
        with pytest.raises(ZeroDivisionError):
            list(pool.run({"x": joblib.delayed(divmod)(1, 0)}))
        with pytest.raises(WorkerLost, match=r"over deadly\.tar"):
            list(pool.run({"deadly.tar": joblib.delayed(os._exit)(1)}))


def test_a_cluster_that_does_not_answer_is_one_clear_line(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("distributed", reason="needs the extra `dask`")
    monkeypatch.setattr(pool, "CONNECT", 0.5)
    monkeypatch.setenv(pool.SCHEDULER, "tcp://127.0.0.1:1")
    with pytest.raises(NoCluster, match=r"no Dask scheduler with a worker answers at tcp://127\.0"):
        list(pool.run({"x": joblib.delayed(pow)(1, 1)}))


def test_a_cluster_without_the_package_is_one_clear_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.setenv(pool.SCHEDULER, "tcp://127.0.0.1:1")
    with pytest.raises(MissingPackage, match=r"CYCLE_SOUND_DASK needs Dask: pip install 'cycle-sound\[dask\]'"):
        list(pool.run({"x": joblib.delayed(pow)(1, 1)}))
