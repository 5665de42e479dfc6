"""A small Earth for tests: constant surroundings, a valley with a river, and land cover in simple shapes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.sources.world import noise
from swath.sources.world.earth.climate import GROUPS, SURROUNDINGS, Climate
from swath.sources.world.earth.earth import Earth, Maker
from swath.sources.world.frame import Window, Zone
from swath.sources.world.truth import BARE, CROP, GRASS, TREE, WATER

Layers = Mapping[str, NDArray[Any]]

REST = ("climate_inland", "climate_lee", "climate_forest", "climate_bare", "climate_current")
NO_FORESTS = {"climate_height": 110.0, "climate_evergreen": float("nan")}
MIDDLE, SOUTH, EQUATOR, NORTH = Zone(32632), Zone(32756), Zone(32618), Zone(32635)
PLACES = {
    # Shares of the climate groups, inland, lee, forest, bare, current; and a window of 10 m pixels.
    "temperate": ((0.0, 0.0, 1.0, 0.0, 0.0), 0.45, 0.2, 0.3, 0.0, 0.0, Window(MIDDLE, -540000, 50000, 0, 0)),
    "boreal": ((0.0, 0.0, 0.0, 1.0, 0.0), 0.6, 0.2, 0.5, 0.0, 0.3, Window(NORTH, -690000, 50000, 0, 0)),
    "savanna": ((1.0, 0.0, 0.0, 0.0, 0.0), 0.6, 0.0, 0.05, 0.1, 0.0, Window(EQUATOR, -133000, 50000, 0, 0)),
    "rainforest": ((1.0, 0.0, 0.0, 0.0, 0.0), 0.5, 0.0, 1.0, 0.0, 0.0, Window(EQUATOR, -20000, 50000, 0, 0)),
    "southern": ((0.0, 0.0, 1.0, 0.0, 0.0), 0.4, 0.0, 0.4, 0.0, 0.0, Window(SOUTH, -620000, 50000, 0, 0)),
    "desert": ((0.0, 1.0, 0.0, 0.0, 0.0), 0.7, 0.0, 0.0, 1.0, 0.0, Window(EQUATOR, -265000, 50000, 0, 0)),
}


def constant_surroundings(groups: tuple[float, ...], rest: list[float]) -> Callable[[Earth, Window], Layers]:
    known = {f"climate_{name}": share for name, share in zip(GROUPS, groups, strict=True)}
    known |= dict(zip(REST, rest, strict=True)) | NO_FORESTS

    def surroundings(earth: Earth, cell: Window) -> Layers:
        return {name: np.full(cell.shape, known[name]) for name in SURROUNDINGS}

    return surroundings


def valley(earth: Earth, cell: Window) -> Layers:
    """Rivers every 2 km from west to east, ground rising 1 m in 40 away from them, and 100 m above the sea."""
    above = abs((cell.rows % 200) - 100)[:, None] * 0.25 + 0.0 * cell.columns[None, :]
    return {
        "elevation": 100.0 + above,
        "height_above_drainage": above,
        "slope": np.full(cell.shape, np.degrees(np.arctan(0.025))),
        "open_water": np.where(above < 0.3, 1.0, 0.0),
    }


def land(earth: Earth, cell: Window) -> Layers:
    """Woods in the west of each 4 km, fields of 20 x 25 pixels in the east, a meadow and bare ground between."""
    row, column = np.broadcast_arrays(cell.rows[:, None], cell.columns[None, :])
    place = column % 400
    cover = np.select([place < 200, place < 240, place < 250], [TREE, GRASS, BARE], CROP)
    cover = np.where(abs((row % 200) - 100) * 0.25 < 0.3, WATER, cover)
    number = (row // 20) * 100_000 + column // 25 + 1_000_000_000
    field = np.where(cover == CROP, number, 0)
    crop = np.where(cover == CROP, 1 + (noise.bits(3, field, 0) % np.uint64(7)).astype(np.int64), 0)
    return {
        "cover": cover.astype(np.uint8),
        "field": field,
        "crop": crop.astype(np.uint8),
        "soil": (place // 80).astype(np.uint8),
        "building_cover": np.zeros(cell.shape),
        "road_cover": np.where(place == 245, 0.5, 0.0),
    }


def small_earth(place: str, seed: int = 0, cover: int | None = None) -> tuple[Earth, Window]:
    """An Earth and a window of 60 x 70 pixels on it; ``cover`` puts one land cover everywhere."""
    groups, *rest, window = PLACES[place]

    def one_cover(earth: Earth, cell: Window) -> Layers:
        layers = dict(land(earth, cell))
        layers["cover"] = np.full(cell.shape, cover, np.uint8)
        layers["crop"], layers["field"] = np.zeros(cell.shape, np.uint8), np.zeros(cell.shape, np.int64)
        return layers

    makers = (
        Maker(constant_surroundings(groups, rest), SURROUNDINGS, 100, 1000),
        Maker(valley, ("elevation", "height_above_drainage", "slope", "open_water"), 1),
        Maker(
            land if cover is None else one_cover,
            ("cover", "field", "crop", "soil", "building_cover", "road_cover"),
            1,
        ),
    )
    earth = Earth(seed, Climate(), None, makers)  # type: ignore[arg-type]
    return earth, Window(window.zone, window.row, window.column, 60, 70)
