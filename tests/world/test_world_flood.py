"""Floods: the unit hydrograph, levels by hand, water exactly where the ground lies lower, rise and recession."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage
from scipy.stats import gamma
from small_earth import small_earth

from swath.errors import InputError
from swath.sources.world.earth.climate import Climate
from swath.sources.world.earth.earth import Earth, Maker
from swath.sources.world.earth.state import state
from swath.sources.world.events import flood
from swath.sources.world.events.kept import Kept
from swath.sources.world.events.table import events
from swath.sources.world.frame import Window


def a_flood(place: str = "temperate") -> tuple[Earth, Window, np.datetime64]:
    """An Earth, a window and the day of its greatest flood in some years."""
    earth, window = small_earth(place)
    window = Window(window.zone, window.row, window.column, 200, 90)
    first = np.datetime64("2000-01-01")
    levels = flood.highest_levels(earth, window, first, np.datetime64("2006-12-31"))
    assert levels.max() > 0.5
    return earth, window, first + int(np.argmax(levels))


def test_hydrograph_is_a_gamma_distribution() -> None:
    # Nash: a cascade of n stores with the time k answers a day of rain with the gamma distribution of shape n, scale k.
    weights = flood.hydrograph()
    by_scipy = np.diff(gamma.cdf(np.arange(31), 3, scale=2.0))
    assert weights == pytest.approx(by_scipy / by_scipy.sum()) and weights.sum() == pytest.approx(1.0)
    assert np.argmax(weights) in (3, 4)


def test_flow_conserves_rain() -> None:
    rain = np.zeros((120, 1, 1))
    rain[40], rain[43] = 50.0, 30.0
    flows = flood.flow(rain)
    assert flows.shape == (91, 1, 1) and flows.sum() == pytest.approx(80.0)
    assert flows[40 - 29 :][:10, 0, 0] == pytest.approx(
        50.0 * flood.hydrograph()[:10] + 30.0 * np.r_[np.zeros(3), flood.hydrograph()[:7]]
    )
    steady = np.full((30, 2, 2), 4.0)
    assert flood.flow(steady) == pytest.approx(4.0)


def test_level_by_hand() -> None:
    # Banks are full at 18 mm; 27 mm are half of that more: half of 2.5 m.
    levels = flood.level_of(np.array([18.0, 27.0, 5.0, 1000.0]), np.full(4, 18.0))
    assert levels.tolist() == [0.0, 1.25, 0.0, 6.0]


def test_banks_are_full_in_every_second_year() -> None:
    days = np.arange(np.datetime64("1981-01-01"), np.datetime64("1986-01-01"))
    flows = np.full((len(days), 1, 2), 1.5)
    for year, greatest in zip(range(1981, 1986), (9.0, 4.0, 30.0, 6.0, 5.0), strict=True):
        flows[days == np.datetime64(f"{year}-05-05"), 0, 0] = greatest
    assert flood.bankfull(flows, days).tolist() == [[6.0, 1.5]]
    earth, window = small_earth("temperate")
    levels = flood.highest_levels(earth, window, np.datetime64("1991-01-01"), np.datetime64("2030-12-31"))
    years = np.arange(np.datetime64("1991-01-01"), np.datetime64("2031-01-01")).astype("datetime64[Y]")
    flooded = np.mean([levels[years == year].max() > 0.0 for year in np.unique(years)])
    # Forty years of one half, from a median of ten; and the highest of the nodes counts.
    assert 0.2 < flooded < 0.9


def test_depth_is_level_less_height_and_never_negative() -> None:
    height = np.array([0.0, 1.0, 2.0, 5.0, np.nan, np.inf])
    assert flood.depth_of(np.full(6, 2.0), height).tolist() == [2.0, 1.0, 0.0, 0.0, 0.0, 0.0]


def test_water_stands_exactly_where_the_ground_is_below_the_level() -> None:
    earth, window, day = a_flood()
    found = state(earth, window, day)
    height, rest = earth.read("height_above_drainage", window), earth.read("open_water", window)
    level = flood.level(earth, window, day)
    flooded = (height < level) & (rest < 1.0)
    deep = flooded & (level - height > 2.0**-5)
    assert (found["flood_depth"][deep] > 0.0).all() and deep.any()
    assert (found["flood_depth"][~flooded] == 0.0).all()
    assert found["flood_depth"] == pytest.approx(np.where(flooded, level - height, 0.0), abs=2.0**-7)
    # It hangs together with the river: no part of the flood without permanent water.
    parts, count = ndimage.label((found["flood_depth"] > 0.0) | (rest == 1.0))
    assert all((rest[parts == number] == 1.0).any() for number in range(1, count + 1))


def test_flooded_ground_is_open_water_and_soaked() -> None:
    earth, window, day = a_flood()
    found = state(earth, window, day)
    under = found["flood_depth"] > 0.3
    assert under.any() and (found["open_water"][under] == 1.0).all()
    # Whole pixels under water show saturated soil; the pore space of these soils is 0.437 to 0.501.
    assert (found["soil_moisture"][under] > 0.436).all()
    dry = state(earth, window, day - 200)
    assert dry["water_sediment"].max() < found["water_sediment"].max()


def test_floods_rise_and_fall_over_days() -> None:
    earth, window, day = a_flood()
    levels = flood.highest_levels(earth, window, day - 40, day + 40)
    assert levels[40] == levels.max() and levels[0] < 0.3 * levels[40] and levels[-1] < 0.3 * levels[40]
    # No day takes more than half of the peak away: recession is slow.
    assert np.diff(levels).min() > -0.5 * levels[40]


def test_a_wetter_climate_floods_more() -> None:
    earth, window = small_earth("temperate")
    wetter = replace(earth, climate=Climate(wetness=1.3))
    first, last = np.datetime64("1990-01-01"), np.datetime64("2009-12-31")
    usual, wet = (flood.highest_levels(planet, window, first, last) for planet in (earth, wetter))
    assert 0.0005 < (usual > 0.0).mean() < 0.04 and wet.sum() > usual.sum()


def test_the_level_of_a_day_does_not_depend_on_the_span_asked_for() -> None:
    earth, window, day = a_flood()
    alone = flood.level(earth, window, day)
    corner = Window(window.zone, window.row + 60, window.column + 33, 7, 5)
    assert (flood.level(earth, corner, day) == alone[60:67, 33:38]).all()
    span = flood.highest_levels(earth, window, day - 3, day + 3)
    assert span[3] == flood.highest_levels(earth, window, day, day)[0]


def test_the_table_of_events_tells_of_the_flood() -> None:
    earth, window, day = a_flood()
    table = events(earth, window, day - 20, day + 20)
    floods = table[table.kind == "flood"]
    assert len(floods) >= 1 and floods.crs.to_epsg() == window.zone.epsg
    told = floods[(floods.start <= np.datetime64(day)) & (floods.end >= np.datetime64(day))].iloc[0]
    depth = state(earth, window, day)["flood_depth"]
    assert told.severity == pytest.approx(float(depth.max()), abs=0.02)
    assert told.geometry.area == pytest.approx(float((depth >= 0.2).sum()) * 100.0, rel=0.05)


def test_no_day_and_no_span() -> None:
    earth, window = small_earth("temperate")
    with pytest.raises(InputError, match="1979"):
        flood.level(earth, window, "1979-12-31")
    with pytest.raises(InputError, match="not before the first"):
        events(earth, window, "2001-01-01", "2000-01-01")
    empty = Window(window.zone, window.row, window.column, 0, 0)
    assert len(events(earth, empty, "2000-01-01", "2000-02-01")) == 0


def catchments(earth: Earth, cell: Window) -> dict[str, np.ndarray]:
    """One river from north to south in every 10 km, with 1000 km2 upstream, among brooks."""
    return {"river_area": np.where(cell.columns[None, :] % 40 == 20, 1000.0, 0.3) + 0.0 * cell.rows[:, None]}


def test_brooks_rise_less_than_rivers_and_tiles_agree() -> None:
    earth, window = small_earth("temperate")
    assert (flood.size_of_rivers(earth, window) == 1.0).all()
    known = replace(earth, makers=(*earth.makers, Maker(catchments, ("river_area",), 10, 25)))
    row, column = window.row // 1000 * 1000, window.column // 1000 * 1000
    whole = Window(window.zone, row, column, 30, 1000)
    size = flood.size_of_rivers(known, whole)
    # The river runs at pixel 20 of 250 m; within eight such pixels (2 km) it counts, beyond are brooks.
    assert size[0, 510] == 1.0 and size[0, 700] == 1.0 and size[0, 800] == pytest.approx(0.2)
    assert size.min() == pytest.approx(0.2) and size.max() == 1.0
    assert abs(np.diff(size, axis=1)).max() < 0.04
    part = Window(whole.zone, row + 7, column + 690, 20, 60)
    assert (flood.size_of_rivers(known, part) == size[7:27, 690:750]).all()


def test_what_is_kept_is_bounded_and_belongs_to_its_earth() -> None:
    kept: Kept[int] = Kept(2)
    one, other = small_earth("temperate")[0], small_earth("temperate", seed=1)[0]
    assert kept.get(one, "a", lambda: 1) == 1 and kept.get(one, "a", lambda: 2) == 1
    assert kept.get(other, "a", lambda: 3) == 3
    kept.get(one, "b", lambda: 4)
    assert len(kept) == 2 and kept.get(one, "a", lambda: 5) == 5
