"""A globe for tests that costs nothing: hills, a coast along a meridian, a lake, and temperate climate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swath.sources.world.earth.base import COVERS, GROUPS, BaseSample
from swath.sources.world.earth.climate import Climate
from swath.sources.world.earth.earth import Earth
from swath.sources.world.world import World

Array = NDArray[np.float64]

COAST = 10.0
"""Longitude of the coast; land lies east of it."""


@dataclass(frozen=True)
class PlainBase:
    """Land east of ``COAST`` that rises inland; roughness grows with latitude beyond 48 degrees."""

    name: str = "plain"
    digest: str = ""

    def sample(self, lon: Array, lat: Array) -> BaseSample:
        lon, lat = np.broadcast_arrays(np.asarray(lon, np.float64), np.asarray(lat, np.float64))
        land = np.clip((lon - COAST) * 4.0 + 0.5, 0.0, 1.0)
        lake = np.clip(1.5 - 30.0 * np.hypot(lon - 10.8, lat - 47.6), 0.0, 1.0)
        cover = np.zeros((COVERS, *lon.shape))
        cover[0] = 1.0 - land * (1.0 - lake)
        for label, share in ((5, 0.4), (12, 0.5), (13, 0.1)):
            cover[label] = share * land * (1.0 - lake)
        climate = np.zeros((GROUPS, *lon.shape))
        climate[2], climate[3] = 0.7, 0.3
        relief = land * np.maximum(40.0 * np.clip(lon - COAST, 0.0, 10.0) + 15.0, 5.0)
        roughness = np.clip((lat - 48.0) * 100.0, 0.0, 250.0) + 10.0
        return BaseSample(relief, roughness, land, lake, cover, climate)


def plain_earth(seed: int = 0) -> Earth:
    return Earth(seed, Climate(), PlainBase())


def plain_world(seed: int = 0) -> World:
    """A world whose earth is plain."""
    world = World(seed=seed, base="procedural")
    world.__dict__["earth"] = plain_earth(seed)
    return world
