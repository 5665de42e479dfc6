"""Seasons and leaves: the double logistic by hand, the Miami model and day lengths of books, hemispheres, years."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_earth import small_earth

from swath.errors import InputError
from swath.sources.world.earth.climate import Normals
from swath.sources.world.earth.phenology import (
    CALENDAR,
    KINDS,
    Ground,
    Leaves,
    double_logistic,
    leaves,
    moist,
    rooted,
)
from swath.sources.world.earth.season import Season, day_length, end_of, frost, miami, season, start_of
from swath.sources.world.truth import (
    COVER,
    CROP,
    CROPS,
    GRASS,
    NO_CROP,
    ROOT_CROP,
    SUMMER_CEREAL,
    TREE,
    WATER,
    WINTER_CEREAL,
)

ONE = (1, 1)


def ground(cover: int, crop: int = NO_CROP, next_crop: int = NO_CROP, field: int = 7) -> Ground:
    codes = [np.full(ONE, code) for code in (cover, crop, next_crop, field)]
    return Ground(*codes, np.zeros(ONE), np.zeros(ONE))


def at(
    since_start: float, cold: float = 1.0, evergreen: float = 0.02, productivity: float = 1.0, frost: float = 0.0
) -> Season:
    values = (since_start, 200.0, cold, productivity, evergreen, frost)
    return Season(*(np.full(ONE, value) for value in values))


def grown(what: Ground, when: Season, drought: float = 0.1) -> Leaves:
    return leaves(what, when, np.full(ONE, drought), 12345, 19000)


def course(what: Ground, first: int = -80, last: int = 270, **season_options: float) -> np.ndarray:
    """Leaf area on days since the start of the season."""
    return np.array([grown(what, at(day, **season_options)).leaf_area[0, 0] for day in range(first, last)])


def test_tables_have_a_row_per_code() -> None:
    assert len(KINDS) == len(COVER.entries) and len(CALENDAR) == len(CROPS.entries)


def test_double_logistic_by_hand() -> None:
    # 1 / (1 + exp(-1)) + 1 / (1 + exp(-18)) - 1, one rise after the start and 180 days of 10 before the end.
    assert double_logistic(110.0, 100.0, 290.0, 10.0, 10.0) == pytest.approx(0.7310585786 + 0.9999999848 - 1.0)
    assert double_logistic(100.0, 100.0, 300.0, 10.0, 10.0) == pytest.approx(0.5, abs=1e-6)
    assert double_logistic(300.0, 100.0, 300.0, 10.0, 20.0) == pytest.approx(0.5, abs=1e-6)
    # The formula of Beck et al. with rates mS = 1 / 10 and mA = 1 / 20, w = 0 and m = 1.
    t = np.arange(0.0, 366.0)
    beck = 1 / (1 + np.exp(-0.1 * (t - 120))) + 1 / (1 + np.exp(0.05 * (t - 280))) - 1
    assert double_logistic(t, 120.0, 280.0, 10.0, 20.0) == pytest.approx(np.clip(beck, 0, 1), abs=1e-12)


@given(day=st.floats(-400, 800), start=st.floats(0, 200), length=st.floats(0, 300))
def test_double_logistic_stays_within_bounds(day: float, start: float, length: float) -> None:
    assert 0.0 <= double_logistic(day, start, start + length, 8.0, 12.0) <= 1.0


def test_leaves_come_out_where_warmth_meets_the_need() -> None:
    # 15 degrees from midwinter on are 10 degree days a day, and no chill at all needs 60 + 350 = 410: the 41st day.
    warm = np.full((61 + 366, 1), 15.0)
    assert start_of(warm) == pytest.approx(41.0)
    # Endless cold before: chill of 61 days lowers the need to 60 + 350 exp(-0.732) = 228.3, reached in 22.8 days.
    chilled = warm.copy()
    chilled[:61] = -5.0
    assert start_of(chilled) == pytest.approx((60 + 350 * np.exp(-0.012 * 61)) / 10.0, abs=1e-9)
    assert start_of(np.full((61 + 366, 1), 4.0)) == 420.0


def test_autumn_waits_for_short_days() -> None:
    # 5 degrees are 10 degree days of cold a day: 140 take 14 days from the first day with less than 13.5 hours.
    daylight = np.where(np.arange(366) < 240, 14.0, 13.0)[:, None]
    assert end_of(np.full((366, 1), 5.0), daylight) == pytest.approx(240 + 14.0)
    assert end_of(np.full((366, 1), 20.0), daylight) == 420.0


def test_day_lengths_are_those_of_almanacs() -> None:
    # Hours of daylight without refraction: 12 at the equinox, about 16.1 at 50 degrees at midsummer, none at the pole.
    latitude = np.array([[0.0, 50.0, 85.0, -50.0]])
    solstice, equinox, winter = day_length(latitude, np.array([171, 79, 354]))[:, 0]
    assert solstice == pytest.approx([12.0, 16.1, 24.0, 7.9], abs=0.15)
    assert equinox[[0, 1, 3]] == pytest.approx(12.0, abs=0.15)
    assert winter == pytest.approx([12.0, 7.9, 0.0, 16.1], abs=0.15)


def test_miami_model_by_hand() -> None:
    # Lieth 1975: 3000 / (1 + exp(1.315 - 0.119 * 10)) = 1406 by warmth, 3000 (1 - exp(-0.000664 * 800)) = 1236 by rain.
    parts = [np.full((12, 1, 1), value) for value in (10.0, 800.0 / 365.25, 0.3, 0.5, 3.0, 3.0)]
    assert miami(Normals(*parts), np.array([0.0]))[0, 0, 0] == pytest.approx(1236.4, abs=0.5)
    assert miami(Normals(*parts), np.array([2000.0]))[0, 0, 0] == pytest.approx(
        3000 / (1 + np.exp(1.315 - 0.119 * -3.0)), abs=0.5
    )


def test_woods_that_shed_have_a_summer_and_a_winter() -> None:
    year = course(ground(TREE))
    assert year[80 + 100] > 4.5 and year[80 + 259] < 0.7 and year[:40].max() < 0.7
    half = np.argmax(year > 0.5 * (year.max() + year[:20].mean())) - 80
    assert abs(half) <= 3  # half of the leaves are out on the first day of the season


def test_evergreens_and_the_wet_tropics_hardly_change() -> None:
    needles = course(ground(TREE), evergreen=0.95)
    tropics = course(ground(TREE), cold=0.0, evergreen=0.85)
    assert needles.min() > 0.55 * needles.max() and tropics.min() > 0.98 * tropics.max()


def test_grass_is_green_in_mild_winters_and_yellow_in_frosty_ones() -> None:
    mild, frosty = (grown(ground(GRASS), at(-60.0, frost=frost)) for frost in (0.0, 1.0))
    green = [float(((1.0 - one.brown) * one.leaf_area)[0, 0]) for one in (mild, frosty)]
    assert green[1] < 0.25 * green[0] and frosty.brown[0, 0] > 0.7 > mild.brown[0, 0]
    summer = [grown(ground(GRASS), at(100.0, frost=frost)) for frost in (0.0, 1.0)]
    assert summer[0].leaf_area[0, 0] == pytest.approx(summer[1].leaf_area[0, 0], rel=0.01)
    # Trees that shed are bare in both: a few leaves in a hundred stay.
    assert grown(ground(TREE), at(-60.0)).leaf_area[0, 0] < 0.1 * grown(ground(TREE), at(100.0)).leaf_area[0, 0]


def test_frost_by_hand() -> None:
    # Coldest month 1 degree at sea level: half of what lies between 4 and -2. At 1000 m it is 6.5 degrees colder.
    parts = [np.full((12, 1, 1), value) for value in (10.0, 2.0, 0.3, 0.5, 3.0, 3.0)]
    parts[0][0] = 1.0
    assert frost(Normals(*parts), np.array([0.0, 1000.0]))[:, 0, 0].tolist() == [0.5, 1.0]


def test_woods_differ_by_a_quarter_and_gaps_open_them() -> None:
    generator = np.random.default_rng(0)
    shape = (200, 200)
    codes = [np.full(shape, code) for code in (TREE, NO_CROP, NO_CROP, 7)]
    many = Ground(*codes, generator.standard_normal(shape), generator.standard_normal(shape))
    summer = Season(*(np.full(shape, value) for value in (100.0, 200.0, 1.0, 1.0, 0.02, 0.0)))
    area = leaves(many, summer, np.full(shape, 0.1), 12345, 19000).leaf_area
    # Asner et al. 2003 give 1.6 to 2.5 about means of 4 to 5 for all forests of a kind; within one it is less.
    assert 0.15 < area.std() / area.mean() < 0.35
    assert np.median(area) - area.min() > 1.2 * (area.max() - np.median(area))


def test_grass_browns_in_drought_and_trees_last_longer() -> None:
    summer = at(100.0)
    wet, dry = (grown(ground(GRASS), summer, drought) for drought in (0.1, 0.85))
    assert dry.brown[0, 0] > 0.4 > wet.brown[0, 0] and dry.leaf_area[0, 0] < wet.leaf_area[0, 0]
    tree_wet, tree_dry = (grown(ground(TREE), summer, drought).leaf_area[0, 0] for drought in (0.1, 0.85))
    assert tree_dry / tree_wet > dry.leaf_area[0, 0] * (1 - dry.brown[0, 0]) / wet.leaf_area[0, 0]


def test_drought_is_a_logistic_that_rich_places_outlast() -> None:
    one = np.ones(1)
    assert moist(0.55 * one, one) == pytest.approx(0.5)
    assert moist(0.62 * one, one) == pytest.approx(1 / (1 + np.e))
    assert rooted(0.8 * one, 1.5 * one) == pytest.approx(0.45) and rooted(0.1 * one, 1.5 * one) == 0.0


def test_winter_cereal_ripens_is_cut_and_ploughed() -> None:
    # Season of 200 days: half ripe on day 84, cut on 106, ploughed on 144; the field's own shift is within three weeks.
    field = ground(CROP, WINTER_CEREAL)
    year = course(field)
    assert year[40:70].mean() == pytest.approx(0.7 * np.exp(0), abs=0.1)  # seedlings stand through the winter
    assert year[80 + 50] > 4.0
    cut = int(np.argmin(np.diff(year[80:]))) + 1
    assert abs(cut - 106) <= 21
    before, after = grown(field, at(cut - 6.0)), grown(field, at(cut + 10.0))
    assert before.brown[0, 0] > 0.8 and before.leaf_area[0, 0] > 2.0
    assert after.brown[0, 0] > 0.95 and after.leaf_area[0, 0] < 0.8
    assert grown(field, at(190.0)).leaf_area[0, 0] < 0.05


def test_summer_crops_are_later_than_winter_crops() -> None:
    peak = {crop: int(np.argmax(course(ground(CROP, crop)))) for crop in (WINTER_CEREAL, SUMMER_CEREAL, ROOT_CROP)}
    assert peak[WINTER_CEREAL] + 40 < peak[SUMMER_CEREAL] and peak[WINTER_CEREAL] + 40 < peak[ROOT_CROP]


def test_the_next_winter_crop_shows_in_autumn() -> None:
    autumn = at(215.0)
    bare = grown(ground(CROP, SUMMER_CEREAL, ROOT_CROP), autumn).leaf_area[0, 0]
    green = grown(ground(CROP, SUMMER_CEREAL, WINTER_CEREAL), autumn).leaf_area[0, 0]
    assert green > bare + 0.4


def test_fields_are_sown_on_their_own_dates() -> None:
    spring = at(12.0)
    areas = {grown(ground(CROP, WINTER_CEREAL, field=number), spring).leaf_area[0, 0] for number in range(40)}
    assert len(areas) == 40 and max(areas) > 1.5 * min(areas)


@given(
    cover=st.integers(0, 10), crop=st.integers(0, 7), day=st.floats(-200, 400), drought=st.floats(0, 1),
    cold=st.floats(0, 1), productivity=st.floats(0.01, 1.6), evergreen=st.floats(0, 1), freezing=st.floats(0, 1),
)  # fmt: skip
def test_leaves_stay_physical(
    cover: int,
    crop: int,
    day: float,
    drought: float,
    cold: float,
    productivity: float,
    evergreen: float,
    freezing: float,
) -> None:
    found = grown(ground(cover, crop, crop), at(day, cold, evergreen, productivity, freezing), drought)
    area, green, brown = (float(part[0, 0]) for part in (found.leaf_area, found.chlorophyll, found.brown))
    assert 0.0 <= area < 9.0 and 0.0 <= brown <= 1.0 and 5.0 < green < 60.0
    assert cover != WATER or area == 0.0


def test_spring_is_in_april_or_may_in_the_north_and_half_a_year_later_in_the_south() -> None:
    # Leaves unfold within three weeks around the first of May at 49 degrees north and 12 degrees of yearly mean.
    earth, window = small_earth("temperate")
    height = np.full(window.shape, 100.0)
    starts = [
        np.datetime64(f"{year}-06-30") - int(season(earth, window, f"{year}-06-30", height).since_start.mean())
        for year in range(2000, 2012)
    ]
    days = np.array([(start - start.astype("datetime64[Y]")).astype(int) for start in starts])
    assert 90 < days.mean() < 135 and 2.0 < days.std() < 20.0  # years differ, by about a week
    south, place = small_earth("southern")
    found = season(south, place, "2010-12-31", np.full(place.shape, 1500.0))
    spring = np.datetime64("2010-12-31") - int(found.since_start.mean())
    assert np.datetime64("2010-08-15") < spring < np.datetime64("2010-12-10")


def test_spring_comes_later_higher_up() -> None:
    # Hopkins' law: four days for 400 feet, so about 33 days a kilometre; half to twice that is asked here.
    earth, window = small_earth("temperate")
    low, high = (season(earth, window, "2010-06-30", np.full(window.shape, metres)) for metres in (200.0, 1200.0))
    assert 16.0 < (low.since_start - high.since_start).mean() < 66.0
    assert (high.length < low.length).all() and (high.productivity < low.productivity).all()


def test_season_of_no_pixels_and_of_no_day() -> None:
    earth, window = small_earth("temperate")
    assert season(earth, window, np.datetime64("2010-06-30"), np.zeros((0, 70))).length.shape == (0, 70)
    with pytest.raises(InputError, match="2101"):
        season(earth, window, np.datetime64("2101-01-01"), np.zeros(window.shape))
