"""What is decided before a pixel of an observation is made: bands, native grids, scalings, blocks.

Cells are 6 km wide and lie at whole multiples of that in the plane of the CRS. In a cell the sun is that of its
centre (Sentinel-2 tells its angles every 5 km). Cells are made whole or, where the truth is very fine, in blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import xarray as xr

from swath import sensors
from swath.errors import InputError
from swath.sensors import Scaling
from swath.sources.world.render import illumination
from swath.sources.world.render.clouds import Ray
from swath.sources.world.render.conditions import Conditions, Moment, moment_of, sun_over
from swath.sources.world.render.instrument import Instrument, instrument
from swath.sources.world.render.numbers import raw_scaling
from swath.sources.world.render.resolution import Rectangle, TruthGrid, check_pixels, gaussian, truth_grid
from swath.sources.world.render.responses import BandWeights, band_weights, responses
from swath.sources.world.render.sun import earth_sun_distance
from swath.sources.world.truth import REQUIRED_OPTICAL, check_truth, require_layers

CELL = 6000
"""Metres along a side: whole pixels of 10, 20, 30 and 60 m."""

BLOCKS = ((5.0, 6000), (1.0, 1200), (0.0, 240))
"""Finest pixel of a truth [m] and side of the blocks that cells are made in [m]: at most 1200 pixels for most."""


@dataclass(frozen=True, eq=False)
class Node:
    """One native grid.

    Args:
        gsd: of its pixels [m].
        names: its bands.
        product: scaling of the stored numbers of these bands.
        raw: the same at level 1.
        blurs: taps of the blur of each band, on pixels of the truth.
        above: for each band whether it stays as seen from above the atmosphere.
        quality: whether this grid carries the quality layer.
    """

    gsd: float
    names: tuple[str, ...]
    product: Scaling
    raw: Scaling
    blurs: tuple[tuple[float, ...], ...]
    above: tuple[bool, ...]
    quality: bool


@dataclass(frozen=True, eq=False)
class Plan:
    """What all cells of an observation share.

    Args:
        sensor: name.
        level: of the product.
        tool: the instrument.
        grid: of the truth.
        moment: time, sky, atmosphere.
        distance: to the sun [astronomical units].
        nodes: finest first.
        terrain: whether the truth has an elevation.
    """

    sensor: str
    level: str
    tool: Instrument
    grid: TruthGrid
    moment: Moment
    distance: float
    nodes: tuple[Node, ...]
    terrain: bool

    @cached_property
    def names(self) -> tuple[str, ...]:
        """All bands, node by node."""
        return tuple(name for node in self.nodes for name in node.names)

    @cached_property
    def coarsest(self) -> int:
        """Pixels of the truth along the widest native pixel."""
        return max(self.grid.times(node.gsd) for node in self.nodes)

    @cached_property
    def blur(self) -> int:
        """Pixels of the truth that the blur reaches."""
        return max(len(taps) // 2 for node in self.nodes for taps in node.blurs)

    @property
    def shade(self) -> int:
        """Pixels of the truth that cast shadows and slopes reach, beyond the blur."""
        if not self.terrain:
            return 0
        return max(1, illumination.reach_pixels(self.grid.gsd, self.moment.said.terrain_reach))

    @property
    def mesh(self) -> float:
        """Pixel that clouds are worked out at [m]: 20 m for Sentinel-2, 30 m where all pixels are that wide."""
        return float(self.tool.pixel_m or 20)

    def core(self, part: Rectangle) -> Rectangle:
        """Pixels of the truth under the native pixels of a part of a cell."""
        return part.coarser(self.coarsest).finer(self.coarsest)

    def surface(self, part: Rectangle) -> Rectangle:
        """Pixels of the truth whose layers a part of a cell needs."""
        return self.core(part).pad(self.blur)

    def relief(self, part: Rectangle) -> Rectangle:
        """Pixels of the truth whose elevation it needs."""
        return self.surface(part).pad(self.shade)


@dataclass(frozen=True, eq=False)
class Block:
    """A block of a cell, in pixels of the truth, and the sun over the cell."""

    part: Rectangle
    sun: Ray


@dataclass(frozen=True, eq=False)
class Blocks:
    """The blocks that a truth touches, row by row."""

    rows: tuple[tuple[Block, ...], ...]

    @property
    def flat(self) -> list[Block]:
        """All of them."""
        return [cell for row in self.rows for cell in row]


def make_plan(
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
                tuple(blur_of(tool, name, said, grid.gsd) for name in here),
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


def blur_of(tool: Instrument, name: str, said: Conditions, gsd: float) -> tuple[float, ...]:
    """Taps of the blur of a band on pixels of ``gsd`` metres; one alone for a sensor without blur."""
    channel = tool.channels[name]
    return gaussian(channel.gsd_m, channel.transfer, gsd) if said.point_spread else (1.0,)


@lru_cache(maxsize=16)
def band_shapes(sensor: str, satellite: str | None, names: tuple[str, ...]) -> BandWeights:
    """What turns spectra into the bands of a satellite."""
    return band_weights(responses(sensor, satellite, names))


def block_size(gsd: float) -> int:
    """Side of the blocks that a truth with pixels of ``gsd`` metres is observed in [m]."""
    return next(side for finest, side in BLOCKS if gsd >= finest)


def blocks_of(plan: Plan) -> Blocks:
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
        Block(Rectangle(int(row) * size, int(column) * size, size, size).common(grid.place), sun)
        for row, column, sun in zip(rows.ravel(), columns.ravel(), suns, strict=True)
    ]
    return Blocks(tuple(tuple(found[start : start + over.width]) for start in range(0, len(found), over.width)))
