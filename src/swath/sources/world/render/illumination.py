"""Sunlight on terrain: cosine of the incidence angle, cast shadow, open share of the sky.

Slopes are central differences over eight neighbours (Horn 1981, Proceedings of the IEEE 69, 14-47). Direct light on a
slope is ``cos(i) = cos(z) cos(s) + sin(z) sin(s) cos(a - b)`` of what a plane across the beam gets, with the sun's
zenith z and azimuth a, slope s and aspect b; diffuse light comes from the share ``(1 + cos(s)) / 2`` of the sky.
Light that slopes reflect onto each other is left out. Shadows are cast by terrain up to a finite distance.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from swath.sources.world.render.clouds import Ray

SUN_RADIUS = 0.267
"""Degrees; what the sun's disc is wide from its centre, and half of a shadow's soft edge."""


def gradients(elevation: NDArray[np.float32], gsd: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Rise per metre to the east and to the north.

    Args:
        elevation: float32 ``(H + 2, W + 2)`` [m], a margin of one.
        gsd: side of a pixel [m].

    Returns:
        float32 ``(H, W)`` each.
    """
    z = np.asarray(elevation, np.float32)
    scale, two = np.float32(1.0 / (8.0 * gsd)), np.float32(2.0)
    across = z[:, 2:] - z[:, :-2]
    along = z[:-2] - z[2:]
    east = (across[:-2] + two * across[1:-1] + across[2:]) * scale
    north = (along[:, :-2] + two * along[:, 1:-1] + along[:, 2:]) * scale
    return east, north


def incidence(east: NDArray[np.float32], north: NDArray[np.float32], sun: Ray) -> NDArray[np.float32]:
    """Direct light on the ground over that on level ground: ``cos(i) / cos(z)``, 0 on slopes turned away.

    Args:
        east: of ``gradients``.
        north: of ``gradients``.
        sun: its direction; the zenith angle is below 90 degrees.

    Returns:
        float32 ``(H, W)``, exactly 1 on level ground.
    """
    tangent, azimuth = math.tan(math.radians(sun.zenith)), math.radians(sun.azimuth)
    a, b = np.float32(tangent * math.sin(azimuth)), np.float32(tangent * math.cos(azimuth))
    # The normal is (-east, -north, 1) / sqrt(1 + east^2 + north^2).
    one = np.float32(1.0)
    ratio = (one - (east * a + north * b)) / np.sqrt(one + (east * east + north * north))
    return np.asarray(np.maximum(ratio, np.float32(0.0)), np.float32)


def sky_view(east: NDArray[np.float32], north: NDArray[np.float32]) -> NDArray[np.float32]:
    """Share of the sky that a slope faces, ``(1 + cos(s)) / 2``, float32 ``(H, W)``."""
    one, half = np.float32(1.0), np.float32(0.5)
    return np.asarray(half + half / np.sqrt(one + (east * east + north * north)))


def reach_pixels(gsd: float, reach_m: float) -> int:
    """Pixels of margin that ``cast_shadow`` needs."""
    return math.ceil(reach_m / gsd) if reach_m > 0 else 0


def cast_shadow(elevation: NDArray[np.float32], gsd: float, sun: Ray, reach_m: float) -> NDArray[np.float32]:
    """Share of the sun's disc that stands above the terrain.

    The horizon is looked up towards the sun at distances that grow by an eighth, at the nearest pixel.

    Args:
        elevation: float32 ``(H + 2 * m, W + 2 * m)`` [m] with the margin m of ``reach_pixels``.
        gsd: side of a pixel [m].
        sun: its direction.
        reach_m: how far terrain casts shadows [m].

    Returns:
        float32 ``(H, W)``, 1 in full sun.
    """
    margin = reach_pixels(gsd, reach_m)
    height, width = elevation.shape[0] - 2 * margin, elevation.shape[1] - 2 * margin
    here = elevation[margin : margin + height, margin : margin + width]
    horizon = np.full((height, width), -np.inf, np.float32)
    for row, column in _steps(margin, sun.azimuth):
        there = elevation[margin + row : margin + row + height, margin + column : margin + column + width]
        np.maximum(horizon, (there - here) * np.float32(1.0 / (gsd * math.hypot(row, column))), out=horizon)
    # Between the tangents of the disc's two edges light is taken to go down linearly, which a disc does not quite.
    edges = [math.tan(math.radians(max(90.0 - sun.zenith + side, -89.0))) for side in (-SUN_RADIUS, SUN_RADIUS)]
    if 90.0 - sun.zenith + SUN_RADIUS >= 90.0:
        return np.ones((height, width), np.float32)
    low, high = np.float32(edges[0]), np.float32(edges[1])
    return np.clip((high - horizon) / (high - low), np.float32(0.0), np.float32(1.0))


def _steps(margin: int, azimuth: float) -> list[tuple[int, int]]:
    """Offsets (rows down, columns right) towards the sun, nearest first, each once, all within the margin."""
    found: dict[tuple[int, int], None] = {}
    distance = 1.0
    north, east = math.cos(math.radians(azimuth)), math.sin(math.radians(azimuth))
    while distance <= margin:
        step = (round(-distance * north), round(distance * east))
        if step != (0, 0):
            found[step] = None
        distance = max(distance + 1.0, distance * 1.125)
    return list(found)
