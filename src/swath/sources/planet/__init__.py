"""planet: the real Earth as aligned global layers, made from files inside ordinary Python packages.

Imagery is Blue Marble, relief a 28 m altitude map, labels are MODIS IGBP land cover of 2019, Köppen-Geiger groups and
a land mask; monthly turbidity and continents complete them. Cells are about ten kilometres wide and there is one date,
so every score on the planet is a score at that scale. Licences are in NOTICE.
"""

from __future__ import annotations

from swath.sources.planet.build import make
from swath.sources.planet.legends import COARSE_LAND_COVER, CONTINENTS, IGBP, KOPPEN, LAND, coarse_land_cover
from swath.sources.planet.packages import LAYERS, fetch, locate, missing
from swath.sources.planet.read import INPUTS, alignment, inputs, labels, open

__all__ = [
    "COARSE_LAND_COVER",
    "CONTINENTS",
    "IGBP",
    "INPUTS",
    "KOPPEN",
    "LAND",
    "LAYERS",
    "alignment",
    "coarse_land_cover",
    "fetch",
    "inputs",
    "labels",
    "locate",
    "make",
    "missing",
    "open",
]
