"""Write cloud-optimised GeoTIFFs: windows in any order, bounded memory, nothing half-written."""

from __future__ import annotations

import contextlib
import os
import threading
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import dask.array as da
import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio._err import CPLE_BaseError  # what rasterio.shutil lets through
from rasterio.errors import RasterioError
from rasterio.io import DatasetWriter
from rasterio.windows import Window

from swath.cubes.legend import Legend
from swath.cubes.mosaic import Part, mosaic
from swath.cubes.raster import probe
from swath.cubes.stored import check_stored, mark
from swath.cubes.style import shown_ranges as shown_ranges
from swath.cubes.style import write_style
from swath.errors import ConfigError, ContractError, InputError, ResourceError
from swath.files import remove_leftovers, temporary_stem

LEGEND_TAG = "SWATH_LEGEND"
BLOCK = 512
_WRITE_ERRORS = (RasterioError, CPLE_BaseError, OSError)  # rasterio lets some of GDAL's own errors through
_COLOURS = ("red", "green", "blue")


def write_cog(
    path: str | Path,
    array: NDArray[Any] | da.Array,
    geobox: GeoBox,
    *,
    names: Sequence[str],
    nodata: float | None = None,
    unit: str | Sequence[str] | None = None,
    scale: float | tuple[float, float] | None = None,
    legend: Legend | None = None,
    tags: Mapping[str, str] | None = None,
    valid: NDArray[np.bool_] | da.Array | None = None,
) -> Path:
    """Write an array as a COG with overviews, and a QGIS style beside it.

    Args:
        path: the file; an existing one is replaced when the new one is complete.
        array: ``(band, y, x)``; dask arrays are computed and written block by block.
        geobox: grid of (y, x).
        names: name of each band.
        nodata: stored number that means no data; NaN by default for floating-point numbers.
        unit: unit of all bands, or one each.
        scale: factor, or (factor, offset), that make stored numbers physical; declared in the file.
        legend: classes of a one-band map; gives a colour table (uint8), overviews by nearest, and a paletted style.
        tags: text tags of the file.
        valid: ``(y, x)`` or ``(band, y, x)``; False is written as ``nodata``.

    Returns:
        the path.

    Raises:
        ContractError: array, names, mask and grid do not fit together.
        ConfigError: the type cannot hold ``nodata``, or a mask was given and nothing says no data.
        InputError: a valid number equals ``nodata`` and would be lost.
        ResourceError: the disk or folder cannot take the file.
    """
    _check_array(array, geobox, names, valid)
    dtype = np.dtype(np.uint8) if array.dtype == bool else array.dtype
    with CogWriter(
        path, geobox, names=names, dtype=dtype, nodata=nodata, unit=unit, scale=scale, legend=legend, tags=tags
    ) as writer:
        for rows, columns in _windows(array):
            part, mask = array[:, rows, columns], None if valid is None else valid[..., rows, columns]
            writer.write(np.asarray(part), rows.start, columns.start, None if mask is None else np.asarray(mask))
    return Path(path)


class CogWriter:
    """Write a COG window by window; use it in a ``with`` statement.

    Windows go to a hidden, tiled file in the same folder. When the block ends well, overviews and the COG layout are
    made and the result is renamed into place; when it ends with an error, nothing stays behind. Pixels that were never
    written hold ``nodata`` (0 without it).

    Args:
        path: the file to write.
        geobox: the grid.
        names: name of each band.
        dtype: stored type.
        nodata: stored number that means no data; NaN by default for floating-point numbers.
        unit: unit of all bands, or one each.
        scale: factor, or (factor, offset), that make stored numbers physical; declared in the file.
        legend: classes of a one-band map.
        tags: text tags of the file.

    Raises:
        ContractError: names are empty, units do not fit them, or a legend came with several bands.
        ConfigError: the type cannot hold ``nodata`` or be stored.
    """

    def __init__(
        self,
        path: str | Path,
        geobox: GeoBox,
        *,
        names: Sequence[str],
        dtype: Any,
        nodata: float | None = None,
        unit: str | Sequence[str] | None = None,
        scale: float | tuple[float, float] | None = None,
        legend: Legend | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        self.path = Path(path)
        self.geobox = geobox
        self.names = tuple(names)
        self.dtype = _storable(np.dtype(dtype))
        self.nodata = _nodata(nodata, self.dtype)
        self.units = (unit or "",) * len(self.names) if unit is None or isinstance(unit, str) else tuple(unit)
        self.legend = legend
        self.tags = dict(tags or {})
        self.scale = scale if isinstance(scale, tuple) else (1.0 if scale is None else float(scale), 0.0)
        height, width = self.geobox.shape.yx
        self._filled = np.zeros((-(-height // BLOCK), -(-width // BLOCK)), bool)
        self._lock = threading.Lock()
        self._dataset: DatasetWriter | None = None
        self._ranges: list[tuple[float, float]] | None = None
        stem = f"{temporary_stem(self.path)}{uuid.uuid4().hex[:8]}"
        self._part, self._ready = (self.path.parent / f"{stem}.{kind}.tif" for kind in ("part", "ready"))
        _check_parts(self.names, self.units, legend)

    def __enter__(self) -> Self:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            remove_leftovers(self.path.parent)
            self._dataset = rasterio.open(self._part, "w", **self._profile())
            self._describe(self._dataset)
        except _WRITE_ERRORS as error:
            self._discard()
            raise self._unwritable(error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        except _WRITE_ERRORS as problem:
            raise self._unwritable(problem) from problem
        finally:
            self._discard()

    def write(self, array: NDArray[Any], row: int, column: int, valid: NDArray[np.bool_] | None = None) -> None:
        """Write one window; threads may call this at the same time.

        Args:
            array: ``(band, y, x)``.
            row: first row of the window.
            column: first column of the window.
            valid: ``(y, x)`` or ``(band, y, x)``; False is written as ``nodata``.

        Raises:
            ContractError: the window has another number of bands or leaves the grid.
            ConfigError: a mask was given and nothing says no data.
            InputError: a valid number equals ``nodata``.
        """
        self._check_window(array, row, column)
        numbers = np.asarray(array)
        if valid is not None:
            numbers = self._masked(numbers, np.broadcast_to(valid, numbers.shape))
        window = Window(column, row, array.shape[2], array.shape[1])
        with self._lock:
            if self._dataset is None:
                raise ContractError(
                    f"The writer of '{self.path}' is not open",
                    expected="write() inside the with statement",
                    remedy="write: with CogWriter(...) as writer: writer.write(...)",
                )
            try:
                numbers = numbers.astype(self.dtype, copy=False)
                mark(self._filled, BLOCK, numbers, row, column, self.nodata)
                self._dataset.write(numbers, window=window)
            except _WRITE_ERRORS as error:
                raise self._unwritable(error) from error

    def _profile(self) -> dict[str, Any]:
        profile: dict[str, Any] = {
            "driver": "GTiff",
            "height": int(self.geobox.shape.y),
            "width": int(self.geobox.shape.x),
            "count": len(self.names),
            "dtype": self.dtype.name,
            "crs": None if self.geobox.crs is None else self.geobox.crs.to_wkt(),
            "transform": self.geobox.affine,
            "nodata": self.nodata,
            "tiled": True,
            "blockxsize": BLOCK,
            "blockysize": BLOCK,
            "sparse_ok": True,
            "bigtiff": "IF_SAFER",
        }
        if self.legend is None:
            # Left alone, GDAL calls the fourth of four uint8 bands alpha, and near infrared becomes a mask.
            colour = len(self.names) == 3 and self.dtype == np.uint8
            profile["photometric"] = "RGB" if colour else "MINISBLACK"
        return profile

    def _describe(self, dataset: DatasetWriter) -> None:
        for index, name in enumerate(self.names, start=1):
            dataset.set_band_description(index, name)
        if any(self.units):
            dataset.units = self.units
        if self.scale != (1.0, 0.0):
            dataset.scales = (self.scale[0],) * len(self.names)
            dataset.offsets = (self.scale[1],) * len(self.names)
        if self.legend is not None:
            self.tags[LEGEND_TAG] = self.legend.to_json()
            values = [*self.legend.values]
            if self.dtype == np.uint8 and all(0 <= value <= 255 for value in values):
                dataset.write_colormap(1, self.legend.colour_table(self.nodata))
        dataset.update_tags(**self.tags)

    def prepare(self, parts: Sequence[Part] = ()) -> None:
        """Make overviews and COG layout beside the file; leaving the with statement then only renames.

        Args:
            parts: strips of rows, taken as they are instead of what was written; other rows hold ``nodata``.

        Raises:
            ResourceError: the disk or folder cannot take the file.
        """
        try:
            self._prepare(parts)
        except _WRITE_ERRORS as problem:
            raise self._unwritable(problem) from problem

    def _finish(self) -> None:
        if self._ranges is None:
            self._prepare(())
        os.replace(self._ready, self.path)
        write_style(self.path, self._ranges or [], self.legend)

    def _prepare(self, parts: Sequence[Part]) -> None:
        if self._dataset is not None:
            self._dataset.close()
            self._dataset = None
        source = mosaic(self._part, parts, int(self.geobox.shape.x)) if parts else self._part
        check_stored(self._part, None if parts else self._filled)
        classes = self.legend is not None
        rasterio.shutil.copy(
            str(source),
            str(self._ready),
            driver="COG",
            num_threads=str(min(4, os.cpu_count() or 1)),  # the bytes do not depend on it
            compress="DEFLATE",
            predictor="NO" if classes else "YES",
            blocksize=BLOCK,
            overview_resampling="NEAREST" if classes else "AVERAGE",
            bigtiff="IF_SAFER",
        )
        check_stored(self._ready)
        self._ranges = shown_ranges(self._ready)

    def _discard(self) -> None:
        if self._dataset is not None:
            with contextlib.suppress(*_WRITE_ERRORS):
                self._dataset.close()
            self._dataset = None
        stem = self._part.name.removesuffix("part.tif")  # GDAL puts overviews under way beside the file
        if self.path.parent.is_dir():
            for leftover in self.path.parent.iterdir():
                if leftover.name.startswith(stem):
                    leftover.unlink(missing_ok=True)

    def _masked(self, numbers: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[Any]:
        if self.nodata is None:
            if valid.all():
                return numbers
            raise ConfigError(
                f"'{self.path.name}' has a mask, but no number of type {self.dtype} stands for no data",
                expected="nodata= outside of the valid numbers",
                remedy="give nodata=, for example 255 for uint8 classes",
            )
        if not np.isnan(self.nodata):
            lost = int(((numbers == self.nodata) & valid).sum())
            if lost:
                raise InputError(
                    f"{lost} valid numbers of '{self.path.name}' equal the no-data value {self.nodata:g}",
                    expected="a no-data value that no valid pixel has",
                    remedy="choose another nodata=, or a wider type",
                )
        return np.where(valid, numbers, np.asarray(self.nodata).astype(self.dtype))

    def _check_window(self, array: NDArray[Any], row: int, column: int) -> None:
        height, width = self.geobox.shape.yx
        inside = array.ndim == 3 and row >= 0 and row + array.shape[1] <= height
        inside = inside and column >= 0 and column + array.shape[2] <= width
        if not inside or array.shape[0] != len(self.names):
            raise ContractError(
                f"A window of shape {array.shape} at row {row}, column {column} does not fit '{self.path.name}'",
                expected=f"({len(self.names)}, y, x) inside of {height} x {width} pixels",
                remedy="crop the window to the grid, and keep the band axis for one band",
            )

    def _unwritable(self, error: Exception) -> ResourceError:
        return ResourceError(
            f"The file '{self.path}' cannot be written ({str(error).splitlines()[0][:160] or type(error).__name__})",
            expected="a folder that may be written to, with room for the file twice over",
            remedy="check permissions and free space, or choose another folder",
        )


def read_legend(path: str | Path) -> Legend | None:
    """The legend that ``write_cog`` stored in a file, or None.

    Raises:
        InputError: the file is missing or no raster, or its legend is damaged.
    """
    text = probe(path).tags.get(LEGEND_TAG)
    return None if text is None else Legend.from_json(text)


def _windows(array: NDArray[Any] | da.Array) -> list[tuple[slice, slice]]:
    heights, widths = array.chunks[1:] if isinstance(array, da.Array) else ((array.shape[1],), (array.shape[2],))
    rows = [slice(sum(heights[:i]), sum(heights[: i + 1])) for i in range(len(heights))]
    columns = [slice(sum(widths[:i]), sum(widths[: i + 1])) for i in range(len(widths))]
    return [(row, column) for row in rows for column in columns]


def _check_array(array: Any, geobox: GeoBox, names: Sequence[str], valid: Any) -> None:
    wanted = (len(names), *geobox.shape.yx)
    if tuple(array.shape) != wanted:
        raise ContractError(
            f"The array has shape {tuple(array.shape)}",
            expected=f"(band, y, x) = {wanted}: {len(names)} names on a grid of {wanted[1]} x {wanted[2]} pixels",
            remedy="keep the band axis for one band, and give one name per band",
        )
    if valid is not None and tuple(valid.shape) not in (wanted, wanted[1:]):
        raise ContractError(
            f"The mask has shape {tuple(valid.shape)}",
            expected=f"{wanted[1:]} or {wanted}",
            remedy="use the mask of the same cube",
        )


def _check_parts(names: tuple[str, ...], units: tuple[str, ...], legend: Legend | None) -> None:
    if not names or len(units) != len(names):
        raise ContractError(
            f"{len(names)} band names came with {len(units)} units",
            expected="at least one band, and one unit each (or one for all)",
            remedy="give names= and unit= of the same length",
        )
    if legend is not None and len(names) != 1:
        raise ContractError(
            f"A legend came with {len(names)} bands ({', '.join(names[:6])})",
            expected="one band of classes",
            remedy="write classes and numbers to files of their own",
        )


def _storable(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type in the file: GeoTIFF has no booleans.

    Half precision is kept as float32 whose last bits are 0, which compresses to about the same size: what GDAL writes
    with 16 bits holds bytes of uninitialised memory in the last tiles of a row, so that equal maps would differ.
    """
    substitutes: dict[str, np.dtype[Any]] = {"bool": np.dtype(np.uint8), "float16": np.dtype(np.float32)}
    stored = substitutes.get(dtype.name, dtype)
    if stored.kind not in "iuf":
        raise ConfigError(
            f"Numbers of type {dtype} cannot be written to GeoTIFF",
            expected="integers or floating-point numbers",
            remedy="convert them first, for example to float32",
        )
    return stored


def _nodata(nodata: float | None, dtype: np.dtype[Any]) -> float | None:
    if nodata is None:
        return float("nan") if dtype.kind == "f" else None
    if dtype.kind == "f":
        return float(nodata)
    limits = np.iinfo(dtype)
    if not float(nodata).is_integer() or not limits.min <= nodata <= limits.max:
        raise ConfigError(
            f"The no-data value {nodata} does not fit the type {dtype}",
            expected=f"a whole number from {limits.min} to {limits.max}",
            remedy="choose another nodata=, or another type",
        )
    return float(nodata)
