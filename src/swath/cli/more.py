"""Less frequent commands: demo, doctor, systems, sensors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PANEL = "More"


def add_to(app: typer.Typer) -> None:
    """Register the commands of this module on ``app``."""
    for name, command in (("demo", demo), ("doctor", doctor), ("systems", systems), ("sensors", sensors)):
        app.command(name, rich_help_panel=PANEL)(command)


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")] = Path("demo"),
    serve: Annotated[bool, typer.Option("--serve/--no-serve", help="Show the map in the browser afterwards.")] = True,
    port: Annotated[int, typer.Option(help="Port of the map.")] = 8000,
    quick: Annotated[bool, typer.Option("--quick", help="Coarse and short; its scores mean nothing.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the run.")] = 0,
) -> None:
    """Map the real Earth: learn land cover on four continents, score it on two others, map the globe, show it."""
    from swath import verbs
    from swath.cli import show
    from swath.cli.everyday import show_report

    report = verbs.run("planet_land_cover", out, mode="quick" if quick else "full", seed=seed)
    show_report(report)
    for name in ("prediction.tif", "report.json", "report.html"):
        show.say(f"{name}: {out / name}")
    show.say(f"{report.wall_s / 60:.1f} minutes, {report.peak_rss_mb:,.0f} MiB at most")
    if serve:
        verbs.serve(out, port=port)


def doctor() -> None:
    """Tell what is installed and what each missing extra would add."""
    from swath.cli import installation as room
    from swath.cli import show

    show.table("installation", ("part", "state", "what it is for"), room.installation())
    show.table("data", ("name", "state", "how to get it"), room.data())


def systems(json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the systems: what each is, how far it is proven, whether its data are real or simulated."""
    from swath import systems as room
    from swath.cli import show

    rows = room.table()
    if json:
        show.as_json(rows)
    else:
        show.table("systems", ("slug", "title", "family", "tier", "data"), [list(row.values()) for row in rows])


def sensors(
    name: Annotated[str | None, typer.Argument(help="Sensor to describe; without it all are listed.")] = None,
) -> None:
    """List the sensors, or the bands of one."""
    from swath import sensors as room
    from swath.cli import show

    if name is None:
        loaded = [room.load(each) for each in room.names()]
        known = [(each.name, each.title, len(each.bands), ", ".join(each.levels)) for each in loaded]
        show.table("sensors", ("name", "title", "bands", "levels"), known)
        return
    sensor = room.load(name)
    columns = ("band", "aliases", "wavelength [nm]", "width [nm]", "GSD [m]", "kind", "unit")
    rows = [
        (band.name, ", ".join(band.aliases), band.wavelength_nm, band.width_nm, band.gsd_m, band.kind, band.unit)
        for band in sensor.bands
    ]
    show.table(name, columns, rows)
    for each in sensor.statistics:
        values = {"mean": each.mean, "sd": each.std, "minimum": each.minimum, "maximum": each.maximum}
        held = {column: given for column, given in values.items() if given is not None}
        show.table(
            f"statistics: {each.name}",
            ("band", *held),
            [list(row) for row in zip(each.bands, *held.values(), strict=True)],
        )
        show.say(f"from: {each.source}")
    for source in sensor.sources:
        show.say(f"source: {source}")
