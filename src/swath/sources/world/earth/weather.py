"""Daily weather of the simulated Earth from 1980 to 2100: temperature, rain, cloud, humidity, wind.

Every day stands alone: departures from the normals are moving averages, over a fixed number of past days, of hashed
noise on a lattice of ``SYSTEM`` metres, so that they persist for days and reach over a few hundred kilometres without
any state being carried along. Rain falls where the humidity departs far enough from its normal, as in the generator of
Richardson (1981), "Stochastic simulation of daily precipitation, temperature, and solar radiation"; cloud, temperature
and the occurrence of rain share that departure. How often it rains and how much on a wet day follow from the month. The
amounts have a gamma distribution (Thom 1958), whose shape follows from their mean as Geng, Penning de Vries and Supit
(1986, Agricultural and Forest Meteorology 36, 363-376) found it. Amounts of days in a row hang together only loosely
(Wilks and Wilby 1999, Progress in Physical Geography 23, 329-357): the departure decides that it rains, and only in
part how much, so that a long wet spell is no series of cloudbursts.

Values live on nodes, the centres of absolute cells of 10 km, and are read between them linearly, so tiles fit together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv, ndtr, ndtri

from swath.errors import InputError
from swath.sources.world.earth.climate import LAPSE, NODE, Normals, normals, read_surroundings
from swath.sources.world.frame import Window
from swath.sources.world.noise import normal, spline_weights

if TYPE_CHECKING:
    from swath.sources.world.earth.earth import Earth

Array = NDArray[np.float64]
Days = NDArray[np.datetime64]

FIRST_DAY, LAST_DAY = np.datetime64("1980-01-01"), np.datetime64("2100-12-31")

SYSTEM = 160_000.0  # metres between lattice points of weather systems; they are about twice as large
_MEMORY = 12  # days; the weight of older ones would be below 3 %
_SLOW = 40  # days between points of departures that make wet and dry, warm and cool seasons
_SLOW_WARMTH, _SLOW_WETNESS = 0.2, 0.02  # of the variance; more would make yearly rain vary more than it does
_AMOUNT_LINK = 0.5  # correlation of the amount of a wet day with the humidity; its square times the persistence is left
_CLOUD_SPREAD = 1.7  # of the normal variable behind cloud: days tend to be clear or overcast
_DIRECTED = 0.6  # prevailing wind over the spread of each component
_RICE_MEAN = math.sqrt(math.pi / 2.0) * 1.088  # mean speed over that spread, for such a prevailing wind


@dataclass(frozen=True)
class Weather:
    """Weather of days on nodes; arrays are ``(day, y, x)``.

    Args:
        nodes: the nodes as a window of pixels of 10 km, whose centres they are.
        days: datetime64[D] ``(day,)``, without gaps.
        temperature: daily mean at sea level [degrees Celsius].
        swing: daily maximum less minimum [K].
        rain: rain and melted snow [mm].
        cloud: share of the sky.
        humidity: relative humidity of the air, 0 to 1.
        wind_east: of the air towards the east [m/s].
        wind_north: towards the north.
    """

    nodes: Window
    days: Days
    temperature: Array
    swing: Array
    rain: Array
    cloud: Array
    humidity: Array
    wind_east: Array
    wind_north: Array

    def at(self, name: str, window: Window, day: np.datetime64) -> Array:
        """One quantity of one day at the pixels of a window ``(H, W)``, linear between nodes.

        Raises:
            InputError: the day is not among these.
        """
        field: Array = getattr(self, name)[self.index(day)]
        return between_nodes(field, self.nodes, window)

    def temperature_at(self, window: Window, day: np.datetime64, elevation: NDArray[np.floating[Any]]) -> Array:
        """Daily mean temperature on the ground ``(H, W)`` [degrees Celsius].

        Args:
            window: pixels.
            day: one of ``days``.
            elevation: of the pixels [m], of the window's shape.
        """
        return self.at("temperature", window, day) - LAPSE * np.asarray(elevation, np.float64)

    def index(self, day: np.datetime64) -> int:
        """Position of a day.

        Raises:
            InputError: it is not among these.
        """
        position = int((checked_day(day) - self.days[0]).astype(int)) if len(self.days) else -1
        if not 0 <= position < len(self.days):
            raise InputError(
                f"The weather of {day} was asked for",
                expected=f"a day from {self.days[0]} to {self.days[-1]}" if len(self.days) else "no day: it is empty",
                remedy="make the weather of the days that you read",
            )
        return position


def weather(earth: Earth, window: Window, first_day: Any, last_day: Any) -> Weather:
    """Weather on the nodes around a window.

    Args:
        earth: gives seed, climate and what lies around.
        window: pixels of any size.
        first_day: of 1980 to 2100, anything that numpy takes for a day.
        last_day: the same; included.

    Raises:
        InputError: a day lies outside 1980 to 2100, or the last before the first.
    """
    first, last = checked_day(first_day), checked_day(last_day)
    if last < first:
        raise InputError(
            f"The weather from {first} to {last} was asked for",
            expected="a last day that is not before the first",
            remedy="swap them",
        )
    return on_nodes(earth, nodes_around(window), np.arange(first, last + 1))


def checked_day(day: Any) -> np.datetime64:
    """A day as datetime64[D].

    Raises:
        InputError: it is none, or outside 1980 to 2100.
    """
    try:
        known = np.asarray([day], dtype="datetime64[D]")[0]
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{day!r} is no day", expected="a date such as 2024-07-31", remedy="write year, month and day"
        ) from error
    if not FIRST_DAY <= known <= LAST_DAY:
        raise InputError(
            f"The day {known} was asked for",
            expected=f"a day from {FIRST_DAY} to {LAST_DAY}",
            remedy="choose a day that the simulated Earth knows",
        )
    return known


def nodes_around(window: Window) -> Window:
    """The nodes that reading a window needs, as a window of pixels of 10 km."""
    if 0 in window.shape:
        window = Window(window.zone, window.row, window.column, 1, 1, window.step)
    rows, columns = _position(-window.y), _position(window.x)
    top, left = int(np.floor(rows[0])), int(np.floor(columns[0]))
    bottom, right = int(np.floor(rows[-1])) + 2, int(np.floor(columns[-1])) + 2
    return Window(window.zone, top, left, bottom - top, right - left, NODE)


def between_nodes(field: Array, nodes: Window, window: Window) -> Array:
    """Values on nodes ``(..., y, x)`` at the pixels of a window ``(..., H, W)``, linear between nodes."""
    row, share_row, column, share_column = node_shares(nodes, window)
    along = field[..., column] * (1.0 - share_column) + field[..., column + 1] * share_column
    return np.asarray(along[..., row, :] * (1.0 - share_row[:, None]) + along[..., row + 1, :] * share_row[:, None])


def node_shares(nodes: Window, window: Window) -> tuple[NDArray[np.int64], Array, NDArray[np.int64], Array]:
    """How pixels lie among nodes: for rows ``(H,)`` the node before and the share of the next, then for columns."""
    rows, columns = _position(-window.y), _position(window.x)
    row, column = np.floor(rows).astype(np.int64), np.floor(columns).astype(np.int64)
    return row - nodes.row, rows - row, column - nodes.column, columns - column


def on_nodes(earth: Earth, nodes: Window, days: Days) -> Weather:
    """Weather of days without gaps on given nodes; days outside 1980 to 2100 exist too, for memories."""
    around = read_surroundings(earth, nodes)
    usual = normals(around, earth.climate).on(day_of_year(days))
    noise = _Departures(earth, nodes, days)
    moist = noise.persistent("humidity", 0.4, _SLOW_WETNESS)
    season = np.clip(around.latitude / 30.0, -1.0, 1.0) * _winter(days)[:, None, None]
    # Cloudy air is warm in winter and cool in summer.
    link = np.clip(0.1 + 0.4 * np.abs(around.latitude) / 60.0, 0.0, 0.45) * season - 0.15
    other = noise.persistent("temperature", 0.75, _SLOW_WARMTH)
    warm = (link * moist + np.sqrt(1.0 - link**2) * other) * usual.spread * earth.climate.variability
    cloud = _cloud(usual, 0.8 * moist + 0.6 * noise.persistent("cloud", 0.2))
    humidity = np.clip(0.28 + 0.38 * usual.cloud + 0.22 * cloud + 0.08 * moist, 0.08, 1.0)
    east, north = noise.persistent("wind east", 0.5), noise.persistent("wind north", 0.5)
    spread = usual.wind / _RICE_MEAN
    distance = np.abs(around.latitude)
    westerly = np.clip((distance - 27.0) / 10.0, -1.0, 1.0) * np.clip((68.0 - distance) / 6.0, -1.0, 1.0)
    return Weather(
        nodes,
        days,
        usual.temperature + warm,
        5.0 + 11.0 * (1.0 - cloud) * (1.0 - 0.5 * np.exp(-usual.rain)),
        _rain(usual, moist, noise.persistent("rain", 0.0)),
        cloud,
        humidity,
        spread * (east + _DIRECTED * westerly),
        spread * north,
    )


def day_of_year(days: Days) -> NDArray[np.int64]:
    """0 for the first of January."""
    return (days - days.astype("datetime64[Y]").astype("datetime64[D]")).astype(np.int64)


def _winter(days: Days) -> Array:
    """Cosine of the year, 1 in the middle of the northern winter ``(day,)``."""
    return np.asarray(np.cos(2.0 * math.pi * (day_of_year(days) - 15.0) / 365.25))


def _rain(usual: Normals, moist: Array, chance: Array) -> Array:
    """Rain ``(day, y, x)`` [mm]: where the humidity lies beyond the threshold of wet days, a quantile of a gamma.

    Args:
        usual: normals of the days; their rain over their share of wet days is the mean of a wet day.
        moist: standard normal departure of the humidity ``(day, y, x)``.
        chance: standard normal, of each day alone ``(day, y, x)``.
    """
    beyond = (ndtr(moist) - (1.0 - usual.wet)) / usual.wet
    out = np.zeros(moist.shape)
    falls = beyond > 0.0
    mean = np.broadcast_to(usual.rain / usual.wet, moist.shape)[falls]
    departure = ndtri(np.clip(beyond[falls], 1e-9, 1.0 - 1e-9))
    mixed = _AMOUNT_LINK * departure + math.sqrt(1.0 - _AMOUNT_LINK**2) * chance[falls]
    shape = rain_shape(mean)
    out[falls] = gammaincinv(shape, np.clip(ndtr(mixed), 1e-9, 1.0 - 1e-9)) * mean / shape
    return out


def rain_shape(mean: Array) -> Array:
    """Shape of the gamma distribution of rain on wet days, from their mean [mm], by Geng et al. (1986).

    They found the scale ``-2.16 + 1.83 mean`` over stations from the tropics to the middle latitudes; the shape is the
    mean over the scale, at most one (exponential), which it would exceed below 2.6 mm.
    """
    return np.asarray(1.0 / np.maximum(1.83 - 2.16 / np.maximum(mean, 1e-3), 1.0))


def _cloud(usual: Normals, moist: Array) -> Array:
    """Cloud share ``(day, y, x)`` whose mean over days is the normal: the normal distribution of a normal variable."""
    middle = ndtri(np.clip(usual.cloud, 0.001, 0.999)) * math.sqrt(1.0 + _CLOUD_SPREAD**2)
    return np.asarray(ndtr(middle + _CLOUD_SPREAD * moist))


class _Departures:
    """Standard normal fields ``(day, y, x)`` on nodes that persist in time and are smooth in space."""

    def __init__(self, earth: Earth, nodes: Window, days: Days) -> None:
        self._earth, self._nodes = earth, nodes
        self._days = days.astype(np.int64)

    def persistent(self, name: str, persistence: float, slow: float = 0.0) -> Array:
        """A field whose correlation from day to day is about ``persistence``.

        Args:
            name: of its noise.
            persistence: weight of each day over the next.
            slow: share of its variance that changes over months only.
        """
        key = self._earth.key(f"weather/{name}", self._nodes.zone.epsg)
        first, count = int(self._days[0]), len(self._days)
        lattice, rows, columns = self._lattice(key, np.arange(first - _MEMORY, first + count))
        weights = persistence ** np.arange(_MEMORY + 1)
        weights /= math.sqrt(float((weights**2).sum()))
        field = sum(weights[back] * lattice[_MEMORY - back : _MEMORY - back + count] for back in range(_MEMORY + 1))
        quick = self._in_space(np.asarray(field), rows, columns)
        if slow == 0.0:
            return quick
        part = self._slow(self._earth.key(f"weather/slow {name}", self._nodes.zone.epsg))
        return math.sqrt(1.0 - slow) * quick + math.sqrt(slow) * part

    def _slow(self, key: int) -> Array:
        first, weights = spline_weights(self._days.astype(np.float64), _SLOW)
        epochs = np.arange(int(first.min()), int(first.max()) + 4)
        lattice, rows, columns = self._lattice(key, epochs)
        start = first - epochs[0]
        field = sum(weights[:, step, None, None] * lattice[start + step] for step in range(4))
        return self._in_space(np.asarray(field), rows, columns) * math.sqrt(315.0 / 151.0)

    def _lattice(self, key: int, times: NDArray[np.int64]) -> tuple[Array, _Splines, _Splines]:
        """White noise ``(time, rows, columns)`` of the lattice around the nodes, and how nodes lie in it."""
        rows, columns = _Splines(-self._nodes.y / SYSTEM), _Splines(self._nodes.x / SYSTEM)
        place = rows.points[:, None] * 2**21 + columns.points[None, :]
        return normal(key, times[:, None, None], place[None]), rows, columns

    @staticmethod
    def _in_space(lattice: Array, rows: _Splines, columns: _Splines) -> Array:
        along = sum(columns.weights[:, step] * lattice[:, :, columns.start + step] for step in range(4))
        field = sum(rows.weights[:, step, None] * np.asarray(along)[:, rows.start + step] for step in range(4))
        return np.asarray(field) * (315.0 / 151.0)


class _Splines:
    """Cubic B-splines over the whole numbers around places: the points needed, each place's first, its weights."""

    def __init__(self, places: Array) -> None:
        first, self.weights = spline_weights(places, 1.0)
        self.points = np.arange(int(first.min()), int(first.max()) + 4, dtype=np.int64)
        self.start = first - self.points[0]


def _position(metres: Array) -> Array:
    """Places in metres (rows growing southwards) in nodes, which lie at the centres of cells."""
    return metres / (NODE * 10.0) - 0.5
