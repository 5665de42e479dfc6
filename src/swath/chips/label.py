"""One answer per chip: from a table by chip id or by point, or from the label rasters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from swath import limits
from swath.chips import store
from swath.chips.layout import class_columns
from swath.chips.points import chips_of_points, coordinates_of
from swath.chips.statistics import Statistics
from swath.chips.store import ChipSet
from swath.chips.targets import PER_CHIP, Targets, check_names, check_task, finite_or_nan
from swath.errors import ConfigError, InputError, nearest
from swath.reading import check_parquet, reading
from swath.types import IGNORE, Task

ID = "id"


@dataclass(frozen=True)
class Labelled:
    """What labelling did.

    Args:
        chips: chips of the set.
        answered: chips with at least one answer; the others are masked.
        rows: rows of the table; 0 where the answers come from the label rasters.
        unmatched: rows that name no chip, or whose point lies in none.
        shared: chips with several points, which were brought to one answer.
    """

    chips: int
    answered: int
    rows: int = 0
    unmatched: int = 0
    shared: int = 0


class _Found(NamedTuple):
    """Which row of the table speaks of which chip: pairs of positions, and what was left out."""

    row: NDArray[np.int64]
    chip: NDArray[np.int64]
    rows: int
    unmatched: int


def label_from_table(
    folder: Path | str,
    table: Path | str,
    task: str,
    columns: Sequence[str],
    *,
    classes: Sequence[str] | None = None,
    units: Sequence[str] | None = None,
) -> tuple[ChipSet, Labelled]:
    """Give every chip one answer from a table, and write it beside the chips.

    Rows belong to the chip whose ``id`` they give; or, in a table without that column, to every chip that holds their
    point (``longitude`` and ``latitude`` in degrees, or ``x`` and ``y`` in the CRS of the scene). Of several points in
    a chip the most frequent class counts (of equals the first), a label as soon as one point has it, and the mean of a
    quantity. Chips without an answer keep their place and are masked.

    Args:
        folder: a chip set.
        table: CSV or parquet.
        task: ``classification`` (one column), ``multilabel`` (a column of 0 and 1 per label) or ``regression`` (a
            column per quantity).
        columns: the columns with the answers.
        classes: the classes in their order; default: all that occur, sorted.
        units: unit per quantity; default: ``1``.

    Raises:
        ConfigError: columns, classes or units do not fit the task.
        InputError: the table cannot be read or lacks a column, its ids or points match no chip, an answer is none, or
            all answers are missing.
    """
    kind, names, folder, path = check_task(task, PER_CHIP), check_names(columns, "columns"), Path(folder), Path(table)
    _check_options(kind, names, classes, units)
    chipset = store.open(folder)
    _refuse_quantities(chipset)
    rows = _read(path, names)
    found = _by_id(rows, chipset, path) if ID in rows else _by_point(rows, chipset, path)
    columns_of = [rows[name] for name in names]
    origin = f"{path.name}, column {', '.join(names)}"
    if kind == "classification":
        numbers, called = _class_numbers(columns_of[0], classes, path)
        targets = Targets(kind, called, (), origin, _ids(chipset), _majority(numbers, found, len(chipset), len(called)))
    else:
        answers = np.stack([_numbers(column, path, flags=kind == "multilabel") for column in columns_of], axis=1)
        merged = _merge(answers, found, len(chipset), largest=kind == "multilabel")
        given = tuple(units or ("1",) * len(names)) if kind == "regression" else ()
        targets = Targets(kind, tuple(classes or names), given, origin, _ids(chipset), merged)
    shared = int((np.bincount(found.chip, minlength=len(chipset)) > 1).sum())
    report = Labelled(len(chipset), _answered(targets), found.rows, found.unmatched, shared)
    return _write(chipset, targets, str(path)), report


def label_from_rasters(folder: Path | str, task: str, *, min_share: float = 0.0) -> tuple[ChipSet, Labelled]:
    """Give every chip one answer from its label raster, and write it beside the chips.

    Args:
        folder: a chip set with label rasters.
        task: ``classification``: the most frequent class of the labelled pixels, of equals the first; ``multilabel``:
            every class among them.
        min_share: least share of the labelled pixels that a class needs, 0 to 1. A chip whose most frequent class has
            less, or that has no labelled pixel, has no answer and is masked.

    Raises:
        ConfigError: the share is out of range, or the task needs a table.
        InputError: no chip has an answer.
    """
    kind, folder = check_task(task, PER_CHIP), Path(folder)
    if kind == "regression" or not 0.0 <= min_share <= 1.0:
        raise ConfigError(
            f"The task '{kind}' with min_share = {min_share} was to be read off the label rasters",
            expected="classification or multilabel, and a share from 0 to 1",
            remedy="give a table of quantities with --table FILE --column NAME"
            if kind == "regression"
            else "change it",
        )
    chipset = store.open(folder)
    _refuse_quantities(chipset)
    counts = chipset.index[class_columns(chipset.legend)].to_numpy(np.int64)
    total = counts.sum(axis=1)
    share = counts / np.maximum(total, 1)[:, None]
    answers: NDArray[Any]
    if kind == "classification":
        answers = np.where((total > 0) & (share.max(axis=1) >= min_share), counts.argmax(axis=1), IGNORE)
    else:
        has = ((counts > 0) & (share >= min_share)).astype(np.float32)
        answers = np.where(total[:, None] > 0, has, np.float32(np.nan))
    origin = f"label rasters, at least {min_share:g} of the labelled pixels"
    targets = Targets(kind, chipset.legend.names, (), origin, _ids(chipset), answers)
    return _write(chipset, targets, f"the label rasters of {folder}"), Labelled(len(chipset), _answered(targets))


def _write(chipset: ChipSet, targets: Targets, source: str) -> ChipSet:
    """Write the targets, and say in the statistics what they count now."""
    if not targets.known.any():
        raise InputError(
            f"All {len(chipset)} chips of {chipset.folder} lack an answer in {source}",
            expected="at least one answer",
            remedy="check the column, or weaken the least share of a class",
        )
    targets.save(chipset.folder)
    made, path = store.open(chipset.folder), chipset.folder / "statistics.json"
    if path.exists():
        from swath.types import Split

        stored = Statistics.load(path)
        ids = Split.load(chipset.folder / "split.parquet").ids(stored.split)
        replace(stored, class_counts=made.class_counts(ids), source=made.fingerprint).save(path)
    return made


def _ids(chipset: ChipSet) -> tuple[str, ...]:
    return tuple(chipset.index["id"].astype(str))


def _answered(targets: Targets) -> int:
    known = targets.known
    return int((known if known.ndim == 1 else known.any(axis=1)).sum())


def _check_options(
    task: Task, columns: Sequence[str], classes: Sequence[str] | None, units: Sequence[str] | None
) -> None:
    wrong = ""
    if task == "classification" and len(columns) != 1:
        wrong = f"{len(columns)} columns"
    elif units is not None and (task != "regression" or len(units) != len(columns)):
        wrong = f"{len(units)} units for {len(columns)} columns"
    elif classes is not None and (task == "regression" or (task == "multilabel" and len(classes) != len(columns))):
        wrong = f"{len(classes)} classes for {len(columns)} columns"
    if wrong:
        raise ConfigError(
            f"The task {task} was asked for with {wrong}",
            expected="one column for classification; a column per label, or per quantity with its unit",
            remedy="name as many as there are columns, or leave them out",
        )
    if classes is not None:
        check_names(classes, "classes")


def _refuse_quantities(chipset: ChipSet) -> None:
    if chipset.task == "pixel_regression":
        raise InputError(
            f"The chips of {chipset.folder} were cut with quantities per pixel",
            expected="chips that were cut with labels",
            remedy="cut the scene again with --labels into another folder",
        )


def _read(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """The table, ids as text, with the columns asked for."""
    expected = "a CSV or parquet table with a header"
    if not path.exists():
        raise InputError(f"There is no table {path}", expected=expected, remedy="check the path")
    if path.suffix.lower() in (".parquet", ".geoparquet"):
        check_parquet(path, expected=expected)
    elif path.suffix.lower() != ".csv":
        raise InputError(f"The table {path} ends in '{path.suffix}'", expected=expected, remedy="write it as CSV")
    with reading(path, expected=expected):
        parquet = path.suffix.lower() != ".csv"
        table = pd.read_parquet(path) if parquet else pd.read_csv(path, dtype={ID: str}, skipinitialspace=True)
        limits.ROWS.check(len(table), path)
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise InputError(
            f"The table {path} has no column '{missing[0]}' (it has {', '.join(map(str, table.columns[:12]))})",
            expected=f"the columns {', '.join(columns)}",
            remedy=f"the nearest are: {nearest(missing[0], map(str, table.columns))}",
        )
    return table


def _by_id(rows: pd.DataFrame, chipset: ChipSet, path: Path) -> _Found:
    names = rows[ID].astype(str)
    if names.duplicated().any():
        raise InputError(
            f"The table {path} names the chip '{names[names.duplicated()].iloc[0]}' twice",
            expected="one row per chip",
            remedy="keep one of them",
        )
    place = pd.Index(_ids(chipset)).get_indexer(pd.Index(names))
    row = np.flatnonzero(place >= 0)
    if not len(row):
        first = names.iloc[0] if len(names) else ""
        raise InputError(
            f"None of the {len(names)} ids in {path} is a chip of {chipset.folder}, the first is '{first}'",
            expected=f"ids such as '{chipset.ids[0]}'",
            remedy=f"the nearest ids are: {nearest(first, chipset.ids)}",
        )
    return _Found(row, place[row].astype(np.int64), len(names), len(names) - len(row))


def _by_point(rows: pd.DataFrame, chipset: ChipSet, path: Path) -> _Found:
    x, y = coordinates_of(rows, chipset, path)
    row, chip = chips_of_points(chipset, x, y, path)
    return _Found(row, chip, len(rows), len(rows) - len(np.unique(row)))


def _class_numbers(
    column: pd.Series[Any], classes: Sequence[str] | None, path: Path
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Class number of every row, ``IGNORE`` where the answer is missing; and the names."""
    whole = pd.api.types.is_float_dtype(column) and bool((column.dropna() % 1 == 0).all())
    values = column.astype("Int64") if whole else column  # numbers with gaps come as 1.0, 2.0, NaN
    texts = values.astype("string").str.strip()
    known = texts.notna() & (texts != "")
    found = values[known].drop_duplicates() if values.dtype.kind in "iu" else texts[known].drop_duplicates()
    names = tuple(classes) if classes is not None else tuple(str(name) for name in sorted(found))
    place = pd.Index(names).get_indexer(pd.Index(texts[known].astype(str)))
    if (place < 0).any():
        strange = texts[known][place < 0].iloc[0]
        raise InputError(
            f"{int((place < 0).sum())} rows of {path} hold an answer beyond the classes, such as '{strange}'",
            expected=f"one of {', '.join(names)}, or nothing",
            remedy=f"the nearest are: {nearest(str(strange), names)}; or name the class too",
        )
    numbers = np.full(len(texts), IGNORE, np.int64)
    numbers[known.to_numpy(bool)] = place
    return numbers, names


def _numbers(column: pd.Series[Any], path: Path, *, flags: bool) -> NDArray[np.float32]:
    """Float32, NaN where the answer is missing; only 0 and 1 where these are flags."""
    read = pd.to_numeric(column.astype(float) if column.dtype == bool else column, errors="coerce")
    lost = read.isna() & column.notna() & (column.astype(str).str.strip() != "")
    values = finite_or_nan(read.to_numpy(np.float64, na_value=np.nan))
    odd = lost.to_numpy(bool) | (flags & np.isfinite(values) & ~np.isin(values, (0, 1)))
    if odd.any():
        raise InputError(
            f"{int(odd.sum())} rows of {path} hold no {'0 or 1' if flags else 'number'} in the column '{column.name}', "
            f"such as '{column[odd].iloc[0]}'",
            expected=f"{'0, 1' if flags else 'numbers'}, or nothing where the answer is missing",
            remedy="correct the table",
        )
    return values


def _majority(numbers: NDArray[np.int64], found: _Found, chips: int, classes: int) -> NDArray[np.int64]:
    """Most frequent class of each chip, the first on a tie; ``IGNORE`` where there is none."""
    answers = numbers[found.row]
    there = answers != IGNORE
    flat = found.chip[there] * classes + answers[there]
    counts = np.bincount(flat, minlength=chips * classes).reshape(chips, classes)
    most: NDArray[np.int64] = np.where(counts.sum(axis=1) > 0, counts.argmax(axis=1), IGNORE)
    return most


def _merge(answers: NDArray[np.float32], found: _Found, chips: int, *, largest: bool) -> NDArray[np.float32]:
    """Mean (or largest) answer of each chip ``(N, K)``, NaN where there is none."""
    table = pd.DataFrame(answers[found.row].astype(np.float64)).groupby(found.chip)
    merged = (table.max() if largest else table.mean()).reindex(range(chips))
    return finite_or_nan(merged.to_numpy())
