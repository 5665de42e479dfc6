"""Where the simulated Earth keeps its pixels: UTM and UPS zones, absolute 10 m pixels, windows and cells.

Every zone of the Universal Transverse Mercator system, north and south, and the two polar stereographic zones are a
plane of their own, as the products of Sentinel-2 and Landsat are. Pixels have absolute numbers: pixel (row, column)
covers eastings 10 * column to 10 * (column + 1) and northings -10 * (row + 1) to -10 * row, so rows grow southwards
and are negative in the north. Cells of 1, 10 and 100 km lie at whole multiples of their size. Fine detail differs on
both sides of a zone's border; what comes from the real globe does not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from swath.errors import InputError

PIXEL = 10
"""Metres: the finest pixel of this version, and the unit of all absolute numbers."""

KILOMETRE = 100
"""Pixels along a side of the smallest cell; others are 10 and 100 times as wide."""

GSD_LADDER = (10, 20, 30, 60, 90, 100, 250, 300, 500, 1000)
"""Metres: pixel sizes that the truth comes in; each is a whole number of the finest pixels."""

NORTH_POLE, SOUTH_POLE = 32661, 32761
_STEP = 32  # pixels between places whose longitude and latitude are worked out; between them they are interpolated


@dataclass(frozen=True)
class Zone:
    """A zone by its EPSG code: 32601 to 32660, 32701 to 32760, 32661 (north pole), 32761 (south pole).

    Raises:
        InputError: the code is no such zone.
    """

    epsg: int

    def __post_init__(self) -> None:
        if not (32601 <= self.epsg <= 32661 or 32701 <= self.epsg <= 32761):
            raise InputError(
                f"EPSG:{self.epsg} is no zone of the simulated Earth",
                expected="a UTM zone (EPSG:32601 to 32660, 32701 to 32760) or a polar one (EPSG:32661, 32761)",
                remedy="reproject the request, or ask for a place with zone_at(lon, lat)",
            )

    @property
    def polar(self) -> bool:
        """Whether this is one of the two polar stereographic zones."""
        return self.epsg in (NORTH_POLE, SOUTH_POLE)

    @property
    def southern(self) -> bool:
        """Whether the zone is of the southern hemisphere (windows of others may reach beyond the equator)."""
        return self.epsg >= 32701

    def lonlat(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Longitude and latitude [degrees] of eastings and northings [m], of their shape."""
        lon, lat = _to_lonlat(self.epsg).transform(x, y)
        return np.asarray(lon, np.float64), np.asarray(lat, np.float64)

    def metres(self, lon: float, lat: float) -> tuple[float, float]:
        """Easting and northing [m] of a place."""
        x, y = _from_lonlat(self.epsg).transform(lon, lat)
        return float(x), float(y)


def zone_at(lon: float, lat: float) -> Zone:
    """The zone of a place: UPS north of 84 and south of 80 degrees, UTM elsewhere.

    Norway and Svalbard have their usual exceptions.

    Raises:
        InputError: there is no such place.
    """
    if not (math.isfinite(lon) and math.isfinite(lat) and -90 <= lat <= 90 and -360 <= lon <= 360):
        raise InputError(
            f"There is no place at longitude {lon}, latitude {lat}",
            expected="longitude -180 to 180 and latitude -90 to 90 degrees",
            remedy="check the order: longitude comes first",
        )
    if lat >= 84.0:
        return Zone(NORTH_POLE)
    if lat < -80.0:
        return Zone(SOUTH_POLE)
    lon = (lon + 180.0) % 360.0 - 180.0
    number = int((lon + 180.0) // 6.0) + 1
    if 56.0 <= lat < 64.0 and 3.0 <= lon < 6.0:
        number = 32
    if lat >= 72.0 and 0.0 <= lon < 42.0:
        number = next(zone for zone, east in ((31, 9.0), (33, 21.0), (35, 33.0), (37, 42.0)) if lon < east)
    return Zone((32600 if lat >= 0.0 else 32700) + number)


@dataclass(frozen=True)
class Window:
    """A rectangle of absolute pixels of one zone; may be empty.

    Args:
        zone: the zone.
        row, column: of the pixel in the north-west corner.
        height, width: pixels.
        step: size of a pixel in finest pixels: 1 is 10 m, 25 is 250 m. ``row`` and the others count such pixels.
    """

    zone: Zone
    row: int
    column: int
    height: int
    width: int
    step: int = 1

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.height, self.width

    @property
    def gsd(self) -> int:
        """Size of a pixel [m]."""
        return PIXEL * self.step

    @property
    def y(self) -> NDArray[np.float64]:
        """Northings of the pixel centres [m] ``(H,)``."""
        return np.asarray(-(self.rows + 0.5) * float(self.gsd), np.float64)

    @property
    def x(self) -> NDArray[np.float64]:
        """Eastings of the pixel centres [m] ``(W,)``."""
        return np.asarray((self.columns + 0.5) * float(self.gsd), np.float64)

    @property
    def rows(self) -> NDArray[np.int64]:
        """Absolute numbers of the rows ``(H,)``."""
        return self.row + np.arange(self.height, dtype=np.int64)

    @property
    def columns(self) -> NDArray[np.int64]:
        """Absolute numbers of the columns ``(W,)``."""
        return self.column + np.arange(self.width, dtype=np.int64)

    @property
    def geobox(self) -> GeoBox:
        """The window as a grid of ``odc.geo``."""
        gsd = float(self.gsd)
        return GeoBox(
            self.shape,
            Affine(gsd, 0.0, self.column * gsd, 0.0, -gsd, -self.row * gsd),
            f"EPSG:{self.zone.epsg}",
        )

    def pad(self, pixels: int) -> Window:
        """The window with a margin on every side."""
        return Window(
            self.zone,
            self.row - pixels,
            self.column - pixels,
            self.height + 2 * pixels,
            self.width + 2 * pixels,
            self.step,
        )

    def finest(self) -> Window:
        """The same ground in the finest pixels."""
        s = self.step
        return Window(self.zone, self.row * s, self.column * s, self.height * s, self.width * s)

    def coarsened(self, step: int) -> Window:
        """The smallest window of pixels of ``step`` finest ones that covers this one."""
        fine = self.finest()
        row, column = fine.row // step, fine.column // step
        bottom, right = -(-(fine.row + fine.height) // step), -(-(fine.column + fine.width) // step)
        return Window(self.zone, row, column, bottom - row, right - column, step)

    def cells(self, size: int) -> Iterator[Window]:
        """The cells of ``size`` finest pixels along a side that this window touches, in rows from the north-west."""
        if 0 in self.shape:
            return
        over = self.coarsened(size)
        for row in range(over.row, over.row + over.height):
            for column in range(over.column, over.column + over.width):
                yield Window(self.zone, row * size, column * size, size, size)

    def lonlat(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Longitude and latitude of the pixel centres [degrees], each ``(H, W)``, longitude from -180 to 180.

        Worked out on absolute multiples of 32 pixels and interpolated linearly between them, on the sphere: the error
        is far below a pixel, and the numbers do not depend on the window.
        """
        rows, row_weights = _knots(self.row, self.height)
        columns, column_weights = _knots(self.column, self.width)
        gsd = float(self.gsd)
        x, y = np.meshgrid((columns + 0.5) * gsd, -(rows + 0.5) * gsd)
        lon, lat = (np.radians(part) for part in self.zone.lonlat(x, y))
        sphere = [np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)]
        a, b, c = (_between(part, row_weights, column_weights) for part in sphere)
        return np.degrees(np.arctan2(b, a)), np.degrees(np.arctan2(c, np.hypot(a, b)))


def window_of(box: GeoBox) -> Window:
    """The window that a grid is.

    Raises:
        InputError: no CRS, a CRS that is no zone, pixels that are not square or not of the ladder, or that do not lie
            on whole multiples of their size.
    """
    if box.crs is None:
        raise InputError(
            "The grid has no coordinate reference system (CRS)",
            expected="a UTM or polar stereographic CRS",
            remedy="make the grid with swath.World.box(lon, lat, ...), or give it its CRS",
        )
    affine, epsg = box.affine, box.crs.epsg
    gsd = abs(affine.a)
    square = affine.b == 0 and affine.d == 0 and affine.a > 0 and affine.e == -affine.a
    if epsg is None or not square:
        raise InputError(
            f"The simulated Earth cannot be sampled on this grid ({box.crs}, {affine.a:g} x {affine.e:g})",
            expected="square pixels, north up, in a UTM or polar stereographic CRS with an EPSG code",
            remedy="make the grid with swath.World.box(lon, lat, ...)",
        )
    zone = Zone(int(epsg))
    if gsd < PIXEL:
        raise InputError(
            f"Pixels of {gsd:g} m were asked for",
            expected=f"{PIXEL} m or more: this version of the simulated Earth promises nothing finer",
            remedy=f"ask for one of {', '.join(map(str, GSD_LADDER))} m",
        )
    if gsd not in GSD_LADDER:
        raise InputError(
            f"Pixels of {gsd:g} m were asked for",
            expected=f"one of {', '.join(map(str, GSD_LADDER))} m",
            remedy="take the next finer of these and resample",
        )
    row, column = -affine.f / gsd, affine.c / gsd
    if abs(row - round(row)) > 1e-6 or abs(column - round(column)) > 1e-6:
        raise InputError(
            f"The corner ({affine.c:.10g}, {affine.f:.10g}) is no whole multiple of the pixel size {gsd:g} m",
            expected="pixels on the absolute grid of the zone",
            remedy=f"move the corner to ({round(column) * gsd:.10g}, {-round(row) * gsd:.10g})",
        )
    height, width = box.shape.yx
    return Window(zone, round(row), round(column), int(height), int(width), int(gsd) // PIXEL)


def _knots(first: int, count: int) -> tuple[NDArray[np.int64], tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Knots at multiples of 32 around ``count`` pixels, and for each pixel the knot before it and its share."""
    pixels = first + np.arange(count, dtype=np.int64)
    low = first // _STEP
    knots = np.arange(low, (first + max(count, 1) - 1) // _STEP + 2, dtype=np.int64) * _STEP
    return knots, (pixels // _STEP - low, (pixels % _STEP) / float(_STEP))


def _between(
    knots: NDArray[np.float64],
    rows: tuple[NDArray[np.int64], NDArray[np.float64]],
    columns: tuple[NDArray[np.int64], NDArray[np.float64]],
) -> NDArray[np.float64]:
    """Bilinear interpolation of ``knots`` (rows, columns)."""
    column, share = columns
    along = knots[:, column] * (1.0 - share) + knots[:, column + 1] * share
    row, share = rows
    return np.asarray(along[row] * (1.0 - share)[:, None] + along[row + 1] * share[:, None])


@lru_cache(maxsize=128)
def _to_lonlat(epsg: int) -> Transformer:
    return Transformer.from_crs(epsg, 4326, always_xy=True)


@lru_cache(maxsize=128)
def _from_lonlat(epsg: int) -> Transformer:
    return Transformer.from_crs(4326, epsg, always_xy=True)
