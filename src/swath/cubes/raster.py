"""Raster files: what they declare, and lazy reads that follow their stored blocks."""

from __future__ import annotations

import functools
import math
import os
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import dask.array as da
import numpy as np
from dask.base import tokenize
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords
from rasterio import Affine
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import RasterioIOError
from rasterio.io import DatasetReader
from rasterio.windows import Window

from swath import grids
from swath.cubes.cube import short_crs
from swath.cubes.guard import is_address, open_raster
from swath.errors import InputError, SwathError, nearest
from swath.reading import reading, reason

# Numbers per chunk: 8 MiB of int16, large enough to amortise a task and small enough that a core holds several.
CHUNK_ELEMENTS = 2**22
FAR = ("http://", "https://", "s3://")
"""How addresses begin that lie on a server and are read by ranges."""
_OPEN_PER_THREAD = 16
_EXPECTED = "a complete GeoTIFF, COG or another raster that swath reads"


class WindowReader(Protocol):
    """Reads windows of one file instead of GDAL."""

    def read(
        self, bands: tuple[int, ...], rows: tuple[int, int], columns: tuple[int, int], *, masks: bool
    ) -> NDArray[Any]:
        """Bands (0-based) of a window ``(band, y, x)``, or with ``masks`` the shared mask of each."""

    def chunks(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Heights and widths of chunks that split no stored block."""


@dataclass(frozen=True)
class RasterFile:
    """What a raster file declares about itself; nothing in here needed a pixel to be read.

    Args:
        path: file name, as given.
        geobox: axis-aligned grid.
        dtype: one type for all bands.
        count: number of bands.
        block: stored block as (rows, columns).
        by_pixel: whether a stored block holds all bands (pixel interleaving).
        descriptions: band names where the file has them.
        nodata: declared no-data value per band.
        scale: factor per band (1 where undeclared).
        offset: offset per band (0 where undeclared).
        units: unit per band, empty where undeclared.
        colours: colour interpretation per band.
        shared_mask: whether a mask or alpha band covers all bands.
        tags: dataset tags.
        stamp: modification time and size, so that a rewritten file is never served from a stale handle.
        reader: who reads it, where that is not GDAL (files on servers, ``cubes.remote``).
    """

    path: str
    geobox: GeoBox
    dtype: np.dtype[Any]
    count: int
    block: tuple[int, int]
    by_pixel: bool
    descriptions: tuple[str | None, ...]
    nodata: tuple[float | None, ...]
    scale: tuple[float, ...]
    offset: tuple[float, ...]
    units: tuple[str, ...]
    colours: tuple[ColorInterp, ...]
    shared_mask: bool
    tags: dict[str, str]
    stamp: tuple[int, int]
    reader: WindowReader | None = None

    @property
    def alpha(self) -> int | None:
        """Index of the alpha band, if one is marked as such."""
        return self.colours.index(ColorInterp.alpha) if ColorInterp.alpha in self.colours else None


def probe(path: str | Path) -> RasterFile:
    """Read what a raster file declares; one on a web server is then read by ranges (``cubes.remote``) where it can be.

    Raises:
        InputError: the file is missing, truncated, no raster, or not placed on Earth by a CRS and a plain grid.
        MissingError: its server cannot be reached or refuses.
    """
    if str(path).startswith(FAR):
        from swath.cubes import remote  # it probes headers with this module

        return remote.probe(str(path))
    return probe_with_gdal(path)


def probe_with_gdal(path: str | Path) -> RasterFile:
    """Read what a raster file declares, as ``probe``; GDAL reads its pixels too.

    Raises:
        InputError: as ``probe``.
    """
    name = str(path)
    stamp = _stamp(name)
    try:
        dataset = open_raster(name)
    except RasterioIOError as error:
        raise unreadable(name, error) from error
    # What a damaged file declares can defeat any accessor: no bands, types that numpy lacks, letters of no alphabet.
    with dataset, reading(name, expected=_EXPECTED):
        _check_complete(dataset, name)
        flags = dataset.mask_flag_enums[0]
        return RasterFile(
            path=name,
            geobox=_geobox(dataset, name),
            dtype=np.result_type(*dataset.dtypes),
            count=dataset.count,
            block=(int(dataset.block_shapes[0][0]), int(dataset.block_shapes[0][1])),
            by_pixel=dataset.count > 1 and str(dataset.profile.get("interleave", "band")).lower() == "pixel",
            descriptions=tuple(dataset.descriptions),
            nodata=tuple(None if value is None else float(value) for value in dataset.nodatavals),
            scale=tuple(float(value) for value in dataset.scales),
            offset=tuple(float(value) for value in dataset.offsets),
            units=tuple(unit or "" for unit in dataset.units),
            colours=tuple(dataset.colorinterp),
            shared_mask=MaskFlags.per_dataset in flags,
            tags={str(key): str(value) for key, value in dataset.tags().items()},
            stamp=stamp,
        )


def lazy_bands(file: RasterFile, bands: tuple[int, ...]) -> da.Array:
    """Bands (0-based positions) of a file as a dask array ``(band, y, x)``, in the stored type."""
    heights, widths = chunks_of(file)
    groups = (len(bands),) if file.by_pixel else (1,) * len(bands)
    return _lazy(file, bands, (groups, heights, widths), masks=False)


def lazy_mask(file: RasterFile) -> da.Array:
    """The mask that all bands of a file share, as a boolean dask array ``(y, x)``, True where valid."""
    heights, widths = chunks_of(file)
    array: da.Array = _lazy(file, (0,), ((1,), heights, widths), masks=True)[0]
    return array


def chunks_of(file: RasterFile) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Chunk heights and widths: whole stored blocks, so that no block is decoded twice."""
    if file.reader is not None:
        return file.reader.chunks()
    height, width = int(file.geobox.shape.y), int(file.geobox.shape.x)
    budget = max(1, CHUNK_ELEMENTS // (file.count if file.by_pixel else 1))
    columns = _grow(file.block[1], int(budget**0.5), width)
    rows = _grow(file.block[0], budget // columns, height)
    return _split(height, rows), _split(width, columns)


def unreadable(path: str, error: Exception) -> InputError:
    """The sentence for a file that GDAL cannot open or finish reading."""
    cause = reason(error.__cause__ or error)
    return InputError(
        f"The file '{path}' cannot be read as a raster ({cause})",
        expected=_EXPECTED,
        remedy="check that the download finished and that the file is a raster; 'gdalinfo FILE' should describe it",
    )


def _lazy(file: RasterFile, bands: tuple[int, ...], chunks: tuple[tuple[int, ...], ...], masks: bool) -> da.Array:
    kind = np.dtype(bool) if masks else file.dtype
    return da.map_blocks(
        _read_block,
        chunks=chunks,
        dtype=kind,
        meta=np.empty((0, 0, 0), dtype=kind),
        file=file,
        bands=bands,
        masks=masks,
        name=f"raster-{tokenize(file.path, file.stamp, bands, chunks, masks)}",
    )


def _read_block(
    file: RasterFile, bands: tuple[int, ...], masks: bool, block_info: dict[Any, Any] | None = None
) -> NDArray[Any]:
    """One chunk ``(band, y, x)``; runs in any thread or process."""
    if block_info is None:  # dask infers nothing: dtype and meta were given
        return np.empty((0, 0, 0), dtype=bool if masks else file.dtype)
    (b0, b1), (y0, y1), (x0, x1) = block_info[None]["array-location"]
    return read_window(file, tuple(bands[b0:b1]), (y0, y1), (x0, x1), masks=masks)


def read_window(
    file: RasterFile, bands: tuple[int, ...], rows: tuple[int, int], columns: tuple[int, int], *, masks: bool = False
) -> NDArray[Any]:
    """Read bands (0-based) of a window, ``(band, y, x)``; with ``masks`` the boolean validity that GDAL reports.

    Raises:
        InputError: the file ended early, is damaged or disappeared.
    """
    if file.reader is not None:
        return file.reader.read(bands, rows, columns, masks=masks)
    window = Window.from_slices(rows, columns)
    indexes = [band + 1 for band in bands]
    try:
        dataset = _handles.get(file)
        if masks:
            return np.asarray(dataset.read_masks(indexes, window=window)) > 0
        return np.asarray(dataset.read(indexes, window=window)).astype(file.dtype, copy=False)
    except SwathError:
        raise
    except Exception as error:  # GDAL's own classes, and what numpy says when a block does not fit into memory
        raise unreadable(file.path, error) from error


class _Handles(threading.local):
    """Open datasets of one thread, the most recent ones; GDAL handles must not be shared between threads."""

    def __init__(self) -> None:
        self._open: OrderedDict[tuple[int, str, tuple[int, int]], DatasetReader] = OrderedDict()

    def get(self, file: RasterFile) -> DatasetReader:
        key = (os.getpid(), file.path, file.stamp)
        if key not in self._open:
            if _stamp(file.path) != file.stamp:
                raise InputError(
                    f"The file '{file.path}' was changed after it had been opened",
                    expected="a file that stays as it is while it is in use",
                    remedy="open the scene again",
                )
            self._open[key] = open_raster(file.path)
            if len(self._open) > _OPEN_PER_THREAD:
                _, oldest = self._open.popitem(last=False)
                oldest.close()
        self._open.move_to_end(key)
        return self._open[key]


_handles = _Handles()


def _stamp(name: str) -> tuple[int, int]:
    """Modification time and size of a local file; zeros for addresses that GDAL resolves itself."""
    if is_address(name):
        return (0, 0)
    path = Path(name)
    if "\0" in name or not path.exists():
        beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        hint = f"; files of a similar name are: {nearest(path.name, beside)}" if beside else ""
        raise InputError(
            f"There is no file '{name}'",
            expected="a raster that exists",
            remedy=f"check the path{hint}",
        )
    status = path.stat()
    return (status.st_mtime_ns, status.st_size)


def _check_complete(dataset: DatasetReader, name: str) -> None:
    """Compare where the last stored blocks of a GeoTIFF should end with the size of the file; reads no pixel."""
    if dataset.driver != "GTiff" or not Path(name).is_file():
        return
    size = Path(name).stat().st_size
    rows, columns = dataset.block_shapes[0]
    last = (-(-dataset.width // columns) - 1, -(-dataset.height // rows) - 1)
    for band in {1, dataset.count}:
        for x, y in {(0, 0), last}:
            start = dataset.get_tag_item(f"BLOCK_OFFSET_{x}_{y}", "TIFF", bidx=band)
            length = dataset.get_tag_item(f"BLOCK_SIZE_{x}_{y}", "TIFF", bidx=band)
            if start and length and int(start) + int(length) > size:
                raise InputError(
                    f"The file '{name}' is truncated: it has {size} bytes, but a stored block ends at byte "
                    f"{int(start) + int(length)}",
                    expected="a complete file",
                    remedy="copy or download the file again and compare its size",
                )


def _geobox(dataset: DatasetReader, name: str) -> GeoBox:
    crs = dataset.crs
    if crs is None or not (crs.is_projected or crs.is_geographic):
        what = "declares no coordinate reference system (CRS)" if not crs else f"declares an unknown CRS ({crs})"
        raise InputError(
            f"The file '{name}' {what}",
            expected="a geographic or projected CRS such as EPSG:32633",
            remedy="assign the right one, for example with 'gdal_edit.py -a_srs EPSG:32633 FILE'",
        )
    transform = dataset.transform
    if transform.is_identity:
        raise InputError(
            f"The file '{name}' has a CRS but no position on Earth (its geotransform is missing)",
            expected="the map coordinates of the upper left corner and the pixel size",
            remedy="georeference it, for example with 'gdal_translate -a_ullr', or warp it from its control points",
        )
    if transform.b != 0 or transform.d != 0:
        raise InputError(
            f"The file '{name}' has a rotated grid (geotransform {tuple(transform)[:6]})",
            expected="rows along x and columns along y",
            remedy="warp it to a north-up grid first, for example with 'gdalwarp FILE OUT'",
        )
    # Steps that are lost beside the origin in 64-bit numbers give equal coordinates, and a grid without an inverse.
    lost = any(
        abs(step) <= 1e-12 * max(1.0, abs(start))
        for step, start in ((transform.a, transform.c), (transform.e, transform.f))
    )
    if lost or not all(math.isfinite(number) for number in tuple(transform)[:6]):
        raise InputError(
            f"The file '{name}' has an impossible grid (geotransform {tuple(transform)[:6]})",
            expected="finite coordinates and a pixel size above 0",
            remedy="georeference it again, for example with 'gdal_translate -a_ullr'",
        )
    with reading(name, expected="a CRS that PROJ can use", remedy="assign the right one, with 'gdal_edit.py -a_srs'"):
        placed = _placed(crs.to_wkt(), transform)
    return GeoBox((dataset.height, dataset.width), transform, placed.crs)


@functools.lru_cache(maxsize=256)
def _placed(crs: str, transform: Affine) -> GeoBox:
    """The first pixel of a grid, after doing with it what a cube does with its CRS: damaged ones fail in a dozen ways,
    and only when used. The files of a scene share a grid, and PROJ takes longer for this than GDAL to open one.
    """
    corner = GeoBox((1, 1), transform, short_crs(crs))
    _ = ~transform
    xr_coords(corner, always_yx=True)
    grids.gsd_m(corner)
    return corner


def _grow(block: int, wanted: int, limit: int) -> int:
    """The largest multiple of ``block`` within ``wanted`` (at least one block), not beyond ``limit``."""
    return min(limit, block * max(1, wanted // block))


def _split(length: int, step: int) -> tuple[int, ...]:
    return tuple(min(step, length - start) for start in range(0, length, step))
