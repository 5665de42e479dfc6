"""Label rasters: whole numbers per pixel, with one number for "no label"."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr
from odc.geo.xr import xr_coords

from swath.cubes.nodata import valid_numbers
from swath.cubes.raster import probe, read_window
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
    stored = read_window(file, (0,), (0, height), (0, width))
    missing = file.nodata[0] if nodata is None else nodata
    valid = valid_numbers(stored, (() if missing is None else (missing,),))
    if file.shared_mask:
        valid &= read_window(file, (0,), (0, height), (0, width), masks=True)
    values = stored[valid]
    limits = np.iinfo(np.int16)
    wrong = values[(values != np.rint(values)) | (values < limits.min) | (values > limits.max)]
    if wrong.size:
        raise InputError(
            f"The label raster '{path}' holds {wrong.size} numbers that are no class, such as {wrong[0]:g}",
            expected="whole numbers of 16 bits",
            remedy="check that this is the label raster, or give nodata=",
        )
    labels = np.full((height, width), IGNORE, dtype=np.int16)
    labels[valid[0]] = stored[valid].astype(np.int16)
    return xr.DataArray(
        labels, dims=("y", "x"), coords=xr_coords(file.geobox, always_yx=True), attrs={"source": str(path)}
    )
