"""Label rasters with a table of records: which file was true on which day."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from swath import cubes, limits
from swath.chips.archive.points import column_of, table_of, when_of
from swath.cubes.legend import Legend
from swath.cubes.nodata import valid_numbers
from swath.cubes.raster import probe, read_window
from swath.errors import InputError
from swath.failures import Failure, Failures
from swath.reading import inside
from swath.types import IGNORE


def read_records(
    path: Path | str, folder: Path | str, *, file: str = "label_filename", date: str = "date", time: str | None = None
) -> pd.DataFrame:
    """Label rasters of a table.

    Args:
        path: CSV, parquet or a vector file; the rasters themselves say where they lie.
        folder: where the rasters are.
        file: column with their names.
        date: column with their dates.
        time: column with times of day, UTC.

    Returns:
        columns row, path, when and timed.

    Raises:
        InputError: the table is missing or damaged, lacks a column, names a file outside of the folder or a file twice,
            or a date cannot be read (row named).
    """
    path = Path(path)
    table = pd.DataFrame(table_of(path))
    if table.empty:
        raise InputError(f"{path} is empty", expected="one label raster a row", remedy="check the file")
    names = column_of(table, file, path).astype(str)
    odd = next((name for name in names if not inside(name)), None)
    if odd is not None:
        raise InputError(f"{path} names the file '{odd[:80]}'", expected=f"a file inside {folder}", remedy="correct it")
    twice = names[names.duplicated()]
    if len(twice):
        raise InputError(f"{path} names '{twice.iloc[0]}' twice", expected="every raster once", remedy="drop a row")
    found = pd.DataFrame({"row": np.arange(len(table)), "path": [str(Path(folder) / name) for name in names]})
    found["when"], found["timed"] = when_of(table, date, time, path)
    return found


def label_grids(table: pd.DataFrame, size: int, failures: Failures) -> list[GeoBox | None]:
    """Grid of every label raster; None, and a failure, where it cannot be read or is not of the chip's size."""
    boxes: list[GeoBox | None] = []
    for name in table["path"]:
        box = None
        try:
            file = probe(name)
            shape = (int(file.geobox.shape.y), int(file.geobox.shape.x))
            if shape != (size, size) or file.count != 1:
                raise InputError(
                    f"The label raster '{name}' has {file.count} band of {shape[0]} x {shape[1]} pixels",
                    expected=f"one band of {size} x {size} pixels, as the chips",
                    remedy=f"ask for chips of {shape[0]} pixels (--size {shape[0]}), or cut the label raster",
                )
            box = cubes.geobox_of(next(iter(cubes.nodes_of(cubes.open(name, level="physical")).values())))
        except InputError as error:
            failures.add(Failure.of(name, "label", error))
        boxes.append(box)
    return boxes


def raster_values(path: Path, nodata: float | None, legend: Legend | None) -> NDArray[np.float64]:
    """Labels of a raster float64 ``(y, x)``, NaN without one.

    Args:
        path: the raster.
        nodata: the number for "no label", instead of what the file declares.
        legend: classes; None for quantities.

    Raises:
        InputError: it cannot be read, or holds a number that is no class (value and count named).
    """
    if legend is None:
        return _quantities(path, nodata)
    labels = cubes.read_labels(path, nodata=nodata).values
    wrong = labels[~np.isin(labels, (*legend.values, IGNORE))]
    if wrong.size:
        values, counts = np.unique(wrong, return_counts=True)
        raise InputError(
            f"The label raster '{path}' holds the value {values[-1]} in {counts[-1]} pixels",
            expected=f"one of {', '.join(map(str, legend.values))}"
            + ("" if nodata is None else f", or {nodata:g} for no label"),
            remedy="name all classes, or the number for no label",
        )
    return np.where(labels == IGNORE, np.nan, labels.astype(np.float64))


def stamp(path: str) -> str:
    """What changes when a file does."""
    facts = Path(path).stat()
    return f"{facts.st_mtime_ns} {facts.st_size}"


def outlines_of(boxes: Sequence[GeoBox]) -> NDArray[Any]:
    """Outline of each grid in degrees, half a pixel within its edge, as polygons ``(N,)``."""
    import shapely

    from swath.grids.geobox import to_lonlat

    found = []
    for box in boxes:
        height, width = box.shape.yx
        along = np.linspace(0.0, 1.0, 9)[:-1]
        right = 0.5 + np.concatenate([along, np.ones(8), 1 - along, np.zeros(8)]) * (width - 1)
        down = 0.5 + np.concatenate([np.zeros(8), along, np.ones(8), 1 - along]) * (height - 1)
        points = np.column_stack(to_lonlat(box, right, down))
        found.append(shapely.LineString(points).envelope if min(height, width) < 2 else shapely.Polygon(points))
    array = np.empty(len(found), object)
    array[:] = found
    return array


def _quantities(path: Path, nodata: float | None) -> NDArray[np.float64]:
    file = probe(path)
    height, width = int(file.geobox.shape.y), int(file.geobox.shape.x)
    limits.LABEL_PIXELS.check(height * width, path)
    stored = read_window(file, (0,), (0, height), (0, width))[0]
    missing = file.nodata[0] if nodata is None else nodata
    valid = valid_numbers(stored[None], (() if missing is None else (missing,),))[0] & np.isfinite(stored)
    if file.shared_mask:
        valid &= read_window(file, (0,), (0, height), (0, width), masks=True)[0]
    return np.where(valid, stored.astype(np.float64), np.nan)
