"""Climate normals against the definitions of Köppen and Geiger and against station normals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from fake_land import CELL, FOREST, even_earth
from hypothesis import given
from hypothesis import strategies as st

from swath.errors import ConfigError
from swath.sources.planet.build import MANIFEST
from swath.sources.planet.packages import cache_directory
from swath.sources.world.earth.base import RESOLUTION, Base, BasePlanet
from swath.sources.world.earth.climate import (
    LAPSE,
    SURROUNDINGS,
    Climate,
    Normals,
    Surroundings,
    normals,
    read_surroundings,
    surroundings,
)
from swath.sources.world.earth.earth import Earth
from swath.sources.world.earth.weather import NODE, nodes_around
from swath.sources.world.frame import Window

PLANET = cache_directory().parent / f"planet-{RESOLUTION:g}"
real_globe = pytest.mark.skipif(not (PLANET / MANIFEST).is_file(), reason="run: swath data make planet (0.1 degree)")

# Stations that no constant was set by: longitude, latitude, height [m], mean of the year, January and July [degrees
# Celsius], rain of the year [mm]; World Meteorological Organization normals, rounded.
STATIONS = {
    "Lagos": (3.4, 6.5, 20, 27.0, 27.5, 25.5, 1500),
    "Jakarta": (106.8, -6.2, 10, 28.0, 27.5, 28.0, 1800),
    "Khartoum": (32.5, 15.6, 380, 30.0, 23.0, 32.0, 120),
    "Delhi": (77.2, 28.6, 216, 25.0, 14.0, 31.0, 770),
    "Madrid": (-3.7, 40.4, 667, 15.0, 6.3, 25.6, 420),
    "Perth": (115.9, -31.9, 20, 18.7, 24.5, 13.0, 730),
    "Cape Town": (18.5, -33.9, 40, 16.8, 21.0, 12.5, 520),
    "Berlin": (13.4, 52.5, 35, 9.9, 0.9, 19.0, 580),
    "Chicago": (-87.9, 42.0, 200, 10.0, -4.5, 23.5, 940),
    "Beijing": (116.4, 39.9, 50, 12.9, -3.1, 26.7, 540),
    "Novosibirsk": (82.9, 55.0, 150, 1.7, -16.5, 19.4, 430),
    "Ulaanbaatar": (106.9, 47.9, 1300, -0.1, -21.6, 18.2, 270),
    "Vorkuta": (64.0, 67.5, 170, -5.3, -20.0, 13.0, 540),
}


def places(latitude: float, group: int, **around: float) -> Surroundings:
    shares = np.zeros((5, 1))
    shares[group] = 1.0
    values = {"inland": 0.5, "lee": 0.0, "forest": 0.3, "bare": 0.0, "current": 0.0} | around
    columns = {name: np.array([value]) for name, value in values.items()}
    return Surroundings(latitude=np.array([latitude]), groups=shares, **columns)


def koppen(temperature: np.ndarray, rain: np.ndarray, northern: np.ndarray) -> np.ndarray:
    """Main groups by the definitions of Peel et al. 2007 as Beck et al. 2018 use them, from months ``(12, n)``."""
    months = np.arange(12)[:, None]
    summer = np.isin(months, (3, 4, 5, 6, 7, 8)) == northern
    share, year = (rain * summer).sum(0) / rain.sum(0), temperature.mean(0)
    dry = 10.0 * (2.0 * year + np.select([share > 0.7, share < 0.3], [28.0, 0.0], 14.0))
    coldest, warmest = temperature.min(0), temperature.max(0)
    return np.select([warmest < 10.0, rain.sum(0) < dry, coldest >= 18.0, coldest > 0.0], [4, 1, 0, 2], 3)


@pytest.mark.parametrize(
    ("name", "value"),
    [("warming_degrees", 11.0), ("wetness", -0.1), ("cloudiness", float("nan")), ("variability", 9.0)],
)
def test_a_climate_that_the_formulas_cannot_bear_is_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=name):
        Climate(**{name: value})


@given(st.floats(-90, 90), st.integers(0, 4), st.floats(0, 1), st.floats(-1, 1), st.floats(0, 1))
def test_normals_are_physical_anywhere(latitude: float, group: int, inland: float, lee: float, green: float) -> None:
    found = normals(places(latitude, group, inland=inland, lee=lee, forest=green, bare=1 - green), Climate())
    assert all(np.isfinite(getattr(found, name)).all() for name in ("temperature", "rain", "wind", "spread"))
    assert (found.rain > 0).all() and (found.spread > 0).all() and (found.wind > 0).all()
    assert ((found.cloud >= 0) & (found.cloud <= 1)).all() and ((found.wet > 0) & (found.wet <= 0.8)).all()
    assert np.abs(found.temperature).max() < 75


@pytest.mark.parametrize(
    ("latitude", "group"),
    [(0, 0), (10, 0), (-15, 0), (25, 1), (-25, 1), (38, 2), (-36, 2), (50, 2), (52, 3), (63, 3), (75, 4), (-78, 4)],
)
def test_places_have_the_climate_of_their_group_by_its_definition(latitude: float, group: int) -> None:
    # Deserts are bare, and cold climates lie inland.
    around = places(latitude, group, bare=0.5 if group == 1 else 0.0, inland=0.8 if group == 3 else 0.5)
    found = normals(around, Climate())
    days = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])[:, None]
    assert koppen(found.temperature, found.rain * days, np.array([latitude >= 0])) == group


def test_seasons_turn_round_on_the_other_hemisphere_and_fade_at_the_equator() -> None:
    north, south = (normals(places(latitude, 2), Climate()).temperature[:, 0] for latitude in (45.0, -45.0))
    assert north.argmax() in (6, 7) and south.argmax() in (0, 1)
    assert np.ptp(normals(places(0.0, 0), Climate()).temperature) < 0.01


def test_climates_change_what_they_say_they_change() -> None:
    plain = normals(places(45.0, 2), Climate())
    other = normals(places(45.0, 2), Climate(warming_degrees=2.0, wetness=1.5, cloudiness=0.5))
    assert np.allclose(other.temperature - plain.temperature, 3.0)
    assert np.allclose(other.rain, 1.5 * plain.rain)
    assert (other.cloud < plain.cloud).all()


def test_normals_of_days_pass_through_those_of_the_months() -> None:
    found = normals(places(50.0, 3), Climate()).on(np.arange(366))
    months = normals(places(50.0, 3), Climate())
    assert found.temperature.shape == (366, 1)
    assert np.allclose(found.temperature[[15, 196], 0], months.temperature[[0, 6], 0], atol=0.4)
    assert np.abs(np.diff(found.temperature[:, 0])).max() < 0.5  # no jump, at the turn of the year neither


def test_surroundings_do_not_depend_on_the_window() -> None:
    earth = even_earth(covers={FOREST: 1.0})
    nodes = Window(CELL.zone, -545, 45, 12, 9, NODE)
    whole = read_surroundings(earth, nodes)
    part = read_surroundings(even_earth(covers={FOREST: 1.0}), Window(CELL.zone, -541, 47, 3, 4, NODE))
    assert np.array_equal(whole.inland[4:7, 2:6], part.inland)
    assert np.allclose(whole.forest, 1.0) and np.allclose(whole.inland, 1.0) and np.allclose(whole.lee, 0.0)


@dataclass(frozen=True)
class Scattered:
    """Places anywhere, in the shape of a window and of its zone: all of them are worked out at once."""

    lon: np.ndarray
    lat: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        return 1, len(self.lon)

    @property
    def zone(self) -> Scattered:
        return self

    @property
    def x(self) -> np.ndarray:
        return np.arange(len(self.lon))

    @property
    def y(self) -> np.ndarray:
        return np.zeros(1)

    def lonlat(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.lon[None, :], self.lat[None, :]


def globe(base: Base, lon: np.ndarray, lat: np.ndarray) -> Normals:
    made = surroundings(Earth(1, Climate(), base, ()), Scattered(lon, lat))  # type: ignore[arg-type]
    held = [made[name] for name in SURROUNDINGS]
    return normals(Surroundings(lat[None, :], np.stack(held[:5]), *held[5:]), Climate())


@real_globe
def test_station_normals_on_the_real_globe() -> None:
    lon, lat, height, year, january, july, rain = np.array(list(STATIONS.values())).T
    found = globe(BasePlanet(PLANET), lon, lat)
    warmth = found.temperature[:, 0] - LAPSE * height
    wrong = np.stack([warmth.mean(axis=0) - year, warmth[0] - january, warmth[6] - july])
    assert np.sqrt((wrong[0] ** 2).mean()) < 2.0 and np.abs(wrong[0]).max() < 4.0
    assert np.sqrt((wrong[1:] ** 2).mean()) < 4.0 and np.abs(wrong[1:]).max() < 10.0
    factor = np.abs(np.log(found.rain[:, 0].mean(axis=0) * 365.25 / rain))
    assert np.median(factor) < np.log(1.5) and factor.max() < np.log(2.5)


@real_globe
def test_groups_come_out_of_the_normals_again_on_the_real_globe() -> None:
    base, random = BasePlanet(PLANET), np.random.default_rng(0)
    lat, lon = np.degrees(np.arcsin(random.uniform(-0.94, 0.985, 4000))), random.uniform(-180, 180, 4000)
    sample = base.sample(lon, lat)
    clear = (sample.land > 0.95) & (sample.climate.max(axis=0) > 0.9)
    found = globe(base, lon[clear], lat[clear])
    days = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])[:, None]
    group = koppen(found.temperature[:, 0] - LAPSE * sample.relief[clear], found.rain[:, 0] * days, lat[clear] >= 0)
    right = group == sample.climate[:, clear].argmax(axis=0)
    assert clear.sum() > 900 and right.mean() > 0.88
    for wanted in range(5):
        assert right[sample.climate[wanted, clear] > 0.9].mean() > 0.75


def test_an_even_globe_has_no_seams_between_nodes() -> None:
    earth = even_earth()
    found = normals(read_surroundings(earth, nodes_around(CELL)), earth.climate)
    assert np.abs(np.diff(found.temperature, axis=1)).max() < 0.2


def test_wet_days_follow_the_rain_of_the_month() -> None:
    """Wet days grow with rain ** 0.45 (New et al. 2000), so a wet day of the dry season brings less."""
    found = normals(places(-10.0, 0), Climate())
    rain, wet = found.rain[:, 0], found.wet[:, 0]
    inner = wet < 0.8
    dry, rainy = int(rain.argmin()), int(np.where(inner, rain, 0.0).argmax())
    assert rain[rainy] > 1.5 * rain[dry]
    assert wet[rainy] / wet[dry] == pytest.approx((rain[rainy] / rain[dry]) ** 0.45, rel=1e-6)
    assert rain[rainy] / wet[rainy] > rain[dry] / wet[dry]
    assert np.isfinite(normals(places(-10.0, 0), Climate(wetness=0.0)).wet).all()
