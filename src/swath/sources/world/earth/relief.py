"""The ground before water shaped it: the relief of the base with fractal detail, the coast and the large lakes.

Detail is octaves of smooth noise from 4 km down, each half as wide and ``2 ** -HURST`` times as strong (fractional
Brownian motion, Mandelbrot and Van Ness 1968); how strong follows the roughness of the base, as real relief does:
within blocks of 11 km in New Zealand, the standard deviation is about 0.8 of the difference between blocks. Mountains
have ridges, and valley floors are smoother than what stands above them. On coarser pixels the octaves that do not fit
are left out, so that the ground on 250 m is that on 10 m without its finest part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from swath.sources.world import noise
from swath.sources.world.earth.base import knots
from swath.sources.world.frame import PIXEL, Window

if TYPE_CHECKING:
    from swath.sources.world.earth.earth import Earth

Array = NDArray[np.float64]

HURST = 0.72
WIDEST = 4000.0
"""Metres between the lattice points of the first octave; larger forms come from the base."""
OCTAVES = 8
_RIDGED = (1, 2)  # octaves that turn into ridges in mountains
_FLOOR, _GAIN = 9.0, 0.8  # detail of flat land [m], in the middle; and per roughness of the base
_SHORE = 0.10  # of the land share: width of the strip in which the ground comes down to the sea
SEA, LAND, LAKE = 0, 1, 2
"""Codes of ``Ground.water``."""
_BAYS = 8000.0  # metres between the lattice points of the largest bays
_PLAINS = 60_000.0  # metres between the lattice points of how hilly the plains are


@dataclass(frozen=True)
class Ground:
    """The ground over a window, each ``(H, W)``.

    Args:
        height: above sea level [m]; of the water where there is sea or a large lake.
        water: 0 sea, 1 land, 2 a large lake that the base knows.
        strength: standard deviation of the detail [m].
        runoff: depth of water that runs off in a year [m].
        lakes: share of the small depressions that hold lakes, 0 to 1.
    """

    height: Array
    water: NDArray[np.uint8]
    strength: Array
    runoff: Array
    lakes: Array


# Yearly runoff [m] per Köppen group, in the range of the water balances of large rivers.
_RUNOFF = (0.8, 0.02, 0.4, 0.3, 0.2)


def ground(earth: Earth, window: Window) -> Ground:
    """The ground over a window of any step, without what water did to it.

    Args:
        earth: gives base and seed.
        window: not empty. A pixel has the same numbers in every window of its step.
    """
    under = knots(earth.base, window)
    sample = under.sample
    hilly = noise.smooth(earth.key("plains", window.zone.epsg), *under.mesh, _PLAINS)
    spread = under.spread(
        np.stack(
            [
                sample.relief,
                np.hypot(_FLOOR * np.exp(0.5 * hilly), _GAIN * sample.roughness),
                sample.land,
                sample.lake,
                _of_groups(sample.climate, _RUNOFF),
                _lakes(sample.climate, under.lat, sample.roughness),
            ]
        )
    )
    relief, strength, land, lake, runoff, lakes = spread
    key = earth.key("ground", window.zone.epsg)
    height = _above_the_sea(relief + strength * _detail(key, window, strength), relief)
    water = np.full(window.shape, LAND, np.uint8)
    for share, kind in ((lake, LAKE), (land, SEA)):
        open_to_doubt = _near_half(share)
        shore = (0.5 - share) if kind == LAKE else (share - 0.5)
        if open_to_doubt.any():
            shore += 0.3 * _coast(earth, window) * open_to_doubt
        level = relief if kind == LAKE else np.zeros(window.shape)
        height = _down_to_the_shore(height, level, shore)
        water[shore <= 0] = kind
        height[shore <= 0] = level[shore <= 0]
    return Ground(height, water, strength, runoff, lakes)


def slope(elevation: Array) -> Array:
    """Steepest slope of the ground [degree], by Horn (1981, "Hill shading and the reflectance map") from 3 x 3 pixels.

    Args:
        elevation: of 10 m pixels with a margin of one ``(H + 2, W + 2)`` [m].

    Returns:
        float64 ``(H, W)``.
    """
    north, middle, south = elevation[:-2], elevation[1:-1], elevation[2:]
    east = (north[:, 2:] + 2.0 * middle[:, 2:] + south[:, 2:]) - (north[:, :-2] + 2.0 * middle[:, :-2] + south[:, :-2])
    down = (south[:, :-2] + 2.0 * south[:, 1:-1] + south[:, 2:]) - (north[:, :-2] + 2.0 * north[:, 1:-1] + north[:, 2:])
    return np.asarray(np.degrees(np.arctan(np.hypot(east, down) / (8.0 * PIXEL))))


def _detail(key: int, window: Window, strength: Array) -> Array:
    """Detail of mean 0 and about variance 1; ``key`` of the zone."""
    ridged = np.clip((strength - 50.0) / 150.0, 0.0, 1.0)
    weights = 2.0 ** (-HURST * np.arange(OCTAVES))
    weights /= np.sqrt((weights**2).sum())
    total = np.zeros(window.shape)
    for octave in range(_octaves(window, WIDEST, OCTAVES)):
        wave = noise.smooth(key + octave, window.y, window.x, WIDEST / 2**octave)
        if octave in _RIDGED:
            # The absolute value of a normal number has the mean 0.798 and the standard deviation 0.603.
            wave += ridged * ((0.798 - np.abs(wave)) / 0.603 - wave)
        if octave == 3:
            # What is low already gets less of the finer octaves: floors of valleys are smooth.
            upper = 0.4 + 1.2 / (1.0 + np.exp(-2.0 * total))
        total += weights[octave] * (wave if octave < 3 else upper * wave)
    return total


def _octaves(window: Window, widest: float, most: int) -> int:
    """How many octaves from ``widest`` on have lattices of at least two pixels; finer ones would be noise."""
    return max(1, min(most, int(np.floor(np.log2(widest / (2.0 * window.gsd)))) + 1))


def _above_the_sea(height: Array, relief: Array) -> Array:
    """Detail must not dig plains below the sea, except where the relief itself lies there (the Dead Sea, polders)."""
    lowest = 1.0 + 4.0 * np.minimum(relief + 5.0, 0.0)
    above = height - lowest
    low = above < 80.0
    if low.any():
        height = height.copy()
        height[low] = lowest[low] + 4.0 * np.log1p(np.exp(above[low] / 4.0))
    return height


def _coast(earth: Earth, window: Window) -> Array:
    key = earth.key("coast", window.zone.epsg)
    return noise.fractal(key, window.y, window.x, _BAYS, _octaves(window, _BAYS, OCTAVES), 0.6)


def _near_half(share: Array) -> Array:
    """1 where a share is one half, exactly 0 where it is nearly 0 or 1."""
    return np.maximum(4.2 * share * (1.0 - share) - 0.05, 0.0)


def _down_to_the_shore(height: Array, level: Array, shore: Array) -> Array:
    """Ground that comes down to the level of the water within a strip, and rises from there, but for polders.

    Args:
        height: of the ground [m].
        level: of the water [m].
        shore: how far from the shore, positive on land, in shares of the base.
    """
    near = shore < _SHORE
    if near.any():
        inland, low = np.maximum(shore[near] / _SHORE, 0.0), level[near]
        dry = np.maximum(height[near], low + 0.5 + 20.0 * np.maximum(shore[near], 0.0) * (1.0 - inland))
        height = height.copy()
        height[near] = low + (dry - low) * (inland * (2.0 - inland))
    return height


def _lakes(climate: Array, lat: Array, roughness: Array) -> Array:
    """Share of small depressions that hold lakes: many where ice sheets lay, few in deserts and steep mountains."""
    glaciated = np.clip((np.abs(lat) - 45.0) / 12.0, 0.0, 1.0) * (climate[3] + climate[4])
    return np.asarray((0.08 + 0.5 * glaciated) * (1.0 - 0.9 * climate[1]) * 100.0 / (100.0 + roughness))


def _of_groups(climate: Array, values: tuple[float, ...]) -> Array:
    """Mean of a number per climate group ``(5, h, w)``, summed in a fixed order."""
    total = np.zeros(climate.shape[1:])
    for share, value in zip(climate, values, strict=True):
        total += share * value
    return total
