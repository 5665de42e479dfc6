"""The index of a chip set: one row per chip, read and checked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args

import geopandas
import numpy as np
from numpy.typing import NDArray

from swath.chips.layout import INDEX, KIND, Description, class_columns
from swath.errors import InputError
from swath.reading import check_parquet, inside, reading
from swath.types import DataKind

if TYPE_CHECKING:
    from geopandas import GeoDataFrame

COLUMNS = (
    "id",
    "image",
    "valid",
    "label",
    "row",
    "column",
    "valid_share",
    "labelled_share",
    "group",
    "time",
    "content",
)
TIMES = "times"
"""Column with the dates of each chip, in seconds since 1970-01-01 UTC; absent where every chip has all dates."""


def read_index(folder: Path, description: Description) -> GeoDataFrame:
    """The index, when it names at least one chip, every chip once, and only files inside the chip set.

    Raises:
        InputError: it is missing, damaged or empty, lacks columns, or names what it may not name.
    """
    path = folder / INDEX
    if not path.exists():
        raise InputError(f"There is no {path}", expected="the GeoParquet index of the chips", remedy="cut them again")
    expected, remedy = "an index as swath writes it", "cut the chips again"
    check_parquet(path, expected=expected, remedy=remedy)
    with reading(path, expected=expected, remedy=remedy):
        index = geopandas.read_parquet(path)
        _check(index, path, description)
    return index


def chip_times(index: GeoDataFrame, times: tuple[int, ...]) -> list[NDArray[np.int64]]:
    """Dates of every chip, in the order of the index.

    Args:
        index: index of the chip set.
        times: dates of the scene, which every chip has where the index has no column of its own.
    """
    if TIMES not in index:
        return [np.array(times, np.int64)] * len(index)
    return [np.asarray(own, np.int64) for own in index[TIMES]]


def _check(index: GeoDataFrame, path: Path, description: Description) -> None:
    missing = [column for column in COLUMNS if column not in index.columns]
    missing += [column for column in class_columns(description.legend) if column not in index.columns]
    if missing:
        raise InputError(
            f"The index {path} lacks the columns {', '.join(missing)}",
            expected="an index as swath writes it",
            remedy="cut the chips again",
        )
    if len(index) == 0:
        raise InputError(
            f"The chip set {path.parent} is empty", expected="at least one chip", remedy="cut it with weaker drop rules"
        )
    if index["id"].duplicated().any():
        raise InputError(
            f"The index {path} names the chip '{index['id'][index['id'].duplicated()].iloc[0]}' twice",
            expected="every chip once",
            remedy="cut the chips again",
        )
    _check_kinds(index, path)
    _check_names(index, path)
    _check_times(index, path, description)


def _check_kinds(index: GeoDataFrame, path: Path) -> None:
    """Refuse words about the data that nobody knows; older sets say nothing."""
    known = ("", *get_args(DataKind))
    odd = [kind for kind in index[KIND].fillna("").tolist() if kind not in known] if KIND in index else []
    if odd:
        raise InputError(
            f"The index {path} calls its data '{str(odd[0])[:40]}'",
            expected=f"one of {', '.join(known[1:])}, or nothing",
            remedy="cut the chips again",
        )


def _check_names(index: GeoDataFrame, path: Path) -> None:
    """Refuse file names that lead out of the chip set."""
    for column in ("image", "valid", "label"):
        names = index[column].tolist()
        odd = next((name for name in names if not inside(name) and not (column == "valid" and name == "")), None)
        if odd is not None:
            raise InputError(
                f"The index {path} names the file '{str(odd)[:80]}' in the column '{column}'",
                expected="names of files inside the folder of the chip set",
                remedy="cut the chips again; do not use a chip set from a source you do not trust",
            )


def _check_times(index: GeoDataFrame, path: Path, description: Description) -> None:
    """Every chip has at least one date, and none that the scene lacks."""
    if TIMES not in index:
        return
    known = set(description.times)
    for name, own in zip(index["id"], index[TIMES], strict=True):
        dates = [] if own is None else [int(time) for time in own]
        if not dates or not set(dates) <= known or dates != sorted(dates):
            raise InputError(
                f"The index {path} gives the chip '{name}' {len(dates)} dates that are not dates of the scene in order",
                expected=f"some of the {len(known)} dates of the scene, oldest first",
                remedy="cut the chips again",
            )
