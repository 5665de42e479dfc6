"""``swath embed``: scenes, chips and points as embeddings, and places that look alike."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from swath.failures import EXIT_WITH_FAILURES

if TYPE_CHECKING:
    from swath.embed import EmbedReport, TableReport
    from swath.models import Encoder

_DEFAULT = "make"
_TABLES = frozenset({".geojson", ".json", ".gpkg", ".shp", ".zip", ".fgb", ".parquet"})


class _Parser:
    """A parser that reads a scene after the word embed as the command that makes a map of it."""

    def __init__(self, parser: Any, names: Sequence[str], helps: Sequence[str]) -> None:
        self._parser, self._known = parser, {*names, *helps}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)

    def parse_args(self, args: list[str]) -> Any:
        """What the parser of a group gives."""
        return self._parser.parse_args([_DEFAULT, *args] if args and args[0] not in self._known else args)


class _Group(TyperGroup):
    """Commands of which one is meant where none is named."""

    def make_parser(self, ctx: Any) -> Any:
        """The parser of the group, which adds the name of the command that is meant."""
        return _Parser(super().make_parser(ctx), list(self.commands), self.get_help_option_names(ctx))


def add_to(app: typer.Typer, panel: str) -> None:
    """Register the commands."""
    group = typer.Typer(
        cls=_Group,
        no_args_is_help=True,
        help="Embed scenes, chips or points with a published encoder: swath embed SCENE -m MODEL; search in them.",
    )
    group.command(_DEFAULT)(embed)
    group.command("search")(search)
    app.add_typer(group, name="embed", rich_help_panel=panel)


def embed(
    source: Annotated[
        Path, typer.Argument(help="A scene, a folder of chips, or a file of points (then name the --scene).")
    ],
    model: Annotated[str, typer.Option("--model", "-m", help="Name of the encoder; 'swath weights' lists them.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="emb.tif for a scene, emb.parquet for chips and points.")
    ] = None,
    scene: Annotated[Path | None, typer.Option("--scene", help="The scene that the points lie in.")] = None,
    window: Annotated[int | None, typer.Option(min=1, help="Points: pixels along one side around each.")] = None,
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
    """Embed a scene, chips or points: one vector each, no data where there was none. 'make' may be left out."""
    from swath import verbs

    chips, points = (source / "chips.json").is_file(), source.suffix.lower() in _TABLES and source.is_file()
    _check_source(source, scene, points)
    encoder = _encoder(model, weights, patch)
    opened: Any = source
    if not chips:
        names = [name.strip() for name in bands.split(",")] if bands else None
        place = scene if points and scene is not None else source
        opened = verbs.as_cube(
            verbs.open(place, sensor=sensor, level=level, baseline=baseline, nodata=nodata, bands=names, time=time)
        )
    report = verbs.embed(
        opened,
        out or Path("emb.parquet" if chips or points else "emb.tif"),
        model=encoder,
        points=source if points else None,
        window=window,
        storage=storage,  # type: ignore[arg-type]  # the room says which there are
        strict=strict,
        resume=not fresh,
    )
    _tell(report)


def search(
    embeddings: Annotated[Path, typer.Argument(help="GeoTIFF or GeoParquet of 'swath embed'.")],
    at: Annotated[list[str], typer.Option("--at", help="LON,LAT of a place to look for; several count as one.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="similar.tif (or .parquet): similarity from -1 to 1.")
    ] = None,
    like: Annotated[
        Path | None, typer.Option("--like", help="The places lie in these embeddings instead; same encoder.")
    ] = None,
    best: Annotated[int, typer.Option(min=1, help="How many places to list.")] = 10,
) -> None:
    """Find what looks like a place: cosine similarity of embeddings everywhere, and the best places."""
    from swath import embed as room
    from swath.cli import show

    table = embeddings.suffix.lower() == ".parquet"
    places = [_lonlat(text) for text in at]
    found = room.search(
        embeddings, places, out or Path("similar.parquet" if table else "similar.tif"), like=like, best=best
    )
    rows = [
        (number + 1, found.names[number] if found.names else "", f"{east:.6f}", f"{north:.6f}", float(similarity))
        for number, ((east, north), similarity) in enumerate(zip(found.lonlat, found.similarity, strict=True))
    ]
    columns = ("rank", "id", "longitude", "latitude", "similarity")
    chosen = [0, 1, 2, 3, 4] if found.names else [0, 2, 3, 4]
    show.table("most similar", [columns[k] for k in chosen], [[row[k] for k in chosen] for row in rows])
    beside = "" if found.best is None else f"; the best places: {found.best}"
    show.say(f"{found.path}: {found.searched:,} embeddings compared{beside}")


def _encoder(model: str, weights: Path | None, patch: int | None) -> Encoder:
    from swath import models
    from swath.errors import ConfigError

    encoder = models.load(model, weights)
    if patch is None:
        return encoder
    if not isinstance(encoder, models.GalileoPatches):
        raise ConfigError(
            f"--patch was given for '{model}', whose cells are {encoder.output_stride} pixels a side",
            expected="--patch for galileo models only",
            remedy="leave it out",
        )
    return encoder.with_options(models.PatchOptions(patch=patch))


def _check_source(source: Path, scene: Path | None, points: bool) -> None:
    from swath.errors import ConfigError

    if points == (scene is not None):
        return
    raise ConfigError(
        f"The points '{source}' came without a scene" if points else f"--scene was given, and '{source}' is no points",
        expected="points together with the scene that they lie in",
        remedy="write: swath embed points.geojson --scene scene.tif --model NAME -o emb.parquet",
    )


def _lonlat(text: str) -> tuple[float, float]:
    from swath.errors import ConfigError

    try:
        east, north = (float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(
            f"--at {text}",
            expected="longitude and latitude between a comma",
            remedy="write for example: --at 11.6,48.1",
        ) from error
    return east, north


def _tell(report: EmbedReport | TableReport) -> None:
    from swath.cli import show
    from swath.embed import TableReport

    record = report.record
    if isinstance(report, TableReport):
        left = f", {report.outside} outside of the scene left out" if report.outside else ""
        show.say(
            f"{report.path}: {report.rows} rows of {record.dimensions} numbers, {report.empty} of them masked{left}"
        )
        show.say(f"bands used: {', '.join(record.bands)}; version {record.version}")
        return
    made = report.prediction
    show.say(
        f"{made.files['embedding']}: {record.dimensions} bands, one cell for {record.stride} x {record.stride} pixels"
    )
    show.say(f"bands used: {', '.join(record.bands)}; {made.valid_share:.1%} of the cells have an embedding")
    change = "" if record.rounding is None else f" (storing changed a sample by {record.rounding:.2%})"
    show.say(f"stored as {record.storage}{change}; version {record.version}")
    if made.failures:
        show.say(f"{len(made.failures)} parts could not be read: see {made.failure_table}")
        raise typer.Exit(EXIT_WITH_FAILURES)
