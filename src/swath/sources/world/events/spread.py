"""How far a fire runs in a day: least travel times from what burns already, over fuel, slope and wind."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra

Array = NDArray[np.float64]

_NEIGHBOURS = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))
_SLOPE = 5.275 * 0.005**-0.3
"""Rothermel (1972, equation 51): factor of the squared tangent of the slope, at a packing ratio of 0.005."""
_WIND = 1.6  # times the speed at 10 m to the power of 0.9: about 7 at 5 m/s, as for fine fuels half sheltered
_STEEPEST = 0.8  # tangent beyond which slopes count no more


@dataclass(frozen=True, eq=False)
class Fuel:
    """Ground that a fire runs over, each ``(H, W)``.

    Args:
        spread: rate without wind on level ground [m/min]; 0 where nothing burns.
        height: [m].
        size: of a pixel [m].
        crown: share of the plants that stands above the flames.
    """

    spread: Array
    height: Array
    size: float
    crown: Array


def run_of_a_day(
    fuel: Fuel, burning: NDArray[np.bool_], wind: tuple[float, float], minutes: float
) -> NDArray[np.bool_]:
    """What has burnt after some time ``(H, W)``: all pixels that fire reaches from those that burn.

    Args:
        fuel: the ground.
        burning: where fire is at the beginning.
        wind: towards the east and the north at 10 m [m/s].
        minutes: time that the fire has.
    """
    able = burning & (fuel.spread > 0.0)
    if not able.any() or minutes <= 0.0:
        return burning.copy()
    ellipse = _ellipse(fuel, wind)
    # Nothing beyond the fastest way can burn; so the graph need not be larger.
    farthest = int(minutes * float(ellipse[0].max()) / fuel.size) + 2
    part = _around(able, farthest)
    number = np.flatnonzero(able[part])
    graph = _graph(tuple(field[part] for field in ellipse), fuel.size)
    reached = dijkstra(graph, indices=number, min_only=True, limit=minutes)
    after = burning.copy()
    after[part] |= np.isfinite(reached).reshape(after[part].shape)
    return after


def travel_times(fuel: Fuel, wind: tuple[float, float]) -> csr_matrix:
    """Minutes from every pixel to its eight neighbours; no entry where either carries no fire."""
    return _graph(_ellipse(fuel, wind), fuel.size)


def _around(burning: NDArray[np.bool_], margin: int) -> tuple[slice, slice]:
    """The smallest rectangle around what burns, with a margin."""
    rows, columns = (np.flatnonzero(burning.any(axis=axis)) for axis in (1, 0))
    return (
        slice(max(int(rows[0]) - margin, 0), int(rows[-1]) + margin + 1),
        slice(max(int(columns[0]) - margin, 0), int(columns[-1]) + margin + 1),
    )


def _graph(ellipse: tuple[Array, ...], size: float) -> csr_matrix:
    """Travel times between neighbours, for ellipses of pixels of a size [m]."""
    head, east, north, roundness = ellipse
    height, width = head.shape
    number = np.arange(height * width).reshape(height, width)
    starts, ends, times = [], [], []
    for down, right in _NEIGHBOURS:
        here = _part(height, -down), _part(width, -right)
        there = _part(height, down), _part(width, right)
        length = float(np.hypot(down, right))
        # Share of the spread at the head in this direction: the ellipse seen from its rear focus.
        along = (right / length) * east - (down / length) * north
        rate = head * (1.0 - roundness) / (1.0 - roundness * along)
        between = np.where((rate[here] > 0.0) & (rate[there] > 0.0), 1.0, 0.0)
        slow = np.maximum(rate, 1e-9)
        minutes = 0.5 * length * size * (1.0 / slow[here] + 1.0 / slow[there])
        able = between > 0.0
        starts.append(number[here][able])
        ends.append(number[there][able])
        times.append(minutes[able])
    data, row, column = (np.concatenate(parts) for parts in (times, starts, ends))
    return csr_matrix((data, (row, column)), shape=(height * width, height * width))


def _ellipse(fuel: Fuel, wind: tuple[float, float]) -> tuple[Array, Array, Array, Array]:
    """Rate at the head [m/min], its direction (east, north), and the eccentricity of the ellipse, each ``(H, W)``."""
    down, right = (_gradient(fuel.height, axis) / fuel.size for axis in (0, 1))
    steep = np.hypot(down, right)
    push = _SLOPE * np.minimum(steep, _STEEPEST) ** 2 / np.maximum(steep, 1e-9)
    speed = float(np.hypot(*wind))
    blow = _WIND * speed**0.9 / speed if speed > 1e-6 else 0.0
    # Fire runs uphill; rows grow southwards, so the ground rises to the north where it falls with the rows.
    east, north = blow * wind[0] + push * right, blow * wind[1] - push * down
    strength = np.hypot(east, north)
    safe = np.maximum(strength, 1e-9)
    # Length over breadth grows with what drives the fire (Alexander 1985: about 2 at 10 km/h, 4 at 30 km/h).
    ratio = np.minimum(1.0 + 0.25 * strength, 5.0)
    return fuel.spread * (1.0 + strength), east / safe, north / safe, np.sqrt(1.0 - ratio**-2.0)


def _gradient(values: Array, axis: int) -> Array:
    """Central differences, one-sided at the edges; zero along an axis of one pixel."""
    return np.asarray(np.gradient(values, axis=axis)) if values.shape[axis] > 1 else np.zeros(values.shape)


def _part(size: int, shift: int) -> slice:
    """Pixels along an axis that are left when the other side is shifted by -1, 0 or 1."""
    return slice(max(shift, 0), size + min(shift, 0))
