"""Predict a whole scene: any size, bounded memory, no-data in = no-data out, resumable.

The scene is covered by one lattice of overlapping tiles; class probabilities (never votes) or means are blended with
weights that add up to 1. All dates of the cube go to the model as one series. Memory depends on super-block, tile and
number of classes, not on the size of the scene; super-blocks and batches become smaller by themselves where a buffer
would take more than ``BUDGET`` bytes. On a globe in degrees tiles reach across the antimeridian.

The maps do not depend on the size of super-blocks, nor on the threads that read and write. The predictor is always
given full batches; with another batch size a network may differ in the last bits, so that fields agree to about 1e-6.

Finished strips lie in a hidden folder beside the map until all is done. A run that was stopped, however hard, goes on
with them when it is started again with the same weights, scene and options, and gives the same bytes. A cube in memory,
a scene at an address, or a predictor without a lasting description begins anew.
"""

from __future__ import annotations

import itertools
import math
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import rasterio
import torch
import xarray as xr
from odc.geo.geobox import GeoBox
from rich.progress import Progress

from swath import cubes, grids
from swath.errors import ConfigError
from swath.failures import Failure, Failures
from swath.predict.fields import CLASS_TASKS, output_stride
from swath.predict.inputs import SceneInputs, coarser
from swath.predict.layers import Layer, groups_for, layers
from swath.predict.memory import release_free_memory, share_one_heap
from swath.predict.report import Counts, PredictionReport
from swath.predict.resume import fingerprint, stamps_of
from swath.predict.strips import Output, StripFolder, StripWriter
from swath.predict.sweep import Finished, Sweep, Tally
from swath.predict.targets import check_files, failure_table, file_names, work_folder
from swath.predict.telling import changed, nothing_valid, progress_bar
from swath.predict.tiles import Axis, Plan, block_shape, check_overlap
from swath.types import Predictor

BUDGET = 40 * 2**20
"""Bytes for each of the large buffers: two windows that are read, rows kept for the next strip, and one batch."""

MANY = 64
"""Layers beyond which the answer for one tile takes so much that reading has to do with a third of ``BUDGET``."""

CANVAS = 128 * 2**20
"""Bytes of the canvas on which tiles are blended."""

GDAL_CACHE = 32 * 2**20
"""Bytes of GDAL's block cache; its default, 5 % of the machine's memory, would be most of what a prediction takes."""

_WAITING = 2  # finished windows that may wait for the disk


@dataclass(frozen=True, eq=False)
class _Job:
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
    extra: Mapping[str, Layer] | None = None,
    resume: bool = True,
    on_error: Literal["skip", "stop"] = "skip",
    progress: bool = True,
) -> PredictionReport:
    """Predict every valid pixel of a cube and write the maps as COGs; how, says the module.

    Args:
        predictor: predicts every pixel (tasks segmentation, change, pixel_regression, embedding). With an attribute
            ``output_stride`` s, its output and the map have one pixel for s x s pixels of the scene.
        cube: physical values and ``valid``; see docs/architecture.md.
        out: the file of the first output; others get ``_NAME`` before the suffix.
        tile: pixels of a tile; the predictor always sees (tile, tile), filled up with invalid pixels if need be.
        overlap: pixels that neighbouring tiles share, 0 to half a tile.
        batch_size: tiles per call of the predictor, fewer where memory is short or the scene has fewer.
        outputs: see ``swath.predict.layers``; ``()`` = the usual one of the task.
        block: rows of a super-block, about; only its upper and lower border cost recomputation (see the report).
        strict: a pixel gets a prediction if all wanted bands are valid there; otherwise if one is. A band of a series
            counts as valid if it is so on one date, for the task ``change`` on every date. A pixel of a coarser map
            gets one if all (otherwise: any) of its pixels in the scene do.
        legend: values and colours by class name; None = 0, 1, 2, ...
        extra: further layers by output name, such as those of conformal sets.
        resume: take the strips that an earlier run has finished.
        on_error: ``skip``: stored chunks that cannot be read become no-data and are listed in the report and in
            ``NAME.failures.csv``; a rerun repeats only their strips. ``stop``: they are an error.
        progress: show a progress bar on standard error.

    Raises:
        ConfigError: an option out of range, a task without value per pixel, or an unusable name of an output.
        InputError: a wanted band is missing, numbers are not physical, no pixel is valid or can be read, or the scene
            was changed meanwhile.
        ContractError: the predictor's answer does not fit.
        ResourceError: disk or folder cannot take the maps (finished strips stay), or another run is writing them.
    """
    began = time.perf_counter()
    share_one_heap()
    cube, wanted = cubes.as_cube(cube), layers(predictor, outputs, legend, extra)
    tiling = _Tiling(tile, overlap, batch_size, block, strict, on_error == "skip")
    job = _job(predictor, cube, Path(out), wanted, tiling)
    stable = fingerprint(predictor, cube, job.described(tile, overlap))
    with ExitStack() as stack, torch.inference_mode(), rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE):
        folder = stack.enter_context(StripFolder(work_folder(Path(out)), stable, resume))
        return _run(job, folder, stack.enter_context(progress_bar(progress)), began, keep=stable is not None)


def _job(predictor: Predictor, cube: xr.Dataset, out: Path, wanted: tuple[Layer, ...], tiling: _Tiling) -> _Job:
    """Check a request and plan it."""
    files = file_names(out, wanted)
    check_files(files, str(cube.attrs.get("source", "")))
    inputs = SceneInputs(cube, predictor.inputs)
    sweep = _plan(predictor, inputs, wanted, tiling)
    return _Job(predictor, inputs, wanted, files, sweep, coarser(inputs.geobox, sweep.scale), failure_table(out))


def _run(job: _Job, folder: StripFolder, bar: Progress, began: float, *, keep: bool) -> PredictionReport:
    """Predict what is left, make the maps, and report; strips stay for a rerun only if ``keep`` and some failed."""
    tally = Tally()
    todo = _predict_with_bar(job, folder, tally, bar)
    counts, totals, failures = _summary(job, folder)
    if not counts.valid:
        folder.remove()
        raise nothing_valid(job.source, failures, strict=job.sweep.strict)
    _assemble(job, folder)
    table = Failures(failures).save(job.failure_table)
    if not (failures and keep):
        folder.remove()
    return PredictionReport(
        files=dict(job.files),
        shape=job.shape,
        block=(job.plan.height, job.plan.width),
        batch_size=job.sweep.batch_size,
        tiles=job.plan.distinct,
        predicted=totals.predicted,
        skipped=totals.skipped,
        recompute=job.plan.recompute,
        model_s=tally.model_s,
        other_s=time.perf_counter() - began - tally.model_s,
        valid_share=counts.valid / math.prod(job.shape),
        pixels=counts.pixels(),
        area_km2=counts.area_km2(),
        strips=job.strips,
        resumed=job.strips - len(todo),
        chunks_read=tally.chunks_read,
        chunks_needed=tally.chunks_needed,
        seams=totals.seams.result(job.predictor.task in CLASS_TASKS),
        failures=tuple(failures),
        failure_table=table,
    )


def _predict_with_bar(job: _Job, folder: StripFolder, tally: Tally, bar: Progress) -> list[int]:
    """Predict the strips that no earlier run has finished; gives their numbers."""
    strips = list(job.plan.strips())
    todo = [number for number in range(len(strips)) if not _done(folder, number)]
    task = bar.add_task("predicting", total=sum(block.tiles for number in todo for block in strips[number]))
    _predict(job, folder, todo, tally, lambda tiles: bar.advance(task, tiles))
    return todo


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


@dataclass(frozen=True)
class _Tiling:
    """How the scene is cut; see ``predict_scene``."""

    tile: int
    overlap: int
    batch_size: int
    block: int
    strict: bool
    skip_errors: bool


def _plan(predictor: Predictor, inputs: SceneInputs, wanted: Sequence[Layer], tiling: _Tiling) -> Sweep:
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


def _done(folder: StripFolder, strip: int) -> bool:
    record = folder.record(strip)
    return record is not None and not record["failures"]


def _predict(
    job: _Job, folder: StripFolder, todo: Collection[int], tally: Tally, advance: Callable[[int], None]
) -> None:
    """Predict the strips that are left; encoding and writing happen in a thread of their own."""
    stamps = stamps_of(job.inputs.cube)
    shelf = _Shelf(job, folder)
    waiting: deque[Future[None]] = deque()
    with ExitStack() as stack:
        stack.callback(shelf.writer.close)
        pool = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="swath-write"))
        for finished in job.sweep.run(tally, advance, todo):
            if finished.last and stamps_of(job.inputs.cube) != stamps:
                raise changed(job.source)
            waiting.append(pool.submit(shelf.put, finished))
            release_free_memory()
            while len(waiting) > _WAITING:
                waiting.popleft().result()
        for future in waiting:
            future.result()


class _Shelf:
    """Counts, encodes and stores finished windows, strip by strip; used in one thread."""

    def __init__(self, job: _Job, folder: StripFolder) -> None:
        cuts = job.plan.cuts
        rows = [bottom - top for top, bottom in itertools.pairwise(cuts)]
        stored = [Output(each.name, len(each.bands), np.dtype(each.dtype), each.nodata) for each in job.wanted]
        self.writer = StripWriter(folder, stored, rows, job.plan.columns.size, job.plan.width)
        self._job = job
        self._counts = Counts(job.predictor, job.geobox)
        self._failed = False

    def put(self, finished: Finished) -> None:
        """Take one window; the last one of a strip makes the strip count.

        Windows that were already waiting when one failed must not make the strip count without it.
        """
        if self._failed:
            return
        try:
            self._put(finished)
        except BaseException:
            self._failed = True
            raise

    def _put(self, finished: Finished) -> None:
        if finished.fields is not None:
            self._counts.add(finished)
            fields, valid = finished.fields, finished.valid
            arrays = {layer.name: layer.encode(fields, valid) for layer in self._job.wanted}
            self.writer.write(finished.strip, arrays, finished.block.columns[0])
        if finished.counted is not None:
            counted = finished.counted
            record = {
                "counts": self._counts.as_dict(),
                "predicted": counted.predicted,
                "skipped": counted.skipped,
                "seams": counted.seams.as_dict(),
                "failures": [asdict(failure) for failure in counted.failures],
            }
            self.writer.finish(finished.strip, record)
            self._counts = Counts(self._job.predictor, self._job.geobox)


def _summary(job: _Job, folder: StripFolder) -> tuple[Counts, Tally, list[Failure]]:
    """The records of all strips together, in their order."""
    counts, totals, failures = Counts(job.predictor, job.geobox), Tally(), dict[str, Failure]()
    for strip in range(len(job.plan.cuts) - 1):
        record: Mapping[str, Any] = folder.record(strip) or {}
        counts.merge(record["counts"])
        totals.predicted += record["predicted"]
        totals.skipped += record["skipped"]
        totals.seams.add(record["seams"])
        for row in record["failures"]:
            failures.setdefault(row["item"], Failure(**row))
    return counts, totals, list(failures.values())


def _assemble(job: _Job, folder: StripFolder) -> None:
    """Make all maps, then give them their names one after the other."""
    with ExitStack() as stack:
        writers = [stack.enter_context(_writer(layer, job)) for layer in job.wanted]
        for layer, writer in zip(job.wanted, writers, strict=True):
            writer.prepare(folder.parts(layer.name, job.plan.cuts))


def _writer(layer: Layer, job: _Job) -> cubes.CogWriter:
    return cubes.CogWriter(
        job.files[layer.name],
        job.geobox,
        names=layer.bands,
        dtype=layer.dtype,
        nodata=layer.nodata,
        unit=layer.unit,
        scale=(layer.scale, 0.0),
        legend=layer.legend,
        tags={"output": layer.name, "source": str(job.inputs.cube.attrs.get("source", ""))},
    )
