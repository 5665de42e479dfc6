"""``swath archive``: chips from a catalogue of scenes, around points, over label rasters or in boxes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from swath.cli.archive_options import Choice, Grid, Making
from swath.cli.config import Config
from swath.cli.everyday import split_names
from swath.cli.grouped import grouped
from swath.failures import EXIT_WITH_FAILURES

if TYPE_CHECKING:
    from swath.chips.archive import Report, Request
    from swath.cubes import Legend

app = typer.Typer(help="Chips from a catalogue of scenes: choose, cut, clean, split, weigh.", no_args_is_help=True)
Place = Annotated[str, typer.Argument(help="Catalogue (folder or file), address of a STAC API, or name of an archive.")]
Folder = Annotated[Path, typer.Argument(help="Folder of a chip set.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for the chips; a run that stopped goes on.")]
Regression = Annotated[bool, typer.Option("--regression", help="Labels are quantities, not classes.")]
Classes = Annotated[str | None, typer.Option(help="Names of the classes 0, 1, ... between commas.")]
Date = Annotated[str, typer.Option(help="Column with dates.")]
Time = Annotated[str | None, typer.Option(help="Column with times of day, UTC.")]


@app.command("points")
@grouped
def points(
    *,
    place: Place,
    table: Annotated[Path, typer.Argument(help="CSV, parquet or vector file: one observation a row.")],
    out: Out,
    x: Annotated[str, typer.Option(help="Column with longitude or easting.")] = "x",
    y: Annotated[str, typer.Option(help="Column with latitude or northing.")] = "y",
    date: Date = "date",
    time: Time = None,
    label: Annotated[str, typer.Option(help="Column with classes or quantities.")] = "label",
    points_crs: Annotated[str | None, typer.Option(help="CRS of the columns; default EPSG:4326.")] = None,
    where: Annotated[list[str] | None, typer.Option(help="Comparison such as 'year >= 2020'; may be repeated.")] = None,
    classes: Classes = None,
    choice: Choice,
    min_count: Annotated[int, typer.Option(min=1, help="Fewest observations of a tile of 100 km.")] = 1,
    window: Annotated[int, typer.Option(min=0, help="Pixels around an observation that it labels.")] = 0,
    conflict: Annotated[str, typer.Option(help="nearest or unlabelled: where windows disagree.")] = "nearest",
    regression: Regression = False,
    grid: Grid,
    making: Making,
    config: Config = None,
) -> None:
    """Cut chips around point observations; exit status 6 where some lack a scene or a scene is damaged."""
    from swath.chips import archive

    labels = {"min_count": min_count, "window": window, "conflict": conflict, "task": _task(regression)}
    request = _request(vars(choice) | vars(grid) | vars(making) | labels)
    found = archive.read_points(
        table, columns=archive.Columns(x, y, date, label, time), crs=points_crs, where=tuple(where or ())
    )
    report = archive.from_points(
        place,
        found,
        out,
        request=request,
        legend=_legend(classes),
        workers=making.workers,
        progress=True,
        cluster=making.cluster,
    )
    _end(report, making.published)


@app.command("rasters")
@grouped
def rasters(
    *,
    place: Place,
    table: Annotated[Path, typer.Argument(help="CSV, parquet or vector file: one label raster a row.")],
    folder: Annotated[Path, typer.Argument(help="Folder with the label rasters.")],
    out: Out,
    file: Annotated[str, typer.Option(help="Column with file names.")] = "label_filename",
    date: Date = "date",
    time: Time = None,
    classes: Classes = None,
    nodata: Annotated[float | None, typer.Option(help="Number for 'no label', where files do not declare it.")] = None,
    check: Annotated[bool, typer.Option(help="Labels follow masks, and chips without a label are left out.")] = True,
    choice: Choice,
    regression: Regression = False,
    making: Making,
    config: Config = None,
) -> None:
    """Cut chips over label rasters, each on its own pixels; exit status 6 where some could not be."""
    from swath.chips import archive

    request = _request(vars(choice) | vars(making) | {"task": _task(regression)})
    records = archive.read_records(table, folder, file=file, date=date, time=time)
    report = archive.from_rasters(
        place,
        records,
        out,
        request=request,
        legend=_legend(classes),
        label_nodata=nodata,
        check=check,
        workers=making.workers,
        progress=True,
        cluster=making.cluster,
    )
    _end(report, making.published)


@app.command("boxes")
@grouped
def boxes(
    *,
    place: Place,
    table: Annotated[Path, typer.Argument(help="JSON list of [west, south, east, north] in degrees.")],
    out: Out,
    date: Annotated[str, typer.Option(help="Day, or day and time, that the chips are wanted for.")],
    most: Annotated[int, typer.Option(min=1, help="Most chips of a box.")] = 10_000,
    choice: Choice,
    grid: Grid,
    making: Making,
    config: Config = None,
) -> None:
    """Cut chips without labels that cover boxes, to predict on."""
    from swath.chips import archive

    report = archive.from_boxes(
        place,
        archive.read_boxes(table),
        date,
        out,
        request=_request(vars(choice) | vars(grid) | vars(making)),
        most=most,
        workers=making.workers,
        progress=True,
        cluster=making.cluster,
    )
    _end(report, making.published)


@app.command("clean")
def clean(
    folder: Folder,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the clean set.")],
    max_invalid: Annotated[float, typer.Option(min=0, max=1, help="Most share of invalid pixels of a chip.")] = 0.5,
    invalid: Annotated[str, typer.Option(help="A pixel is invalid where any or all of its numbers are.")] = "any",
    labels: Annotated[str, typer.Option(help="keep; buffer: widen; limit: pixels of observations alone.")] = "keep",
    window: Annotated[int, typer.Option(min=0, help="Pixels to widen labels by.")] = 0,
) -> None:
    """Write a set of the chips that are worth keeping."""
    from swath import chips
    from swath.chips.archive.clean import Rules
    from swath.chips.archive.clean import clean as clean_set
    from swath.cli import show

    rules = Rules(max_invalid, invalid, labels, window)  # type: ignore[arg-type]
    done = clean_set(chips.open(folder), out, rules)
    left = f"{len(done.invalid)} had too few valid pixels, {len(done.unlabelled)} no label"
    show.say(f"{len(done.chips)} chips in {out}; {left}")


@app.command("split")
def split(
    folder: Folder,
    by: Annotated[str, typer.Option(help="cluster, distance or year.")] = "cluster",
    test: Annotated[float, typer.Option(min=0, max=1, help="Share of the chips for test.")] = 0.2,
    validation: Annotated[float, typer.Option(min=0, max=1, help="Share of the chips for validation.")] = 0.2,
    clusters: Annotated[int, typer.Option(min=1, help="Most clusters of tiles.")] = 20,
    km: Annotated[float, typer.Option(help="Tiles within this distance belong together.")] = 400.0,
    same_place: Annotated[bool, typer.Option("--same-place", help="Years may share places.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the clusters.")] = 0,
) -> None:
    """Split chips by tiles or years; write split.parquet, its hash, and statistics of the train part."""
    from swath import chips
    from swath.chips.archive import groups
    from swath.cli import show
    from swath.errors import ConfigError, nearest

    held = chips.open(folder)
    if by == "cluster":
        made = groups.split_by_cluster(held, clusters=clusters, test=test, validation=validation, seed=seed)
    elif by == "distance":
        made = groups.split_by_distance(held, km=km, test=test, validation=validation)
    elif by == "year":
        made = groups.split_by_year(held, test=test, validation=validation, same_place=same_place)
    else:
        options = ("cluster", "distance", "year")
        raise ConfigError(
            f"by = '{by}'", expected=", ".join(options), remedy=f"the nearest is {nearest(by, options, 1)}"
        )
    made.save(folder / "split.parquet")
    chips.statistics(held, made).save(folder / "statistics.json")
    show.table(f"split {made.hash}", ("part", "chips"), list(made.counts().items()))


@app.command("statistics")
def statistics(folder: Folder) -> None:
    """Print mean and standard deviation of the train part, and class weights N / (K n_c), as JSON."""
    from swath import chips
    from swath.chips.archive.groups import class_weights
    from swath.cli import show
    from swath.types import Split

    held = chips.open(folder)
    found = chips.statistics(held, Split.load(folder / "split.parquet"))
    weights = class_weights(found.class_counts) if found.class_counts else {}
    facts = {"bands": found.bands, "mean": found.mean, "std": found.std, "class_weights": weights}
    show.as_json(facts | {"chips": found.chips, "split": found.split_hash})


@app.command("publish")
def publish(
    folder: Folder, out: Annotated[Path, typer.Option("--out", "-o", help="Folder for chips, seg_maps and the table.")]
) -> None:
    """Write the published layout of InstaGeo from a chip set that was made from an archive."""
    _publish(folder, out)


def _request(options: dict[str, Any]) -> Request:
    """The request of a command's options."""
    from swath.chips.archive import Request

    plain = ("size", "steps", "step_days", "source", "max_cloud", "rule", "daytime", "strategy", "month_start")
    extra = ("min_count", "window", "conflict", "crs", "resolution", "resampling", "physical", "task")
    facts = {name: options[name] for name in (*plain, *extra) if name in options}
    return Request(
        **facts,
        tolerance_days=options["tolerance"],
        tolerance_minutes=options["tolerance_minutes"],
        bands=_names(options["bands"]),
        collections=_names(options["collection"]),
        masks=_names(options["masks"]) or (),
        time_series=options["series"],
    )


def _task(regression: bool) -> str:
    return "regression" if regression else "segmentation"


def _names(text: str | None) -> tuple[str, ...] | None:
    names = split_names(text)
    return None if names is None else tuple(names)


def _legend(classes: str | None) -> Legend | None:
    from swath.cubes import Legend

    names = _names(classes)
    return None if names is None else Legend.of(*names)


def _publish(folder: Path, out: Path) -> None:
    from swath.chips.archive.published import write_published
    from swath.cli import show

    told = write_published(folder, out)
    moved = f"; {told.moved} valid numbers were moved off the no-data number" if told.moved else ""
    show.say(f"{told.chips} chips in the published layout in {out}{moved}")


def _end(report: Report, published: Path | None) -> None:
    """Say what came of it; exit status 6 where anything failed."""
    from swath.cli import show

    show.say(f"{report.chips} chips in {report.folder}, {report.made} cut now")
    for reason, count in report.counts.items():
        show.say(f"left out: {count} {reason}")
    if published is not None and report.chips:
        _publish(report.folder, published)
    if report.table is not None:
        shown = list(report.failures)[:3]
        for failure in shown:
            show.say(f"failed: {failure.item}: {failure.reason}")
        show.say(f"{len(report.failures)} failures in {report.table}; the same command tries again what failed")
        raise typer.Exit(EXIT_WITH_FAILURES)
