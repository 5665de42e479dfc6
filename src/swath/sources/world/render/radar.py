"""Observe a truth with Sentinel-1: backscatter with noise floor and speckle, as a calibrated ground-range product.

Made in cells of three kilometres with a margin of one pixel, whose results are the same as for the whole; where the
truth is lazy, each cell is one delayed task.
"""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from dask.delayed import delayed
from numpy.typing import NDArray

from swath import cubes, grids, rng, sensors
from swath.cubes.assemble import tree_of
from swath.errors import InputError
from swath.sources.world.render.backscatter import LOOK_AZIMUTH, NOISE_FLOOR_DB, Look, backscatter
from swath.sources.world.render.conditions import Conditions
from swath.sources.world.render.defaults import default, summer_share
from swath.sources.world.render.resolution import Rectangle, TruthGrid, check_pixels, truth_grid
from swath.sources.world.render.speckle import GRD_LOOKS, speckle
from swath.sources.world.truth import (
    COVER,
    MANGROVE,
    REQUIRED_RADAR,
    SHRUB,
    TREE,
    WORLD_VERSION,
    check_truth,
    require_layers,
)

SENSOR = "sentinel1_grd"
BANDS = ("VV", "VH")
PIXEL = 10.0
CELL = 300  # pixels along a side
_USUAL_WIND = 4.0
_LAYERS = ("leaf_area", "biomass", "soil_moisture", "open_water", "building_cover")
_BIOMASS = np.zeros(len(COVER), np.float32)
_BIOMASS[[TREE, MANGROVE, SHRUB]] = 120.0, 100.0, 10.0


def observe_radar(
    truth: xr.Dataset, time: np.datetime64, level: str | None, seed: int, conditions: Conditions
) -> xr.DataTree:
    """The scene of Sentinel-1: one node ``grid_10m`` with VV and VH.

    Args:
        truth: at least cover and elevation, on pixels of 10 m; other layers get their usual values.
        time: of the acquisition, UTC.
        level: ``dB`` (default) or ``linear``.
        seed: names the speckle.
        conditions: orbit, wind_speed, radar_incidence and noise count (noise: speckle and noise floor).

    Raises:
        InputError: layers missing, no pixels, or pixels that are not of 10 m.
    """
    stage = sensors.load(SENSOR).level(level or "dB")
    grid = truth_grid(check_truth(truth))
    require_layers(truth, REQUIRED_RADAR, f"the sensor '{SENSOR}'")
    check_pixels(grid, dict.fromkeys(BANDS, PIXEL), SENSOR)
    if grid.gsd != PIXEL or 0 in grid.place.shape:
        raise InputError(
            f"The truth has {grid.place.height} x {grid.place.width} pixels of {grid.gsd:g} m",
            expected=f"at least one pixel, of {PIXEL:g} m: radar is not averaged from finer ones in this version",
            remedy="make the truth at 10 m",
        )
    look = Look(conditions.radar_incidence, LOOK_AZIMUTH[conditions.orbit])
    wind = conditions.wind_speed if conditions.wind_speed is not None else _attribute_wind(truth)
    keys = tuple(rng.key(seed, "speckle", str(time), band) for band in BANDS) if conditions.noise else None
    pieces = [
        [_piece(truth, grid, part, time, look, wind, keys, stage.name == "dB") for part in row]
        for row in _cells(grid.place)
    ]
    join = da.concatenate if isinstance(pieces[0][0], da.Array) else np.concatenate
    data = join([join(row, axis=-1) for row in pieces], axis=-2)
    scaling = stage.baselines[0].scaling.select(BANDS)
    attrs = {
        "sensor": SENSOR,
        "level": stage.name,
        "baseline": "",
        "source": f"simulated ({WORLD_VERSION})",
        "time_known": 1,
        "seed": seed,
        "orbit": conditions.orbit,
        "incidence": look.incidence,
        "wind_speed": float(wind),
    }
    cube = cubes.make_cube(
        data[None],
        join_like(data)[None],
        grid.geobox(PIXEL, grid.place),
        scaling.bands,
        time=np.array([time]),
        scale=[1.0, 1.0],
        offset=[0.0, 0.0],
        stored=False,
        attrs=attrs,
    )
    return tree_of([cube], attrs)


def join_like(data: Any) -> Any:
    """Validity of radar data: everywhere, as the swath has no edge in this version; lazy where the data are."""
    if isinstance(data, da.Array):
        return da.ones(data.shape[1:], dtype=bool, chunks=data.chunks[1:])
    return np.ones(data.shape[1:], bool)


def _cells(place: Rectangle) -> list[list[Rectangle]]:
    """The parts of absolute cells that a rectangle covers, row by row."""
    over = place.coarser(CELL)
    return [
        [
            Rectangle(row * CELL, column * CELL, CELL, CELL).common(place)
            for column in range(over.column, over.column + over.width)
        ]
        for row in range(over.row, over.row + over.height)
    ]


def _piece(
    truth: xr.Dataset,
    grid: TruthGrid,
    part: Rectangle,
    time: np.datetime64,
    look: Look,
    wind: float,
    keys: tuple[int, ...] | None,
    decibels: bool,
) -> Any:
    """Numbers ``(2, y, x)`` of one cell; lazy where the truth is."""
    wide = part.pad(1).common(grid.place)
    layers = truth.isel(dict(zip(("y", "x"), wide.within(grid.place), strict=True)))
    arguments = (wide, part, time, look, wind, keys, decibels)
    if any(variable.chunks is not None for variable in truth.data_vars.values()):
        made = delayed(_observed, pure=False)(layers, *arguments)
        return da.from_delayed(made, (len(BANDS), *part.shape), dtype=np.float32)
    return _observed(layers, *arguments)


def _observed(
    layers: xr.Dataset,
    wide: Rectangle,
    part: Rectangle,
    time: np.datetime64,
    look: Look,
    wind: float,
    keys: tuple[int, ...] | None,
    decibels: bool,
) -> NDArray[np.float32]:
    power = backscatter(completed(layers, time), look, wind)[(slice(None), *part.within(wide))]
    if keys is not None:
        rows = part.row + np.arange(part.height, dtype=np.int64)
        columns = part.column + np.arange(part.width, dtype=np.int64)
        floor = np.float32(10.0 ** (NOISE_FLOOR_DB / 10.0))
        # Thermal noise is power of the same statistics as speckle, and products keep it.
        power = np.stack(
            [(one + floor) * speckle(key, rows, columns, GRD_LOOKS) for one, key in zip(power, keys, strict=True)]
        )
    if not decibels:
        return np.asarray(power, np.float32)
    return np.asarray(10.0 * np.log10(np.maximum(power, np.float32(1e-6))), np.float32)


def completed(truth: xr.Dataset, time: np.datetime64) -> xr.Dataset:
    """The truth with the layers that radar needs; absent ones, and pixels that are NaN, by class, season and latitude.

    Args:
        truth: at least cover, or its shares.
        time: of the acquisition, UTC.
    """
    lacking = [
        name for name in _LAYERS if name not in truth or not bool(np.isfinite(np.asarray(truth[name].values)).all())
    ]
    if not lacking:
        return truth
    _, latitude = grids.lonlat(truth.odc.geobox)
    day = float((time - time.astype("datetime64[Y]")) / np.timedelta64(1, "D"))
    summer = summer_share(day, latitude)
    filled = {}
    for name in lacking:
        usual = _usual(truth, name, summer)
        if name in truth:
            known = np.asarray(truth[name].values, np.float32)
            usual = np.where(np.isfinite(known), known, usual)
        filled[name] = (("y", "x"), usual.astype(np.float32))
    return truth.assign(filled)


def _usual(truth: xr.Dataset, name: str, summer: NDArray[np.float32]) -> NDArray[np.float32]:
    def of(codes: NDArray[np.int64]) -> NDArray[np.float32]:
        return _BIOMASS[codes] if name == "biomass" else default(name, codes, summer)

    if "cover" in truth:
        return of(np.asarray(truth["cover"].values, np.int64))
    shares = np.asarray(truth["cover_fraction"].values, np.float32)
    parts = [shares[value] * of(np.full(summer.shape, value, np.int64)) for value in range(len(COVER))]
    return np.sum(parts, axis=0, dtype=np.float32)


def _attribute_wind(truth: xr.Dataset) -> float:
    try:
        wind = float(truth.attrs.get("wind_speed", _USUAL_WIND))
    except (TypeError, ValueError):
        wind = float("nan")
    if not 0.0 <= wind <= 60.0:
        raise InputError(
            f"The truth's attribute 'wind_speed' is {truth.attrs['wind_speed']!r}",
            expected="a number from 0 to 60 [m s-1]",
            remedy="correct truth.attrs, or give wind_speed in Conditions",
        )
    return wind
