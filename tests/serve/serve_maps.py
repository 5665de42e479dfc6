"""Small made-up maps, written as the tests of this room need them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.transform import Affine

from swath.serve import LegendEntry

Writer = Callable[..., Path]

LEGEND = (
    LegendEntry(value=1, name="forest", colour="#117733"),
    LegendEntry(value=2, name="barren", colour="#ddcc77"),
)


def write_map(path: Path, data: np.ndarray, west: float, north: float, cell: float, **profile: Any) -> Path:
    data = data if data.ndim == 3 else data[None]
    names = profile.pop("names", ())
    scale = profile.pop("scale", None)
    decimations = profile.pop("overviews", ())
    settings = {"crs": "EPSG:4326", "driver": "GTiff", "dtype": data.dtype.name} | profile
    with rasterio.open(
        path,
        "w",
        width=data.shape[2],
        height=data.shape[1],
        count=len(data),
        transform=Affine(cell, 0.0, west, 0.0, -cell, north),
        **settings,
    ) as target:
        target.write(data)
        if decimations:
            target.build_overviews(list(decimations), rasterio.enums.Resampling.nearest)
        for index, name in enumerate(names, 1):
            target.set_band_description(index, name)
        if scale:
            target.scales, target.offsets = [scale[0]] * len(data), [scale[1]] * len(data)
    return path
