"""Jobs killed with SIGKILL at many moments: started again, they leave the same bytes as if nothing had happened."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from swath.files import remove_leftovers, replacing, replacing_folder, temporary_stem, write_text

HERE = Path(__file__).parent
POINTS = 2
"""Kill points a job here; `python tools/faults.py` tries all of them."""


@pytest.fixture(scope="module")
def accounts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, object]]:
    """One fresh process for all jobs: children are forked from it, which wants no thread to exist."""
    command = [sys.executable, str(HERE / "harness.py"), str(tmp_path_factory.mktemp("kill")), str(POINTS)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return {account["job"]: account for account in map(json.loads, done.stdout.splitlines())}


JOBS = (
    "data make", "chips cut", "chips cut over older", "train", "predict", "vectorise", "predict many",
    "write_cog over older", "evaluate", "evidence over older",
)  # fmt: skip


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the harness forks")
@pytest.mark.parametrize("name", JOBS)
def test_a_killed_job_ends_as_if_nothing_had_happened(accounts: dict[str, dict[str, object]], name: str) -> None:
    account = accounts[name]
    assert account["problems"] == []
    assert int(str(account["killed"])) >= POINTS and int(str(account["files"])) >= 1


def dead_process() -> int:
    """The number of a process that has ended."""
    return int(subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True).stdout)


def left_by(process: int, path: Path, ending: str = "part") -> Path:
    return path.with_name(temporary_stem(path).replace(f"-{os.getpid()}-", f"-{process}-") + f"0123abcd.{ending}")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_leftovers_of_dead_processes_go_and_those_of_living_ones_stay(tmp_path: Path) -> None:
    dead = dead_process()
    for ending in ("part", "part.tif", "ready.tif", "ready.tif.ovr.tmp"):
        left_by(dead, tmp_path / "map.tif", ending).touch()
    left_by(dead, tmp_path / "chips").mkdir()
    (left_by(dead, tmp_path / "chips") / "new").mkdir()
    mine = left_by(os.getppid(), tmp_path / "map.tif")
    mine.touch()
    for other in (".hidden", ".map.tif.part", ".bashrc", f"map.tif.{'a' * 8}-1-{'b' * 8}.part"):
        (tmp_path / other).touch()
    write_text(tmp_path / "other.txt", "x")
    kept = [".bashrc", ".hidden", ".map.tif.part", f"map.tif.{'a' * 8}-1-{'b' * 8}.part", mine.name, "other.txt"]
    assert names(tmp_path) == sorted(kept)


def test_leftovers_of_another_machine_stay_for_a_week(tmp_path: Path) -> None:
    fresh = tmp_path / f".map.tif.{'0' * 8}-{2**22 + 1}-{'a' * 8}.part"
    old = tmp_path / f".map.tif.{'0' * 8}-{2**22 + 1}-{'b' * 8}.part"
    working = tmp_path / f".chips.{'0' * 8}-{2**22 + 1}-{'c' * 8}.part"
    for path in (fresh, old):
        path.touch()
    (working / "new").mkdir(parents=True)
    (working / "new" / "just_written").touch()
    for path in (old, working, working / "new"):
        os.utime(path, (0, 0))
    remove_leftovers(tmp_path)
    assert names(tmp_path) == sorted([fresh.name, working.name])


@pytest.mark.parametrize("taken", [True, False])
def test_a_folder_killed_between_its_two_renames_gets_its_name(tmp_path: Path, taken: bool) -> None:
    left = left_by(dead_process(), tmp_path / "chips")
    for name in ("new", "old"):
        (left / name).mkdir(parents=True)
        (left / name / name).touch()
    if taken:
        (tmp_path / "chips").mkdir()
    remove_leftovers(tmp_path)
    assert names(tmp_path) == ["chips"] and names(tmp_path / "chips") == ([] if taken else ["new"])


def test_a_folder_is_resumed_only_when_asked_to(tmp_path: Path) -> None:
    left = left_by(dead_process(), tmp_path / "planet")
    (left / "new").mkdir(parents=True)
    (left / "new" / "layer").write_text("finished")
    with replacing_folder(tmp_path / "other", resume=True) as folder:
        assert names(folder) == []
    (left / "new").mkdir(parents=True)
    (left / "new" / "layer").write_text("finished")
    with replacing_folder(tmp_path / "planet", resume=True) as folder:
        assert names(folder) == ["layer"]
    assert names(tmp_path) == ["other", "planet"] and names(tmp_path / "planet") == ["layer"]


def test_the_folder_that_cannot_be_listed_is_no_reason_to_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: Path) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "scandir", refuse)
    with replacing(tmp_path / "file") as temporary:
        temporary.write_text("x")
    assert (tmp_path / "file").read_text() == "x"
