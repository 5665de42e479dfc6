"""Small scenes for the tests of this room."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

from swath import chips
from swath.cubes import Legend, make_cube
from swath.sensors import Band, BandSet

LEGEND = Legend.of("water", "forest", "crop")
UTM = "EPSG:32633"
BANDS = (
    Band("red", kind="reflectance"),
    Band("green", kind="reflectance"),
    Band("blue", kind="reflectance"),
    Band("latitude", kind="coordinate"),
)


def utm_box(shape: tuple[int, int]) -> GeoBox:
    """A 10 m grid in UTM zone 33 north."""
    return GeoBox(shape, Affine(10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0), UTM)


def globe(rows: int, step: float | None = None) -> GeoBox:
    """A global grid in degrees with twice as many columns as rows."""
    step = 180.0 / rows if step is None else step
    return GeoBox((rows, 2 * rows), Affine(step, 0.0, -180.0, 0.0, -step, 90.0), "EPSG:4326")


def scene(
    shape: tuple[int, int],
    *,
    box: GeoBox | None = None,
    bands: tuple[Band, ...] = BANDS,
    dates: int = 1,
    dtype: str = "int16",
    seed: int = 0,
    valid: np.ndarray | None = None,
    chunk: int | None = None,
    scale: float = 1e-4,
) -> xr.Dataset:
    """A cube of random numbers, all valid unless said otherwise; integers are stored numbers, floats physical."""
    draw = np.random.default_rng(seed)
    data: Any = draw.integers(1, 250, (dates, len(bands), *shape)).astype(dtype)
    mask: Any = np.ones((dates, *shape), bool) if valid is None else valid
    if chunk is not None:
        import dask.array as da

        data, mask = da.from_array(data, chunks=(1, -1, chunk, -1)), da.from_array(mask, chunks=-1)
    stored = np.dtype(dtype).kind != "f"
    return make_cube(
        data,
        mask,
        utm_box(shape) if box is None else box,
        BandSet(bands),
        time=np.datetime64("2020-06-01", "ns") + np.arange(dates) * np.timedelta64(5, "D"),
        scale=[scale if stored else 1.0] * len(bands),
        offset=[0.01 if stored else 0.0] * len(bands),
        stored=stored,
        attrs={"source": "scene.tif"},
    )


def label_map(shape: tuple[int, int], seed: int = 1) -> np.ndarray:
    """Random labels of the three classes."""
    return np.random.default_rng(seed).integers(0, len(LEGEND), shape).astype(np.int16)


def on_grid(values: np.ndarray, box: GeoBox, **attrs: Any) -> xr.DataArray:
    """A raster with coordinates."""
    from odc.geo.xr import wrap_xr

    raster = wrap_xr(values, box)
    raster.attrs.update(attrs)
    return raster


def chip_set(
    out: Path, shape: tuple[int, int] = (64, 96), size: int = 16, *, box: GeoBox | None = None, **options: Any
) -> chips.ChipSet:
    """A chip set of random chips."""
    cube = scene(shape, box=box)
    return chips.cut(cube, label_map(shape), out, size=size, legend=LEGEND, **options)
