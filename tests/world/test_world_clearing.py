"""Clearings: rectangles of wood beside land in use, felled for good from one end to the other."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from small_earth import small_earth

from swath.sources.world.earth.state import state
from swath.sources.world.events.clearing import (
    BARE_DAYS,
    TO_FIELD,
    TO_PASTURE,
    TO_WOOD,
    Cleared,
    Plot,
    after_clearing,
    cleared,
    plots,
)
from swath.sources.world.events.table import events
from swath.sources.world.frame import Window, Zone
from swath.sources.world.truth import BARE, CROP, GRASS, MANGROVE, NO_CROP, PASTURE, TREE, WATER
from swath.sources.world.world import World

FIRST, LAST = np.datetime64("1980-01-01"), np.datetime64("2100-12-31")
ZONE = Zone(32632)


def plot(angle: float = 0.0, length: float = 20.0, width: float = 10.0) -> Plot:
    return Plot(5, 32632, 0.0, 0.0, angle, length, width, np.datetime64("2020-03-01"), 10, TO_PASTURE)


@pytest.fixture(scope="module")
def forest() -> tuple[object, Window, list[Plot]]:
    earth, window = small_earth("rainforest")
    window = Window(window.zone, window.row, window.column, 600, 800)
    found = plots(earth, window, FIRST, LAST)
    assert len(found) >= 5
    return earth, window, found


def test_progress_by_hand() -> None:
    window = Window(ZONE, -8, -14, 16, 28)
    progress = plot().progress(window)
    inside = ~np.isnan(progress)
    # 20 columns by 10 rows around the middle; felling goes from west to east.
    assert inside.sum() == 200 and inside[3:13, 4:24].all()
    assert progress[8, 4] == pytest.approx(0.5 / 20) and progress[8, 23] == pytest.approx(19.5 / 20)
    turned = plot(np.pi / 2).progress(Window(ZONE, -14, -8, 28, 16))
    assert (~np.isnan(turned)).sum() == 200 and turned[4, 8] == pytest.approx(0.5 / 20)


@settings(max_examples=25, deadline=None)
@given(angle=st.floats(0, 3.14), length=st.floats(3, 90), width=st.floats(3, 40))
def test_pixels_and_corners_tell_of_the_same_rectangle(angle: float, length: float, width: float) -> None:
    one = plot(angle, length, width)
    polygon = shapely.Polygon(one.corners())
    assert polygon.area == pytest.approx(length * width * 100.0)
    window = Window(ZONE, -70, -70, 140, 140)
    inside = ~np.isnan(one.progress(window))
    x, y = np.meshgrid(window.x, window.y)
    shrunk, grown = polygon.buffer(-0.01), polygon.buffer(0.01)
    assert inside[shapely.contains_xy(shrunk, x, y)].all() and not inside[~shapely.contains_xy(grown, x, y)].any()


def test_wood_falls_for_good_and_nothing_else_does(forest: tuple[object, Window, list[Plot]]) -> None:
    earth, window, _ = forest
    cover = earth.read("cover", window)
    early, late = (cleared(earth, window, np.datetime64(day), cover) for day in ("2010-06-01", "2050-06-01"))
    assert (early.age >= 0).any() and ((early.age >= 0) <= (late.age >= 0)).all()
    assert np.isin(cover[late.age >= 0], (TREE, MANGROVE)).all()
    both = early.age >= 0
    days = int((np.datetime64("2050-06-01") - np.datetime64("2010-06-01")).astype(int))
    assert (late.age[both] - early.age[both] == days).all() and (late.number[both] == early.number[both]).all()


def test_felling_goes_from_one_end_to_the_other(forest: tuple[object, Window, list[Plot]]) -> None:
    earth, window, found = forest
    whole = Window(window.zone, window.row, window.column, window.height, window.width)
    one = max(found, key=lambda item: item.days * item.length * item.width)
    cover = np.full(whole.shape, TREE, np.uint8)
    counts = []
    for day in range(-1, one.days + 1):
        done = cleared(earth, whole, one.start + day, cover)
        counts.append(int((done.number == one.number).sum()))
    assert counts[0] == 0 and counts[-1] > 0 and (np.diff(counts) >= 0).all() and len(set(counts)) > 2


def test_plots_lie_in_wood_beside_land_in_use(forest: tuple[object, Window, list[Plot]]) -> None:
    earth, window, found = forest
    for one in found:
        around = Window(window.zone, int(one.row) - 60, int(one.column) - 60, 121, 121)
        cover = earth.read("cover", around)
        assert cover[60, 60] == TREE and ((cover == CROP) | (earth.read("road_cover", around) > 0.1)).mean() >= 0.04
    lonely, place = small_earth("rainforest", cover=TREE)
    roads = lonely.read("road_cover", place)
    assert roads.max() <= 0.5  # the small Earth has one road in 4 km, too little for anybody to clear
    assert plots(lonely, place, FIRST, LAST) == []


def test_the_same_on_any_tiling(forest: tuple[object, Window, list[Plot]]) -> None:
    earth, window, _ = forest
    day = np.datetime64("2060-01-01")
    cover = earth.read("cover", window)
    whole = cleared(earth, window, day, cover)
    for row in range(0, 600, 211):
        for column in range(0, 800, 333):
            height, width = min(211, 600 - row), min(333, 800 - column)
            part = Window(window.zone, window.row + row, window.column + column, height, width)
            place = slice(row, row + height), slice(column, column + width)
            cut = cleared(earth, part, day, cover[place])
            assert (cut.age == whole.age[place]).all() and (cut.number == whole.number[place]).all()


def test_what_becomes_of_clearings() -> None:
    use = np.array([[TO_PASTURE, TO_FIELD, TO_WOOD, TO_WOOD, TO_FIELD, 0]])
    age = np.array([[BARE_DAYS, 400, 400, 3000, BARE_DAYS - 1, -1]])
    done = Cleared(age, use, np.full((1, 6), 9))
    wood = np.full((1, 6), TREE, np.uint8)
    cover, crop = after_clearing(done, wood, np.zeros((1, 6), np.uint8), 2020)
    assert cover.tolist() == [[GRASS, CROP, GRASS, TREE, BARE, TREE]]
    assert crop[0, 0] == PASTURE and crop[0, 1] != NO_CROP and crop[0, 4] == NO_CROP
    _, following = after_clearing(done, wood, np.zeros((1, 6), np.uint8), 2021)
    assert following[0, 1] != crop[0, 1]


def test_the_state_shows_a_clearing(forest: tuple[object, Window, list[Plot]]) -> None:
    earth, window, found = forest
    one = next(plot for plot in found if plot.start > np.datetime64("1990-01-01") and plot.length < 60)
    near = Window(window.zone, int(one.row) - 30, int(one.column) - 30, 60, 60)
    before = state(earth, near, one.start - 1)
    after = state(earth, near, one.start + one.days)
    new = (before["cover"] == TREE) & (after["cover"] == BARE)
    assert new.any()
    assert (after["leaf_area"][new] < 0.2).all() and (before["leaf_area"][new] > 2.0).all()
    assert after["biomass"][new].mean() < 0.05 * before["biomass"][new].mean()
    assert (after["cover"][before["cover"] == WATER] == WATER).all()


def test_the_table_of_events_tells_of_clearings(forest: tuple[object, Window, list[Plot]]) -> None:
    earth, window, found = forest
    one = found[len(found) // 2]
    row, column = int(one.row) - 20, int(one.column) - 30
    inside = Window(window.zone, row, column, 300, 300)
    table = events(earth, inside, one.start + 1, one.start + 2)
    told = table[(table.kind == "clearing") & (table.number == one.number)].iloc[0]
    assert told.start == one.start and told.end == one.start + one.days - 1 and told.severity == 1.0
    frame = shapely.box(column * 10, -(row + 300) * 10, (column + 300) * 10, -row * 10)
    expected = shapely.Polygon(one.corners()).intersection(frame)
    assert told.geometry.symmetric_difference(expected).area < 1e-6
    later = events(earth, inside, one.start + one.days, one.start + one.days + 1)
    assert one.number not in set(later[later.kind == "clearing"].number)


def test_the_world_hands_the_table_on(forest: tuple[object, Window, list[Plot]]) -> None:
    earth, window, found = forest
    world = World(base="procedural")
    world.__dict__["earth"] = earth
    one = found[0]
    near = Window(window.zone, (int(one.row) - 30) // 3, (int(one.column) - 30) // 3, 20, 20, 3)
    table = world.events(near.geobox, one.start, one.start + 1)
    assert one.number in set(table.number) and table.crs.to_epsg() == window.zone.epsg
