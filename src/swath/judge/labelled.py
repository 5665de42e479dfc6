"""Labelled sample points: write them for people, read them back, and find out what the map says there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pyproj import Transformer

from swath.cubes.raster import probe
from swath.errors import ConfigError, InputError, nearest
from swath.files import write_whole
from swath.grids.geobox import crs_of
from swath.judge.frame import BLOCK, Frame, read_parts

if TYPE_CHECKING:
    import geopandas

SUFFIXES = (".gpkg", ".geojson", ".json", ".csv")
_DRIVERS = {".gpkg": "GPKG", ".geojson": "GeoJSON", ".json": "GeoJSON"}
Places = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Labelled:
    """Points with a reference label, and what the map says there.

    Args:
        classes: names of all classes, those of the map and those that only references have.
        strata: stratum value of each point.
        mapped: class number of each point on the map.
        reference: class number of each point according to its reference.
        weights: pixel area of each point in km2.
        unlabelled: points without reference, left out.
    """

    classes: tuple[str, ...]
    strata: Places
    mapped: Places
    reference: Places
    weights: NDArray[np.float64]
    unlabelled: int


def check_name(path: Path) -> None:
    """Raises ConfigError when a sample cannot be written to or read from a file of that name."""
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(
            f"The sample '{path}' has the suffix '{path.suffix}'",
            expected=f"one of {', '.join(SUFFIXES)}",
            remedy=f"use '{path.with_suffix('.gpkg')}'",
        )


def write_sample(table: geopandas.GeoDataFrame, path: Path | str) -> Path:
    """Write points as GeoPackage, GeoJSON or CSV, by suffix; the file appears whole or not at all.

    Raises:
        ConfigError: another suffix.
    """
    path = Path(path)
    check_name(path)
    if path.suffix.lower() == ".csv":
        return write_whole(path, lambda part: table.drop(columns="geometry").to_csv(part, index=False))

    def write(part: Path) -> None:
        # GDAL wants a GeoPackage to be called so while it writes it.
        scratch = part.with_name(part.name + path.suffix)
        try:
            table.to_file(scratch, driver=_DRIVERS[path.suffix.lower()], layer=path.stem, engine="pyogrio")
            scratch.replace(part)
        finally:
            scratch.unlink(missing_ok=True)

    return write_whole(path, write)


def read_sample(path: Path | str) -> pd.DataFrame:
    """Points of a sample as a table with lon, lat (WGS 84) and all other columns.

    Raises:
        InputError: the file is missing, damaged, empty, or holds something other than points.
    """
    import geopandas

    path = Path(path)
    check_name(path)
    if not path.is_file():
        beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        raise InputError(
            f"There is no file '{path}'",
            expected="a labelled sample",
            remedy=f"check the path; files of a similar name are: {nearest(path.name, beside) or 'none'}",
        )
    try:
        csv = path.suffix.lower() == ".csv"
        table = pd.read_csv(path, dtype=str, keep_default_na=False) if csv else geopandas.read_file(path)
    except Exception as error:  # the readers of several formats raise unrelated classes
        raise InputError(
            f"The sample '{path}' cannot be read ({(str(error).splitlines() or [type(error).__name__])[0][:160]})",
            expected="GeoPackage, GeoJSON or CSV with points",
            remedy="save the points again",
        ) from error
    if not len(table):
        raise InputError(f"The sample '{path}' is empty", expected="at least one point", remedy="draw one first")
    return _csv_places(table, path) if csv else _geometry_places(table, path)


def join(frame: Frame, table: pd.DataFrame, *, reference: str, name: str, drawn_elsewhere: bool = False) -> Labelled:
    """What the map and its strata say at the labelled points.

    Args:
        frame: the map.
        table: points as ``read_sample`` gives them.
        reference: column with the reference label: a class name, or the number of a class in the map.
        name: the file, for sentences.
        drawn_elsewhere: accept points that swath did not draw from this map.

    Raises:
        InputError: no such column, points drawn from another map, outside it, on no data, moved or given twice,
            unknown class names, or no label at all.
    """
    columns = [str(column) for column in table.columns if column != "geometry"]
    if reference not in columns:
        raise InputError(
            f"The sample '{name}' has no column '{reference}'",
            expected=f"one of {', '.join(columns)}",
            remedy=f"name the column with the labels; the nearest is: {nearest(reference, columns, 1)}",
        )
    _check_design(frame, table, name, drawn_elsewhere)
    text = _text(table[reference])
    filled = (text != "").to_numpy()
    if not filled.any():
        raise InputError(
            f"None of the {len(table)} points of '{name}' has a label in the column '{reference}'",
            expected=f"class names such as {', '.join(list(frame.class_names.values())[:5])}",
            remedy="label the points first; those left empty are skipped",
        )
    labels = [frame.class_names[_class_value(frame, value)] for value in _known(frame, text[filled].tolist(), name)]
    rows, columns_of = _pixels(frame, table[filled], name)
    mapped, strata, area = _at(frame, rows, columns_of, name)
    classes = _classes(frame, labels)
    position = {each: number for number, each in enumerate(classes)}
    return Labelled(
        classes,
        strata,
        np.array([position[frame.class_names[value]] for value in mapped.tolist()], np.int64),
        np.array([position[each] for each in labels], np.int64),
        area,
        int((~filled).sum()),
    )


def _classes(frame: Frame, labels: Sequence[str]) -> tuple[str, ...]:
    """Classes that occur on the map or among the references, in the order of the legend."""
    occurring = {frame.class_names[value] for value in frame.classes.pixels} | set(labels)
    return tuple(name for name in frame.class_names.values() if name in occurring)


def _csv_places(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    for column in ("lon", "lat"):
        numbers = pd.to_numeric(table[column], errors="coerce") if column in table.columns else None
        if numbers is None or not np.isfinite(numbers).all():
            raise InputError(
                f"'{path}' " + (f"has no column '{column}'" if numbers is None else f"has gaps in '{column}'"),
                expected="longitude and latitude in degrees in the columns lon and lat",
                remedy="add or repair them",
            )
        table[column] = numbers
    return table


def _geometry_places(table: Any, path: Path) -> pd.DataFrame:
    import geopandas

    if not isinstance(table, geopandas.GeoDataFrame):
        raise InputError(f"'{path}' holds no geometries", expected="points", remedy="save it with its points")
    if table.crs is None:
        raise InputError(
            f"'{path}' declares no coordinate reference system (CRS)", expected="a CRS", remedy="assign the right one"
        )
    kinds = sorted(set(table.geometry.dropna().geom_type) | ({"nothing"} if table.geometry.isna().any() else set()))
    if kinds != ["Point"] or table.geometry.is_empty.any():
        raise InputError(
            f"'{path}' holds {', '.join(kinds)}{' (some empty)' if 'Point' in kinds else ''}",
            expected="points only: the unit of the sample is a pixel",
            remedy="label the drawn points; polygons drawn by hand are no random sample",
        )
    points = table.geometry.to_crs("EPSG:4326")
    return pd.DataFrame(table.drop(columns=table.geometry.name)).assign(lon=points.x, lat=points.y)


def _check_design(frame: Frame, table: pd.DataFrame, name: str, drawn_elsewhere: bool) -> None:
    if drawn_elsewhere:
        return
    if "design" not in table.columns:
        raise InputError(
            f"The sample '{name}' has no column 'design', so nobody knows how it was drawn",
            expected="points drawn by 'swath area sample', because the estimates rest on how points were drawn",
            remedy="draw them so; or say --drawn-elsewhere if they are a stratified random sample of this map",
        )
    designs = sorted(set(_text(table["design"])))
    if designs != [frame.design]:
        raise InputError(
            f"The sample '{name}' was drawn from {', '.join(designs[:3]) or 'nothing'}, and '{frame.path}' "
            f"{'' if frame.strata_path is None else 'with its strata '}is {frame.design}",
            expected="the map (and strata) that the sample was drawn from, unchanged",
            remedy="give that map, with --strata where strata were used; for another map draw a new sample",
        )


def _known(frame: Frame, labels: list[str], name: str) -> list[str]:
    names = set(frame.class_names.values())
    unknown = [label for label in labels if label not in names and _class_value(frame, label) is None]
    if unknown:
        counts = pd.Series(unknown).value_counts()
        listed = ", ".join(f"'{label}' ({count})" for label, count in counts.head(6).items())
        raise InputError(
            f"'{name}' has labels that are no class of the map: {listed}",
            expected=f"{', '.join(list(frame.class_names.values())[:20])}",
            remedy=f"the nearest to '{unknown[0]}' is: {nearest(unknown[0], names, 1)}; leave unknown points empty",
        )
    return labels


def _class_value(frame: Frame, label: str) -> Any:
    """The map value of a class given by name, or by its number as text; None if there is none."""
    for value, name in frame.class_names.items():
        if name == label:
            return value
    try:
        number = float(label)
    except ValueError:
        return None
    return int(number) if number.is_integer() and int(number) in frame.class_names else None


def _pixels(frame: Frame, table: pd.DataFrame, name: str) -> tuple[Places, Places]:
    """Row and column of each point; those that were drawn must still lie in their pixel."""
    crs, box = crs_of(frame.geobox), frame.geobox
    lon, lat = table["lon"].to_numpy(float), table["lat"].to_numpy(float)
    height, width = (int(size) for size in box.shape)
    rows, columns = np.full(len(table), -1), np.full(len(table), -1)
    for turn in (0.0, 360.0, -360.0):  # the grid may count longitudes from 0 to 360
        x, y = Transformer.from_crs(4326, crs.proj, always_xy=True).transform(lon + turn, lat)
        with np.errstate(invalid="ignore"):
            column, row = ~box.affine @ (np.asarray(x), np.asarray(y))
            inside = (rows < 0) & (row >= 0) & (row < height) & (column >= 0) & (column < width)
        rows[inside], columns[inside] = row[inside].astype(np.int64), column[inside].astype(np.int64)
    if (rows < 0).any():
        first = int(np.flatnonzero(rows < 0)[0])
        raise InputError(
            f"{int((rows < 0).sum())} labelled points of '{name}' lie outside the map, first at longitude "
            f"{lon[first]:.6g}, latitude {lat[first]:.6g}",
            expected="points on the map",
            remedy="check that sample and map belong together",
        )
    if {"row", "column", "design"} <= set(table.columns):  # without a design the columns may mean anything
        drawn = [pd.to_numeric(table[each], errors="coerce").to_numpy(float) for each in ("row", "column")]
        moved = int(((drawn[0] != rows) | (drawn[1] != columns)).sum())
        if moved:
            raise InputError(
                f"{moved} labelled points of '{name}' lie in another pixel than the one that was drawn",
                expected="points where they were drawn: moving a point to where the answer is clear biases the areas",
                remedy="restore their places, or leave the reference of such points empty",
            )
    _check_once(rows, columns, name)
    return rows, columns


def _check_once(rows: Places, columns: Places, name: str) -> None:
    places, counts = np.unique(np.stack([rows, columns]), axis=1, return_counts=True)
    if (counts > 1).any():
        first = places[:, counts > 1][:, 0]
        raise InputError(
            f"'{name}' names {int((counts > 1).sum())} pixels more than once, first row {first[0]}, column {first[1]}",
            expected="every pixel once",
            remedy="drop the duplicates",
        )


def _at(frame: Frame, rows: Places, columns: Places, name: str) -> tuple[Places, Places, NDArray[np.float64]]:
    """Class value, stratum value and area of some pixels; only their blocks are read."""
    mapped, strata, area = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64), np.zeros(len(rows))
    valid = np.zeros(len(rows), bool)
    blocks = sorted(set(zip((rows // BLOCK * BLOCK).tolist(), (columns // BLOCK * BLOCK).tolist(), strict=True)))
    stratum_file = None if frame.strata_path is None else probe(frame.strata_path)
    for part in read_parts(probe(frame.path), stratum_file, blocks):
        here = np.flatnonzero((rows // BLOCK * BLOCK == part.row) & (columns // BLOCK * BLOCK == part.column))
        row, column = rows[here] - part.row, columns[here] - part.column
        mapped[here], strata[here] = part.classes[row, column], part.strata[row, column]
        valid[here] = part.valid[row, column]
        area[here] = np.broadcast_to(part.area_km2, part.valid.shape)[row, column]
    if not valid.all():
        first = int(np.flatnonzero(~valid)[0])
        raise InputError(
            f"{int((~valid).sum())} labelled points of '{name}' lie where the map has no data, first at row "
            f"{rows[first]}, column {columns[first]}",
            expected="points on mapped pixels",
            remedy="leave their reference empty: they are no part of the mapped area",
        )
    return mapped, strata, area


def _text(column: pd.Series) -> pd.Series:
    """Cells as trimmed text, empty where there is nothing."""
    return column.map(lambda cell: "" if pd.isna(cell) else str(cell).strip())
