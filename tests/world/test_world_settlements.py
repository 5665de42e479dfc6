"""Settlements: the rank-size rule, built shares, roads that meet, and the same bits on any tiling."""

from __future__ import annotations

import numpy as np
import pytest
from fake_land import BARREN, CELL, CROPLAND, FOREST, GROUND, ICY, LAND, URBAN, EvenBase, even_earth

from swath.sources.world.earth.climate import Climate
from swath.sources.world.earth.earth import Earth, Maker
from swath.sources.world.earth.lattice import DISTRICT, districts, members, nearest, patches, places
from swath.sources.world.earth.settlements import (
    BUILT_LAND,
    LEVELS,
    SETTLED,
    built_land,
    roads,
    settlements,
    towns,
)
from swath.sources.world.earth.settlements import wealth as wealth_of
from swath.sources.world.frame import Window

EARTH = even_earth()
LARGE = Window(CELL.zone, -560, 30, 40, 40, 1000)  # 400 km


def test_sizes_follow_the_rank_size_rule() -> None:
    """Zipf's law: rank against people has the slope -1 in logarithms (Gabaix 1999), by Hill's estimator."""
    people = np.sort(towns(EARTH, LARGE).people)[::-1]
    top = people[people >= 1000]
    assert len(top) > 1000
    slope = len(top) / np.log(top / 1000.0).sum()
    assert slope == pytest.approx(1.0, abs=0.12)


def test_people_live_where_the_base_has_fields_and_not_in_deserts_and_on_ice() -> None:
    farmed, wooded, bare, icy = (
        towns(even_earth(covers={label: 1.0}), LARGE).people.sum() for label in (CROPLAND, FOREST, BARREN, ICY)
    )
    assert farmed > 3 * wooded > 3 * bare and icy == 0
    square_kilometres = 400.0**2
    assert 50 < farmed / square_kilometres < 500  # densities of farmland: Iowa 20, France 120, Bihar 1100


def test_towns_of_a_window_are_those_of_a_larger_one() -> None:
    whole = towns(EARTH, LARGE)
    part = towns(EARTH, Window(CELL.zone, -550, 31, 5, 7, 1000))
    known, some = ({*zip(found.y, found.x, found.people, strict=True)} for found in (whole, part))
    assert some and some <= known
    assert len(np.unique(whole.x)) == len(whole.x)
    assert set(whole.level) == set(range(len(LEVELS)))


def test_layers_have_the_same_bits_whatever_was_read_before() -> None:
    window = Window(CELL.zone, CELL.row - 60, CELL.column + 930, 150, 140)  # over the corner of four cells
    whole = EARTH.read_all((*SETTLED, *BUILT_LAND), window)
    other = even_earth()
    for row, column in ((70, 80), (0, 0)):
        part = Window(CELL.zone, window.row + row, window.column + column, 70, 55)
        for name, values in other.read_all((*SETTLED, *BUILT_LAND), part).items():
            assert np.array_equal(values, whole[name][row : row + 70, column : column + 55]), name


@pytest.mark.parametrize("name", ["town_depth", "wealth"])
def test_smooth_layers_have_no_step_between_cells(name: str) -> None:
    window = Window(CELL.zone, CELL.row + 300, CELL.column + 960, 400, 80)
    values = EARTH.read(name, window).astype(float)
    steps = np.abs(np.diff(np.maximum(values, 0.0), axis=1))
    assert steps[:, 39].mean() <= 1.5 * steps.mean() + 1e-6


def test_shares_are_shares_and_streets_and_roofs_do_not_overlap() -> None:
    layers = EARTH.read_all((*SETTLED, "open_water"), CELL)
    for name in ("building_cover", "road_cover", "wealth"):
        assert 0.0 <= layers[name].min() <= layers[name].max() <= 1.0
    assert (layers["building_cover"] + layers["road_cover"]).max() <= 1.0 + 2.0**-9
    assert ((layers["building_height"] > 0) == (layers["building_cover"] > 0)).all()
    assert (
        layers["building_height"].max() < 300 and layers["building_height"][layers["building_height"] > 0].min() > 2.5
    )
    water = layers["open_water"] >= 0.5
    assert water.any() and layers["building_cover"][water].max() == 0.0 == layers["road_cover"][water].max()


def test_farmland_is_built_as_much_as_real_farmland_and_cities_are_dense() -> None:
    """Built-up land takes 2 to 8 % of densely farmed regions, and most of a city (Corbane et al. 2019, GHSL)."""
    sealed = []
    for seed in range(3):
        layers = even_earth(seed).read_all(("building_cover", "road_cover"), CELL)
        sealed.append((layers["building_cover"] + layers["road_cover"] >= 0.25).mean())
    assert 0.01 < np.mean(sealed) < 0.1
    city = even_earth(covers={URBAN: 1.0}).read_all(("building_cover", "road_cover", "building_height"), CELL)
    assert 0.5 < (city["building_cover"] + city["road_cover"] >= 0.25).mean() < 0.95
    assert 0.08 < city["road_cover"].mean() < 0.3  # UN-Habitat 2013: streets take 6 to 36 % of cities
    assert city["building_height"].max() > 20


def test_steep_ground_is_not_built_on() -> None:
    def cliffs(earth: Earth, cell: Window) -> dict[str, np.ndarray]:
        made = dict(GROUND.make(earth, cell))
        return made | {"slope": np.where(cell.columns % 100 < 50, 2.0, 40.0) * np.ones(cell.shape)}

    makers = (Maker(cliffs, GROUND.layers, 10), *(maker for maker in LAND if maker.layers != GROUND.layers))
    earth = Earth(1, Climate(), EvenBase({URBAN: 1.0}), makers)
    steep = np.broadcast_to(CELL.columns % 100 >= 50, CELL.shape)
    cover = earth.read("building_cover", CELL)
    assert cover[steep].max() == 0.0 and cover[~steep].mean() > 0.1


def test_roads_join_places_and_neighbours_see_the_same_road() -> None:
    around = towns(EARTH, CELL)
    ends = {(round(y, 3), round(x, 3)) for y, x in zip(around.y, around.x, strict=True)}
    found = roads(EARTH, CELL)
    meeting = {(round(y, 3), round(x, 3)) for road in found for y, x in zip(road.y, road.x, strict=True)}
    assert len(ends) >= 3 and len(ends & meeting) >= 0.8 * len(ends)
    assert all(np.hypot(np.diff(road.y), np.diff(road.x)).max() < 10 for road in found)
    east = roads(EARTH, Window(CELL.zone, CELL.row, CELL.column + 1000, 1000, 1000))
    border = (CELL.column + 1000) * 10.0

    def crossings(some: list) -> set[float]:
        return {
            round(float(road.y[step]), 3)
            for road in some
            for step in np.flatnonzero(np.diff(np.sign(road.x - border)))
            if CELL.y[-1] < road.y[step] < CELL.y[0]
        }

    assert crossings(found) and crossings(found) == crossings(east)


def test_wealth_is_higher_near_large_towns() -> None:
    far, near = [], []
    for seed in range(6):
        earth = even_earth(seed)
        around = towns(earth, CELL, margin=20_000.0)
        wealth = wealth_of(earth, CELL)[::10, ::10]
        large = around.people > 50_000
        y, x = np.meshgrid(CELL.y[::10], CELL.x[::10], indexing="ij")
        middles = zip(around.y[large], around.x[large], strict=True)
        distance = np.min([np.hypot(y - middle[0], x - middle[1]) for middle in middles], axis=0)
        near.extend(wealth[distance < 4_000.0][::10])
        far.extend(wealth[distance > 10_000.0][::10])
    assert len(near) > 20 and np.mean(near) > np.mean(far) + 0.03


def test_a_cell_without_people_is_empty() -> None:
    made = settlements(even_earth(covers={ICY: 1.0}), CELL)
    assert all(made[name].max() == 0.0 for name in SETTLED if name != "wealth")
    assert built_land(even_earth(covers={ICY: 1.0}), CELL)["town_depth"].max() <= 0.0


def test_districts_are_those_of_the_nearest_centre() -> None:
    found = places(7, DISTRICT, CELL, 2 * DISTRICT)
    owner = nearest(found, DISTRICT, CELL)
    rows, columns = np.arange(0, 1000, 83), np.arange(0, 1000, 97)
    distance = np.hypot(CELL.y[rows][:, None, None] - found.y, CELL.x[columns][None, :, None] - found.x)
    assert np.array_equal(distance.argmin(axis=2), owner[np.ix_(rows, columns)])


def test_members_are_every_pixel_once() -> None:
    laid = districts(EARTH, CELL)
    chosen = laid.owner % 2 == 0
    parts = dict(members(laid.owner, chosen))
    assert sum(len(pixels) for pixels in parts.values()) == chosen.sum()
    assert all((laid.owner.ravel()[pixels] == number).all() for number, pixels in parts.items())
    assert list(members(laid.owner, np.zeros(CELL.shape, bool))) == []
    y, x = laid.straight(3, *laid.turned(3, CELL.y[:5], CELL.x[:5]))
    assert np.allclose(y, CELL.y[:5]) and np.allclose(x, CELL.x[:5])


def test_patches_are_standard_normal_over_many_landscapes() -> None:
    fields = np.stack([patches(key, CELL, 640.0, 20.0, 0.75)[::20, ::20] for key in range(5)])
    assert abs(fields.mean()) < 0.1 and fields.std() == pytest.approx(1.0, abs=0.08)
