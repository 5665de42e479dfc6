"""Linear mixtures in the bands of one node: see ``inject.py`` for the equations and their sources."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from swath import sensors, units
from swath.cubes import bands_of, is_physical
from swath.sensors import Band, BandSet
from swath.sources.world.events.materials import backscatter_of, reflectance_of
from swath.sources.world.events.shapes import Event

Array = NDArray[np.float64]

CONTRAST = {"flood": 0.15, "burn": 0.5, "clearing": 0.5}
"""Share of the local brightness contrast that survives within an event."""

_TOP = frozenset({"L1C", "L1", "L1TP", "L1GT", "TOA"})


@dataclass(frozen=True)
class Mixture:
    """What is mixed into a node.

    Args:
        event: the event.
        fraction: share of each pixel that is replaced ``(y, x)``.
        first_share: share of the first of the two parts of the material ``(y, x)``, or one for all pixels.
    """

    event: Event
    fraction: Array
    first_share: Array | float


def mixed_node(node: xr.Dataset, mixture: Mixture, shown: NDArray[np.bool_]) -> xr.Dataset:
    """The node with the mixture in its bands of reflectance and backscatter."""
    stored = np.array(node["data"].values)
    valid = np.broadcast_to(
        node["valid"].values if node["valid"].ndim == 4 else node["valid"].values[:, None], stored.shape
    )
    bands, touched = bands_of(node), mixture.fraction > 0.0
    for time in np.flatnonzero(shown):
        gain = _local_contrast(node, bands, valid, int(time))
        for index, band in enumerate(bands):
            where = touched & valid[time, index]
            if band.kind not in ("reflectance", "backscatter") or not where.any():
                continue
            before = physical(node, index, int(time))
            if band.kind == "reflectance":
                path = _path(node, before, valid[time, index])
                after = _mixed_reflectance(before, band, mixture, gain, path)
            else:
                after = _mixed_backscatter(before, band, mixture, valid[time, index])
            stored[time, index][where] = _stored(node, index, after[where], stored.dtype)
    return node.assign(data=(node["data"].dims, stored, node["data"].attrs))


def physical(node: xr.Dataset, index: int, time: int) -> Array:
    """One band at one time in physical units, float64 ``(y, x)``."""
    numbers = node["data"].values[time, index].astype(np.float64)
    if is_physical(node):
        return numbers
    return np.asarray(numbers * float(node["scale_factor"].values[index]) + float(node["add_offset"].values[index]))


def _stored(node: xr.Dataset, index: int, values: Array, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Physical numbers as the node stores them, clear of the numbers that mean something else."""
    scale, offset = (float(node[name].values[index]) for name in ("scale_factor", "add_offset"))
    if is_physical(node):
        scale, offset = 1.0, 0.0
    if not np.issubdtype(dtype, np.integer):
        return ((values - offset) / scale).astype(dtype)
    numbers = units.physical_to_dn(values, scale, offset, dtype)
    limits = np.iinfo(dtype)
    for special in _special_numbers(node):
        if limits.min <= special <= limits.max:
            aside = special + 1 if special <= 0 else special - 1
            numbers = np.where(numbers == special, np.asarray(aside, dtype), numbers)
    return numbers


def _special_numbers(node: xr.Dataset) -> tuple[int, ...]:
    """The stored numbers that mean no data or saturated at the sensor and level of a node; 0 where unknown."""
    name, level = str(node.attrs.get("sensor", "")), str(node.attrs.get("level", ""))
    if name not in sensors.names() or level.lower() not in (known.lower() for known in sensors.load(name).levels):
        return (0,)
    found = sensors.load(name).level(level)
    return tuple(int(value) for value in (found.nodata, found.saturated) if value is not None)


def _local_contrast(node: xr.Dataset, bands: BandSet, valid: NDArray[np.bool_], time: int) -> Array:
    """Brightness of each pixel over that of its valid neighbours in 5 x 5, less one, within -0.5 to 0.5 ``(y, x)``."""
    chosen = [index for index, band in enumerate(bands) if band.kind == "reflectance"]
    if not chosen:
        return np.zeros((node.sizes["y"], node.sizes["x"]))
    usable = np.asarray(valid[time, chosen].all(axis=0))
    bright = sum(physical(node, index, time) for index in chosen) / len(chosen)
    return np.clip(_over_neighbours(np.asarray(bright), usable) - 1.0, -0.5, 0.5)


def _over_neighbours(values: Array, usable: NDArray[np.bool_]) -> Array:
    """Each number over the mean of the usable ones around it, 1 where there is none."""
    safe = np.where(usable, values, 0.0)
    weight = uniform_filter(usable.astype(np.float64), 5, mode="nearest")
    mean = uniform_filter(safe, 5, mode="nearest") / np.maximum(weight, 1e-9)
    good = usable & (mean > 1e-9)
    return np.where(good, safe / np.where(good, mean, 1.0), 1.0)


def _path(node: xr.Dataset, values: Array, valid: NDArray[np.bool_]) -> float:
    """Path reflectance of a band at the top of the atmosphere after Chavez, 0 for surface reflectance."""
    if str(node.attrs.get("level", "")).upper() not in _TOP:
        return 0.0
    return max(float(np.quantile(values[valid], 0.001)) - 0.01, 0.0)


def _mixed_reflectance(before: Array, band: Band, mixture: Mixture, gain: Array, path: float) -> Array:
    first, second = {
        "flood": ("turbid water", "clear water"),
        "burn": ("char", "scorched"),
        "clearing": ("bare soil", "litter"),
    }[mixture.event]
    material = path + (
        mixture.first_share * reflectance_of(first, band) + (1.0 - mixture.first_share) * reflectance_of(second, band)
    )
    material = material * (1.0 + CONTRAST[mixture.event] * gain)
    return np.asarray((1.0 - mixture.fraction) * before + mixture.fraction * material)


def _mixed_backscatter(before: Array, band: Band, mixture: Mixture, valid: NDArray[np.bool_]) -> Array:
    """Mixing in linear power; the ratio to the neighbourhood, which is speckle for the most part, is kept whole."""
    decibels = band.unit == "dB"
    power = np.asarray(units.db_to_linear(before) if decibels else before, np.float64)
    echo = backscatter_of("water" if mixture.event == "flood" else "bare ground", band)
    share = mixture.fraction * (0.5 if mixture.event == "burn" else 1.0)
    after = (1.0 - share) * power + share * echo * _over_neighbours(power, valid & np.isfinite(power))
    return np.asarray(units.linear_to_db(np.maximum(after, 1e-6)) if decibels else after, np.float64)
