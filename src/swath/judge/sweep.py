"""Sweeps that go on where they stopped: every cell is measured once, and kept as soon as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from swath.errors import ConfigError, ContractError, nearest
from swath.judge.table import ResultTable
from swath.types import ResultRow
from swath.types.result import COLUMNS, KEY

Cell = Mapping[str, object]
"""Key columns of the result table and the values that name one cell, such as ``{"seed": 3, "corruption": "haze"}``."""


def unfinished(table: ResultTable, cells: Iterable[Cell]) -> list[Cell]:
    """The cells of which the table has no row, in the order given.

    Raises:
        ConfigError: a cell names something that is not a key column, or names nothing.
    """
    return [cell for cell in cells if not table.done(**_checked(cell))]


def sweep(path: Path | str, cells: Iterable[Cell], measure: Callable[[Cell], Iterable[ResultRow]]) -> ResultTable:
    """Measure the cells that ``path`` does not hold yet; after each the whole table takes its place on disk.

    An interrupted sweep, started again with the same words, loses the cell that it was in and no other. Which options
    and code the rows were measured under is for their ``config_hash`` and for the caller to say: a finished cell is
    not looked at again.

    Args:
        path: parquet file of the table, with a CSV mirror beside it.
        cells: what is to be measured; cells are told apart by the values named in them.
        measure: gives the rows of one cell; each must carry the values that name the cell.

    Returns:
        The table with the rows of all cells.

    Raises:
        ConfigError: a cell names something that is not a key column, or two cells are equal.
        ContractError: a cell gave no rows, or rows of another cell, or a number that the table has.
        InputError: ``path`` is there and is no result table.
    """
    wanted = [_checked(cell) for cell in cells]
    twice = [cell for place, cell in enumerate(wanted) if cell in wanted[:place]]
    if twice:
        raise ConfigError(
            f"The cell {twice[0]} comes twice", expected="every cell once", remedy="give it another seed or variant"
        )
    target = Path(path).with_suffix(".parquet")
    table = ResultTable.load(target) if target.exists() else ResultTable()
    for cell in unfinished(table, wanted):
        rows = tuple(measure(cell))
        strangers = [row for row in rows if any(getattr(row, name) != value for name, value in cell.items())]
        if not rows or strangers:
            raise ContractError(
                f"The cell {dict(cell)} gave {len(rows)} rows, {len(strangers)} of them of another cell",
                expected="rows that carry the values of their cell; else it would be measured again and again",
                remedy="copy the values of the cell into the rows",
            )
        table.extend(rows)
        table.save(target)
    return table


def _checked(cell: Cell) -> dict[str, object]:
    strange = [name for name in cell if name not in KEY]
    if strange or not cell:
        name = strange[0] if strange else ""
        raise ConfigError(
            f"A cell of a sweep is named by '{name}'" if strange else "A cell of a sweep has no name",
            expected="key columns of the result table",
            remedy=f"the nearest are: {nearest(name, COLUMNS)}",
        )
    return dict(cell)
