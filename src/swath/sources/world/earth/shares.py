"""What the base says about land cover, in the eleven classes of the truth: shares around a place.

An IGBP class is a landscape of about 5 km, defined by how much of it trees or fields cover. The table says what 10 m
pixels of such a landscape are, from those definitions (Loveland et al. 2000): forests have more than 60 % trees, woody
savannas 30 to 60 %, savannas 10 to 30 %, croplands more than 60 % fields, urban land more than 30 % sealed ground.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from swath.sources.world.earth.lattice import Array
from swath.sources.world.truth import BARE, BUILT, COVER, CROP, GRASS, ICE, MOSS, SHRUB, TREE, WATER, WETLAND

if TYPE_CHECKING:
    from swath.sources.world.earth.base import BaseSample

_FOREST = {TREE: 0.85, SHRUB: 0.05, GRASS: 0.10}

_LANDSCAPES: tuple[dict[int, float], ...] = (
    {WATER: 1.0},
    _FOREST,
    _FOREST,
    _FOREST,
    _FOREST,
    _FOREST,
    {SHRUB: 0.70, TREE: 0.05, GRASS: 0.20, BARE: 0.05},
    {SHRUB: 0.35, GRASS: 0.25, BARE: 0.40},
    {TREE: 0.45, SHRUB: 0.15, GRASS: 0.40},
    {TREE: 0.20, SHRUB: 0.15, GRASS: 0.60, BARE: 0.05},
    {GRASS: 0.80, SHRUB: 0.08, TREE: 0.02, BARE: 0.10},
    {WETLAND: 0.60, TREE: 0.20, GRASS: 0.20},
    {CROP: 0.75, TREE: 0.08, GRASS: 0.12, SHRUB: 0.02, BUILT: 0.03},
    {BUILT: 0.70, TREE: 0.10, GRASS: 0.17, CROP: 0.03},
    {CROP: 0.50, TREE: 0.20, SHRUB: 0.05, GRASS: 0.25},
    {ICE: 0.95, BARE: 0.05},
    {BARE: 0.92, GRASS: 0.05, SHRUB: 0.03},
)

_TUNDRA = {SHRUB: 0.4, GRASS: 0.3, BARE: 0.25}
"""Share of these classes that is moss and lichen where the climate is polar."""


def cover_shares(sample: BaseSample) -> Array:
    """Shares of ``COVER`` ``(11, ...)``, adding up to one, that the base leads one to expect around places."""
    shares = np.zeros((len(COVER), *sample.land.shape))
    for landscape, parts in zip(sample.cover, _LANDSCAPES, strict=True):
        for label, part in parts.items():
            shares[label] += part * landscape
    polar = sample.climate[4]
    for label, part in _TUNDRA.items():
        moss = part * polar * shares[label]
        shares[MOSS] += moss
        shares[label] -= moss
    return shares / np.maximum(shares.sum(axis=0), 1e-9)
