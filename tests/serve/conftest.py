from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from serve_maps import LEGEND, Writer, write_map

from swath.serve import Layer, write_layers


@pytest.fixture(scope="session")
def write_raster() -> Writer:
    """Write a GeoTIFF from an array (y, x) or (band, y, x), its upper left corner and its cell size."""
    return write_map


@pytest.fixture(scope="session")
def map_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small made-up world of one-degree cells.

    classes: forest west of Greenwich, barren east of it, 9 (not in the legend) north of 80, no data south of 60 S.
    swapped: the same with the classes exchanged. score: longitude / 180, NaN west of 150 W. ocean: one colour.
    """
    root = tmp_path_factory.mktemp("map")
    longitude = np.arange(-179.5, 180.0)
    latitude = np.arange(89.5, -90.0, -1.0)[:, None]
    classes = np.where(longitude < 0, 1, 2) + 0 * latitude
    classes = np.where(latitude > 80, 9, np.where(latitude < -60, 0, classes)).astype(np.uint8)
    swapped = np.array([0, 2, 1, *range(3, 10)], dtype=np.uint8)[classes]
    score = np.where(longitude < -150, np.nan, longitude / 180 + 0 * latitude).astype(np.float32)
    ocean = np.array([20, 60, 120], dtype=np.uint8)[:, None, None] * np.ones((1, 180, 360), dtype=np.uint8)
    write_map(root / "classes.tif", classes, -180, 90, 1, nodata=0)
    write_map(root / "swapped.tif", swapped, -180, 90, 1, nodata=0)
    write_map(root / "score.tif", np.stack([score, score * 2]), -180, 90, 1, names=("score", "double"))
    write_map(root / "ocean.tif", ocean, -180, 90, 1)
    layers = [
        Layer(id="classes", title="Land cover", path="classes.tif", kind="categorical", legend=LEGEND, note="A note."),
        Layer(
            id="swapped",
            title="Swapped",
            path="swapped.tif",
            kind="categorical",
            legend=LEGEND,
            visible=False,
            data="simulated",
        ),
        Layer(
            id="score",
            title="Score",
            path="score.tif",
            kind="continuous",
            bands=("score",),
            minimum=-1,
            maximum=1,
            unit="m",
            visible=False,
        ),
        Layer(
            id="ocean",
            title="Ocean <b>",
            path="ocean.tif",
            kind="colour",
            role="basemap",
            attribution="Nobody & <i>all</i>",
        ),
    ]
    write_layers(root, layers, "A made-up world")
    return root
