"""``swath scenes``: find scenes in a catalogue and load them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from swath.cli.config import Config
from swath.cli.everyday import Baseline, Level, Sensor, check_suffix, split_names
from swath.failures import EXIT_WITH_FAILURES, Failures

if TYPE_CHECKING:
    from swath.cubes.catalogue import Item

app = typer.Typer(help="Find scenes in a static STAC catalogue and load them.", no_args_is_help=True)
Place = Annotated[Path, typer.Argument(help="Folder with catalog.json, or a catalogue, collection or item file.")]
Box = Annotated[str | None, typer.Option(help="West,south,east,north in degrees; quote it.")]
Span = Annotated[str | None, typer.Option("--time", help="Day, month, year or START/END, such as 2024-01/2024-12.")]
Collections = Annotated[str | None, typer.Option("--collection", help="Ids of collections between commas.")]
Ids = Annotated[str | None, typer.Option("--item", help="Ids of items between commas.")]
Cloud = Annotated[float | None, typer.Option("--max-cloud", min=0, max=100, help="Most cloud cover in percent.")]


@app.command("search")
def search(
    place: Place,
    bbox: Box = None,
    time: Span = None,
    collection: Collections = None,
    item: Ids = None,
    max_cloud: Cloud = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the scenes that fit, oldest first."""
    from swath.cli import show

    failures = Failures()
    found = _found(place, bbox, time, collection, item, max_cloud, failures)
    rows = [_row(each) for each in found]
    if json:
        show.as_json(rows)
    elif rows:
        show.table(f"{len(rows)} scenes", list(rows[0]), [list(row.values()) for row in rows])
    else:
        show.say("no scene fits; widen place, time or cloud")
    _end(failures)


@app.command("load")
def load(
    place: Place,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Zarr store (.zarr); without it the scene is only shown.")
    ] = None,
    bbox: Box = None,
    time: Span = None,
    collection: Collections = None,
    item: Ids = None,
    max_cloud: Cloud = None,
    bands: Annotated[str | None, typer.Option(help="Bands between commas; all when left out.")] = None,
    grid: Annotated[str | None, typer.Option(help="The only grid to write, such as grid_10m.")] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Cloud, shadow and fill become no data.")] = False,
    sensor: Sensor = None,
    level: Level = None,
    baseline: Baseline = None,
    config: Config = None,
) -> None:
    """Open the scenes that fit as one, dates stacked in time; show what is in it, or write it as Zarr."""
    from swath import cubes
    from swath.cli import show
    from swath.cubes import catalogue

    if out is not None:
        check_suffix(out, (".zarr",))
    failures = Failures()
    found = _of_one_collection(_found(place, bbox, time, collection, item, max_cloud, failures))
    scene = catalogue.load_many(
        found, bands=split_names(bands), sensor=sensor, level=level, baseline=baseline, only_clear=clear
    )
    rows = cubes.summary(scene)
    show.table(f"{len(found)} scenes", list(rows[0]), [list(row.values()) for row in rows])
    if out is not None:
        show.say(f"written: {cubes.write_store(scene, out, node=grid)}")
    _end(failures)


def _found(
    place: Path,
    bbox: str | None,
    time: str | None,
    collection: str | None,
    item: str | None,
    max_cloud: float | None,
    failures: Failures,
) -> list[Item]:
    from swath.cubes import catalogue

    return catalogue.search(
        place,
        bbox=None if bbox is None else _numbers(bbox),
        time=time,
        collections=split_names(collection),
        ids=split_names(item),
        max_cloud=max_cloud,
        failures=failures,
    )


def _of_one_collection(found: list[Item]) -> list[Item]:
    """Scenes of one sensor; collections that hold no bands, such as truth, do not count."""
    from swath.errors import ConfigError

    scenes = [item for item in found if item.data]
    names = sorted({item.collection for item in scenes})
    if len(names) > 1:
        raise ConfigError(
            f"The scenes that fit belong to {len(names)} collections: {', '.join(names)}",
            expected="scenes of one collection",
            remedy=f"choose one with --collection {names[0]}",
        )
    return scenes


def _numbers(text: str) -> tuple[float, float, float, float]:
    from swath.errors import ConfigError

    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(
            f"The box '{text}' cannot be read",
            expected="four numbers between commas: west,south,east,north in degrees",
            remedy="write for example: --bbox=12.1,47.9,12.3,48.0",
        ) from None
    return west, south, east, north


def _row(item: Item) -> dict[str, object]:
    west, south, east, north = item.bbox
    return {
        "item": item.id,
        "collection": item.collection,
        "time": str(item.time)[:16].replace("T", " "),
        "cloud %": item.cloud_cover,
        "bands": len(item.data),
        "west": west,
        "south": south,
        "east": east,
        "north": north,
    }


def _end(failures: Failures) -> None:
    from swath.cli import show

    if failures:
        show.table("could not be read", ("item", "reason"), [(row.item, row.reason) for row in failures])
        raise typer.Exit(EXIT_WITH_FAILURES)
