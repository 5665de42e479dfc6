"""swath map: a site from a map, and sentences for what cannot be one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cli_scenes import Run
from odc.geo.geobox import GeoBox

from swath import cubes
from swath.serve import site

pytestmark = pytest.mark.skipif(
    not all(path.is_file() for path in site.VENDOR_FILES.values()),
    reason="the libraries of the page are not fetched (python tools/fetch_maplibre.py)",
)


@pytest.fixture
def prediction(tmp_path: Path) -> Path:
    """A map of two classes."""
    legend = cubes.Legend((cubes.LegendEntry(1, "water", "#0000ff"), cubes.LegendEntry(2, "land", "#00ff00")))
    classes = np.ones((1, 20, 20), dtype=np.uint8)
    classes[:, 5:] = 2
    geobox = GeoBox.from_bbox((5e5, 5e6, 5.002e5, 5.0002e6), "EPSG:32633", shape=(20, 20))
    return cubes.write_cog(tmp_path / "map.tif", classes, geobox, names=["class"], nodata=0, legend=legend)


def test_a_prediction_becomes_a_site(swath: Run, prediction: Path, tmp_path: Path) -> None:
    code, out, _ = swath("map", prediction, "--static", tmp_path / "site", "--title", "Water [2024]")
    assert code == 0
    assert "Water [2024]" in out
    assert "python -m http.server" in out and "range requests" in out
    assert (tmp_path / "site" / "index.html").is_file()
    assert (tmp_path / "site" / "download" / "map.tif").read_bytes() == prediction.read_bytes()
    assert swath("map", prediction, "--static", tmp_path / "site")[0] == 0  # the same command again


def test_the_folder_to_write_is_asked_for(swath: Run, prediction: Path) -> None:
    code, _, error = swath("map", prediction)
    assert code == 2
    assert "--static" in error


def test_a_folder_of_someone_else_is_left_alone(swath: Run, prediction: Path) -> None:
    code, _, error = swath("map", prediction, "--static", prediction.parent)
    assert code == 2
    assert "did not write" in error and "Traceback" not in error
    assert [path.name for path in prediction.parent.glob("*.html")] == []
