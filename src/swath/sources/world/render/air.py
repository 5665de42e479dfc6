"""The atmosphere over a cell, for all bands of a sensor: coefficients at fixed heights, and the air above clouds.

Heights are whole multiples of 400 m whatever the terrain, so that neighbouring windows agree to the last bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from swath.sources.world.render.atmosphere import (
    ELEVATION_LIMITS,
    SUN_LIMIT,
    Atmosphere,
    Coefficients,
    coefficients,
    to_surface,
    to_toa,
)
from swath.sources.world.render.clouds import Ray
from swath.sources.world.render.responses import responses

Values = NDArray[np.float32]

STEP = 400.0
LEVELS = np.arange(-1, 23) * STEP
"""Metres above the sea: nodes of the coefficients; between them they are interpolated linearly."""
_SEA = 1  # position of sea level among them

ZENITH_STEP, AZIMUTH_STEP = 0.5, 5.0
"""Degrees between the angles that coefficients are worked out at."""

_PARTS = ("path", "transmittance", "spherical_albedo", "gas", "direct")


@dataclass(frozen=True, eq=False)
class Heights:
    """Heights of pixels ``(H, W)`` [m], and where they lie among ``LEVELS``.

    Args:
        metres: float32.
        below: the level below each.
        way: from there to the next, 0 to 1.
    """

    metres: Values
    below: NDArray[np.int32]
    way: Values

    def part(self, window: tuple[slice, slice]) -> Heights:
        """A window of them."""
        return Heights(self.metres[window], self.below[window], self.way[window])


@dataclass(frozen=True, eq=False)
class Air:
    """The atmosphere as some bands of a sensor see it.

    Args:
        coefficients: at ``LEVELS``.
        over_cloud: for each layer of cloud, transmittance both ways and path reflectance of the air above it,
            float64 ``(2, band)``.
    """

    coefficients: Coefficients
    over_cloud: tuple[NDArray[np.float64], ...]

    def select(self, bands: slice) -> Air:
        """The air of some bands."""
        whole = self.coefficients
        parts = {name: getattr(whole, name)[bands] for name in _PARTS}
        return Air(
            replace(whole, bands=whole.bands[bands], **parts), tuple(layer[:, bands] for layer in self.over_cloud)
        )

    def direct(self, band: int, heights: Heights | None) -> Values | np.float32:
        """Share of the direct beam in the light on level ground; at sea level without heights."""
        row = self.coefficients.direct[band].astype(np.float32)
        if heights is None:
            return np.float32(row[_SEA])
        return np.asarray(row[heights.below] + np.diff(row, append=row[-1:])[heights.below] * heights.way)

    def to_toa(self, surface: Values, heights: Heights | None) -> Values:
        """Reflectance ``(band, H, W)`` above the atmosphere from that at the ground."""
        return to_toa(surface, *self._at(heights))

    def to_surface(self, toa: Values, heights: Heights | None) -> Values:
        """The inverse."""
        return to_surface(toa, *self._at(heights))

    def _at(self, heights: Heights | None) -> tuple[Coefficients, Values | None]:
        if heights is not None:
            return self.coefficients, heights.metres
        whole, sea = self.coefficients, slice(_SEA, _SEA + 1)
        parts = {name: getattr(whole, name)[:, sea] for name in _PARTS}
        return replace(whole, elevation_m=whole.elevation_m[sea], **parts), None


def heights_of(elevation: Values) -> Heights:
    """Heights among the levels; beyond the outermost level that one counts."""
    place = np.clip(
        (elevation - np.float32(LEVELS[0])) / np.float32(STEP), np.float32(0.0), np.float32(len(LEVELS) - 1)
    )
    below = np.minimum(place.astype(np.int32), len(LEVELS) - 2)
    return Heights(elevation, below, place - below.astype(np.float32))


def relative_azimuth(sun: Ray, view: Ray) -> float:
    """Degrees from 0 (both on one side) to 180 between the directions to the sun and to the satellite."""
    return abs((sun.azimuth - view.azimuth + 180.0) % 360.0 - 180.0)


def air(
    sensor: str,
    names: tuple[str, ...],
    satellite: str | None,
    atmosphere: Atmosphere,
    sun: Ray,
    view: Ray,
    cloud_heights: tuple[float, ...] = (),
) -> Air:
    """The atmosphere for one geometry, linear between fixed angles.

    Cells differ by hundredths of a degree; the angles between which they lie are worked out once.

    Args:
        sensor: name.
        names: of its bands.
        satellite: which one of the sensor; None = the first.
        atmosphere: its state.
        sun: direction to it.
        view: direction to the satellite.
        cloud_heights: of layers of cloud [m]; there is no aerosol above them.
    """
    made: Air | None = None
    azimuths = [(0.0, 1.0)] if view.zenith == 0.0 else _around(relative_azimuth(sun, view), AZIMUTH_STEP, 180.0)
    for zenith, share in _around(sun.zenith, ZENITH_STEP, SUN_LIMIT):
        for azimuth, part in azimuths:
            node = _node(sensor, names, satellite, atmosphere, (zenith, view.zenith, azimuth), cloud_heights)
            scaled = _weighted(node, share * part)
            made = scaled if made is None else _sum(made, scaled)
    assert made is not None
    return made


def _around(value: float, step: float, top: float) -> list[tuple[float, float]]:
    """The two multiples of ``step`` around a value and their shares; one where it is a multiple itself."""
    low = math.floor(value / step)
    share = value / step - low
    found = [(low * step, 1.0 - share), (min((low + 1) * step, top), share)]
    return [item for item in found if item[1] > 0.0]


@lru_cache(maxsize=256)
def _node(
    sensor: str,
    names: tuple[str, ...],
    satellite: str | None,
    atmosphere: Atmosphere,
    angles: tuple[float, float, float],
    cloud_heights: tuple[float, ...],
) -> Air:
    """The atmosphere at one zenith angle of the sun, zenith angle of the view, and azimuth between them."""
    curves = responses(sensor, satellite, names)
    clean = replace(atmosphere, aerosol_optical_depth=0.0)
    above = []
    for height in cloud_heights:
        thin = coefficients(curves, clean, *angles, min(height, ELEVATION_LIMITS[1]))
        above.append(np.stack([thin.transmittance[:, 0], thin.path[:, 0]]))
    return Air(coefficients(curves, atmosphere, *angles, LEVELS), tuple(above))


def _weighted(node: Air, share: float) -> Air:
    parts = {name: getattr(node.coefficients, name) * share for name in _PARTS}
    return Air(replace(node.coefficients, **parts), tuple(layer * share for layer in node.over_cloud))


def _sum(one: Air, other: Air) -> Air:
    parts = {name: getattr(one.coefficients, name) + getattr(other.coefficients, name) for name in _PARTS}
    layers = tuple(a + b for a, b in zip(one.over_cloud, other.over_cloud, strict=True))
    return Air(replace(one.coefficients, **parts), layers)
