"""Fires: travel times by hand, spread with wind and slope, perimeters nested and within the fuel, traces that fade."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import dijkstra
from small_earth import small_earth

from swath import rng
from swath.sources.world.earth.state import state
from swath.sources.world.events import fire
from swath.sources.world.events.spread import Fuel, run_of_a_day, travel_times
from swath.sources.world.events.table import events
from swath.sources.world.frame import Window
from swath.sources.world.truth import BARE, BUILT, CROP, GRASS, ICE, WATER

CALM = (0.0, 0.0)
SAVANNA_YEARS = np.datetime64("2009-01-01"), np.datetime64("2012-12-31")


def fuel(spread: np.ndarray, height: np.ndarray | None = None) -> Fuel:
    ground = np.zeros(spread.shape) if height is None else height
    return Fuel(spread, ground, 30.0, np.zeros(spread.shape))


def spark(size: int = 41) -> np.ndarray:
    burning = np.zeros((size, size), bool)
    burning[size // 2, size // 2] = True
    return burning


def test_calm_fire_on_level_ground_runs_at_the_rate_of_its_fuel() -> None:
    # 0.3 m/min: 300 minutes are 90 m, three pixels along the axes; diagonal steps are 42.4 m, so two of them fit.
    burnt = run_of_a_day(fuel(np.full((41, 41), 0.3)), spark(), CALM, 300.0)
    rows, columns = np.nonzero(burnt)
    assert burnt[20, 23] and not burnt[20, 24] and burnt[22, 22] and not burnt[23, 23]
    assert rows.min() == columns.min() == 17 and rows.max() == columns.max() == 23


def test_wind_drives_the_head_and_not_the_back() -> None:
    ground = fuel(np.full((81, 81), 0.1))
    burnt = run_of_a_day(ground, spark(81), (8.0, 0.0), 120.0)
    rows, columns = np.nonzero(burnt)
    east, west, aside = columns.max() - 40, 40 - columns.min(), rows.max() - 40
    assert east > 3 * max(west, 1) and east > 2 * max(aside, 1)
    # Head of the ellipse: 0.1 m/min times 1 + 1.6 * 8 ** 0.9.
    assert east == int(0.1 * (1 + 1.6 * 8**0.9) * 120.0 / 30.0)


def test_fire_runs_uphill() -> None:
    slope = np.broadcast_to((np.arange(81)[::-1] * 12.0)[:, None], (81, 81))  # rises to the north by 40 %
    burnt = run_of_a_day(fuel(np.full((81, 81), 0.1), slope), spark(81), CALM, 300.0)
    rows = np.nonzero(burnt)[0]
    assert 40 - rows.min() > 2 * (rows.max() - 40)
    # Rothermel's slope factor, 5.275 times the packing ratio to the power of -0.3 times the squared tangent.
    assert 40 - rows.min() == int(0.1 * (1 + 5.275 * 0.005**-0.3 * 0.4**2) * 300.0 / 30.0)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    minutes=st.floats(0.0, 600.0),
    more=st.floats(0.0, 300.0),
    wind=st.tuples(st.floats(-12, 12), st.floats(-12, 12)),
)
def test_more_time_burns_more_and_never_without_fuel(
    seed: int, minutes: float, more: float, wind: tuple[float, float]
) -> None:
    stream = rng.generator(seed, "fuel of a test")
    spread = np.where(stream.uniform(size=(31, 31)) < 0.7, stream.uniform(0.02, 0.4, (31, 31)), 0.0)
    ground = fuel(spread, 10.0 * stream.uniform(size=(31, 31)))
    start = spark(31)
    short, long = (run_of_a_day(ground, start, wind, time) for time in (minutes, minutes + more))
    assert (start <= short).all() and (short <= long).all()
    assert not (long & (spread == 0.0) & ~start).any()
    # The smaller graph gives what the whole one gives.
    if spread[15, 15] > 0.0 and minutes > 0.0:
        whole = dijkstra(travel_times(ground, wind), indices=[15 * 31 + 15], min_only=True, limit=minutes)
        assert (np.isfinite(whole).reshape(31, 31) | start == short).all()


def test_a_gap_without_fuel_stops_fire() -> None:
    spread = np.full((41, 41), 0.5)
    spread[:, 25] = 0.0
    burnt = run_of_a_day(fuel(spread), spark(), (10.0, 0.0), 1e5)
    assert burnt[:, :25].all() and not burnt[:, 25:].any()


def test_danger_grows_with_dry_air_and_drought() -> None:
    # Chandler et al.: fires very likely below 2, unlikely above 4 of Angström's index.
    assert fire.danger(4.0, 1.0) == 0.0 and fire.danger(1.9, 0.7) == 1.0
    assert fire.danger(2.7, 0.9) > fire.danger(3.0, 0.9) and fire.danger(2.0, 0.5) > fire.danger(2.0, 0.3)
    assert fire.danger(1.0, 0.2) == 0.0


@pytest.fixture(scope="module")
def burning() -> tuple[object, Window, list[fire.Fire]]:
    """An Earth of grass, a window and its fires."""
    earth, window = small_earth("savanna", cover=GRASS)
    window = Window(window.zone, window.row, window.column, 1000, 1000)
    found = fire.fires(earth, window, *SAVANNA_YEARS)
    assert found
    return earth, window, found


def test_perimeters_are_nested_day_by_day(burning: tuple[object, Window, list[fire.Fire]]) -> None:
    for one in burning[2]:
        days = [one.perimeter(one.start + day) for day in range(fire.LONGEST + 1)]
        assert not one.perimeter(one.start - 1).any() and days[0].any()
        assert all((before <= after).all() for before, after in itertools.pairwise(days))
        assert (days[-1] == (one.severity > 0.0)).all() and one.severity.max() <= 1.0
    assert max(int((one.day >= 0).sum()) for one in burning[2]) > 100


def test_fires_keep_to_their_fuel() -> None:
    earth, window = small_earth("savanna")
    window = Window(window.zone, window.row, window.column, 1000, 1000)
    found = fire.fires(earth, window, *SAVANNA_YEARS)
    assert found
    for one in found:
        cover = earth.read("cover", one.window.finest())
        bare = np.isin(cover, [WATER, ICE, BUILT]).reshape(201, 3, 201, 3).all(axis=(1, 3))
        assert not (bare & (one.day >= 0)).any() and bare.any()


def test_no_fire_on_ice_or_in_deserts_and_few_in_wet_cold() -> None:
    earth, window = small_earth("savanna", cover=ICE)
    assert fire.fires(earth, window, *SAVANNA_YEARS) == []
    bare, sand = small_earth("desert", cover=GRASS)
    assert fire.fires(bare, Window(sand.zone, sand.row, sand.column, 1000, 1000), *SAVANNA_YEARS) == []
    wet, cold = small_earth("boreal", cover=GRASS)
    whole = Window(cold.zone, cold.row, cold.column, 1000, 1000)
    assert len(fire.fires(wet, whole, *SAVANNA_YEARS)) <= 1


def test_traces_are_the_same_on_any_tiling(burning: tuple[object, Window, list[fire.Fire]]) -> None:
    earth, _, found = burning
    one = max(found, key=lambda item: int((item.day >= 0).sum()))
    fine = one.window.finest()
    day = one.start + 3
    whole = fire.traces(earth, fine, day)
    assert (whole.severity > 0.0).any()
    part = Window(fine.zone, fine.row + 250, fine.column + 251, 77, 102)
    cut = fire.traces(earth, part, day)
    assert (cut.severity == whole.severity[250:327, 251:353]).all()
    assert (cut.age == whole.age[250:327, 251:353]).all()


def test_char_fades_in_weeks_and_leaves_come_back(burning: tuple[object, Window, list[fire.Fire]]) -> None:
    earth, _, found = burning
    one = max(found, key=lambda item: int((item.day >= 0).sum()))
    row, column = (one.window.row + 95) * 3, (one.window.column + 95) * 3
    window = Window(one.window.zone, row, column, 33, 33)
    dry = earth.read("open_water", window) == 0.0
    found_now = fire.traces(earth, window, one.end)
    burnt = (found_now.severity > 0.5) & (found_now.age < 10.0) & dry
    assert burnt.any()
    before, after, weeks, year = (
        state(earth, window, day) for day in (one.start - 1, one.end, one.end + 60, one.end + 365)
    )
    assert before["char_cover"][burnt].max() < 0.1 and after["char_cover"][burnt].min() > 0.3
    assert weeks["char_cover"][burnt].mean() < 0.25 * after["char_cover"][burnt].mean()
    assert after["leaf_area"][burnt].mean() < 0.6 * before["leaf_area"][burnt].mean()
    assert 0.0 < year["burn_severity"][burnt].mean() < after["burn_severity"][burnt].mean()
    assert after["biomass"][burnt].mean() < before["biomass"][burnt].mean()
    # Severity of the truth is the share taken: it agrees with the table of events.
    table = events(earth, window, one.start, one.end)
    assert one.number in set(table[table.kind == "fire"].number)


def test_fires_of_a_window_of_no_pixels(burning: tuple[object, Window, list[fire.Fire]]) -> None:
    earth, window, _ = burning
    assert fire.fires(earth, Window(window.zone, 0, 0, 0, 5), *SAVANNA_YEARS) == []


def test_bare_and_crop_carry_less_fire_than_grass() -> None:
    assert fire.SPREAD[GRASS] > fire.SPREAD[CROP] > fire.SPREAD[BARE] > fire.SPREAD[WATER] == 0.0
