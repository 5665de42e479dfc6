"""Units: decibels, kelvins, fractions, and the range test that tells raw numbers from physical ones.

Reflectance is a fraction with the unit ``1``, never percent; stored integers have the unit ``DN``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from swath.errors import ConfigError, InputError, nearest

ZERO_CELSIUS_K = 273.15

FloatArray: TypeAlias = NDArray[np.floating[Any]]
"""float32 or float64."""

Guess = Literal["DN", "fraction", "percent", "dB", "linear", "K", "degC", "colour", "unknown"]


def linear_to_db(values: ArrayLike) -> FloatArray:
    """Backscatter or power from linear units to decibels: ``10 log10(x)``.

    Zero gives -inf and negative numbers (noise removal makes them) NaN, without a warning: mark them invalid.
    """
    array = _floating(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        return 10.0 * np.log10(array)


def db_to_linear(values: ArrayLike) -> FloatArray:
    """Decibels to linear units: ``10^(x / 10)``."""
    array = _floating(values)
    return np.power(10.0, array / 10.0)


def celsius_to_kelvin(values: ArrayLike) -> FloatArray:
    """Degrees Celsius to kelvins."""
    array = _floating(values)
    return array + ZERO_CELSIUS_K


def kelvin_to_celsius(values: ArrayLike) -> FloatArray:
    """Kelvins to degrees Celsius."""
    array = _floating(values)
    return array - ZERO_CELSIUS_K


def dn_to_physical(stored: ArrayLike, scale: ArrayLike, offset: ArrayLike) -> NDArray[np.float32]:
    """``stored * scale + offset``, computed in float64 and rounded once to float32.

    Args:
        stored: stored numbers of any numeric type.
        scale: factor, broadcastable to ``stored``.
        offset: term added after scaling, broadcastable to ``stored``.
    """
    exact = np.asarray(stored, np.float64) * np.asarray(scale, np.float64) + np.asarray(offset, np.float64)
    return np.asarray(exact, dtype=np.float32)


def physical_to_dn(
    values: ArrayLike, scale: ArrayLike, offset: ArrayLike, dtype: DTypeLike = np.uint16
) -> NDArray[np.integer[Any]]:
    """The nearest stored number of each value, clipped to the range of ``dtype``; the inverse of ``dn_to_physical``.

    Raises:
        InputError: a value is NaN or infinite; no integer stands for it.
    """
    exact = (np.asarray(values, np.float64) - np.asarray(offset, np.float64)) / np.asarray(scale, np.float64)
    if not np.isfinite(exact).all():
        raise InputError(
            f"{int((~np.isfinite(exact)).sum())} of {exact.size} values are NaN or infinite",
            expected="finite values, because integers cannot say 'missing'",
            remedy="fill invalid places with the no-data number after converting",
        )
    integer = np.dtype(dtype)
    limits = np.iinfo(integer)
    rounded: NDArray[np.integer[Any]] = np.clip(np.rint(exact), limits.min, limits.max).astype(integer)
    return rounded


_ALIASES: dict[str, str] = {
    "": "1",
    "-": "1",
    "dimensionless": "1",
    "fraction": "1",
    "reflectance": "1",
    "linear": "1",
    "percent": "%",
    "db": "dB",
    "decibel": "dB",
    "kelvin": "K",
    "k": "K",
    "c": "degC",
    "celsius": "degC",
    "°c": "degC",
    "degree_celsius": "degC",
    "degc": "degC",
    "metre": "m",
    "meter": "m",
    "metres": "m",
    "meters": "m",
    "kilometre": "km",
    "centimetre": "cm",
    "millimetre": "mm",
    "degree": "degree",
    "degrees": "degree",
    "deg": "degree",
    "°": "degree",
    "radian": "rad",
    "radians": "rad",
    "dn": "DN",
    "hpa": "hPa",
    "millibar": "hPa",
    "mb": "hPa",
    "pa": "Pa",
    "mm/h": "mm h-1",
    "m/s": "m s-1",
    "kelvins": "K",
    # As the Climate Data Store writes them.
    "m s**-1": "m s-1",
    "m**2 s**-2": "m2 s-2",
    "kg kg**-1": "kg kg-1",
    "kg/kg": "kg kg-1",
    "(0 - 1)": "1",
    "0-1": "1",
}

# unit -> (dimension, factor to the base unit, offset to the base unit)
_LINEAR: dict[str, tuple[str, float, float]] = {
    "1": ("fraction", 1.0, 0.0),
    "%": ("fraction", 0.01, 0.0),
    "K": ("temperature", 1.0, 0.0),
    "degC": ("temperature", 1.0, ZERO_CELSIUS_K),
    "m": ("length", 1.0, 0.0),
    "km": ("length", 1000.0, 0.0),
    "cm": ("length", 0.01, 0.0),
    "mm": ("length", 0.001, 0.0),
    "degree": ("angle", np.pi / 180.0, 0.0),
    "rad": ("angle", 1.0, 0.0),
    "Pa": ("pressure", 1.0, 0.0),
    "hPa": ("pressure", 100.0, 0.0),
    "m s-1": ("speed", 1.0, 0.0),
    "km h-1": ("speed", 1 / 3.6, 0.0),
    "mm h-1": ("speed", 0.001 / 3600.0, 0.0),
}


def canonical(unit: str) -> str:
    """The one spelling of a unit that swath uses; unknown units come back as they are.

    >>> canonical("Celsius"), canonical("reflectance"), canonical("W m-2 sr-1 um-1")
    ('degC', '1', 'W m-2 sr-1 um-1')
    """
    stripped = unit.strip()
    known = {name.lower(): name for name in (*_LINEAR, "dB", "DN")}
    return _ALIASES.get(stripped.lower()) or known.get(stripped.lower(), stripped)


def convert(values: ArrayLike, from_unit: str, to_unit: str) -> FloatArray:
    """Values in another unit; float32 stays float32, everything else becomes float64.

    Decibels convert to and from ``1`` (linear units).

    Raises:
        ConfigError: the units are unknown or measure different things.
    """
    array = _floating(values)
    source, target = canonical(from_unit), canonical(to_unit)
    if source == target:
        return array.copy()
    special: dict[tuple[str, str], Callable[[ArrayLike], FloatArray]] = {
        ("dB", "1"): db_to_linear,
        ("1", "dB"): linear_to_db,
    }
    if (source, target) in special:
        return special[source, target](array)
    for unit in (source, target):
        if unit == "DN":
            raise ConfigError(
                f"Numbers cannot be converted from '{from_unit}' to '{to_unit}' by unit alone",
                expected="scale and offset of the sensor",
                remedy="use Sensor.to_physical, or cubes.to_physical for a cube",
            )
        if unit not in _LINEAR and unit != "dB":
            raise ConfigError(
                f"The unit '{unit}' is unknown",
                expected=f"one of {', '.join((*_LINEAR, 'dB'))}",
                remedy=f"the nearest names are: {nearest(unit, (*_LINEAR, 'dB', *filter(None, _ALIASES)))}",
            )
    first, second = _LINEAR.get(source), _LINEAR.get(target)
    if first is None or second is None or first[0] != second[0]:
        raise ConfigError(
            f"'{from_unit}' cannot become '{to_unit}': "
            f"{_measures(source)} and {_measures(target)} are different things",
            expected="two units of one kind",
            remedy="check the unit of the band or variable",
        )
    factor, offset = first[1] / second[1], (first[2] - second[2]) / second[1]
    return array * factor + offset


def _measures(unit: str) -> str:
    return _LINEAR[unit][0] if unit in _LINEAR else "decibels"


def _floating(values: ArrayLike) -> FloatArray:
    array = np.asarray(values)
    return array if array.dtype in (np.float32, np.float64) else np.asarray(array, dtype=np.float64)


# kind -> unit -> what is physically possible with room for noise: below and above lie measuring errors, never truth.
_POSSIBLE: dict[str, dict[str, tuple[float, float]]] = {
    "reflectance": {"1": (-0.3, 2.0)},
    "colour": {"1": (0.0, 1.0)},
    "brightness_temperature": {"K": (150.0, 400.0), "degC": (-123.0, 127.0)},
    "backscatter": {"dB": (-60.0, 40.0), "1": (0.0, 10_000.0)},
    "elevation": {"m": (-11_000.0, 9_000.0)},
    "coordinate": {"degree": (-180.0, 360.0)},
    # Of the atmosphere, from the ground to 1 hPa; sums of rain over at most a month.
    "temperature": {"K": (150.0, 350.0), "degC": (-123.0, 77.0)},
    "pressure": {"Pa": (30_000.0, 115_000.0), "hPa": (300.0, 1150.0)},
    "speed": {"m s-1": (-200.0, 200.0)},
    "humidity": {"kg kg-1": (-0.001, 0.06)},
    "geopotential": {"m2 s-2": (-10_000.0, 600_000.0)},
    "precipitation": {"m": (-0.001, 3.0), "mm": (-1.0, 3000.0)},
    "fraction": {"1": (-0.01, 1.01), "%": (-1.0, 101.0)},
}
_TOLERATED_SHARE = 0.01


def possible_range(kind: str, unit: str) -> tuple[float, float] | None:
    """The range that a kind of band can take in a unit, with room for noise; None where there is no such range."""
    return _POSSIBLE.get(kind, {}).get(canonical(unit))


def looks_like(unit: str, values: ArrayLike, valid: ArrayLike | None = None) -> Guess:
    """What the valid numbers most probably are, whatever they are said to be.

    A rule of thumb over their 1st and 99th percentile, for error sentences only.

    Args:
        unit: the unit they are said to have; it decides where several guesses fit.
        values: numbers of any shape.
        valid: True where a number counts, broadcastable to ``values``.
    """
    used = _used(values, valid)
    if used.size == 0:
        return "unknown"
    low, high = (float(part) for part in np.percentile(used, [1.0, 99.0]))
    whole = bool((used == np.rint(used)).all())
    said = canonical(unit)
    guesses: list[tuple[Guess, bool]] = [
        ("K", said in ("K", "degC") and low >= 180.0 and high <= 360.0),
        ("degC", said in ("K", "degC") and low >= -100.0 and high <= 80.0),
        ("colour", said == "1" and whole and low >= 0.0 and 1.0 < high <= 255.0 and used.max() > 100),
        ("DN", whole and low >= -2000.0 and high > 100.0),
        ("linear", said == "dB" and low >= 0.0 and high < 10.0),
        ("fraction", low >= -0.3 and high <= 2.0),
        ("dB", high <= 20.0 and -100.0 <= low < -2.0),
        ("percent", low >= -30.0 and high <= 200.0),
        ("DN", high > 200.0),
    ]
    return next((guess for guess, fits in guesses if fits), "unknown")


def check_range(values: ArrayLike, valid: ArrayLike | None, unit: str, kind: str, what: str) -> None:
    """Raise a sentence when numbers cannot be what they are said to be, such as DN fed as reflectance.

    At most 1 % of the valid values may lie outside ``possible_range``; kinds and units without a range, and arrays
    without a valid value, always pass.

    Args:
        values: numbers of any shape.
        valid: True where a number counts, broadcastable to ``values``; None for everywhere.
        unit: the unit they are said to have.
        kind: the kind of band (see ``swath.sensors.Band``).
        what: what they are, for the sentence (file and band).

    Raises:
        InputError: more than 1 % of the valid values are impossible or not finite.
    """
    possible = possible_range(kind, unit)
    used = _used(values, valid, finite=False)
    if possible is None or used.size == 0:
        return
    outside = float(np.mean(~((used >= possible[0]) & (used <= possible[1]))))
    if outside <= _TOLERATED_SHARE:
        return
    finite = used[np.isfinite(used)]
    measured = f"run from {finite.min():g} to {finite.max():g}" if finite.size else "are all NaN or infinite"
    guess = looks_like(unit, values, valid)
    if guess == "colour" and kind != "colour":
        guess = "DN"  # 8-bit sensors such as Landsat 5 store DN that small
    if guess == "DN" and kind in ("elevation", "coordinate"):
        guess = "unknown"  # these are stored as they are
    raise InputError(
        f"{what}: the values {measured}, and {outside:.1%} of them lie outside what {kind.replace('_', ' ')} can be",
        expected=f"{kind.replace('_', ' ')} in the unit '{canonical(unit)}', {possible[0]:g} to {possible[1]:g}",
        remedy=_REMEDIES.get(guess, "check the unit, scale, offset and no-data number of the file"),
    )


_REMEDIES: dict[Guess, str] = {
    "DN": "these look like stored integers (DN): name sensor, level and baseline when opening the scene (--sensor, "
    "--level, --baseline), so that scale and offset are applied (Sensor.to_physical, cubes.to_physical)",
    "percent": "these look like percent: divide by 100",
    "dB": "these look like decibels: declare the unit 'dB', or convert them with units.db_to_linear",
    "linear": "these look like linear units: declare the unit '1', or convert them with units.linear_to_db",
    "degC": "these look like degrees Celsius: convert them with units.celsius_to_kelvin",
    "K": "these look like kelvins: convert them with units.kelvin_to_celsius",
    "colour": "these look like 8-bit colours: divide by 255",
}


def _used(values: ArrayLike, valid: ArrayLike | None, *, finite: bool = True) -> NDArray[np.float64]:
    array = np.asarray(values)
    mask = (
        np.ones(array.shape, dtype=bool)
        if valid is None
        else np.broadcast_to(np.asarray(valid, dtype=bool), array.shape)
    )
    used = array[mask].astype(np.float64)
    return used[np.isfinite(used)] if finite else used
