"""``swath train`` on features: what it tells, and which options go together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from swath.errors import ConfigError

if TYPE_CHECKING:
    from swath.embed import FewReport
    from swath.metrics import Interval


@dataclass(frozen=True)
class Asked:
    """What was asked on the command line; None where nothing was.

    Args:
        head: ``linear`` or ``forest``.
        column: of the class.
        block: side of the blocks in cells.
        scene: for the comparison.
        map: GeoTIFF to write.
    """

    head: str | None
    column: str | None
    block: float | None
    scene: Path | None
    map: Path | None


def check_options(features: Path | None, of_features: Mapping[str, object], of_chips: Mapping[str, object]) -> None:
    """Refuse options that belong to the other way of training.

    Raises:
        ConfigError: as said.
    """
    odd = [name for name, value in (of_features if features is None else of_chips).items() if value is not None]
    if odd:
        raise ConfigError(
            f"{', '.join(odd)} {'was' if len(odd) == 1 else 'were'} given {'without' if features is None else 'with'} "
            "--features",
            expected="options of training on chips, or --features with its own",
            remedy="see: swath train --help",
        )


def train(
    features: Path,
    labels: Path,
    out: Path,
    asked: Asked,
    seed: int,
    data: Literal["real", "hybrid", "simulated", "fixture"],
) -> None:
    """Train a head, tell its score beside that of the bands, and write the map."""
    from swath import verbs
    from swath.cli import show
    from swath.embed import FewOptions
    from swath.predict import check_request

    options = FewOptions(asked.head or "linear", asked.column, asked.block, seed=seed)  # type: ignore[arg-type]
    options.check()
    if asked.map is not None and features.suffix.lower() == ".parquet":
        raise ConfigError(
            f"--map was given with the table '{features}'",
            expected="a map of embeddings, which covers every place of a scene",
            remedy=f"leave it out, and classify tables with: swath predict {out} TABLE.parquet -o classes.parquet",
        )
    report = verbs.fit_features(features, labels, out, options=options, scene=asked.scene, data_kind=data)
    if asked.map is not None:
        check_request(report.model, asked.map, overlap=0, source=features)
    _tell(report, out)
    if asked.map is not None:
        made = verbs.predict(report.model, features, asked.map, overlap=0, batch_size=1)
        show.say(f"map: {made.files['class']}; {show.percent(made.valid_share)} of the cells mapped")


def _tell(report: FewReport, out: Path) -> None:
    from swath.cli import show

    counts = ", ".join(f"{name} {count}" for name, count in report.class_counts().items())
    table = report.unit == "m"
    on = "rows of the table" if table else f"objects on {len(report.labels.cells)} cells"
    show.say(f"{report.objects} labelled {on}: {counts}")
    left = [
        f"{number} {what}"
        for number, what in (
            (report.labels.cells.outside, "labels without such an id" if table else "objects outside of the scene"),
            (report.masked, "rows without an embedding" if table else "cells without an embedding"),
            (report.labels.conflicts, "cells named twice or by different classes"),
        )
        if number
    ]
    if left:
        show.say(f"left out: {', '.join(left)}")
    if report.score is not None and report.blocks is not None:
        record = report.features.record
        rows = [_row(f"{report.model.name} head on {record.encoder}", report.score.accuracy, report.score.mean_f1)]
        if report.bands is not None:
            rows.append(_row("random forest on the bands", report.bands.accuracy, report.bands.mean_f1))
        side = f"{report.blocks.side:,.0f} m" if table else f"{report.blocks.side:.3g} cells"
        title = f"{report.blocks.count} spatial blocks of {side}, held out in {report.blocks.folds} folds"
        show.table(title, ("model", "accuracy", "95 % interval", "mean F1", "95 % interval"), rows)
    if report.difference is not None:
        low, high = float(report.difference.low), float(report.difference.high)
        verdict = "better" if low > 0 else "worse" if high < 0 else "not told apart from the forest"
        show.say(f"accuracy minus that of the forest: {_text(report.difference)}: {verdict}")
    if report.note:
        show.say(report.note)
    show.say(f"model: {out}; use it on any embeddings of the same version with 'swath predict'")


def _row(name: str, accuracy: Interval, mean_f1: Interval) -> tuple[object, ...]:
    return (
        name,
        float(accuracy.estimate),
        f"{float(accuracy.low):.3f} to {float(accuracy.high):.3f}",
        float(mean_f1.estimate),
        f"{float(mean_f1.low):.3f} to {float(mean_f1.high):.3f}",
    )


def _text(found: Interval) -> str:
    return f"{float(found.estimate):+.3f} ({float(found.low):+.3f} to {float(found.high):+.3f})"
