"""The command ``swath vectorise``: a class map to polygons."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from swath.cli.config import Config


class Small(StrEnum):
    """What happens to small regions."""

    drop = "drop"
    merge = "merge"


def add_to(app: typer.Typer, panel: str) -> None:
    """Register the command of this module on ``app``."""
    app.command("vectorise", rich_help_panel=panel)(vectorise)


def vectorise(
    map_path: Annotated[Path, typer.Argument(metavar="MAP", help="Raster of class numbers.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Polygons: .geojson, .gpkg or .parquet.")],
    minimum_area: Annotated[float, typer.Option(help="Smallest region in square metres.")] = 0.0,
    simplify: Annotated[float, typer.Option(help="Tolerance of borders in metres; 0 keeps every pixel corner.")] = 0.0,
    classes: Annotated[str | None, typer.Option(help="Wanted classes, by name or value, separated by commas.")] = None,
    band: Annotated[int, typer.Option(help="Band of the map, from 1.")] = 1,
    confidence: Annotated[Path | None, typer.Option(help="Raster on the same grid to average per region.")] = None,
    connectivity: Annotated[int, typer.Option(help="4: pixels of a region share sides; 8: corners are enough.")] = 4,
    small: Annotated[
        Small, typer.Option(help="Leave small regions out, or merge them into their largest neighbour.")
    ] = Small.drop,
    most: Annotated[int, typer.Option(help="Number of regions beyond which nothing is written.")] = 1_000_000,
    config: Config = None,
) -> None:
    """Turn a class map into polygons with true areas; neighbours keep sharing their borders."""
    from swath import predict
    from swath.cli import show

    wanted = None if classes is None else [name.strip() for name in classes.split(",") if name.strip()]
    report = predict.vectorise(
        map_path,
        out,
        minimum_area_m2=minimum_area,
        simplify_m=simplify,
        classes=wanted,
        band=band,
        confidence=confidence,
        connectivity=connectivity,
        small=small.value,
        most=most,
    )
    rows = [(name, count, f"{report.area_m2[name] / 1e6:,.6g}") for name, count in report.counts.items()]
    show.table("regions", ("class", "polygons", "area [km²]"), rows)
    left = f", {report.dropped:,} below {minimum_area:g} m² left out" if report.dropped else ""
    show.say(f"{out}: {report.polygons:,} polygons with {report.corners:,} corners{left}")
