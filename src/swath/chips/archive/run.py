"""Chips from an archive: for points, label rasters or boxes; resumable, past whatever is damaged."""

from __future__ import annotations

import functools
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from odc.geo.geobox import GeoBox

from swath.chips.archive.boxes import MOST, Box, check_box, grid_of
from swath.chips.archive.cloudless import SCHEME
from swath.chips.archive.cut import OBSERVED, RECORDS, Cutting, cut_batch
from swath.chips.archive.gather import MARK, gather, is_current, read_records, request_text, save_failures
from swath.chips.archive.lattice import Lattice
from swath.chips.archive.plan import Plan, group_of, named, plan_points, wanted_texts
from swath.chips.archive.points import class_labels, quantities
from swath.chips.archive.rasters import label_grids, outlines_of, stamp
from swath.chips.archive.request import Request, nothing
from swath.chips.archive.tiles import tile_of
from swath.chips.archive.work import Work, found_scenes, lattice_of_boxes, lattice_of_points, locate, snapped
from swath.chips.folder import FAILURES
from swath.cubes import Legend, cloudless
from swath.cubes.catalogue import Item
from swath.errors import ConfigError, InputError
from swath.failures import Failures
from swath.files import make_folder
from swath.jobs import Job, run_each

if TYPE_CHECKING:
    from pandas import Series

BATCH = 16
"""Chips that are read in one go, where they share their scenes."""


@dataclass(frozen=True)
class Report:
    """What came of it.

    Args:
        folder: the chip set.
        chips: chips in the set.
        made: chips cut in this run.
        counts: observations and chips left out by the rules of the request, by reason.
        failures: what could not be done.
        table: the failure table, or None.
    """

    folder: Path
    chips: int
    made: int
    counts: Mapping[str, int]
    failures: Failures
    table: Path | None


def from_points(
    place: Path | str, points: pd.DataFrame, out: Path | str, *, request: Request, legend: Legend | None = None,
    workers: int = 0, progress: bool = False, cluster: str = "",
) -> Report:  # fmt: skip
    """Chips around point observations.

    Args:
        place: the catalogue: a folder, its JSON file, or whatever else ``cubes.catalogue.search`` takes.
        points: as ``read_points`` gives them.
        out: folder of the chip set; a set that this function made before goes on where it stopped.
        request: options.
        legend: classes; guessed from the labels when left out.
        workers: processes; 0 works in this one.
        progress: whether to show a progress bar.
        cluster: a dask cluster that cuts instead, ``local:2`` or the address of a scheduler (see ``swath.jobs.Job``).

    Raises:
        InputError: a label is no class, or nothing at all is found (what was missing, and what was nearest).
    """
    work = Work(place, points.assign(outcome="", chip="", y=-1, x=-1).reset_index(drop=True))
    if request.task == "segmentation":
        work.table["value"], legend = class_labels(points, legend, "the table")
    else:
        work.table["value"], legend = quantities(points, "the table"), OBSERVED
    work.table["tile"] = tile_of(points["lon"].to_numpy(), points["lat"].to_numpy())
    cutting = _cutting(out, request, legend)
    repeated = work.table.duplicated(["lon", "lat", "when", "value"])
    work.outcome(repeated, "duplicate")
    sizes = work.open["tile"].map(work.open["tile"].value_counts())
    work.outcome(sizes.index[sizes < request.min_count], "too few in the tile")
    if work.open.empty:
        raise nothing(
            f"No tile of 100 km has {request.min_count} observations; the fullest has {int(sizes.max())}",
            "lower min_count (--min-count)",
        )
    scenes = found_scenes(work, request)
    lattice, grids = lattice_of_points(scenes, work, request)
    rest = work.open
    plans, pins = plan_points(rest.reset_index(drop=True), [scenes[at] for at in rest.index], lattice, grids, request)
    work.table.loc[rest.index, ["chip", "y", "x"]] = pins
    work.outcome(rest.index[pins["chip"].to_numpy() == ""], "in a partial cell")
    return _make(plans, lattice, cutting, work, _job(workers, progress, cluster))


def from_rasters(
    place: Path | str, records: pd.DataFrame, out: Path | str, *, request: Request, legend: Legend | None = None,
    label_nodata: float | None = None, check: bool = True, workers: int = 0, progress: bool = False, cluster: str = "",
) -> Report:  # fmt: skip
    """Chips over label rasters, each on the pixels of its own raster.

    A set has one lattice, that of the first raster by name; others lie on it to the nearest pixel (how far off is in
    their record), while scenes are sampled at the raster's own pixels.

    Args:
        place: as ``from_points``.
        records: as ``rasters.read_records`` gives them.
        out: as ``from_points``.
        request: options; CRS and resolution are those of the rasters.
        legend: classes; needed for segmentation.
        label_nodata: number for "no label", where the files do not declare it.
        check: whether labels follow the masks, and chips without a label left are left out.
        workers: as ``from_points``.
        progress: as ``from_points``.
        cluster: as ``from_points``.

    Raises:
        ConfigError: no legend, or CRS and resolution were asked for.
        InputError: nothing at all is found.
    """
    if request.crs is not None or (legend is None and request.task == "segmentation"):
        given = "A CRS was asked for" if request.crs is not None else "The classes of the label rasters were not named"
        raise ConfigError(given, expected="classes, and the grid of the rasters", remedy="name the classes (--classes)")
    work = Work(place, records.assign(outcome="", chip="", lon=np.nan, lat=np.nan, tile="").reset_index(drop=True))
    cutting = _cutting(
        out, request, legend if request.task == "segmentation" and legend else OBSERVED, check=check,
        label_nodata=label_nodata,
    )  # fmt: skip
    boxes = label_grids(work.table, request.size, work.failures)
    work.outcome([at for at, box in enumerate(boxes) if box is None], "unusable raster")
    held = {at: box for at, box in enumerate(boxes) if box is not None}
    if not held:
        raise nothing(f"None of {len(boxes)} label rasters can be used: {work.failures.rows[0].reason}", "correct them")
    first = min(held, key=lambda at: str(work.table["path"][at]))
    lattice = Lattice.of(held[first], str(work.table["path"][first]))
    places = snapped(held, lattice, work)
    locate(work, held)
    outlines = outlines_of([held[at] for at in work.open.index])
    scenes = found_scenes(work, request, outlines, "label raster in row")
    plans = [
        _of_raster(work.table.loc[at], scenes[at], held[at], places[at], request) for at in work.open.index
    ]  # fmt: skip
    for at, plan in zip(work.open.index, plans, strict=True):
        work.table.loc[at, "chip"] = plan.id
    return _make(sorted(plans, key=lambda plan: plan.id), lattice, cutting, work, _job(workers, progress, cluster))


def from_boxes(
    place: Path | str, boxes: Sequence[Box], date: str, out: Path | str, *, request: Request, most: int = MOST,
    workers: int = 0, progress: bool = False, cluster: str = "",
) -> Report:  # fmt: skip
    """Chips without labels that cover boxes, for a model to predict on.

    Args:
        place: as ``from_points``.
        boxes: west, south, east, north in degrees.
        date: day, or day and time, that the chips are wanted for.
        out: as ``from_points``.
        request: options.
        most: most chips of a box.
        workers: as ``from_points``.
        progress: as ``from_points``.
        cluster: as ``from_points``.

    Raises:
        InputError: a box is no place on Earth or takes too many chips, the date cannot be read, or nothing is found.
    """
    from swath.chips.archive.points import when_of

    checked = [check_box(box, f"box {number}") for number, box in enumerate(boxes)]
    when, timed = when_of(pd.DataFrame({"date": [date]}), "date", None, Path("the request"))
    cutting = _cutting(out, request, OBSERVED, labelled=False)
    lattice = lattice_of_boxes(place, checked, when, timed, request)
    rows = [
        {"row": number, "top": top, "left": left}
        for number, box in enumerate(checked)
        for top, left in grid_of(box, lattice, request.size, most)
    ]
    table = pd.DataFrame(rows).drop_duplicates(["top", "left"], ignore_index=True)
    table = table.assign(when=when[0], timed=timed[0], outcome="", chip="", lon=np.nan, lat=np.nan, tile="")
    work = Work(place, table)
    grids = {
        at: lattice.box(top, left, request.size, request.size)
        for at, (top, left) in enumerate(zip(table["top"], table["left"], strict=True))
    }
    locate(work, grids)
    scenes = found_scenes(work, request, outlines_of(list(grids.values())), "chip of box")
    plans = []
    for at in work.open.index:
        plan = _of_box(work.table.loc[at], scenes[at], grids[at], request)
        work.table.loc[at, "chip"] = plan.id
        plans.append(plan)
    return _make(sorted(plans, key=lambda plan: plan.id), lattice, cutting, work, _job(workers, progress, cluster))


def _cutting(
    out: Path | str, request: Request, legend: Legend, *, labelled: bool = True, check: bool = True,
    label_nodata: float | None = None,
) -> Cutting:  # fmt: skip
    """The options of cutting, for a folder that may be written to."""
    if request.masks and request.origin.scheme == SCHEME:
        cloudless.classifier()  # where the package is missing, say so before anything is searched
    folder = Path(out)
    ours = (folder / MARK).is_file() or (folder / RECORDS).is_dir()
    if folder.exists() and not (folder.is_dir() and (ours or not any(folder.iterdir()))):
        raise InputError(
            f"{folder} exists and holds no chips from an archive",
            expected="a new folder, an empty one, or one that this command made",
            remedy="choose another folder, or remove this one",
        )
    cutting = Cutting(folder, request, "", legend, labelled, check, label_nodata)
    digest = hashlib.sha256(request_text(cutting).encode()).hexdigest()
    return Cutting(folder, request, digest, legend, labelled, check, label_nodata)


def _of_raster(
    row: Series[Any], items: tuple[Item, ...], box: GeoBox, at: tuple[int, int, float], request: Request
) -> Plan:
    facts = named(items, row["when"], (0, 0), request)
    facts["id"] = f"{Path(row['path']).stem}_{facts['tile']}_{facts['id'].rpartition('_')[2]}"
    return Plan(
        **facts, group=group_of(box), items=items, wanted=wanted_texts(row["when"], request), box=box, row=at[0],
        column=at[1], raster=str(row["path"]), stamp=stamp(row["path"]), shift=at[2],
    )  # fmt: skip


def _of_box(row: Series[Any], items: tuple[Item, ...], box: GeoBox, request: Request) -> Plan:
    place = int(row["top"]), int(row["left"])
    facts = named(items, row["when"], (place[1], place[0]), request)
    return Plan(
        **facts, group=group_of(box), items=items, wanted=wanted_texts(row["when"], request), box=box, row=place[0],
        column=place[1],
    )  # fmt: skip


def _job(workers: int, progress: bool, cluster: str) -> Job:
    """How the chips are cut."""
    return Job(workers, stage="cut", describe=_describe, progress="cutting chips" if progress else "", cluster=cluster)


def _make(plans: list[Plan], lattice: Lattice, cutting: Cutting, work: Work, job: Job) -> Report:
    """Cut what is not there yet, and write the set."""
    twice = [name for name, count in Counter(plan.id for plan in plans).items() if count > 1]
    if twice:
        raise InputError(f"Two chips would be called {twice[0]}", expected="names that differ", remedy="rename a file")
    for name in (RECORDS, "images", "labels", "valid", *(["values"] if cutting.request.task == "regression" else [])):
        make_folder(cutting.folder / name)
    records = read_records(cutting.folder, plans)
    todo = [plan for plan in plans if not is_current(records.get(plan.id), plan, cutting)]
    job = job if todo else replace(job, progress="")
    cut: set[str] = set()
    for _, outcomes in run_each(
        _batches(todo), functools.partial(cut_batch, cutting=cutting), job=job, failures=work.failures
    ):
        for name, failure in outcomes:
            if failure is None:
                cut.add(name)
            else:
                work.failures.add(failure)
    lost = {plan.id for plan in todo} - cut
    records = read_records(cutting.folder, [plan for plan in plans if plan.id not in lost])
    for record in records.values():
        if record["why"]:
            work.counts[f"chips with {record['why']}"] += 1
    observations = work.table.drop(columns=[name for name in ("label", "top", "left") if name in work.table])
    chips = gather(records, lattice, cutting, observations, work.failures)
    table = save_failures(work.failures, cutting.folder / FAILURES)
    counts = {name: count for name, count in sorted(work.counts.items()) if count}
    return Report(cutting.folder, chips, len(cut), counts, work.failures, table)


def _batches(todo: Sequence[Plan]) -> list[tuple[Plan, ...]]:
    """Chips that share their scenes, neighbours together."""
    groups: dict[str, list[Plan]] = {}
    for plan in sorted(todo, key=lambda plan: (plan.key, plan.row, plan.column, plan.id)):
        groups.setdefault(plan.key, []).append(plan)
    return [tuple(part[at : at + BATCH]) for part in groups.values() for at in range(0, len(part), BATCH)]


def _describe(batch: tuple[Plan, ...]) -> str:
    return f"chips {', '.join(plan.id for plan in batch)}"
