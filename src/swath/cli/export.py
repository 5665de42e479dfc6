"""``swath export``: a trained model as one ONNX file."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from swath.exporting import ExportReport


class Precision(StrEnum):
    """Of the numbers in the exported model."""

    float32 = "float32"
    int8 = "int8"


def add_to(app: typer.Typer, panel: str) -> None:
    """Register the command on ``app``."""
    app.command("export", rich_help_panel=panel)(export)


def export(
    model: Annotated[Path, typer.Argument(help="Folder of a trained model.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The model to write (.onnx); its record lies beside it.")],
    precision: Annotated[
        Precision, typer.Option(help="int8 is smaller, and faster where the processor helps; needs --chips.")
    ] = Precision.float32,
    chips: Annotated[
        Path | None, typer.Option(help="Chips: compare both models on them; for int8 also the ranges of the numbers.")
    ] = None,
    split: Annotated[str, typer.Option(help="Part of the chips that both models predict.")] = "test",
    tile: Annotated[
        int | None,
        typer.Option(min=16, help="Side of the tiles, for networks of one size; usually that of the chips, else 256."),
    ] = None,
) -> None:
    """Write a model as ONNX, normalisation included; 'swath predict' and 'swath evaluate' take the file like a run."""
    from swath import exporting
    from swath.cli import show

    report = exporting.export(model, out, precision=precision.value, chips=chips, split=split, tile=tile)
    record = report.record
    size = f"{record.side} x {record.side} pixels only" if record.side else "any number of rows and columns"
    show.say(f"{out}: {record.task}, bands {', '.join(record.bands.names)}; {size}; {record.precision}")
    if report.costs:
        _tell(report)


def _tell(report: ExportReport) -> None:
    from swath.cli import show

    found = report.difference
    show.say(
        f"largest difference {found['difference']:.2g} ({found['relative']:.1e} of the largest output); "
        f"same class in {show.percent(found['agreement'])} of the places"
    )
    trained, exported = (report.scores[name] for name in ("trained", "exported"))
    show.say(f"{report.metric}: {trained:.4f} trained, {exported:.4f} exported ({exported - trained:+.4f})")
    columns = ("model", "parameters", "MAC / pixel", "file [MB]", "p50 [ms]", "p90 [ms]", "Mpixel / s", "J / Mpixel *")
    rows = [
        (
            cost.name,
            f"{cost.parameters:,}" if cost.parameters else "",
            f"{cost.macs:,.0f}" if cost.macs else "",
            f"{cost.megabytes:.1f}" if cost.megabytes else "",
            f"{cost.p50_ms:.1f}",
            f"{cost.p90_ms:.1f}",
            f"{cost.mpixel_s:.2f}",
            f"{cost.joule_per_mpixel:.1f}",
        )
        for cost in report.costs
    ]
    show.table("one batch of chips", columns, rows)
    show.say("* estimated: processor seconds at 10 W a core")
