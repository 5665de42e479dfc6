"""Benches of hostile files, and a canary that dies when a file gets code to run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hostile_seeds import Bench


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Bench]:
    """Seeds of one kind, which all work untouched."""

    def made(kind: str) -> Bench:
        ready = Bench(kind, tmp_path_factory.mktemp(kind))
        ready.untouched()
        return ready

    return made


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A file that hostile code would make; it must not be there at the end of a test."""
    path = tmp_path / "canary"
    yield path
    assert not path.exists(), "code from a file was run"
