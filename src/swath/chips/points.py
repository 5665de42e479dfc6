"""Which chips hold a point of a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pyproj import Transformer
from scipy.spatial import cKDTree

from swath import grids
from swath.errors import InputError
from swath.grids.geobox import crs_of

if TYPE_CHECKING:
    from swath.chips.store import ChipSet

DEGREES = (("longitude", "latitude"), ("lon", "lat"))
MAP = ("x", "y")
Floats = NDArray[np.float64]


def coordinates_of(table: pd.DataFrame, chipset: ChipSet, path: Path) -> tuple[Floats, Floats]:
    """Coordinates of the rows in the CRS of the scene, not finite where they are missing or off its map.

    Args:
        table: with the columns longitude and latitude (or lon and lat) in degrees, or x and y in the CRS of the scene.
        chipset: chips of the scene.
        path: file of the table, for sentences.

    Raises:
        InputError: the columns are missing or hold no numbers.
    """
    lowered = {str(name).lower(): name for name in table.columns}
    pair = next((pair for pair in (*DEGREES, MAP) if set(pair) <= set(lowered)), None)
    columns = [] if pair is None else [table[lowered[name]] for name in pair]
    if pair is None or not all(pd.api.types.is_numeric_dtype(column) for column in columns):
        raise InputError(
            f"The table {path} has the columns {', '.join(map(str, table.columns[:12]))}",
            expected="'id' with ids of chips; or numbers in 'longitude' and 'latitude', or in 'x' and 'y'",
            remedy="rename the columns that say where a row belongs",
        )
    first, second = (column.to_numpy(np.float64, na_value=np.nan) for column in columns)
    crs = crs_of(chipset.scene)
    if pair == MAP or crs.epsg == 4326:
        return first, second
    x, y = Transformer.from_crs(4326, crs.proj, always_xy=True).transform(first, second)
    return np.asarray(x, np.float64), np.asarray(y, np.float64)


def chips_of_points(chipset: ChipSet, x: Floats, y: Floats, path: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of a point and a chip that holds it, as positions of both; overlapping chips hold a point each.

    A pixel holds its upper and left edge. On a global grid longitudes count around the globe.

    Raises:
        InputError: no point lies in any chip (both extents are told).
    """
    a, b, c, d, e, f = (~chipset.scene.affine)[:6]
    column, row = a * x + b * y + c, d * x + e * y + f
    if grids.is_global(chipset.scene):
        column = column % float(chipset.scene.shape.x)
    places = np.stack([row, column], axis=1)
    there = np.flatnonzero(np.isfinite(places).all(axis=1))
    start = chipset.index[["row", "column"]].to_numpy(np.float64)
    half = chipset.size / 2
    near = cKDTree(start + half).query_ball_point(places[there], half * (1 + 1e-9), p=np.inf)
    counts = np.array([len(chips) for chips in near], np.int64)
    point = np.repeat(there, counts)
    chip = np.array([number for chips in near for number in chips], np.int64)
    inside = ((places[point] >= start[chip]) & (places[point] < start[chip] + chipset.size)).all(axis=1)
    if not inside.any():
        raise _outside(chipset, (x, y), there, path)
    return point[inside].astype(np.int64), chip[inside]


def _outside(chipset: ChipSet, places: tuple[Floats, Floats], there: NDArray[np.int64], path: Path) -> InputError:
    x, y = (axis[there] for axis in places)
    told = f"x {x.min():.10g} to {x.max():.10g}, y {y.min():.10g} to {y.max():.10g}" if len(there) else "nowhere"
    return InputError(
        f"None of the {len(places[0])} points in {path} lies in a chip of {chipset.folder}; they lie at {told}",
        expected=f"points in the scene of {grids.describe(chipset.scene)}",
        remedy="check the CRS of the points: longitude and latitude are degrees, x and y those of the scene",
    )
