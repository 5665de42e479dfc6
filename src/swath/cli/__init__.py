"""The command line of swath. Commands import what they need when they run, so that ``swath --help`` is instant."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from swath import __version__
from swath.cli import (
    area,
    bench,
    check,
    chips,
    chips_archive,
    data,
    embed,
    everyday,
    export,
    many,
    more,
    predict,
    scenes,
    trust,
    vectorise,
    weights,
)
from swath.cli import map as map_command
from swath.errors import SwathError

app = typer.Typer(
    name="swath",
    help="From raw scenes to maps that people can trust.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"swath {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """From raw scenes to maps that people can trust."""


everyday.add_to(app)
predict.add_to(app, everyday.PANEL)
embed.add_to(app, everyday.PANEL)
app.add_typer(chips.app, name="chips", rich_help_panel=everyday.PANEL)
more.add_to(app)
map_command.add_to(app)
app.add_typer(scenes.app, name="scenes", rich_help_panel=more.PANEL)
app.add_typer(chips_archive.app, name="archive", rich_help_panel=more.PANEL)
app.add_typer(data.app, name="data", rich_help_panel=more.PANEL)
app.add_typer(weights.app, name="weights", rich_help_panel=more.PANEL)
check.add_to(app, more.PANEL)
bench.add_to(app)
area.add_to(app, more.PANEL)
trust.add_to(app, more.PANEL)
vectorise.add_to(app, more.PANEL)
many.add_to(app, more.PANEL)
export.add_to(app, more.PANEL)


def main() -> None:
    """Entry point: errors that swath raises on purpose end as one sentence and an exit code, without a traceback."""
    try:
        app()
    except SwathError as error:
        from rich.console import Console

        console = Console(stderr=True, soft_wrap=True, highlight=False)
        console.print("[bold red]error[/] ", end="")
        console.print(str(error), markup=False)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        typer.echo("stopped; run the same command again to go on where it can be resumed", err=True)
        sys.exit(130)
