"""Processes of this machine that work on items one at a time."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any

from swath.errors import ResourceError
from swath.failures import Failure
from swath.jobs.job import AHEAD, Job
from swath.jobs.outcome import Done, answer, died, packed, unpacked, unsendable

_PATIENCE_S = 5.0


@dataclass(eq=False)
class _Worker:
    """A process and the position of the item it is working on."""

    process: Any
    pipe: Connection
    ready: bool = False
    at: int | None = None


@dataclass(eq=False)
class Team:
    """The workers of a job, and where each item stands."""

    items: Sequence[Any]
    work: Callable[[Any], Any]
    job: Job
    workers: list[_Worker] = field(default_factory=list)
    outcomes: dict[int, Done | Failure] = field(default_factory=dict)
    deaths: dict[int, int] = field(default_factory=dict)
    stillborn: int = 0

    def run(self) -> Generator[Done | Failure, None, None]:
        """The outcomes in the order of the items."""
        waiting = deque(range(len(self.items)))
        try:
            for turn in range(len(self.items)):
                while turn not in self.outcomes:
                    self._hire(len(waiting) + sum(worker.at is not None for worker in self.workers))
                    self._hand_out(waiting, turn + AHEAD * self.job.workers)
                    self._listen(waiting)
                yield self.outcomes.pop(turn)
        finally:  # also where the caller stops early, or the user does
            self._dismiss()

    def _hire(self, open_items: int) -> None:
        """Start workers until there are enough for the items that are left."""
        context = multiprocessing.get_context("spawn")
        while len(self.workers) < min(self.job.workers, open_items):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, self.work, self.job.stage), daemon=True)
            try:
                process.start()
            except (pickle.PicklingError, AttributeError, TypeError) as error:
                raise unsendable(error) from error
            except OSError as error:
                raise _no_workers(str(error)) from error
            theirs.close()
            self.workers.append(_Worker(process, ours))

    def _hand_out(self, waiting: deque[int], limit: int) -> None:
        for worker in self.workers:
            if not (worker.ready and worker.at is None and waiting and waiting[0] < limit):
                continue
            position = waiting.popleft()
            message = packed(self.items[position], self.job.stage)
            if isinstance(message, Failure):
                self.outcomes[position] = message
                continue
            try:
                worker.pipe.send_bytes(message)
            except OSError:  # it died while idle, which its pipe will tell; the item waits for another
                waiting.appendleft(position)
                continue
            worker.at = position

    def _listen(self, waiting: deque[int]) -> None:
        """Wait for an answer or a death."""
        if self.outcomes and not any(worker.at is not None or not worker.ready for worker in self.workers):
            return
        for pipe in wait([worker.pipe for worker in self.workers]):
            worker = next(each for each in self.workers if each.pipe is pipe)
            try:
                message = worker.pipe.recv_bytes()
            except (EOFError, OSError):
                self._bury(worker, waiting)
                continue
            if not worker.ready:
                worker.ready, self.stillborn = True, 0
                continue
            assert worker.at is not None  # a worker speaks only when it was given an item
            self.outcomes[worker.at], worker.at = unpacked(message, self.job.stage), None

    def _bury(self, worker: _Worker, waiting: deque[int]) -> None:
        """A worker died: its item is tried again or fails."""
        worker.pipe.close()
        worker.process.join()
        self.workers.remove(worker)
        how = cause_of_death(worker.process.exitcode)
        if not worker.ready:
            self.stillborn += 1
            if self.stillborn > self.job.workers:
                raise _no_workers(f"a worker {how} before it could begin")
        if worker.at is None:
            return
        position, times = worker.at, self.deaths.get(worker.at, 0) + 1
        self.deaths[position] = times
        if times <= self.job.retries:
            waiting.appendleft(position)
            return
        self.outcomes[position] = died(self.job.stage, how, times)

    def _dismiss(self) -> None:
        for worker in self.workers:
            worker.pipe.close()  # an idle worker ends by itself
            if worker.at is not None or not worker.ready:
                worker.process.terminate()
        for worker in self.workers:
            worker.process.join(_PATIENCE_S)
            if worker.process.exitcode is None:
                worker.process.kill()
                worker.process.join()
        self.workers.clear()


def cause_of_death(code: int | None) -> str:
    """What an exit status says: ``was killed by SIGKILL (...)`` or ``ended with status 3``.

    >>> cause_of_death(3)
    'ended with status 3'
    """
    if code is None or code >= 0:
        return f"ended with status {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hints = {
        "SIGKILL": " (usually the system ran out of memory)",
        "SIGSEGV": " (a crash inside a library)",
        "SIGBUS": " (a crash inside a library, or a file that shrank)",
        "SIGABRT": " (a library gave up)",
    }
    return f"was killed by {name}{hints.get(name, '')}"


def _serve(pipe: Connection, work: Callable[[Any], Any], stage: str) -> None:
    """The life of a worker: items in, outcomes out, until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears Ctrl-C, and ends its workers
    pipe.send_bytes(b"ready")
    while True:
        try:
            message = pipe.recv_bytes()
        except (EOFError, OSError):
            return
        try:
            pipe.send_bytes(answer(work, message, stage))
        except OSError:
            return


def _no_workers(why: str) -> ResourceError:
    return ResourceError(
        f"No worker process can be started: {why}",
        expected="memory and rights for one more process; in a script, a start under 'if __name__ == \"__main__\":'",
        remedy=f"use fewer workers (this machine has {os.cpu_count()} cores), or workers=0 to work in this process",
    )
