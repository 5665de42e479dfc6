"""Every verb that writes, on disks of every size. A disk is a tmpfs that is mounted for one attempt.

python tests/faults/disk_jobs.py FOLDER LEVELS [JOB ...]   # JSON lines; needs the right to mount
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from swath.errors import ResourceError

PLENTY_KB = 16_384
FULL_KB = 65_536


@dataclass(frozen=True)
class DiskJob:
    """Something that writes.

    Args:
        name: of the job in ``kill_jobs``.
        older: whether an older result lies there already, which has to survive a failure.
    """

    name: str
    older: bool = False


@dataclass
class Tried:
    """What happened on disks of several sizes."""

    job: str
    levels: int = 0
    refused: int = 0
    finished: int = 0
    problems: list[str] = field(default_factory=list)


JOBS = {
    job.name: job
    for job in (
        DiskJob("data make"),
        DiskJob("chips cut"),
        DiskJob("chips cut over older", older=True),
        DiskJob("train"),
        DiskJob("predict"),
        DiskJob("write_cog over older", older=True),
        DiskJob("evaluate"),
        DiskJob("vectorise"),
        DiskJob("predict many"),
        DiskJob("evidence over older", older=True),
    )
}


@contextlib.contextmanager
def mounted(folder: Path, kilobytes: int) -> Iterator[Path]:
    """A disk of a given size for the time of the block."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def try_all(folder: Path, levels: int) -> dict[str, Tried]:
    """Start the script that does it, in a process of its own, from which attempts are forked."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}
    command = [sys.executable, __file__, str(folder), str(levels)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return {tried.job: tried for tried in (Tried(**json.loads(line)) for line in done.stdout.splitlines())}


def resize(disk: Path, kilobytes: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", str(disk)], check=True)


def used_kb(folder: Path) -> int:
    status = os.statvfs(folder)
    return (status.f_blocks - status.f_bfree) * status.f_frsize // 1024


def sizes(job: DiskJob, folder: Path, levels: int) -> Tried:
    """The job on ``levels`` disks, from too small for anything to large enough."""
    import kill_jobs
    from harness import in_child, results

    work = kill_jobs.JOBS[job.name]
    tried, inputs, older, disk = Tried(job.name), folder / "inputs", folder / "older", folder / "disk"
    inputs.mkdir(parents=True)
    older.mkdir()
    in_child(lambda: work.prepare(inputs))
    if work.before is not None:
        before = work.before
        in_child(lambda: before(inputs, older))
    with mounted(disk, FULL_KB):
        shutil.copytree(older, disk / "out")
        assert in_child(lambda: work.run(inputs, disk / "out"))[0] == 0
        wanted = results(disk / "out", work)
    for level in range(levels):
        # Room beside what lies there already: from nothing to plenty, each time more by the same factor.
        room = round(PLENTY_KB ** (level / max(1, levels - 1))) - 1
        tried.levels += 1
        with mounted(disk, FULL_KB):
            shutil.copytree(older, disk / "out")
            size = used_kb(disk) + room
            resize(disk, size)
            status, _ = in_child(lambda: attempt(work.run, inputs, disk / "out"))
            if status == 0:
                tried.finished += 1
                if results(disk / "out", work) != wanted:
                    tried.problems.append(f"{size} kB: finished, and the results differ")
                continue
            if status != ResourceError.exit_code:
                tried.problems.append(f"{size} kB: ended with status {status}, not with a sentence")
                continue
            tried.refused += 1
            check_after(work, inputs, older, disk, size, tried, wanted, job)
    return tried


def check_after(work, inputs, older, disk, size, tried, wanted, job) -> None:  # type: ignore[no-untyped-def]
    from harness import in_child, results

    if job.older and results(disk / "out", work) != results(older, work) and not may_differ(disk / "out", work):
        tried.problems.append(f"{size} kB: the older results were touched")
    hidden = [path.name for path in (disk / "out").rglob(".*") if ".part" in path.name or ".ready" in path.name]
    if hidden:
        tried.problems.append(f"{size} kB: left behind: {', '.join(hidden)}")
    resize(disk, FULL_KB)
    status, _ = in_child(lambda: work.run(inputs, disk / "out"))
    if status != 0 or results(disk / "out", work) != wanted:
        tried.problems.append(f"{size} kB: after room was made, status {status} or other results")


def may_differ(out: Path, work) -> bool:  # type: ignore[no-untyped-def]
    """Of several files that belong together some may be new, as long as the reader refuses the mixture."""
    from harness import in_child

    from swath.errors import SwathError

    def look() -> None:
        try:
            work.look(out)
        except SwathError:
            os._exit(3)

    return in_child(look)[0] == 3


def attempt(run: Callable[[Path, Path], object], inputs: Path, out: Path) -> None:
    """The job; ends the process with the exit status that the command line would have."""
    try:
        run(inputs, out)
    except ResourceError as error:
        os._exit(error.exit_code)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def main() -> None:
    folder, levels = Path(sys.argv[1]), int(sys.argv[2])
    for number, name in enumerate(sys.argv[3:] or JOBS):
        print(json.dumps(vars(sizes(JOBS[name], folder / f"d{number}", levels))), flush=True)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
