"""Work on many items in processes of their own: one that fails, or takes its process down, costs only itself.

The processes are this one, several on this machine, or the workers of a dask cluster; results come in the order of the
items and do not depend on which it is.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any, TypeVar

from swath.failures import Failure, Failures
from swath.jobs.address import check_address, local_workers
from swath.jobs.job import AHEAD, Job
from swath.jobs.outcome import Done, attempt
from swath.jobs.processes import Team, cause_of_death

__all__ = ["AHEAD", "Job", "cause_of_death", "check_address", "local_workers", "run_each"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def run_each(
    items: Sequence[Item], work: Callable[[Item], Result], *, job: Job, failures: Failures
) -> Iterator[tuple[Item, Result]]:
    """Items and what ``work`` made of them, in the order of the items, whatever the number of workers.

    An item whose work raises an error goes to ``failures`` with the sentence of the error. One whose worker dies (a
    signal, a crash in a library, want of memory) is tried again in a fresh worker, and goes there if that dies too;
    the other items are not touched by either. Failures stand in the order of the items.

    Args:
        items: what to work on; items and results travel between processes by pickle.
        work: a function at module level, or a ``functools.partial`` of one. It runs many times in one process, and so
            may keep what is slow to load.
        job: how.
        failures: where items that could not be done are noted.

    Raises:
        ContractError: ``work`` cannot be sent to another process.
        ResourceError: no worker can be started, or the cluster does not answer.
        MissingError: a cluster was asked for, and the extra ``cluster`` is not installed.
    """
    with _bar(job, len(items)) as advance, closing(_outcomes(items, work, job)) as outcomes:
        for item, outcome in zip(items, outcomes, strict=True):
            advance()
            if isinstance(outcome, Failure):
                failures.add(replace(outcome, item=job.describe(item)))
            else:
                yield item, outcome.value


def _outcomes(items: Sequence[Any], work: Callable[[Any], Any], job: Job) -> Generator[Done | Failure, None, None]:
    if job.cluster:
        from swath.jobs.cluster import on_cluster

        return on_cluster(items, work, job)
    if job.workers == 0:
        return (attempt(work, item, job.stage) for item in items)
    return Team(items, work, job).run()


class _bar:
    """A progress bar over the items of a job; the block gets a function that advances it by one."""

    def __init__(self, job: Job, total: int) -> None:
        self.text, self.total = job.progress, total

    def __enter__(self) -> Callable[[], None]:
        if not self.text:
            return lambda: None
        from rich.console import Console
        from rich.progress import Progress

        self.bar = Progress(console=Console(stderr=True))
        self.bar.start()
        line = self.bar.add_task(self.text, total=self.total)
        return lambda: self.bar.advance(line)

    def __exit__(self, *error: object) -> None:
        if self.text:
            self.bar.stop()
