"""One processor thread a test, and an account of the tests that real data would have run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Read when torch, BLAS and OpenMP are first imported, which no test has done yet: sums come in one order, and tests
# that run side by side do not fight for cores. Whoever sets the variables keeps their values.
for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

VARIABLE = "SWATH_DATA"
SKIPPED = pytest.StashKey[dict[str, str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[SKIPPED] = {}
    config.pluginmanager.register(_DataTests(config.stash[SKIPPED]), "swath-data-tests")


class _DataTests:
    """Notes every test that was skipped because real data are absent."""

    def __init__(self, skipped: dict[str, str]) -> None:
        self.skipped = skipped

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        reason = report.longrepr[2] if report.skipped and isinstance(report.longrepr, tuple) else ""
        if VARIABLE in reason:
            self.skipped[report.nodeid] = reason.removeprefix("Skipped: ")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report)


def _promised() -> Path | None:
    """The directory with the real data, where one is named and exists: then no test may be skipped for want of it."""
    value = os.environ.get(VARIABLE)
    return Path(value) if value and Path(value).is_dir() else None


def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.config.stash[SKIPPED] and _promised() and session.exitstatus in (0, pytest.ExitCode.NO_TESTS_COLLECTED):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    skipped, folder = config.stash[SKIPPED], _promised()
    if not skipped:
        return
    if folder is None:
        terminalreporter.write_line(f"{len(skipped)} tests of real data skipped: {VARIABLE} names no directory")
        return
    terminalreporter.write_line(f"FAILED: {VARIABLE}={folder}, and yet {len(skipped)} tests of real data were skipped:")
    for name, reason in skipped.items():
        terminalreporter.write_line(f"  {name}: {reason}")
