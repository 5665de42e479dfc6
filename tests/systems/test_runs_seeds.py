"""Seeds of an evidence run: measured once, and shared by processes."""

from __future__ import annotations

import threading
from pathlib import Path

import filelock
import pytest

from swath.judge import ResultTable
from swath.systems.eo import _runs
from swath.types import ResultRow

ROW = ResultRow(run_id="x-3", system="x", data_kind="fixture", split="test", seed=3, metric="miou", value=0.5)


def test_a_seed_is_measured_once(tmp_path: Path) -> None:
    calls: list[tuple[Path, int]] = []

    def measure(folder: Path, seed: int) -> list[ResultRow]:
        calls.append((folder, seed))
        return [ROW]

    for patient in (False, True, False):
        _runs._measure_seed(measure, tmp_path / "seed_3", 3, patient)
    assert calls == [(tmp_path / "seed_3", 3)]
    assert ResultTable.load(tmp_path / "seed_3" / _runs.DONE).rows == (ROW,)


def test_a_seed_that_another_process_is_at_is_left_to_it(tmp_path: Path) -> None:
    folder = tmp_path / "seed_3"
    folder.mkdir()

    def measure(folder: Path, seed: int) -> list[ResultRow]:
        raise AssertionError("measured twice")

    other = filelock.FileLock(folder / "lock")
    with other:
        _runs._measure_seed(measure, folder, 3, False)
        assert not (folder / _runs.DONE).exists()
        waiting = threading.Thread(target=_runs._measure_seed, args=(measure, folder, 3, True))
        waiting.start()
        waiting.join(0.2)
        assert waiting.is_alive()  # it waits for what the other is at
        ResultTable([ROW]).save(folder / _runs.DONE)
    waiting.join(20)
    assert not waiting.is_alive()
    assert ResultTable.load(folder / _runs.DONE).rows == (ROW,)


def test_a_seed_that_failed_is_free_again(tmp_path: Path) -> None:
    def fails(folder: Path, seed: int) -> list[ResultRow]:
        raise ValueError("no luck")

    with pytest.raises(ValueError, match="no luck"):
        _runs._measure_seed(fails, tmp_path / "seed_3", 3, False)
    _runs._measure_seed(lambda folder, seed: [ROW], tmp_path / "seed_3", 3, False)
    assert (tmp_path / "seed_3" / _runs.DONE).exists()
