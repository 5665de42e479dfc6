"""Observe any truth: the scene that a sensor would have delivered of it.

Steps: reflectance of the ground; light on terrain; blur and mean over native pixels; shadows of clouds; atmosphere;
clouds; noise, limits and rounding of the detector; for surface products the way back through an atmosphere whose
aerosol is slightly wrong; stored numbers; quality layer. ``cell.py`` does them, cell by cell.

Left out: bidirectional reflectance beyond what the ground's models have, light between neighbouring pixels and slopes,
registration errors, seams of detectors, the edge of the swath, and corrections of terrain: surface products keep the
light of slopes, as those of Landsat and HLS do and those of Sentinel-2 in mountains do not.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from dask.delayed import delayed
from odc.geo.xr import xr_coords

from swath import cubes, sensors
from swath.cubes.assemble import tree_of
from swath.errors import InputError, ResourceError
from swath.sensors import Scaling
from swath.sources.world.render import illumination
from swath.sources.world.render.cell import BLOCKS, CELL, Made, Node, Plan, band_shapes, render, sky_over
from swath.sources.world.render.clouds import Ray
from swath.sources.world.render.conditions import Conditions, moment_of, sun_over
from swath.sources.world.render.instrument import RADAR, Instrument, instrument
from swath.sources.world.render.numbers import raw_scaling, stored_type
from swath.sources.world.render.resolution import Rectangle, TruthGrid, check_pixels, gaussian, truth_grid
from swath.sources.world.render.sun import earth_sun_distance
from swath.sources.world.truth import REQUIRED_OPTICAL, WORLD_VERSION, check_truth, require_layers

_WORKING = 40  # float32 arrays of a cell's pixels that are alive at once, beside those of every band
_THREADS = 4


def observe(
    truth: xr.Dataset,
    sensor: str,
    time: Any,
    level: str | None = None,
    rng: int | np.random.Generator = 0,
    *,
    conditions: Conditions | None = None,
) -> xr.DataTree:
    """The scene that ``cubes.open`` would give of a real product.

    Args:
        truth: layers ``(y, x)`` of ``world.truth.LAYERS`` on a projected grid in metres; ``cover`` is needed,
            ``elevation`` gives slopes, shadows and thinner air (where it is undefined, the sea's level counts).
            ``truth.attrs['seed']`` names the fine variation of the ground. Lazy layers give lazy cubes.
        sensor: ``sentinel2_l1c``, ``sentinel2_l2a``, ``hls_s30``, ``hls_l30``, ``landsat8_oli``, ``landsat7_etm``,
            ``landsat5_tm`` or ``sentinel1_grd``.
        time: a date (the satellite then comes at its usual hour), or a moment in UTC; 1980 to 2100.
        level: processing level as in the sensor's file; may be left out where there is only one.
        rng: a seed, or a generator from which one is drawn (it stands in the attribute ``seed`` of the scene). The same
            seed and time give the same clouds to every sensor.
        conditions: what else to know; see ``Conditions``.

    Returns:
        One node per native grid (``grid_10m``): a cube with ``data`` (stored numbers, of the baseline that the date
        asks for), ``valid``, and on one of them ``quality`` ``(time, y, x)`` with the attribute ``scheme``. Native
        pixels lie on whole multiples of their size; those that the truth covers in part hold no data. Thermal and
        panchromatic bands are left out.

        A pixel holds the same bits whatever window of a truth is observed, as long as it lies ``margin(...)`` away
        from the window's edge, where the truth is continued by its outermost pixels.

    Raises:
        InputError: unknown sensor or level, no CRS, a date that cannot be, layers missing, the sun too low, a truth
            that is coarser than the sensor.
        ResourceError: the scene does not fit into memory.
    """
    said = conditions or Conditions()
    if sensor == RADAR:
        return _radar(truth, time, level, rng, said)
    plan = _plan(truth, sensor, time, level, rng, said)
    cells = _cells(plan)
    lazy = any(variable.chunks is not None for variable in truth.data_vars.values())
    if not lazy:
        _check_memory(plan, cells)
    pieces = _lazy_pieces(plan, truth, cells) if lazy else _eager_pieces(plan, truth, cells)
    attrs = _attrs(plan, said, cells)
    return tree_of([_cube(plan, index, cells, pieces, attrs) for index in range(len(plan.nodes))], attrs)


def masks(
    truth: xr.Dataset,
    sensor: str,
    time: Any,
    rng: int | np.random.Generator = 0,
    *,
    conditions: Conditions | None = None,
) -> xr.Dataset:
    """What is true of the sky in the scene that ``observe`` makes from the same arguments.

    Args:
        truth: as for ``observe``.
        sensor: as for ``observe``.
        time: as for ``observe``.
        rng: a seed; of a scene that was made with a generator, its attribute ``seed``.
        conditions: as for ``observe``.

    Returns:
        float32 ``(y, x)`` on pixels of 20 m for Sentinel-2 and 30 m for others: ``cloud_optical_thickness`` and
        ``cirrus_optical_thickness`` towards the satellite, ``shadow``: share of the sunlight that clouds take from the
        ground.

    Raises:
        InputError: as ``observe``.
    """
    plan = _plan(truth, sensor, time, None, rng, conditions or Conditions(), any_level=True)
    cells = _cells(plan)
    gsd = plan.mesh
    whole = plan.grid.native(gsd)
    arrays = [np.empty(whole.shape, np.float32) for _ in range(3)]
    for cell in cells.flat:
        sky = sky_over(plan, cell.sun, cell.part)
        target = cell.part.coarser(plan.grid.times(gsd))
        for array, values in zip(arrays, (*sky.seen, np.float32(1.0) - sky.passing), strict=True):
            array[target.within(whole)] = values[target.within(sky.place)]
    names = ("cloud_optical_thickness", "cirrus_optical_thickness", "shadow")
    box = plan.grid.geobox(gsd, whole)
    return xr.Dataset(
        {name: (("y", "x"), array, {"units": "1"}) for name, array in zip(names, arrays, strict=True)},
        coords=xr_coords(box, always_yx=True),
        attrs={"sensor": sensor, "time": str(plan.moment.time), "seed": plan.moment.seed},
    )


def margin(sensor: str, conditions: Conditions | None = None, gsd: float = 10.0) -> float:
    """How far from the edge of a truth its observation may differ from that of a larger one [m].

    Args:
        sensor: of ``observe``.
        conditions: of ``observe``.
        gsd: pixel of the truth [m].

    Returns:
        a multiple of 60 m: what the blur, the widest native pixel, slopes and shadows of terrain reach.

    Raises:
        InputError: unknown sensor.
    """
    said = conditions or Conditions()
    tool = instrument(sensor)
    blur = max(len(_blur(tool, name, said, gsd)) // 2 for name in tool.channels) * gsd
    relief = max(gsd, illumination.reach_pixels(gsd, said.terrain_reach) * gsd)
    return float(60 * -(-(blur + relief + 60.0) // 60))


@dataclass(frozen=True, eq=False)
class _Cell:
    """A block of a cell, in pixels of the truth, and the sun over the cell."""

    part: Rectangle
    sun: Ray


@dataclass(frozen=True, eq=False)
class _Cells:
    """The blocks that a truth touches, row by row."""

    rows: tuple[tuple[_Cell, ...], ...]

    @property
    def flat(self) -> list[_Cell]:
        return [cell for row in self.rows for cell in row]


def _plan(
    truth: xr.Dataset,
    sensor: str,
    time: Any,
    level: str | None,
    rng: int | np.random.Generator,
    said: Conditions,
    *,
    any_level: bool = False,
) -> Plan:
    """Check everything that can be checked without reading a pixel, and decide all that cells share."""
    tool = instrument(sensor)
    chosen = sensors.load(sensor)
    stage = next(iter(chosen.levels.values())) if any_level else chosen.level(level)
    grid = truth_grid(check_truth(truth))
    require_layers(truth, REQUIRED_OPTICAL, f"the sensor '{sensor}'")
    names = [band.name for band in stage.bands if band.name in tool.channels]
    pixels = {name: float(tool.pixel_m or tool.channels[name].gsd_m) for name in names}
    check_pixels(grid, pixels | {"quality": float(tool.quality_gsd_m)}, sensor)
    if 0 in grid.place.shape:
        raise InputError(
            f"The truth has {grid.place.height} x {grid.place.width} pixels",
            expected="at least one pixel",
            remedy="check the window that it was cut with",
        )
    moment = moment_of(truth, grid, time, tool.hour, rng, said)
    nodes = []
    for gsd in sorted(set(pixels.values())):
        here = tuple(name for name in names if pixels[name] == gsd)
        nodes.append(
            Node(
                gsd,
                here,
                _product_scaling(sensor, stage.name, tool, said, moment.time, here),
                raw_scaling(tool, sensor, here, said.baseline if stage.name == "L1" else None, moment.time),
                tuple(_blur(tool, name, said, grid.gsd) for name in here),
                tuple(name in tool.above for name in here),
                gsd == tool.quality_gsd_m,
            )
        )
    distance = float(earth_sun_distance(moment.time))
    plan = Plan(sensor, stage.name, tool, grid, moment, distance, tuple(nodes), "elevation" in truth)
    band_shapes(sensor, said.platform, plan.names)  # complains of unknown platforms and absent files
    return plan


def _product_scaling(
    sensor: str, level: str, tool: Instrument, said: Conditions, time: np.datetime64, names: tuple[str, ...]
) -> Scaling:
    if (sensor, level) == tool.raw:
        return raw_scaling(tool, sensor, names, said.baseline, time)
    return sensors.load(sensor).scaling(level, baseline=said.baseline, time=time, bands=names)


def _blur(tool: Instrument, name: str, said: Conditions, gsd: float) -> tuple[float, ...]:
    channel = tool.channels[name]
    return gaussian(channel.gsd_m, channel.transfer, gsd) if said.point_spread else (1.0,)


def block_size(gsd: float) -> int:
    """Side of the blocks that a truth with pixels of ``gsd`` metres is observed in [m]."""
    return next(side for finest, side in BLOCKS if gsd >= finest)


def _cells(plan: Plan) -> _Cells:
    """The blocks that the truth covers, each with the sun of its cell.

    Raises:
        InputError: the sun is too low somewhere.
    """
    grid = plan.grid
    side = block_size(grid.gsd)
    size = grid.times(side)
    over = grid.place.coarser(size)
    columns, rows = np.meshgrid(over.column + np.arange(over.width), over.row + np.arange(over.height))
    x = (columns.ravel() * side // CELL + 0.5) * CELL + grid.shift[0]
    y = -(rows.ravel() * side // CELL + 0.5) * CELL + grid.shift[1]
    suns = sun_over(grid, np.asarray(x, np.float64), np.asarray(y, np.float64), plan.moment)
    found = [
        _Cell(Rectangle(int(row) * size, int(column) * size, size, size).common(grid.place), sun)
        for row, column, sun in zip(rows.ravel(), columns.ravel(), suns, strict=True)
    ]
    return _Cells(tuple(tuple(found[start : start + over.width]) for start in range(0, len(found), over.width)))


def _window(truth: xr.Dataset, grid: TruthGrid, place: Rectangle, names: Sequence[str] | None = None) -> xr.Dataset:
    """Layers over a rectangle; beyond the truth its outermost pixels are repeated, with the coordinates they lie at."""
    known = grid.place
    picks: dict[str, Any] = {}
    for dim, first, count, start, size in (
        ("y", place.row, place.height, known.row, known.height),
        ("x", place.column, place.width, known.column, known.width),
    ):
        low = first - start
        inside = low >= 0 and low + count <= size
        picks[dim] = slice(low, low + count) if inside else np.clip(np.arange(low, low + count), 0, size - 1)
    layers = (truth if names is None else truth[list(names)]).isel(picks)
    bare = layers.drop_vars([name for name in layers.coords if name in ("y", "x", "spatial_ref")])
    return bare.assign_coords(xr_coords(grid.geobox(grid.gsd, place), always_yx=True))


def _inputs(plan: Plan, truth: xr.Dataset, part: Rectangle) -> tuple[xr.Dataset, xr.DataArray | None]:
    """What a part of a cell is made from."""
    layers = _window(truth, plan.grid, plan.surface(part))
    if not plan.terrain:
        return layers, None
    return layers, _window(truth, plan.grid, plan.relief(part), ["elevation"])["elevation"]


def _made(plan: Plan, sun: Ray, layers: xr.Dataset, elevation: Any, part: Rectangle) -> tuple[Made, ...]:
    if elevation is None:
        return render(plan, sun, layers, None, part)
    heights = np.asarray(elevation, np.float32)
    known = np.isfinite(heights)
    if not known.all():
        heights = np.where(known, heights, np.float32(0.0))
        own = plan.surface(part).within(plan.relief(part))
        layers = layers.assign(elevation=(("y", "x"), heights[own]))
    return render(plan, sun, layers, heights, part)


def _eager_pieces(plan: Plan, truth: xr.Dataset, cells: _Cells) -> list[list[tuple[Made, ...]]]:
    def make(cell: _Cell) -> tuple[Made, ...]:
        return _made(plan, cell.sun, *_inputs(plan, truth, cell.part), cell.part)

    threads = min(_THREADS, os.cpu_count() or 1, len(cells.flat))
    with ThreadPoolExecutor(threads) as pool:
        done = list(pool.map(make, cells.flat))
    width = len(cells.rows[0])
    return [done[start : start + width] for start in range(0, len(done), width)]


def _lazy_pieces(plan: Plan, truth: xr.Dataset, cells: _Cells) -> list[list[tuple[Made, ...]]]:
    """As ``_eager_pieces``, with dask arrays that one delayed call per cell makes."""
    make = delayed(_made, nout=len(plan.nodes), pure=False)

    def one(cell: _Cell) -> tuple[Made, ...]:
        layers, elevation = _inputs(plan, truth, cell.part)
        made = make(plan, cell.sun, layers, None if elevation is None else elevation.data, cell.part)
        pieces = []
        for node, piece in zip(plan.nodes, made, strict=True):
            shape = cell.part.coarser(plan.grid.times(node.gsd)).shape
            cube = (len(node.names), *shape)
            layer = da.from_delayed(piece.quality, shape, dtype=_quality_type(plan)) if node.quality else None
            data = da.from_delayed(piece.data, cube, dtype=stored_type(node.product))
            pieces.append(Made(data, da.from_delayed(piece.valid, cube, dtype=bool), layer))
        return tuple(pieces)

    return [[one(cell) for cell in row] for row in cells.rows]


def _quality_type(plan: Plan) -> np.dtype[Any]:
    return np.dtype(np.uint16 if plan.tool.scheme == "QA_PIXEL" else np.uint8)


def _cube(
    plan: Plan, index: int, cells: _Cells, pieces: list[list[tuple[Made, ...]]], attrs: dict[str, Any]
) -> xr.Dataset:
    """One node of the scene."""
    node = plan.nodes[index]
    made = [[piece[index] for piece in row] for row in pieces]

    def joined(parts: list[list[Any]]) -> Any:
        if isinstance(parts[0][0], da.Array):
            return da.concatenate([da.concatenate(row, axis=-1) for row in parts], axis=-2)
        return np.concatenate([np.concatenate(row, axis=-1) for row in parts], axis=-2)

    box = plan.grid.geobox(node.gsd, plan.grid.native(node.gsd))
    cube = cubes.make_cube(
        joined([[piece.data for piece in row] for row in made])[None],
        joined([[piece.valid for piece in row] for row in made])[None],
        box,
        node.product.bands,
        time=np.array([plan.moment.time]),
        scale=node.product.scale.tolist(),
        offset=node.product.offset.tolist(),
        stored=True,
        attrs=attrs,
    )
    if node.quality:
        layer = joined([[piece.quality for piece in row] for row in made])[None]
        cube["quality"] = (("time", "y", "x"), layer, {"scheme": plan.tool.scheme})
    return cube


def _attrs(plan: Plan, said: Conditions, cells: _Cells) -> dict[str, Any]:
    middle = cells.rows[len(cells.rows) // 2]
    sun = middle[len(middle) // 2].sun
    return {
        "sensor": plan.sensor,
        "level": plan.level,
        "baseline": plan.nodes[0].product.baseline,
        "source": f"simulated ({WORLD_VERSION})",
        "time_known": 1,
        "seed": plan.moment.seed,
        "platform": said.platform or "",
        "sun_zenith": round(sun.zenith, 4),
        "sun_azimuth": round(sun.azimuth, 4),
        "view_zenith": float(said.view_zenith),
        "view_azimuth": float(said.view_azimuth),
        "cloud_fraction": plan.moment.clouds[0].share,
        "aerosol_optical_depth": plan.moment.atmosphere.aerosol_optical_depth,
        "water_vapour": plan.moment.atmosphere.water_vapour_g_cm2,
    }


def _check_memory(plan: Plan, cells: _Cells) -> None:
    """Stop before a scene that cannot be held is begun.

    Raises:
        ResourceError: says how much is asked for, how much there is, and how to cut it up.
    """
    stored = sum(
        node_pixels(plan, node) * len(node.names) * (stored_type(node.product).itemsize + 1) for node in plan.nodes
    )
    largest = max(plan.relief(cell.part).height * plan.relief(cell.part).width for cell in cells.flat)
    working = largest * 4 * (_WORKING + 2 * len(plan.names)) * min(_THREADS, os.cpu_count() or 1)
    wanted, there = 2 * stored + working, available_memory()
    if there is not None and wanted > there:
        chunk = plan.grid.times(block_size(plan.grid.gsd))
        raise ResourceError(
            f"The scene of {plan.grid.place.height} x {plan.grid.place.width} pixels of the truth needs about "
            f"{wanted / 2**30:.1f} GiB and {there / 2**30:.1f} GiB of memory are free",
            expected="a scene that fits, or one that is made block by block",
            remedy=f"chunk the truth first, truth.chunk({{'y': {chunk}, 'x': {chunk}}}), so that the cubes are lazy, "
            "or observe smaller windows with margin()",
        )


def node_pixels(plan: Plan, node: Node) -> int:
    """Pixels of one native grid."""
    height, width = plan.grid.native(node.gsd).shape
    return height * width


def available_memory() -> int | None:
    """Bytes that this process may still take: the smaller of what the machine and its control group leave."""
    found: list[int] = []
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        found += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
        if limit != "max":
            found.append(int(limit) - int(Path("/sys/fs/cgroup/memory.current").read_text(encoding="ascii")))
    except (OSError, ValueError, IndexError):
        pass
    return min(found) if found else None


def _radar(
    truth: xr.Dataset, time: Any, level: str | None, rng: int | np.random.Generator, said: Conditions
) -> xr.DataTree:
    from swath.sources.world.render.conditions import acquisition_time, seed_of
    from swath.sources.world.render.radar import observe_radar

    grid = truth_grid(check_truth(truth))
    when = acquisition_time(time, grid, 6.0 if said.orbit == "descending" else 18.0)
    return observe_radar(truth, when, level, seed_of(rng), said)
