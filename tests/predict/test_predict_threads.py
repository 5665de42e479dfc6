"""What threads of a prediction may not do: change the filters of warnings, which all threads share."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from predict_scenes import Pixelwise, numbers, opened, run, write

from swath.grids import geobox


def test_projections_are_made_before_threads_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pyproj silences a warning while it makes one; with threads that open files, it would sometimes be let through."""
    made: list[threading.Thread] = []
    proj = geobox.Proj

    def noted(crs: object) -> object:
        made.append(threading.current_thread())
        return proj(crs)

    monkeypatch.setattr(geobox, "Proj", noted)
    geobox._projection.cache_clear()
    report = run(Pixelwise(), opened(write(tmp_path / "s.tif", numbers(200, 90))), tmp_path / "m.tif")
    assert report.strips > 1
    assert sum(report.area_km2.values()) == pytest.approx((200 * 90 - 63) * 1e-4)
    assert made == [threading.main_thread()]
