"""``swath area``: draw a sample from a map for people to label, and estimate areas and accuracies from it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Areas one can defend: draw a sample, label it, estimate with intervals.", no_args_is_help=True)
Map = Annotated[Path, typer.Argument(metavar="MAP", help="Class map: one band of whole numbers.")]
Strata = Annotated[Path | None, typer.Option(help="Raster of strata, where they are not the classes of the map.")]


class Rule(StrEnum):
    """How points are shared out among strata."""

    good_practice = "good-practice"
    proportional = "proportional"
    equal = "equal"
    neyman = "neyman"


def add_to(parent: typer.Typer, panel: str) -> None:
    """Register the group ``area`` on ``parent``."""
    parent.add_typer(app, name="area", rich_help_panel=panel)


@app.command("sample")
def sample(
    raster: Map,
    out: Annotated[Path, typer.Option("--out", "-o", help="Points to write: .gpkg, .geojson or .csv.")],
    number: Annotated[int | None, typer.Option("--number", "-n", min=2, help="Points in all.")] = None,
    standard_error: Annotated[
        float | None, typer.Option(help="Instead of -n: wanted standard error of the overall accuracy.")
    ] = None,
    expected: Annotated[
        list[str] | None, typer.Option(help="Accuracy that you expect: 0.8, or CLASS=0.8, several times.")
    ] = None,
    allocation: Annotated[Rule, typer.Option(help="How points are shared out.")] = Rule.good_practice,
    minimum: Annotated[int, typer.Option(min=2, help="Fewest points of a stratum (good-practice).")] = 50,
    strata: Strata = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draw.")] = 0,
) -> None:
    """Draw a stratified random sample; fill the column 'reference' in a GIS, best without looking at the map class."""
    from swath.cli import show
    from swath.errors import ConfigError
    from swath.judge import frame as frames
    from swath.judge import labelled
    from swath.judge import sample as samples

    labelled.check_name(out)
    if (number is None) == (standard_error is None):
        raise ConfigError(
            "Both -n and --standard-error were given" if number else "Neither -n nor --standard-error was given",
            expected="one of them",
            remedy="for example -n 600, or --standard-error 0.01 --expected 0.8",
        )
    frame = frames.survey(raster, strata)
    samples.check_drawable(frame)
    names = list(frame.stratum_names.values())
    areas = [frame.strata.km2[value] for value in frame.stratum_names]
    accuracy = _accuracies(expected, names)
    if number is None:
        assert standard_error is not None
        floor = minimum * len(names) if allocation is Rule.good_practice else samples.LEAST * len(names)
        number = max(floor, samples.sample_size(areas, accuracy, standard_error))
    how = "good practice" if allocation is Rule.good_practice else allocation.value
    counts = samples.allocate(number, areas, how=how, minimum=minimum, accuracy=accuracy)  # type: ignore[arg-type]
    table = samples.draw_sample(frame, dict(zip(names, counts.tolist(), strict=True)), seed=seed)
    labelled.write_sample(table, out)
    drawn = table["stratum"].value_counts()
    rows = [(name, area, int(drawn.get(name, 0))) for name, area in zip(names, areas, strict=True)]
    show.table("sample", ("stratum", "mapped [km2]", "points"), rows)
    show.say(f"{len(table)} points: {out}")


@app.command("estimate")
def estimate(
    raster: Map,
    points: Annotated[Path, typer.Argument(metavar="SAMPLE", help="The sample with reference labels.")],
    reference: Annotated[str, typer.Option(help="Column with the reference labels.")] = "reference",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Default: MAP with the ending .areas.json.")] = None,
    confidence: Annotated[float, typer.Option(help="Coverage of the intervals.")] = 0.95,
    strata: Strata = None,
    drawn_elsewhere: Annotated[
        bool, typer.Option("--drawn-elsewhere", help="The points are a stratified random sample drawn by other means.")
    ] = False,
) -> None:
    """Areas and accuracies of a map with intervals, from the reference labels of its sample."""
    from swath.cli import show
    from swath.cli.everyday import check_suffix
    from swath.errors import ConfigError
    from swath.judge import area, labelled
    from swath.judge import frame as frames

    out = out or raster.with_suffix(".areas.json")
    check_suffix(out, (".json",))
    if not 0 < confidence < 1:
        raise ConfigError(f"--confidence {confidence}", expected="above 0 and below 1", remedy="use 0.95")
    table = labelled.read_sample(points)
    frame = frames.survey(raster, strata)
    joined = labelled.join(frame, table, reference=reference, name=str(points), drawn_elsewhere=drawn_elsewhere)
    found = area.estimate_map(frame, joined, confidence=confidence)
    found.save(out, raster.name)
    rows = [
        (name, mapped, each.value, each.low, each.high, users.value, producers.value)
        for name, mapped, each, users, producers in zip(
            found.classes, found.mapped_km2, found.area, found.users, found.producers, strict=True
        )
    ]
    columns = ("class", "mapped [km2]", "area [km2]", "low", "high", "user's", "producer's")
    show.table(f"areas with {confidence:.0%} intervals", columns, rows)
    overall = found.overall
    show.say(f"overall accuracy {overall.value:.3f} ({overall.low:.3f} to {overall.high:.3f})")
    for note in found.notes:
        show.say(f"note: {note}")
    show.say(f"areas: {out}")


def _accuracies(expected: list[str] | None, names: list[str]) -> list[float]:
    """Expected accuracy of each stratum: 0.8 for those that are not named."""
    from swath.errors import ConfigError, nearest

    known = dict.fromkeys(names, 0.8)
    for text in expected or []:
        name, _, value = text.rpartition("=")
        try:
            number = float(value)
        except ValueError:
            number = -1.0
        if not 0 <= number <= 1 or (name and name not in known):
            raise ConfigError(
                f"--expected {text}",
                expected="a number from 0 to 1, or STRATUM=NUMBER",
                remedy=f"the strata are {', '.join(names[:12])}"
                + (f"; the nearest is: {nearest(name, names, 1)}" if name else ""),
            )
        known.update({name: number} if name else dict.fromkeys(names, number))
    return list(known.values())
