"""The layers of the planet as arrays on a target grid: plate carrée, longitude -180 to 180, north up.

Relief comes from the altitude map alone. The shaded relief picture that lies beside the imagery is never an input:
its colours are painted from climate and land cover, so a model that sees it has seen the labels.
"""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window

from swath.errors import InputError
from swath.sources.planet.aggregate import ReadRows, Shape, majority, mean
from swath.sources.planet.legends import IGBP, KOPPEN

ELEVATION_NODATA = -32768
TURBIDITY_STEP = 0.05
_BLOCK_CACHE = 16 * 2**20  # bytes; every row is read once, so GDAL's default share of the memory buys nothing
_ALTITUDE_STEP, _ALTITUDE_BASE, _ALTITUDE_ABSENT = 28, -450, 255


def true_colour(path: Path, shape: Shape) -> NDArray[np.uint8]:
    """Blue Marble Next Generation as ``(3, y, x)`` uint8, red, green, blue: the mean of display values per cell."""
    with warnings.catch_warnings():
        # A JPEG has no georeference; that it spans the globe is documented and verified by the alignment.
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path) as picture:
            bands = picture.read()
    _expect(path, bands.shape, (3, 2700, 5400))
    return np.stack([np.rint(mean(band, shape)).astype(np.uint8) for band in bands])


def land_cover(path: Path, shape: Shape) -> NDArray[np.uint8]:
    """MODIS IGBP land cover 2019 as ``(y, x)`` uint8, 0 .. 16: the majority class per cell.

    The file declares the datum "Unknown based on Clarke 1866 ellipsoid", a leftover of the HDF-EOS sphere. Taken at
    its word it would be warped away from everything else, yet it lies on plain longitude and latitude: the alignment
    with the other layers peaks at zero shift. So its declared reference system is ignored.
    """
    with rasterio.Env(GDAL_CACHEMAX=_BLOCK_CACHE), rasterio.open(path) as raster:
        _expect(path, raster.shape, (3600, 7200))
        return majority(_rows_of(raster), (3600, 7200), len(IGBP), shape)


def koppen(path: Path, shape: Shape) -> NDArray[np.uint8]:
    """Köppen-Geiger main groups as ``(y, x)`` uint8, 0 water .. 5 polar: the majority group per cell."""
    with rasterio.Env(GDAL_CACHEMAX=_BLOCK_CACHE), rasterio.open(path) as raster:
        _expect(path, raster.shape, (21600, 43200))
        return majority(_rows_of(raster), (21600, 43200), len(KOPPEN), shape)


def land(path: Path, shape: Shape) -> NDArray[np.uint8]:
    """The land mask as ``(y, x)`` uint8: 1 where most of the cell is land, lakes included. The source marks ocean."""
    with zipfile.ZipFile(path) as archive, archive.open("mask.npy") as stream:
        rows = _ArrayStream(stream)
        _expect(path, rows.shape, (21600, 43200))
        return majority(lambda start, stop: rows.read(start, stop) == 0, (21600, 43200), 2, shape)


def elevation(path: Path, shape: Shape, is_land: NDArray[np.uint8]) -> NDArray[np.int16]:
    """Mean altitude above sea level as ``(y, x)`` int16 in metres; 0 at sea, ``ELEVATION_NODATA`` where unknown.

    The source holds steps of 28 m and no sea floor. It knows nothing south of 85° S: land there has no elevation.
    In Greenland and parts of Antarctica it follows the rock under the ice.

    Args:
        path: the HDF5 file.
        shape: rows and columns of the target grid.
        is_land: ``(y, x)`` land mask on the target grid, to tell unknown land from sea.
    """
    with h5py.File(path) as file:
        stored = np.asarray(file["Altitude"])
    _expect(path, stored.shape, (2160, 4320))
    present = stored != _ALTITUDE_ABSENT
    metres = np.where(present, stored.astype(np.int16) * _ALTITUDE_STEP + _ALTITUDE_BASE, 0)
    out = np.rint(mean(metres, shape)).astype(np.int16)
    # Rows without a single value are outside the source; elsewhere an absent value is the sea or the Caspian.
    row_known = mean(present.any(axis=1)[:, None], (shape[0], 1))[:, 0] > 0
    out[~row_known[:, None] & (is_land == 1)] = ELEVATION_NODATA
    return out


def turbidity(path: Path, shape: Shape) -> NDArray[np.uint8]:
    """Monthly Linke turbidity as ``(12, y, x)`` uint8 in steps of ``TURBIDITY_STEP``, January first."""
    with h5py.File(path) as file:
        stored = np.asarray(file["LinkeTurbidity"])
    _expect(path, stored.shape, (2160, 4320, 12))
    return np.stack([np.rint(mean(stored[..., month], shape)).astype(np.uint8) for month in range(12)])


class _ArrayStream:
    """Rows of a two-dimensional .npy file that can only be read forward, such as one inside a zip archive."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        version = np.lib.format.read_magic(stream)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        self.shape, fortran, self._dtype = read_header(stream)
        if fortran or len(self.shape) != 2:
            raise ValueError(f"needs a two-dimensional array in C order, not {self.shape} (Fortran order: {fortran})")
        self._first = 0  # row number of the first row kept
        self._kept = np.empty((0, self.shape[1]), self._dtype)

    def read(self, start: int, stop: int) -> NDArray[np.generic]:
        """Rows ``start:stop``; ``start`` must not decrease from call to call."""
        if start < self._first:
            raise ValueError(f"row {start} was already dropped; the first row kept is {self._first}")
        need = stop - (self._first + len(self._kept))
        parts = [self._kept[start - self._first :]]
        if need > 0:
            size = need * self.shape[1] * self._dtype.itemsize
            data = self._stream.read(size)
            if len(data) < size:
                raise ValueError(f"the file ends before row {stop}")
            parts.append(np.frombuffer(data, self._dtype).reshape(need, self.shape[1]))
        rows = parts[-1] if len(parts[0]) == 0 else np.concatenate(parts)
        self._first, self._kept = start, rows
        return rows[: stop - start]


def _rows_of(raster: rasterio.DatasetReader) -> ReadRows:
    def read(start: int, stop: int) -> NDArray[np.generic]:
        rows: NDArray[np.generic] = raster.read(1, window=Window(0, start, raster.width, stop - start))
        return rows

    return read


def _expect(path: Path, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if tuple(shape) != expected:
        raise InputError(
            f"{path} holds an array of shape {tuple(shape)}",
            expected=f"the shape {expected} of the package version that swath knows",
            remedy="install the versions that the extra 'planet' asks for, or run: swath data get planet",
        )
