"""From scores of the suite to the rows of ``real10_encoders``: scores by task, and ranks by task and seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from swath.errors import InputError
from swath.judge import ResultTable
from swath.judge.real10 import Measured, Task
from swath.judge.real10.ranks import ranks
from swath.judge.real10.run import ALL, FEW
from swath.types import ResultRow

SHORT = {FEW: "few", ALL: "all"}
"""Variant of the suite to what its metrics end in."""


def check_whole(measured: Measured) -> None:
    """Refuse what lacks a task or a contender.

    Raises:
        InputError: as said.
    """
    reasons = [*measured.missing.values(), *(f"{each.item}: {each.reason}" for each in measured.failures)]
    if reasons:
        raise InputError(
            f"Not every contender could be measured on every task ({'; '.join(reasons)[:600]})",
            expected="all of them, as ranks are among all",
            remedy="put the data there, or set SWATH_DATA to the directory that holds them",
        )


def rows(
    system: str, table: ResultTable, tasks: Sequence[Task], names: tuple[Sequence[str], Sequence[str]], digest: str
) -> list[ResultRow]:
    """Scores and ranks of one seed.

    ``METRIC_TASK_few`` is a score, ``rank_few`` a rank on one task (column group), ``mean_rank_few`` its mean over the
    tasks, and ``..._few_controls`` ranks the controls, too; with all labels likewise.

    Args:
        system: slug.
        table: rows of the suite for one seed.
        tasks: its tasks.
        names: the contenders that are ranked, and the controls.
        digest: of the data.
    """
    found: list[ResultRow] = []
    everybody = (*names[0], *names[1])
    for variant, short in SHORT.items():
        scored = {task.name: _scored(table, task, variant) for task in tasks}
        for task in tasks:
            metric = f"{task.metric}_{task.name}_{short}"
            found += [replace(_row(system, row, digest), metric=metric) for row in scored[task.name].values()]
        for who, end in ((names[0], short), (everybody, f"{short}_controls")):
            of_task = {task.name: _ranks([scored[task.name][name].value for name in who], task) for task in tasks}
            for place, name in enumerate(who):
                for task in tasks:
                    row = replace(_row(system, scored[task.name][name], digest), metric=f"rank_{end}", group=task.name)
                    found.append(replace(row, value=of_task[task.name][place], higher_is_better=False))
                mean = float(np.mean([each[place] for each in of_task.values()]))
                found.append(
                    replace(found[-1], metric=f"mean_rank_{end}", group=None, dataset=f"{len(tasks)} tasks", value=mean)
                )
    return found


def _scored(table: ResultTable, task: Task, variant: str) -> dict[str, ResultRow]:
    """Contender to the row of its score."""
    return {str(row.backbone): row for row in table.select(dataset=task.name, protocol=variant, metric=task.metric)}


def _ranks(values: Sequence[float], task: Task) -> list[float]:
    scores = np.array(values)
    found: list[float] = ranks(scores if task.higher_is_better else -scores).tolist()
    return found


def _row(system: str, row: ResultRow, digest: str) -> ResultRow:
    """The row of a score as one of this system."""
    return replace(row, run_id=f"{system}-{row.seed}", system=system, dataset_hash=digest, recipe_version=None)
