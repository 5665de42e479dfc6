"""The result table: every printed number is a row here, and tables, figures and pages are rendered from it."""

from __future__ import annotations

import functools
import math
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from swath.errors import ConfigError, ContractError, InputError, nearest
from swath.files import replacing
from swath.metrics import paired_t_interval
from swath.reading import check_parquet, reading
from swath.types import ResultRow
from swath.types.result import COLUMNS, FRACTIONS, KEY

Spread = Literal["deviation", "interval"]
REPEATS = ("run_id", "fold", "seed", "n_train", "n_test")
"""The key columns that a mean may run over: repetitions of one measurement."""


class ResultTable:
    """Tidy rows, one number each, no number twice.

    Args:
        rows: rows to start with.
    """

    def __init__(self, rows: Iterable[ResultRow] = ()) -> None:
        self._rows: dict[tuple[Any, ...], ResultRow] = {}
        self.extend(rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[ResultRow]:
        return iter(self._rows.values())

    @property
    def rows(self) -> tuple[ResultRow, ...]:
        """All rows in the order in which they came."""
        return tuple(self._rows.values())

    def append(self, row: ResultRow) -> None:
        """Add one row.

        Raises:
            ContractError: its key is already in the table, or the row fails its own check.
        """
        self.extend((row,))

    def extend(self, rows: Iterable[ResultRow]) -> None:
        """Add rows, all or none.

        Raises:
            ContractError: a key comes twice, or a row fails its own check.
        """
        new: dict[tuple[Any, ...], ResultRow] = {}
        for row in rows:
            row.check()
            if row.key() in self._rows or row.key() in new:
                raise ContractError(
                    f"The result table already holds {_described(row)}",
                    expected="every number once",
                    remedy="give another run_id, seed or variant, or ask done() before measuring again",
                )
            new[row.key()] = row
        self._rows.update(new)

    def done(self, **descriptors: object) -> bool:
        """Whether a row with these column values exists; a resumable run skips what is done.

        Raises:
            ConfigError: a descriptor is not a column.
        """
        return bool(self._matching(descriptors))

    def has(self, row: ResultRow | tuple[Any, ...]) -> bool:
        """Whether the number that this row, or this ``ResultRow.key()``, describes is in the table."""
        return (row.key() if isinstance(row, ResultRow) else row) in self._rows

    def select(self, **descriptors: object) -> tuple[ResultRow, ...]:
        """The rows with these column values (``class_name=None`` means rows over all classes).

        Raises:
            ConfigError: a descriptor is not a column.
        """
        return self._matching(descriptors)

    def _matching(self, descriptors: Mapping[str, object]) -> tuple[ResultRow, ...]:
        for name in descriptors:
            _check_column(name)
        return tuple(row for row in self if all(getattr(row, name) == value for name, value in descriptors.items()))

    def frame(self) -> pd.DataFrame:
        """The rows as a data frame with all columns in table order."""
        return pd.DataFrame([row.as_dict() for row in self], columns=list(COLUMNS))

    def save(self, path: Path | str) -> Path:
        """Write ``path`` as parquet and a CSV mirror beside it; both appear whole or not at all."""
        path = Path(path).with_suffix(".parquet")
        table = pa.Table.from_pylist([row.as_dict() for row in self], schema=_schema())
        # Both are written before either takes its place: a full disk leaves the old pair.
        with replacing(path) as rows, replacing(path.with_suffix(".csv")) as mirror:
            pyarrow.csv.write_csv(table, mirror)
            pyarrow.parquet.write_table(table, rows)
        return path

    @classmethod
    def load(cls, path: Path | str) -> ResultTable:
        """Read what ``save`` wrote.

        Raises:
            InputError: the file is missing, is not parquet, or has other columns.
        """
        path = Path(path).with_suffix(".parquet")
        expected, remedy = "a parquet file written by ResultTable.save", "check the path, or make the table again"
        if not path.exists():
            raise InputError(f"There is no result table {path}", expected=expected, remedy=remedy)
        check_parquet(path, expected=expected, remedy=remedy)
        with reading(path, expected=expected, remedy=remedy):
            table = pyarrow.parquet.read_table(path)
        if set(table.column_names) != set(COLUMNS):
            odd = sorted(set(table.column_names) ^ set(COLUMNS))
            raise InputError(
                f"The table {path} differs in the columns {', '.join(odd[:5])}",
                expected="the columns of ResultRow",
                remedy="read it with the version of swath that wrote it",
            )
        with reading(path, expected=expected, remedy=remedy):
            return cls(ResultRow(**row) for row in table.select(list(COLUMNS)).cast(_schema()).to_pylist())

    def to_markdown(self, rows: str, columns: str, metric: str, *, spread: Spread = "deviation") -> str:
        """A markdown table of one metric: mean (standard deviation, ddof 1) over seeds and folds, or mean [low, high].

        Fractions are shown in percent, here and nowhere else. Undefined values (NaN) are left out of the mean and
        counted in the cell.

        Args:
            rows: column that names the rows of the table.
            columns: column that names its columns.
            metric: which metric.
            spread: ``deviation``, or ``interval``: Student's 95 % interval over the repetitions, and the interval of
                the row itself where there is one repetition.

        Raises:
            ConfigError: not a column, no such metric, or no such spread.
            InputError: one cell would mix numbers that are not repetitions of each other.
        """
        _check_column(rows)
        _check_column(columns)
        if spread not in ("deviation", "interval"):
            raise ConfigError(f"The spread is '{spread}'", expected="deviation or interval", remedy="write one of them")
        chosen = self.select(metric=metric)
        if not chosen:
            known = sorted({row.metric for row in self})
            raise ConfigError(
                f"The table holds no metric '{metric}'",
                expected=f"one of {', '.join(known) or 'nothing: the table is empty'}",
                remedy=f"the nearest is: {nearest(metric, known)}" if known else "add rows first",
            )
        heads = sorted({_shown(getattr(row, columns)) for row in chosen})
        unit = " [%]" if metric in FRACTIONS else ""
        lines = [
            f"| {rows} \\ {columns}: {metric}{unit} | " + " | ".join(heads) + " |",
            "|---|" + "---:|" * len(heads),
        ]
        for name in sorted({_shown(getattr(row, rows)) for row in chosen}):
            cells = []
            for head in heads:
                cell = [r for r in chosen if (_shown(getattr(r, rows)), _shown(getattr(r, columns))) == (name, head)]
                check_repeats(cell, f"the cell '{name}', '{head}'")
                scale = 100.0 if unit else 1.0
                plain = spread == "deviation"
                values = [row.value for row in cell]
                cells.append(mean_and_deviation(values, scale) if plain else mean_and_interval(cell, scale))
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
        return "\n".join(lines) + "\n"


def contender(row: ResultRow) -> str:
    """The name of what was measured: its backbone, else its recipe, else its system."""
    return row.backbone or row.recipe or row.system


def check_repeats(rows: Sequence[ResultRow], where: str) -> None:
    """Raises InputError when rows differ in more than run, fold and seed: their mean would mean nothing."""
    for name in KEY:
        seen = {_shown(getattr(row, name)) for row in rows}
        if name not in REPEATS and len(seen) > 1:
            raise InputError(
                f"In {where} the rows differ in '{name}': {', '.join(sorted(seen)[:5])}",
                expected=f"repetitions, which differ in {', '.join(REPEATS)} only",
                remedy=f"show '{name}' as rows or columns, or select one of its values first",
            )


def mean_and_deviation(values: Sequence[float], scale: float = 1.0) -> str:
    """``mean (sd)`` as text; no deviation for one value, and the count where some values are undefined."""
    numbers = np.asarray(values, dtype=np.float64)
    known = numbers[np.isfinite(numbers)] * scale
    if not known.size:
        return "-"
    digits = 1 if scale > 1 else 3
    text = f"{known.mean():.{digits}f}"
    if known.size > 1:
        text += f" ({known.std(ddof=1):.{digits}f})"
    return text + (f" [{known.size} of {numbers.size}]" if known.size < numbers.size else "")


def mean_and_interval(rows: Sequence[ResultRow], scale: float = 1.0) -> str:
    """``mean [low, high]`` as text: Student's 95 % interval over repetitions, the row's own where there is one."""
    known = [row for row in rows if math.isfinite(row.value)]
    if not known:
        return "-"
    digits = 1 if scale > 1 else 3
    interval = paired_t_interval([row.value for row in known])
    low, high = (float(interval.low), float(interval.high)) if len(known) > 1 else (known[0].ci_low, known[0].ci_high)
    text = f"{float(interval.estimate) * scale:.{digits}f}"
    if low is not None and high is not None:
        text += f" [{low * scale:.{digits}f}, {high * scale:.{digits}f}]"
    return text + (f" ({len(known)} of {len(rows)})" if len(known) < len(rows) else "")


def _shown(value: object) -> str:
    return "all" if value is None or (isinstance(value, float) and math.isnan(value)) else str(value)


def _described(row: ResultRow) -> str:
    return ", ".join(f"{name}={getattr(row, name)!r}" for name in KEY if getattr(row, name) is not None)


def _check_column(name: str) -> None:
    if name not in COLUMNS:
        raise ConfigError(
            f"'{name}' is not a column of the result table",
            expected="a column of ResultRow",
            remedy=f"the nearest are: {nearest(name, COLUMNS)}",
        )


@functools.cache
def _schema() -> pa.Schema:
    """Arrow types from the annotations of ``ResultRow``, so that empty columns keep their type."""
    kinds = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    fields = []
    for name, hint in typing.get_type_hints(ResultRow).items():
        options = [option for option in typing.get_args(hint) or (hint,) if option is not type(None)]
        kind = str if isinstance(options[0], str) else options[0]  # a Literal lists its strings
        fields.append(pa.field(name, kinds[kind]))
    return pa.schema(fields)
