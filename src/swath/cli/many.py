"""``swath predict-many``: map many scenes, going on past those that cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from swath.cli.cluster import Cluster
from swath.cli.config import Config
from swath.cli.everyday import Bands, Baseline, Level, NoData, Sensor, Time, split_names
from swath.cli.predict import Model, Overlap, Tile
from swath.failures import EXIT_WITH_FAILURES


def add_to(app: typer.Typer, panel: str) -> None:
    """Register the command on ``app``."""
    app.command("predict-many", rich_help_panel=panel)(predict_many)


def predict_many(
    model: Model,
    scenes: Annotated[list[Path], typer.Argument(help="Scenes to map, each of any size.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the maps.")],
    sensor: Sensor = None,
    level: Level = None,
    baseline: Baseline = None,
    nodata: NoData = None,
    bands: Bands = None,
    time: Time = None,
    tile: Tile = 256,
    overlap: Overlap = "25%",
    confidence: Annotated[bool, typer.Option(help="Also write the probability of the chosen class.")] = True,
    lenient: Annotated[bool, typer.Option(help="Predict where at least one band is valid.")] = False,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 works in this one.")] = 1,
    cluster: Cluster = "",
    config: Config = None,
) -> None:
    """Map many scenes; finished ones are passed over, failed ones listed in OUT/failures.csv (exit status 6)."""
    import functools

    from swath import verbs
    from swath.cli import show
    from swath.predict import check_request, overlap_pixels
    from swath.predict.many import MapOptions, SceneOptions, predict_many

    outputs = ("class", "confidence") if confidence else ("class",)
    pixels = overlap_pixels(overlap, tile)
    check_request(verbs.load(model), out / "map.tif", tile=tile, overlap=pixels, outputs=outputs)
    names = split_names(bands)
    report = predict_many(
        functools.partial(verbs.load, model, device="auto"),
        scenes,
        out,
        scene=SceneOptions(sensor, level, baseline, None if names is None else tuple(names), nodata, time),
        options=MapOptions(tile, pixels, outputs, not lenient),
        workers=workers,
        progress=True,
        cluster=cluster,
    )
    finished = len(report.maps) - report.made
    show.say(f"{report.made} of {len(scenes)} scenes mapped, {finished} were finished before; maps in {out}")
    for failure in report.failures:
        show.say(f"failed: {failure.item} ({failure.reason})")
    if report.table is not None:
        show.say(f"see {report.table}; the same command tries again what failed")
        raise typer.Exit(EXIT_WITH_FAILURES)
