"""Floods: the unit hydrograph, levels by hand, water exactly where the ground lies lower, rise and recession."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage
from scipy.stats import gamma, truncnorm
from small_earth import small_earth

from swath.errors import InputError
from swath.sources.world.earth.climate import Climate
from swath.sources.world.earth.earth import Earth, Maker
from swath.sources.world.earth.hydrology import sill
from swath.sources.world.earth.state import state
from swath.sources.world.earth.wetness import flood_load, kept_afloat
from swath.sources.world.events import flood
from swath.sources.world.events.kept import Kept
from swath.sources.world.events.table import events
from swath.sources.world.frame import Window
from swath.sources.world.truth import WATER


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


def test_water_within_a_pixel_is_that_of_truncated_normal_ground() -> None:
    """Share and mean depth by numerical integration over heights within the pixel, cut off at the drainage."""
    cases = ((0.5, 0.4, 0.12), (0.1, 0.0, 0.12), (1.0, 1.2, 0.3), (3.0, 1.0, 0.15), (0.02, 0.01, 0.2))
    for level, mean, spread in cases:
        ground = truncnorm(-mean / spread, np.inf, loc=mean, scale=spread)
        heights = np.linspace(0.0, level, 20_001)
        wet = float(ground.cdf(level))
        deep = float(np.trapezoid((level - heights) * ground.pdf(heights), heights)) / wet
        share, depth = flood.under_water(*(np.array([value]) for value in (level, mean, spread)))
        assert share[0] == pytest.approx(wet, abs=1e-9) and depth[0] == pytest.approx(deep, abs=1e-5)


def test_no_level_and_no_height_give_no_water() -> None:
    height = np.array([0.0, 0.0, 1.0, 9.0, np.nan, np.inf])
    level = np.array([0.0, -1.0, 0.0, 2.0, 2.0, 2.0])
    share, depth = flood.under_water(level, height, np.full(6, 0.12))
    assert (share == 0.0).all() and (depth == 0.0).all()


def test_share_grows_with_the_level_from_nothing() -> None:
    level = np.linspace(0.0, 1.0, 201)
    for mean in (0.0, 0.2, 0.5):
        share, depth = flood.under_water(level, np.full(201, mean), np.full(201, 0.12))
        assert share[0] == 0.0 and share[-1] > 0.99 and (np.diff(share) >= 0.0).all() and np.diff(share).max() < 0.04
        assert (depth[share > 0.0] <= level[share > 0.0]).all()


def test_steep_ground_has_narrow_shores() -> None:
    # Even heights over 10 m of a slope of 45 degrees spread by 10 / sqrt(12); level ground by its micro-relief alone.
    flat, steep = flood.spread_of(np.array([0.0, 45.0]))
    assert flat == flood.MICRO_RELIEF and steep == pytest.approx(np.hypot(10.0 / np.sqrt(12.0), flood.MICRO_RELIEF))


def test_water_stands_where_the_ground_is_below_the_level_and_is_mixed_at_the_shore() -> None:
    earth, window, day = a_flood()
    found = state(earth, window, day)
    height, rest = earth.read("height_above_drainage", window), earth.read("open_water", window)
    level = flood.level(earth, window, day)
    spread = float(flood.spread_of(np.degrees(np.arctan(np.array(0.025)))))
    dry = (height > level + 3.0 * spread) | (rest == 1.0)
    deep = (level - height > 3.0 * spread) & (height > 3.0 * spread) & (rest < 1.0)
    assert deep.any() and (found["flood_depth"][dry] == 0.0).all()
    assert found["flood_depth"][deep] == pytest.approx((level - height)[deep], abs=0.02)
    assert (found["open_water"][deep] > 0.99).all()
    shore = (abs(level - height) < 0.5 * spread) & (height > 3.0 * spread)
    assert shore.any() and ((found["open_water"][shore] > 0.25) & (found["open_water"][shore] < 0.75)).all()
    # It hangs together with the river: no part of the flood without permanent water.
    parts, count = ndimage.label((found["flood_depth"] > 0.0) | (rest == 1.0))
    assert all((rest[parts == number] == 1.0).any() for number in range(1, count + 1))


def test_hollows_behind_a_dam_stay_dry_until_it_is_overtopped() -> None:
    _, window = small_earth("temperate")

    def dammed(planet: Earth, cell: Window) -> dict[str, np.ndarray]:
        above = np.broadcast_to(np.select([cell.columns < window.column + 3, cell.columns == window.column + 10],
                                          [0.0, 1.5], 0.3), cell.shape)  # fmt: skip
        water = np.broadcast_to((cell.columns < window.column + 3) * 1.0, cell.shape)
        return {
            "height_above_drainage": above, "open_water": water, "slope": np.zeros(cell.shape),
            "flood_sill": sill(np.asarray(above), water > 0.0, 6.0, 0.25),
        }  # fmt: skip

    planet = Earth(0, Climate(), None, (Maker(dammed, (*flood.LAYERS, "flood_sill"), 1),))  # type: ignore[arg-type]
    corner = Window(window.zone, window.row // 100 * 100, window.column, 20, 30)
    low, high = (flood.standing(planet, corner, np.full(corner.shape, metres))[1] for metres in (1.0, 2.0))
    assert (low[:, 4:10] > 0.6).all() and (low[:, 11:] == 0.0).all() and (low[:, :3] == 0.0).all()
    assert (high[:, 4:10] > 1.5).all() and (high[:, 11:] > 1.5).all()


def test_mud_is_left_where_water_was_and_dries() -> None:
    earth, window, day = a_flood()
    during, after, later = (state(earth, window, day + days) for days in (0, 20, 200))
    left = (during["open_water"] > 0.99) & (after["open_water"] == 0.0) & (during["cover"] != WATER)
    assert left.any()
    usual = (during["flood_depth"] == 0.0) & (during["open_water"] == 0.0)
    assert after["soil_moisture"][left].mean() > after["soil_moisture"][usual].mean() + 0.05
    wetter = [float(one["soil_moisture"][left].mean() - one["soil_moisture"][usual].mean()) for one in (after, later)]
    assert wetter[1] < 0.6 * wetter[0]
    assert (flood.wet_level(earth, window, day + 20) >= flood.level(earth, window, day + 20)).all()


def test_rivers_in_flood_carry_more_and_shallow_water_clears() -> None:
    level, river = np.array([0.5, 1.0, 3.0]), np.zeros(3)
    load = flood_load(river, np.full(3, 0.6), level)
    # 300 exp(-0.72) = 146 g m-3, times (1 + 1 / 2.5) ** 1.2 = 1.497 at one metre.
    assert load[1] == pytest.approx(146.03 * 1.4974, rel=1e-3) and (np.diff(load) > 0.0).all()
    assert flood_load(river, np.full(3, 0.1), level)[0] > 2.0 * flood_load(river, np.full(3, 1.3), level)[0]
    afloat = kept_afloat(np.array([0.0, 0.1, 0.5, 2.0, 5.0]), np.zeros(5))
    assert afloat[0] == 0.05 and afloat[2] == pytest.approx(0.25 ** (2 / 3)) and afloat[3] == afloat[4] == 1.0


def test_flooded_ground_is_open_water_and_soaked() -> None:
    earth, window, day = a_flood()
    found = state(earth, window, day)
    under = found["flood_depth"] > 0.45
    assert under.any() and (found["open_water"][under] > 0.99).all()
    # Whole pixels under water show saturated soil; the pore space of these soils is 0.437 to 0.501.
    assert (found["soil_moisture"][under] > 0.432).all()
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
