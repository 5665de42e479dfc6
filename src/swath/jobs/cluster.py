"""Workers of a dask cluster that work on items one at a time.

Dask counts every task that lay on a worker when it died as suspicious. So no more items are under way than there are
workers, and an item whose worker died is tried again alone, as often as there are retries and once more: then it is
known whose fault it was, and a neighbour is never blamed. A scheduler elsewhere may itself try an item on
``allowed-failures`` further workers before it says so.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import threading
import uuid
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask

import swath
from swath.errors import ResourceError, require
from swath.failures import Failure
from swath.jobs.address import local_workers
from swath.jobs.job import AHEAD, Job
from swath.jobs.outcome import Done, answer, died, packed, unpacked, unsendable

if TYPE_CHECKING:
    from distributed import Client, Future

ANSWER_S = 10.0
"""Seconds in which a scheduler has to answer."""

WORKERS_S = 60.0
"""Seconds that a job waits for a cluster without workers, such as while one is started again."""

_LOOK_S = 1.0


def on_cluster(items: Sequence[Any], work: Callable[[Any], Any], job: Job) -> Generator[Done | Failure, None, None]:
    """The outcomes in the order of the items.

    Raises:
        MissingError: the extra ``cluster`` is not installed.
        ContractError: ``work`` cannot be sent to another process.
        ResourceError: the scheduler does not answer or was lost, or its workers cannot do the job.
    """
    require("distributed", "cluster")
    if not items:
        return
    with _parcel(work, job) as parcel, _connected(job.cluster) as client:
        _check_workers(client, job.cluster)
        crowd = _Crowd(client, items, parcel, job)
        try:
            yield from crowd.run()
        finally:  # also where the caller stops early, or the user does
            client.cancel(list(crowd.flying))


@dataclass(eq=False)
class _Crowd:
    """Where each item stands."""

    client: Client
    items: Sequence[Any]
    parcel: bytes | str
    job: Job
    flying: dict[Future[bytes], int] = field(default_factory=dict)
    outcomes: dict[int, Done | Failure] = field(default_factory=dict)
    suspects: deque[int] = field(default_factory=deque)
    deaths: dict[int, int] = field(default_factory=dict)
    alone: bool = False
    idle_s: float = 0.0

    def run(self) -> Generator[Done | Failure, None, None]:
        """The outcomes in the order of the items."""
        waiting = deque(range(len(self.items)))
        for turn in range(len(self.items)):
            while turn not in self.outcomes:
                self._send(waiting, turn)
                self._listen()
            yield self.outcomes.pop(turn)

    def _send(self, waiting: deque[int], turn: int) -> None:
        """One item a worker; a suspect has the cluster to itself."""
        if self.flying and (self.alone or self.suspects):
            return
        self.alone = bool(self.suspects)
        if self.alone:
            self._submit(self.suspects.popleft())
            return
        workers = max(1, len(self.client.nthreads()))
        while waiting and len(self.flying) < workers and waiting[0] < turn + AHEAD * workers:
            self._submit(waiting.popleft())

    def _submit(self, position: int) -> None:
        message = packed(self.items[position], self.job.stage)
        if isinstance(message, Failure):
            self.outcomes[position] = message
            return
        arguments = (self.parcel, message, self.job.stage, os.getcwd())
        self.flying[self.client.submit(serve, *arguments, key=f"swath-{uuid.uuid4().hex}", pure=False)] = position

    def _listen(self) -> None:
        """Wait for an answer or a death."""
        from distributed import wait

        if not self.flying:
            return
        try:
            with self.client.as_current():
                done = wait(list(self.flying), timeout=_LOOK_S, return_when="FIRST_COMPLETED").done
        except TimeoutError:
            self._look()
            return
        self.idle_s = 0.0
        for future in done:
            self._take(future, self.flying.pop(future))

    def _take(self, future: Future[bytes], position: int) -> None:
        from distributed import KilledWorker

        if future.status in ("cancelled", "lost"):
            raise _lost(self.job.cluster)
        try:
            self.outcomes[position] = unpacked(future.result(), self.job.stage)
        except KilledWorker:
            self._bury(position)
        except Exception as error:  # what dask itself could not do with the item, such as want of memory
            self.outcomes[position] = Failure.of("", self.job.stage, error)

    def _bury(self, position: int) -> None:
        """A worker died: its item is tried again alone, or fails.

        A death in company does not count where there are retries: the item may have been sent to a worker that was
        dying of its neighbour, and never begun.
        """
        counts = self.alone or self.job.retries == 0
        times = self.deaths[position] = self.deaths.get(position, 0) + counts
        if times > self.job.retries:
            self.outcomes[position] = died(self.job.stage, "died (usually for want of memory)", times)
        else:
            self.suspects.append(position)

    def _look(self) -> None:
        """Nothing happened for a while: see whether anybody is there."""
        if self.client.status != "running":
            raise _lost(self.job.cluster)
        self.idle_s = 0.0 if self.client.nthreads() else self.idle_s + _LOOK_S
        if self.idle_s >= WORKERS_S:
            raise _without_workers(self.job.cluster)


def serve(parcel: bytes | str, message: bytes, stage: str, folder: str) -> bytes:
    """Work on one item in a worker; nothing else of this job runs in its process meanwhile.

    Relative paths mean what they mean where the job was started, and dask arrays are computed in this process: asked
    without a scheduler, dask would hand them to the cluster and wait for a worker that waits for them.
    """
    with _one_at_a_time, dask.config.set(scheduler="threads"), _in_folder(folder):
        return answer(_work_of(parcel), message, stage)


_one_at_a_time = threading.Lock()
_held: list[tuple[bytes | str, Callable[[Any], Any]]] = []
"""The work that this process did last, so that what it has loaded is still there for the next item."""


def _work_of(parcel: bytes | str) -> Callable[[Any], Any]:
    import cloudpickle

    if not _held or _held[0][0] != parcel:
        content = Path(parcel).read_bytes() if isinstance(parcel, str) else parcel
        _held[:] = [(parcel, cloudpickle.loads(content))]
    return _held[0][1]


@contextlib.contextmanager
def _in_folder(folder: str) -> Iterator[None]:
    if os.getcwd() == folder:
        yield
        return
    with contextlib.chdir(folder):
        yield


@contextlib.contextmanager
def _parcel(work: Callable[[Any], Any], job: Job) -> Iterator[bytes | str]:
    """The work as it travels: itself, or the file it lies in."""
    import cloudpickle

    try:
        content = cloudpickle.dumps(work)
    except Exception as error:  # pickling runs the code of its parts
        raise unsendable(error) from error
    if job.shared is None:
        yield content
        return
    path = job.shared.resolve() / f"work-{uuid.uuid4().hex}"
    try:
        path.write_bytes(content)
        yield str(path)
    finally:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def _connected(cluster: str) -> Iterator[Client]:
    """A client of the cluster; of one on this machine, also the cluster."""
    from distributed import Client

    processes = local_workers(cluster)
    if not processes:
        try:
            client = Client(cluster, timeout=ANSWER_S, set_as_default=False)
        except (OSError, ValueError) as error:
            raise _silent(cluster, error) from error
        with client:
            yield client
        return
    with local_cluster(processes) as address, Client(address, set_as_default=False) as client:
        yield client


@contextlib.contextmanager
def local_cluster(processes: int) -> Iterator[str]:
    """A cluster on this machine, of processes with one thread each; gives the address of its scheduler.

    Its scheduler tells of every death, so that tries are counted here alone, and waits for a worker that starts again
    as long as it takes: after 15 seconds, dask's default, a busy machine would be left without workers.
    """
    from distributed import LocalCluster

    settings = {
        "distributed.scheduler.allowed-failures": 0,
        "distributed.deploy.lost-worker-timeout": "1 hour",
        "distributed.comm.timeouts.connect": "60s",
    }
    with (
        tempfile.TemporaryDirectory(prefix="swath-", ignore_cleanup_errors=True) as folder,
        dask.config.set(settings),
        LocalCluster(
            processes,
            threads_per_worker=1,
            memory_limit=0,
            dashboard_address=":0",
            silence_logs=logging.CRITICAL,
            local_directory=folder,
        ) as cluster,
    ):
        yield str(cluster.scheduler_address)


def _about(folder: str) -> tuple[str, bool]:
    """What a worker has to tell before it is given anything: its version, and whether it sees the folder."""
    return swath.__version__, os.path.isdir(folder)


def _check_workers(client: Client, cluster: str) -> None:
    """See that there are workers, of this version of swath, on the same disks."""
    try:
        client.wait_for_workers(1, timeout=WORKERS_S)
    except TimeoutError as error:
        raise _without_workers(cluster) from error
    try:
        told = client.run(_about, os.getcwd())
    except Exception as error:  # it cannot import swath, or died just now
        raise ResourceError(
            f"A worker of the cluster {cluster} cannot do the job ({type(error).__name__}: {error})",
            expected=f"workers with swath {swath.__version__} installed",
            remedy="start the workers in the environment that this command runs in",
        ) from error
    for worker, (version, sees) in sorted(told.items()):
        if version != swath.__version__ or not sees:
            raise ResourceError(
                f"The worker {worker} has swath {version}"
                if sees
                else f"The worker {worker} does not see the folder {os.getcwd()}",
                expected=f"swath {swath.__version__}, and the disks of this machine under the same names",
                remedy="start the workers in the environment and on the disks that this command runs on",
            )


def _silent(cluster: str, error: Exception) -> ResourceError:
    said = str(error).splitlines() or [type(error).__name__]
    return ResourceError(
        f"The scheduler {cluster} does not answer ({said[0]})",
        expected="a dask scheduler that runs and can be reached from here",
        remedy="start one with 'dask scheduler' and its workers with 'dask worker ADDRESS', or use local:2",
    )


def _lost(cluster: str) -> ResourceError:
    return ResourceError(
        f"The scheduler {cluster} was lost in the middle of the job",
        expected="a scheduler that lives as long as the job",
        remedy="start it again, and run the same command again; finished items are not repeated where they are kept",
    )


def _without_workers(cluster: str) -> ResourceError:
    return ResourceError(
        f"The cluster {cluster} has had no worker for {WORKERS_S:g} seconds",
        expected="at least one worker",
        remedy="start workers with 'dask worker ADDRESS'",
    )
