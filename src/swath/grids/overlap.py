"""Do two GeoBoxes show the same place?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry
from pyproj import Transformer
from shapely import affinity
from shapely.geometry.base import BaseGeometry

from swath.errors import InputError
from swath.grids.geobox import bounds, crs_of, to_lonlat

_POINTS_PER_SIDE = 64  # outlines are followed this closely when they are bent by a projection


def overlap(a: GeoBox, b: GeoBox, *, names: tuple[str, str] = ("first grid", "second grid")) -> Geometry:
    """The area that two grids share, as a geometry in the CRS of ``a``.

    The CRS may differ, and so may the longitude convention (0 to 360, -180 to 180) of geographic grids.

    Args:
        a: one grid.
        b: the other grid.
        names: what the grids belong to, for the sentence (file names).

    Raises:
        InputError: the grids share no area; both extents are printed, with their CRS.
        ContractError: a grid has no CRS.
    """
    crs_a, crs_b = crs_of(a, names[0]), crs_of(b, names[1])
    area, crs = _shared(b, a) or _shared(a, b) or _shared_lattice(a, b)
    if area.is_empty or not area.area > 0:
        raise InputError(
            f"'{names[0]}' and '{names[1]}' do not overlap: {_extent(a)}; {_extent(b)}",
            expected="two grids that share an area",
            remedy=_remedy((names[0], a), (names[1], b)),
        )
    if crs != crs_a:
        area = shapely.transform(area, _transformation(crs_b, crs_a))
    return Geometry(area, crs_a)


def _shared(moved: GeoBox, fixed: GeoBox) -> tuple[BaseGeometry, CRS] | None:
    """The intersection in the CRS of ``fixed``, or None when the outline of ``moved`` cannot be drawn there."""
    crs = crs_of(fixed)
    outline = _outline(moved)
    there = _transformation(crs_of(moved), crs)(outline)
    back = _transformation(crs, crs_of(moved))(there)
    # A projection far outside its domain gives numbers that do not lead back.
    pixel = np.hypot(moved.affine.a, moved.affine.d)
    if not np.isfinite(there).all() or not np.allclose(back, outline, rtol=0, atol=0.1 * pixel):
        return None
    if crs.geographic:
        there[:, 0] = np.unwrap(there[:, 0], period=360.0)
        if abs(there[0, 0] - there[-1, 0]) > 180.0:
            return None  # the outline runs around a pole
    polygon = shapely.make_valid(shapely.Polygon(there))
    frame = shapely.Polygon(_outline(fixed))
    if crs.geographic:
        parts = [affinity.translate(polygon, xoff=turn) for turn in (-720.0, -360.0, 0.0, 360.0, 720.0)]
        return shapely.union_all([frame & part for part in parts]), crs
    return frame & polygon, crs


def _shared_lattice(a: GeoBox, b: GeoBox) -> tuple[BaseGeometry, CRS]:
    """Hull of the lattice points of each grid that lie in the other, for outlines that no plane map can draw."""
    lonlat = np.concatenate([_points_inside(a, b), _points_inside(b, a)])
    points = _transformation(CRS("EPSG:4326"), crs_of(a))(lonlat)
    return shapely.MultiPoint(points).convex_hull, crs_of(a)


def _points_inside(moved: GeoBox, fixed: GeoBox) -> NDArray[np.float64]:
    """Longitude and latitude ``(N, 2)`` of those points of a lattice over ``moved`` that lie in ``fixed``."""
    steps = np.linspace(0.0, 1.0, _POINTS_PER_SIDE)
    columns, rows = (part.ravel() for part in np.meshgrid(steps * moved.shape.x, steps * moved.shape.y))
    lonlat = np.stack(to_lonlat(moved, columns, rows), axis=1)
    there = _transformation(CRS("EPSG:4326"), crs_of(fixed))(lonlat)
    inside = np.zeros(len(there), dtype=bool)
    for turn in (0.0, 360.0, -360.0) if crs_of(fixed).geographic else (0.0,):
        column, row = _apply(~fixed.affine, there[:, 0] + turn, there[:, 1]).T
        inside |= (column >= 0) & (column <= fixed.shape.x) & (row >= 0) & (row <= fixed.shape.y)
    return lonlat[inside]


def _outline(box: GeoBox) -> NDArray[np.float64]:
    """Points along the outer edge in the CRS of the grid, ``(N, 2)``, closed."""
    s = np.linspace(0.0, 1.0, _POINTS_PER_SIDE + 1)[:-1]
    one, zero = np.ones_like(s), np.zeros_like(s)
    columns = np.concatenate([s, one, 1 - s, zero, [0.0]]) * box.shape.x
    rows = np.concatenate([zero, s, one, 1 - s, [0.0]]) * box.shape.y
    return _apply(box.affine, columns, rows)


def _apply(affine: Affine, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([affine.a * x + affine.b * y + affine.c, affine.d * x + affine.e * y + affine.f], axis=1)


def _transformation(source: CRS, target: CRS) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """A function from points ``(N, 2)`` (x, y) in one CRS to points in another; places it cannot map are infinite."""
    if source == target:
        return lambda points: points.copy()
    transformer = Transformer.from_crs(source.proj, target.proj, always_xy=True)
    return lambda points: np.stack(transformer.transform(points[:, 0], points[:, 1]), axis=1)


def _extent(box: GeoBox) -> str:
    """Extent in its own CRS and in degrees, for people who compare two of them."""
    own = f"{bounds(box)} in {_crs_name(crs_of(box))}"
    if crs_of(box).geographic:
        return own
    lon, lat = to_lonlat(
        box, np.array([0.0, 1.0, 1.0, 0.0]) * box.shape.x, np.array([0.0, 0.0, 1.0, 1.0]) * box.shape.y
    )
    return f"{own} (longitude {lon.min():.3f} to {lon.max():.3f}, latitude {lat.min():.3f} to {lat.max():.3f})"


def _crs_name(crs: CRS) -> str:
    """The EPSG code, else the name; the full text of a CRS fills a screen."""
    if crs.epsg:
        return f"EPSG:{crs.epsg}"
    name = str(crs.proj.name)
    return "a CRS without a name" if name in ("", "unknown", "unnamed") else f"'{name}'"


def _remedy(*named: tuple[str, GeoBox]) -> str:
    """What to check; grids that count longitudes from 0 to 360 are named, for they are often mistaken."""
    remedy = "check that both show the same place and that their CRS are right"
    for name, box in named:
        extent = box.boundingbox
        if crs_of(box).geographic and extent.left >= 0.0 and extent.right > 180.0:
            remedy += f"; '{name}' counts longitudes from 0 to 360"
    return remedy
