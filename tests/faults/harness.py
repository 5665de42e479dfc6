"""Kill a job at a chosen moment, start it again, and compare what it leaves with an uninterrupted run.

Run as a script, because the children are forked: nothing may have started a thread before. A job is imported, prepared
and warmed up once; each kill point then costs a fork and the work itself.

    python tests/faults/harness.py FOLDER COUNT [JOB ...]   # COUNT kill points a job, 0 = every one; JSON lines

A *moment* is an event that the child counts: Python's audit events for opening a file for writing, renaming, removing,
making or removing a folder; and, since GDAL writes without telling Python, the beginning and the end of every call
that lets GDAL write. At moment n the child kills itself with SIGKILL. A second kind of kill comes from outside after a
part of the usual time, wherever the child then is.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

AUDITED = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "shutil.copyfile"}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
AGAIN = 5
"""Most starts after a kill until a job has to be finished."""


@dataclass(frozen=True)
class Job:
    """What is killed.

    Args:
        name: for reports.
        prepare: makes inputs in a folder; they stay as they are.
        run: does the work: inputs, output folder.
        look: opens the results as a user would; may raise swath's own errors only. True when there was a result.
        exceptions: what is left out of the comparison: file name -> function from bytes to what is compared.
        before: makes older results in the output folder, which the job then replaces.
    """

    name: str
    prepare: Callable[[Path], None]
    run: Callable[[Path, Path], object]
    look: Callable[[Path], bool]
    exceptions: dict[str, Callable[[bytes], object]] = field(default_factory=dict)
    before: Callable[[Path, Path], object] | None = None


@dataclass
class Account:
    """What was counted and what went wrong."""

    job: str
    moments: int = 0
    killed: int = 0
    killed_from_outside: int = 0
    starts: int = 0
    files: int = 0
    looked_whole: int = 0
    looked_refused: int = 0
    problems: list[str] = field(default_factory=list)


def results(folder: Path, job: Job) -> dict[str, object]:
    """Everything that lies in a folder, hidden leftovers included."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_file():
            content = path.read_bytes()
            found[name] = job.exceptions[path.name](content) if path.name in job.exceptions else content
        else:
            found[name] = "folder"
    return found


def in_child(work: Callable[[], object], *, kill_at: int = 0, kill_after: float = 0.0) -> tuple[int, int]:
    """Do something in a forked child; its exit status as ``os.waitstatus_to_exitcode`` has it, and its moments."""
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receive)
        status = 1
        try:
            moments = _count(kill_at)
            work()
            os.write(send, str(moments()).encode())
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    os.close(send)
    if kill_after:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    with os.fdopen(receive, "rb") as pipe:
        said = pipe.read()
    return os.waitstatus_to_exitcode(status), int(said or 0)


def _count(kill_at: int) -> Callable[[], int]:
    """Count moments from now on, in this process, which dies at moment ``kill_at``."""
    counted, mine = [0], os.getpid()

    def moment() -> None:
        if os.getpid() == mine:
            counted[0] += 1
            if counted[0] == kill_at:
                os.kill(mine, signal.SIGKILL)

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if event in AUDITED or (event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING):
            moment()

    import rasterio.io
    import rasterio.shutil

    for owner, name in ((rasterio.io.DatasetWriter, "write"), (rasterio.io.DatasetWriter, "close"),
                        (rasterio.shutil, "copy")):  # fmt: skip
        setattr(owner, name, _around(getattr(owner, name), moment))
    sys.addaudithook(hear)
    return lambda: counted[0]


def _around(call: Callable[..., Any], moment: Callable[[], None]) -> Callable[..., Any]:
    def counted(*given: Any, **named: Any) -> Any:
        moment()
        answer = call(*given, **named)
        moment()
        return answer

    return counted


def campaign(job: Job, folder: Path, count: int, *, seed: int = 0) -> Account:
    """Kill a job at ``count`` moments (0: at all of them) and, a fifth as often, from outside at any time."""
    account = Account(job.name)
    inputs, whole = folder / "inputs", folder / "whole"
    inputs.mkdir(parents=True)
    in_child(lambda: job.prepare(inputs))
    older = folder / "older"
    older.mkdir()
    if job.before is not None:
        before = job.before
        in_child(lambda: before(inputs, older))
    shutil.copytree(older, whole)
    began = time.perf_counter()
    status, account.moments = in_child(lambda: job.run(inputs, whole))
    took = time.perf_counter() - began
    if status != 0 or not account.moments:
        account.problems.append(f"the uninterrupted run ended with status {status} after {account.moments} moments")
        return account
    wanted = results(whole, job)
    account.files = len(wanted)
    drawn = random.Random(seed)
    moments = list(range(1, account.moments + 1))
    if 0 < count < len(moments):
        moments = sorted(drawn.sample(moments, count))
    plans: list[dict[str, Any]] = [{"kill_at": moment} for moment in moments]
    outside = -(-len(moments) // 5)
    plans += [{"kill_after": max(1e-3, drawn.uniform(0, took))} for _ in range(outside)]
    for plan in plans:
        _one(job, inputs, older, folder / "out", plan, wanted, account, drawn)
    return account


def _one(
    job: Job, inputs: Path, older: Path, out: Path, plan: dict[str, Any], wanted: dict[str, object], account: Account,
    drawn: random.Random,
) -> None:  # fmt: skip
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(older, out)
    status, _ = in_child(lambda: job.run(inputs, out), **plan)
    account.starts += 1
    if status == -signal.SIGKILL:
        account.killed += "kill_at" in plan
        account.killed_from_outside += "kill_after" in plan
    elif status != 0:
        account.problems.append(f"{plan}: ended with status {status}")
        return
    _look(job, out, plan, account)
    # Every other rerun is killed as well, once, before the last one is left alone.
    if drawn.random() < 0.5:
        again = drawn.randint(1, account.moments)
        account.starts += 1
        account.killed += in_child(lambda: job.run(inputs, out), kill_at=again)[0] == -signal.SIGKILL
        _look(job, out, {**plan, "then": again}, account)
    account.starts += 1
    status, _ = in_child(lambda: job.run(inputs, out))
    if status != 0:
        account.problems.append(f"{plan}: the rerun ended with status {status}")
        return
    got = results(out, job)
    differing = sorted(name for name in {*got, *wanted} if got.get(name) != wanted.get(name))
    if differing:
        account.problems.append(f"{plan}: after the rerun these differ: {', '.join(differing[:5])}")


def _look(job: Job, out: Path, plan: dict[str, Any], account: Account) -> None:
    """Between the kill and the rerun a user may look: whole results or a sentence."""
    from swath.errors import SwathError

    def look() -> None:
        try:
            whole = job.look(out)
        except SwathError:
            whole = False
        os._exit(0 if whole else 3)

    status, _ = in_child(look)
    if status == 0:
        account.looked_whole += 1
    elif status == 3:
        account.looked_refused += 1
    else:
        account.problems.append(f"{plan}: looking at the results ended with status {status}")


def main() -> None:
    folder, count = Path(sys.argv[1]), int(sys.argv[2])
    from kill_jobs import JOBS

    for number, name in enumerate(sys.argv[3:] or JOBS):
        print(json.dumps(vars(campaign(JOBS[name], folder / str(number), count))), flush=True)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
