"""Scores at every share of the labels as rows, and as curves with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swath.files import write_whole
from swath.metrics import paired_t_interval
from swath.types import ResultRow

Cell = tuple[str, str, float]
"""Task, contender and share."""
DRAWN = {
    "pretrained": ("C0", "o", "-"), "scratch": ("C1", "s", "-"), "unet": ("C2", "^", "-"), "forest": ("C3", "v", "-"),
    "presto": ("C4", "D", ""), "galileo_nano": ("C5", "P", ""),
}  # fmt: skip
"""Colour, marker and line of those that the picture shows."""


@dataclass(frozen=True)
class Scored:
    """A score.

    Args:
        miou: mean IoU on the test chips.
        learned, tested: chips.
    """

    miou: float
    learned: int
    tested: int


def rows(found: Mapping[Cell, Scored], base: ResultRow, few: float) -> list[ResultRow]:
    """``miou`` of every cell (task in column group), and its means: ``miou_few`` and ``miou_tenth``.

    ``miou_few`` is the mean over all shares up to ``few``, of contenders that were asked at each of them, and
    ``miou_tenth`` what they reach at the largest of these; both with a row for each task and one for their mean.

    Args:
        found: scores of one seed.
        base: what all rows share.
        few: largest share that counts as small.
    """
    made = [
        replace(
            base, dataset=task, group=task, backbone=who, label_fraction=share, metric="miou", value=each.miou,
            n_train=each.learned, n_test=each.tested, higher_is_better=True,
        )
        for (task, who, share), each in found.items()
    ]  # fmt: skip
    small = sorted({share for _, _, share in found if share <= few})
    names = list(dict.fromkeys(task for task, _, _ in found))
    for metric, counted in (("miou_few", small), ("miou_tenth", small[-1:])):
        for who in dict.fromkeys(who for _, who, _ in found):
            if not all((task, who, share) in found for task in names for share in counted):
                continue
            means = {task: float(np.mean([found[task, who, share].miou for share in counted])) for task in names}
            row = replace(base, backbone=who, metric=metric, higher_is_better=True)
            made += [replace(row, dataset=task, group=task, value=value) for task, value in means.items()]
            made.append(replace(row, dataset=f"{len(names)} tasks", value=float(np.mean(list(means.values())))))
    return made


def table(found: Sequence[ResultRow], task: str, who: str) -> NDArray[np.float64]:
    """Share, mean, low and high ``(S, 4)`` of the mean IoU over seeds; a single seed has no interval, so NaN."""
    values: dict[float, list[float]] = {}
    for row in found:
        if row.metric == "miou" and row.group == task and row.backbone == who and row.label_fraction is not None:
            values.setdefault(row.label_fraction, []).append(row.value)
    lines = []
    for share, each in sorted(values.items()):
        low = high = float("nan")
        if len(each) > 1:
            interval = paired_t_interval(np.array(each))
            low, high = float(interval.low), float(interval.high)
        lines.append((share, float(np.mean(each)), low, high))
    return np.array(lines, np.float64).reshape(-1, 4)


def picture(found: Sequence[ResultRow], path: Path) -> Path:
    """Curves of mean IoU over the share of labels, a panel a task, with 95 % t intervals over seeds, as a PNG.

    Args:
        found: rows of one or more seeds.
        path: file to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(str(row.group) for row in found if row.metric == "miou"))
    figure = Figure(figsize=(3.4 * len(names), 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(names), squeeze=False)[0]
    for panel, task in zip(panels, names, strict=True):
        for number, (who, (colour, marker, line)) in enumerate(DRAWN.items()):
            lines = table(found, task, who)
            if not len(lines):
                continue
            share, mean, low, high = lines.T
            beside = share * 1.03 ** (number - 2.5)  # so that bars do not hide each other
            bars = np.nan_to_num(np.stack([mean - low, high - mean]))
            panel.errorbar(
                beside, mean, bars, color=colour, marker=marker, linestyle=line, markersize=4, capsize=2, label=who
            )
        panel.set_xscale("log")
        panel.set_title(task)
        panel.set_xlabel("share of the labels")
    panels[0].set_ylabel("mean IoU")
    panels[-1].legend(fontsize="small")
    return write_whole(path, lambda part: figure.savefig(part, format="png", dpi=100))
