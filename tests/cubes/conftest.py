"""Small made-up rasters for the tests of cubes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from odc.geo.geobox import GeoBox
from rasterio.transform import Affine

UTM = "EPSG:32633"


def grid(height: int, width: int, gsd: float = 10.0, left: float = 500_000.0, top: float = 5_000_000.0) -> GeoBox:
    """A north-up grid in UTM zone 33."""
    return GeoBox((height, width), Affine(gsd, 0, left, 0, -gsd, top), UTM)


def write(
    path: Path,
    array: np.ndarray,
    box: GeoBox | None = None,
    *,
    names: Sequence[str] = (),
    mask: np.ndarray | None = None,
    tags: dict[str, str] | None = None,
    **profile: Any,
) -> Path:
    """Write ``(band, y, x)`` with plain rasterio, as somebody else's software would."""
    box = box or grid(*array.shape[1:])
    settings = {
        "driver": "GTiff",
        "count": array.shape[0],
        "height": array.shape[1],
        "width": array.shape[2],
        "dtype": array.dtype.name,
        "crs": str(box.crs),
        "transform": box.affine,
        **profile,
    }
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", **settings) as dataset:
        dataset.write(array)
        for index, name in enumerate(names, start=1):
            dataset.set_band_description(index, name)
        if mask is not None:
            dataset.write_mask(mask)
        dataset.update_tags(**(tags or {}))
    return path


@pytest.fixture
def tif(tmp_path: Path) -> Callable[..., Path]:
    """Write an array to a GeoTIFF in the test's own folder: ``tif("name.tif", array, ...)``."""
    return lambda name, array, *rest, **options: write(tmp_path / name, array, *rest, **options)


@pytest.fixture
def box() -> Callable[..., GeoBox]:
    """The function ``grid``."""
    return grid
