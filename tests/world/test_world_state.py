"""The state of a day: every moving layer, the same bits on any tiling, moisture, snow and water by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_earth import PLACES, small_earth

from swath.errors import ContractError, InputError
from swath.sources.world.earth.indices import MEMORY, on_levels
from swath.sources.world.earth.state import MOVING, state
from swath.sources.world.earth.weather import nodes_around, on_nodes
from swath.sources.world.earth.wetness import (
    POROSITY,
    RESIDUAL,
    chlorophyll,
    sediment,
    snow_cover,
    soil_moisture,
)
from swath.sources.world.frame import Window
from swath.sources.world.truth import COVER, CROPS, ICE, LAYERS, RICE, TREE, WATER

DAY = np.datetime64("1982-07-20")  # few years after the first, so that few fires have to be remembered


def test_every_moving_layer_comes_in_its_type_and_steps() -> None:
    earth, window = small_earth("temperate")
    found = state(earth, window, DAY)
    assert set(found) == {name for name, info in LAYERS.items() if info.moves} == set(MOVING)
    for name, values in found.items():
        assert values.shape == window.shape
        if LAYERS[name].kind == "class":
            assert values.dtype == np.uint8 and values.max() < len({"cover": COVER, "crop": CROPS}[name].entries)
        else:
            steps = values.astype(np.float64) / LAYERS[name].step
            assert values.dtype == np.float32 and (steps == np.rint(steps)).all() and np.isfinite(values).all()


@settings(max_examples=5, deadline=None)
@given(
    place=st.sampled_from(sorted(PLACES)),
    day=st.integers(0, 3_000),
    row=st.integers(-150, 150),
    column=st.integers(-150, 150),
    cut=st.integers(1, 29),
)
def test_same_bits_on_any_tiling(place: str, day: int, row: int, column: int, cut: int) -> None:
    earth, window = small_earth(place)
    # Around the corner of a 10 km cell, where nodes, cells and events change.
    corner_row, corner_column = (start // 1000 * 1000 + 500 for start in (window.row, window.column))
    whole = Window(window.zone, corner_row + row - 15, corner_column + column - 15, 30, 31)
    when = np.datetime64("1980-01-01") + day
    at_once = state(earth, whole, when)
    fresh, _ = small_earth(place)
    for down, height in ((0, cut), (cut, 30 - cut)):
        part = Window(whole.zone, whole.row + down, whole.column + 3, height, 28)
        for name, values in state(fresh, part, when).items():
            assert values.tobytes() == at_once[name][down : down + height, 3:].tobytes(), name


def test_ranges_are_physical_in_all_climates_and_months() -> None:
    shares = ("open_water", "brown_fraction", "snow_cover", "char_cover", "burn_severity")
    for month, place in enumerate(PLACES, start=1):
        earth, window = small_earth(place)
        for later in (0, 5):
            found = state(earth, window, f"1981-{month + later:02d}-11")
            assert all(found[name].min() >= 0.0 and found[name].max() <= 1.0 for name in shares)
            assert found["leaf_area"].min() >= 0.0 and found["leaf_area"].max() < 9.0
            assert found["soil_moisture"].min() > 0.0 and found["soil_moisture"].max() <= max(POROSITY)
            water = found["cover"] == WATER
            assert (found["leaf_area"][water] == 0.0).all() and (found["open_water"][water] == 1.0).all()
            assert (found["water_sediment"][found["open_water"] == 0.0] == 0.0).all()
            assert found["biomass"][found["cover"] == TREE].min() > 0.0


def test_years_differ_and_seeds_differ() -> None:
    earth, window = small_earth("temperate")
    other, _ = small_earth("temperate", seed=1)
    spring = [state(earth, window, f"{year}-04-25")["leaf_area"].mean() for year in range(1981, 1985)]
    assert np.std(spring) > 0.02
    assert (state(other, window, "1981-04-25")["leaf_area"] != state(earth, window, "1981-04-25")["leaf_area"]).any()


def test_biomass_is_that_of_real_forests() -> None:
    # IPCC 2006, table 4.7: tropical rain forest about 300 Mg/ha, temperate forest 120, boreal 20 to 90; half to double.
    expected = {"rainforest": 300.0, "temperate": 120.0, "boreal": 50.0}
    for place, normal in expected.items():
        earth, window = small_earth(place, cover=TREE)
        found = state(earth, window, DAY)["biomass"].mean()
        assert 0.5 * normal < found < 2.0 * normal, place


def test_soil_holds_water_between_its_limits_and_wets_with_rain() -> None:
    soil = np.arange(5)
    zero = np.zeros(5)
    dry = soil_moisture(zero, np.ones(5), soil, np.full(5, 50.0), zero)
    soaked = soil_moisture(np.full(5, 500.0), zero, soil, zero, zero)
    assert dry == pytest.approx(RESIDUAL, abs=1e-9)
    assert (soaked <= POROSITY).all() and soaked == pytest.approx(POROSITY, rel=0.02)
    rain = [soil_moisture(np.full(5, mm), np.full(5, 0.3), soil, np.full(5, 20.0), zero) for mm in (0, 5, 20, 60)]
    assert all((less < more).all() for less, more in itertools.pairwise(rain))
    # 63 % of the free pores by the filling of loam, without drought and far from water: 24 mm, besides a quarter held.
    loam = soil_moisture(np.array([24.0]), np.zeros(1), np.array([1]), np.array([np.nan]), np.zeros(1))
    filled = 1 - np.exp(-1)
    assert loam == pytest.approx(0.027 + (0.463 - 0.027) * (filled + 0.25 * (1 - filled)))


def test_valley_floors_are_wetter() -> None:
    height = np.array([0.0, 0.5, 2.0, 10.0])
    wet = soil_moisture(np.full(4, 5.0), np.full(4, 0.4), np.ones(4, int), height, np.zeros(4))
    assert (np.diff(wet) < 0.0).all()


def test_snow_depletion_curve_by_hand() -> None:
    # Koren et al.: half of what hides the ground gives 1 - exp(-1.3) + 0.5 exp(-2.6) = 0.7646.
    found = snow_cover(np.array([0.0, 20.0, 40.0, 400.0]), np.zeros(4))
    assert found == pytest.approx([0.0, 1 - np.exp(-1.3) + 0.5 * np.exp(-2.6), 1.0, 1.0])


def test_snow_keeps_its_water_in_lasting_cold() -> None:
    # Mass balance: where it is never above freezing, the water in the snow is all that fell; and none lies in the heat.
    earth, window = small_earth("boreal")
    past = on_nodes(earth, nodes_around(window), np.arange(DAY - MEMORY, DAY + 1))
    levels = np.array([0.0, 9000.0])
    latitude = np.full(past.rain.shape[1:], 62.0)
    snow = on_levels(past, levels, latitude, np.full(latitude.shape, 600.0))[3]
    assert (past.temperature - 0.0065 * 9000.0 < 0.0).all()
    assert snow[1] == pytest.approx(past.rain.sum(axis=0)) and (snow[0] == 0.0).all()


def test_snow_lies_in_the_boreal_winter_and_higher_up_for_longer() -> None:
    earth, window = small_earth("boreal")
    winter, summer = (state(earth, window, f"1982-{month}-01")["snow_cover"] for month in ("03", "08"))
    ground = earth.read("open_water", window) == 0.0
    assert winter[ground].mean() > 0.9 and summer.max() == 0.0
    ice, _ = small_earth("boreal", cover=ICE)
    assert (state(ice, window, "1982-08-01")["snow_cover"][ground] == 1.0).all()


def test_waters_are_lognormal_and_floods_stir_them() -> None:
    body = np.random.default_rng(0).standard_normal(20_000)
    carried = sediment(body, np.zeros(body.shape), np.zeros(body.shape))
    assert np.median(carried) == pytest.approx(6.0, rel=0.05)
    assert (sediment(body, np.zeros(body.shape), np.ones(body.shape)) >= carried).all()
    green = chlorophyll(body, np.full(body.shape, 0.5), np.zeros(body.shape))
    assert np.median(green) == pytest.approx(4.0, rel=0.05)
    assert (chlorophyll(body, np.full(body.shape, 0.5), np.ones(body.shape)) <= green).all()


def test_rice_stands_in_water_in_early_summer() -> None:
    earth, window = small_earth("temperate")
    wide = Window(window.zone, window.row, window.column + 240, 400, 160)
    rice = earth.read("crop", wide) == RICE
    assert rice.any()
    share = {month: float(state(earth, wide, f"1982-{month:02d}-20")["open_water"][rice].mean()) for month in (2, 7)}
    assert share[2] < 0.1 and share[7] > 0.5


def test_bad_requests_and_no_pixels() -> None:
    earth, window = small_earth("temperate")
    with pytest.raises(InputError, match="2101"):
        state(earth, window, "2101-01-01")
    with pytest.raises(InputError, match="is no day"):
        state(earth, window, "someday")
    with pytest.raises(ContractError, match="30 m"):
        state(earth, Window(window.zone, 0, 0, 3, 3, 3), DAY)
    empty = state(earth, Window(window.zone, 0, 0, 0, 7), DAY)
    assert all(values.shape == (0, 7) for values in empty.values()) and set(empty) == set(MOVING)
