"""Corruptions of plain arrays, stored integers included."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from swath.errors import InputError
from swath.judge.corruptions.apply import corrupt
from swath.judge.corruptions.scale import Scale
from swath.judge.corruptions.severities import GEOMETRIC, canonical
from swath.sensors import Band, BandSet
from swath.types import Batch, Modality

Range = tuple[float | Sequence[float], float | Sequence[float]]


def corrupt_array(
    image: NDArray[Any],
    name: str,
    severity: int,
    seed: int,
    *,
    sample_id: str = "image",
    scale: Range | None = None,
    valid: NDArray[np.bool_] | None = None,
    wavelengths_nm: Sequence[float | None] | None = None,
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """One image and its validity after a corruption, in the dtype it came in.

    Args:
        image: ``(C, H, W)`` or ``(T, C, H, W)``. uint8 runs from 0 to 255, other integers need ``scale``, floats
            without one take their own 2nd to 98th percentile. NaN is no data and stays NaN.
        name: one of ``NAMES``.
        severity: 1 to 5.
        seed: seed of the random streams.
        sample_id: name of the image; another name gives other random numbers.
        scale: the values that become 0 and 1, one for all bands or one per band: ``(0, 10000)`` for stored Sentinel-2.
        valid: True where a pixel counts, broadcastable to the image.
        wavelengths_nm: centre wavelength per band, None where there is none.

    Raises:
        InputError: another number of axes, integers without a scale, or any error of ``corrupt``.
        ConfigError: unknown corruption, or a severity outside 1 to 5.
    """
    if image.ndim not in (3, 4):
        raise InputError(
            f"The image has shape {image.shape}",
            expected="(band, y, x) or (time, band, y, x)",
            remedy="put the bands before rows and columns",
        )
    stack = image if image.ndim == 4 else image[None]
    finite = np.isfinite(stack)
    seen = finite if valid is None else finite & np.broadcast_to(valid, image.shape).reshape(stack.shape)
    values = torch.from_numpy(np.where(finite, stack, 0).astype(np.float32))[None]
    dates, bands, height, width = stack.shape
    waves = [None] * bands if wavelengths_nm is None else list(wavelengths_nm)
    named = BandSet(tuple(Band(f"band{place}", wavelength_nm=wave) for place, wave in enumerate(waves)))
    grid = GeoBox((height, width), Affine.identity(), "EPSG:3857")
    time = torch.zeros(1, dates, dtype=torch.int64)
    modality = Modality(values, torch.from_numpy(np.ascontiguousarray(seen))[None], named, time, (grid,))
    fixed = _scale(image.dtype, scale, bands)
    scales = {} if fixed is None else {"image": fixed}
    changed = corrupt(Batch({"image": modality}, ids=(sample_id,)), name, severity, seed, scales=scales)
    found = changed.inputs["image"]
    array, mask = found.values[0].numpy(), found.valid.expand_as(found.values)[0].numpy()
    if image.dtype.kind != "f":
        limits = np.iinfo(image.dtype)
        answer = np.clip(np.rint(array.astype(np.float64)), limits.min, limits.max).astype(image.dtype)
    else:
        # Missing numbers stay missing where they are, and move with the image where it moves.
        missing = ~finite if canonical(name) not in GEOMETRIC else ~mask if not finite.all() else np.zeros_like(mask)
        answer = np.where(missing, np.nan, array).astype(image.dtype)
    return answer.reshape(image.shape), mask.reshape(image.shape)


def _scale(dtype: np.dtype[Any], scale: Range | None, bands: int) -> Scale | None:
    if scale is not None:
        low, high = ([float(end)] * bands if np.isscalar(end) else list(end) for end in scale)  # type: ignore[arg-type]
        return Scale.given(low, high)
    if dtype == np.uint8:
        return Scale.given([0.0] * bands, [255.0] * bands)
    if dtype.kind == "f":
        return None
    raise InputError(
        f"The image is {dtype} and comes without a scale",
        expected="the stored numbers that mean dark and bright",
        remedy="pass scale=(0, 10000) for stored reflectance, or convert to physical units first",
    )
