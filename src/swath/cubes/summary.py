"""What is in a scene: one row per node for a printed table."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from swath import grids
from swath.cubes.cube import as_cube, geobox_of, nodes_of
from swath.cubes.sample import sample_blocks


def summary(scene: xr.DataTree | xr.Dataset) -> list[dict[str, str]]:
    """One row per node: node, size, CRS, GSD, bands, dates, unit, share of valid pixels, minimum, mean and maximum.

    Share and numbers come from a few blocks spread over the scene, so that large scenes are not read whole. Minimum,
    mean and maximum are over valid numbers, one entry per band, and ``-`` where a band has none.
    """
    return [_row(name, as_cube(cube)) for name, cube in nodes_of(scene).items()]


def _row(name: str, cube: xr.Dataset) -> dict[str, str]:
    box = geobox_of(cube)
    values, valid = sample_blocks(cube)
    bands = [str(band) for band in cube["band"].values]
    row = {
        "node": name,
        "size": f"{box.shape.y} x {box.shape.x}",
        "crs": f"EPSG:{box.crs.epsg}" if box.crs is not None and box.crs.epsg else str(box.crs)[:60],
        "gsd": f"{grids.gsd_m(box):.4g} m",
        "bands": ", ".join(bands),
        "dates": _dates(cube),
        "unit": _unit(cube),
        "valid": f"{valid.mean():.1%}",
    }
    for label, function in (("minimum", np.min), ("mean", np.mean), ("maximum", np.max)):
        row[label] = ", ".join(_number(function, values[:, index], valid[:, index]) for index in range(len(bands)))
    return row


def _number(function: Any, values: Any, valid: Any) -> str:
    used = values[valid]
    return f"{float(function(used.astype(np.float64))):.4g}" if used.size else "-"


def _dates(cube: xr.Dataset) -> str:
    if not cube.attrs.get("time_known", 1):
        return "unknown"
    days = np.datetime_as_string(cube["time"].values, unit="D")
    return str(days[0]) if len(days) == 1 else f"{len(days)} from {days[0]} to {days[-1]}"


def _unit(cube: xr.Dataset) -> str:
    unit = str(cube["data"].attrs.get("unit", ""))
    names = sorted({str(item) for item in cube["band_unit"].values})
    return f"{unit} (to {', '.join(names)})" if unit == "DN" else ", ".join(names)
