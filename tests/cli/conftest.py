"""The command line run in this process, and a scene for it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from cli_scenes import Run, write_polygons, write_scene


@pytest.fixture
def swath(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``swath ARGUMENTS``; gives exit code, standard output and standard error."""
    from swath.cli import main

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["swath", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write_scene(tmp_path / "scene.tif")


@pytest.fixture
def polygons(tmp_path: Path) -> Path:
    return write_polygons(tmp_path / "polygons.geojson")
