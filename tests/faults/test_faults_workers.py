"""Jobs in processes of their own: a worker that dies costs its item, and nothing else."""

from __future__ import annotations

import functools
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from swath.errors import ConfigError, ContractError, InputError, ResourceError
from swath.failures import Failures
from swath.jobs import Job, cause_of_death, run_each


def work(folder: Path, item: str) -> Any:
    """What an item says: a number is squared, everything else is a fault."""
    if item.isdigit():
        time.sleep(0.02 * (int(item) % 3))  # so that workers finish out of order
        return int(item) ** 2
    with (folder / f"{item}.tries").open("a") as file:
        file.write(f"{os.getpid()}\n")
    if item == "killed" or (item == "killed once" and len(tries(folder, item)) == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    if item == "crashed":
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGSEGV)
    if item == "left":
        os._exit(3)
    if item == "asked to leave":
        raise SystemExit(5)
    if item == "sentence":
        raise InputError("The file is a poem", expected="a raster", remedy="read it aloud")
    if item == "error":
        raise Unkind("no pickle holds me")
    if item == "unsendable":
        return lambda: None
    if item == "unreceivable":
        return Unkind("only one argument survives", also=1)
    return item


class Unkind(Exception):
    """An error that cannot be pickled back: its arguments do not suit it."""

    def __init__(self, text: str, *, also: int = 0) -> None:
        super().__init__(text, also)


def tries(folder: Path, item: str) -> list[str]:
    return (folder / f"{item}.tries").read_text().split()


FAULTS = {
    "killed": "The process that worked on it was killed by SIGKILL (usually the system ran out of memory), 2 times",
    "crashed": "The process that worked on it was killed by SIGSEGV (a crash inside a library), 2 times",
    "left": "The process that worked on it ended with status 3, 2 times",
    "asked to leave": "The process that worked on it ended with status 5, 2 times",
    "sentence": "The file is a poem",
    "error": "Unkind: ('no pickle holds me', 0)",
}


@pytest.mark.parametrize("workers", [1, 3])
def test_every_fault_costs_its_own_item_only(tmp_path: Path, workers: int) -> None:
    items = ["2", "killed", "3", "killed once", "crashed", "4", "left", "sentence", "5", "error", "asked to leave", "6"]
    failures = Failures()
    job = Job(workers=workers, stage="squaring", describe=lambda item: f"item {item}")
    done = list(run_each(items, functools.partial(work, tmp_path), job=job, failures=failures))
    assert done == [("2", 4), ("3", 9), ("killed once", "killed once"), ("4", 16), ("5", 25), ("6", 36)]
    assert [failure.item for failure in failures] == [f"item {item}" for item in items if item in FAULTS]
    assert {failure.item.removeprefix("item "): failure.reason for failure in failures} == FAULTS
    assert all(failure.stage == "squaring" and failure.retry for failure in failures)
    assert next(failure.retry for failure in failures if "sentence" in failure.item) == "read it aloud"
    assert len(set(tries(tmp_path, "killed"))) == 2 and len(set(tries(tmp_path, "killed once"))) == 2
    assert len(tries(tmp_path, "sentence")) == 1  # an error is the same the second time


def test_what_cannot_travel_is_a_failure_of_its_item(tmp_path: Path) -> None:
    failures = Failures()
    items: list[Any] = ["1", "unsendable", "unreceivable", "2"]
    done = list(run_each(items, functools.partial(work, tmp_path), job=Job(), failures=failures))
    assert done == [("1", 1), ("2", 4)] and [failure.item for failure in failures] == ["unsendable", "unreceivable"]
    failures = Failures()
    assert list(run_each([lambda: 1, "2"], functools.partial(work, tmp_path), job=Job(), failures=failures)) == [
        ("2", 4)
    ]
    assert len(failures) == 1


def test_work_in_this_process_gives_the_same(tmp_path: Path) -> None:
    failures = Failures()
    done = list(
        run_each(["1", "sentence", "3"], functools.partial(work, tmp_path), job=Job(workers=0), failures=failures)
    )
    assert done == [("1", 1), ("3", 9)] and [failure.reason for failure in failures] == ["The file is a poem"]
    assert list(run_each([], functools.partial(work, tmp_path), job=Job(workers=2), failures=failures)) == []


def test_stopping_early_ends_the_workers(tmp_path: Path) -> None:
    import multiprocessing

    for stop in (KeyboardInterrupt, GeneratorExit):
        running = run_each(["1", "2", "3", "4", "5", "6"], functools.partial(work, tmp_path), job=Job(workers=2),
                           failures=Failures())  # fmt: skip
        assert next(running) == ("1", 1)
        if stop is GeneratorExit:
            running.close()
        else:
            with pytest.raises(KeyboardInterrupt):
                running.throw(KeyboardInterrupt)
        assert not multiprocessing.active_children()


def test_bad_requests() -> None:
    with pytest.raises(ConfigError, match="workers = -1"):
        Job(workers=-1)
    with pytest.raises(ConfigError, match="retries = -2"):
        Job(retries=-2)
    with pytest.raises(ContractError, match="cannot be sent to another process"):
        list(run_each(["1"], lambda item: item, job=Job(), failures=Failures()))


def test_workers_that_cannot_begin_end_the_job() -> None:
    with pytest.raises(ResourceError, match="before it could begin"):
        list(run_each(["1", "2"], Stillborn(), job=Job(workers=2), failures=Failures()))


class Stillborn:
    """Work that ends the process which unpacks it."""

    def __call__(self, item: str) -> str:
        return item

    def __reduce__(self) -> tuple[Any, ...]:
        return (os._exit, (9,))


@pytest.mark.parametrize(
    ("code", "text"),
    [(0, "ended with status 0"), (3, "ended with status 3"), (-11, "was killed by SIGSEGV"),
     (-9, "was killed by SIGKILL"),
     (-7, "was killed by SIGBUS"), (-99, "was killed by signal 99"), (None, "ended with status None")],
)  # fmt: skip
def test_causes_of_death(code: int | None, text: str) -> None:
    assert cause_of_death(code).startswith(text)
