"""``swath scenes``: find scenes in catalogues and archives, load them, copy them to disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from swath.cli.config import Config
from swath.cli.everyday import Baseline, Level, Sensor, check_suffix, split_names
from swath.failures import EXIT_WITH_FAILURES, Failures

if TYPE_CHECKING:
    from swath.cubes.catalogue import Copied, Item

app = typer.Typer(
    help="Find scenes in a STAC catalogue, a saved search or an archive; load or copy them.", no_args_is_help=True
)
Source = Annotated[
    str,
    typer.Argument(
        help="Catalogue (folder, or catalogue, collection or item file), saved search (.json, .geojson, .parquet, also "
        "by address), address of a STAC API, or name of an archive as 'swath scenes archives' lists them."
    ),
]
Box = Annotated[str | None, typer.Option(help="West,south,east,north in degrees; quote it.")]
Place = Annotated[
    Path | None, typer.Option("--place", help="File of polygons, lines or points whose extent is the box.")
]
Span = Annotated[str | None, typer.Option("--time", help="Day, month, year or START/END, such as 2024-01/2024-12.")]
Collections = Annotated[str | None, typer.Option("--collection", help="Ids of collections between commas.")]
Ids = Annotated[str | None, typer.Option("--item", help="Ids of items between commas.")]
Cloud = Annotated[
    float | None, typer.Option("--max-cloud", "--cloud", min=0, max=100, help="Most cloud cover in percent.")
]
Limit = Annotated[int | None, typer.Option(min=1, help="Only the first so many, oldest first.")]


@dataclass(frozen=True)
class _Query:
    """What the options of a search say."""

    source: str
    filters: dict[str, Any]
    ids: tuple[str, ...] | None
    limit: int | None

    @property
    def bbox(self) -> tuple[float, float, float, float] | None:
        box: tuple[float, float, float, float] | None = self.filters["bbox"]
        return box


@app.command("archives")
def list_archives(json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Archives that are known by name, and their collections."""
    from swath.cli import show
    from swath.cubes import catalogue

    rows = []
    for name in catalogue.archive_names():
        found = catalogue.archive(name)
        wants = {"open": "nothing", "bearer": f"${found.variable}", "sas": "signs by itself"}[found.auth]
        rows.append(
            {
                "archive": name,
                "title": found.title,
                "address": found.address,
                "wants": wants,
                "collections": ", ".join(found.collections),
            }
        )
    if json:
        show.as_json(rows)
    else:
        show.table("archives", list(rows[0]), [list(row.values()) for row in rows])


@app.command("search")
def search(
    source: Source,
    bbox: Box = None,
    place: Place = None,
    time: Span = None,
    collection: Collections = None,
    item: Ids = None,
    max_cloud: Cloud = None,
    limit: Limit = None,
    save: Annotated[
        Path | None, typer.Option(help="Keep what was found in this .json, .geojson or .parquet (stac-geoparquet).")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the scenes that fit, oldest first."""
    from swath.cli import show
    from swath.cubes import catalogue

    failures = Failures()
    query = _query(source, bbox, place, time, collection, item, max_cloud, limit)
    found = _found(query, failures)
    rows = [_row(each) for each in found]
    if json:
        show.as_json(rows)
    elif rows:
        show.table(f"{len(rows)} scenes", list(rows[0]), [list(row.values()) for row in rows])
    else:
        show.say(catalogue.why_nothing(query.source, **query.filters))
    if save is not None and found:
        path = catalogue.save(found, save)
        if not json:
            show.say(f"saved: {path}")
    _end(failures)


@app.command("load")
def load(
    source: Source,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Zarr store (.zarr); without it the scene is only shown.")
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option(help="Copy the files into a catalogue in this folder first, and load from there; resumable."),
    ] = None,
    whole: Annotated[bool, typer.Option("--whole", help="Copy whole files, not only their part in the box.")] = False,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Files that are copied at the same time.")] = 4,
    bbox: Box = None,
    place: Place = None,
    time: Span = None,
    collection: Collections = None,
    item: Ids = None,
    max_cloud: Cloud = None,
    limit: Limit = None,
    bands: Annotated[str | None, typer.Option(help="Bands between commas; all when left out.")] = None,
    grid: Annotated[str | None, typer.Option(help="The only grid to write, such as grid_10m.")] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Cloud, shadow and fill become no data.")] = False,
    sensor: Sensor = None,
    level: Level = None,
    baseline: Baseline = None,
    config: Config = None,
) -> None:
    """Open the scenes that fit as one, dates stacked in time; show what is in it, or write it as Zarr.

    Scenes of archives are read by ranges where the box is; --store copies them to disk first.
    """
    from swath import cubes
    from swath.cli import show
    from swath.cubes import catalogue

    if out is not None:
        check_suffix(out, (".zarr",))
    failures = Failures()
    query = _query(source, bbox, place, time, collection, item, max_cloud, limit)
    found = _of_one_collection(_found_any(query, failures))
    chosen = split_names(bands)
    distant = any(asset.address for each in found for asset in each.assets.values())
    window = query.bbox if distant else None
    if store is not None:
        copied = catalogue.fetch(found, store, bands=chosen, bbox=None if whole else query.bbox, workers=workers)
        _tell(copied, store, failures)
        found, window = copied.items, None
        if not found:
            _end(failures)
    scene = catalogue.load_many(
        found, bands=chosen, bbox=window, sensor=sensor, level=level, baseline=baseline, only_clear=clear
    )
    rows = cubes.summary(scene)
    show.table(f"{len(found)} scenes", list(rows[0]), [list(row.values()) for row in rows])
    if out is not None:
        show.say(f"written: {cubes.write_store(scene, out, node=grid)}")
    _end(failures)


def _query(
    source: str,
    bbox: str | None,
    place: Path | None,
    time: str | None,
    collection: str | None,
    item: str | None,
    max_cloud: float | None,
    limit: int | None,
) -> _Query:
    from swath.errors import ConfigError

    if bbox is not None and place is not None:
        raise ConfigError(
            "Both --bbox and --place were given", expected="one of them", remedy="leave one of the two out"
        )
    box = _extent(place) if place is not None else None if bbox is None else _numbers(bbox)
    filters = {"bbox": box, "time": time, "collections": split_names(collection), "max_cloud": max_cloud}
    names = split_names(item)
    return _Query(source, filters, None if names is None else tuple(names), limit)


def _found(query: _Query, failures: Failures) -> list[Item]:
    from swath.cubes import catalogue

    return catalogue.search(query.source, **query.filters, ids=query.ids, limit=query.limit, failures=failures)


def _found_any(query: _Query, failures: Failures) -> list[Item]:
    """What was found; nothing is an error that says what was nearest."""
    from swath.cubes import catalogue
    from swath.errors import InputError

    found = _found(query, failures)
    if not found and not failures:
        raise InputError(
            catalogue.why_nothing(query.source, **query.filters),
            expected="at least one scene",
            remedy="widen place, time or cloud",
        )
    return found


def _extent(path: Path) -> tuple[float, float, float, float]:
    """West, south, east and north of what a vector file holds [degrees]."""
    import geopandas

    from swath.errors import InputError
    from swath.reading import reading

    expected = "a vector file (GeoJSON, GeoPackage, Shapefile) with a CRS"
    if not path.is_file():
        raise InputError(f"There is no file '{path}'", expected=expected, remedy="check the path, or give --bbox")
    with reading(path, expected=expected):
        bounds = geopandas.read_file(path).to_crs("OGC:CRS84").total_bounds
        west, south, east, north = (float(value) for value in bounds)
        if not west <= east:
            raise InputError(f"'{path}' holds no place", expected=expected, remedy="check the file, or give --bbox")
    return west, south, east, north


def _tell(copied: Copied, store: Path, failures: Failures) -> None:
    from swath.cli import show

    for failure in copied.failures:
        failures.add(failure)
    written = f"{copied.bytes / 1e6:.1f} MB in {copied.files} files copied to {store}"
    show.say(f"{written}, {copied.passed_over} files were there, {len(copied.items)} scenes are complete")
    path = copied.failures.save(store / "failures.csv")
    if path is not None:
        show.say(f"what failed: {path}; the same command tries it again")


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
