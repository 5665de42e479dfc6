"""From stored numbers to reflectance, dB, K and m, once."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from swath import units
from swath.cubes.cube import DN, as_cube, bands_of, common_unit, lazy
from swath.cubes.sample import sample_blocks
from swath.errors import InputError


def is_physical(cube: xr.Dataset | xr.DataTree) -> bool:
    """Whether the numbers of a cube are in physical units already."""
    return as_cube(cube)["data"].attrs.get("unit") != DN


def to_physical(cube: xr.Dataset | xr.DataTree) -> xr.Dataset:
    """Stored numbers to physical ones, lazily: ``data * scale_factor + add_offset`` per band.

    Returns:
        the cube with float32 ``data``; ``unit`` is that of the bands (``mixed`` where they differ), ``scale_factor``
        is 1 and ``add_offset`` 0. The mask is untouched.

    Raises:
        InputError: the numbers are physical already, by their unit or by a look at some of them.
    """
    dataset = as_cube(cube)
    if is_physical(dataset):
        raise InputError(
            f"The cube holds numbers in '{dataset['data'].attrs.get('unit')}' already",
            expected="stored numbers (unit DN)",
            remedy="convert once only; cubes.is_physical tells whether it was done",
        )
    _check_stored(dataset)
    shape = (1, -1, 1, 1)
    scale, offset = (dataset[name].values.reshape(shape) for name in ("scale_factor", "add_offset"))
    stored = lazy(dataset["data"])
    numbers = stored.astype(np.float32) if _is_identity(scale, offset) else _scaled(stored, scale, offset)
    unit = common_unit([str(item) for item in dataset["band_unit"].values])
    ones, zeros = np.ones(dataset.sizes["band"]), np.zeros(dataset.sizes["band"])
    result = dataset.assign(data=(dataset["data"].dims, numbers, {"unit": unit}))
    result = result.assign_coords(scale_factor=("band", ones), add_offset=("band", zeros))
    return result.assign_attrs(unit=unit)


def check_physical(cube: xr.Dataset | xr.DataTree) -> None:
    """Stop where the numbers of a cube cannot be what its unit says, such as DN passed as reflectance.

    Reads a few blocks spread over the scene, not all of it; masked numbers are left out.

    Raises:
        InputError: the cube holds stored numbers, or numbers far outside of what the unit allows.
    """
    dataset = as_cube(cube)
    source = str(dataset.attrs.get("source", "the cube"))
    if not is_physical(dataset):
        raise InputError(
            f"'{source}' holds stored numbers (unit DN)",
            expected="physical numbers",
            remedy="call cubes.to_physical first",
        )
    values, valid = sample_blocks(dataset)
    for position, band in enumerate(bands_of(dataset)):
        units.check_range(
            values[:, position], valid[:, position], band.unit, band.kind, f"band {band.name} of '{source}'"
        )


def _check_stored(dataset: xr.Dataset) -> None:
    """Stop where a file of floating-point reflectance was declared to hold stored numbers.

    Stored reflectance runs to thousands; applying the scale to fractions would make all of them nearly the offset.
    Integer files cannot be meant, and are not read.
    """
    small = dataset["scale_factor"].values < _SMALL_SCALE
    doubtful = np.flatnonzero(small & (dataset["kind"].values == "reflectance"))
    if dataset["data"].dtype.kind != "f" or not len(doubtful):
        return
    values, valid = sample_blocks(dataset.isel(band=doubtful))
    used = values[valid & np.isfinite(values)]
    if not used.size or np.abs(used).max() > _LARGEST_REFLECTANCE or (used == np.rint(used)).all():
        return
    raise InputError(
        f"'{dataset.attrs.get('source', 'the cube')}' holds reflectance already: its values run from "
        f"{used.min():.3g} to {used.max():.3g}, and the sensor's scale and offset would be applied a second time",
        expected="stored numbers (DN), which run to thousands",
        remedy="open it without the scaling of the sensor: level='physical' (--level physical)",
    )


def _is_identity(scale: NDArray[Any], offset: NDArray[Any]) -> bool:
    return bool((scale == 1).all() and (offset == 0).all())


def _scaled(stored: da.Array, scale: NDArray[np.float64], offset: NDArray[np.float64]) -> da.Array:
    """In float64 inside a block, so that 0.0001 is not rounded before it multiplies."""
    return da.map_blocks(_scale_block, stored, scale=scale, offset=offset, dtype=np.float32, meta=_META)


def _scale_block(
    stored: NDArray[Any],
    scale: NDArray[np.float64],
    offset: NDArray[np.float64],
    block_info: dict[Any, Any] | None = None,
) -> NDArray[np.float32]:
    if block_info is None:
        return np.empty(stored.shape, dtype=np.float32)
    start, stop = block_info[None]["array-location"][1]
    return (stored * scale[:, start:stop] + offset[:, start:stop]).astype(np.float32)


_SMALL_SCALE = 0.01
_LARGEST_REFLECTANCE = 2.0
_META = np.empty((0, 0, 0, 0), dtype=np.float32)
