"""What stands in for layers that a truth lacks, so that a land cover map and a date are enough.

Layers follow the class, the day and the latitude. The season is a cosine of the day, warmest three weeks after the
summer solstice, that fades towards the equator; nothing knows the weather here. A truth of the simulated planet brings
its own layers and meets none of this. Undefined values (NaN) of a layer are filled in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from swath.sources.world import noise
from swath.sources.world.truth import BARE, BUILT, COVER, WATER

Values = NDArray[np.float32]
Codes = NDArray[np.int64]

# By code of COVER: least and largest leaf area in a year (largest: the means of Asner, Scurlock and Hicke 2003, Global
# Ecology and Biogeography 12, 191-205), chlorophyll [ug cm-2], and the dead share in winter.
_LOWEST = np.array([1.2, 0.6, 0.8, 0.3, 0.4, 0.02, 0.0, 0.0, 0.8, 3.5, 0.4], np.float32)
_HIGHEST = np.array([5.1, 2.1, 2.5, 3.2, 1.2, 0.2, 0.0, 0.0, 3.0, 4.0, 1.0], np.float32)
_CHLOROPHYLL = np.array([45, 38, 35, 42, 38, 30, 30, 30, 38, 45, 25], np.float32)
_BROWN = np.array([0.5, 0.5, 0.75, 0.7, 0.6, 0.8, 0, 0, 0.75, 0.1, 0.5], np.float32)

_PLAIN = {
    "soil_moisture": 0.15,
    "water_sediment": 5.0,
    "water_chlorophyll": 3.0,
    "wealth": 0.5,
    "snow_cover": 0.0,
    "char_cover": 0.0,
    "flood_depth": 0.0,
    "building_cover": 0.0,
    "road_cover": 0.0,
    "open_water": 0.0,
}
"""Layers whose default does not follow season or place."""

_OF_CLASS: dict[str, Mapping[int, float]] = {
    "building_cover": {BUILT: 0.3},
    "road_cover": {BUILT: 0.25},
    "open_water": {WATER: 1.0},
    "soil_moisture": {BARE: 0.06},
}
SEASONAL = ("leaf_area", "brown_fraction")


def default(name: str, cover: Codes, summer: Values | float, uneven: Values | float = 1.0) -> Values:
    """A layer by class.

    Args:
        name: of the layer.
        cover: codes of ``truth.COVER``, any shape.
        summer: ``summer_share`` at the pixels, for the layers in ``SEASONAL``.
        uneven: factor of the leaf area, about 1.

    Returns:
        float32 of the shape of ``cover``.
    """
    if name == "leaf_area":
        low, high = _LOWEST[cover], _HIGHEST[cover]
        return np.asarray((low + (high - low) * summer) * uneven, np.float32)
    if name == "brown_fraction":
        return np.asarray(0.05 + 0.9 * _BROWN[cover] * (1.0 - summer) ** 2, np.float32)  # most die at the end
    if name == "leaf_chlorophyll":
        return _CHLOROPHYLL[cover]
    if name == "soil":
        return np.asarray(np.where(cover == BARE, 3, 1), np.float32)
    values = np.full(len(COVER.entries), _PLAIN[name], np.float32)
    for code, value in _OF_CLASS.get(name, {}).items():
        values[code] = value
    return values[cover]


def summer_share(day_of_year: float, latitude: NDArray[np.floating] | float) -> Values:
    """How far the season of leaves has come: 0 in deep winter, 1 at its height, 0.9 all year at the equator.

    Args:
        day_of_year: 1 to 366.
        latitude: degrees north, any shape.
    """
    latitude = np.asarray(latitude, np.float64)
    warmth = np.cos(2.0 * np.pi * (day_of_year - 193.0) / 365.25) * np.sign(latitude)
    strength = np.clip((np.abs(latitude) - 10.0) / 35.0, 0.0, 1.0)
    seasonal = 1.0 / (1.0 + np.exp(-4.0 * (warmth - 0.1)))
    return np.asarray(0.9 * (1.0 - strength) + seasonal * strength, np.float32)


def leaf_unevenness(key: int, rows: Codes, columns: Codes) -> Values:
    """A factor of the leaf area for each pixel ``(H, W)``: patches of about 20 pixels and a grain of single ones."""
    patches = noise.smooth(key, rows.astype(np.float64), columns.astype(np.float64), 10.0)
    grain = noise.uniform(key + 1, rows[:, None], columns[None, :]) - 0.5
    return np.clip(1.0 + 0.15 * patches + 0.2 * grain, 0.4, 1.6).astype(np.float32)
