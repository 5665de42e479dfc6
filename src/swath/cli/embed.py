"""``swath embed``: a scene as a map of embeddings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from swath.failures import EXIT_WITH_FAILURES


def add_to(app: typer.Typer, panel: str) -> None:
    """Register the command."""
    app.command("embed", rich_help_panel=panel)(embed)


def embed(
    scene: Annotated[Path, typer.Argument(help="GeoTIFF, NetCDF, Zarr, or a folder of single-band files.")],
    model: Annotated[str, typer.Option("--model", "-m", help="Name of the encoder; 'swath weights' lists them.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="GeoTIFF to write.")] = Path("emb.tif"),
    weights: Annotated[Path | None, typer.Option("--weights", help="File of the weights.")] = None,
    patch: Annotated[int | None, typer.Option(min=1, max=8, help="galileo: pixels a side of a patch (8).")] = None,
    storage: Annotated[str, typer.Option(help="float16, or int8 with a scale.")] = "float16",
    sensor: Annotated[str | None, typer.Option(help="Sensor of the scene.")] = None,
    level: Annotated[str | None, typer.Option(help="Processing level.")] = None,
    baseline: Annotated[str | None, typer.Option(help="Processing baseline.")] = None,
    bands: Annotated[str | None, typer.Option(help="Names of the bands, between commas.")] = None,
    nodata: Annotated[float | None, typer.Option(help="Number that means no data.")] = None,
    time: Annotated[str | None, typer.Option(help="Time of acquisition, where the file does not say.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Only where all used bands are valid.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Do not go on with a stopped run.")] = False,
) -> None:
    """Embed a scene with a published encoder: one vector per pixel or patch, no data where there was none."""
    from swath import embed as room
    from swath import models, verbs
    from swath.cli import show
    from swath.errors import ConfigError

    names = [name.strip() for name in bands.split(",")] if bands else None
    encoder = models.load(model, weights)
    if patch is not None:
        if not isinstance(encoder, models.GalileoPatches):
            raise ConfigError(
                f"--patch was given for '{model}', which embeds single pixels",
                expected="--patch for galileo models only",
                remedy="leave it out",
            )
        encoder = encoder.with_options(models.PatchOptions(patch=patch))
    tree = verbs.open(scene, sensor=sensor, level=level, baseline=baseline, nodata=nodata, bands=names, time=time)
    report = room.embed_scene(
        encoder,
        verbs.as_cube(tree),
        out,
        storage=storage,  # type: ignore[arg-type]  # the room says which there are
        strict=strict,
        resume=not fresh,
    )
    made, record = report.prediction, report.record
    show.say(
        f"{made.files['embedding']}: {record.dimensions} bands, one cell for {record.stride} x {record.stride} pixels"
    )
    show.say(f"bands used: {', '.join(record.bands)}; {made.valid_share:.1%} of the cells have an embedding")
    change = "" if record.rounding is None else f" (storing changed a sample by {record.rounding:.2%})"
    show.say(f"stored as {record.storage}{change}; version {record.version}")
    if made.failures:
        show.say(f"{len(made.failures)} parts could not be read: see {made.failure_table}")
        raise typer.Exit(EXIT_WITH_FAILURES)
