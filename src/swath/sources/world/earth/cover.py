"""Land cover at 10 m: what each pixel is, by rules in a fixed order.

Water is where the drainage puts it, mangroves on low tropical coasts, ice where the base has ice, highest ground first,
built land where roofs and roads cover a quarter of a pixel, cropland on ploughed parcels, wetland low above the
drainage. What is left is natural: one patchy field, together with the height above the surroundings in mountains, ranks
the pixels of a landscape, and trees, shrubs, grass, moss and bare ground take it in this order by their shares in the
base, so that the shares come out again. No trees stand where the three warmest months are colder than ``TREELINE``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from swath.sources.world import noise
from swath.sources.world.earth.climate import LAPSE, normals, read_surroundings
from swath.sources.world.earth.fields import GRASSY, PHASES, WOODED
from swath.sources.world.earth.lattice import Array, over, patches
from swath.sources.world.earth.settlements import PERMANENT_WATER
from swath.sources.world.earth.shares import cover_shares
from swath.sources.world.earth.weather import between_nodes, nodes_around
from swath.sources.world.frame import Window
from swath.sources.world.truth import (
    BARE,
    BUILT,
    CROP,
    GRASS,
    ICE,
    MANGROVE,
    MOSS,
    SHRUB,
    TREE,
    WATER,
    WETLAND,
)

if TYPE_CHECKING:
    from swath.sources.world.earth.earth import Earth

TREELINE = 8.5
"""Mean temperature of the three warmest months at the treeline [degrees Celsius]; Körner and Paulsen (2004) measured a
mean of 6.4 degrees over the growing season, which is longer and so cooler."""

SEALED = 0.25
"""Share of roofs and roads from which a pixel is built-up."""

_NATURAL = (TREE, SHRUB, GRASS, MOSS, BARE)  # from the lowest rank to the highest
_LANDSCAPE = 2_560.0  # metres between the places where the base is asked
_LARGEST, _SMALLEST = 640.0, 20.0  # metres of the patches
_MANGROVE_HEIGHT, _MANGROVE_SEA = 3.0, 0.97  # metres above the sea; share of land in the base below which it is a coast

COVER_LAYERS = ("cover",)

_READ = ("elevation", "height_above_drainage", PERMANENT_WATER, "building_cover", "road_cover", "rotation", "verge")


def cover(earth: Earth, cell: Window) -> dict[str, NDArray[Any]]:
    """Maker of ``cover``, codes of ``truth.COVER``, of an ordinary day: no flood, no snow of the winter."""
    ground = earth.read_all(_READ, cell)
    elevation = np.asarray(ground["elevation"], np.float64)
    limits, relief, strength, coast = _landscape(earth, cell)
    rank, high = _rank(earth, cell, (elevation - relief) / strength, strength)
    kind = _natural(rank, limits)
    warmest = _warmest_months(earth, cell) - LAPSE * elevation
    cold = (kind == TREE) & (warmest < TREELINE)
    kind[cold] = np.where(warmest[cold] < TREELINE - 3.0, MOSS, GRASS)
    above = ground["height_above_drainage"]
    wet = limits[len(_NATURAL) - 1]
    kind[ndtr(high) > 1.0 - limits[-1]] = ICE
    # Wetland lies low: where the base has it, up to eight times its share right beside the water, little above 5 m.
    kind[(rank < wet * 8.0 * np.exp(-0.6 * above)) & (kind != ICE)] = WETLAND
    rotation = ground["rotation"]
    kind[rotation >= 2 * PHASES] = CROP
    kind[(rotation >= PHASES) & (rotation < 2 * PHASES)] = GRASS
    kind[ground["verge"] == GRASSY] = GRASS
    kind[(ground["verge"] == WOODED) & (warmest >= TREELINE)] = TREE
    kind[ground["building_cover"] + ground["road_cover"] >= SEALED] = BUILT
    shore = (elevation < _MANGROVE_HEIGHT) & (coast > 0.0) & (rank < coast) & (kind != BUILT) & (kind != CROP)
    kind[shore & (above < _MANGROVE_HEIGHT)] = MANGROVE
    kind[ground[PERMANENT_WATER] >= 0.5] = WATER
    return {"cover": kind}


def _landscape(earth: Earth, cell: Window) -> tuple[Array, Array, Array, Array]:
    """What the base says around pixels.

    Returns:
        limits ``(6, H, W)``: ranks up to which each of ``_NATURAL`` but the last goes, share of wetland, share of ice
        in what is not farmed or built; height of the land around; its roughness [m]; share of mangroves on the shore.
    """

    def values(y: Array, x: Array) -> Array:
        lon, lat = cell.zone.lonlat(*np.meshgrid(x, y))
        sample = earth.base.sample(lon, lat)
        shares = cover_shares(sample)
        natural = np.stack([shares[label] for label in _NATURAL])
        # Pasture is grass that parcels hold already, and gardens and verges are grass too.
        total = np.maximum(natural.sum(axis=0), 1e-6)
        limits = np.cumsum(natural / total, axis=0)[:-1]
        free = np.maximum(1.0 - shares[CROP] - shares[BUILT] - shares[WATER], 1e-3)
        tropical = np.clip((sample.climate[0] - 0.2) * 4.0, 0.0, 1.0) * (np.abs(lat) < 30.0)
        coast = 0.75 * tropical * np.clip((_MANGROVE_SEA - sample.land) * 20.0, 0.0, 1.0)
        extra = [shares[WETLAND] / free, shares[ICE] / free, sample.relief, np.hypot(10.0, sample.roughness), coast]
        return np.concatenate([limits, np.stack(extra)])

    made = over(cell, _LANDSCAPE, values)
    return made[:6], made[6], made[7], made[8]


def _rank(earth: Earth, cell: Window, height: Array, strength: Array) -> tuple[Array, Array]:
    """Rank of pixels among those around ``(H, W)``, low where it is lush, and how high and icy they lie.

    Args:
        earth: gives the seed.
        cell: the cell.
        height: above the land around, over its roughness.
        strength: that roughness [m].
    """
    patchy = patches(earth.key("cover", cell.zone.epsg), cell, _LARGEST, _SMALLEST, 0.75)
    height = np.clip(height, -2.5, 2.5)
    # In mountains height decides, in plains chance. Both are about standard normal, and so is their mixture.
    mountain = np.clip((strength - 60.0) / 400.0, 0.0, 0.7)
    lush = np.sqrt(1.0 - mountain**2) * patchy + mountain * height
    broad = noise.smooth(earth.key("ice", cell.zone.epsg), cell.y, cell.x, 400.0)
    return ndtr(lush), 0.8 * height + 0.6 * broad


def _natural(rank: Array, limits: Array) -> NDArray[np.uint8]:
    """The natural class that a rank falls to ``(H, W)``."""
    kind = np.full(rank.shape, _NATURAL[-1], np.uint8)
    for label, limit in reversed(list(zip(_NATURAL[:-1], limits, strict=False))):
        kind[rank < limit] = label
    return kind


def _warmest_months(earth: Earth, cell: Window) -> Array:
    """Mean temperature of the three warmest months at sea level ``(H, W)``."""
    nodes = nodes_around(cell)
    usual = normals(read_surroundings(earth, nodes), earth.climate).temperature
    warmest = np.sort(usual, axis=0)[-3:].sum(axis=0) / 3.0
    return between_nodes(warmest, nodes, cell)
