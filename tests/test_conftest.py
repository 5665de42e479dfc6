"""Tests of real data may be skipped where there are none, but not where there are."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SKIPPING = "SWATH_DATA is unset"


def run_suite(folder: Path, reason: str, data: Path | None) -> tuple[int, str]:
    """Exit code and output of a suite of one passing and two skipped tests under this conftest.py."""
    shutil.copy(Path(__file__).with_name("conftest.py"), folder / "conftest.py")
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_one.py").write_text(
        f"import pytest\ndef test_good(): pass\n\n@pytest.mark.skipif(True, reason={reason!r})\n"
        "def test_skipped(): pass\n"
    )
    (folder / "test_two.py").write_text(f"import pytest\npytest.skip({reason!r}, allow_module_level=True)\n")
    environment = {name: value for name, value in os.environ.items() if name != "SWATH_DATA"}
    environment |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"} | ({} if data is None else {"SWATH_DATA": str(data)})
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=folder, env=environment)
    return done.returncode, done.stdout + done.stderr


def test_without_data_the_skipped_tests_are_counted(tmp_path: Path) -> None:
    code, output = run_suite(tmp_path, SKIPPING, None)
    assert code == 0, output
    assert "2 tests of real data skipped: SWATH_DATA names no directory" in output


@pytest.mark.parametrize(("reason", "expected"), [(SKIPPING, 1), ("no browser here", 0)])
def test_with_data_a_skipped_data_test_fails_the_session(tmp_path: Path, reason: str, expected: int) -> None:
    code, output = run_suite(tmp_path, reason, tmp_path)
    assert code == expected, output
    assert ("test_one.py::test_skipped: SWATH_DATA is unset" in output) == bool(expected)
    assert ("FAILED: SWATH_DATA=" in output) == bool(expected)


def test_a_directory_that_is_not_there_promises_nothing(tmp_path: Path) -> None:
    code, output = run_suite(tmp_path, SKIPPING, tmp_path / "absent")
    assert code == 0 and "names no directory" in output
