"""Work on many items in processes of their own: one that fails, or takes its process down, costs only itself."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from typing import Any, TypeVar

from swath.errors import ConfigError, ContractError, ResourceError
from swath.failures import Failure, Failures

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 4
"""Results a worker may be ahead of the oldest item under way, so that memory stays bounded."""
_PATIENCE_S = 5.0


@dataclass(frozen=True)
class Job:
    """How the items of a job are done.

    Args:
        workers: processes; 0 works in this one, where an item that takes the process down takes the job along.
        retries: how often an item whose worker died is tried again, each time in a fresh worker.
        stage: what is being done, for the failure table.
        describe: name of an item, for the failure table.
        progress: text of a progress bar on standard error; empty for none.

    Raises:
        ConfigError: a number is below 0.
    """

    workers: int = 1
    retries: int = 1
    stage: str = "work"
    describe: Callable[[Any], str] = str
    progress: str = ""

    def __post_init__(self) -> None:
        for name in ("workers", "retries"):
            if getattr(self, name) < 0:
                raise ConfigError(
                    f"{name} = {getattr(self, name)}", expected="a whole number of at least 0", remedy=f"change {name}"
                )


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
        ResourceError: no worker can be started.
    """
    done = _here(items, work, job) if job.workers == 0 else _Team(items, work, job).run()
    with _bar(job, len(items)) as advance:
        for item, outcome in zip(items, done, strict=True):
            advance()
            if isinstance(outcome, Failure):
                failures.add(replace(outcome, item=job.describe(item)))
            else:
                yield item, outcome.value


@dataclass(frozen=True)
class _Done:
    """A result on its way; wrapped, so that a result that is a Failure is not taken for one."""

    value: Any


def _here(items: Sequence[Any], work: Callable[[Any], Any], job: Job) -> Iterator[_Done | Failure]:
    for item in items:
        yield _attempt(work, item, job.stage)


def _attempt(work: Callable[[Any], Any], item: Any, stage: str) -> _Done | Failure:
    try:
        return _Done(work(item))
    except Exception as error:  # whatever it is, it belongs to this item
        return Failure.of("", stage, error)


@dataclass(eq=False)
class _Worker:
    """A process and the position of the item it is working on."""

    process: Any
    pipe: Connection
    ready: bool = False
    at: int | None = None


@dataclass(eq=False)
class _Team:
    """The workers of a job, and where each item stands."""

    items: Sequence[Any]
    work: Callable[[Any], Any]
    job: Job
    workers: list[_Worker] = field(default_factory=list)
    outcomes: dict[int, _Done | Failure] = field(default_factory=dict)
    deaths: dict[int, int] = field(default_factory=dict)
    stillborn: int = 0

    def run(self) -> Iterator[_Done | Failure]:
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
                raise ContractError(
                    f"The work cannot be sent to another process ({error})",
                    expected="a function at module level, with arguments that can be pickled",
                    remedy="move it out of the function it is defined in, or use workers=0",
                ) from error
            except OSError as error:
                raise _no_workers(str(error)) from error
            theirs.close()
            self.workers.append(_Worker(process, ours))

    def _hand_out(self, waiting: deque[int], limit: int) -> None:
        for worker in self.workers:
            if not (worker.ready and worker.at is None and waiting and waiting[0] < limit):
                continue
            position = waiting.popleft()
            try:
                message = bytes(ForkingPickler.dumps(self.items[position]))
            except Exception as error:  # pickling runs the item's own code
                self.outcomes[position] = Failure.of("", self.job.stage, error)
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
            self.outcomes[worker.at], worker.at = _unpacked(message, self.job.stage), None

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
        tries = "" if times == 1 else f", {times} times"
        self.outcomes[position] = Failure(
            "",
            self.job.stage,
            f"The process that worked on it {how}{tries}",
            "free memory, take smaller tiles or fewer workers, and run the same command again",
        )

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
            outcome = _attempt(work, pickle.loads(message), stage)
            answer = bytes(ForkingPickler.dumps(outcome))
        except Exception as error:  # an item or a result that does not survive the way
            answer = bytes(ForkingPickler.dumps(Failure.of("", stage, error)))
        try:
            pipe.send_bytes(answer)
        except OSError:
            return


def _unpacked(message: bytes, stage: str) -> _Done | Failure:
    try:
        outcome: _Done | Failure = pickle.loads(message)
        return outcome
    except Exception as error:  # unpickling runs the result's own code
        return Failure.of("", stage, error)


def _no_workers(why: str) -> ResourceError:
    return ResourceError(
        f"No worker process can be started: {why}",
        expected="memory and rights for one more process; in a script, a start under 'if __name__ == \"__main__\":'",
        remedy=f"use fewer workers (this machine has {os.cpu_count()} cores), or workers=0 to work in this process",
    )


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
