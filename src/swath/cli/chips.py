"""``swath chips``: cut scenes and labels into chips, and look at them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from swath.cli.cluster import Cluster
from swath.cli.config import Config
from swath.cli.everyday import Bands, Baseline, Level, NoData, Sensor, Time, check_suffix, split_names
from swath.failures import EXIT_WITH_FAILURES

if TYPE_CHECKING:
    from swath.chips import ChipSet, JoinedSet
    from swath.types import Split

app = typer.Typer(
    help="Cut chips from a scene and labels; label, join, show, describe and check them.", no_args_is_help=True
)
Folder = Annotated[Path, typer.Argument(help="Folder of a chip set, or of joined ones.")]


class CutTask(StrEnum):
    """Tasks that chips are cut for."""

    segmentation = "segmentation"
    change = "change"
    pixel_regression = "pixel_regression"


class LabelTask(StrEnum):
    """Tasks with one answer per chip."""

    classification = "classification"
    multilabel = "multilabel"
    regression = "regression"


@app.command("cut")
def cut(
    scene: Annotated[Path, typer.Argument(help="GeoTIFF, NetCDF, Zarr, or a folder of bands.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the chips.")],
    labels: Annotated[
        Path | None, typer.Option("--labels", "-l", help="Polygons (GeoJSON, GPKG, ...) or a label raster.")
    ] = None,
    values: Annotated[Path | None, typer.Option(help="Raster of quantities per pixel, one per band, instead.")] = None,
    quantity: Annotated[str | None, typer.Option(help="Names of the quantities, separated by commas.")] = None,
    unit: Annotated[str | None, typer.Option(help="Units of the quantities, separated by commas.")] = None,
    task: Annotated[CutTask | None, typer.Option(help="'change' where labels say what changed between dates.")] = None,
    column: Annotated[str | None, typer.Option(help="Column of the polygons that holds the class.")] = None,
    legend: Annotated[Path | None, typer.Option(help="YAML of 'value: name' for a label raster without one.")] = None,
    sensor: Sensor = None,
    level: Level = None,
    baseline: Baseline = None,
    nodata: NoData = None,
    bands: Bands = None,
    time: Time = None,
    size: Annotated[int, typer.Option(min=1, help="Chip size in pixels.")] = 64,
    stride: Annotated[int | None, typer.Option(min=1, help="Step between chips; default: the chip size.")] = None,
    block: Annotated[int, typer.Option(min=1, help="Chips are split by blocks of this many chips.")] = 2,
    buffer: Annotated[float, typer.Option(min=0, help="Distance between splits in chip widths.")] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the split.")] = 0,
    min_valid: Annotated[float, typer.Option(min=0, max=1, help="Least share of valid numbers in a chip.")] = 0.5,
    min_labelled: Annotated[float, typer.Option(min=0, max=1, help="Least share of labelled pixels.")] = 0.01,
    min_date_valid: Annotated[
        float, typer.Option(min=0, max=1, help="Leave a date out of a chip below this share of valid numbers.")
    ] = 0.0,
    cluster: Cluster = "",
    config: Config = None,
) -> None:
    """Cut a scene and its labels (or quantities) into chips, with an index, a split and statistics."""
    from swath import chips as room
    from swath import verbs

    names = split_names(bands)
    tree = verbs.open(scene, sensor=sensor, level=level, baseline=baseline, nodata=nodata, bands=names, time=time)
    made = verbs.chips(
        tree,
        labels,
        out,
        column=column,
        legend=legend,
        values=values,
        quantities=split_names(quantity),
        units=split_names(unit),
        task=None if task is None else task.value,
        size=size,
        stride=stride,
        block=block,
        buffer=buffer,
        seed=seed,
        drop=room.DropRules(min_valid=min_valid, min_labelled=min_labelled, min_date_valid=min_date_valid),
        cluster=cluster,
    )
    _tell_cut(made, out)


def _tell_cut(made: ChipSet, out: Path) -> None:
    """What was cut and left out; exit status 6 where chips could not be read."""
    from swath.cli import show

    show.say(f"{len(made)} chips of {made.size} x {made.size} pixels in {out}")
    for what, count in made.description.left_out.items():
        show.say(f"left out: {count} {what}")
    _describe(out)
    if made.failures:
        show.say(f"{len(made.failures)} chips could not be read and were left out; see {out / 'failures.csv'}")
        raise typer.Exit(EXIT_WITH_FAILURES)


@app.command("label")
def label(
    folder: Annotated[Path, typer.Argument(help="Folder of a chip set.")],
    task: Annotated[LabelTask, typer.Option(help="What one answer per chip is.")],
    table: Annotated[
        Path | None, typer.Option(help="CSV or parquet with 'id', or longitude and latitude, or x and y.")
    ] = None,
    column: Annotated[str | None, typer.Option(help="Columns with the answers, separated by commas.")] = None,
    classes: Annotated[str | None, typer.Option(help="All classes in order; default: those that occur.")] = None,
    unit: Annotated[str | None, typer.Option(help="Units of the quantities, separated by commas.")] = None,
    min_share: Annotated[
        float, typer.Option(min=0, max=1, help="Without a table: least share of the labelled pixels for a class.")
    ] = 0.0,
) -> None:
    """Give every chip one answer: from a table, or (without --table) from its label raster."""
    from swath import chips as room
    from swath.cli import show
    from swath.errors import ConfigError

    if (table is None) != (column is None):
        raise ConfigError(
            "--table and --column were not given together",
            expected="both, or neither to read the answers off the label rasters",
            remedy="write: swath chips label CHIPS --task regression --table TABLE.csv --column height",
        )
    if table is None or column is None:
        made, told = room.label_from_rasters(folder, task.value, min_share=min_share)
    else:
        columns = split_names(column) or []
        options = {"classes": split_names(classes), "units": split_names(unit)}
        made, told = room.label_from_table(folder, table, task.value, columns, **options)
    show.say(f"{told.answered} of {told.chips} chips have an answer; the others are masked")
    if table is not None:
        show.say(f"{told.unmatched} of {told.rows} rows of {table} belong to no chip")
    if told.shared:
        rule = {"classification": "the most frequent class", "multilabel": "every label that one has"}
        show.say(f"{told.shared} chips hold several points: {rule.get(task.value, 'their mean')} counts")
    _describe(made.folder)


@app.command("join")
def join(
    sets: Annotated[list[str], typer.Argument(help="NAME=FOLDER per modality; the first brings targets and split.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the joined set.")],
) -> None:
    """Join chip sets of the same windows as modalities of one set; a chip that one of them lacks is masked there."""
    from swath import chips as room
    from swath.cli import show
    from swath.errors import ConfigError

    pairs = [text.partition("=") for text in sets]
    names = [name for name, _, _ in pairs]
    if not all(sign and name and place for name, sign, place in pairs) or len(set(names)) < len(names):
        raise ConfigError(
            f"The chip sets were given as {' '.join(sets)}",
            expected="NAME=FOLDER for each, every name once",
            remedy="write: swath chips join optical=FOLDER radar=FOLDER --out FOLDER",
        )
    made = room.join({name: Path(place) for name, _, place in pairs}, out)
    show.say(f"{len(made)} chips with {', '.join(names)} in {out}")
    for name, missing in made.missing.items():
        unused = len(made.sets[name]) - (len(made) - missing)
        show.say(f"{name}: {missing} chips lack it; {unused} of its {len(made.sets[name])} chips are not used")
    _describe(out)


@app.command("show")
def show_sheet(
    folder: Folder,
    out: Annotated[Path, typer.Option("--out", "-o", help="Picture to write.")] = Path("chips.png"),
    count: Annotated[int, typer.Option(min=1, help="Number of chips to draw.")] = 24,
) -> None:
    """Draw a contact sheet of images and labels."""
    from swath import chips as room
    from swath.cli import show

    check_suffix(out, (".png",))
    room.contact_sheet(room.open_samples(folder), out, count=count)
    show.say(f"contact sheet: {out}")


@app.command("describe")
def describe(folder: Folder) -> None:
    """Print counts, classes, split and statistics of a chip set, and any leak between the splits."""
    _describe(folder)


def _describe(folder: Path) -> None:
    from swath import chips as room
    from swath import types
    from swath.cli import show

    samples = room.open_samples(folder)
    for name, bands in samples.inputs.items():
        dates = samples.dates[name]
        show.say(f"{name}: bands {', '.join(bands.names)}; {dates} date{'' if dates == 1 else 's at most'}")
    told = zip(samples.quantities, samples.units, strict=True)
    listed = ", ".join(samples.classes or [f"{name} ({unit})" for name, unit in told])
    show.say(f"{samples.task}: {listed}")
    split_path = folder / "split.parquet"
    if not split_path.exists():
        show.say("no split")
        return
    split = types.Split.load(split_path)
    show.table("split", ("name", "chips"), list(split.counts().items()))
    _show_targets(samples, split)
    columns = ("band", "mean", "sd", "minimum", "maximum")
    problems: list[str] = []
    for name, known in room.input_statistics(samples, split).items():
        rows = zip(known.bands, known.mean, known.std, known.minimum, known.maximum, strict=True)
        what = "statistics of the train split" + (f", {name}" if len(samples.inputs) > 1 else "")
        show.table(what, columns, [list(row) for row in rows])
        problems += [problem for problem in known.problems() if problem not in problems]
    first = samples if isinstance(samples, room.ChipSet) else samples.first
    for problem in (*problems, *room.leak_check(first, split)):
        show.say(f"note: {problem}")


def _show_targets(samples: ChipSet | JoinedSet, split: Split) -> None:
    """What the train split asks for: counts per class, or mean and spread per quantity."""
    from swath import chips as room
    from swath.cli import show

    if samples.quantities:
        known = room.value_statistics(samples, split)
        rows = zip(known.quantities, known.units, known.count, known.mean, known.std, strict=True)
        show.table(
            "targets of the train split", ("quantity", "unit", "known", "mean", "sd"), [list(row) for row in rows]
        )
        return
    unit = {"classification": "chips", "multilabel": "chips that have it"}.get(samples.task, "pixels")
    counts = samples.class_counts(split.ids("train"))
    show.table("targets of the train split", ("class", unit), [list(pair) for pair in counts.items()])
