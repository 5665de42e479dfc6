"""Pages and pictures of a sweep: the grid corruption x severity, and the curves of degradation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from swath.cubes.legend import default_colour
from swath.judge.corruptions.severities import APPEARANCE, NAMES
from swath.judge.corruptions.sweep import scores_of
from swath.judge.pictures import save_figure
from swath.metrics import CorruptionScores
from swath.types import ResultRow
from swath.types.result import FRACTIONS

_STYLES = ("-", "--", ":", "-.")


def corruption_grid(rows: Sequence[ResultRow], metric: str) -> str:
    """A markdown table: one row per corruption, one column per severity, then m(c) and its drop; clean on top.

    Fractions are shown in percent.

    Raises:
        InputError: the rows are no sweep of one contender.
    """
    scores = scores_of(rows, metric)
    factor, unit = (100.0, " [%]") if metric in FRACTIONS else (1.0, "")
    steps = sorted({severity for _, severity in scores.scores})
    heads = [*(f"severity {step}" for step in steps), "mean", "drop"]
    lines = [
        f"| {metric}{unit} | " + " | ".join(heads) + " |",
        "|---|" + "---:|" * len(heads),
        f"| clean | {' | '.join([''] * len(steps))} | {_shown(scores.clean, factor)} | |",
    ]
    for name in in_order(scores):
        values = [*(scores.scores[name, step] for step in steps), scores.mean(name), scores.drop(name)]
        lines.append(f"| {name} | " + " | ".join(_shown(value, factor) for value in values) + " |")
    overall = scores.compute()
    blank = " | ".join([""] * len(steps))
    lines.append(f"| all | {blank} | {_shown(overall['m'].value, factor)} | {_shown(overall['drop'].value, factor)} |")
    return "\n".join(lines) + "\n"


def degradation_curves(rows: Sequence[ResultRow], metric: str, path: Path | str, title: str = "") -> Path:
    """A picture of the metric over severity, 0 being clean: corruptions of appearance left, geometric ones right.

    Raises:
        InputError: the rows are no sweep of one contender.
    """
    scores = scores_of(rows, metric)
    groups = [
        [name for name in in_order(scores) if name in APPEARANCE],
        [name for name in in_order(scores) if name not in APPEARANCE],
    ]
    drawn = [group for group in groups if group]
    figure = Figure(figsize=(1.5 + 4.8 * len(drawn), 4.6), layout="constrained")
    panels: Sequence[Axes] = figure.subplots(1, len(drawn), sharey=True, squeeze=False)[0].tolist()
    for axes, group in zip(panels, drawn, strict=True):
        for index, name in enumerate(group):
            steps = (0, *scores.severities(name))
            values = [scores.clean, *(scores.scores[name, step] for step in steps[1:])]
            colour, style = default_colour((4, 5, 2, 6, 0, 1)[index % 6]), _STYLES[index // 3 % 4]
            axes.plot(steps, values, style, marker="o", ms=4, color=colour, label=name.replace("_", " "))
        axes.set_xticks(range(6))
        axes.set_xlabel("severity (0: clean)")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    panels[0].set_ylabel(metric)
    figure.suptitle(title)
    return save_figure(figure, Path(path))


def in_order(scores: CorruptionScores) -> list[str]:
    """The corruptions of a sweep in the order of ``NAMES``, unknown ones last."""
    return sorted(scores.corruptions, key=lambda name: NAMES.index(name) if name in NAMES else len(NAMES))


def _shown(value: float, factor: float) -> str:
    return "-" if not np.isfinite(value) else f"{value * factor:.1f}" if factor > 1 else f"{value:.4g}"
