"""Tables and a curve of corruption sweeps, from result rows.

Rows without ``corruption`` are the clean score; severity runs from 1. Repetitions (seeds, folds) are averaged;
fractions become percent here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from swath.cubes.legend import default_colour
from swath.errors import InputError
from swath.judge.pictures import save_figure
from swath.judge.table import check_repeats, contender, mean_and_deviation
from swath.types import ResultRow
from swath.types.result import FRACTIONS

CLEAN = "clean"


def corruption_grid(rows: Iterable[ResultRow], metric: str, who: str | None = None) -> str:
    """Markdown grid of one contender: corruptions down, clean and severities across, and the mean over severities.

    Args:
        rows: rows of a sweep; the other metrics in them are passed over.
        metric: which metric.
        who: the contender, where the rows hold several.

    Raises:
        InputError: no such rows, several contenders, no corruption, or a cell of numbers that are not repetitions.
    """
    chosen = _chosen(rows, metric, who)
    names = sorted({contender(row) for row in chosen})
    if len(names) > 1:
        raise InputError(
            f"The rows hold the contenders {', '.join(names[:5])}",
            expected="one contender per grid",
            remedy="name one of them",
        )
    scale = _scale(metric)
    severities = _severities(chosen)
    clean = [row for row in chosen if row.corruption is None]
    unit = " [%]" if scale > 1 else ""
    lines = [
        f"| {names[0]}: {metric}{unit} | {CLEAN} | " + " | ".join(map(str, severities)) + " | mean |",
        "|---|" + "---:|" * (len(severities) + 2),
    ]
    for name in _corruptions(chosen):
        cells = [_cell(chosen, name, severity) for severity in severities]
        means = [_mean(cell) for cell in cells]
        texts = [_text(cell, scale) for cell in (clean, *cells)]
        whole = all(math.isfinite(mean) for mean in means)  # a mean over other severities would not compare
        texts.append(_number(float(np.mean(means)), scale) if whole else "-")
        lines.append(f"| {name} | " + " | ".join(texts) + " |")
    return "\n".join(lines) + "\n"


def degradation_curve(rows: Iterable[ResultRow], metric: str, path: Path | str, *, title: str = "") -> Path:
    """Picture of a score against severity: one panel per corruption, one line per contender, 0 is clean.

    Bars reach one standard deviation (ddof 1) over repetitions up and down, where there are several.

    Args:
        rows: rows of a sweep; the other metrics in them are passed over.
        metric: which metric.
        path: file to write.
        title: title of the picture.

    Raises:
        InputError: no such rows, no corruption, or a point of numbers that are not repetitions.
    """
    chosen = _chosen(rows, metric, None)
    corruptions, severities, scale = _corruptions(chosen), _severities(chosen), _scale(metric)
    names = list(dict.fromkeys(contender(row) for row in chosen))
    across = min(4, len(corruptions))
    down = -(-len(corruptions) // across)
    figure = Figure(figsize=(1.2 + 2.9 * across, 0.8 + 2.5 * down), layout="constrained")
    grid = figure.subplots(down, across, sharey=True, squeeze=False)
    for axes in grid.ravel()[len(corruptions) :]:
        axes.set_axis_off()
    for axes, corruption in zip(grid.ravel(), corruptions, strict=False):
        for index, name in enumerate(names):
            mine = [row for row in chosen if contender(row) == name]
            points = [[row for row in mine if row.corruption is None]]
            points += [_cell(mine, corruption, severity) for severity in severities]
            axes.errorbar(
                [0, *severities],
                [_mean(point) * scale for point in points],
                [_deviation(point) * scale for point in points],
                fmt=("-", "--", ":", "-.")[index % 4],
                marker="osD^"[index % 4],
                color=default_colour((4, 5, 2, 6, 0, 1)[index % 6]),
                capsize=3,
                ms=4,
                label=name,
            )
        axes.set_title(corruption, fontsize=10)
        axes.set_xticks([0, *severities])
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    grid[0, 0].legend(frameon=False, fontsize=8)
    figure.supxlabel("severity (0: clean)")
    figure.supylabel(f"{metric.replace('_', ' ')}{' [%]' if scale > 1 else ''}")
    if title:
        figure.suptitle(title)
    return save_figure(figure, Path(path))


def _chosen(rows: Iterable[ResultRow], metric: str, who: str | None) -> list[ResultRow]:
    every = [row for row in rows if row.class_name is None and row.group is None]
    chosen = [row for row in every if row.metric == metric and who in (None, contender(row))]
    if not any(row.corruption is not None for row in chosen):
        known = sorted({f"{row.metric} of {contender(row)}" for row in every if row.corruption is not None})
        raise InputError(
            f"There are no corrupted rows of {metric}{f' of {who}' if who else ''}",
            expected=f"one of {', '.join(known[:8])}" if known else "rows with a corruption and a severity",
            remedy="choose another metric or contender, or measure the sweep first",
        )
    versions = sorted({str(row.severity_set) for row in chosen if row.corruption is not None})
    if len(versions) > 1:
        raise InputError(
            f"The rows were measured with the severity sets {', '.join(versions)}",
            expected="one version of the severities",
            remedy="measure again with one of them",
        )
    return chosen


def _corruptions(rows: Sequence[ResultRow]) -> list[str]:
    """Names in the order of their first row."""
    return list(dict.fromkeys(row.corruption for row in rows if row.corruption is not None))


def _severities(rows: Sequence[ResultRow]) -> list[int]:
    return sorted({row.severity for row in rows if row.corruption is not None and row.severity is not None})


def _cell(rows: Sequence[ResultRow], corruption: str, severity: int) -> list[ResultRow]:
    return [row for row in rows if (row.corruption, row.severity) == (corruption, severity)]


def _text(rows: Sequence[ResultRow], scale: float) -> str:
    check_repeats(rows, "one cell of the grid")
    return mean_and_deviation([row.value for row in rows], scale)


def _mean(rows: Sequence[ResultRow]) -> float:
    """Mean over repetitions; NaN for none, and where one of them is undefined."""
    check_repeats(rows, "one point of the sweep")
    return float(np.mean([row.value for row in rows])) if rows else math.nan


def _deviation(rows: Sequence[ResultRow]) -> float:
    """Standard deviation over repetitions; NaN, which draws no bar, with fewer than two."""
    return float(np.std([row.value for row in rows], ddof=1)) if len(rows) > 1 else math.nan


def _scale(metric: str) -> float:
    return 100.0 if metric in FRACTIONS else 1.0


def _number(value: float, scale: float) -> str:
    return f"{value * scale:.{1 if scale > 1 else 3}f}"
