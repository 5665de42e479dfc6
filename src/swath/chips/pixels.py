"""One chip as GeoTIFF files: image, validity and labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.io import MemoryFile

from swath import limits
from swath.errors import InputError, SwathError
from swath.reading import reason
from swath.types import IGNORE

Array = NDArray[Any]
_PROFILE = {"driver": "GTiff", "compress": "deflate", "photometric": "MINISBLACK", "interleave": "band"}


def environment() -> AbstractContextManager[Any]:
    """GDAL settings for many small files: masks inside the file, and no search for files beside it."""
    settings: AbstractContextManager[Any] = rasterio.Env(
        GDAL_TIFF_INTERNAL_MASK=True, GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"
    )
    return settings


def write_image(
    folder: Path, name: str, values: Array, valid: NDArray[np.bool_], grid: tuple[Affine, CRS], layers: Sequence[str]
) -> str:
    """Write ``images/NAME.tif`` and, where layers differ in validity, ``valid/NAME.tif``.

    Invalid pixels are filled with a number that no valid pixel of the chip holds, which is declared as no-data (none
    is declared when there is no such number). What counts is the mask inside the file: True where any layer is valid.
    Where layers differ, a raster of one bit per layer says it exactly.

    Args:
        folder: folder of the chip set.
        name: id of the chip.
        values: numbers ``(layer, y, x)``, layers ordered by time, then band.
        valid: bool of the same shape.
        grid: transform and CRS of the chip.
        layers: one name per layer.

    Returns:
        Path of the validity raster relative to ``folder``; empty when the mask inside the image says it all.
    """
    transform, crs = grid
    profile = {**_PROFILE, "transform": transform, "crs": crs, "count": len(values)}
    profile |= {"height": values.shape[1], "width": values.shape[2]}
    everywhere = bool(valid.all())
    nodata = None if everywhere else _free_number(values, valid)
    if not everywhere:
        values = np.where(valid, values, np.asarray(0 if nodata is None else nodata, values.dtype))
    profile |= {"dtype": values.dtype.name, "nodata": nodata}
    with _writing(folder / "images" / f"{name}.tif", profile) as file:
        file.write(values)
        file.descriptions = tuple(layers)
        if not everywhere:
            file.write_mask(valid.any(axis=0))
    if everywhere or bool((valid == valid[:1]).all()):
        return ""
    path = f"valid/{name}.tif"
    with _writing(folder / path, profile | {"dtype": "uint8", "nodata": None, "nbits": 1}) as file:
        file.write(valid.astype(np.uint8))
    return path


def write_labels(folder: Path, name: str, labels: NDArray[np.int16], grid: tuple[Affine, CRS]) -> None:
    """Write ``labels/NAME.tif``: int16 ``(y, x)`` legend values, no-data ``IGNORE``."""
    transform, crs = grid
    profile = {**_PROFILE, "transform": transform, "crs": crs, "count": 1, "dtype": "int16", "nodata": IGNORE}
    profile |= {"height": labels.shape[0], "width": labels.shape[1]}
    with _writing(folder / "labels" / f"{name}.tif", profile) as file:
        file.write(labels, 1)


def write_values(folder: Path, name: str, values: NDArray[np.float32], grid: tuple[Affine, CRS]) -> None:
    """Write ``values/NAME.tif``: float32 ``(quantity, y, x)``, NaN where unknown."""
    transform, crs = grid
    profile = {**_PROFILE, "transform": transform, "crs": crs, "count": len(values), "dtype": "float32"}
    profile |= {"height": values.shape[1], "width": values.shape[2], "nodata": float("nan")}
    with _writing(folder / "values" / f"{name}.tif", profile) as file:
        file.write(values)


def read_image(folder: Path, image: str, valid: str, *, masked: bool) -> tuple[Array, NDArray[np.bool_]]:
    """Numbers and validity, each ``(layer, y, x)``.

    Args:
        folder: folder of the chip set.
        image: path of the image relative to ``folder``.
        valid: path of the validity raster, or empty.
        masked: whether the chip has invalid pixels at all; without them no mask is read.

    Raises:
        InputError: a file is missing or cannot be read.
    """
    with _open(folder / image) as file:
        values = file.read()
        inside = file.read_masks(1) > 0 if masked and not valid else None
    if valid:
        with _open(folder / valid) as file:
            return values, file.read().astype(bool)
    mask = np.ones(values.shape[1:], bool) if inside is None else inside
    return values, np.broadcast_to(mask, values.shape).copy()


def read_labels(folder: Path, path: str) -> NDArray[np.int16]:
    """Legend values, int16 ``(y, x)``.

    Raises:
        InputError: the file is missing or cannot be read.
    """
    with _open(folder / path) as file:
        labels: NDArray[np.int16] = file.read(1)
    return labels


def read_values(folder: Path, path: str) -> NDArray[np.float32]:
    """Quantities, float32 ``(quantity, y, x)``, NaN where unknown.

    Raises:
        InputError: the file is missing or cannot be read.
    """
    with _open(folder / path) as file:
        values: NDArray[np.float32] = file.read().astype(np.float32)
    return values


@contextmanager
def _writing(path: Path, profile: dict[str, Any]) -> Iterator[Any]:
    """A raster that is made in memory and then written as bytes: GDAL itself is silent, or crashes, on a full disk."""
    with MemoryFile() as memory:
        with memory.open(**profile) as file:
            yield file
        path.write_bytes(memory.read())


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    try:
        with rasterio.open(path, driver="GTiff") as file:
            limits.CHIP_NUMBERS.check(file.width * file.height * file.count, path)
            yield file
    except SwathError:
        raise
    except Exception as error:  # GDAL's own classes, and what numpy says of types that it lacks
        raise InputError(
            f"The chip file {path} cannot be read: {reason(error)}",
            expected="a GeoTIFF named in index.parquet",
            remedy="cut the chips again",
        ) from error


def _free_number(values: Array, valid: NDArray[np.bool_]) -> float | int | None:
    """A number that no valid pixel holds: NaN for floats, else 0 or an end of the integer range, else None."""
    if np.issubdtype(values.dtype, np.floating):
        return float("nan")
    info = np.iinfo(values.dtype)
    used = values[valid]
    for number in (0, int(info.max), int(info.min)):
        if not bool((used == number).any()):
            return number
    return None
