"""Polygons to label rasters."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import geopandas as gpd
import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords
from rasterio.features import rasterize

from swath import limits
from swath.cubes.tables import FORMATS, read_table
from swath.errors import ConfigError, InputError, nearest
from swath.reading import reading
from swath.types import IGNORE

Vectors: TypeAlias = gpd.GeoDataFrame | str | Path


def rasterise(vectors: Vectors, geobox: GeoBox, *, column: str, legend: Mapping[str, int]) -> xr.DataArray:
    """Burn the class of polygons onto a grid.

    A pixel takes the class of the polygon that covers its centre. Where polygons of different classes overlap, the
    truth is unknown and the pixel stays ``IGNORE``; attr ``conflicts`` counts such pixels.

    Args:
        vectors: polygons, or a file of them; reprojected to the grid.
        geobox: the grid.
        column: the column that holds the class.
        legend: class name to label, 0 to 32767.

    Returns:
        int16 ``(y, x)``, ``IGNORE`` (-100) outside of the polygons.

    Raises:
        InputError: the file cannot be read, has no CRS or no such column, holds points or lines, a polygon has no
            class or one that is not in the legend, or the polygons lie outside of the grid (both extents are printed).
        ConfigError: a label does not fit.
    """
    _check_labels(legend)
    table, name = _read(vectors)
    _check_column(table, column, name)
    _check_polygons(table, name)
    _check_filled(table, column, name)
    unknown = [(value, count) for value, count in _counts(table[column]) if value not in legend]
    if unknown:
        shown = ", ".join(f"'{value}' ({count} times)" for value, count in unknown)
        raise InputError(
            f"The column '{column}' of '{name}' holds {shown}, which the legend does not name",
            expected=f"only {', '.join(legend)}",
            remedy="add the class to the legend, or correct or drop those polygons",
        )
    placed = _on_grid(table, geobox, name)
    classes = placed[column].map(lambda value: legend[_text(value)]).to_numpy(dtype=np.int64)
    labels = np.full(geobox.shape.yx, IGNORE, dtype=np.int16)
    conflict = np.zeros(geobox.shape.yx, dtype=bool)
    for label in np.unique(classes):
        covered = _burn(placed.geometry[classes == label], np.ones((classes == label).sum()), geobox, 0) > 0
        conflict |= covered & (labels != IGNORE)
        labels[covered] = label
    labels[conflict] = IGNORE
    return _array(labels, geobox, {"column": column, "source": name, "conflicts": int(conflict.sum())})


def rasterise_ids(vectors: Vectors, geobox: GeoBox) -> xr.DataArray:
    """Burn the row number of each polygon onto a grid, for splits by polygon.

    Returns:
        int32 ``(y, x)``: position of the polygon in the table (the last one where they overlap), -1 outside.

    Raises:
        InputError: as ``rasterise``.
    """
    table, name = _read(vectors)
    _check_polygons(table, name)
    placed = _on_grid(table, geobox, name)
    rows = np.flatnonzero(_usable(table))
    return _array(_burn(placed.geometry, rows, geobox, -1), geobox, {"source": name})


def vector_classes(vectors: Vectors, column: str) -> list[str]:
    """The classes in a column of polygons, sorted; empty cells are left out.

    Raises:
        InputError: the file cannot be read or has no such column.
    """
    table, name = _read(vectors)
    _check_column(table, column, name)
    return sorted({_text(value) for value in table[column].dropna()})


def _read(vectors: Vectors) -> tuple[gpd.GeoDataFrame, str]:
    if isinstance(vectors, gpd.GeoDataFrame):
        return _checked(vectors, "the table of polygons"), "the table of polygons"
    path = Path(vectors)
    if "\0" in str(path) or not path.exists():
        beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        hint = f"; files of a similar name are: {nearest(path.name, beside)}" if beside else ""
        raise InputError(
            f"There is no file '{path}'", expected="a file of polygons that exists", remedy=f"check the path{hint}"
        )
    with reading(path, expected=f"polygons as {FORMATS}", remedy="write it again in one of these formats"):
        return _checked(read_table(path), str(path)), str(path)


def _checked(table: Any, name: str) -> gpd.GeoDataFrame:
    if not isinstance(table, gpd.GeoDataFrame) or not len(table):
        raise InputError(f"'{name}' holds no polygons", expected="at least one", remedy="check the file or the filter")
    if table.crs is None:
        raise InputError(
            f"'{name}' declares no coordinate reference system (CRS)",
            expected="a CRS such as EPSG:4326",
            remedy="assign the right one, for example with table.set_crs('EPSG:4326')",
        )
    return table


def _check_column(table: gpd.GeoDataFrame, column: str, name: str) -> None:
    columns = [str(item) for item in table.columns if item != table.geometry.name]
    if column not in columns:
        raise InputError(
            f"'{name}' has no column '{column}'",
            expected=f"one of {', '.join(columns) or 'none: the file has geometries only'}",
            remedy=f"the nearest names are: {nearest(column, columns) or 'none'}",
        )


def _check_polygons(table: gpd.GeoDataFrame, name: str) -> None:
    types = table.geometry[_usable(table)].geom_type.value_counts()
    if set(types.index) - {"Polygon", "MultiPolygon"}:
        raise InputError(
            f"'{name}' holds " + ", ".join(f"{kind} ({count})" for kind, count in types.items()),
            expected="polygons only, because a label covers an area",
            remedy="drop the other geometries, or give them an area first (geopandas: buffer)",
        )


def _check_filled(table: gpd.GeoDataFrame, column: str, name: str) -> None:
    empty = int(table[column].isna().sum())
    if empty:
        raise InputError(
            f"{empty} polygon{'s have' if empty > 1 else ' has'} no class in column '{column}' of '{name}'",
            expected="a class for each polygon",
            remedy="give them one or drop them",
        )


def _check_labels(legend: Mapping[str, int]) -> None:
    for name, label in legend.items():
        if not 0 <= int(label) <= np.iinfo(np.int16).max:
            raise ConfigError(
                f"The class '{name}' has the label {label}",
                expected="a whole number from 0 to 32767",
                remedy=f"number the classes from 0; {IGNORE} is kept for pixels without label",
            )


def _counts(values: pd.Series) -> list[tuple[str, int]]:
    names = pd.Series([_text(value) for value in values])
    return [(str(name), int(count)) for name, count in names.value_counts().items()]


def _text(value: Any) -> str:
    """Class names as text: 3.0 (a column with gaps) is the class 3, and an empty cell is ``(empty)``."""
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return "(empty)"
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _usable(table: gpd.GeoDataFrame) -> NDArray[np.bool_]:
    return ~(table.geometry.isna() | table.geometry.is_empty).to_numpy()


def _on_grid(table: gpd.GeoDataFrame, geobox: GeoBox, name: str) -> gpd.GeoDataFrame:
    """The polygons in the CRS of the grid, if any of them touches it."""
    limits.LABEL_PIXELS.check(geobox.shape.y * geobox.shape.x, "the grid")
    with reading(name, expected="polygons with coordinates in their CRS"):
        placed = table[_usable(table)].to_crs(str(geobox.crs))
    left, bottom, right, top = geobox.boundingbox
    touching = placed.cx[left:right, bottom:top] if len(placed) else placed
    if not len(touching):
        bounds = "no extent" if not len(placed) else _extent(*placed.total_bounds)
        raise InputError(
            f"The polygons of '{name}' and the grid do not overlap: the polygons cover {bounds}, the grid "
            f"{_extent(left, bottom, right, top)} (both in {_crs_name(geobox)}; the file is in {table.crs.name})",
            expected="polygons on the scene",
            remedy="check that the right files were paired and that both CRS are right",
        )
    return placed


def _extent(left: float, bottom: float, right: float, top: float) -> str:
    return f"x {left:.6g} to {right:.6g}, y {bottom:.6g} to {top:.6g}"


def _crs_name(geobox: GeoBox) -> str:
    epsg = geobox.crs.epsg if geobox.crs is not None else None
    return f"EPSG:{epsg}" if epsg else "the CRS of the grid"


def _burn(shapes: gpd.GeoSeries, numbers: NDArray[Any], geobox: GeoBox, fill: int) -> NDArray[np.int32]:
    burnt = rasterize(
        ((shape, int(number)) for shape, number in zip(shapes, numbers, strict=True)),
        out_shape=geobox.shape.yx,
        transform=geobox.affine,
        fill=fill,
        dtype="int32",
    )
    return np.asarray(burnt, dtype=np.int32)


def _array(values: NDArray[Any], geobox: GeoBox, attrs: Mapping[str, Any]) -> xr.DataArray:
    return xr.DataArray(values, dims=("y", "x"), coords=xr_coords(geobox, always_yx=True), attrs=dict(attrs))
