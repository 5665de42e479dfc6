"""A globe that nobody has seen: continents, mountains, climate belts and land cover from noise on the sphere.

It needs no data, so it serves where the real globe is not at hand and where a model must not know the map by heart.
Latitude gives the climate as on Earth; everything else follows from the seed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from swath import rng
from swath.sources.world import noise
from swath.sources.world.earth.base import COVERS, BaseSample, zonal_climate

Array = NDArray[np.float64]

_EARTH_RADIUS = 6371.0  # km
_CONTINENTS, _RANGES, _WEATHER, _PATCHES = 3500.0, 500.0, 1500.0, 60.0  # km between lattice points
_SEA_LEVEL = 0.6  # of the field of continents: about a third of the sphere is land
_GOLDEN_ANGLE = 2.399963  # radians; its multiples spread evenly
_COAST = 0.04  # of that field: the width of a coast

# IGBP shares per climate group, tropical to polar, dry and wet (16 barren, 15 ice, 12 cropland, 2 rain forest ...).
_DRY: tuple[dict[int, float], ...] = (
    {9: 0.5, 8: 0.2, 10: 0.1, 12: 0.2},
    {16: 0.75, 7: 0.25},
    {10: 0.35, 12: 0.4, 9: 0.2, 13: 0.05},
    {10: 0.6, 12: 0.4},
    {16: 0.6, 15: 0.4},
)
_WET: tuple[dict[int, float], ...] = (
    {2: 0.8, 14: 0.1, 12: 0.05, 11: 0.05},
    {10: 0.6, 7: 0.3, 12: 0.1},
    {5: 0.4, 4: 0.2, 12: 0.3, 14: 0.07, 13: 0.03},
    {1: 0.5, 5: 0.3, 12: 0.1, 11: 0.1},
    {10: 0.5, 11: 0.2, 7: 0.3},
)


@dataclass(frozen=True)
class ProceduralPlanet:
    """A globe from a seed alone.

    Args:
        seed: whole number.
    """

    seed: int
    name: str = "procedural"
    digest: str = ""

    def sample(self, lon: Array, lat: Array) -> BaseSample:
        """The globe at places; see ``base.Base``."""
        lon, lat = np.broadcast_arrays(np.asarray(lon, np.float64), np.asarray(lat, np.float64))
        east, north = np.radians(lon), np.radians(lat)
        points = _EARTH_RADIUS * np.stack([np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)])
        inland = self._field("continents", points, _CONTINENTS, 6) - _SEA_LEVEL
        land = expit(4.0 * inland / _COAST)
        ranges = np.exp(-2.5 * np.abs(self._field("ranges", points, _RANGES, 2)))
        rugged = expit(3.0 * self._field("rugged", points, _CONTINENTS / 2.0, 2)) * ranges
        relief = land * np.maximum(150.0 + 500.0 * np.maximum(inland, 0.0) + 2500.0 * rugged**2, 2.0)
        wet = expit(2.0 * self._field("rain", points, _WEATHER, 3))
        # Height cools as latitude does: 150 m about one degree.
        climate = zonal_climate(np.minimum(np.abs(lat) + relief / 150.0, 90.0))
        climate = _drier(climate, wet)
        lake = 0.7 * expit(8.0 * (self._field("lakes", points, _PATCHES, 2) - 2.4)) * land
        return BaseSample(
            relief, land * 450.0 * rugged, land, lake, self._cover(points, land, lake, climate, wet), climate
        )

    def _field(self, purpose: str, points: Array, spacing: float, octaves: int) -> Array:
        """Octaves of noise in space, each half as wide and 0.55 times as strong; variance 1."""
        key = rng.key(self.seed, f"world/base/{purpose}")
        total, power = np.zeros(points.shape[1:]), 0.0
        for octave in range(octaves):
            total += 0.55**octave * noise.smooth_in_space(key + octave, points, spacing / 2**octave)
            power += 0.55 ** (2 * octave)
        return total / math.sqrt(power)

    def _cover(self, points: Array, land: Array, lake: Array, climate: Array, wet: Array) -> Array:
        """Shares of the IGBP classes: a mixture by climate and wetness, concentrated in patches of one class."""
        shares = np.zeros((COVERS, *land.shape))
        for group, (dry_shares, wet_shares) in enumerate(zip(_DRY, _WET, strict=True)):
            for label, share in dry_shares.items():
                shares[label] += share * climate[group] * (1.0 - wet)
            for label, share in wet_shares.items():
                shares[label] += share * climate[group] * wet
        # Two fields make patches of all classes: each is strong where they point into its direction.
        along, across = (self._field(f"cover/{axis}", points, _PATCHES, 2) for axis in ("along", "across"))
        for label in range(1, COVERS):
            turn = label * _GOLDEN_ANGLE
            shares[label] *= np.exp(2.0 * (along * math.cos(turn) + across * math.sin(turn)))
        dry_land = np.clip(land - lake, 0.0, 1.0)
        shares *= dry_land / shares.sum(axis=0)
        shares[0] = 1.0 - dry_land
        return shares


def _drier(climate: Array, wet: Array) -> Array:
    """Climate groups with less desert where it is wet, and more where it is dry."""
    out = climate.copy()
    out[1] *= 2.0 * (1.0 - wet) ** 2 + 0.05
    return np.asarray(out / out.sum(axis=0))
