"""Help for ``odc.geo.geobox.GeoBox``, the grid of every map product."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from pyproj import Geod, Proj, Transformer

from swath.errors import ContractError

_TRUE_SCALE = 0.01  # a projection within 1 % of true scale is measured in its own units: 10 m stay 10 m


def crs_of(box: GeoBox, what: str = "grid") -> CRS:
    """The coordinate reference system of a GeoBox.

    Raises:
        ContractError: it has none.
    """
    if box.crs is None:
        raise ContractError(
            f"The {what} of {box.shape.y} x {box.shape.x} pixels has no coordinate reference system (CRS)",
            expected="a CRS such as EPSG:32633",
            remedy="assign the CRS of the data when opening them",
        )
    return box.crs


def lonlat(box: GeoBox) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Longitude and latitude of pixel centres in degrees (WGS 84), each float64 ``(H, W)``."""
    columns, rows = np.meshgrid(np.arange(box.shape.x) + 0.5, np.arange(box.shape.y) + 0.5)
    return to_lonlat(box, columns, rows)


def gsd_m(box: GeoBox) -> float:
    """Size of a pixel in the y direction at the centre of the grid, in metres.

    Projected grids give their own unit in metres where that is within 1 % of the distance on the ground; others, such
    as web Mercator far from the equator and all geographic grids, give the geodesic on the ellipsoid of the CRS.
    """
    crs = crs_of(box)
    lon, lat = to_lonlat(box, np.full(2, box.shape.x / 2), box.shape.y / 2 + np.array([-0.5, 0.5]))
    _, _, ground = _geod(crs).inv(lon[0], lat[0], lon[1], lat[1])
    if crs.projected:
        nominal = math.hypot(box.affine.b, box.affine.e) * _metres_per_unit(crs)
        # The inverse of a pixel outside the projection's domain is not finite; its nominal size still is.
        if not math.isfinite(ground) or abs(ground / nominal - 1.0) <= _TRUE_SCALE:
            return nominal
    return float(ground)


def cell_area_m2(box: GeoBox) -> NDArray[np.float64]:
    """Area of each pixel in square metres, float64 ``(H, W)``.

    Geographic grids: exact on the ellipsoid. Projected grids: pixel size in map units where the projection keeps areas
    within 1 % at corners and centre, else divided by the areal scale at each pixel centre.

    Raises:
        ContractError: no CRS, or a rotated geographic grid.
    """
    crs = crs_of(box)
    if crs.geographic:
        return _geographic_areas(box)
    nominal = abs(box.affine.determinant) * _metres_per_unit(crs) ** 2
    projection = _projection(crs)
    corners = np.array([[0, 0], [0, 1], [1, 0], [1, 1], [0.5, 0.5]]) * [box.shape.x, box.shape.y]
    lon, lat = to_lonlat(box, corners[:, 0], corners[:, 1])
    scale = np.asarray(projection.get_factors(lon, lat).areal_scale)
    if bool((np.abs(scale - 1.0) <= _TRUE_SCALE).all()):
        return np.full((box.shape.y, box.shape.x), nominal)
    return nominal / np.asarray(projection.get_factors(*lonlat(box)).areal_scale, dtype=np.float64)


def is_global(box: GeoBox) -> bool:
    """Whether a geographic, axis-aligned grid spans 360 degrees of longitude (to within half a pixel)."""
    if box.crs is None or not box.crs.geographic or not box.axis_aligned:
        return False
    return bool(abs(box.shape.x * abs(box.affine.a) - 360.0) < abs(box.affine.a) / 2.0)


def describe(box: GeoBox) -> str:
    """One line: size, CRS, resolution and extent."""
    name = "no CRS" if box.crs is None else str(box.crs)
    dy, dx = math.hypot(box.affine.b, box.affine.e), math.hypot(box.affine.a, box.affine.d)
    step = f"{dx:g}" if math.isclose(dx, dy) else f"{dy:g} x {dx:g}"
    return f"{box.shape.y} x {box.shape.x} pixels of {step} in {name}, {bounds(box)}"


def bounds(box: GeoBox) -> str:
    """Extent in units of the CRS, for people."""
    left, bottom, right, top = box.boundingbox
    return f"x {left:.10g} to {right:.10g}, y {bottom:.10g} to {top:.10g}"


def to_lonlat(
    box: GeoBox, columns: NDArray[np.float64], rows: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Longitude and latitude (WGS 84) of places given in pixels: 0 is the outer edge, 0.5 the first centre."""
    crs = crs_of(box)
    x = box.affine.a * columns + box.affine.b * rows + box.affine.c
    y = box.affine.d * columns + box.affine.e * rows + box.affine.f
    if crs.epsg == 4326:
        return x, y
    lon, lat = Transformer.from_crs(crs.proj, 4326, always_xy=True).transform(x, y)
    return np.asarray(lon, dtype=np.float64), np.asarray(lat, dtype=np.float64)


@lru_cache(maxsize=8)
def _projection(crs: CRS) -> Proj:
    """The projection of a CRS, made once.

    While pyproj makes one, it silences a warning of its own by filters that all threads share (Python before 3.14);
    another thread that changes filters just then, as everybody who opens a file does, would let it through. Using one
    changes no filter, so that work in threads makes it beforehand.
    """
    return Proj(crs.proj)


def _geod(crs: CRS) -> Geod:
    return crs.proj.get_geod() or Geod(ellps="WGS84")


def _metres_per_unit(crs: CRS) -> float:
    return float(crs.proj.axis_info[0].unit_conversion_factor) if crs.proj.axis_info else 1.0


def _geographic_areas(box: GeoBox) -> NDArray[np.float64]:
    """Zone areas on the ellipsoid between row edges (Snyder 1987, equation 3-12), shared out by longitude."""
    if not box.axis_aligned:
        raise ContractError(
            "A rotated grid in degrees has no simple cell areas",
            expected="rows along parallels",
            remedy="reproject the data to an axis-aligned grid first",
        )
    edges = np.clip(box.affine.f + box.affine.e * np.arange(box.shape.y + 1), -90.0, 90.0)
    geod = _geod(crs_of(box))
    sine, e2 = np.sin(np.radians(edges)), geod.es
    if e2 > 0:
        e = math.sqrt(e2)
        zone = (1 - e2) * (sine / (1 - e2 * sine**2) + np.arctanh(e * sine) / e)
    else:
        zone = 2 * sine
    rows = geod.a**2 / 2.0 * np.abs(np.diff(zone)) * math.radians(abs(box.affine.a))
    return np.repeat(rows[:, None], box.shape.x, axis=1)
