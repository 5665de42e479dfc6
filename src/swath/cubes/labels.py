"""Label rasters: whole numbers per pixel, with one number for "no label"."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from odc.geo.xr import xr_coords

from swath import limits
from swath.cubes.nodata import valid_numbers
from swath.cubes.raster import RasterFile, chunks_of, probe, read_window
from swath.errors import InputError
from swath.types import IGNORE


def read_labels(path: str | Path, *, nodata: float | None = None) -> xr.DataArray:
    """Read a label raster of one band.

    Args:
        path: the raster.
        nodata: the number that means "no label", instead of what the file declares.

    Returns:
        int16 ``(y, x)``, ``IGNORE`` (-100) where there is no label.

    Raises:
        InputError: as ``cubes.open``, or the raster has several bands, fractions, or numbers beyond 16 bits.
    """
    file = probe(path)
    if file.count != 1:
        raise InputError(
            f"The label raster '{path}' has {file.count} bands",
            expected="one band of class numbers",
            remedy="extract the band with the classes, for example with 'gdal_translate -b 1'",
        )
    height, width = file.geobox.shape.yx
    limits.LABEL_PIXELS.check(height * width, path)
    missing = file.nodata[0] if nodata is None else nodata
    labels = np.full((height, width), IGNORE, dtype=np.int16)
    wrong, example, start = 0, 0.0, 0
    for rows in chunks_of(file)[0]:
        part, odd = _rows_of(file, (start, start + rows), missing)
        labels[start : start + rows] = part
        example = complex(odd[0]).real if odd.size and not wrong else example
        wrong += odd.size
        start += rows
    if wrong:
        raise InputError(
            f"The label raster '{path}' holds {wrong} numbers that are no class, such as {example:g}",
            expected="whole numbers of 16 bits",
            remedy="check that this is the label raster, or give nodata=",
        )
    return xr.DataArray(
        labels, dims=("y", "x"), coords=xr_coords(file.geobox, always_yx=True), attrs={"source": str(path)}
    )


def _rows_of(
    file: RasterFile, rows: tuple[int, int], missing: float | None
) -> tuple[NDArray[np.int16], NDArray[np.generic]]:
    """Labels of some rows ``(y, x)``, and the numbers among them that cannot be labels."""
    columns = (0, int(file.geobox.shape.x))
    stored = read_window(file, (0,), rows, columns)[0]
    valid = valid_numbers(stored[None], (() if missing is None else (missing,),))[0]
    if file.shared_mask:
        valid &= read_window(file, (0,), rows, columns, masks=True)[0]
    values = stored[valid]
    if values.dtype.kind == "c":
        return np.full(stored.shape, IGNORE, dtype=np.int16), values
    limits16 = np.iinfo(np.int16)
    odd = (values != np.rint(values)) | (values < limits16.min) | (values > limits16.max)
    labels = np.full(stored.shape, IGNORE, dtype=np.int16)
    labels[valid] = np.where(odd, IGNORE, values).astype(np.int16)
    return labels, values[odd]
