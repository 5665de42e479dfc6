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
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import rasterio
import torch
import xarray as xr
from rich.progress import Progress

from swath import cubes
from swath.failures import Failure, Failures
from swath.predict.crew import Crew, check_can_be_shared, check_same, share
from swath.predict.fields import CLASS_TASKS
from swath.predict.layers import Layer, layers
from swath.predict.memory import release_free_memory, share_one_heap
from swath.predict.report import Counts, PredictionReport
from swath.predict.request import SceneJob, Tiling, planned
from swath.predict.resume import fingerprint, stamps_of
from swath.predict.strips import Output, StripFolder, StripWriter
from swath.predict.sweep import Finished, Tally
from swath.predict.targets import work_folder
from swath.predict.telling import changed, nothing_valid, progress_bar
from swath.types import Predictor

GDAL_CACHE = 32 * 2**20
"""Bytes of GDAL's block cache; its default, 5 % of the machine's memory, would be most of what a prediction takes."""

_WAITING = 2  # finished windows that may wait for the disk


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
    crew: Crew | None = None,
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
        crew: other processes that predict the strips; None = this one does.

    Raises:
        ConfigError: an option out of range, a task without value per pixel, an unusable name of an output, or a crew
            that cannot open the same.
        InputError: a wanted band is missing, numbers are not physical, no pixel is valid or can be read, or the scene
            was changed meanwhile.
        ContractError: the predictor's answer does not fit.
        ResourceError: the disk cannot take the maps, the crew failed (finished strips stay), or another run is on.
    """
    began = time.perf_counter()
    share_one_heap()
    cube, wanted = cubes.as_cube(cube), layers(predictor, outputs, legend, extra)
    tiling = Tiling(tile, overlap, batch_size, block, strict, on_error == "skip")
    job = planned(predictor, cube, Path(out), wanted, tiling)
    stable = fingerprint(predictor, cube, job.described(tile, overlap))
    shared = None if crew is None else _Shared(crew, Path(out), tiling, tuple(outputs), legend, stable, job.source)
    with ExitStack() as stack, torch.inference_mode(), rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE):
        folder = stack.enter_context(StripFolder(work_folder(Path(out)), stable, resume))
        predict = partial(_predict_with_bar, bar=stack.enter_context(progress_bar(progress)))
        return _run(job, folder, shared or predict, began, keep=stable is not None)


def _run(job: SceneJob, folder: StripFolder, predict: Predict, began: float, *, keep: bool) -> PredictionReport:
    """Predict what is left, make the maps, and report; strips stay for a rerun only if ``keep`` and some failed."""
    tally = Tally()
    todo = [number for number in range(job.strips) if not _done(folder, number)]
    predict(job, folder, todo, tally)
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


Predict = Callable[[SceneJob, StripFolder, Sequence[int], Tally], None]
"""Predicts the strips of these numbers and adds what they took."""


def _predict_with_bar(job: SceneJob, folder: StripFolder, todo: Sequence[int], tally: Tally, *, bar: Progress) -> None:
    """Predict strips in this process."""
    strips = list(job.plan.strips())
    task = bar.add_task("predicting", total=sum(block.tiles for number in todo for block in strips[number]))
    _predict(job, folder, todo, tally, lambda tiles: bar.advance(task, tiles))


@dataclass(frozen=True)
class _Shared:
    """Has strips predicted by a crew; travels to every one of it."""

    crew: Crew
    out: Path
    tiling: Tiling
    outputs: tuple[str, ...]
    legend: cubes.Legend | None
    stable: str | None
    source: str

    def __call__(self, job: SceneJob, folder: StripFolder, todo: Sequence[int], tally: Tally) -> None:
        """As ``Predict``.

        Raises:
            ConfigError: other processes cannot open the same.
            ResourceError: a strip could not be done.
        """
        check_can_be_shared(self.stable, self.source)
        for own in share(self.crew, todo, self.prepare, (str(folder.folder.resolve()), str(self.stable))):
            tally.model_s += own.model_s
            tally.chunks_read += own.chunks_read
            tally.chunks_needed += own.chunks_needed

    def prepare(
        self, predictor: Predictor, extra: Mapping[str, Layer] | None, cube: xr.Dataset
    ) -> Callable[[int], Tally]:
        """What does a strip in a process of the crew.

        Raises:
            ContractError: scene or model are others than those of whoever asked.
        """
        cube, wanted = cubes.as_cube(cube), layers(predictor, self.outputs, self.legend, extra)
        job = planned(predictor, cube, self.out, wanted, self.tiling)
        described = job.described(self.tiling.tile, self.tiling.overlap)
        check_same(self.stable, fingerprint(predictor, cube, described), self.source)
        folder = StripFolder(work_folder(self.out), self.stable, keep=True)  # not entered: whoever asked has the lock

        def strip(number: int) -> Tally:
            tally = Tally()
            with torch.inference_mode(), rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE):
                _predict(job, folder, [number], tally, lambda tiles: None)
            return Tally(model_s=tally.model_s, chunks_read=tally.chunks_read, chunks_needed=tally.chunks_needed)

        return strip


def _done(folder: StripFolder, strip: int) -> bool:
    record = folder.record(strip)
    return record is not None and not record["failures"]


def _predict(
    job: SceneJob, folder: StripFolder, todo: Collection[int], tally: Tally, advance: Callable[[int], None]
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

    def __init__(self, job: SceneJob, folder: StripFolder) -> None:
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


def _summary(job: SceneJob, folder: StripFolder) -> tuple[Counts, Tally, list[Failure]]:
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


def _assemble(job: SceneJob, folder: StripFolder) -> None:
    """Make all maps, then give them their names one after the other."""
    with ExitStack() as stack:
        writers = [stack.enter_context(_writer(layer, job)) for layer in job.wanted]
        for layer, writer in zip(job.wanted, writers, strict=True):
            writer.prepare(folder.parts(layer.name, job.plan.cuts))


def _writer(layer: Layer, job: SceneJob) -> cubes.CogWriter:
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
