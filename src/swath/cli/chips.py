"""``swath chips``: cut scenes and labels into chips, and look at them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Cut chips from a scene and labels; show, describe and check them.", no_args_is_help=True)
Folder = Annotated[Path, typer.Argument(help="Folder of a chip set.")]


@app.command("cut")
def cut(
    scene: Annotated[Path, typer.Argument(help="GeoTIFF, NetCDF, Zarr, or a folder of bands.")],
    labels: Annotated[Path, typer.Option("--labels", "-l", help="Polygons (GeoJSON, GPKG, ...) or a label raster.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the chips.")],
    column: Annotated[str | None, typer.Option(help="Column of the polygons that holds the class.")] = None,
    legend: Annotated[Path | None, typer.Option(help="YAML of 'value: name' for a label raster.")] = None,
    sensor: Annotated[str | None, typer.Option(help="Sensor of the scene, for names, scale and no-data.")] = None,
    level: Annotated[str | None, typer.Option(help="Processing level of the sensor.")] = None,
    baseline: Annotated[str | None, typer.Option(help="Processing baseline, such as 05.09 for Sentinel-2.")] = None,
    nodata: Annotated[float | None, typer.Option(help="Value that means no data, where the file does not say.")] = None,
    size: Annotated[int, typer.Option(help="Chip size in pixels.")] = 64,
    stride: Annotated[int | None, typer.Option(help="Step between chips; default: the chip size.")] = None,
    block: Annotated[int, typer.Option(help="Chips are split by blocks of this many chips.")] = 2,
    buffer: Annotated[float, typer.Option(help="Distance between splits in chip widths.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Seed of the split.")] = 0,
) -> None:
    """Cut a scene and its labels into chips, with an index, a split and statistics."""
    from swath import verbs
    from swath.cli import show

    tree = verbs.open(scene, sensor=sensor, level=level, baseline=baseline, nodata=nodata)
    made = verbs.chips(
        tree, labels, out, column=column, legend=legend, size=size, stride=stride, block=block, buffer=buffer, seed=seed
    )
    show.say(f"{len(made)} chips of {size} x {size} pixels in {out}")
    _describe(out)


@app.command("show")
def show_sheet(
    folder: Folder,
    out: Annotated[Path, typer.Option("--out", "-o", help="Picture to write.")] = Path("chips.png"),
    count: Annotated[int, typer.Option(help="Number of chips to draw.")] = 24,
) -> None:
    """Draw a contact sheet of images and labels."""
    from swath import chips as room
    from swath.cli import show

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
        return
    split = types.Split.load(split_path)
    show.table("split", ("name", "chips"), list(split.counts().items()))
    statistics = room.Statistics.load(folder / "statistics.json")
    rows = zip(statistics.bands, statistics.mean, statistics.std, statistics.minimum, statistics.maximum, strict=True)
    columns = ("band", "mean", "sd", "minimum", "maximum")
    show.table("statistics of the train split", columns, [list(row) for row in rows])
    for problem in (*statistics.problems(), *room.leak_check(chipset, split)):
        show.say(f"note: {problem}")
