"""A base that is the same everywhere, plain ground, and an Earth with the makers of land and people on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.sources.world import noise
from swath.sources.world.earth import cover, fields, settlements, soil
from swath.sources.world.earth.base import BaseSample
from swath.sources.world.earth.climate import GROUPS, NODE, SURROUNDINGS, Climate, surroundings
from swath.sources.world.earth.earth import Earth, Maker
from swath.sources.world.frame import Window, Zone

ZONE = Zone(32632)
CELL = Window(ZONE, -540_000, 50_000, 1000, 1000)
CROPLAND, FOREST, URBAN, GRASSLAND, BARREN, WETLANDS, ICY, SAVANNA = 12, 4, 13, 10, 16, 11, 15, 9


@dataclass(frozen=True)
class EvenBase:
    """The same land cover (IGBP class to share), Köppen group, relief and land everywhere."""

    covers: Mapping[int, float] = field(default_factory=lambda: {CROPLAND: 1.0})
    group: int = 2
    relief: float = 100.0
    roughness: float = 20.0
    land: float = 1.0
    name: str = "even"

    def sample(self, lon: NDArray[Any], lat: NDArray[Any]) -> BaseSample:
        shape = np.broadcast_shapes(np.shape(lon), np.shape(lat))
        classes, groups = np.zeros((17, *shape)), np.zeros((len(GROUPS), *shape))
        for label, share in self.covers.items():
            classes[label] = share
        groups[self.group] = 1.0

        def even(value: float) -> NDArray[np.float64]:
            return np.full(shape, value)

        return BaseSample(even(self.relief), even(self.roughness), even(self.land), even(0.0), classes, groups)


def plain(earth: Earth, cell: Window) -> Mapping[str, NDArray[Any]]:
    """Rolling ground with a canal 60 m wide every 5 km from north to south."""
    base = earth.base.sample(np.zeros(1), np.zeros(1))
    hills = noise.smooth(earth.key("hills"), cell.y, cell.x, 500.0)
    canal = np.broadcast_to(cell.columns % 500 < 6, cell.shape)
    kind = np.where(canal, 1, 0).astype(np.uint8)
    return {
        "elevation": base.relief + base.roughness * hills,
        "height_above_drainage": np.where(canal, 0.0, np.clip(6.0 + 3.0 * hills, 0.1, None)),
        "slope": np.full(cell.shape, 2.0),
        "open_water": canal * 1.0,
        "water_kind": kind,
    }


GROUND = Maker(plain, ("elevation", "height_above_drainage", "slope", "open_water", "water_kind"), 10)
LAND = (
    Maker(surroundings, SURROUNDINGS, 100, NODE),
    GROUND,
    Maker(soil.soil, soil.SOIL, 10),
    Maker(settlements.built_land, settlements.BUILT_LAND, 10),
    Maker(settlements.settlements, settlements.SETTLED, 10),
    Maker(fields.fields, fields.LAND_USE, 10),
    Maker(cover.cover, cover.COVER_LAYERS, 10),
)


def even_earth(seed: int = 1, climate: Climate | None = None, **base: Any) -> Earth:
    return Earth(seed, climate or Climate(), EvenBase(**base), LAND)
