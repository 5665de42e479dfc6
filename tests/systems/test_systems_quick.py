"""Every system runs in its quick mode and leaves a report."""

from __future__ import annotations

import json
import os
import time
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import swath
from swath import systems
from swath.errors import MissingError
from swath.sources import planet
from swath.types import DataKind

SECONDS = 20.0  # of processor time, which other work on the machine does not lengthen
KINDS = typing.get_args(DataKind)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def require_data(error: MissingError) -> None:
    """Skip where the data are absent; with all data here, the error is a failure."""
    if planet.missing():
        pytest.skip(f"layers of the planet are absent, run swath data get planet: {error}")
    if not os.environ.get("SWATH_DATA"):
        pytest.skip(f"SWATH_DATA is not set: {error}")
    raise error


@pytest.mark.parametrize("slug", systems.slugs())
def test_quick_mode_leaves_a_report(slug: str, tmp_path: Path) -> None:
    out, started = tmp_path / "out", time.process_time()
    try:
        report = swath.run(slug, out, mode="quick")
    except MissingError as error:
        require_data(error)
    spent = time.process_time() - started
    assert report.system == slug and report.rows
    kinds = {row.data_kind for row in report.rows}
    # A hybrid report holds rows of several kinds, each said of its own row.
    assert report.data in KINDS and (kinds == {report.data} or report.data == "hybrid")
    stored = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert stored["data"] == report.data and len(stored["rows"]) == len(report.rows)
    for name in stored["files"].values():
        assert (out / name).exists(), name
    page = (out / "report.html").read_text(encoding="utf-8")
    assert systems.load(slug).TITLE in page and report.data in page
    assert not [path for path in out.rglob("*") if path.name.endswith(".part") or path.name.startswith(".")]
    assert spent < SECONDS, f"{spent:.1f} s of processor time"


def test_every_system_says_what_it_is() -> None:
    for row in systems.table():
        module = systems.load(row["slug"])
        assert row["slug"] == module.SLUG and row["title"] and (module.__doc__ or "").strip()
        assert row["tier"] in ("supported", "reproduced", "sketched") and row["data"] in KINDS
        assert callable(module.run) and callable(module.evidence) and module.Config.quick() != module.Config()
