"""The sky over a place on a day, and its weather over some days, from the weather of the simulated Earth.

Everything is taken at the middle of a box, so that the sensors that look at one box see one sky. Tiles of a larger
scene must share the conditions of the whole: work them out once.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox

from swath import rng
from swath.sources.world.earth.climate import LAPSE
from swath.sources.world.earth.weather import checked_day, weather
from swath.sources.world.frame import Window, window_of
from swath.sources.world.render.atmosphere import Atmosphere
from swath.sources.world.render.conditions import Conditions

if TYPE_CHECKING:
    from swath.sources.world.earth.earth import Earth

# Usual optical depth at 550 nm by main climate group A to E: what many years of sun photometers show on land, rounded.
_AEROSOL = np.array([0.18, 0.22, 0.13, 0.10, 0.06])
_AEROSOL_SPREAD = 0.5  # standard deviation of its logarithm from day to day
_HIGHEST_AEROSOL, _HIGHEST_VAPOUR = 1.0, 7.5

# Van Heuklen (1979), "Estimating atmospheric ozone for solar radiation models", Solar Energy 22: north, south.
_OZONE = ((150.0, 1.28, 40.0, 0.9865, -30.0, 20.0, 3.0), (100.0, 1.5, 30.0, 0.9865, 152.625, 20.0, 2.0))


def conditions(earth: Earth, box: GeoBox, time: Any) -> Conditions:
    """Cloud, wind and air over the middle of a box on a day; everything else as ``Conditions`` has it.

    Cloud share and wind are those of the day. Water vapour follows the dew of the air (Leckner 1978, in Iqbal 1983:
    ``w = 0.493 h / T exp(26.23 - 5416 / T)`` with humidity h and temperature T [K]), ozone season and place (Van
    Heuklen 1979), aerosol the climate and a log-normal draw of the day.

    Args:
        earth: the planet.
        box: the place.
        time: the day.

    Raises:
        InputError: no CRS, or a day outside 1980 to 2100.
    """
    middle = _middle(box)
    day = checked_day(time)
    sky = weather(earth, middle, day, day)
    here = {name: float(sky.at(name, middle, day)[0, 0]) for name in ("temperature", "humidity", "cloud")}
    wind = math.hypot(*(float(sky.at(name, middle, day)[0, 0]) for name in ("wind_east", "wind_north")))
    lon, lat = (float(part[0, 0]) for part in middle.lonlat())
    kelvin = here["temperature"] + 273.15
    vapour = 0.493 * here["humidity"] / kelvin * math.exp(26.23 - 5416.0 / kelvin)
    air = Atmosphere(
        aerosol_optical_depth=_aerosol(earth, middle, lon, lat, day),
        water_vapour_g_cm2=round(min(max(vapour, 0.05), _HIGHEST_VAPOUR), 4),
        ozone_cm_atm=ozone(lon, lat, day),
    )
    share = round(min(max(here["cloud"], 0.0), 1.0), 4)
    return Conditions(atmosphere=air, cloud_fraction=share, wind_speed=round(min(wind, 60.0), 3))


def daily(earth: Earth, box: GeoBox, first: Any, last: Any) -> xr.Dataset:
    """Daily weather at the middle of a box.

    Returns:
        float32 ``(day,)``: temperature on the ground [degrees Celsius], swing [K], rain [mm], cloud, humidity [1], wind
        [m s-1]; coordinate ``day``.

    Raises:
        InputError: no CRS, a day outside 1980 to 2100, or a last day before the first.
    """
    middle = _middle(box)
    held = weather(earth, middle, checked_day(first), checked_day(last))
    names = ("temperature", "swing", "rain", "cloud", "humidity", "wind_east", "wind_north")
    series = {name: np.array([held.at(name, middle, day)[0, 0] for day in held.days]) for name in names}
    height = float(earth.read("elevation", middle)[0, 0])
    series["temperature"] = series["temperature"] - LAPSE * height
    series["wind"] = np.hypot(series.pop("wind_east"), series.pop("wind_north"))
    units = {
        "temperature": "degree Celsius",
        "swing": "K",
        "rain": "mm",
        "cloud": "1",
        "humidity": "1",
        "wind": "m s-1",
    }
    return xr.Dataset(
        {name: ("day", values.astype(np.float32), {"units": units.get(name, "1")}) for name, values in series.items()},
        coords={"day": held.days.astype("datetime64[ns]")},
    )


def ozone(lon: float, lat: float, day: np.datetime64) -> float:
    """Column of ozone [cm-atm] by place and season (Van Heuklen 1979, equation 4)."""
    number = float((day - day.astype("datetime64[Y]")).astype(int)) + 1.0
    a, b, c, d, f, g, h = _OZONE[0 if lat >= 0 else 1]
    i = (20.0 if lon > 0 else 0.0) if lat >= 0 else -75.0
    season = c * math.sin(math.radians(d * (number + f))) + g * math.sin(math.radians(h * (lon + i)))
    return round((235.0 + (a + season) * math.sin(math.radians(b * abs(lat))) ** 2) / 1000.0, 4)


def _aerosol(earth: Earth, middle: Window, lon: float, lat: float, day: np.datetime64) -> float:
    groups = earth.base.sample(np.array([lon]), np.array([lat])).climate[:, 0]
    usual = float((_AEROSOL * groups).sum())
    places = rng.generator(earth.seed, "aerosol", middle.zone.epsg, middle.row // 1000, middle.column // 1000, str(day))
    drawn = usual * math.exp(_AEROSOL_SPREAD * float(places.standard_normal()) - 0.5 * _AEROSOL_SPREAD**2)
    return round(min(max(drawn, 0.01), _HIGHEST_AEROSOL), 4)


def _middle(box: GeoBox) -> Window:
    """The finest pixel in the middle of a box."""
    fine = window_of(box).finest()
    return Window(fine.zone, fine.row + fine.height // 2, fine.column + fine.width // 2, 1, 1)
