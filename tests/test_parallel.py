"""Jobs on processes or a cluster: what happens when it goes wrong."""

import os
import sys

import joblib
import pytest

from cycle_sound import parallel


def test_every_job_is_yielded_once_with_its_name():
    jobs = {f"{number}": joblib.delayed(pow)(number, 2) for number in range(20)}
    for workers in (1, 2):
        assert sorted(parallel.run(jobs, workers)) == sorted((f"{number}", number**2) for number in range(20))


def test_a_job_that_always_kills_its_worker_is_named_after_a_few_rounds():
    jobs = {"whole.tar": joblib.delayed(pow)(1, 1), "deadly.tar": joblib.delayed(os._exit)(1)}
    with pytest.raises(parallel.WorkerLost, match=r"over deadly\.tar"):
        list(parallel.run(jobs, 2))


def test_an_error_in_a_job_is_raised_here():
    with pytest.raises(ZeroDivisionError):
        list(parallel.run({"x": joblib.delayed(divmod)(1, 0)}, 2))


def test_the_same_happens_on_a_cluster(monkeypatch: pytest.MonkeyPatch):
    dask = pytest.importorskip("dask")
    distributed = pytest.importorskip("distributed", reason="needs the extra `dask`")
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster,
    ):
        monkeypatch.setenv(parallel.SCHEDULER, cluster.scheduler_address)
        jobs = {f"{number}": joblib.delayed(pow)(number, 2) for number in range(20)}
        assert sorted(parallel.run(jobs)) == sorted((f"{number}", number**2) for number in range(20))
        with pytest.raises(ZeroDivisionError):
            list(parallel.run({"x": joblib.delayed(divmod)(1, 0)}))
        with pytest.raises(parallel.WorkerLost, match=r"over deadly\.tar"):
            list(parallel.run({"deadly.tar": joblib.delayed(os._exit)(1)}))


def test_a_cluster_that_does_not_answer_is_one_clear_line(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("distributed", reason="needs the extra `dask`")
    monkeypatch.setattr(parallel, "CONNECT", 0.5)
    monkeypatch.setenv(parallel.SCHEDULER, "tcp://127.0.0.1:1")
    with pytest.raises(ValueError, match=r"no Dask scheduler with a worker answers at tcp://127\.0"):
        list(parallel.run({"x": joblib.delayed(pow)(1, 1)}))


def test_a_cluster_without_the_package_is_one_clear_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.setenv(parallel.SCHEDULER, "tcp://127.0.0.1:1")
    with pytest.raises(ValueError, match=r"pip install 'cycle-sound\[dask\]'"):
        list(parallel.run({"x": joblib.delayed(pow)(1, 1)}))
