"""Labelled points and polygons on the grid of a scene or of its embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyproj
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.features import rasterize
from shapely.geometry.base import BaseGeometry

from swath import limits
from swath.cubes.tables import FORMATS, read_table
from swath.errors import InputError, nearest
from swath.reading import reading

_POINTS, _AREAS = frozenset({"Point"}), frozenset({"Polygon", "MultiPolygon"})
_USUAL = ("class", "label", "class_name", "landcover", "cover", "type")
"""Columns that hold the class where none is named and there are several."""


@dataclass(frozen=True, eq=False)
class Cells:
    """N cells of a grid.

    Args:
        rows: int64 ``(N,)``.
        columns: int64 ``(N,)``.
        objects: int64 ``(N,)``, position in the table of the point or polygon that each came from.
        outside: points or polygons of the table that lie outside of the grid and were left out.
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    objects: NDArray[np.int64]
    outside: int

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, eq=False)
class Labels:
    """Cells with a class.

    Args:
        cells: where they are.
        classes: names, sorted.
        numbers: int64 ``(N,)``, position in ``classes``.
        conflicts: cells that objects of different classes share, and that were left out.
    """

    cells: Cells
    classes: tuple[str, ...]
    numbers: NDArray[np.int64]
    conflicts: int


def read_places(path: Path | str) -> gpd.GeoDataFrame:
    """Points or polygons of a vector file.

    Raises:
        InputError: there is no such file, it is damaged or empty, has no CRS, or holds lines, or points and polygons.
    """
    path = Path(path)
    if not path.exists():
        beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        hint = f"; files of a similar name are: {nearest(path.name, beside)}" if beside else ""
        raise InputError(
            f"There is no file '{path}'", expected="points or polygons in a file", remedy=f"check the path{hint}"
        )
    with reading(path, expected=f"points or polygons as {FORMATS}"):
        table = read_table(path)
    if not isinstance(table, gpd.GeoDataFrame) or table.crs is None:
        raise InputError(
            f"'{path}' declares no coordinate reference system (CRS)",
            expected="geometries with a CRS such as EPSG:4326, so that they can be brought to the scene",
            remedy="assign the right one, for example with table.set_crs('EPSG:4326')",
        )
    table = table[~(table.geometry.isna() | table.geometry.is_empty)].reset_index(drop=True)
    kinds = set(table.geometry.geom_type)
    if not kinds or not (kinds <= _POINTS or kinds <= _AREAS):
        raise InputError(
            f"'{path}' holds {', '.join(sorted(kinds)) or 'no geometries'}",
            expected="points only, or polygons only",
            remedy="keep one kind in a file; give lines an area first (geopandas: buffer)",
        )
    return table


def cells_of(table: gpd.GeoDataFrame, geobox: GeoBox, name: str, *, most: int | None = None) -> Cells:
    """The cells under points, or those whose centres lie in polygons; reprojected to the grid.

    A polygon without the centre of a cell takes the cell of a point inside it. A cell appears once for every object.

    Args:
        table: points or polygons with a CRS.
        geobox: the grid.
        name: of the file, for sentences.
        most: evenly spaced cells that are kept of one polygon; None = all.

    Raises:
        InputError: all lie outside of the grid; both extents are told.
    """
    placed = _on_crs(table, geobox, name)
    if set(placed.geometry.geom_type) <= _POINTS:
        points, objects = placed.geometry, np.arange(len(placed))
        rows, columns = _cell_of(points.x.to_numpy(), points.y.to_numpy(), geobox)
    else:
        rows, columns, objects = _covered(placed, geobox, most)
    inside = (rows >= 0) & (rows < geobox.shape.y) & (columns >= 0) & (columns < geobox.shape.x)
    if not inside.any():
        raise InputError(
            f"All of '{name}' lies outside of the scene: it covers {_extent(placed.total_bounds)}, the scene "
            f"{_extent(tuple(geobox.boundingbox))} (in the CRS of the scene; the file is in {table.crs.name})",
            expected="points or polygons on the scene",
            remedy="check that the right files were paired and that both CRS are right",
        )
    kept = objects[inside]
    outside = len(placed) - len(np.unique(kept))
    return Cells(rows[inside], columns[inside], kept, outside)


def labelled(
    table: gpd.GeoDataFrame, geobox: GeoBox, column: str | None, name: str, *, most: int | None = None
) -> Labels:
    """Cells with the class of the points or polygons that they belong to.

    Args:
        table: see ``read_places``.
        geobox: the grid.
        column: the column that holds the class; None where the table makes it plain.
        name: of the file, for sentences.
        most: cells kept of one polygon.

    Raises:
        InputError: no such column, an object without class, nothing on the grid, or fewer than two classes there.
    """
    column = column_of(table, column, name)
    empty = int(table[column].isna().sum())
    if empty:
        raise InputError(
            f"{empty} of {len(table)} objects in '{name}' have no class in the column '{column}'",
            expected="a class for each of them",
            remedy="give them one or drop them",
        )
    names = np.array([class_text(value) for value in table[column]], dtype=str)
    cells = cells_of(table, geobox, name, most=most)
    unique, numbers = np.unique(names[cells.objects], return_inverse=True)
    keep = _without_conflicts(cells, numbers, geobox)
    conflicts = int((~keep).sum())
    unique, numbers = np.unique(names[cells.objects[keep]], return_inverse=True)
    if len(unique) < 2:
        raise InputError(
            f"The labels of '{name}' on the scene are all of the class '{unique[0]}'"
            if len(unique)
            else f"Every label of '{name}' contradicts another one on the same cell",
            expected=f"at least two classes; the column '{column}' of the whole file has {len(np.unique(names))}",
            remedy="add labels of another class, or check the column and the place",
        )
    kept = Cells(cells.rows[keep], cells.columns[keep], cells.objects[keep], cells.outside)
    return Labels(kept, tuple(str(item) for item in unique), numbers.astype(np.int64), conflicts)


def column_of(table: gpd.GeoDataFrame, column: str | None, name: str) -> str:
    """The column that holds the class.

    Raises:
        InputError: it is not there, or none was named and several could be meant.
    """
    return named_column([str(item) for item in table.columns if item != table.geometry.name], column, name)


def named_column(there: list[str], column: str | None, name: str) -> str:
    """The column of the class among those that are there.

    Raises:
        InputError: see ``column_of``.
    """
    if column is not None and column in there:
        return column
    usual = [item for item in there if item.lower() in _USUAL]
    if column is None and (len(there) == 1 or len(usual) == 1):
        return there[0] if len(there) == 1 else usual[0]
    raise InputError(
        f"'{name}' has no column '{column}'" if column is not None else f"'{name}' has several columns",
        expected=f"the class in one of {', '.join(there) or 'its columns, and it has none'}",
        remedy=f"name it with --column; the nearest names are: {nearest(column, there) or 'none'}"
        if column is not None
        else "name it with --column",
    )


def point_on(lonlat: tuple[float, float], geobox: GeoBox, name: str) -> tuple[int, int]:
    """Row and column of the cell at a longitude and latitude [degree].

    Raises:
        InputError: the place is not on the grid.
    """
    x, y = _transformer("EPSG:4326", geobox).transform(*lonlat)
    rows, columns = _cell_of(np.array([x]), np.array([y]), geobox)
    row, column = int(rows[0]), int(columns[0])
    if not (0 <= row < geobox.shape.y and 0 <= column < geobox.shape.x):
        back = _transformer(str(geobox.crs), "EPSG:4326")
        west, south, east, north = back.transform_bounds(*geobox.boundingbox)
        raise InputError(
            f"The place {lonlat[0]:g}, {lonlat[1]:g} is not on '{name}'",
            expected=f"longitude {west:.5f} to {east:.5f} and latitude {south:.5f} to {north:.5f}",
            remedy="give longitude first, then latitude",
        )
    return row, column


def centres(rows: NDArray[np.int64], columns: NDArray[np.int64], geobox: GeoBox) -> NDArray[np.float64]:
    """Coordinates ``(N, 2)`` (x, y) of the centres of cells in the CRS of their grid."""
    return np.stack(_moved(geobox.affine, columns + 0.5, rows + 0.5), axis=1)


def lonlat_of_cells(rows: NDArray[np.int64], columns: NDArray[np.int64], geobox: GeoBox) -> NDArray[np.float64]:
    """Longitude and latitude ``(N, 2)`` of the centres of cells [degree]."""
    xy = centres(rows, columns, geobox)
    return np.stack(_transformer(str(geobox.crs), "EPSG:4326").transform(xy[:, 0], xy[:, 1]), axis=1)


def same_places(cells: Cells, geobox: GeoBox, other: GeoBox) -> Cells:
    """The cells of another grid that hold the centres of these; -1 where there is none."""
    xy = centres(cells.rows, cells.columns, geobox)
    x, y = _transformer(str(geobox.crs), other).transform(xy[:, 0], xy[:, 1])
    rows, columns = _cell_of(np.asarray(x), np.asarray(y), other)
    inside = (rows >= 0) & (rows < other.shape.y) & (columns >= 0) & (columns < other.shape.x)
    return Cells(np.where(inside, rows, -1), np.where(inside, columns, -1), cells.objects, cells.outside)


def cells_under(shapes: gpd.GeoSeries, geobox: GeoBox) -> Cells:
    """The cell under a point of each shape; -1 where there is none."""
    points = shapes.to_crs(str(geobox.crs)).representative_point()
    rows, columns = _cell_of(points.x.to_numpy(), points.y.to_numpy(), geobox)
    inside = (rows >= 0) & (rows < geobox.shape.y) & (columns >= 0) & (columns < geobox.shape.x)
    objects = np.arange(len(points))
    return Cells(np.where(inside, rows, -1), np.where(inside, columns, -1), objects, int((~inside).sum()))


def _transformer(source: str, target: GeoBox | str) -> pyproj.Transformer:
    wanted = target if isinstance(target, str) else str(target.crs)
    return pyproj.Transformer.from_crs(source, wanted, always_xy=True)


def _moved(
    affine: Affine, x: NDArray[np.floating[Any]], y: NDArray[np.floating[Any]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    east, north = np.asarray(x, np.float64), np.asarray(y, np.float64)
    return affine.a * east + affine.b * north + affine.c, affine.d * east + affine.e * north + affine.f


def _cell_of(
    x: NDArray[np.float64], y: NDArray[np.float64], geobox: GeoBox
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    columns, rows = _moved(~geobox.affine, x, y)
    known = np.isfinite(columns) & np.isfinite(rows)
    limit = 2.0**60
    rows = np.clip(np.where(known, rows, -1.0), -1.0, limit)
    columns = np.clip(np.where(known, columns, -1.0), -1.0, limit)
    return np.floor(rows).astype(np.int64), np.floor(columns).astype(np.int64)


def _on_crs(table: gpd.GeoDataFrame, geobox: GeoBox, name: str) -> gpd.GeoDataFrame:
    with reading(name, expected="geometries with coordinates in their CRS"):
        return table.to_crs(str(geobox.crs))


def _covered(
    placed: gpd.GeoDataFrame, geobox: GeoBox, most: int | None
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Rows, columns and objects of the cells in polygons, at least one for every polygon (maybe off the grid).

    Every polygon is drawn in its own window, so that overlapping ones all keep their cells.
    """
    found = [_cells_in(shape, geobox) for shape in placed.geometry]
    thinned = [cells if most is None else cells[_spread(len(cells), most)] for cells in found]
    objects = np.repeat(np.arange(len(placed)), [len(cells) for cells in thinned])
    cells = np.concatenate(thinned)
    return cells[:, 0], cells[:, 1], objects


def _cells_in(shape: BaseGeometry, geobox: GeoBox) -> NDArray[np.int64]:
    """Rows and columns ``(N, 2)`` of the cells whose centres a polygon covers, else of the cell of a point in it."""
    left, bottom, right, top = shape.bounds
    rows, columns = _cell_of(np.array([left, left, right, right]), np.array([bottom, top, bottom, top]), geobox)
    first = max(int(rows.min()), 0), max(int(columns.min()), 0)
    size = min(int(rows.max()) + 1, geobox.shape.y) - first[0], min(int(columns.max()) + 1, geobox.shape.x) - first[1]
    if min(size) > 0:
        limits.LABEL_PIXELS.check(size[0] * size[1], "a polygon")
        transform = geobox.affine @ Affine.translation(first[1], first[0])
        inside = np.argwhere(rasterize([(shape, 1)], out_shape=size, transform=transform, dtype="uint8"))
        if len(inside):
            return (inside + np.array(first)).astype(np.int64)
    inner = shape.representative_point()
    row, column = _cell_of(np.array([inner.x]), np.array([inner.y]), geobox)
    return np.stack([row, column], axis=1)


def _spread(count: int, most: int) -> NDArray[np.int64]:
    """At most ``most`` evenly spaced positions."""
    return np.arange(count) if count <= most else np.linspace(0, count - 1, most).round().astype(np.int64)


def _without_conflicts(cells: Cells, numbers: NDArray[np.int64], geobox: GeoBox) -> NDArray[np.bool_]:
    """True where all labels of a cell agree, once for every cell."""
    flat = cells.rows * geobox.shape.x + cells.columns
    _, first, place = np.unique(flat, return_index=True, return_inverse=True)
    low, high = np.full(len(first), np.iinfo(np.int64).max), np.full(len(first), -1)
    np.minimum.at(low, place, numbers)
    np.maximum.at(high, place, numbers)
    keep = np.zeros(len(flat), bool)
    keep[first[low == high]] = True
    return keep


def class_text(value: Any) -> str:
    """Class names as text: 3.0 (a column with gaps) is the class 3."""
    return str(int(value)) if isinstance(value, float | np.floating) and float(value).is_integer() else str(value)


def _extent(bounds: Sequence[float]) -> str:
    left, bottom, right, top = bounds
    return f"x {left:.6g} to {right:.6g}, y {bottom:.6g} to {top:.6g}"
