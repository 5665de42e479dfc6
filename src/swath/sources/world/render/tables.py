"""Band values of everything that a pixel may be made of, for one sensor and one geometry.

Spectra are averaged over the bands once; pixels then read tables. The light that goes back and forth between leaves and
ground is worked out per band, from band averages: for the bands of Sentinel-2 that differs from an average over spectra
by less than 0.001. Interpolation adds 0.001 in the median and up to 0.006 (``tests/world/test_world_surface.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from swath.sources.world.render.canopy import Geometry
from swath.sources.world.render.lookup import Table
from swath.sources.world.render.responses import WAVELENGTHS, BandWeights
from swath.sources.world.render.snow import snow_reflectance
from swath.sources.world.render.spectra import MEMBERS, SATURATION, material, soils, wetted
from swath.sources.world.render.stands import STANDS, stand_terms
from swath.sources.world.render.water import Water, below_surface

Values = NDArray[np.float32]

LEAF_AREA = np.array([0, 0.15, 0.3, 0.5, 0.75, 1, 1.4, 1.9, 2.5, 3.3, 4.5, 6.5, 9], np.float32)
CHLOROPHYLL = np.array([2, 4, 7, 11, 16, 24, 36, 54, 80], np.float32)
BROWN = np.array([0, 0.1, 0.3, 0.5, 0.7, 0.85, 0.95, 1], np.float32)
MOISTURE = np.array([0, 0.04, 0.08, 0.13, 0.2, 0.3, SATURATION], np.float32)
SEDIMENT = np.array([0, 1, 3, 8, 20, 50, 120, 300, 800, 2500], np.float32)
WATER_CHLOROPHYLL = np.array([0, 0.2, 1, 3, 8, 20, 60, 200], np.float32)
DEPTH = np.array([0, 0.05, 0.1, 0.2, 0.4, 0.7, 1.2, 2, 4, 8, 20, 100], np.float32)
GRAINS_MM = np.array([0.05, 0.1, 0.2, 0.4, 0.8, 1.6], np.float32)

ROOFS = ("shingle", "tar", "clay tile", "concrete tile", "gravel roof", "wood shingle", "metal")
ROADS = ("asphalt", "concrete")


@dataclass(frozen=True, eq=False)
class Tables:
    """Tables of B bands.

    Args:
        bands: names.
        stands: over stand, leaf area, chlorophyll and brown share; own, direct, returned, bounce and sway, ``5 B``
            columns.
        soil: over kind, member and moisture; ``B`` columns.
        cover: over moisture; litter and char, ``2 B`` columns.
        water: over sediment, chlorophyll and depth; own and seen below the surface, ``2 B`` columns.
        snow: over grain size; ``B`` columns.
        roofs: ``(kinds, members, B)``.
        roads: ``(kinds, members, B)``.
    """

    bands: tuple[str, ...]
    stands: Table
    soil: Table
    cover: Table
    water: Table
    snow: Table
    roofs: Values
    roads: Values


def tables(weights: BandWeights, geometry: Geometry) -> Tables:
    """The tables of a sensor's bands for one geometry; kept for the eight last combinations.

    Raises:
        MissingError: the measured spectra have not been fetched.
    """
    return _tables(weights.names, weights.wavelength.tobytes(), weights.weights.tobytes(), geometry)


@lru_cache(maxsize=8)
def _tables(names: tuple[str, ...], wavelength: bytes, weights: bytes, geometry: Geometry) -> Tables:
    place = np.frombuffer(wavelength, np.float64)
    bands = BandWeights(names, place, np.frombuffer(weights, np.float64).reshape(len(names), place.size))
    seen = np.isin(WAVELENGTHS, place)
    moisture = MOISTURE.astype(np.float64)

    def averaged(spectra: NDArray[np.float64]) -> Values:
        return bands.average(spectra).astype(np.float32)

    wet_soil = wetted(soils()[:, :, None, seen], moisture, place)
    litter, char = material("litter")[:, seen].mean(axis=0), material("char")[:2, seen].mean(axis=0)
    cover = [
        averaged(wetted(np.broadcast_to(one, (moisture.size, place.size)), moisture, place)) for one in (litter, char)
    ]
    sediment, green, depth = np.meshgrid(SEDIMENT, WATER_CHLOROPHYLL, DEPTH, indexing="ij")
    below = below_surface(Water(sediment, green), place, depth, geometry.sun_zenith, geometry.view_zenith)
    kinds = (np.arange(len(STANDS)), np.arange(soils().shape[0]), np.arange(MEMBERS))
    stand, soil, member = (axis.astype(np.float32) for axis in kinds)
    return Tables(
        names,
        Table((stand, LEAF_AREA, CHLOROPHYLL, BROWN), _stand_values(bands, material("bark")[1, seen], geometry)),
        Table((soil, member, MOISTURE), averaged(wet_soil)),
        Table((MOISTURE,), np.concatenate(cover, axis=-1)),
        Table((SEDIMENT, WATER_CHLOROPHYLL, DEPTH), np.concatenate([averaged(part) for part in below], axis=-1)),
        Table((GRAINS_MM,), averaged(snow_reflectance(place, geometry, GRAINS_MM))),
        averaged(np.stack([material(name)[:, seen] for name in ROOFS])),
        averaged(np.stack([material(name)[:, seen] for name in ROADS])),
    )


def _stand_values(bands: BandWeights, bark: NDArray[np.float64], geometry: Geometry) -> Values:
    state = [axis.astype(np.float64) for axis in (LEAF_AREA, CHLOROPHYLL, BROWN)]
    parts = []
    for stand in STANDS.values():
        terms, sway = stand_terms(stand, state[0], state[1], state[2], bark, bands.wavelength, geometry)
        rows = (terms.own, terms.direct, terms.returned, terms.bounce, sway)
        parts.append(np.concatenate([bands.average(np.broadcast_to(row, terms.own.shape)) for row in rows], axis=-1))
    return np.stack(parts).astype(np.float32)
