"""Places on jittered lattices, the districts around them, and slow fields: what fields, towns and cover are made with.

All of it is a function of absolute place in the plane of a zone, so that neighbouring cells fit together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from swath.sources.world import noise
from swath.sources.world.frame import Window

if TYPE_CHECKING:
    from swath.sources.world.earth.earth import Earth

Array = NDArray[np.float64]

DISTRICT = 2500.0
"""Metres between the centres of districts, within which fields and streets run in the same direction."""

_JITTER = 0.7  # of a lattice cell, in which its place may lie


@dataclass(frozen=True)
class Places:
    """Places of a jittered lattice, one for each of its cells, all arrays ``(n,)``.

    Args:
        row: of the lattice cell, growing southwards.
        column: of the lattice cell.
        y: northing [m].
        x: easting [m].
    """

    row: NDArray[np.int64]
    column: NDArray[np.int64]
    y: Array
    x: Array


def places(key: int, spacing: float, window: Window, margin: float) -> Places:
    """The places of all lattice cells that reach within ``margin`` metres of a window, in rows."""
    top, bottom = -float(window.y[0]) - margin, -float(window.y[-1]) + margin
    left, right = float(window.x[0]) - margin, float(window.x[-1]) + margin
    rows = np.arange(math.floor(top / spacing), math.floor(bottom / spacing) + 1, dtype=np.int64)
    columns = np.arange(math.floor(left / spacing), math.floor(right / spacing) + 1, dtype=np.int64)
    row, column = (part.ravel() for part in np.meshgrid(rows, columns, indexing="ij"))
    edge = (1.0 - _JITTER) / 2.0
    y = -(row + edge + _JITTER * noise.uniform(key, row, column)) * spacing
    x = (column + edge + _JITTER * noise.uniform(key + 1, row, column)) * spacing
    return Places(row, column, y, x)


def nearest(found: Places, spacing: float, window: Window) -> NDArray[np.int16]:
    """Number of the place that is nearest to each pixel ``(H, W)``; needs the places within two spacings around."""
    best = np.full(window.shape, np.inf, np.float32)
    owner = np.zeros(window.shape, np.int16)
    y, x = window.y, window.x
    for number, (place_y, place_x) in enumerate(zip(found.y, found.x, strict=True)):
        # A jittered lattice has a place within 1.3 spacings of anywhere (0.85 along each axis, and a little more).
        rows = slice(*np.searchsorted(-y, [-place_y - 1.3 * spacing, -place_y + 1.3 * spacing]))
        columns = slice(*np.searchsorted(x, [place_x - 1.3 * spacing, place_x + 1.3 * spacing]))
        down, right = y[rows] - place_y, x[columns] - place_x
        distance = (down**2).astype(np.float32)[:, None] + (right**2).astype(np.float32)[None, :]
        nearer = distance < best[rows, columns]
        np.copyto(best[rows, columns], distance, where=nearer)
        np.copyto(owner[rows, columns], np.int16(number), where=nearer)
    return owner


@dataclass(frozen=True)
class Districts:
    """Districts around a window.

    Args:
        places: their centres.
        angle: direction of fields and streets [radians, counter-clockwise from east] ``(n,)``.
        owner: number of the district of each pixel ``(H, W)``.
    """

    places: Places
    angle: Array
    owner: NDArray[np.int16]

    def turned(self, number: int, y: Array, x: Array) -> tuple[Array, Array]:
        """Coordinates [m] of places along and across the direction of a district, from its centre."""
        down, right = y - self.places.y[number], x - self.places.x[number]
        sine, cosine = math.sin(self.angle[number]), math.cos(self.angle[number])
        return right * cosine + down * sine, down * cosine - right * sine

    def straight(self, number: int, along: Array, across: Array) -> tuple[Array, Array]:
        """Northings and eastings of coordinates of a district: the inverse of ``turned``."""
        sine, cosine = math.sin(self.angle[number]), math.cos(self.angle[number])
        return (
            self.places.y[number] + along * sine + across * cosine,
            self.places.x[number] + along * cosine - across * sine,
        )


def members(owner: NDArray[np.int16], chosen: NDArray[np.bool_]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """The numbers in ``owner`` ``(H, W)``, each with the flat indices of its pixels among the chosen ones."""
    pixels = np.flatnonzero(chosen)
    numbers = owner.ravel()[pixels]
    pixels = pixels[np.argsort(numbers, kind="stable")]  # a radix sort for such short numbers
    start = 0
    for number, count in enumerate(np.bincount(numbers)):
        if count:
            yield number, pixels[start : start + count]
        start += int(count)


def districts(earth: Earth, window: Window) -> Districts:
    """The districts of a window of 10 m pixels; neighbours tend to run alike."""
    epsg = window.zone.epsg
    found = places(earth.key("district", epsg), DISTRICT, window, 2.0 * DISTRICT)
    common = noise.smooth_at(earth.key("district/angle", epsg), found.y, found.x, 12_000.0)
    own = noise.normal(earth.key("district/own angle", epsg), found.row, found.column)
    return Districts(found, 0.9 * common + 0.5 * own, nearest(found, DISTRICT, window))


def over(window: Window, spacing: float, values: Callable[[Array, Array], Array]) -> Array:
    """A slow field worked out on an absolute lattice and joined by cubic B-splines.

    Args:
        window: not empty.
        spacing: of the lattice [m].
        values: from northings ``(h,)`` and eastings ``(w,)`` to numbers ``(..., h, w)``.

    Returns:
        float64 ``(..., H, W)``.
    """
    first_row, weights_y = noise.spline_weights(-window.y, spacing)
    first_column, weights_x = noise.spline_weights(window.x, spacing)
    top, left = int(first_row[0]), int(first_column[0])
    y = np.asarray(-np.arange(top, int(first_row[-1]) + 4) * spacing, np.float64)
    x = np.asarray(np.arange(left, int(first_column[-1]) + 4) * spacing, np.float64)
    lattice = np.asarray(values(y, x), np.float64)
    mesh = (first_row - top, weights_y), (first_column - left, weights_x)
    flat = lattice.reshape((-1, *lattice.shape[-2:]))
    return np.stack([noise.spline(part, *mesh) for part in flat]).reshape(lattice.shape[:-2] + window.shape)


def patches(key: int, window: Window, largest: float, smallest: float, persistence: float) -> Array:
    """A patchy field ``(H, W)``, about standard normal: octaves of ``noise.smooth`` from ``largest`` metres down.

    Octaves wider than 100 m are added up on a lattice of 40 m, which changes them little and costs less.
    """
    count = max(1, 1 + round(math.log2(largest / smallest)))
    wide = [octave for octave in range(count) if largest / 2**octave > 100.0]
    power = math.sqrt(sum(persistence ** (2 * octave) for octave in range(count)))

    def coarse(y: Array, x: Array) -> Array:
        parts = (persistence**octave * noise.smooth(key + octave, y, x, largest / 2**octave) for octave in wide)
        return np.asarray(sum(parts, np.zeros((len(y), len(x)))))

    total = over(window, 40.0, coarse) if wide else np.zeros(window.shape)
    for octave in range(len(wide), count):
        total += persistence**octave * noise.smooth(key + octave, window.y, window.x, largest / 2**octave)
    total /= power
    return total
