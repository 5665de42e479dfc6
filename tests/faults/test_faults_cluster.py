"""Jobs on a dask cluster: the same answers in the same order; a worker that dies costs its item, and nothing else."""

from __future__ import annotations

import functools
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_faults_workers import FAULTS, tries, work

import swath
from swath.errors import ConfigError, ContractError, MissingError, ResourceError
from swath.failures import Failures
from swath.jobs import Job, run_each

pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
DIED = "The process that worked on it died (usually for want of memory), 2 times"


def test_a_cluster_of_its_own_and_a_caller_who_leaves(tmp_path: Path) -> None:
    import multiprocessing

    running = run_each(["1", "2", "3"], functools.partial(work, tmp_path), job=Job(cluster="local:2"),
                       failures=Failures())  # fmt: skip
    assert next(running) == ("1", 1)
    running.close()  # type: ignore[attr-defined]
    assert not multiprocessing.active_children()


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """The address of a scheduler with two workers, such as somebody else may have started."""
    from swath.jobs.cluster import local_cluster

    with local_cluster(2) as address:
        yield address


def test_every_fault_costs_its_own_item_only(tmp_path: Path, scheduler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swath.jobs.cluster._LOOK_S", 0.01)  # many looks while a suspect is under way alone
    items = ["2", "killed", "3", "killed once", "4", "sentence", "5", "error", "unsendable", "6"]
    failures = Failures()
    job = Job(cluster=scheduler, stage="squaring", describe=lambda item: f"item {item}")
    done = list(run_each(items, functools.partial(work, tmp_path), job=job, failures=failures))
    assert done == [("2", 4), ("3", 9), ("killed once", "killed once"), ("4", 16), ("5", 25), ("6", 36)]
    told = {failure.item.removeprefix("item "): failure.reason for failure in failures}
    assert list(told) == ["killed", "sentence", "error", "unsendable"]
    assert told["killed"] == DIED
    assert (told["sentence"], told["error"]) == (FAULTS["sentence"], FAULTS["error"])
    assert "pickle" in told["unsendable"]
    # Twice alone, and before that in company, unless its worker was dying of another item when it came.
    assert len(set(tries(tmp_path, "killed"))) in (2, 3) and len(set(tries(tmp_path, "killed once"))) == 2
    assert len(tries(tmp_path, "sentence")) == 1  # an error is the same the second time
    assert all(failure.stage == "squaring" and failure.retry for failure in failures)


def where(folder: Path, item: int) -> tuple[int, str, str, int]:
    """Facts about the process that does an item."""
    import dask.array as da

    there = os.path.relpath(folder)
    (folder / str(item)).touch()
    # An array without a scheduler of its own: asked of the cluster, it would wait for the worker that waits for it.
    return item, there, os.getcwd(), int(da.ones(8, chunks=2).sum().compute())


def test_a_scheduler_elsewhere_does_the_same(tmp_path: Path, scheduler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before, failures = threading.active_count(), Failures()
    job = Job(cluster=scheduler, shared=tmp_path)
    running = run_each(range(9), functools.partial(where, Path(".")), job=job, failures=failures)
    assert next(running) == (0, (0, ".", str(tmp_path), 8))
    assert list(tmp_path.glob("work-*"))  # the work lies there while the job is under way
    assert [item for item, _ in running] == list(range(1, 9)) and not failures
    assert sorted(path.name for path in tmp_path.iterdir()) == [str(number) for number in range(9)]
    assert list(run_each([], where, job=job, failures=failures)) == []
    assert threading.active_count() <= before + 1


def test_one_clear_error_for_what_cannot_be_done(scheduler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(cluster: str, work: Any = str) -> None:
        list(run_each(["1"], work, job=Job(cluster=cluster), failures=Failures()))

    monkeypatch.setattr("swath.jobs.cluster.ANSWER_S", 0.3)
    with pytest.raises(ResourceError, match=r"tcp://127.0.0.1:9 does not answer.*dask scheduler"):
        run("tcp://127.0.0.1:9")
    with pytest.raises(ResourceError, match="does not answer"):
        run("carrier://pigeon:1")
    with pytest.raises(ContractError, match="cannot be sent"):
        run(scheduler, functools.partial(work, threading.Lock()))
    for bad in ("local", "local:0", "local:x", "somewhere", "tcp://host"):
        with pytest.raises(ConfigError, match="The cluster is"):
            Job(cluster=bad)
    with monkeypatch.context() as patch:
        patch.setattr(swath, "__version__", "0.0.9")
        with pytest.raises(ResourceError, match=r"has swath .*Expected: swath 0\.0\.9"):
            run(scheduler)
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingError, match=r"pip install 'swath\[cluster\]'"):
        run("local:2")


def test_a_cluster_without_workers_ends_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    from distributed import LocalCluster

    monkeypatch.setattr("swath.jobs.cluster.WORKERS_S", 0.3)
    with LocalCluster(n_workers=0, threads_per_worker=1, dashboard_address=":0", silence_logs=50) as cluster:
        job = Job(cluster=cluster.scheduler_address)
        with pytest.raises(ResourceError, match="no worker"):
            list(run_each(["1"], str, job=job, failures=Failures()))
