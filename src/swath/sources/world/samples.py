"""Training data from the simulated Earth: chip sets with truth as labels, and minicubes in Zarr."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from swath import chips, cubes, rng
from swath.cubes import Legend
from swath.errors import ConfigError, InputError, nearest
from swath.sources.world.archive import Wanted, is_dark
from swath.sources.world.render.conditions import Conditions
from swath.sources.world.render.observe import observe
from swath.sources.world.truth import LAYERS, legend_of

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

    from swath.chips import ChipSet
    from swath.sources.world.world import World

_CHUNK = 128


def chip_set(
    world: World,
    box: GeoBox,
    sensor: str,
    time: str,
    out: Path | str,
    *,
    size: int = 64,
    layer: str = "cover",
    conditions: Conditions | None = None,
    seed: int = 0,
) -> ChipSet:
    """Observe a place once and cut it into chips whose labels are a class layer of its truth.

    Args:
        world: the world.
        box: the place, on pixels of 10 m.
        sensor: of ``observe``; bands of all its grids are brought to the finest.
        time: day of overpass.
        out: folder of the chip set.
        size: side of a chip in pixels of the finest grid.
        layer: ``cover`` or ``crop``.
        conditions: of the observation; those of the day when left out.
        seed: of sky, noise and split.

    Raises:
        ConfigError: the layer has no classes.
        InputError: as ``World.truth``, ``observe`` and ``chips.cut``.
    """
    legend = _legend(layer)
    truth = world.truth(box, time)
    sky = world.conditions(box, time) if conditions is None else conditions
    scene = observe(truth, sensor, time, None, rng.key(world.seed, "chips", str(seed)) % 2**63, conditions=sky)
    cube = cubes.to_physical(cubes.to_cube(scene))
    labels = truth[layer].astype(np.int16)
    with chips.folder.appearing(Path(out)) as folder:
        made = chips.cut(cube, labels, folder, size=size, legend=legend)
        split = chips.split_by_block(made, block_chips=2, seed=seed)
        split.save(folder / "split.parquet")
        chips.statistics(made, split).save(folder / "statistics.json")
    return chips.open(Path(out))


def minicube(
    world: World,
    box: GeoBox,
    wanted: Wanted,
    out: Path | str,
    *,
    layers: tuple[str, ...] = ("cover", "leaf_area", "soil_moisture", "open_water", "snow_cover"),
) -> Path:
    """A small cube of many dates, as data sets of Earth-surface forecasting have them: images, sky, truth, weather.

    Groups of the Zarr store: one for each grid of the sensor, with ``data``, ``valid`` and where it is ``quality``
    (time, y, x); ``truth`` with the layers (time, y, x) on the finest pixels; ``weather`` with daily values at the
    middle of the place from the first to the last date (day).

    Args:
        world: the world.
        box: the place, on pixels of 10 m.
        wanted: sensor (one) and time; overpasses in the dark are left out.
        out: the store, ending in ``.zarr``.
        layers: of the truth.

    Returns:
        the store.

    Raises:
        ConfigError: more than one sensor, an unknown layer, or another ending.
        InputError: no overpass by day.
    """
    if len(wanted.sensors) != 1:
        raise ConfigError(
            f"A minicube was asked for with {len(wanted.sensors)} sensors",
            expected="one sensor",
            remedy="make one store for each",
        )
    _check_layers(layers)
    sensor = wanted.sensors[0]
    zone = 0 if box.crs is None or box.crs.epsg is None else int(box.crs.epsg)
    days = [day for day in wanted.days(sensor, zone) if not is_dark(box, day, sensor)]
    if not days:
        raise InputError(
            f"There is no overpass of {sensor} by day in {wanted.time}",
            expected="at least one date",
            remedy="widen the time",
        )
    seed = rng.key(world.seed, "archive", sensor) % 2**63
    truths = [world.truth(box, day) for day in days]
    scenes = [
        observe(truth, sensor, day, wanted.level, seed, conditions=world.conditions(box, day))
        for truth, day in zip(truths, days, strict=True)
    ]
    states = [truth[list(layers)] for truth in truths]
    truth = xr.concat(states, dim="time", combine_attrs="drop_conflicts", join="override")
    truth = truth.assign_coords(time=np.array(days, "datetime64[ns]"))
    truth = truth.assign_attrs(data="simulated", world_hash=world.version_hash())
    weather = world.weather(box, days[0], days[-1])
    return cubes.write_store(_stacked(scenes), out, chunk=_CHUNK, groups={"truth": truth, "weather": weather})


def _stacked(scenes: list[xr.DataTree]) -> xr.DataTree:
    names = list(scenes[0].children)
    nodes = {
        name: xr.concat(
            [scene[name].to_dataset() for scene in scenes], dim="time", join="override", combine_attrs="drop_conflicts"
        )
        for name in names
    }
    return xr.DataTree.from_dict({"/": xr.Dataset(), **nodes})


def _check_layers(layers: tuple[str, ...]) -> None:
    for name in layers:
        if name not in LAYERS:
            raise ConfigError(
                f"The truth has no layer '{name}'",
                expected=f"some of {', '.join(LAYERS)}",
                remedy=f"the nearest are: {nearest(name, LAYERS)}",
            )


def _legend(layer: str) -> Legend:
    legend = legend_of(layer)
    if legend is None:
        raise ConfigError(
            f"The layer '{layer}' has no classes",
            expected="cover, crop or soil",
            remedy="cut regression targets from the truth by hand, or choose one of these",
        )
    return legend
