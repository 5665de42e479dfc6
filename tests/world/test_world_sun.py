"""The sun against pvlib's implementation of the NREL algorithm (Reda and Andreas 2004)."""

from __future__ import annotations

import numpy as np
import pytest

from swath.errors import InputError
from swath.rng import generator
from swath.sources.world.render.sun import earth_sun_distance, local_solar_time, overpass_time, sun_position

TOLERANCE = 0.05  # degrees


def moments(count: int) -> np.ndarray:
    low, high = np.datetime64("1980-01-01", "s").astype(int), np.datetime64("2100-12-31", "s").astype(int)
    return generator(0, "sun moments").integers(low, high, count).astype("datetime64[s]")


def unit(zenith: np.ndarray, azimuth: np.ndarray) -> np.ndarray:
    z, a = np.radians(zenith), np.radians(azimuth)
    return np.stack([np.sin(z) * np.sin(a), np.sin(z) * np.cos(a), np.cos(z)])


@pytest.mark.parametrize("lat", [-90.0, -89.999, -66.5, -12.3, 0.0, 23.44, 47.0, 70.0, 90.0])
@pytest.mark.parametrize("lon", [-180.0, -74.2, 0.0, 151.3])
def test_direction_agrees_with_the_nrel_algorithm(lat: float, lon: float) -> None:
    solarposition = pytest.importorskip("pvlib.solarposition", reason="the extra 'planet' brings pvlib")
    pandas = pytest.importorskip("pandas")
    time = moments(300)
    zenith, azimuth = sun_position(time, lon, lat)
    index = pandas.DatetimeIndex(time, tz="UTC")
    other = solarposition.get_solarposition(index, lat, lon, method="nrel_numpy")
    assert np.abs(zenith - other["zenith"].to_numpy()).max() < TOLERANCE
    # The angle between the two directions: an azimuth alone has no meaning close to the zenith.
    apart = np.linalg.norm(
        unit(zenith, azimuth) - unit(other["zenith"].to_numpy(), other["azimuth"].to_numpy()), axis=0
    )
    assert np.degrees(apart.max()) < TOLERANCE


def test_distance_agrees_with_the_nrel_algorithm() -> None:
    solarposition = pytest.importorskip("pvlib.solarposition", reason="the extra 'planet' brings pvlib")
    pandas = pytest.importorskip("pandas")
    time = moments(500)
    other = solarposition.nrel_earthsun_distance(pandas.DatetimeIndex(time, tz="UTC")).to_numpy()
    assert np.abs(earth_sun_distance(time) - other).max() < 1e-4


def test_worked_example_of_the_textbook() -> None:
    # Meeus, example 25.a: 1992 October 13, 0 h: declination -7.78507 degrees, distance 0.99766 AU.
    time = np.datetime64("1992-10-13T00:00:00")
    zenith, _ = sun_position(time, 0.0, 90.0)
    assert zenith - 90.0 == pytest.approx(7.78507, abs=0.001)
    assert earth_sun_distance(time) == pytest.approx(0.99766, abs=1e-5)


def test_pole_and_antimeridian_are_continuous() -> None:
    time = np.datetime64("2024-06-01T03:00")
    near, at = sun_position(time, 12.0, [89.9999, -89.9999]), sun_position(time, 12.0, [90.0, -90.0])
    assert np.allclose(near, at, atol=1e-3)
    assert np.allclose(sun_position(time, 180.0, 10.0), sun_position(time, -180.0, 10.0), atol=1e-9)
    assert np.allclose(sun_position(time, 370.0, 10.0), sun_position(time, 10.0, 10.0), atol=1e-9)


def test_shapes_broadcast_and_may_be_empty() -> None:
    time = np.datetime64("2024-06-01T03:00")
    zenith, azimuth = sun_position(time, np.zeros((1, 4)), np.zeros((3, 1)))
    assert zenith.shape == azimuth.shape == (3, 4)
    assert sun_position(time, np.zeros(0), np.zeros(0))[0].shape == (0,)
    assert sun_position(np.zeros(0, "datetime64[s]"), 0.0, 0.0)[0].shape == (0,)
    assert earth_sun_distance(np.zeros(0, np.int64)).shape == (0,)


def test_seconds_mean_the_same_as_datetimes() -> None:
    time = moments(5)
    assert np.array_equal(sun_position(time, 10, 20), sun_position(time.astype(np.int64), 10, 20))


def test_overpass_has_the_asked_mean_solar_time_on_the_local_day() -> None:
    lon = np.array([-179.9, -75.0, 0.0, 7.5, 179.9, 360.0])
    moment = overpass_time("2024-02-29", lon, 10.5)
    assert np.abs(local_solar_time(moment, lon) - 10.5).max() < 1 / 3600
    assert moment[2] == np.datetime64("2024-02-29T10:30:00") == moment[5]
    assert moment[1] == np.datetime64("2024-02-29T15:30:00")
    local = moment + np.round(240 * ((lon + 180) % 360 - 180)).astype("timedelta64[s]")
    assert (local.astype("datetime64[D]") == np.datetime64("2024-02-29")).all()
    # Apparent noon is never further from mean noon than the equation of time, 16.5 minutes.
    days = np.datetime64("2023-01-01") + np.arange(365)
    zenith = [sun_position(overpass_time(days, 30.0, hour), 30.0, 40.0)[0] for hour in (11.4, 12.0, 12.6)]
    assert (zenith[1] < zenith[0]).all() and (zenith[1] < zenith[2]).all()


@pytest.mark.parametrize(
    ("time", "lon", "lat", "word"),
    [
        (np.datetime64("1979-12-31T23:59:59"), 0.0, 0.0, "1980"),
        (np.datetime64("2101-01-01"), 0.0, 0.0, "2100"),
        (np.datetime64("NaT"), 0.0, 0.0, "missing"),
        (3.5, 0.0, 0.0, "datetime64"),
        (np.datetime64("2024-01-01"), 0.0, 90.1, "pole"),
        (np.datetime64("2024-01-01"), np.nan, 0.0, "number"),
        (np.datetime64("2024-01-01"), 0.0, np.nan, "number"),
    ],
)
def test_bad_input_is_named(time: object, lon: float, lat: float, word: str) -> None:
    with pytest.raises(InputError, match=word):
        sun_position(time, lon, lat)


@pytest.mark.parametrize(
    ("date", "lon", "hour"), [("1979-01-01", 0, 10), ("2024-01-01", np.nan, 1), ("2024-01-01", 0, 25)]
)
def test_bad_overpass_is_named(date: str, lon: float, hour: float) -> None:
    with pytest.raises(InputError):
        overpass_time(date, lon, hour)
