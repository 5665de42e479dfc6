"""A sweep as one HTML page: heat maps, curves, and examples beside their predictions."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

from swath.errors import InputError
from swath.files import write_text
from swath.judge.corruptions.examples import Example, draw_example
from swath.judge.corruptions.render import degradation_curves, in_order
from swath.judge.corruptions.sweep import SUMMARY, scores_of
from swath.judge.markup import html_figure, html_page, html_section, html_table
from swath.judge.page import reproduce
from swath.judge.resources import environment
from swath.judge.table import ResultTable
from swath.metrics import CorruptionScores
from swath.types import ResultRow
from swath.types.result import FRACTIONS

_STYLE = """td .heat { display: block; margin: -.35rem -.7rem; padding: .35rem .7rem; }
summary { cursor: pointer; color: var(--quiet); margin: .6rem 0; }
"""
_LOSS, _GAIN = "213, 94, 0", "0, 114, 178"
_DEEPEST = 0.75


def write_sweep_page(
    path: Path | str, rows: Sequence[ResultRow], metric: str, *, command: str, example: Example | None = None
) -> Path:
    """Write the page.

    In a heat map a cell is the darker, the larger the share of the clean score that is lost; blue is a gain.

    Args:
        path: file to write.
        rows: all rows of one sweep of one contender.
        metric: the metric that is shown first; the other overall metrics can be unfolded.
        command: the command that repeats the sweep.
        example: a sample to show under every corruption and severity of the sweep.

    Raises:
        ContractError: a number comes twice.
        InputError: the rows are no sweep of one contender with one set of severities.
    """
    table = ResultTable(rows).rows
    scores = scores_of(table, metric)
    sets = sorted({str(row.severity_set) for row in table if row.severity_set})
    if len(sets) != 1:
        raise InputError(
            f"The rows were measured with the severity sets {', '.join(sets) or 'none'}",
            expected="one version of the severities",
            remedy="measure again with one of them",
        )
    first = next(row for row in table if row.corruption is not None)
    with tempfile.TemporaryDirectory(prefix="swath-sweep-") as folder:
        curves = degradation_curves(table, metric, Path(folder) / "curves.png")
        sections = [
            html_section("Scores by corruption and severity", _heat_map(scores, metric) + _others(table, metric)),
            html_section("Degradation", html_figure(curves, f"{metric} over severity; 0 is clean", first.data_kind)),
            html_section("Examples", "" if example is None else _examples(example, scores, first, Path(folder))),
            html_section("How to reproduce", reproduce(command, environment())),
        ]
    facts = (
        f"{first.dataset or 'data'}, {first.split or 'all samples'}", f"{first.n_test or '?'} samples",
        f"data: {first.data_kind}", f"severity set {sets[0]}", str(first.protocol),
    )  # fmt: skip
    title = f"What corruptions leave of {first.backbone or first.recipe or first.system}"
    return write_text(Path(path), html_page(title, " &middot; ".join(map(escape, facts)), sections, style=_STYLE))


def _heat_map(scores: CorruptionScores, metric: str) -> str:
    """Corruptions down, severities across, then the mean and the drop."""
    factor, unit = (100.0, " [%]") if metric in FRACTIONS else (1.0, "")
    steps = sorted({severity for _, severity in scores.scores})
    heads = [f"{escape(metric)}{unit}", *(f"severity {step}" for step in steps), "mean", "drop"]
    body = []
    for name in in_order(scores):
        cells = [_heat(scores.scores.get((name, step), float("nan")), scores, factor) for step in steps]
        cells += [_heat(scores.mean(name), scores, factor), _number(scores.drop(name), factor)]
        body.append([escape(name.replace("_", " ")), *cells])
    overall = scores.compute()
    blank = [""] * len(steps)
    body.append(["all", *blank, _heat(overall["m"].value, scores, factor), _number(overall["drop"].value, factor)])
    return html_table(heads, body, f"Clean: {_number(scores.clean, factor)}{unit}. A cell shows what is left.")


def _others(rows: Sequence[ResultRow], metric: str) -> str:
    """The other overall metrics of the sweep, folded."""
    names = dict.fromkeys(
        row.metric
        for row in rows
        if row.corruption is not None and row.class_name is None and row.variant not in SUMMARY and row.severity
    )
    parts = []
    for name in names:
        if name == metric:
            continue
        try:
            scores = scores_of(rows, name)
        except InputError:  # measured for some cells only
            continue
        parts.append(f"<details><summary>{escape(name.replace('_', ' '))}</summary>{_heat_map(scores, name)}</details>")
    return "\n".join(parts)


def _heat(value: float, scores: CorruptionScores, factor: float) -> str:
    """A number on a ground that tells its loss; the number itself stays readable on both."""
    if not np.isfinite(value) or not np.isfinite(scores.clean):
        return _number(value, factor)
    loss = (scores.clean - value) * (1 if scores.higher_is_better else -1)
    share = min(abs(loss) / max(abs(scores.clean), 1e-12), 1.0)
    colour = f"rgba({_LOSS if loss > 0 else _GAIN}, {_DEEPEST * share:.2f})"
    return f'<span class="heat" style="background: {colour}">{_number(value, factor)}</span>'


def _number(value: float, factor: float) -> str:
    return "-" if not np.isfinite(value) else f"{value * factor:.1f}" if factor > 1 else f"{value:.4g}"


def _examples(example: Example, scores: CorruptionScores, row: ResultRow, folder: Path) -> str:
    """One picture a corruption."""
    figures = []
    for name in in_order(scores):
        picture = draw_example(example, name, scores.severities(name), folder / f"{name}.png")
        caption = f"{name.replace('_', ' ')}, sample {example.batch.ids[0]}"
        figures.append(html_figure(picture, caption, row.data_kind))
    return "".join(figures)
