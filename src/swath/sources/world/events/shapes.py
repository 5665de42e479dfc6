"""Where an injected event lies: a given geometry or mask, or a plausible random outline of a given size.

Coverage is the share of each pixel inside the event, from 4 x 4 places a pixel; edges are therefore mixed pixels, as in
real images.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import geopandas as gpd
import numpy as np
import rasterio.features
import shapely
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from shapely.geometry.base import BaseGeometry

from swath import grids
from swath.errors import InputError, nearest
from swath.sources.world import noise

Event = Literal["flood", "burn", "clearing"]
EVENTS: tuple[Event, ...] = ("flood", "burn", "clearing")
Shape: TypeAlias = BaseGeometry | gpd.GeoSeries | gpd.GeoDataFrame | NDArray[np.bool_] | xr.DataArray

_SUPER = 4
_ROUGHNESS = {"flood": 0.55, "burn": 0.4, "clearing": 0.0}
_LENGTH_TO_WIDTH = {"flood": 3.0, "burn": 1.8, "clearing": 1.6}


def check_event(event: str) -> Event:
    """The event of a name.

    Raises:
        InputError: there is no such event.
    """
    for known in EVENTS:
        if event == known:
            return known
    raise InputError(
        f"There is no event '{event}'",
        expected=f"one of {', '.join(EVENTS)}",
        remedy=f"the nearest is {nearest(event, EVENTS, 1)}",
    )


def coverage_of(shape: Shape, box: GeoBox) -> NDArray[np.float32]:
    """Share of each pixel inside a shape ``(y, x)``, 0 to 1.

    Args:
        shape: a geometry in the CRS of the grid, a table of geometries with any CRS, or a mask ``(y, x)`` of the grid.
        box: the grid.

    Raises:
        InputError: the mask has another shape, or nothing of the shape lies on the grid.
    """
    height, width = box.shape.yx
    if isinstance(shape, np.ndarray | xr.DataArray):
        mask = np.asarray(shape)
        if mask.shape != (height, width):
            raise InputError(
                f"The mask has the shape {mask.shape}",
                expected=f"(y, x) = ({height}, {width}), that of the finest node",
                remedy="give a geometry instead, which fits any node",
            )
        found = np.asarray(mask.astype(bool), np.float32)
    else:
        fine = rasterio.features.rasterize(
            ((geometry, 1) for geometry in _geometries(shape, box)),
            out_shape=(height * _SUPER, width * _SUPER),
            transform=box.affine * Affine.scale(1.0 / _SUPER),
            dtype="uint8",
        )
        found = fine.reshape(height, _SUPER, width, _SUPER).mean(axis=(1, 3), dtype=np.float32)
    if not found.any():
        raise InputError(
            "The shape covers no pixel of the scene",
            expected="a shape that overlaps the scene",
            remedy="check its CRS: a bare geometry is taken to be in the CRS of the scene",
        )
    return found


def random_shape(event: Event, hectares: float, box: GeoBox, free: NDArray[np.bool_], rng: np.random.Generator) -> Any:
    """A mask of a plausible outline, of the given size to the nearest pixel.

    Floods are long and frayed, burns rounder with a ragged edge, clearings rectangles with straight edges in any
    direction. The pixels nearest to a random centre are taken, where distance has the shape of the event and hashed
    noise is added to it; so the outline grows with the size and stays the same otherwise.

    Args:
        event: the event.
        hectares: the size.
        box: the grid.
        free: where the event may lie ``(y, x)``.
        rng: stream that place, direction and outline are drawn from.

    Returns:
        bool ``(y, x)``.

    Raises:
        InputError: the size is not positive, or larger than what is free.
    """
    area = float(np.median(grids.cell_area_m2(box))) / 1e4
    pixels = max(round(hectares / area), 1) if np.isfinite(hectares) and hectares > 0 else 0
    if not 0 < pixels <= int(free.sum()):
        raise InputError(
            f"An event of {hectares:g} ha was asked for, {pixels} pixels, where {int(free.sum())} pixels are free",
            expected="a positive size that the valid pixels of the scene can hold",
            remedy=f"ask for at most {free.sum() * area:.4g} ha",
        )
    key, angle = int(rng.integers(2**63)), rng.uniform(0.0, np.pi)
    candidates = np.flatnonzero(free)
    centre = np.array(np.unravel_index(candidates[rng.integers(len(candidates))], free.shape), np.float64)
    rows, columns = np.arange(free.shape[0]) - centre[0], np.arange(free.shape[1]) - centre[1]
    along = (columns[None, :] * np.cos(angle) + rows[:, None] * np.sin(angle)) / _LENGTH_TO_WIDTH[event]
    across = rows[:, None] * np.cos(angle) - columns[None, :] * np.sin(angle)
    radius = np.sqrt(pixels / np.pi)
    distance = np.maximum(abs(along), abs(across)) if event == "clearing" else np.hypot(along, across)
    if _ROUGHNESS[event]:
        ragged = noise.fractal(key, rows, columns, max(radius, 4.0), 4, 0.6)
        distance = distance * np.exp(_ROUGHNESS[event] * ragged)
    distance = np.where(free, distance, np.inf).ravel()
    mask = np.zeros(free.size, bool)
    mask[np.argpartition(distance, pixels - 1)[:pixels]] = True
    return mask.reshape(free.shape)


def _geometries(shape: BaseGeometry | gpd.GeoSeries | gpd.GeoDataFrame, box: GeoBox) -> list[BaseGeometry]:
    if isinstance(shape, BaseGeometry):
        found = [shape]
    elif isinstance(shape, gpd.GeoSeries | gpd.GeoDataFrame):
        placed = shape if shape.crs is None else shape.to_crs(str(box.crs))
        found = list(placed.geometry)
    else:
        raise InputError(
            f"A shape of the type {type(shape).__name__} was given",
            expected="a shapely geometry, a GeoSeries or GeoDataFrame, a boolean mask (y, x), or None",
            remedy="read files with geopandas.read_file first",
        )
    kept = [geometry for geometry in found if geometry is not None and not shapely.is_empty(geometry)]
    if not kept:
        raise InputError("The shape is empty", expected="at least one polygon", remedy="check how it was made")
    return kept
