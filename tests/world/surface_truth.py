"""Truths for tests of surface reflectance, and the ten bands that they are seen in."""

from __future__ import annotations

import numpy as np
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

TEN = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
BLUE, GREEN, RED, NEAR, SHORT, SHORTER = (TEN.index(name) for name in ("B02", "B03", "B04", "B08", "B11", "B12"))


def truth_of(
    shape: tuple[int, int], gsd: float = 10.0, corner: tuple[float, float] = (500_000, 5_300_000), **layers: object
) -> xr.Dataset:
    """A truth in UTM 32 north; layers broadcast to (y, x), shares to (class, y, x)."""
    box = GeoBox(shape, Affine(gsd, 0, corner[0], 0, -gsd, corner[1]), "EPSG:32632")
    variables: dict[str, object] = {}
    for name, values in layers.items():
        array = np.asarray(values)
        array = array.astype(np.float32) if array.dtype.kind == "f" else array
        if name in ("cover_fraction", "crop_fraction", "soil_fraction"):
            whole = np.broadcast_to(array.reshape(len(array), *(array.shape[1:] or (1, 1))), (len(array), *shape))
            variables[name] = ((name.removesuffix("_fraction"), "y", "x"), whole.copy())
        else:
            variables[name] = (("y", "x"), np.broadcast_to(array, shape).copy())
    return xr.Dataset(variables, coords=xr_coords(box))


def index(values: np.ndarray, high: int, low: int) -> np.ndarray:
    return (values[high] - values[low]) / (values[high] + values[low])
