"""Legends of the planet: IGBP land cover, the seven classes of the demo, Köppen groups, continents."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from swath.cubes import legend_from_colours
from swath.types import IGNORE

IGBP = legend_from_colours(
    {
        "water": "#1c0dff",
        "evergreen needleleaf forest": "#05450a",
        "evergreen broadleaf forest": "#086a10",
        "deciduous needleleaf forest": "#54a708",
        "deciduous broadleaf forest": "#78d203",
        "mixed forest": "#009900",
        "closed shrubland": "#c6b044",
        "open shrubland": "#dcd159",
        "woody savanna": "#dade48",
        "savanna": "#fbff13",
        "grassland": "#b6ff05",
        "permanent wetland": "#27ff87",
        "cropland": "#c24f44",
        "urban and built-up": "#a5a5a5",
        "cropland and natural vegetation mosaic": "#ff6d4c",
        "snow and ice": "#69fff8",
        "barren": "#f9ffa4",
    }
)
"""The 17 classes of the International Geosphere-Biosphere Programme, in the colours usual for MODIS land cover."""

COARSE_LAND_COVER = legend_from_colours(
    {
        "forest": "#117733",
        "shrub": "#882255",
        "savanna": "#999933",
        "grass and wetland": "#44aa99",
        "crop": "#cc6677",
        "ice": "#88ccee",
        "barren": "#ddcc77",
    }
)
"""The seven classes of the demo, in colours of Paul Tol's "muted" scheme, which stay apart for colour-blind people."""

KOPPEN = legend_from_colours(
    {
        "water": "#1c0dff",
        "tropical": "#117733",
        "arid": "#ddcc77",
        "temperate": "#44aa99",
        "cold": "#332288",
        "polar": "#88ccee",
    }
)
"""The five main groups of the Köppen-Geiger classification (A to E)."""

LAND = legend_from_colours(
    {
        "ocean": "#88ccee",
        "land": "#999933",
    }
)
"""The land mask; lakes count as land."""

CONTINENTS = legend_from_colours(
    {
        "none": "#dddddd",
        "Africa": "#ddcc77",
        "Antarctica": "#88ccee",
        "Asia": "#cc6677",
        "Europe": "#332288",
        "North America": "#117733",
        "Oceania": "#aa4499",
        "South America": "#44aa99",
        "Greenland": "#882255",
    }
)
"""Continents, and Greenland on its own because it is left out of scoring with Antarctica."""

_IGBP_TO_COARSE = np.array([IGNORE, 0, 0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, IGNORE, 4, 5, 6], np.int16)


def coarse_land_cover(igbp: NDArray[np.integer]) -> NDArray[np.int16]:
    """The seven classes of the demo from IGBP classes.

    Forest is IGBP 1 to 5, shrub 6 and 7, savanna 8 and 9, grass and wetland 10 and 11, crop 12 and 14, ice 15, barren
    16. Water (0), urban (13) and every number outside 0 .. 16 become ``IGNORE``.

    Args:
        igbp: IGBP classes of any shape.

    Returns:
        int16 of the same shape, 0 .. 6 or ``IGNORE``.
    """
    igbp = np.asarray(igbp)
    known = (igbp >= 0) & (igbp < len(_IGBP_TO_COARSE))
    return np.where(known, _IGBP_TO_COARSE[np.where(known, igbp, 0)], np.int16(IGNORE)).astype(np.int16)
