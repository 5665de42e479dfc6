"""The command ``swath map``: a map as plain files, for hosts that run no program of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from swath.cli.more import PANEL


def add_to(app: typer.Typer) -> None:
    """Register the command of this module on ``app``."""
    app.command("map", rich_help_panel=PANEL)(map_)


def map_(
    place: Annotated[Path, typer.Argument(help="Folder with maps or layers.json, or one GeoTIFF.")],
    static: Annotated[Path, typer.Option("--static", help="Folder to write; new, empty, or from an earlier run.")],
    title: Annotated[str | None, typer.Option(help="Title of the map.")] = None,
) -> None:
    """Write a map as plain files that any web host can show; `swath serve` shows it on this machine at once."""
    from swath.cli import show
    from swath.serve import write_site

    report = write_site(place, static, title=title)
    columns = ("layer", "zoom", "read by the page [MB]", "to download [MB]")
    rows = [
        (layer.title, layer.zoom, f"{layer.copy_bytes / 1e6:.2f}", f"{layer.original_bytes / 1e6:.2f}")
        for layer in report.layers
    ]
    show.table(report.title, columns, rows)
    for note in report.notes:
        show.say(note)
    show.say(f"{report.files} files, {report.bytes / 1e6:.1f} MB in {report.folder}")
    show.say(f"To look at it: python -m http.server 8000 --directory '{report.folder}', then http://127.0.0.1:8000")
    show.say("To publish it, copy the folder to any web host; one that answers range requests sends only what is seen")
