"""What the command line asks of the suite: names to tasks, miniatures, and a record for programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from swath.errors import ConfigError, MissingError, SwathError, nearest
from swath.files import replacing_folder
from swath.judge.real10.contenders import Contender
from swath.judge.real10.page import suite_ranks
from swath.judge.real10.run import VARIANTS, Measured, Plan
from swath.judge.real10.suite import Task


class Named(Protocol):
    """Anything with a name."""

    @property
    def name(self) -> str:
        """Its name."""
        ...


Item = TypeVar("Item", bound=Named)


def chosen(known: Sequence[Item], names: Sequence[str], what: str) -> tuple[Item, ...]:
    """The items called ``names``, in the order of ``known``.

    Raises:
        ConfigError: nothing is called so.
    """
    all_names = [each.name for each in known]
    for name in names:
        if name not in all_names:
            raise ConfigError(
                f"There is no {what} '{name}'",
                expected=f"one of {', '.join(all_names)}",
                remedy=f"the nearest are: {nearest(name, all_names)}",
            )
    return tuple(each for each in known if each.name in names)


def miniature(folder: Path, tasks: tuple[Task, ...], contenders: tuple[Contender, ...]) -> Plan:
    """One seed on made-up data in ``folder``; its rows say ``fixture``."""
    for task in tasks:
        root = folder / (task.folder or "planet")
        if not root.is_dir():
            with replacing_folder(root) as new:
                task.write_fake(new, 0)
    return Plan(tasks, contenders, (0,), data=folder, frozen=False)


def record(measured: Measured) -> dict[str, Any]:
    """Ranks, scores, and what is missing, for JSON."""
    ranks = {
        variant or "both": [vars(each) for each in suite_ranks(measured.table, variant)]
        for variant in (*VARIANTS, None)
    }
    rows = [
        {
            name: getattr(row, name)
            for name in ("dataset", "protocol", "backbone", "seed", "metric", "value", "data_kind")
        }
        for row in measured.table
    ]
    return {
        "ranks": ranks,
        "rows": rows,
        "missing": dict(measured.missing),
        "failures": [vars(each) for each in measured.failures],
    }


def nothing_measured(measured: Measured) -> SwathError:
    """The error of a run without a single number."""
    why = "; ".join([*measured.missing.values(), *(f"{each.item}: {each.reason}" for each in measured.failures)])
    return MissingError(
        f"No task could be measured ({why[:600]})",
        expected="the data of at least one task",
        remedy="set SWATH_DATA to the directory that holds the data sets, or try --quick",
    )
