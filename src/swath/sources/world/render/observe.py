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
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from dask.delayed import delayed
from odc.geo.xr import xr_coords

from swath import cubes
from swath.cubes.assemble import tree_of
from swath.errors import ResourceError
from swath.sources.world.render import illumination
from swath.sources.world.render.cell import Made, render, sky_over
from swath.sources.world.render.clouds import Ray
from swath.sources.world.render.conditions import Conditions
from swath.sources.world.render.instrument import RADAR, instrument
from swath.sources.world.render.numbers import stored_type
from swath.sources.world.render.plan import Block, Blocks, Node, Plan, block_size, blocks_of, blur_of, make_plan
from swath.sources.world.render.resolution import Rectangle, TruthGrid, truth_grid
from swath.sources.world.truth import WORLD_VERSION, check_truth

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
    plan = make_plan(truth, sensor, time, level, rng, said)
    blocks = blocks_of(plan)
    lazy = any(variable.chunks is not None for variable in truth.data_vars.values())
    if not lazy:
        _check_memory(plan, blocks)
    pieces = _lazy_pieces(plan, truth, blocks) if lazy else _eager_pieces(plan, truth, blocks)
    attrs = _attrs(plan, said, blocks)
    return tree_of([_cube(plan, index, blocks, pieces, attrs) for index in range(len(plan.nodes))], attrs)


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
    plan = make_plan(truth, sensor, time, None, rng, conditions or Conditions(), any_level=True)
    blocks = blocks_of(plan)
    gsd = plan.mesh
    whole = plan.grid.native(gsd)
    arrays = [np.empty(whole.shape, np.float32) for _ in range(3)]
    for block in blocks.flat:
        sky = sky_over(plan, block.sun, block.part)
        target = block.part.coarser(plan.grid.times(gsd))
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
    blur = max(len(blur_of(tool, name, said, gsd)) // 2 for name in tool.channels) * gsd
    relief = max(gsd, illumination.reach_pixels(gsd, said.terrain_reach) * gsd)
    return float(60 * -(-(blur + relief + 60.0) // 60))


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


def _eager_pieces(plan: Plan, truth: xr.Dataset, blocks: Blocks) -> list[list[tuple[Made, ...]]]:
    def make(block: Block) -> tuple[Made, ...]:
        return _made(plan, block.sun, *_inputs(plan, truth, block.part), block.part)

    threads = min(_THREADS, os.cpu_count() or 1, len(blocks.flat))
    with ThreadPoolExecutor(threads) as pool:
        done = list(pool.map(make, blocks.flat))
    width = len(blocks.rows[0])
    return [done[start : start + width] for start in range(0, len(done), width)]


def _lazy_pieces(plan: Plan, truth: xr.Dataset, blocks: Blocks) -> list[list[tuple[Made, ...]]]:
    """As ``_eager_pieces``, with dask arrays that one delayed call per cell makes."""
    make = delayed(_made, nout=len(plan.nodes), pure=False)

    def one(block: Block) -> tuple[Made, ...]:
        layers, elevation = _inputs(plan, truth, block.part)
        made = make(plan, block.sun, layers, None if elevation is None else elevation.data, block.part)
        pieces = []
        for node, piece in zip(plan.nodes, made, strict=True):
            shape = block.part.coarser(plan.grid.times(node.gsd)).shape
            cube = (len(node.names), *shape)
            layer = da.from_delayed(piece.quality, shape, dtype=_quality_type(plan)) if node.quality else None
            data = da.from_delayed(piece.data, cube, dtype=stored_type(node.product))
            pieces.append(Made(data, da.from_delayed(piece.valid, cube, dtype=bool), layer))
        return tuple(pieces)

    return [[one(block) for block in row] for row in blocks.rows]


def _quality_type(plan: Plan) -> np.dtype[Any]:
    return np.dtype(np.uint16 if plan.tool.scheme == "QA_PIXEL" else np.uint8)


def _cube(
    plan: Plan, index: int, blocks: Blocks, pieces: list[list[tuple[Made, ...]]], attrs: dict[str, Any]
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


def _attrs(plan: Plan, said: Conditions, blocks: Blocks) -> dict[str, Any]:
    middle = blocks.rows[len(blocks.rows) // 2]
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


def _check_memory(plan: Plan, blocks: Blocks) -> None:
    """Stop before a scene that cannot be held is begun.

    Raises:
        ResourceError: says how much is asked for, how much there is, and how to cut it up.
    """
    stored = sum(
        node_pixels(plan, node) * len(node.names) * (stored_type(node.product).itemsize + 1) for node in plan.nodes
    )
    largest = max(plan.relief(block.part).height * plan.relief(block.part).width for block in blocks.flat)
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
    """Bytes that this process may still take: the smaller of what the machine and its control group leave.

    None on systems that tell neither (others than Linux); then no request is refused for its size.
    """
    found = []
    for line in _lines("/proc/meminfo"):
        name, _, amount = line.partition(":")
        if name == "MemAvailable" and amount.split()[:1] and amount.split()[0].isdigit():
            found.append(int(amount.split()[0]) * 1024)
    limit, used = (_lines(f"/sys/fs/cgroup/memory.{name}") for name in ("max", "current"))
    if limit and used and limit[0].isdigit() and used[0].isdigit():  # the limit may be the word "max"
        found.append(int(limit[0]) - int(used[0]))
    return min(found) if found else None


def _lines(path: str) -> list[str]:
    """Lines of a file of the system; none where there is no such file."""
    file = Path(path)
    return file.read_text(encoding="ascii").splitlines() if file.is_file() else []


def _radar(
    truth: xr.Dataset, time: Any, level: str | None, rng: int | np.random.Generator, said: Conditions
) -> xr.DataTree:
    from swath.sources.world.render.conditions import acquisition_time, seed_of
    from swath.sources.world.render.radar import observe_radar

    grid = truth_grid(check_truth(truth))
    when = acquisition_time(time, grid, 6.0 if said.orbit == "descending" else 18.0)
    return observe_radar(truth, when, level, seed_of(rng), said)
