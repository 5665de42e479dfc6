"""Labelled rows of a table of embeddings: the class in the table itself, or in another table by id."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from swath.cubes.tables import read_table
from swath.embed.places import class_text, named_column
from swath.embed.table import SHARE, EmbeddingTable
from swath.errors import InputError
from swath.reading import check_parquet, reading

ID = "id"
_OTHERS = frozenset({ID, "group", SHARE})
_EXPECTED = "a table with the columns id and class: CSV, Parquet or a vector file"


@dataclass(frozen=True, eq=False)
class RowLabels:
    """N rows of a table of embeddings that have a class.

    Args:
        rows: int64 ``(N,)``, positions in the table.
        classes: names, sorted.
        numbers: int64 ``(N,)``, position in ``classes``.
        without: labels of ids that the table does not hold.
    """

    rows: NDArray[np.int64]
    classes: tuple[str, ...]
    numbers: NDArray[np.int64]
    without: int


def labelled_rows(table: EmbeddingTable, labels: Path | str, column: str | None) -> RowLabels:
    """The rows that have a class; rows without one are left out.

    Args:
        table: of embeddings.
        labels: the same file, whose column holds the class, or a table with an id for each class.
        column: of the class; None where it is plain.

    Raises:
        InputError: no such file or column, no id on one side, an id with two classes, no id in common, or fewer than
            two classes.
    """
    labels = Path(labels)
    if labels.exists() and labels.samefile(table.path):
        names, without = _names(pd.DataFrame(table.places), column, str(labels)), 0
    else:
        names, without = _joined(table, _read(labels), column, str(labels))
    found = np.flatnonzero(names.notna().to_numpy())
    text = names.to_numpy()[found].astype(str)
    classes, numbers = np.unique(text, return_inverse=True)
    if len(classes) < 2:
        raise InputError(
            f"The labels of '{labels}' for '{table.path}' are all of the class '{classes[0]}'"
            if len(classes)
            else f"No row of '{table.path}' has a class from '{labels}'",
            expected="at least two classes",
            remedy="check the column of the class and the ids, or add labels",
        )
    return RowLabels(found, tuple(str(item) for item in classes), numbers.reshape(-1).astype(np.int64), without)


def check_places(table: EmbeddingTable) -> None:
    """Refuse a table whose rows cannot be held out by place.

    Raises:
        InputError: it has no CRS, or rows without geometry.
    """
    shapes = table.places.geometry
    lost = int((shapes.isna() | shapes.is_empty).sum())
    if table.places.crs is None or lost:
        given = "no coordinate reference system (CRS)" if not lost else f"{lost} of {len(shapes)} rows without geometry"
        raise InputError(
            f"'{table.path}' has {given}",
            expected="a place for every row, because neighbours are held out together",
            remedy="make the embeddings again with swath embed, which writes them",
        )


def places_m(table: EmbeddingTable) -> NDArray[np.int64]:
    """Where the rows are, in metres ``(N, 2)``: an equal-area projection around their middle, to whole metres."""
    points = table.places.geometry.representative_point().to_crs("EPSG:4326")
    lon, lat = np.deg2rad(points.x.to_numpy()), np.deg2rad(points.y.to_numpy())
    middle = np.mean([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)
    east = np.rad2deg(np.arctan2(middle[1], middle[0]))
    north = np.rad2deg(np.arctan2(middle[2], np.hypot(middle[0], middle[1])))
    moved = points.to_crs(f"+proj=laea +lat_0={north:.6f} +lon_0={east:.6f} +datum=WGS84 +units=m")
    return np.stack([moved.y.to_numpy(), moved.x.to_numpy()], axis=1).round().astype(np.int64)


def _joined(table: EmbeddingTable, labels: pd.DataFrame, column: str | None, name: str) -> tuple[pd.Series, int]:
    """Class names of all rows of the table, None where there is none, and the labels that no row has."""
    for there, whose in ((labels, name), (table.places, str(table.path))):
        if ID not in there:
            raise InputError(
                f"'{whose}' has no column '{ID}'; it has {', '.join(str(item) for item in there.columns) or 'none'}",
                expected="an id on both sides, by which labels and embeddings are joined",
                remedy="add one, or keep the class in the table of embeddings and name it for both",
            )
    keys = labels[ID].map(class_text)
    classes = _names(labels, column, name).set_axis(keys)
    classes = classes[classes.notna()]
    twice = classes.groupby(level=0).nunique()
    if (twice > 1).any():
        raise InputError(
            f"The id '{twice.index[twice > 1][0]}' has {int(twice.max())} classes in '{name}'",
            expected="one class for each id",
            remedy="keep one of them",
        )
    classes = classes[~classes.index.duplicated()]
    own = table.places[ID].map(class_text)
    without = int((~classes.index.isin(set(own))).sum())
    if len(classes) and without == len(classes):
        raise InputError(
            f"No id of '{name}' is in '{table.path}': {', '.join(map(str, classes.index[:3]))} there, "
            f"{', '.join(own.iloc[:3])} here",
            expected="the same ids on both sides",
            remedy="check that the right files were paired",
        )
    return own.map(classes), without


def _names(table: pd.DataFrame, column: str | None, name: str) -> pd.Series:
    """Class names as text, None where there is none."""
    geometry = table.geometry.name if isinstance(table, gpd.GeoDataFrame) else "geometry"
    there = [str(item) for item in table.columns if str(item) not in _OTHERS | {geometry}]
    found = table[named_column(there, column, name)]
    return found.map(lambda value: None if pd.isna(value) or str(value).strip() == "" else class_text(value))


def _read(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise InputError(f"There is no file '{path}'", expected=_EXPECTED, remedy="check the path")
    with reading(path, expected=_EXPECTED):
        if path.suffix.lower() == ".csv":
            return pd.read_csv(path, dtype={ID: str})
        if path.suffix.lower() in (".parquet", ".geoparquet"):
            check_parquet(path, expected=_EXPECTED)
            return pd.read_parquet(path)
        return pd.DataFrame(read_table(path))
