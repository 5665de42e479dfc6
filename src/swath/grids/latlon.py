"""Latitude-longitude meshes, from one station to the whole globe."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from swath.errors import ContractError, InputError
from swath.grids.sphere import EARTH_RADIUS_M

Scalar = TypeVar("Scalar", bound=np.generic)
_CLOSE = 1e-6  # degrees; centres read from float32 files are this exact at best


@dataclass(frozen=True)
class LatLon:
    """The cells around every pair of a latitude and a longitude, as stored: no flip, no shift.

    Args:
        lat: cell centres in degrees, -90 to 90, strictly rising or strictly falling.
        lon: cell centres in degrees, -180 to 360, running eastward (a step over the antimeridian or over
            Greenwich is fine: 179, -179), each place once.

    Raises:
        ContractError: an axis is empty, not finite, out of range, out of order, or repeats a place.
    """

    lat: tuple[float, ...]
    lon: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "lat", tuple(float(value) for value in self.lat))
        object.__setattr__(self, "lon", tuple(float(value) for value in self.lon))
        _check_range("latitude", self.lat, -90.0, 90.0)
        _check_range("longitude", self.lon, -180.0, 360.0)
        steps = [b - a for a, b in itertools.pairwise(self.lat)]
        if not (all(step > 0 for step in steps) or all(step < 0 for step in steps)):
            raise ContractError(
                f"The {len(self.lat)} latitudes {_ends(self.lat)} do not run in one direction",
                expected="latitudes that strictly rise or strictly fall",
                remedy="sort them with grids.normalise, which returns the order so that it can be undone",
            )
        _check_eastward(self.lon)

    @classmethod
    def regular(cls, resolution: float, *, poles: bool = False, north_first: bool = True) -> LatLon:
        """The whole globe in cells of ``resolution`` degrees, longitudes from -180 eastward.

        Args:
            resolution: cell size in degrees; must divide 180.
            poles: whether the first and last rows are centred on the poles (half cells, as in ERA5).
            north_first: whether the first row is the northernmost.

        Raises:
            ContractError: the resolution does not divide 180 degrees.
        """
        rows = round(180.0 / resolution) if resolution > 0 else 0
        if rows < 1 or not math.isclose(rows * resolution, 180.0, rel_tol=1e-9):
            raise ContractError(
                f"The resolution {resolution} degrees does not divide the globe",
                expected="a cell size that divides 180 degrees, such as 0.25, 0.1 or 1.5",
                remedy="give the centres themselves: LatLon(lat, lon)",
            )
        # Whole half steps from the equator and from Greenwich, so that north and south mirror each other exactly.
        shift = 0 if poles else 1
        lat = (rows - shift - 2 * np.arange(rows + 1 - shift)) * 90.0 / rows
        lon = (2 * np.arange(2 * rows) + shift - 2 * rows) * 90.0 / rows
        return cls(tuple((lat if north_first else lat[::-1]).tolist()), tuple(lon.tolist()))

    @classmethod
    def point(cls, lon: float, lat: float) -> LatLon:
        """One station: H = W = 1, without extent."""
        return cls((lat,), (lon,))

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return len(self.lat), len(self.lon)

    @property
    def north_first(self) -> bool:
        """Whether the first row is the northernmost (True for a single row)."""
        return len(self.lat) == 1 or self.lat[0] > self.lat[-1]

    @property
    def has_poles(self) -> bool:
        """Whether a row is centred on a pole."""
        return max(map(abs, (self.lat[0], self.lat[-1]))) > 90.0 - _CLOSE

    @cached_property
    def cyclic(self) -> bool:
        """Whether the columns go around the globe: no gap between neighbours, last to first included, stands out."""
        steps = _steps(self.lon)
        return _cyclic(np.append(steps, 360.0 - steps.sum()))

    @cached_property
    def lat_edges(self) -> NDArray[np.float64]:
        """Row edges in degrees in the order of the rows, ``(H + 1,)``: midpoints, and half a step beyond the ends.

        Edges stop at the poles. Where a global grid leaves at most half a cell at a pole (Gaussian grids, or a pole
        row that was dropped), the end row reaches the pole, as in WeatherBench 2. A single row borrows the step of
        the columns; a point has no extent.
        """
        lat = np.asarray(self.lat)
        if len(lat) == 1:
            half = abs(float(_steps(self.lon).mean())) / 2.0 if len(self.lon) > 1 else 0.0
            return np.clip(np.array([lat[0] + half, lat[0] - half]), -90.0, 90.0)
        middle = (lat[1:] + lat[:-1]) / 2.0
        edges = np.concatenate([[lat[0] - (lat[1] - lat[0]) / 2.0], middle, [lat[-1] + (lat[-1] - lat[-2]) / 2.0]])
        edges = np.clip(edges, -90.0, 90.0)
        if self.cyclic:
            for end, step in ((0, abs(lat[1] - lat[0])), (-1, abs(lat[-1] - lat[-2]))):
                if 90.0 - abs(edges[end]) <= step / 2.0 + _CLOSE:
                    edges[end] = math.copysign(90.0, edges[end])
        return edges

    @cached_property
    def lon_widths(self) -> NDArray[np.float64]:
        """Width of each column in degrees, ``(W,)``; a single column borrows the step of the rows."""
        if len(self.lon) == 1:
            return np.array([abs(np.diff(self.lat)).mean() if len(self.lat) > 1 else 0.0])
        steps = _steps(self.lon)
        closing = 360.0 - steps.sum()
        before = np.concatenate([[closing if self.cyclic else steps[0]], steps])
        after = np.concatenate([steps, [closing if self.cyclic else steps[-1]]])
        return (before + after) / 2.0

    def cell_areas(self) -> NDArray[np.float64]:
        """Exact areas in square metres on the authalic sphere, float64 ``(H, W)``.

        ``A = R^2 * width_lon * |sin(north edge) - sin(south edge)|``; zero for a point.
        """
        sines = np.abs(np.diff(np.sin(np.radians(self.lat_edges))))
        return EARTH_RADIUS_M**2 * sines[:, None] * np.radians(self.lon_widths)[None, :]

    def area_weights(self) -> NDArray[np.float64]:
        """Cell areas divided by their mean, float64 ``(H, W)``: mean exactly 1, all ones for a point."""
        areas = self.cell_areas()
        mean = float(areas.mean())
        return areas / mean if mean > 0 else np.ones_like(areas)


@dataclass(frozen=True, eq=False)
class AxisOrder:
    """How the rows and columns of a file were rearranged, so that a product can be written as the file was.

    Args:
        rows: for each row after normalising, its position in the file.
        columns: likewise for columns.
        lat: latitudes as the file has them.
        lon: longitudes as the file has them.
    """

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    lat: tuple[float, ...]
    lon: tuple[float, ...]

    def apply(self, values: NDArray[Scalar]) -> NDArray[Scalar]:
        """``(..., H, W)`` in file order to normalised order."""
        self._check(values)
        return values[..., self.rows[:, None], self.columns]

    def undo(self, values: NDArray[Scalar]) -> NDArray[Scalar]:
        """``(..., H, W)`` in normalised order back to file order."""
        self._check(values)
        return values[..., np.argsort(self.rows)[:, None], np.argsort(self.columns)]

    def _check(self, values: NDArray[Scalar]) -> None:
        if values.shape[-2:] != (len(self.rows), len(self.columns)):
            raise ContractError(
                f"The array has the shape {values.shape}",
                expected=f"(..., {len(self.rows)}, {len(self.columns)})",
                remedy="keep latitude and longitude as the last two axes",
            )


def normalise(
    lat: Sequence[float], lon: Sequence[float], *, start: Literal[-180, 0] = -180, north_first: bool = True
) -> tuple[LatLon, AxisOrder]:
    """Bring axes of any order and longitude convention into one, with the way back.

    A grid around the whole globe starts at ``start``; a regional one stays in one piece, even over the antimeridian.

    Args:
        lat: latitudes as the file has them, in any order.
        lon: longitudes as the file has them, -180 to 360, in any order.
        start: -180 for longitudes in [-180, 180), 0 for [0, 360).
        north_first: whether rows run from north to south.

    Raises:
        InputError: a place appears twice, for example 0 and 360 both.
        ContractError: a value is out of range.
    """
    _check_range("latitude", lat, -90.0, 90.0)
    _check_range("longitude", lon, -180.0, 360.0)
    lats = np.asarray(lat, dtype=np.float64)
    wrapped = (np.asarray(lon, dtype=np.float64) - start) % 360.0 + start
    wrapped[wrapped >= start + 360.0] = start  # the remainder of a tiny negative number rounds up to 360
    for name, values in (("latitude", lats), ("longitude", wrapped)):
        unique, counts = np.unique(values, return_counts=True)
        if (counts > 1).any():
            raise InputError(
                f"The {name} {unique[counts > 1][0]:g} appears {counts.max()} times among {len(values)} values",
                expected="each place once",
                remedy="drop the repeated row or column (some files store both 0 and 360, or both -180 and 180)",
            )
    rows = np.argsort(-lats if north_first else lats)
    columns = np.argsort(wrapped)
    sorted_lon = wrapped[columns]
    gaps = np.append(np.diff(sorted_lon), sorted_lon[0] + 360.0 - sorted_lon[-1])
    if not _cyclic(gaps):
        columns = np.roll(columns, -(int(gaps.argmax()) + 1) % len(gaps))
    grid = LatLon(tuple(lats[rows].tolist()), tuple(wrapped[columns].tolist()))
    return grid, AxisOrder(rows, columns, tuple(map(float, lat)), tuple(map(float, lon)))


def _cyclic(gaps: NDArray[np.float64]) -> bool:
    """Whether no gap around the circle stands out: the widest is at most 1.5 times the next, two are equal."""
    if len(gaps) < 2:
        return False
    ordered = np.sort(gaps)
    return bool(ordered[-1] <= ordered[-2] * (1.5 if len(gaps) > 2 else 1.0) + _CLOSE)


def _steps(lon: Sequence[float]) -> NDArray[np.float64]:
    """Eastward steps between neighbours in degrees, in [0, 360)."""
    return np.diff(np.asarray(lon, dtype=np.float64)) % 360.0


def _check_range(axis: str, values: Sequence[float], low: float, high: float) -> None:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0:
        raise ContractError(
            f"The {axis} axis has the shape {array.shape}",
            expected="one or more values on one axis",
            remedy=f"give the {axis} of the cell centres",
        )
    bad = ~np.isfinite(array) | (array < low) | (array > high)
    if bad.any():
        raise ContractError(
            f"{int(bad.sum())} of {array.size} {axis} values lie outside the range, the first is {array[bad][0]:g}",
            expected=f"degrees from {low:g} to {high:g}",
            remedy="check that latitude and longitude are not swapped and that the unit is degrees",
        )


def _check_eastward(lon: tuple[float, ...]) -> None:
    steps = _steps(lon)
    if len(steps) and (steps <= 0).any():
        at = int(np.argmin(steps))
        raise ContractError(
            f"The longitude {lon[at]:g} is followed by {lon[at + 1]:g}, the same place",
            expected="each place once",
            remedy="drop the repeated column (some files store both 0 and 360, or both -180 and 180)",
        )
    total = float(steps.sum())
    # Two values cannot tell west from east but by the shorter way.
    if total > 360.0 + _CLOSE or (len(steps) == 1 and 180.0 < total < 360.0 - _CLOSE):
        raise ContractError(
            f"The {len(lon)} longitudes {_ends(lon)} do not run eastward",
            expected="longitudes from west to east, once around the globe at most",
            remedy="sort them with grids.normalise, which returns the order so that it can be undone",
        )
    if total >= 360.0 - _CLOSE:
        raise ContractError(
            f"The first and the last longitude, {lon[0]:g} and {lon[-1]:g}, are the same place",
            expected="each place once",
            remedy="drop the last column",
        )


def _ends(values: Sequence[float]) -> str:
    return f"{values[0]:g} to {values[-1]:g}" if len(values) > 1 else f"{values[0]:g}"
