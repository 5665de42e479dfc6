"""Cut a scene and its labels or quantities into chips."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from swath import jobs
from swath.chips import pixels, store
from swath.chips.folder import FAILURES, appearing
from swath.chips.job import Groups, Job
from swath.chips.quantities import MEASURED, Quantities
from swath.chips.rows import Array
from swath.chips.tally import DropRules, Tally
from swath.chips.targets import VALUES, Targets
from swath.chips.windows import Windows, grid_windows
from swath.cubes import Legend, as_cube
from swath.errors import ConfigError, InputError, ResourceError
from swath.failures import Failures
from swath.types import Task

ROWS = 4
"""Rows of chips that a worker of a cluster cuts in one go."""


def cut(
    cube: xr.Dataset,
    labels: xr.DataArray | Array,
    out: Path | str,
    *,
    size: int,
    legend: Legend,
    stride: int | None = None,
    drop: DropRules | None = None,
    groups: Groups | None = None,
    windows: Windows | None = None,
    name_prefix: str = "",
    task: Task = "segmentation",
    cluster: str = "",
) -> store.ChipSet:
    """Cut a cube and its labels into chips, and write them as a chip set.

    The cube is read from top to bottom, each stored block of rows once; memory holds about one row of chips.
    The folder appears when everything is written. A chip set that lies there already is replaced, anything else is not.
    Windows that touch a block of the scene that cannot be read are left out; ``failures.csv`` lists them.

    Args:
        cube: ``data`` (time, band, y, x) and ``valid``; numbers are stored as they are.
        labels: legend values ``(y, x)``, ``IGNORE`` where unlabelled; another grid is sampled at the nearest pixel.
        out: folder to write.
        size: rows and columns of a chip.
        legend: the classes; the only values that ``labels`` may hold.
        stride: step between windows; default: ``size``.
        drop: which windows to leave out; default: ``DropRules()``.
        groups: group of each chip: a raster of whole numbers, where the most frequent one wins (names in
            ``attrs["legend"]``: a Legend, its JSON, or a mapping from value to name), or a mapping from chip id.
        windows: int ``(N, 2)`` as the window functions give; default: ``grid_windows``. They may reach beyond the
            scene, where pixels are invalid and unlabelled.
        name_prefix: put before every id, which is ``rROW_cCOLUMN``.
        task: ``segmentation``, or ``change`` where the labels say what changed between the dates of the cube.
        cluster: a dask cluster that cuts rows of chips instead, ``local:2`` or the address of a scheduler (see
            ``swath.jobs.Job``); the files are the same. It reads files; an array in memory travels with the work.

    Raises:
        ConfigError: another task, or dates were to be left out of the chips of a change.
        InputError: a change with one date, labels and scene do not overlap or fit, label values outside the legend, no
            window, nothing kept, or ``out`` holds something else.
        ContractError: the dataset is not a cube, or has no grid.
    """
    cube, rules = as_cube(cube), drop or DropRules()
    job = Job.of(cube, labels, groups, legend=legend, size=size, drop=rules, prefix=name_prefix)
    targets = _check_change(job) if task == "change" else None
    if task not in ("segmentation", "change"):
        raise ConfigError(
            f"Labels were to be cut for the task '{task}'",
            expected="segmentation or change",
            remedy="use cut_quantities for quantities per pixel, and label_from_table for one answer per chip",
        )
    chosen = windows if windows is not None else grid_windows(job.shape, size, stride)
    return _cut(job, chosen, Path(out), targets, cluster)


def cut_quantities(
    cube: xr.Dataset,
    quantities: Quantities,
    out: Path | str,
    *,
    size: int,
    stride: int | None = None,
    drop: DropRules | None = None,
    groups: Groups | None = None,
    windows: Windows | None = None,
    name_prefix: str = "",
    cluster: str = "",
) -> store.ChipSet:
    """Cut a cube and quantities per pixel into chips for ``pixel_regression``; all else as ``cut``.

    The label rasters say where at least one quantity is known, which is what ``DropRules.min_labelled`` counts.

    Args:
        cube: as ``cut``.
        quantities: see ``Quantities.of``; unknown pixels stay unknown and are masked.
        out: folder to write.
        size: rows and columns of a chip.
        stride: step between windows; default: ``size``.
        drop: which windows to leave out; default: ``DropRules()``.
        groups: as ``cut``.
        windows: as ``cut``.
        name_prefix: put before every id.
        cluster: as ``cut``.

    Raises:
        InputError: as ``cut``, or a quantity is unknown in every chip.
        ContractError: the dataset is not a cube, or has no grid.
    """
    cube, rules, legend = as_cube(cube), drop or DropRules(), Legend.from_names({MEASURED: "measured"})
    job = Job.of(cube, quantities, groups, legend=legend, size=size, drop=rules, prefix=name_prefix)
    targets = Targets("pixel_regression", quantities.names, quantities.units, quantities.source)
    chosen = windows if windows is not None else grid_windows(job.shape, size, stride)
    return _cut(job, chosen, Path(out), targets, cluster)


def _cut(job: Job, windows: Windows, out: Path, targets: Targets | None, cluster: str) -> store.ChipSet:
    """Cut, and let the folder appear when all is written."""
    chosen = _check_windows(windows, job)
    with appearing(out) as folder:
        for name in ("images", "labels", "valid", *([VALUES] if job.quantities else [])):
            (folder / name).mkdir()
        kept, tally = _run(job, folder, chosen) if not cluster else _run_shared(job, folder, chosen, cluster)
        if not kept:
            raise tally.nothing_kept(job.description.source, job.drop)
        if job.quantities is not None:
            _check_known(job.quantities, np.atleast_1d(tally.known))
        if not any((folder / "valid").iterdir()):
            (folder / "valid").rmdir()
        job.finish(pd.concat(kept, ignore_index=True), folder, tally)
        if targets is not None:
            targets.save(folder)
        tally.failures.save(folder / FAILURES)
    return store.open(out)


def _run(job: Job, folder: Path, windows: Windows) -> tuple[list[pd.DataFrame], Tally]:
    """Cut windows in this process."""
    tally = Tally()
    with pixels.environment():
        return [table for table in job.run(windows, folder, tally) if len(table)], tally


def _run_shared(job: Job, folder: Path, windows: Windows, cluster: str) -> tuple[list[pd.DataFrame], Tally]:
    """Cut windows on a cluster, some rows of chips at a time; chips whose workers die are failures."""
    starts = np.unique(windows[:, 0], return_index=True)[1]
    parts = np.split(windows, starts[ROWS::ROWS])
    failures, kept, tally, done = Failures(), list[pd.DataFrame](), Tally(), set[int]()
    how = jobs.Job(stage="cut", describe=lambda part: f"row {part[0, 0]}", cluster=cluster, shared=folder)
    for part, (tables, counted) in jobs.run_each(parts, partial(_run, job, folder), job=how, failures=failures):
        kept += tables
        tally.add(counted)
        done.add(int(part[0, 0]))
    lost = [part for part in parts if int(part[0, 0]) not in done]
    for part, why in zip(lost, failures, strict=True):
        tally.lose(part, job.description.size, job.description.source, why)
    if lost and not done:
        raise ResourceError(failures.rows[0].reason, expected="chips to be cut", remedy=failures.rows[0].retry)
    return kept, tally


def _check_change(job: Job) -> Targets:
    """A change needs two dates, and both in every chip."""
    if len(job.description.times) < 2:
        raise InputError(
            f"A change was asked for, and '{job.description.source}' has one date",
            expected="two or more dates",
            remedy="open the scenes of both dates together, or cut for segmentation",
        )
    if job.drop.min_date_valid > 0:
        raise ConfigError(
            f"min_date_valid = {job.drop.min_date_valid} for a change",
            expected="0, because a change lies between dates that every chip has",
            remedy="leave it out; clouded dates are masked",
        )
    return Targets("change", origin=job.labels.source)


def _check_known(quantities: Quantities, known: Array) -> None:
    empty = [name for name, count in zip(quantities.names, known.tolist(), strict=True) if count == 0]
    if empty:
        raise InputError(
            f"All chips lack the quantities {', '.join(empty)} of '{quantities.source}'",
            expected="at least one known pixel of every quantity",
            remedy="check the no-data value of the raster, or leave the quantity out",
        )


def _check_windows(windows: Windows, job: Job) -> Windows:
    """Different windows in order of row and column, all of which touch the scene."""
    size, shape = job.description.size, job.shape
    if windows.ndim != 2 or windows.shape[1] != 2 or windows.dtype.kind not in "iu":
        raise InputError(
            f"The windows are an array {windows.shape} of {windows.dtype}",
            expected="whole numbers (N, 2), each the first row and column of a chip",
            remedy="make them with grid_windows, random_windows or windows_at",
        )
    if len(windows) == 0:
        raise InputError(
            f"No window of {size} x {size} pixels fits the scene '{job.description.source}' ({shape[0]} x {shape[1]})",
            expected="at least one window",
            remedy="cut smaller chips, or give windows=grid_windows(shape, size, edge='pad')",
        )
    outside = (windows + size <= 0).any(axis=1) | (windows >= np.array(shape)).any(axis=1)
    if outside.any():
        raise InputError(
            f"{int(outside.sum())} windows lie outside the scene of {shape[0]} x {shape[1]} pixels, "
            f"the first at row {windows[outside][0][0]}, column {windows[outside][0][1]}",
            expected="windows that touch the scene",
            remedy="make them with the shape of this scene",
        )
    ordered: Windows = np.unique(windows, axis=0).astype(np.int64)
    return ordered
