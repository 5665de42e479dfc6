"""A small catalogue for tests of chips from an archive: HLS scenes whose pixels say where and when they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import rasterio
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

from swath import cubes, sensors
from swath.cubes import catalogue
from swath.cubes.catalogue import Item
from swath.grids.geobox import to_lonlat

SIDE = 70
BOX = GeoBox((SIDE, SIDE), Affine(30, 0, 600_000, 0, -30, 4_500_000), "EPSG:32633")
NAMES = {"hls_s30": ("B02", "B03", "B04", "B8A", "B11", "B12"), "hls_l30": ("B02", "B03", "B04", "B05", "B06", "B07")}
CLOUD, NEAR, SHADOW, WATER = 2, 4, 8, 32


def numbers(day: int, box: GeoBox = BOX, bands: int = 6) -> np.ndarray:
    """Stored numbers ``(1, band, y, x)`` that tell row, column, band and day."""
    rows, columns = np.mgrid[: box.shape.y, : box.shape.x]
    plane = (1 + rows * 100 + columns) % 30_000  # as it fits into 16 bits
    return (plane[None, None] + 10 * np.arange(bands)[None, :, None, None] + day).astype(np.int16)


def hls(
    folder: Path, day: str, *, sensor: str = "hls_s30", cloud: float | None = 5.0, fmask: Any = None, box: GeoBox = BOX,
    name: str = "", level: int = 0, holes: Any = None, quality: bool = True,
) -> Item:  # fmt: skip
    """Write one HLS scene."""
    held = sensors.load(sensor).bands.select(NAMES[sensor])
    valid = np.ones((1, *box.shape.yx), bool)
    if holes is not None:
        valid[0][holes] = False
    layer = np.zeros((1, *box.shape.yx), np.uint8)
    if fmask is not None:
        layer[0] = fmask
    cube = cubes.make_cube(
        numbers(level, box), valid, box, held, time=np.array([np.datetime64(day, "ns")]), scale=[1e-4] * 6,
        offset=[0.0] * 6, stored=True,
        attrs={"sensor": sensor, "level": sensor[4:].upper(), "source": "made", "time_known": 1},
    )  # fmt: skip
    if quality:
        cube = cube.assign(quality=(("time", "y", "x"), layer, {"scheme": "Fmask"}))
    attrs: dict[str, Any] = {"sensor": sensor, "level": sensor[4:].upper()}
    attrs |= {} if cloud is None else {"cloud_cover": cloud}
    scene = xr.DataTree.from_dict({"/": xr.Dataset(attrs=attrs), "grid_30m": cube})
    called = name or f"{sensor[4:]}_{day[:10].replace('-', '')}_{level}"
    return catalogue.write_item(folder, sensor, called, scene, properties={"swath:data": "fixture"})


def label(path: Path, values: np.ndarray, corner: tuple[float, float], step: float = 30.0, nodata: int = -1) -> str:
    """Write a label raster; returns its name."""
    path.parent.mkdir(exist_ok=True)
    transform = Affine(step, 0, corner[0], 0, -step, corner[1])
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=values.shape[0], width=values.shape[1], dtype="int16",
        crs="EPSG:32633", transform=transform, nodata=nodata,
    ) as file:  # fmt: skip
        file.write(values.astype(np.int16), 1)
    return path.name


def link(folder: Path, items: list[Item]) -> Path:
    """Write the catalogue over items."""
    catalogue.write_catalogue(folder, items, name="made", title="made for a test")
    return folder


def at(
    pixels: list[tuple[int, int]], day: str = "2024-06-20", labels: list[Any] | None = None, box: GeoBox = BOX
) -> Any:
    """Observations in the middle of pixels (row, column), as ``read_points`` gives them."""
    rows, columns = (np.array([place[axis] for place in pixels], float) + 0.5 for axis in (0, 1))
    lon, lat = to_lonlat(box, columns, rows)
    values = labels if labels is not None else [number % 2 for number in range(len(pixels))]
    return pd.DataFrame({
        "row": np.arange(len(pixels)), "lon": lon, "lat": lat,
        "when": np.array([np.datetime64(day, "ns")] * len(pixels)), "timed": False, "label": values,
    })  # fmt: skip
