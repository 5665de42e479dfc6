"""Random fields that are functions of place: hashed white noise, and smooth fields with finite kernels.

A number depends on a key and its absolute place alone, never on the window it is asked for with, so that tiles fit
together without seams. All sums run in a fixed order over a fixed number of terms; they are elementwise, because a
matrix product may add in another order for another shape of window.

The hash is the finaliser of SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators"),
applied to the key, the row and the column in turn; so keys that follow each other give independent fields.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_MASK = (1 << 64) - 1
_ROWS = 16

# Variance of a cubic B-spline field over white noise, averaged over places: the sum of squares of the four weights,
# integrated over a cell, is 151/315 per axis.
_AXIS_VARIANCE = 151.0 / 315.0


def bits(key: int, rows: ArrayLike, columns: ArrayLike) -> NDArray[np.uint64]:
    """64 hashed bits for each place.

    Args:
        key: of the field, as ``swath.rng.key`` makes it; the lowest 64 bits count.
        rows: whole numbers, negative ones too.
        columns: the same; both broadcast against each other.

    Returns:
        uint64 of the broadcast shape.
    """
    with np.errstate(over="ignore"):
        # The key is mixed on its own first: added to the rows as it is, the next key would be the next row.
        state = _mixed(np.uint64(key & _MASK))
        state = _mixed(state + np.asarray(rows, np.int64).view(np.uint64))
        return _mixed(state + np.asarray(columns, np.int64).view(np.uint64))


def uniform(key: int, rows: ArrayLike, columns: ArrayLike) -> NDArray[np.float64]:
    """White noise in the open interval (0, 1), float64 of the broadcast shape; arguments as ``bits``."""
    return ((bits(key, rows, columns) >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def normal(key: int, rows: ArrayLike, columns: ArrayLike) -> NDArray[np.float64]:
    """White noise with the standard normal distribution, float64 of the broadcast shape; arguments as ``bits``."""
    return np.asarray(ndtri(uniform(key, rows, columns)), dtype=np.float64)


def smooth(key: int, y: ArrayLike, x: ArrayLike, spacing: float) -> NDArray[np.float64]:
    """A twice differentiable field on a mesh: cubic B-splines over hashed normal numbers on a lattice.

    Args:
        key: of the field.
        y: places of the rows ``(H,)``, in any unit.
        x: places of the columns ``(W,)``.
        spacing: distance of the lattice, in the same unit; details are about twice as large.

    Returns:
        float64 ``(H, W)``, mean 0, variance 1 (both over the whole field).
    """
    first_row, weights_y = spline_weights(np.atleast_1d(np.asarray(y, np.float64)), spacing)
    first_column, weights_x = spline_weights(np.atleast_1d(np.asarray(x, np.float64)), spacing)
    if first_row.size == 0 or first_column.size == 0:
        return np.zeros((first_row.size, first_column.size))
    low_row, low_column = int(first_row.min()), int(first_column.min())
    lattice = normal(
        key,
        np.arange(low_row, int(first_row.max()) + 4)[:, None],
        np.arange(low_column, int(first_column.max()) + 4)[None, :],
    )
    field = spline(lattice, (first_row - low_row, weights_y), (first_column - low_column, weights_x))
    field /= _AXIS_VARIANCE
    return field


def spline(
    lattice: NDArray[np.float64],
    rows: tuple[NDArray[np.int64], NDArray[np.float64]],
    columns: tuple[NDArray[np.int64], NDArray[np.float64]],
) -> NDArray[np.float64]:
    """Cubic B-splines over a lattice, on a mesh; twice differentiable, and within the range of the lattice.

    Args:
        lattice: numbers ``(h, w)``.
        rows: first of four lattice rows for each row of the mesh ``(H,)`` and their weights ``(H, 4)``, as
            ``spline_weights`` gives them, counted from the first row of the lattice.
        columns: the same for the columns.

    Returns:
        float64 ``(H, W)``.
    """
    (first_row, weights_y), (first_column, weights_x) = rows, columns
    along = np.zeros((lattice.shape[0], first_column.size))
    for step in range(4):
        along += weights_x[:, step] * lattice[:, first_column + step]
    # A few rows at a time stay in the processor's cache, which makes this four times as fast.
    field = np.zeros((first_row.size, first_column.size))
    for top in range(0, first_row.size, _ROWS):
        strip, first = field[top : top + _ROWS], first_row[top : top + _ROWS]
        for step in range(4):
            strip += weights_y[top : top + _ROWS, step, None] * along[first + step]
    return field


def smooth_at(key: int, y: ArrayLike, x: ArrayLike, spacing: float) -> NDArray[np.float64]:
    """The field of ``smooth`` at scattered places: ``y`` and ``x`` broadcast; float64 of the broadcast shape."""
    places_y, places_x = np.broadcast_arrays(np.asarray(y, np.float64), np.asarray(x, np.float64))
    first_row, weights_y = spline_weights(places_y, spacing)
    first_column, weights_x = spline_weights(places_x, spacing)
    field = np.zeros(places_y.shape)
    for row in range(4):
        along = np.zeros(places_y.shape)
        for column in range(4):
            along = along + weights_x[..., column] * normal(key, first_row + row, first_column + column)
        field = field + weights_y[..., row] * along
    return field / _AXIS_VARIANCE


def smooth_in_space(key: int, points: NDArray[np.float64], spacing: float) -> NDArray[np.float64]:
    """A field in space, for places on a sphere: it has neither poles nor a seam.

    Args:
        key: of the field.
        points: coordinates ``(3, ...)``, in any unit, within half a million spacings of the centre.
        spacing: distance of the lattice, in the same unit.

    Returns:
        float64 ``(...)``, mean 0, variance 1.
    """
    (first_z, weights_z), (first_y, weights_y), (first_x, weights_x) = (
        spline_weights(np.asarray(part, np.float64), spacing) for part in points
    )
    field = np.zeros(first_z.shape)
    if field.size == 0:
        return field
    at = _lattice_in_space(key, (first_z, first_y, first_x))
    for layer in range(4):
        for row in range(4):
            weight = weights_z[..., layer] * weights_y[..., row]
            for column in range(4):
                field += weight * weights_x[..., column] * at(layer, row, column)
    return field / _AXIS_VARIANCE**1.5


def _lattice_in_space(
    key: int, firsts: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
) -> Callable[[int, int, int], NDArray[np.float64]]:
    """Numbers of the lattice at steps from the first points; places close together share one small block of it."""
    first_z, first_y, first_x = firsts

    def numbers(z: ArrayLike, y: ArrayLike, x: ArrayLike) -> NDArray[np.float64]:
        return normal(key, (np.asarray(z, np.int64) << 20) + np.asarray(y, np.int64), x)

    ranges = [np.arange(int(first.min()), int(first.max()) + 4) for first in firsts]
    if np.prod([len(along) for along in ranges], dtype=np.float64) > 16 * first_z.size:
        return lambda layer, row, column: numbers(first_z + layer, first_y + row, first_x + column)
    block = numbers(ranges[0][:, None, None], ranges[1][:, None], ranges[2])
    z, y, x = (first - along[0] for first, along in zip(firsts, ranges, strict=True))
    return lambda layer, row, column: block[z + layer, y + row, x + column]


def fractal(
    key: int, y: ArrayLike, x: ArrayLike, spacing: float, octaves: int, persistence: float = 0.5
) -> NDArray[np.float64]:
    """Fractional Brownian motion: octaves of ``smooth``, each half as wide and ``persistence`` times as strong.

    Args:
        key: of the field.
        y: places of the rows ``(H,)``.
        x: places of the columns ``(W,)``.
        spacing: distance of the lattice of the first octave.
        octaves: at least 1.
        persistence: 0.5 gives self-similar relief (Hurst exponent 1), 0.7 a rougher one (about 0.5).

    Returns:
        float64 ``(H, W)``, mean 0, variance 1.
    """
    total, power = smooth(key, y, x, spacing), 1.0
    for octave in range(1, octaves):
        total = total + persistence**octave * smooth(key + octave, y, x, spacing / 2**octave)
        power += persistence ** (2 * octave)
    return np.asarray(total / np.sqrt(power))


def spline_weights(places: NDArray[np.float64], spacing: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """First of four lattice points around each place ``(...)`` and their cubic B-spline weights ``(..., 4)``."""
    scaled = places / spacing
    whole = np.floor(scaled)
    t = scaled - whole
    weights = np.stack(
        [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3],
        axis=-1,
    )
    return whole.astype(np.int64) - 1, weights / 6.0


def _mixed(state: NDArray[np.uint64] | np.uint64) -> NDArray[np.uint64]:
    state = state + _GOLDEN
    state = (state ^ (state >> np.uint64(30))) * _FIRST
    state = (state ^ (state >> np.uint64(27))) * _SECOND
    return np.asarray(state ^ (state >> np.uint64(31)))
