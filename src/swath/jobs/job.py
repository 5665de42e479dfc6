"""What a job is: where its items are done, how often each is tried, and what it is called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swath.errors import ConfigError
from swath.jobs.address import check_address

AHEAD = 4
"""Results a worker may be ahead of the oldest item under way, so that memory stays bounded."""


@dataclass(frozen=True)
class Job:
    """How the items of a job are done.

    Args:
        workers: processes; 0 works in this one, where an item that takes the process down takes the job along. Of no
            account with ``cluster``.
        retries: how often an item whose worker died is tried again, each time in a fresh worker.
        stage: what is being done, for the failure table.
        describe: name of an item, for the failure table.
        progress: text of a progress bar on standard error; empty for none.
        cluster: a dask cluster that does the items instead: ``local:2`` for one of two processes that lives as long as
            the job, or the address of a scheduler; empty for none.
        shared: a folder that all workers of the cluster see, in which the work lies while it is done; None sends it
            along with every item, which suits work that is small.

    Raises:
        ConfigError: a number is below 0, or the cluster is neither form.
    """

    workers: int = 1
    retries: int = 1
    stage: str = "work"
    describe: Callable[[Any], str] = str
    progress: str = ""
    cluster: str = ""
    shared: Path | None = None

    def __post_init__(self) -> None:
        for name in ("workers", "retries"):
            if getattr(self, name) < 0:
                raise ConfigError(
                    f"{name} = {getattr(self, name)}", expected="a whole number of at least 0", remedy=f"change {name}"
                )
        if self.cluster:
            check_address(self.cluster)
