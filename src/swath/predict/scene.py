"""Predict a whole scene: any size, bounded memory, no-data in = no-data out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from swath import cubes, grids
from swath.errors import ConfigError, ContractError, InputError
from swath.predict.fields import CLASS_TASKS, Group
from swath.predict.inputs import SceneInputs, part_of
from swath.predict.layers import Layer, groups_for, layers
from swath.predict.sweep import Finished, Sweep, Tally
from swath.predict.tiles import Axis, Plan, block_shape
from swath.types import Predictor

BUDGET = 192 * 2**20
"""Bytes for each of the three large buffers: the window that is read, the canvas, and the answer of one batch."""

GDAL_CACHE = 64 * 2**20
"""Bytes of GDAL's block cache; its default, 5 % of the machine's memory, would be most of what a prediction takes."""

SUFFIXES = (".tif", ".tiff")
"""Endings that an output may have."""

_AREA_STEP = 16  # pixels between the places where the areal scale of a projection is evaluated


@dataclass(frozen=True)
class PredictionReport:
    """What ``predict_scene`` did.

    Args:
        files: written file per output.
        shape: rows and columns of the scene.
        block: rows and columns of a super-block.
        batch_size: tiles per call of the predictor.
        tiles: distinct tiles of the scene.
        predicted: tiles given to the predictor, counting those that two strips need twice.
        skipped: tiles without a valid pixel, which no model saw; counted like ``predicted``.
        recompute: planned tiles over distinct tiles (see ``swath.predict.tiles``).
        model_s: seconds inside ``predictor.predict`` and the softmax.
        other_s: all other seconds: reading, cutting, blending, writing.
        valid_share: share of pixels with a prediction.
        pixels: number of pixels per class; empty for quantities.
        area_km2: area per class in square kilometres; empty where the grid has no areas, and for quantities.
    """

    files: dict[str, Path]
    shape: tuple[int, int]
    block: tuple[int, int]
    batch_size: int
    tiles: int
    predicted: int
    skipped: int
    recompute: float
    model_s: float
    other_s: float
    valid_share: float
    pixels: dict[str, int]
    area_km2: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        """The report for JSON; paths as text."""
        return {**asdict(self), "files": {name: str(path) for name, path in self.files.items()}}


def predict_scene(
    predictor: Predictor,
    cube: xr.Dataset,
    out: Path | str,
    *,
    tile: int = 256,
    overlap: int = 64,
    batch_size: int = 8,
    outputs: Sequence[str] = (),
    block: int = 2048,
    strict: bool = True,
    legend: cubes.Legend | None = None,
    progress: bool = True,
) -> PredictionReport:
    """Predict every valid pixel of a cube and write the maps as COGs.

    The scene is covered by one lattice of overlapping tiles; class probabilities (never votes) or means are blended
    with weights that add up to 1. All dates of the cube go to the model as one series. Memory depends on ``block``,
    ``tile`` and the number of classes, not on the size of the scene; super-blocks and batches become smaller by
    themselves where a buffer would take more than ``BUDGET`` bytes, which does not change the result. On a globe in
    degrees tiles reach across the antimeridian.

    Args:
        predictor: predicts every pixel (tasks segmentation, change, pixel_regression).
        cube: physical values and ``valid``; see docs/architecture.md.
        out: the file of the first output; others get ``_NAME`` before the suffix.
        tile: pixels of a tile; the predictor always sees (tile, tile), filled up with invalid pixels if need be.
        overlap: pixels that neighbouring tiles share, 0 to half a tile.
        batch_size: most tiles per call of the predictor.
        outputs: of ``class``, ``probability``, ``confidence`` (largest probability), ``entropy`` (0 sure to 1
            clueless), or ``mean`` for quantities; ``()`` = ``class`` or ``mean``.
        block: most rows of a super-block; only its upper and lower border cost recomputation (see the report).
        strict: a pixel gets a prediction if all wanted bands are valid there; otherwise if one is. A band of a series
            counts as valid if it is so on one date, for the task ``change`` on every date.
        legend: values and colours by class name; None = 0, 1, 2, ...
        progress: show a progress bar on standard error.

    Returns:
        Files, counts, seconds and areas.

    Raises:
        ConfigError: tile, overlap, batch size, block or outputs out of range, a task without value per pixel, or a
            name of an output that is no GeoTIFF, a folder, or the scene itself.
        InputError: a wanted band is missing, stored numbers are given for physical ones, or no pixel is valid.
        ContractError: the predictor's answer does not fit.
    """
    began = time.perf_counter()
    cube = cubes.as_cube(cube)
    wanted = layers(predictor, outputs, legend)
    files = _names(Path(out), wanted)
    _check_files(files, str(cube.attrs.get("source", "")))
    inputs = SceneInputs(cube, predictor.inputs)
    sweep = _plan(predictor, inputs, groups_for(predictor, wanted), tile, overlap, batch_size, block, strict)
    tally, counts = Tally(), _Counts(predictor, inputs.geobox)
    with ExitStack() as stack, torch.inference_mode(), rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE):
        bar = stack.enter_context(_bar(progress))
        job = bar.add_task("predicting", total=sweep.plan.computed)
        sinks = [stack.enter_context(_writer(layer, files[layer.name], inputs)) for layer in wanted]
        for finished in sweep.run(tally, lambda tiles: bar.advance(job, tiles)):
            _write(finished, wanted, sinks, counts)
        if not counts.valid:
            raise _nothing_valid(cube, strict)
    rows, columns = sweep.plan.rows, sweep.plan.columns
    return PredictionReport(
        files=files,
        shape=(rows.size, columns.size),
        block=(sweep.plan.height, sweep.plan.width),
        batch_size=sweep.batch_size,
        tiles=sweep.plan.distinct,
        predicted=tally.predicted,
        skipped=tally.skipped,
        recompute=sweep.plan.recompute,
        model_s=tally.model_s,
        other_s=time.perf_counter() - began - tally.model_s,
        valid_share=counts.valid / (rows.size * columns.size),
        pixels=counts.pixels(),
        area_km2=counts.area_km2(),
    )


def check_request(
    predictor: Predictor,
    out: Path | str,
    *,
    tile: int = 256,
    overlap: int = 64,
    outputs: Sequence[str] = (),
    source: Path | str = "",
) -> None:
    """Check what ``predict_scene`` is asked for before the scene is opened; arguments as there.

    Args:
        predictor: the model.
        out: the file of the first output.
        tile: pixels of a tile.
        overlap: pixels that neighbouring tiles share.
        outputs: names of the outputs.
        source: file or folder of the scene, which no output may replace.

    Raises:
        ConfigError: as ``predict_scene``.
    """
    Axis(1, tile, overlap)  # checks itself
    _check_files(_names(Path(out), layers(predictor, outputs, None)), str(source))


def _plan(
    predictor: Predictor,
    inputs: SceneInputs,
    groups: tuple[Group, ...],
    tile: int,
    overlap: int,
    batch_size: int,
    block: int,
    strict: bool,
) -> Sweep:
    """Lattice, super-blocks and batches that fit the budget."""
    for name, value in (("batch_size", batch_size), ("block", block)):
        if value < 1:
            raise ConfigError(f"'{name}' is {value}", expected="at least 1", remedy="leave it at its default")
    fields = sum(len(group.bands) for group in groups)
    height, width = (int(size) for size in inputs.geobox.shape)
    rows = Axis(height, tile, overlap)
    columns = Axis(width, tile, overlap, periodic=grids.is_global(inputs.geobox))
    channels = inputs.dates * len(inputs.bands)
    shape = block_shape(block, tile, layers=fields + 1, channels=channels, budget=BUDGET)
    most = max(1, BUDGET // (4 * tile * tile * max(fields, channels)))
    return Sweep(predictor, inputs, Plan(rows, columns, *shape), groups, min(batch_size, most), strict, BUDGET)


class _Counts:
    """Valid pixels, and pixels and area per class."""

    def __init__(self, predictor: Predictor, geobox: GeoBox) -> None:
        self.classes = predictor.classes if predictor.task in CLASS_TASKS else ()
        self.valid = 0
        self._geobox = geobox
        self._pixels = np.zeros(len(self.classes), dtype=np.int64)
        self._area = np.zeros(len(self.classes), dtype=np.float64)
        self._has_area = True

    def add(self, finished: Finished) -> None:
        """Count one finished window."""
        self.valid += int(finished.valid.sum())
        if not self.classes or finished.fields is None:
            return
        used = finished.fields.labels[finished.valid]
        self._pixels += np.bincount(used, minlength=len(self.classes))
        try:
            area = window_area_m2(self._geobox, finished.block.rows, finished.block.columns)
        except ContractError:  # a rotated grid in degrees
            self._has_area = False
        else:
            self._area += np.bincount(used, weights=area[finished.valid], minlength=len(self.classes))

    def pixels(self) -> dict[str, int]:
        """Number of pixels per class."""
        return {name: int(count) for name, count in zip(self.classes, self._pixels, strict=True)}

    def area_km2(self) -> dict[str, float]:
        """Area per class."""
        if not self._has_area:
            return {}
        return {name: float(area) / 1e6 for name, area in zip(self.classes, self._area, strict=True)}


def window_area_m2(geobox: GeoBox, rows: tuple[int, int], columns: tuple[int, int]) -> NDArray[np.float64]:
    """Pixel areas of a window in square metres, (y, x).

    Geographic grids: exact. Projected grids: the areal scale is evaluated every 16 pixels, which is enough for a
    quantity that changes over hundreds of kilometres.
    """
    height, width = rows[1] - rows[0], columns[1] - columns[0]
    start = (rows[0], columns[0])
    if geobox.crs is None or geobox.crs.geographic:
        return grids.cell_area_m2(part_of(geobox, start, (height, width)))
    coarse = part_of(geobox, start, (-(-height // _AREA_STEP), -(-width // _AREA_STEP)), _AREA_STEP)
    areas = grids.cell_area_m2(coarse) / _AREA_STEP**2
    return areas.repeat(_AREA_STEP, axis=0)[:height].repeat(_AREA_STEP, axis=1)[:, :width]


def _write(finished: Finished, wanted: Sequence[Layer], sinks: Sequence[cubes.CogWriter], counts: _Counts) -> None:
    if finished.fields is None:
        return  # the writer leaves no-data where nothing was written
    counts.add(finished)
    for layer, sink in zip(wanted, sinks, strict=True):
        sink.write(layer.encode(finished.fields, finished.valid), finished.block.rows[0], finished.block.columns[0])


def _writer(layer: Layer, path: Path, inputs: SceneInputs) -> cubes.CogWriter:
    writer = cubes.CogWriter(
        path,
        inputs.geobox,
        names=layer.bands,
        dtype=layer.dtype,
        nodata=layer.nodata,
        unit=layer.unit,
        legend=layer.legend,
        tags={"output": layer.name, "source": str(inputs.cube.attrs.get("source", ""))},
    )
    writer.scale = (layer.scale, 0.0)
    return writer


def _names(out: Path, wanted: Sequence[Layer]) -> dict[str, Path]:
    """The first output takes ``out``, others add their name to its stem."""
    _check_name(out)
    return {
        layer.name: out if position == 0 else out.with_name(f"{out.stem}_{layer.name}{out.suffix}")
        for position, layer in enumerate(wanted)
    }


def _check_files(files: Mapping[str, Path], source: str) -> None:
    """Refuse names that are no GeoTIFF, lie where a folder is, or would replace what is being read."""
    scene = Path(source).resolve() if source else None
    for path in files.values():
        _check_name(path)
        for written in (path, path.with_suffix(".qml")):
            place = written.resolve()
            if scene is not None and scene.exists() and (_same(place, scene) or place.parent == scene):
                raise ConfigError(
                    f"The output '{written}' would replace or join the scene '{source}'",
                    expected="a file that is no part of the scene",
                    remedy="choose another name or folder for the map",
                )


def _check_name(path: Path) -> None:
    if path.is_dir():
        raise ConfigError(
            f"The output '{path}' is a folder",
            expected=f"the name of a file, ending in {' or '.join(SUFFIXES)}",
            remedy="choose another name",
        )
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(
            f"The map was to be written to '{path}', with the suffix '{path.suffix}'",
            expected=f"a GeoTIFF: {' or '.join(SUFFIXES)}",
            remedy=f"write to '{path.with_suffix('.tif')}'",
        )


def _same(path: Path, scene: Path) -> bool:
    return path == scene or (path.exists() and path.samefile(scene))


def _bar(show: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} tiles"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not show,
    )


def _nothing_valid(cube: xr.Dataset, strict: bool) -> InputError:
    return InputError(
        f"No pixel of '{cube.attrs.get('source', 'the scene')}' can be predicted: every one is masked"
        + (" in at least one wanted band" if strict else ""),
        expected="at least one valid pixel",
        remedy="check the no-data value and the cloud mask"
        + (", or allow pixels that lack some bands with strict=False" if strict else ""),
    )
