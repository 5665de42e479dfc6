"""``swath chips``: cut scenes and labels into chips, and look at them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from swath.cli.config import Config
from swath.cli.everyday import Bands, Baseline, Level, NoData, Sensor, Time, check_suffix, split_names
from swath.failures import EXIT_WITH_FAILURES

app = typer.Typer(help="Cut chips from a scene and labels; show, describe and check them.", no_args_is_help=True)
Folder = Annotated[Path, typer.Argument(help="Folder of a chip set.")]


@app.command("cut")
def cut(
    scene: Annotated[Path, typer.Argument(help="GeoTIFF, NetCDF, Zarr, or a folder of bands.")],
    labels: Annotated[Path, typer.Option("--labels", "-l", help="Polygons (GeoJSON, GPKG, ...) or a label raster.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the chips.")],
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
    config: Config = None,
) -> None:
    """Cut a scene and its labels into chips, with an index, a split and statistics."""
    from swath import chips as room
    from swath import verbs
    from swath.cli import show

    names = split_names(bands)
    tree = verbs.open(scene, sensor=sensor, level=level, baseline=baseline, nodata=nodata, bands=names, time=time)
    made = verbs.chips(
        tree,
        labels,
        out,
        column=column,
        legend=legend,
        size=size,
        stride=stride,
        block=block,
        buffer=buffer,
        seed=seed,
        drop=room.DropRules(min_valid=min_valid, min_labelled=min_labelled),
    )
    show.say(f"{len(made)} chips of {size} x {size} pixels in {out}")
    _describe(out)
    if made.failures:
        show.say(f"{len(made.failures)} chips could not be read and were left out; see {out / 'failures.csv'}")
        raise typer.Exit(EXIT_WITH_FAILURES)


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
    room.contact_sheet(room.open(folder), out, count=count)
    show.say(f"contact sheet: {out}")


@app.command("describe")
def describe(folder: Folder) -> None:
    """Print counts, classes, split and statistics of a chip set, and any leak between the splits."""
    _describe(folder)


def _describe(folder: Path) -> None:
    from swath import chips as room
    from swath import types
    from swath.cli import show

    chipset = room.open(folder)
    split_path = folder / "split.parquet"
    show.say(f"bands {', '.join(chipset.bands.names)}; classes {', '.join(chipset.classes)}")
    if not split_path.exists():
        show.say("no split")
        return
    split = types.Split.load(split_path)
    show.table("split", ("name", "chips"), list(split.counts().items()))
    statistics = room.Statistics.load(folder / "statistics.json")
    rows = zip(statistics.bands, statistics.mean, statistics.std, statistics.minimum, statistics.maximum, strict=True)
    columns = ("band", "mean", "sd", "minimum", "maximum")
    show.table("statistics of the train split", columns, [list(row) for row in rows])
    for problem in (*statistics.problems(), *room.leak_check(chipset, split)):
        show.say(f"note: {problem}")
