"""``swath weights``: published encoders, what is known about them, and their files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from swath.weights import Entry

app = typer.Typer(help="Published encoders: list, describe, fetch and check their weights.")
Name = Annotated[str, typer.Argument(help="Name of the encoder, as 'swath weights' lists it.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@app.callback(invoke_without_command=True)
def listing(context: typer.Context, json: Json = False) -> None:
    """Published encoders: list, describe, fetch and check their weights."""
    if context.invoked_subcommand is not None:
        return
    from swath import weights
    from swath.cli import show

    rows = [_facts(weights.entry(name)) for name in weights.names()]
    if json:
        show.as_json(rows)
        return
    columns = ("name", "title", "embedding_dim", "numbers", "bands", "licence", "here")
    show.table("published encoders", columns, [[row[column] for column in columns] for row in rows])


@app.command("show")
def show_one(name: Name, json: Json = False) -> None:
    """What is known about one encoder: source, checksum, bands with units and scaling, what to cite."""
    from swath import weights
    from swath.cli import show

    entry = weights.entry(name)
    if json:
        show.as_json(entry.model_dump(mode="json"))
        return
    facts: dict[str, Any] = {
        "title": entry.title,
        "cite": entry.citation,
        "licence": entry.licence,
        "source": f"{entry.repository} at {entry.revision}",
        "file": f"{entry.weights.file}, {entry.weights.bytes or 'unknown number of'} bytes",
        "sha256": entry.weights.sha256 or "not known: the file cannot be verified",
        "address": entry.weights.address or "none: get the file yourself and name it with path=",
        "here": _facts(entry)["here"],
        "trained on": entry.level,
        "dates": f"1 to {entry.most_steps}",
        "statistics": entry.statistics.source,
    }
    show.table(name, ("fact", ""), [*facts.items(), *[("note", note) for note in entry.notes]])
    rows = []
    for band in entry.bands:
        factor, add, divide = band.scaling
        known = band.band
        wavelength = None if known.wavelength_nm is None else f"{known.wavelength_nm:g} nm"
        scaling = f"(x * {factor:g} + {add:g}) / {divide:g}"
        rows.append((band.name, band.published, band.group, wavelength, known.unit, band.sensor, scaling))
    columns = ("band", "published", "group", "wavelength", "unit", "sensor file", "normalised")
    show.table("inputs; what happens to those that a scene lacks stands in docs/weights.md", columns, rows)


@app.command("get")
def get(
    name: Name,
    path: Annotated[Path | None, typer.Option("--path", help="Check this file or folder; fetch nothing.")] = None,
) -> None:
    """Fetch the weights of an encoder (or take those that are here), check and load them, and print what went where."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

    from swath import models
    from swath.cli import show

    with Progress("{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn(), transient=True) as bar:
        task = bar.add_task(name, total=None, visible=False)
        encoder = models.load(
            name,
            path,
            progress=lambda done, total: bar.update(task, completed=done, total=total, visible=True),
            say=lambda line: None,
        )
    show.table(f"{name}: what was loaded", ("what", ""), encoder.report.rows())
    show.say(f"version {encoder.version}")


def _facts(entry: Entry) -> dict[str, Any]:
    """One row of the list."""
    from swath.weights import fetch

    there = fetch.lies_at(entry)
    groups = dict.fromkeys(band.group for band in entry.bands)
    return {
        "name": entry.name,
        "title": entry.title,
        "embedding_dim": entry.embedding_dim,
        "numbers": entry.numbers,
        "bands": f"{len(entry.bands)}: {', '.join(groups)}",
        "licence": entry.licence,
        "here": "no; fetched when asked for" if there is None else str(there[1]),
    }
