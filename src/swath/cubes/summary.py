"""What is in a scene: one row per node for a printed table."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from swath import grids
from swath.cubes.cube import DN, as_cube, bands_of, geobox_of, nodes_of
from swath.cubes.sample import sample_blocks
from swath.sensors import Band


def summary(scene: xr.DataTree | xr.Dataset) -> list[dict[str, str]]:
    """One row per node: node, size, CRS, GSD, bands, dates, unit, share of valid pixels, minimum, mean and maximum.

    Where several files were stacked, a row also names those that were taken.

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
        **({"files": str(cube.attrs["files"])} if cube.attrs.get("files") else {}),
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
    """Units in words; for stored numbers also what scaling makes of them, where that is known."""
    bands = bands_of(cube)
    if cube["data"].attrs.get("unit") != DN:
        return ", ".join(dict.fromkeys(_quantity(band) or band.unit for band in bands))
    scaled = dict.fromkeys(quantity for band in bands if (quantity := _quantity(band)))
    return f"{DN} (scaled to {', '.join(scaled)})" if scaled else DN


def _quantity(band: Band) -> str:
    """What a band measures and its unit, such as ``reflectance`` or ``backscatter in dB``; empty if unknown."""
    kind = "" if band.kind == "variable" else band.kind.replace("_", " ")
    if band.unit in ("", "1"):
        return kind
    return f"{kind} in {band.unit}" if kind else band.unit
