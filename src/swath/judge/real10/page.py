"""The tables of real10 as markdown: scores by task, and mean ranks with intervals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from swath.judge.real10.ranks import MeanRank, mean_ranks
from swath.judge.real10.run import VARIANTS, Measured
from swath.judge.real10.suite import TASKS, Task
from swath.judge.table import ResultTable, mean_and_interval
from swath.types import ResultRow
from swath.types.result import FRACTIONS

METRICS = {"miou": "mIoU [%]", "balanced_accuracy": "balanced accuracy [%]", "rmse": "RMSE"}
BOTH = "both"


def page(measured: Measured, tasks: Sequence[Task] = TASKS) -> str:
    """Both variants, the ranks, and what is missing."""
    parts = []
    for variant in _variants(measured.table):
        parts.append(f"### {variant[0].upper()}{variant[1:]}\n\n{scores_table(measured.table, variant, tasks)}")
    parts.append(f"### Mean rank (1 is best)\n\n{rank_table(measured.table, tasks)}")
    for task, why in dict.fromkeys((task, why) for (_, task), why in measured.left_out.items()):
        names = [name for (name, left), reason in measured.left_out.items() if (left, reason) == (task, why)]
        parts.append(f"Left out: {task} for {', '.join(names)} ({why}).\n")
    parts += [f"Missing: {name} ({why}).\n" for name, why in measured.missing.items()]
    parts += [f"Failed: {each.item} ({each.reason}).\n" for each in measured.failures]
    return "\n".join(parts)


def scores_table(table: ResultTable, variant: str, tasks: Sequence[Task] = TASKS) -> str:
    """One row a task, one column a contender: mean and Student's 95 % interval over seeds, at the metric that ranks."""
    names = _contenders(table)
    lines = ["| task | metric | train / test | " + " | ".join(names) + " |", "|---|---|---:|" + "---:|" * len(names)]
    for task in tasks:
        rows = _rows(table, task, variant)
        if not rows:
            continue
        scale = 100.0 if task.metric in FRACTIONS else 1.0
        cells = [mean_and_interval([row for row in rows if row.backbone == name], scale) for name in names]
        sizes = f"{_span(row.n_train for row in rows)} / {_span(row.n_test for row in rows)}"
        lines.append(f"| {task.name} | {METRICS[task.metric]} | {sizes} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def rank_table(table: ResultTable, tasks: Sequence[Task] = TASKS) -> str:
    """Mean rank of each contender with its interval over tasks and seeds, for each variant and for both together."""
    lines = [
        "| labels | tasks | " + " | ".join(_contenders(table)) + " |",
        "|---|---:|" + "---:|" * len(_contenders(table)),
    ]
    shown = _variants(table)
    for label in (*shown, BOTH) if len(shown) > 1 else shown:
        found = suite_ranks(table, None if label == BOTH else label, tasks)
        if found:
            cells = [_rank(each) for each in found]
            lines.append(f"| {label} | {found[0].tasks} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _rank(rank: MeanRank) -> str:
    """The mean with its interval, where several tasks give one."""
    return f"{rank.mean:.2f}" + (f" [{rank.low:.2f}, {rank.high:.2f}]" if rank.tasks > 1 else "")


def suite_ranks(table: ResultTable, variant: str | None, tasks: Sequence[Task] = TASKS) -> tuple[MeanRank, ...]:
    """Mean ranks over the tasks of which every contender has every seed; none where there is no such task.

    Args:
        table: rows of a run.
        variant: which labels; None averages the ranks of the variants task by task.
        tasks: the tasks to count.
    """
    names = _contenders(table)
    tables = []
    for task in tasks:
        parts = [_scores(table, task, each, names) for each in ([variant] if variant else _variants(table))]
        whole = [part for part in parts if part is not None]
        if parts and len(whole) == len(parts) and len({part.shape for part in whole}) == 1:
            tables.append(np.stack(whole))
    if not tables:
        return ()
    return mean_ranks(names, [each.reshape(-1, len(names)) for each in tables])


def _scores(table: ResultTable, task: Task, variant: str, names: Sequence[str]) -> NDArray[np.float64] | None:
    """Scores ``(seed, contender)``, higher is better; None where one is absent."""
    rows = {(row.seed, row.backbone): row.value for row in _rows(table, task, variant)}
    seeds = sorted({seed for seed, _ in rows if seed is not None})
    if not seeds or len(rows) < len(seeds) * len(names):
        return None
    found = np.array([[rows[seed, name] for name in names] for seed in seeds])
    return found if task.higher_is_better else -found


def _rows(table: ResultTable, task: Task, variant: str) -> tuple[ResultRow, ...]:
    return table.select(dataset=task.name, protocol=variant, metric=task.metric)


def _contenders(table: ResultTable) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(row.backbone) for row in table))


def _variants(table: ResultTable) -> tuple[str, ...]:
    present = {row.protocol for row in table}
    return tuple(each for each in VARIANTS if each in present)


def _span(numbers: Iterable[int | None]) -> str:
    known = [number for number in numbers if number is not None]
    return f"{min(known)}" if min(known) == max(known) else f"{min(known)}-{max(known)}"
