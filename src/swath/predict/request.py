"""A request to map a scene, checked and planned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox

from swath import grids
from swath.errors import ConfigError
from swath.predict.fields import output_stride
from swath.predict.inputs import SceneInputs, coarser
from swath.predict.layers import Layer, groups_for, layers
from swath.predict.sweep import Sweep
from swath.predict.targets import check_files, failure_table, file_names
from swath.predict.tiles import Axis, Plan, block_shape, check_overlap
from swath.types import Predictor

BUDGET = 40 * 2**20
"""Bytes for each of the large buffers: two windows that are read, rows kept for the next strip, and one batch."""

MANY = 64
"""Layers beyond which the answer for one tile takes so much that reading has to do with a third of ``BUDGET``."""

CANVAS = 128 * 2**20
"""Bytes of the canvas on which tiles are blended."""


@dataclass(frozen=True)
class Tiling:
    """How the scene is cut; see ``predict_scene``."""

    tile: int
    overlap: int
    batch_size: int
    block: int
    strict: bool
    skip_errors: bool


def _plan(predictor: Predictor, inputs: SceneInputs, wanted: Sequence[Layer], tiling: Tiling) -> Sweep:
    """Lattice, super-blocks and batches that fit the budget."""
    for name, value in (("batch_size", tiling.batch_size), ("block", tiling.block)):
        if value < 1:
            raise ConfigError(f"'{name}' is {value}", expected="at least 1", remedy="leave it at its default")
    check_overlap(tiling.overlap, tiling.tile)
    _check_stride(predictor, tiling.tile, tiling.overlap)
    groups, step = groups_for(predictor, wanted), output_stride(predictor)
    fields = sum(len(group.bands) for group in groups)
    height, width = (int(size) for size in inputs.geobox.shape)
    tile, overlap = tiling.tile // step, tiling.overlap // step
    rows = Axis(-(-height // step), tile, overlap)
    columns = Axis(-(-width // step), tile, overlap, periodic=grids.is_global(inputs.geobox) and width % step == 0)
    channels = inputs.dates * len(inputs.bands)
    budget = BUDGET if fields <= MANY else BUDGET // 3
    block = -(-tiling.block // step) + tile  # room to end a strip where a chunk does
    read = block_shape(block, tile, layers=0, channels=channels * step**2, budget=budget)
    shape = block_shape(read[0], tile, layers=fields + 1, channels=0, budget=CANVAS)
    ends = np.cumsum(inputs.cube["data"].chunksizes.get("y", ()), dtype=np.int64) // step
    plan = Plan(rows, columns, shape[0], min(read[1], shape[1]), tuple(int(end) for end in ends))
    most = max(1, BUDGET // (4 * tile * tile * max(fields, channels * step**2)))
    batch_size = min(tiling.batch_size, most, plan.distinct)
    return Sweep(predictor, inputs, plan, groups, batch_size, tiling.strict, budget, tiling.skip_errors)


def _check_stride(predictor: Predictor, tile: int, overlap: int) -> None:
    step = output_stride(predictor)
    for name, value in (("tile", tile), ("overlap", overlap)):
        if value % step:
            raise ConfigError(
                f"The {name} is {value} pixels, and the model gives one number for {step} x {step} pixels",
                expected=f"a multiple of {step}",
                remedy=f"use {value // step * step or step if name == 'tile' else value // step * step}",
            )


@dataclass(frozen=True, eq=False)
class SceneJob:
    """One request, checked."""

    predictor: Predictor
    inputs: SceneInputs
    wanted: tuple[Layer, ...]
    files: Mapping[str, Path]
    sweep: Sweep
    geobox: GeoBox
    failure_table: Path

    @property
    def plan(self) -> Plan:
        """Its strips."""
        return self.sweep.plan

    @property
    def strips(self) -> int:
        """Number of strips."""
        return len(self.plan.cuts) - 1

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the map."""
        return self.plan.rows.size, self.plan.columns.size

    def described(self, tile: int, overlap: int) -> dict[str, Any]:
        """What, beside model and scene, the strips depend on."""
        sweep = self.sweep
        tiling = (tile, overlap, sweep.batch_size, sweep.strict, self.plan.cuts, self.plan.width)
        return {"tiling": tiling, "wanted": self.wanted}

    @property
    def source(self) -> str:
        """What the scene is called."""
        return str(self.inputs.cube.attrs.get("source", "the scene"))


def planned(predictor: Predictor, cube: xr.Dataset, out: Path, wanted: tuple[Layer, ...], tiling: Tiling) -> SceneJob:
    """Check a request and plan it."""
    files = file_names(out, wanted)
    check_files(files, str(cube.attrs.get("source", "")))
    inputs = SceneInputs(cube, predictor.inputs)
    sweep = _plan(predictor, inputs, wanted, tiling)
    return SceneJob(predictor, inputs, wanted, files, sweep, coarser(inputs.geobox, sweep.scale), failure_table(out))


def check_request(
    predictor: Predictor,
    out: Path | str,
    *,
    tile: int = 256,
    overlap: int = 64,
    outputs: Sequence[str] = (),
    source: Path | str = "",
    extra: Mapping[str, Layer] | None = None,
) -> None:
    """Check what ``predict_scene`` is asked for before the scene is opened; arguments as there.

    Args:
        predictor: the model.
        out: the file of the first output.
        tile: pixels of a tile.
        overlap: pixels that neighbouring tiles share.
        outputs: names of the outputs.
        source: file or folder of the scene, which no output may replace.
        extra: further layers by output name.

    Raises:
        ConfigError: as ``predict_scene``.
    """
    check_overlap(overlap, tile)
    _check_stride(predictor, tile, overlap)
    check_files(file_names(Path(out), layers(predictor, outputs, None, extra)), str(source))
