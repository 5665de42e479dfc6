"""What is asked of a chip beside its label raster: one answer per chip, quantities per pixel, or a change."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from swath.errors import InputError, nearest
from swath.files import replacing, write_json
from swath.reading import check_parquet, read_json, reading
from swath.types import IGNORE, Task

if TYPE_CHECKING:
    from torch import Tensor

FILE = "targets.json"
TABLE = "targets.parquet"
VALUES = "values"
"""Folder of the rasters of quantities."""

SCHEMA_VERSION = 1
CLASSES: tuple[Task, ...] = ("classification", "multilabel", "segmentation", "change")
QUANTITIES: tuple[Task, ...] = ("regression", "pixel_regression")
PER_CHIP: tuple[Task, ...] = ("classification", "multilabel", "regression")
TASKS = (*CLASSES, *QUANTITIES)
_EXPECTED, _REMEDY = "targets as swath writes them", "make them again with 'swath chips label', or cut the chips again"


def target_name(task: Task) -> str:
    """Name of the target of a task in a batch: ``label`` for classes, ``value`` for quantities."""
    return "value" if task in QUANTITIES else "label"


@dataclass(frozen=True, eq=False)
class Targets:
    """A task and, for one answer per chip, the answers.

    Args:
        task: what is asked.
        names: classes, labels or quantities; empty for ``change``, whose classes are those of the label rasters.
        units: unit of each quantity; empty for classes.
        origin: where the answers come from, for people.
        ids: chips in the order of ``answers``.
        answers: one answer per chip: class numbers int64 ``(N,)`` with ``IGNORE``, or float32 ``(N, K)`` with NaN
            where the answer is missing (0 and 1 for several labels); None where the answers are rasters.
    """

    task: Task
    names: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    origin: str = ""
    ids: tuple[str, ...] = ()
    answers: NDArray[Any] | None = None

    @property
    def per_chip(self) -> bool:
        """Whether there is one answer per chip."""
        return self.task in PER_CHIP

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which answers are there: bool ``(N,)``, or ``(N, K)``."""
        assert self.answers is not None
        return self.answers != IGNORE if self.task == "classification" else np.isfinite(self.answers)

    @property
    def digest(self) -> str:
        """SHA-256 over the task, the names, the units and all answers, whatever their order."""
        total = hashlib.sha256(repr((self.task, self.names, self.units)).encode())
        if self.answers is not None:
            order = np.argsort(np.array(self.ids))
            kind = "<i8" if self.task == "classification" else "<f4"
            kept = np.where(self.known, self.answers, IGNORE).astype(kind)
            total.update("\n".join(sorted(self.ids)).encode() + kept[order].tobytes())
        return total.hexdigest()

    def aligned(self, ids: Sequence[str], where: Path) -> Targets:
        """The same answers in the order of ``ids``.

        Raises:
            InputError: the answers are not those of these chips.
        """
        if not self.per_chip:
            return self
        place = {name: position for position, name in enumerate(self.ids)}
        if set(place) != set(ids):
            raise InputError(
                f"{where / TABLE} holds answers for {len(place)} chips, {len(set(place) & set(ids))} of them among the "
                f"{len(ids)} of the set",
                expected="one row per chip",
                remedy=_REMEDY,
            )
        assert self.answers is not None
        return replace(self, ids=tuple(ids), answers=self.answers[[place[name] for name in ids]])

    def counts(self, rows: Sequence[int]) -> dict[str, int]:
        """Samples per class, or positives per label, of some chips (positions in ``ids``); zeros included."""
        assert self.answers is not None
        chosen = self.answers[list(rows)]
        if self.task == "classification":
            totals = np.bincount(chosen[chosen != IGNORE], minlength=len(self.names))
        else:
            totals = (chosen == 1).sum(axis=0)
        return dict(zip(self.names, totals.tolist(), strict=True))

    def tensors(self, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Answers and their validity for some chips: ``(B,)`` int64 or ``(B, K)`` float32, and bool of that shape."""
        import torch

        assert self.answers is not None
        chosen, known = self.answers[list(rows)], self.known[list(rows)]
        if self.task != "classification":
            chosen = np.where(known, chosen, np.float32(0))
        return torch.from_numpy(chosen.copy()), torch.from_numpy(known.copy())

    def save(self, folder: Path) -> None:
        """Write ``targets.json`` and, for one answer per chip, ``targets.parquet`` into the folder of a chip set."""
        if self.answers is not None:
            with replacing(folder / TABLE) as part:
                self._table().to_parquet(part, index=False)
        record: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "task": self.task, "names": list(self.names)}
        record |= {"units": list(self.units), "origin": self.origin, "digest": self.digest}
        write_json(folder / FILE, record)

    def _table(self) -> pd.DataFrame:
        assert self.answers is not None
        if self.task == "classification":
            return pd.DataFrame({"id": list(self.ids), "label": self.answers})
        columns = {f"{number}": self.answers[:, number] for number in range(len(self.names))}
        return pd.DataFrame({"id": list(self.ids), **columns})

    @classmethod
    def read(cls, folder: Path) -> Targets | None:
        """The targets beside a chip set; None where its label rasters say it all (``segmentation``).

        Raises:
            InputError: they are damaged, were edited, or were written by a newer swath.
        """
        path = folder / FILE
        if not path.exists():
            return None
        record = read_json(path, expected=_EXPECTED, remedy=_REMEDY)
        if not isinstance(record, dict) or record.get("schema_version") != SCHEMA_VERSION:
            found = record.get("schema_version") if isinstance(record, dict) else "missing"
            raise InputError(
                f"{path} has schema version {str(found)[:40]}",
                expected=f"version {SCHEMA_VERSION}",
                remedy="open it with the swath version that wrote it",
            )
        with reading(path, expected=_EXPECTED, remedy=_REMEDY):
            found = cls._from_record(record, folder)
            digest = found.digest
        if digest != record.get("digest"):
            raise InputError(
                f"The answers in {folder} are not those that {FILE} was written for",
                expected="a table that nobody edited",
                remedy=_REMEDY,
            )
        return found

    @classmethod
    def _from_record(cls, record: Mapping[str, Any], folder: Path) -> Targets:
        task, names, units = record["task"], tuple(record["names"]), tuple(record["units"])
        if task not in TASKS or task not in get_args(Task):
            raise ValueError(f"the task '{task}' is none of {', '.join(TASKS)}")
        if not all(isinstance(text, str) for text in (*names, *units, record["origin"])):
            raise TypeError("names, units and origin have to be texts")
        if len(units) != (len(names) if task in QUANTITIES else 0):
            raise ValueError("every quantity has to have a unit, and no class")
        made = cls(task, names, units, record["origin"])
        if not made.per_chip:
            return made
        check_parquet(folder / TABLE, expected=_EXPECTED, remedy=_REMEDY)
        table = pd.read_parquet(folder / TABLE)
        answers: NDArray[Any]
        if task == "classification":
            answers = table["label"].to_numpy(np.int64)
            if answers.size and (answers[answers != IGNORE] >= len(names)).any() | (answers < IGNORE).any():
                raise ValueError("a class number lies outside the classes")
        else:
            answers = table[[f"{number}" for number in range(len(names))]].to_numpy(np.float32)
        return replace(made, ids=tuple(table["id"].astype(str)), answers=answers)


def check_names(names: Sequence[str], what: str) -> tuple[str, ...]:
    """Names that are there and differ.

    Raises:
        InputError: none, an empty one, or one twice.
    """
    listed = tuple(str(name).strip() for name in names)
    twice = next((name for name in listed if listed.count(name) > 1), None)
    if not listed or twice is not None or "" in listed:
        raise InputError(
            f"The {what} are named {', '.join(listed) or 'nothing'}",
            expected=f"at least one name, every one of the {what} with its own",
            remedy=f"name each of them once{'' if twice is None else f'; {twice!r} comes twice'}",
        )
    return listed


def check_task(task: str, options: Sequence[str]) -> Task:
    """A task that is among ``options``.

    Raises:
        InputError: it is not (the nearest are named).
    """
    if task not in options:
        raise InputError(
            f"The task '{task}' was asked for",
            expected=f"one of {', '.join(options)}",
            remedy=f"the nearest are: {nearest(task, options)}",
        )
    found: Task = next(known for known in get_args(Task) if known == task)
    return found


def finite_or_nan(values: NDArray[Any]) -> NDArray[np.float32]:
    """Float32, NaN where a number is not finite or too large for float32."""
    wide = np.asarray(values, np.float64)
    usable = np.isfinite(wide) & (np.abs(wide) <= np.finfo(np.float32).max)
    kept: NDArray[np.float32] = np.where(usable, wide, math.nan).astype(np.float32)
    return kept
