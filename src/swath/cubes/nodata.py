"""Which stored numbers may be used: declared, undeclared and never-usable values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray

NoData = float | Sequence[float] | None


def per_band(
    nodata: NoData, declared: Sequence[float | None], sensor: Sequence[float] = ()
) -> tuple[tuple[float, ...], ...]:
    """The invalid values of each band: the user's if given (an empty sequence means none), else file and sensor.

    Args:
        nodata: what the user said, for all bands.
        declared: what the file says, per band.
        sensor: what the sensor level says (no data, saturated), for all bands.
    """
    if nodata is not None:
        values = (float(nodata),) if isinstance(nodata, int | float) else tuple(float(value) for value in nodata)
        return (values,) * len(declared)
    return tuple(
        tuple(dict.fromkeys(float(value) for value in (own, *sensor) if value is not None)) for own in declared
    )


def can_be_invalid(dtype: np.dtype[Any], values: Sequence[Sequence[float]]) -> bool:
    """Whether pixels of this type can be invalid by their number at all."""
    return dtype.kind == "f" or any(_stored(dtype, band) for band in values)


def valid_numbers(array: NDArray[Any], values: Sequence[Sequence[float]]) -> NDArray[np.bool_]:
    """True where a number may be used; NaN and infinity never may.

    Args:
        array: ``(band, y, x)`` as stored.
        values: invalid values of each band; those the type cannot hold (-9999 in uint8) never occur.
    """
    valid = np.isfinite(array) if array.dtype.kind in "fc" else np.ones(array.shape, dtype=bool)
    for band, numbers in enumerate(values):
        for number in _stored(array.dtype, numbers):
            valid[band] &= array[band] != number
    return valid


def lazy_valid(array: da.Array, values: Sequence[Sequence[float]]) -> da.Array:
    """``valid_numbers`` on a dask array ``(band, y, x)``, block by block."""
    return da.map_blocks(_valid_block, array, values=tuple(values), dtype=bool, meta=np.empty((0, 0, 0), dtype=bool))


def _valid_block(
    array: NDArray[Any], values: tuple[tuple[float, ...], ...], block_info: dict[Any, Any] | None = None
) -> NDArray[np.bool_]:
    if block_info is None:
        return np.empty(array.shape, dtype=bool)
    start, stop = block_info[None]["array-location"][0]
    return valid_numbers(array, values[start:stop])


def _stored(dtype: np.dtype[Any], numbers: Sequence[float]) -> list[Any]:
    """The numbers as the type stores them (a float32 file holds float32(-3.4e38)), without those it cannot hold."""
    finite = [number for number in numbers if np.isfinite(number)]
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return [value for value in (dtype.type(number) for number in finite) if np.isfinite(value)]
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        whole = [int(number) for number in finite if float(number).is_integer()]
        return [dtype.type(number) for number in whole if limits.min <= number <= limits.max]
    return []
