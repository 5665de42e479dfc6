"""Daily weather: its normals, its memory, its bits on any tiling, and what it adds up to."""

from __future__ import annotations

import numpy as np
import pytest
from fake_land import even_earth
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.errors import InputError
from swath.sources.world.earth.climate import Climate, normals, read_surroundings
from swath.sources.world.earth.indices import MEMORY, Indices, angstrom, indices, on_levels
from swath.sources.world.earth.weather import (
    NODE,
    Weather,
    checked_day,
    day_of_year,
    nodes_around,
    on_nodes,
    rain_shape,
    weather,
)
from swath.sources.world.frame import Window, Zone

FIELDS = ("temperature", "swing", "rain", "cloud", "humidity", "wind_east", "wind_north")
PLACE = Window(Zone(32632), -540_321, 49_870, 300, 400)
DAY = np.datetime64("2011-07-04")
EARTH = even_earth()


def long_record(climate: Climate | None = None, **base: object) -> tuple[Weather, dict[str, np.ndarray]]:
    """A quarter of a century at a few nodes far from each other, and the normals of the days."""
    earth = even_earth(climate=climate, **base) if base or climate else EARTH
    nodes = Window(Zone(32632), -560, 30, 1, 40, NODE)
    days = np.arange(np.datetime64("1990-01-01"), np.datetime64("2015-01-01"))
    usual = normals(read_surroundings(earth, nodes), earth.climate).on(day_of_year(days))
    return on_nodes(earth, nodes, days), {
        name: getattr(usual, name) for name in ("temperature", "rain", "cloud", "wet")
    }


@given(st.integers(-40, 300), st.integers(-40, 400), st.integers(1, 60), st.integers(1, 60))
@settings(max_examples=15, deadline=None)
def test_the_same_bits_on_any_tiling(row: int, column: int, height: int, width: int) -> None:
    window = Window(PLACE.zone, PLACE.row + row, PLACE.column + column, height, width)
    over = PLACE.pad(100)
    whole, part = weather(EARTH, over, DAY - 3, DAY + 2), weather(EARTH, window, DAY, DAY)
    top, left = window.row - over.row, window.column - over.column
    for name in FIELDS:
        cut = whole.at(name, over, DAY)[top : top + height, left : left + width]
        assert np.array_equal(cut, part.at(name, window, DAY)), name


def test_weather_varies_little_over_a_cell_and_much_over_a_zone() -> None:
    record, usual = long_record()
    departure = record.temperature - usual["temperature"]
    near = np.corrcoef(departure[:, 0, 0], departure[:, 0, 1])[0, 1]
    far = np.corrcoef(departure[:, 0, 0], departure[:, 0, 39])[0, 1]
    assert near > 0.98 and abs(far) < 0.6


def test_means_are_the_normals_of_the_place() -> None:
    record, usual = long_record()
    assert np.abs((record.temperature - usual["temperature"]).mean()) < 0.4
    assert record.rain.mean() == pytest.approx(usual["rain"].mean(), rel=0.1)
    assert record.cloud.mean() == pytest.approx(usual["cloud"].mean(), abs=0.03)
    assert (record.rain > 0).mean() == pytest.approx(usual["wet"].mean(), abs=0.03)


def test_days_are_like_real_days() -> None:
    """Bounds from textbooks of stochastic weather (Wilks 2011, chapter 9) and of climatology for middle latitudes."""
    record, usual = long_record()
    departure = (record.temperature - usual["temperature"])[:, 0, 20]
    lag = np.corrcoef(departure[1:], departure[:-1])[0, 1]
    assert 0.6 < lag < 0.9
    wet = record.rain[:, 0, 20] > 0
    assert wet[1:][wet[:-1]].mean() > wet[1:][~wet[:-1]].mean() + 0.2  # wet days follow wet days
    amounts = record.rain[record.rain > 0]
    assert 1.0 < amounts.std() / amounts.mean() < 1.8  # Gamma with shape 0.3 to 1
    assert np.corrcoef(record.rain.ravel(), record.cloud.ravel())[0, 1] > 0.2
    assert record.swing[record.cloud > 0.9].mean() < record.swing[record.cloud < 0.1].mean() - 4
    speed = np.hypot(record.wind_east, record.wind_north)
    assert 2 < speed.mean() < 7 and speed.max() < 30
    assert record.wind_east.mean() > 1 > abs(record.wind_north.mean())  # westerlies
    assert ((record.humidity > 0) & (record.humidity <= 1)).all()


def test_amounts_of_rain_have_the_shape_of_geng() -> None:
    # Scale -2.16 + 1.83 * 10 = 16.14 mm for a mean of 10 mm, so the shape 0.6196; never above the exponential.
    assert rain_shape(np.array([10.0, 3.0, 2.0, 0.01])) == pytest.approx([10.0 / 16.14, 3.0 / 3.33, 1.0, 1.0])


def test_dry_months_stay_dry_and_wet_spells_are_no_cloudbursts() -> None:
    """Amounts of days in a row are nearly independent (Wilks and Wilby 1999), and months keep to their climate."""
    record, usual = long_record(group=0)
    wet = record.rain > 0.0
    both = wet[1:] & wet[:-1]
    scaled = record.rain / np.maximum(usual["rain"] / usual["wet"], 1e-9)
    following = np.corrcoef(scaled[1:][both], scaled[:-1][both])[0, 1]
    assert -0.05 < following < 0.25
    months = record.days.astype("datetime64[M]")
    names = np.unique(months)
    sums = np.stack([record.rain[months == name].sum(axis=0) for name in names])
    normal = np.stack([usual["rain"][months == name].sum(axis=0) for name in names])
    # Sums of months are at most as skewed as an exponential distribution, which exceeds five means at exp(-5).
    assert np.mean(sums > 5.0 * normal) < np.exp(-5.0)
    assert 0.9 < sums.mean() / normal.mean() < 1.1


def test_years_differ_and_variability_scales_the_departures() -> None:
    record, usual = long_record()
    # Fatichi et al. 2012: the coefficient of variation of yearly rain is 0.1 to 0.3 where it is not dry.
    yearly = record.rain[: 24 * 365, 0].reshape(24, 365, -1).mean(axis=1)
    assert 0.1 < (yearly.std(axis=0) / yearly.mean(axis=0)).mean() < 0.3
    calm, _ = long_record(Climate(variability=0.5))
    departure = record.temperature - usual["temperature"]
    assert np.allclose(calm.temperature - usual["temperature"], departure / 2)


def test_leap_years_and_ends_of_the_record() -> None:
    for first, last, count in (("2000-02-28", "2000-03-01", 3), ("1980-01-01", "1980-01-01", 1)):
        assert weather(EARTH, PLACE, first, last).temperature.shape[0] == count
    assert np.isfinite(weather(EARTH, PLACE, "2100-12-30", "2100-12-31").rain).all()
    assert checked_day("2024-02-29T13:00") == np.datetime64("2024-02-29")


@pytest.mark.parametrize("day", ["1979-12-31", "2101-01-01", "yesterday", None, "NaT"])
def test_days_that_are_none_end_in_a_sentence(day: object) -> None:
    with pytest.raises(InputError):
        weather(EARTH, PLACE, day, "2000-01-01")


def test_the_last_day_may_not_come_first_and_other_days_cannot_be_read() -> None:
    with pytest.raises(InputError, match="swap"):
        weather(EARTH, PLACE, "2001-01-02", "2001-01-01")
    with pytest.raises(InputError, match="a day from 2001-01-01"):
        weather(EARTH, PLACE, "2001-01-01", "2001-01-02").at("rain", PLACE, np.datetime64("2001-01-03"))


def test_empty_windows_and_coarse_pixels() -> None:
    empty = Window(PLACE.zone, PLACE.row, PLACE.column, 0, 5)
    record = weather(EARTH, empty, DAY, DAY)
    assert record.at("rain", empty, DAY).shape == (0, 5)
    assert indices(EARTH, empty, DAY, np.zeros((0, 5))).drought.shape == (0, 5)
    coarse = Window(PLACE.zone, -5400, 500, 4, 6, 100)
    assert weather(EARTH, coarse, DAY, DAY).at("cloud", coarse, DAY).shape == (4, 6)


def test_ground_is_cooler_by_the_lapse_rate() -> None:
    record = weather(EARTH, PLACE, DAY, DAY)
    high = record.temperature_at(PLACE, DAY, np.full(PLACE.shape, 1000.0))
    assert np.allclose(record.temperature_at(PLACE, DAY, np.zeros(PLACE.shape)) - high, 6.5)
    assert nodes_around(PLACE).step == NODE


def made(temperature: np.ndarray, rain: np.ndarray) -> Weather:
    """A record of one node by hand."""
    column = [np.asarray(values, float).reshape(-1, 1, 1) for values in (temperature, rain)]
    zero = np.zeros_like(column[0])
    days = np.arange(np.datetime64("2003-01-01"), np.datetime64("2003-01-01") + len(temperature))
    nodes = Window(PLACE.zone, -540, 50, 1, 1, NODE)
    return Weather(nodes, days, column[0], zero + 10.0, column[1], zero, zero, zero, zero)


NORTH, RAIN = np.array([[50.0]]), np.array([[700.0]])


def last(temperature: list[float], rain: list[float], levels: tuple[float, ...] = (0.0,)) -> list[np.ndarray]:
    found = on_levels(made(np.array(temperature), np.array(rain)), np.array(levels), NORTH, RAIN)
    return [part[:, 0, 0] for part in found]


def test_indices_by_hand() -> None:
    degrees, wet, drought, snow = last([10.0, 10.0, 3.0], [10.0, 0.0, 0.0])
    assert degrees[0] == pytest.approx(10.0)  # two days five degrees above the threshold
    assert wet[0] == pytest.approx(10.0 * 0.9**2)
    assert snow[0] == 0.0 and 0.0 < drought[0] < 0.3
    _, _, _, snow = last([-5.0, -5.0, 1.0], [10.0, 5.0, 0.0])
    assert snow[0] == pytest.approx(15.0 - 3.5)
    _, _, _, snow = last([3.0], [10.0], levels=(0.0, 1000.0))
    assert snow.tolist() == [0.0, 10.0]  # 6.5 degrees colder at 1000 m


def test_drought_follows_keetch_and_byram() -> None:
    """One dry day with a maximum of 30 degrees and 700 mm a year, from their equation by hand."""
    _, _, before, _ = last([-30.0], [0.0])
    _, _, after, _ = last([-30.0, 25.0], [0.0, 0.0])
    drawn = (203.2 - 0.3 * 203.2) * (0.968 * np.exp(0.0875 * 30.0 + 1.5552) - 8.30)
    assert (after - before)[0] * 203.2 == pytest.approx(1e-3 * drawn / (1 + 10.88 * np.exp(-0.001736 * 700)), rel=1e-6)
    _, _, soaked, _ = last([15.0] * 5, [80.0] * 5)
    _, _, parched, _ = last([35.0] * 360, [0.0] * 360)
    assert soaked[0] < 0.01 and parched[0] > 0.95  # the last day still dries a little


def test_indices_forget_what_lies_a_year_back() -> None:
    random = np.random.default_rng(0)
    past = random.uniform(0, 25, MEMORY), random.gamma(0.5, 5, MEMORY)
    same = [np.concatenate([[extreme], values]) for extreme, values in zip((-40.0, 300.0), past, strict=True)]
    _, wet, drought, snow = last(list(past[0]), list(past[1]))
    _, wet_2, drought_2, snow_2 = last(*[list(values) for values in same])
    assert (
        wet[0] == pytest.approx(wet_2[0])
        and snow[0] == snow_2[0]
        and drought[0] == pytest.approx(drought_2[0], abs=1e-3)
    )


def test_indices_of_a_place_have_the_same_bits_on_any_tiling() -> None:
    elevation = 200.0 + 4.0 * np.add.outer(np.arange(PLACE.height), np.arange(PLACE.width))
    whole = indices(EARTH, PLACE, np.datetime64("2011-03-04"), elevation)
    part_window = Window(PLACE.zone, PLACE.row + 31, PLACE.column + 57, 40, 33)
    part = indices(EARTH, part_window, np.datetime64("2011-03-04"), elevation[31:71, 57:90])
    for name in ("degree_days", "antecedent_rain", "drought", "snow_water"):
        assert np.array_equal(getattr(whole, name)[31:71, 57:90], getattr(part, name)), name
    assert whole.snow_water[-1, -1] > whole.snow_water[0, 0]


def test_snow_lies_in_winter_and_drought_comes_in_summer() -> None:
    earth = even_earth(group=3)
    flat = np.zeros((1, 1))
    window = Window(PLACE.zone, -600_000, 50_000, 1, 1)

    def on(day: str) -> list[Indices]:
        return [indices(earth, window, np.datetime64(f"{year}-{day}"), flat) for year in range(2000, 2010)]

    winter, spring, summer = on("02-15"), on("05-15"), on("08-15")
    assert np.mean([found.snow_water[0, 0] > 5 for found in winter]) > 0.8
    assert all(found.snow_water[0, 0] == 0 for found in summer)
    # Melting snow soaks the ground; then it dries out. In winter it stays as dry as the autumn left it.
    drought = [np.mean([found.drought[0, 0] for found in season]) for season in (spring, summer)]
    assert drought[1] > drought[0] + 0.05
    assert 400 < np.mean([found.degree_days[0, 0] for found in summer]) < 2500


def test_angstrom_warns_in_hot_dry_air() -> None:
    assert angstrom(np.array(35.0), np.array(0.2)) < 2.0 < 4.0 < angstrom(np.array(10.0), np.array(0.8))
