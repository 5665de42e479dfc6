"""A small picture of a cube."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from PIL import Image

from swath.cubes.cube import as_cube, bands_of, geobox_of
from swath.errors import InputError
from swath.files import write_whole
from swath.sensors import Band, BandSet

LONGEST_SIDE = 1024
_TRUE_COLOUR = BandSet(
    (
        Band("red", ("B04", "B4"), 660.0, 60.0, kind="reflectance"),
        Band("green", ("B03", "B3"), 560.0, 60.0, kind="reflectance"),
        Band("blue", ("B02", "B2"), 485.0, 70.0, kind="reflectance"),
    )
)


def quicklook(cube: xr.Dataset | xr.DataTree, path: str | Path, bands: Sequence[str] | None = None) -> Path:
    """Write a PNG of the first date: three bands as colour or one as grey, stretched from the 2nd to 98th percentile.

    Invalid pixels are transparent. Large cubes are thinned to 1024 pixels on the longer side.

    Args:
        cube: the cube.
        path: the PNG.
        bands: one band, or three for red, green and blue; by default true colour, else the first band.

    Returns:
        the path.

    Raises:
        InputError: neither one nor three bands were named, or the cube has no such band.
    """
    dataset = as_cube(cube)
    chosen = _choose(bands_of(dataset), bands)
    box = geobox_of(dataset)
    step = max(1, -(-max(box.shape) // LONGEST_SIDE))
    small = dataset[["data", "valid"]].isel(time=0, band=chosen, y=slice(None, None, step), x=slice(None, None, step))
    small = small.compute()
    values = small["data"].values.astype(np.float64)
    valid = np.broadcast_to(small["valid"].transpose(..., "y", "x").values, values.shape)
    usable = valid.all(axis=0)
    picture = np.zeros((*values.shape[1:], 4), dtype=np.uint8)
    for index in range(3):
        band = min(index, len(chosen) - 1)
        picture[..., index] = _stretch(values[band], valid[band])
    picture[..., 3] = np.where(usable, 255, 0)
    picture[~usable] = 0
    return _save(_oriented(picture, box.affine), Path(path))


def _choose(held: BandSet, bands: Sequence[str] | None) -> list[int]:
    if bands is not None:
        if len(bands) not in (1, 3):
            raise InputError(
                f"{len(bands)} bands were named for a picture",
                expected="one band for grey, or three for red, green and blue",
                remedy=f"choose among {', '.join(held.names)}",
            )
        return [held.position(name) for name in bands]
    natural = held.match(_TRUE_COLOUR)
    if not natural.missing:
        return list(natural.require())
    return [0]


def _stretch(values: NDArray[np.float64], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
    used = values[valid]
    if not used.size:
        return np.zeros(values.shape, dtype=np.uint8)
    low, high = np.percentile(used, [2, 98])
    span = (high - low) or 1.0
    scaled = (np.where(valid, values, low) - low) / span
    return np.asarray(np.clip(scaled, 0.0, 1.0) * 255.0, dtype=np.uint8)


def _oriented(picture: NDArray[np.uint8], affine: Any) -> NDArray[np.uint8]:
    """North up and west left, whatever the order of the rows on disk."""
    if affine.e > 0:
        picture = picture[::-1]
    return np.ascontiguousarray(picture[:, ::-1] if affine.a < 0 else picture)


def _save(picture: NDArray[np.uint8], path: Path) -> Path:
    return write_whole(path, lambda part: Image.fromarray(picture).save(part, format="PNG"))
