"""Point observations: a place, a date and a label in every row of a CSV, parquet or vector file."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from swath import limits
from swath.chips.archive.request import crs_code
from swath.cubes.legend import Legend
from swath.cubes.tables import read_table
from swath.errors import ConfigError, InputError, nearest
from swath.reading import check_parquet, reading

if TYPE_CHECKING:
    from geopandas import GeoDataFrame

FIRST, LAST = np.datetime64("1970-01-01", "s"), np.datetime64("2262-01-01", "s")
_OPERATORS = {
    "==": operator.eq, "=": operator.eq, "!=": operator.ne, ">=": operator.ge, "<=": operator.le, ">": operator.gt,
    "<": operator.lt,
}  # fmt: skip
_FILTER = re.compile(r"\s*(?P<column>.+?)\s*(?P<word>not in|in(?=\s)|==|!=|>=|<=|=|>|<)\s*(?P<value>.+?)\s*", re.DOTALL)
_EXPECTED = "a table with one observation a row: CSV, parquet, or a vector file of points"


@dataclass(frozen=True)
class Columns:
    """Names of the columns.

    Args:
        x: easting or longitude; not used where the file has points as geometry.
        y: northing or latitude.
        date: day of the observation, or day and time.
        label: class (number or name) or quantity.
        time: time of day, UTC; None where there is none.
    """

    x: str = "x"
    y: str = "y"
    date: str = "date"
    label: str | None = "label"
    time: str | None = None


def read_points(
    path: Path | str, *, columns: Columns | None = None, crs: str | None = None, where: Sequence[str] = ()
) -> pd.DataFrame:
    """Observations of a table.

    Args:
        path: CSV, parquet, or a vector file of points.
        columns: names of the columns.
        crs: CRS of ``x`` and ``y``; EPSG:4326 when left out. Vector files bring their own.
        where: plain comparisons such as ``year >= 2020`` or ``country in KE, SO``; all have to hold.

    Returns:
        columns row (counted from 0 in the file), lon, lat, when (datetime64), timed (whether a time of day is known)
        and label (as in the file; absent without a label column).

    Raises:
        InputError: the table is missing or damaged, lacks a column, or a place, date or label cannot be (row named).
        ConfigError: a CRS or comparison cannot be understood.
    """
    columns = columns or Columns()
    path = Path(path)
    table = table_of(path)
    table["__row__"] = np.arange(len(table))
    for text in where:
        table = table[_comparison(table, text, path)]
    if table.empty:
        raise InputError(
            f"{path} holds no observation" + (" that fits the comparisons" if where else ""),
            expected=_EXPECTED,
            remedy="weaken the comparisons" if where else "check the file",
        )
    rows = table["__row__"].to_numpy()
    lon, lat = _places(table, columns, crs, path)
    _check_world(lon, lat, rows, path)
    found = pd.DataFrame({"row": rows, "lon": lon, "lat": lat})
    found["when"], found["timed"] = when_of(table, columns.date, columns.time, path)
    if columns.label is not None:
        found["label"] = column_of(table, columns.label, path).to_numpy()
        empty = found["label"].isna()
        if empty.any():
            raise InputError(
                f"The observation in row {rows[empty][0]} of {path} has no label",
                expected=f"a label in every row of '{columns.label}'",
                remedy="fill it or leave the row out",
            )
    return found


def when_of(table: pd.DataFrame, date: str, time: str | None, path: Path) -> tuple[Any, Any]:
    """Moments ``(N,)`` of a date column and a time column, and whether each has a time of day.

    Raises:
        InputError: a column is missing, or a date cannot be read (row named).
    """
    said = column_of(table, date, path)
    moments = pd.to_datetime(said, errors="coerce", utc=True, format="ISO8601").dt.tz_localize(None)
    timed = (moments != moments.dt.normalize()).to_numpy()
    if time is not None:
        clock = column_of(table, time, path).astype(str)
        since = pd.to_timedelta(clock.where(clock.str.count(":") != 1, clock + ":00"), errors="coerce")
        moments = moments.dt.normalize() + since
        timed = np.ones(len(table), bool)
    seconds = moments.to_numpy("datetime64[s]")  # nanoseconds would wrap around for years far off
    bad = np.isnat(seconds) | (seconds < FIRST) | (seconds >= LAST)
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        row = table["__row__"].iloc[first] if "__row__" in table else first
        text = str(said.iloc[first]) + ("" if time is None else f" {column_of(table, time, path).iloc[first]}")
        raise InputError(
            f"The date '{text[:60]}' in row {row} of {path} cannot be read ({int(bad.sum())} such rows)",
            expected="dates as 2024-05-06, times as 10:20:30 (UTC), from 1970 on",
            remedy="write ISO dates, or leave the rows out",
        )
    return moments.to_numpy("datetime64[ns]"), timed


def class_labels(found: pd.DataFrame, legend: Legend | None, path: Path | str) -> tuple[Any, Legend]:
    """Legend values ``(N,)`` of the labels, and the legend.

    Without a legend whole numbers from 0 on are classes of these numbers, and texts are classes in alphabetical order.

    Raises:
        InputError: a label is no class (row and value named).
    """
    labels = found["label"]
    numbers = pd.to_numeric(labels, errors="coerce")
    if legend is None:
        legend = _guessed(labels, numbers, path)
    by_name = labels.astype(str).str.strip().map(legend.mapping())
    values = by_name.where(by_name.notna(), numbers).to_numpy(np.float64)
    bad = ~np.isin(values, legend.values)
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        raise InputError(
            f"The label '{labels.iloc[first]}' in row {found['row'].iloc[first]} of {path} is no class "
            f"({int(bad.sum())} such rows)",
            expected=f"one of {', '.join(f'{entry.value} ({entry.name})' for entry in legend)}",
            remedy="correct the label, or name all classes",
        )
    return values.astype(np.int16), legend


def quantities(found: pd.DataFrame, path: Path | str) -> Any:
    """Quantities float32 ``(N,)`` of the labels.

    Raises:
        InputError: a label is no finite number (row and value named).
    """
    with np.errstate(over="ignore"):
        values = pd.to_numeric(found["label"], errors="coerce").to_numpy(np.float64).astype(np.float32)
    bad = ~np.isfinite(values)
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        raise InputError(
            f"The label '{found['label'].iloc[first]}' in row {found['row'].iloc[first]} of {path} is no number",
            expected="a finite number in every row",
            remedy="correct it, or leave the row out",
        )
    return values


def _guessed(labels: Any, numbers: Any, path: Path | str) -> Legend:
    if numbers.notna().all():
        odd = numbers[(numbers < 0) | (numbers != numbers.round()) | (numbers > 1000)]
        if len(odd):
            raise InputError(
                f"The label {odd.iloc[0]:g} of {path} is no class number",
                expected="whole numbers from 0 to 1000, or names",
                remedy="name the classes, or take the task 'regression' for quantities",
            )
        return Legend.of(*(f"class {number}" for number in range(max(int(numbers.max()) + 1, 2))))
    return Legend.of(*sorted(set(labels.astype(str).str.strip())))


def table_of(path: Path) -> Any:
    """The rows of a CSV, parquet or vector file; raises InputError where it is none."""
    with reading(path, expected=_EXPECTED, remedy="check the path and the file"):
        if not path.exists():
            raise InputError(f"There is no file {path}", expected=_EXPECTED, remedy="check the path")
        if path.suffix.lower() == ".csv":
            limits.TABLE_BYTES.check(path.stat().st_size, path)
            return pd.read_csv(path)
        if path.suffix.lower() in (".parquet", ".geoparquet"):
            facts = check_parquet(path, expected=_EXPECTED)
            if b"geo" not in (facts.metadata or {}):
                return pd.read_parquet(path)
        return read_table(path)


def column_of(table: pd.DataFrame, name: str, path: Path) -> pd.Series[Any]:
    """A column; raises InputError that names the nearest where there is none."""
    if name not in table.columns:
        known = [str(column) for column in table.columns if column not in ("__row__", "geometry")]
        raise InputError(
            f"{path} has no column '{name}'",
            expected=f"it among {', '.join(known)}",
            remedy=f"the nearest are: {nearest(name, known)}; name the columns of your table",
        )
    return table[name]


def _places(table: Any, columns: Columns, crs: str | None, path: Path) -> tuple[Any, Any]:
    """Longitude and latitude ``(N,)``."""
    from pyproj import Transformer

    if hasattr(table, "geometry") and "geometry" in table:
        return _of_geometry(table, path)
    code = crs_code(crs or "EPSG:4326")
    x, y = (pd.to_numeric(column_of(table, name, path), errors="coerce").to_numpy() for name in (columns.x, columns.y))
    if code == "EPSG:4326":
        return x, y
    return Transformer.from_crs(code, 4326, always_xy=True).transform(x, y)


def _of_geometry(table: GeoDataFrame, path: Path) -> tuple[Any, Any]:
    if table.crs is None:
        raise InputError(f"{path} has no CRS", expected="a CRS in the file", remedy="assign it, and write it again")
    kinds = sorted(set(table.geometry.geom_type.dropna()))
    if kinds != ["Point"]:
        raise InputError(f"{path} holds {', '.join(kinds) or 'nothing'}", expected="points", remedy="give points")
    points = table.geometry.to_crs(4326)
    return points.x.to_numpy(), points.y.to_numpy()


def _check_world(lon: Any, lat: Any, rows: Any, path: Path) -> None:
    bad = ~(np.isfinite(lon) & np.isfinite(lat) & (np.abs(lon) <= 180) & (np.abs(lat) <= 90))
    if not bad.any():
        return
    first = int(np.flatnonzero(bad)[0])
    place = f"{lon[first]:g}, {lat[first]:g}"
    turned = bool((np.abs(lat) > 90).any() and (np.abs(lon) <= 90).all() and (np.abs(lat) <= 180).all())
    raise InputError(
        f"The observation in row {rows[first]} of {path} lies at longitude and latitude {place} "
        f"({int(bad.sum())} such rows)",
        expected="longitudes from -180 to 180 and latitudes from -90 to 90 after the CRS is applied",
        remedy="the columns x and y look exchanged: exchange their names"
        if turned
        else "name the CRS of the coordinates, or leave the rows out",
    )


def _comparison(table: pd.DataFrame, text: str, path: Path) -> Any:
    """Where a comparison holds, bool ``(N,)``."""
    found = _FILTER.fullmatch(text)
    if found is None:
        raise ConfigError(
            f"The comparison '{text[:80]}' cannot be understood",
            expected="COLUMN OPERATOR VALUE with one of ==, !=, <, <=, >, >=, in, not in",
            remedy="write for example: year >= 2020, or: country in KE, SO",
        )
    held, word = column_of(table, found["column"], path), found["word"]
    values = [part.strip().strip("'\"") for part in found["value"].strip("[]()").split(",")]
    if word in ("in", "not in"):
        wanted = [_like(held, value) for value in values]
        return held.isin(wanted) if word == "in" else ~held.isin(wanted)
    try:
        return _OPERATORS[word](held, _like(held, found["value"].strip("'\"")))
    except TypeError as error:
        raise ConfigError(
            f"The comparison '{text[:80]}' does not fit the column ({error})",
            expected="a number for a column of numbers, a text for a column of texts",
            remedy="correct the value",
        ) from error


def _like(column: pd.Series[Any], value: str) -> Any:
    """A value as the column holds them."""
    if pd.api.types.is_bool_dtype(column):
        return {"true": True, "false": False}.get(value.lower(), value)
    if not pd.api.types.is_numeric_dtype(column):
        return value
    try:
        number = float(value)
    except ValueError:
        return value
    return value if math.isnan(number) else number
