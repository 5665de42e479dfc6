"""Land cover: shares of the base at 10 m, the order of the rules, and soils."""

from __future__ import annotations

import numpy as np
import pytest
from fake_land import (
    BARREN,
    CELL,
    CROPLAND,
    FOREST,
    GRASSLAND,
    GROUND,
    ICY,
    LAND,
    SAVANNA,
    URBAN,
    WETLANDS,
    EvenBase,
    even_earth,
)

from swath.sources.world.earth.climate import Climate
from swath.sources.world.earth.cover import SEALED
from swath.sources.world.earth.earth import Earth, Maker
from swath.sources.world.earth.shares import cover_shares
from swath.sources.world.frame import Window
from swath.sources.world.truth import (
    BARE,
    BUILT,
    COVER,
    CROP,
    GRASS,
    ICE,
    MANGROVE,
    MOSS,
    SHRUB,
    SOILS,
    TREE,
    WATER,
    WETLAND,
)


def shares_of(earth: Earth, cells: int = 2) -> np.ndarray:
    window = Window(CELL.zone, CELL.row, CELL.column, 1000, 1000 * cells)
    cover = earth.read("cover", window)
    cover = cover[earth.read("open_water", window) < 0.5]  # the canals are not of the base
    return np.bincount(cover.ravel(), minlength=len(COVER.entries)) / cover.size


def test_landscapes_are_what_their_igbp_class_says() -> None:
    """Loveland et al. 2000: limits of tree cover, cropland and so on that define the classes."""
    shares = [cover_shares(EvenBase({label: 1.0}).sample(np.zeros(1), np.zeros(1)))[:, 0] for label in range(17)]
    assert all(part.sum() == pytest.approx(1.0) and (part >= 0).all() for part in shares)
    assert all(shares[label][TREE] > 0.6 for label in range(1, 6))
    assert shares[6][SHRUB] > 0.6 and 0.1 <= shares[7][SHRUB] <= 0.6
    assert 0.3 <= shares[8][TREE] <= 0.6 and 0.1 <= shares[9][TREE] <= 0.3 and shares[10][TREE] < 0.1
    assert shares[12][CROP] > 0.6 and 0.4 <= shares[14][CROP] <= 0.6
    assert shares[13][BUILT] >= 0.3 and shares[15][ICE] >= 0.6 and shares[16][BARE] > 0.9 and shares[0][WATER] == 1.0


@pytest.mark.parametrize(
    ("covers", "group"),
    [
        ({FOREST: 1.0}, 2),
        ({SAVANNA: 1.0}, 0),
        ({GRASSLAND: 0.5, BARREN: 0.5}, 1),
        ({CROPLAND: 0.6, FOREST: 0.4}, 2),
        ({CROPLAND: 1.0}, 2),
        ({FOREST: 0.7, WETLANDS: 0.3}, 3),
        ({BARREN: 0.5, ICY: 0.5}, 4),
    ],
)
def test_shares_at_10_m_are_those_of_the_base(covers: dict[int, float], group: int) -> None:
    wanted = cover_shares(EvenBase(covers, group).sample(np.zeros(1), np.zeros(1)))[:, 0]
    found = shares_of(even_earth(covers=covers, group=group))
    assert np.abs(found - wanted).max() < 0.12
    assert 0.5 * np.abs(found - wanted).sum() < 0.15  # total variation


def test_cities_are_built() -> None:
    found = shares_of(even_earth(covers={URBAN: 1.0}), 1)
    assert found[BUILT] > 0.5 and found[TREE] + found[GRASS] > 0.05


def test_rules_hold_in_their_order() -> None:
    earth = even_earth(covers={CROPLAND: 0.7, FOREST: 0.3})
    layers = earth.read_all(("cover", "open_water", "building_cover", "road_cover", "rotation"), CELL)
    cover, water = layers["cover"], layers["open_water"] >= 0.5
    sealed = (layers["building_cover"] + layers["road_cover"] >= SEALED) & ~water
    ploughed = (layers["rotation"] >= 8) & ~sealed & ~water
    assert water.any() and (cover[water] == WATER).all() and (cover[~water] != WATER).all()
    assert sealed.any() and (cover[sealed] == BUILT).all() and (cover[~sealed] != BUILT).all()
    assert ploughed.any() and (cover[ploughed] == CROP).all() and (cover[~ploughed] != CROP).all()


def test_cover_has_the_same_bits_on_any_tiling() -> None:
    window = Window(CELL.zone, CELL.row + 970, CELL.column + 20, 60, 70)
    whole = even_earth().read_all(("cover", "soil"), window)
    part = even_earth().read_all(("cover", "soil"), Window(CELL.zone, window.row + 20, window.column + 15, 25, 40))
    for name, values in part.items():
        assert np.array_equal(values, whole[name][20:45, 15:55]), name
    assert whole["cover"].dtype == np.uint8 == whole["soil"].dtype


def on_slope(group: int, covers: dict[int, float], base: dict[str, float], low: float, high: float) -> Earth:
    """An Earth whose ground rises evenly from west to east across each cell."""

    def rising(earth: Earth, cell: Window) -> dict[str, np.ndarray]:
        made = dict(GROUND.make(earth, cell))
        height = low + (high - low) * (cell.columns % 1000) / 1000.0
        return made | {"elevation": np.broadcast_to(height, cell.shape).copy(), "open_water": np.zeros(cell.shape)}

    makers = (Maker(rising, GROUND.layers, 10), *(maker for maker in LAND if maker.layers != GROUND.layers))
    return Earth(1, Climate(), EvenBase(covers, group, **base), makers)


def test_no_trees_above_the_treeline() -> None:
    """In the Alps, at 48 degrees north, it lies between 1500 and 2500 m (Körner and Paulsen 2004)."""
    earth = on_slope(3, {FOREST: 1.0}, {"relief": 1500.0, "roughness": 500.0}, 500.0, 3500.0)
    cover = earth.read("cover", Window(CELL.zone, -532_000, CELL.column, 1000, 1000))
    trees = (cover == TREE).mean(axis=0)
    assert trees[:200].mean() > 0.6
    top = 500.0 + 3000.0 * np.flatnonzero(trees > 0).max() / 1000.0
    assert 1300.0 < top < 2700.0
    assert (cover[:, 950:] != TREE).all()


def test_ice_lies_high() -> None:
    earth = on_slope(4, {ICY: 0.5, BARREN: 0.5}, {"relief": 2000.0, "roughness": 400.0}, 1200.0, 2800.0)
    ice = (earth.read("cover", CELL) == ICE).mean(axis=0)
    assert ice[800:].mean() > 0.8 > 0.2 > ice[:200].mean()


def test_wetland_lies_low_above_the_drainage() -> None:
    earth = even_earth(covers={WETLANDS: 0.2, FOREST: 0.8}, group=3)
    above, cover = earth.read("height_above_drainage", CELL), earth.read("cover", CELL)
    wet = cover == WETLAND
    assert wet.any() and above[wet].mean() < 0.7 * above[~wet & (cover != WATER)].mean()


def test_mangroves_stand_on_tropical_shores_only() -> None:
    for group, height, row, some in ((0, 1.0, -60_000, True), (0, 30.0, -60_000, False), (2, 1.0, -540_000, False)):
        base = {"relief": height, "roughness": 1.0, "land": 0.7}
        earth = on_slope(group, {FOREST: 1.0}, base, height, height)
        cell = Window(CELL.zone, row, CELL.column, 1000, 1000)
        low = earth.read("height_above_drainage", cell) < 3.0
        assert ((earth.read("cover", cell) == MANGROVE)[low].mean() > 0.3) == some


def test_tundra_has_moss() -> None:
    assert shares_of(even_earth(covers={GRASSLAND: 1.0}, group=4), 1)[MOSS] > 0.1
    assert shares_of(even_earth(covers={GRASSLAND: 1.0}, group=1), 1)[MOSS] == 0.0


def test_soils_suit_the_climate() -> None:
    kinds = {}
    for group in (0, 1, 3):
        soil = np.concatenate([even_earth(seed, group=group).read("soil", CELL).ravel() for seed in range(4)])
        kinds[group] = np.bincount(soil, minlength=len(SOILS.entries)) / soil.size
    assert kinds[0].argmax() == 2 and kinds[1][3:].sum() > 0.5 and kinds[3][:2].sum() > 0.6
    assert kinds[0].sum() == pytest.approx(1.0)
