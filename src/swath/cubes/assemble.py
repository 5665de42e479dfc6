"""What readers of all formats share: the caller's options, dates, scaling, and the tree of nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import xarray as xr

from swath import grids, sensors
from swath.cubes.cube import DN, geobox_of
from swath.cubes.nodata import NoData
from swath.errors import InputError
from swath.sensors import BandSet
from swath.units import canonical

When: TypeAlias = str | datetime | np.datetime64 | None
EPOCH = np.datetime64("1970-01-01T00:00:00", "ns")
PHYSICAL = "physical"
"""The level of numbers that are in physical units already, for any sensor."""


@dataclass(frozen=True)
class Options:
    """How the caller wants a scene to be read; the arguments of ``open`` in one piece."""

    sensor: str | None = None
    level: str | None = None
    baseline: str | None = None
    bands: tuple[str, ...] | None = None
    nodata: NoData = None
    time: np.datetime64 | None = None


@dataclass(frozen=True)
class Storage:
    """How the numbers of some bands are stored: ``physical = stored * scale + offset``.

    Args:
        bands: the bands, with the unit and kind they have after scaling.
        scale: factor per band.
        offset: offset per band.
        invalid: stored numbers that the sensor level says are no data or saturated.
        stored: False where the numbers are physical already.
    """

    bands: BandSet
    scale: tuple[float, ...]
    offset: tuple[float, ...]
    invalid: tuple[float, ...] = ()
    stored: bool = True


def sensor_bands(options: Options) -> BandSet | None:
    """The bands that files of the named sensor and level can hold, or None without a sensor."""
    if options.sensor is None:
        return None
    sensor = sensors.load(options.sensor)
    return sensor.level(options.level).bands if options.level not in (None, PHYSICAL) else sensor.bands


def storage_of(
    options: Options,
    bands: BandSet,
    when: np.datetime64 | None,
    *,
    scale: Sequence[float],
    offset: Sequence[float],
    units: Sequence[str],
) -> Storage:
    """What is known about how bands are stored: from the level, else from the file, else from the sensor's only level.

    Args:
        options: what the caller said.
        bands: the bands in order.
        when: acquisition time, or None if unknown.
        scale: factor per band that the file declares (1 where it declares none).
        offset: offset per band that the file declares.
        units: unit per band that the file declares, empty where it declares none.

    Raises:
        InputError: a level was named without its sensor, or the sensor needs a level, baseline or time.
    """
    trivial = all(value == 1 for value in scale) and all(value == 0 for value in offset)
    ones, zeros = (1.0,) * len(bands), (0.0,) * len(bands)
    if options.level == PHYSICAL:
        return Storage(_with_units(bands, units), ones, zeros, stored=False)
    if options.sensor is None and options.level is not None:
        raise InputError(
            f"The level '{options.level}' was given without a sensor",
            expected="the sensor that has this level",
            remedy=f"give sensor=, one of {', '.join(sensors.names())}; level='{PHYSICAL}' needs none",
        )
    if options.level is None and not trivial:
        return Storage(_with_units(bands, units), tuple(scale), tuple(offset))
    if options.level is None and any(units):
        raw = all(unit.upper() == DN for unit in units)
        return Storage(bands if raw else _with_units(bands, units), ones, zeros, stored=raw)
    if options.sensor is None:
        return Storage(bands, ones, zeros)
    rule = sensors.load(options.sensor).scaling(options.level, baseline=options.baseline, time=when, bands=bands.names)
    invalid = tuple(float(value) for value in (rule.nodata, rule.saturated) if value is not None)
    scaled = bool((rule.scale != 1).any() or (rule.offset != 0).any())
    return Storage(rule.bands, tuple(rule.scale.tolist()), tuple(rule.offset.tolist()), invalid, stored=scaled)


def tree_of(cubes: Sequence[xr.Dataset], attrs: Mapping[str, Any]) -> xr.DataTree:
    """One node per cube, named by ground sampling distance, finest first."""
    sized = sorted(((grids.gsd_m(geobox_of(cube)), cube) for cube in cubes), key=lambda item: item[0])
    nodes: dict[str, xr.Dataset] = {}
    for gsd, cube in sized:
        name = f"grid_{float(f'{gsd:.3g}'):.10g}m"
        while name in nodes:
            name += "_b"
        nodes[name] = cube
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=dict(attrs)), **nodes})


def parse_time(time: When) -> np.datetime64 | None:
    """A time as ``datetime64[ns]`` in UTC.

    Raises:
        InputError: the text is no time.
    """
    if time is None:
        return None
    try:
        stamp = pd.Timestamp(time)
        stamp = stamp if stamp.tz is None else stamp.tz_convert("UTC").tz_localize(None)
        when = stamp.to_datetime64().astype("datetime64[ns]")
    except (ValueError, TypeError, OverflowError) as error:
        raise _no_time(time) from error
    if np.isnat(when):
        raise _no_time(time)
    return np.datetime64(when, "ns")


def _no_time(time: object) -> InputError:
    return InputError(
        f"'{time}' is no time",
        expected="ISO text such as 2021-07-05 or 2021-07-05T10:30:00",
        remedy="correct time=, or leave it out",
    )


def _with_units(bands: BandSet, units: Sequence[str]) -> BandSet:
    """The bands with the units that the file declares."""
    return BandSet(
        tuple(
            replace(band, unit=canonical(unit)) if unit and unit.upper() != DN else band
            for band, unit in zip(bands, units, strict=True)
        )
    )
