"""Outlines of chips on the globe, as polygons in longitude and latitude that every GIS draws correctly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from swath.chips.windows import Windows
from swath.grids.geobox import crs_of

STEPS = 8  # points per edge, so that curved edges stay within a small part of a pixel
GRID = 1e-9  # degrees, a tenth of a millimetre


def footprints(geobox: GeoBox, windows: Windows, size: int) -> NDArray[Any]:
    """Footprint of every window in EPSG:4326, longitude first.

    A footprint over the antimeridian becomes two parts, one on either side (RFC 7946, section 3.1.9); one around a
    pole is closed along the pole.

    Args:
        geobox: grid of the whole scene.
        windows: int ``(N, 2)``, top-left (row, column).
        size: rows and columns of a chip.

    Returns:
        object ``(N,)`` of shapely polygons and multipolygons.
    """
    if len(windows) == 0:
        return np.zeros(0, object)
    ring = _unit_ring() * size
    rows = windows[:, :1] + ring[None, :, 0]
    columns = windows[:, 1:] + ring[None, :, 1]
    a, b, c, d, e, f = geobox.affine[:6]
    x, y = a * columns + b * rows + c, d * columns + e * rows + f
    crs = crs_of(geobox, "scene")
    if crs.epsg != 4326:
        x, y = Transformer.from_crs(crs.proj, 4326, always_xy=True).transform(x, y)
    return _polygons(np.asarray(x, np.float64), np.asarray(y, np.float64))


def _unit_ring() -> NDArray[np.float64]:
    """Closed ring around the unit square, ``(4 * STEPS + 1, 2)`` as (row, column)."""
    edge = np.arange(STEPS) / STEPS
    zero, one = np.zeros(STEPS), np.ones(STEPS)
    rows = np.concatenate([zero, edge, one, 1 - edge, [0.0]])
    columns = np.concatenate([edge, one, 1 - edge, zero, [0.0]])
    return np.stack([rows, columns], axis=1)


def _polygons(longitude: NDArray[np.float64], latitude: NDArray[np.float64]) -> NDArray[Any]:
    """Polygons from closed rings ``(N, P)`` in degrees."""
    longitude = np.unwrap(longitude, period=360.0, axis=1)
    latitude = np.clip(latitude, -90.0, 90.0)
    shapes: NDArray[Any] = np.asarray(shapely.polygons(np.stack([longitude, latitude], axis=-1)), object)
    turns = np.abs(longitude[:, -1] - longitude[:, 0]) > 180.0
    for position in np.flatnonzero(turns):
        shapes[position] = _around_pole(longitude[position], latitude[position])
    start = shapely.bounds(shapes)[:, 0]
    shift = -360.0 * np.floor((start + 180.0) / 360.0)
    shapes = shapely.transform(shapes, lambda xy: xy + _offsets(shapes, shift), include_z=False)
    for position in np.flatnonzero(shapely.bounds(shapes)[:, 2] > 180.0 + 1e-9):
        shapes[position] = _cut_at_antimeridian(shapes[position])
    return shapes


def _offsets(shapes: NDArray[Any], shift: NDArray[np.float64]) -> NDArray[np.float64]:
    """The shift in longitude of every vertex ``(P, 2)``."""
    per_vertex = np.repeat(shift, shapely.get_num_coordinates(shapes))
    return np.stack([per_vertex, np.zeros_like(per_vertex)], axis=1)


def _around_pole(longitude: NDArray[np.float64], latitude: NDArray[np.float64]) -> shapely.Polygon:
    """Polygon between an outline that runs once around the globe and the pole within."""
    pole = 90.0 if latitude.mean() > 0 else -90.0
    ring: Sequence[tuple[float, float]] = [
        *zip(longitude.tolist(), latitude.tolist(), strict=True),
        (float(longitude[-1]), pole),
        (float(longitude[0]), pole),
    ]
    return shapely.Polygon(ring)


def _cut_at_antimeridian(shape: shapely.Geometry) -> shapely.Geometry:
    """Two parts, the one beyond 180 degrees brought to the other side."""
    shape = shapely.make_valid(shape)
    east = shapely.intersection(shape, shapely.box(-180.0, -90.0, 180.0, 90.0))
    beyond = shapely.intersection(shape, shapely.box(180.0, -90.0, 540.0, 90.0))
    beyond = shapely.transform(beyond, lambda xy: xy - np.array([360.0, 0.0]))
    # The outline of a pole meets itself where it began, so that parts may have to be joined there.
    return shapely.union_all([east, beyond], grid_size=GRID)
