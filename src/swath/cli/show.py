"""Printing: tables, byte sizes, durations."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; numbers are right-aligned, and square brackets are printed as they are."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = [list(row) for row in rows]
    heading = Text(title) if title else None  # plain text would lose what looks like markup, such as swath[planet]
    printed = Table(title=heading, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for position, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[position], int | float) for row in rows)
        printed.add_column(Text(column), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        printed.add_row(*[Text(number(cell)) for cell in row])
    Console().print(printed)


def number(cell: object) -> str:
    """A cell as text: floats with three significant decimals, None as a dash."""
    if cell is None:
        return "-"
    if isinstance(cell, float):
        return f"{cell:.3f}" if abs(cell) < 1000 else f"{cell:,.0f}"
    return str(cell)


def percent(share: float) -> str:
    """A share as percent with one decimal; only nothing is 0 % and only all is 100 %.

    >>> percent(0.9996), percent(1.0), percent(0.0002)
    ('over 99.9 %', '100 %', 'under 0.1 %')
    """
    if share in (0, 1):
        return f"{share:.0%}".replace("%", " %")
    text = f"{share:.1%}".replace("%", " %")
    return {"100.0 %": "over 99.9 %", "0.0 %": "under 0.1 %"}.get(text, text)


def as_json(value: Sequence[Mapping[str, Any]] | Mapping[str, Any]) -> None:
    """Print JSON for programs: no colours, no wrapping."""
    print(json.dumps(value, indent=2, default=str))


def say(message: str) -> None:
    """Print one line for people."""
    from rich.console import Console

    Console(soft_wrap=True, highlight=False).print(message, markup=False)
