"""A small made-up scene with polygons, and the options that fit them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine

SIZE = 128
BANDS = ("B02", "B03", "B04", "B08")
MEANS = {"water": (600, 500, 400, 200), "forest": (300, 500, 300, 3500), "field": (900, 1200, 1100, 2500)}
OFFSET = 1000  # Sentinel-2 from baseline 04.00 on

Run = Callable[..., tuple[int, str, str]]
SENSOR = ("--sensor", "sentinel2_l2a", "--baseline", "05.09")
CUT = ("--column", "cover", "--size", 16, "--block", 1)


def write_scene(path: Path, *, crs: str | None = "EPSG:32632", nodata: int | None = 0, fill: int | None = None) -> Path:
    """Three vertical strips: water, forest, field; a hole without data in one corner."""
    noise = np.random.default_rng(0).normal(0, 40, (len(BANDS), SIZE, SIZE))
    values = np.zeros((len(BANDS), SIZE, SIZE))
    for position, means in enumerate(MEANS.values()):
        columns = slice(position * SIZE // 3, (position + 1) * SIZE // 3 + 1)
        values[:, :, columns] = np.array(means)[:, None, None]
    stored = np.clip(values + noise, 1, None).astype(np.uint16) + OFFSET
    stored[:, :10, :10] = 0
    if fill is not None:
        stored[:] = fill
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=SIZE,
        height=SIZE,
        count=len(BANDS),
        dtype="uint16",
        crs=crs,
        transform=Affine(10, 0, 500_000, 0, -10, 5_000_000),
        nodata=nodata,
        tiled=True,
        blockxsize=64,
        blockysize=64,
    ) as raster:
        raster.write(stored)
        for number, name in enumerate(BANDS, start=1):
            raster.set_band_description(number, name)
    return path


def write_polygons(path: Path, *, east: float = 500_000.0, only: str | None = None) -> Path:
    """One polygon per strip and quarter of the height."""
    features = []
    for position, name in enumerate(MEANS):
        if only is not None and name != only:
            continue
        left = east + position * SIZE / 3 * 10 + 30
        for part in range(4):
            top = 5_000_000 - part * SIZE / 4 * 10 - 20
            right, bottom = left + 350, top - 280
            ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
            features.append(
                {
                    "type": "Feature",
                    "properties": {"cover": name},
                    "geometry": {"type": "Polygon", "coordinates": [ring]},
                }
            )
    collection = {
        "type": "FeatureCollection",
        "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32632"}},
        "features": features,
    }
    path.write_text(json.dumps(collection))
    return path
