"""From the pixels of a truth to those of a sensor: absolute grids, point spread, averaging.

The blur of a band is a Gaussian whose width gives the published modulation transfer at the Nyquist frequency of its
detector: the mean over a pixel of side g passes sinc(g f), 2/pi at Nyquist, and the Gaussian the rest. On the pixels of
the truth it is a finite kernel of 3 sigma on each side, joined with the mean over a pixel into one separable filter
that is worked out at the pixels of the sensor only.

Sums run tap by tap over whole slices, so that a value does not depend on the window that it is made in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from swath.errors import InputError

_REACH = 3.0
_WHOLE = 1e-6


@dataclass(frozen=True)
class Rectangle:
    """Absolute pixels of a projected grid: row r covers northings ``-g (r + 1) + y0`` to ``-g r + y0``.

    Args:
        row, column: of the first pixel.
        height, width: pixels.
    """

    row: int
    column: int
    height: int
    width: int

    @property
    def bottom(self) -> int:
        """The row after the last."""
        return self.row + self.height

    @property
    def right(self) -> int:
        """The column after the last."""
        return self.column + self.width

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.height, self.width

    def pad(self, pixels: int) -> Rectangle:
        """With a margin on every side."""
        return Rectangle(self.row - pixels, self.column - pixels, self.height + 2 * pixels, self.width + 2 * pixels)

    def finer(self, times: int) -> Rectangle:
        """The same ground in pixels that are ``times`` as small."""
        return Rectangle(self.row * times, self.column * times, self.height * times, self.width * times)

    def coarser(self, times: int) -> Rectangle:
        """The pixels ``times`` as wide that touch this."""
        row, column = self.row // times, self.column // times
        return Rectangle(row, column, -(-self.bottom // times) - row, -(-self.right // times) - column)

    def common(self, other: Rectangle) -> Rectangle:
        """What lies in both; no rows or columns where nothing does."""
        row, column = max(self.row, other.row), max(self.column, other.column)
        height, width = min(self.bottom, other.bottom) - row, min(self.right, other.right) - column
        return Rectangle(row, column, max(height, 0), max(width, 0))

    def within(self, other: Rectangle) -> tuple[slice, slice]:
        """Where this lies in an array over ``other``."""
        row, column = self.row - other.row, self.column - other.column
        return slice(row, row + self.height), slice(column, column + self.width)


@dataclass(frozen=True)
class TruthGrid:
    """The grid of a truth in absolute pixels, and the native grids on it.

    Args:
        crs: as odc-geo holds it.
        gsd: side of a pixel [m].
        shift: (x, y) of pixel (0, 0)'s corner [m]; less than half a pixel.
        place: the pixels of the truth.
    """

    crs: Any
    gsd: float
    shift: tuple[float, float]
    place: Rectangle

    def times(self, gsd: float) -> int:
        """How many of these pixels lie along one of ``gsd`` metres."""
        return round(gsd / self.gsd)

    def native(self, gsd: float) -> Rectangle:
        """The pixels of ``gsd`` metres that touch the truth."""
        return self.place.coarser(self.times(gsd))

    def geobox(self, gsd: float, place: Rectangle) -> GeoBox:
        """``place``, in pixels of ``gsd`` metres, as a grid of odc-geo."""
        x, y = self.shift
        affine = Affine(gsd, 0.0, place.column * gsd + x, 0.0, -gsd, -place.row * gsd + y)
        return GeoBox(place.shape, affine, self.crs)

    def northings(self, gsd: float, place: Rectangle) -> NDArray[np.float64]:
        """Of the centres of the rows [m], ``(H,)``, of pixels of ``gsd`` metres."""
        return -(place.row + np.arange(place.height, dtype=np.float64) + 0.5) * float(gsd) + self.shift[1]

    def eastings(self, gsd: float, place: Rectangle) -> NDArray[np.float64]:
        """Of the centres of the columns [m], ``(W,)``."""
        return (place.column + np.arange(place.width, dtype=np.float64) + 0.5) * float(gsd) + self.shift[0]


def truth_grid(box: GeoBox) -> TruthGrid:
    """The grid of a truth, counted from the origin of its CRS.

    Raises:
        InputError: no CRS, pixels in degrees, or pixels that are not square and north up.
    """
    crs, affine = box.crs, box.affine
    if crs is None:
        raise InputError(
            "The truth has no coordinate reference system (CRS)",
            expected="a projected CRS in metres",
            remedy="give its CRS, for example with odc.geo.xr.assign_crs",
        )
    # The second axis of a polar plane has no name that odc-geo knows, and then no unit either.
    metres = crs.projected and all(unit in ("m", "metre", "meter", "") for unit in crs.units) and any(crs.units)
    square = affine.b == 0 and affine.d == 0 and affine.a > 0 and abs(affine.e + affine.a) <= _WHOLE * affine.a
    if not metres or not square:
        raise InputError(
            f"The grid of the truth is in {crs} with pixels of {affine.a:.6g} x {affine.e:.6g} {crs.units[0]}",
            expected="square pixels, north up, in a projected CRS in metres, as the products of the sensors have",
            remedy="reproject it first, for example with truth.odc.reproject('utm', resolution=10)",
        )
    gsd = float(affine.a)
    gsd = float(round(gsd)) if abs(gsd - round(gsd)) < _WHOLE * gsd else gsd
    row, column = round(-affine.f / gsd), round(affine.c / gsd)
    shift = (_without_dust(affine.c - column * gsd, gsd), _without_dust(affine.f + row * gsd, gsd))
    return TruthGrid(crs, gsd, shift, Rectangle(row, column, int(box.shape.y), int(box.shape.x)))


def check_pixels(grid: TruthGrid, pixels: dict[str, float], sensor: str) -> None:
    """Stop where a sensor's pixels are finer than the truth's, or no whole number of them.

    Args:
        grid: of the truth.
        pixels: GSD of each band [m].
        sensor: for the sentence.

    Raises:
        InputError: names the finest pixel and the truth's.
    """
    finest = min(pixels.values())
    if finest < grid.gsd * (1 - _WHOLE):
        raise InputError(
            f"The truth has pixels of {grid.gsd:g} m and the sensor '{sensor}' of {finest:g} m: its resolution is "
            "finer than the truth",
            expected=f"a truth with pixels of at most {finest:g} m",
            remedy="make the truth on a finer grid, or choose a coarser sensor",
        )
    odd = sorted({gsd for gsd in pixels.values() if abs(gsd / grid.gsd - round(gsd / grid.gsd)) > _WHOLE})
    if odd:
        raise InputError(
            f"Pixels of {odd[0]:g} m are no whole number of the truth's pixels of {grid.gsd:g} m",
            expected=f"a truth whose pixels divide {', '.join(f'{gsd:g}' for gsd in sorted(set(pixels.values())))} m",
            remedy="resample the truth, for example to 10 m",
        )


@lru_cache(maxsize=256)
def gaussian(detector_gsd: float, transfer: float, truth_gsd: float) -> tuple[float, ...]:
    """Taps of the blur on pixels of the truth: odd in number, symmetric, summing to one.

    Args:
        detector_gsd: pixel of the detector [m], whose Nyquist frequency counts.
        transfer: modulation transfer there, between 0 and 2/pi, the mean over the pixel included.
        truth_gsd: pixel of the truth [m].
    """
    phase = math.pi * truth_gsd / detector_gsd  # of one tap, at the Nyquist frequency of the detector
    wanted = transfer * math.pi / 2.0
    if wanted >= 1.0 or phase > math.pi * (1 + _WHOLE):
        return (1.0,)
    low, high = 1e-3, 3.0 * detector_gsd / truth_gsd
    for _ in range(60):
        middle = 0.5 * (low + high)
        taps = _taps(middle)
        radius = len(taps) // 2
        passed = sum(tap * math.cos(phase * (index - radius)) for index, tap in enumerate(taps))
        low, high = (middle, high) if passed > wanted else (low, middle)
    return _taps(high)


@lru_cache(maxsize=256)
def kernel(blur: tuple[float, ...], times: int) -> NDArray[np.float32]:
    """The blur and the mean over ``times`` pixels in one, float32 ``(len(blur) + times - 1,)``, summing to one."""
    return np.convolve(np.asarray(blur), np.full(times, 1.0 / times)).astype(np.float32)


def resample(fine: NDArray[np.float32], taps: NDArray[np.float32], times: int) -> NDArray[np.float32]:
    """Filter ``fine`` along both axes and keep the middle of every block of ``times`` pixels.

    Args:
        fine: ``(times * H + margin, times * W + margin)`` with ``margin = len(taps) - times``, half on each side.
        taps: of ``kernel``.
        times: of ``kernel``.

    Returns:
        float32 ``(H, W)``.
    """
    return _along(_along(fine, taps, times, 0), taps, times, 1)


def block_mean(fine: NDArray[Any], times: int) -> NDArray[Any]:
    """Means of blocks of ``times`` x ``times`` pixels ``(times * H, times * W)``, summed in a fixed order."""
    if times == 1:
        return fine
    rows = _sum_of([fine[step::times] for step in range(times)])
    # Divided, not multiplied by an inverse: the mean of ones is one.
    return _sum_of([rows[:, step::times] for step in range(times)]) / fine.dtype.type(times**2)


def enlarge(coarse: NDArray[np.float32], times: int) -> NDArray[np.float32]:
    """Bilinear interpolation from ``(H + 2, W + 2)`` pixels, a margin of one, to ``(times * H, times * W)``."""
    return _stretch(_stretch(coarse, times, 0), times, 1)


def _stretch(coarse: NDArray[np.float32], times: int, axis: int) -> NDArray[np.float32]:
    if times == 1:
        return coarse[1:-1] if axis == 0 else coarse[:, 1:-1]
    moved = coarse if axis == 0 else coarse.T
    count = moved.shape[0] - 2
    out = np.empty((count * times, moved.shape[1]), np.float32)
    for step in range(times):
        place = (step + 0.5) / times - 0.5  # of the new centre, in coarse pixels from the old one
        other, share = (moved[:-2], -place) if place < 0 else (moved[2:], place)
        out[step::times] = moved[1:-1] * np.float32(1.0 - share) + other * np.float32(share)
    return out if axis == 0 else np.ascontiguousarray(out.T)


def _along(fine: NDArray[np.float32], taps: NDArray[np.float32], times: int, axis: int) -> NDArray[np.float32]:
    if len(taps) == 1:
        return fine
    count = (fine.shape[axis] - (len(taps) - times)) // times
    out: NDArray[np.float32] | None = None
    for index, tap in enumerate(taps):
        part = slice(index, index + (count - 1) * times + 1, times) if count else slice(0, 0)
        term = (fine[part] if axis == 0 else fine[:, part]) * tap
        out = term if out is None else np.add(out, term, out=out)
    assert out is not None
    return out


def _sum_of(parts: list[NDArray[Any]]) -> NDArray[Any]:
    total = parts[0] + parts[1]
    for part in parts[2:]:
        total += part
    return total


def _taps(sigma: float) -> tuple[float, ...]:
    radius = max(1, math.ceil(_REACH * sigma))
    raw = [math.exp(-0.5 * (step / sigma) ** 2) for step in range(-radius, radius + 1)]
    total = math.fsum(raw)
    return tuple(value / total for value in raw)


def _without_dust(shift: float, gsd: float) -> float:
    return 0.0 if abs(shift) < _WHOLE * gsd else float(shift)
