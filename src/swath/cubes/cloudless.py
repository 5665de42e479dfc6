"""Clouds in Sentinel-2 Level-1C, by the pixel classifier of s2cloudless and the published steps after it.

The classifier (gradient boosted trees, Sinergise; licence CC BY-SA 4.0) comes with the package ``s2cloudless``, the
extra ``clouds``; nothing of it is part of swath. It gives every pixel the probability of a cloud from ten reflectances.
With the values that its authors publish, probabilities are averaged over a disk of 4 pixels, what exceeds 0.4 is cloud,
and clouds grow by a disk of 2 pixels.

Three things are decided here:

* Pixels are 60 m wide, those of the coarsest bands, so that no band has to be made finer; the other bands are averaged.
  The authors say that the model works at any resolution and use from 10 m to 160 m. At 60 m the disks have radii of
  240 m and 120 m.
* A pixel is unknown where a band lacks a number on any part of it. It has no part in the average, which runs over the
  known pixels of the disk alone, starts no cloud, and is never called clear.
* The edge of an image is an unknown pixel like any other, whereas the package reflects the image there.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from swath import sensors
from swath.errors import InputError, require

BANDS = ("B01", "B02", "B04", "B05", "B08", "B8A", "B09", "B10", "B11", "B12")
"""The bands of the classifier, in its order."""
SENSOR = "sentinel2_l1c"
GSD_M = 60
THRESHOLD = 0.4
AVERAGE_OVER = 4
DILATION = 2
REACH = AVERAGE_OVER + DILATION
"""Pixels around a pixel that have a say in whether it is cloud."""
UNKNOWN, CLEAR, CLOUD = 0, 1, 2
_MOST = 6.5535  # the largest stored number, 65535, without an offset

Classifier: TypeAlias = Callable[[NDArray[np.float32]], NDArray[np.float64]]


@functools.cache
def classifier() -> Classifier:
    """What gives reflectances ``(pixel, band)`` of ``BANDS`` their probabilities ``(pixel,)``, from 0 to 1.

    Raises:
        MissingError: s2cloudless is not installed.
    """
    detector = require("s2cloudless", "clouds").S2PixelCloudDetector()

    def probabilities(pixels: NDArray[np.float32]) -> NDArray[np.float64]:
        # One thread, as the chips around it are read by many.
        found = detector.get_cloud_probability_maps(pixels[None, None], num_threads=1)
        return np.asarray(found[0, 0], np.float64)

    return probabilities


def averaged(values: NDArray[Any], valid: NDArray[np.bool_], factor: int) -> tuple[NDArray[np.float32], NDArray[Any]]:
    """Means of blocks of pixels, and where all of a block is valid.

    Args:
        values: ``(band, y, x)``.
        valid: of the same shape.
        factor: rows and columns of a block; what is left over at the lower and right edge is dropped.

    Returns:
        both ``(band, y // factor, x // factor)``; the mean is 0 where it is not valid.
    """
    count, height, width = values.shape
    rows, columns = height // factor, width // factor
    blocks = (count, rows, factor, columns, factor)
    full = valid & np.isfinite(values)
    whole = full[:, : rows * factor, : columns * factor].reshape(blocks).all(axis=(2, 4))
    # In double precision the sum of such numbers is exact, so that it does not depend on the window.
    clean = np.where(full, values, 0).astype(np.float64)[:, : rows * factor, : columns * factor]
    means = clean.reshape(blocks).sum(axis=(2, 4)) / factor**2
    return np.where(whole, means, 0).astype(np.float32), whole


def probabilities(
    reflectance: NDArray[Any], valid: NDArray[np.bool_], names: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The classifier's probability of a cloud.

    Args:
        reflectance: at the top of the atmosphere, from 0 to about 1, ``(band, y, x)`` with pixels of about 60 m.
        valid: ``(band, y, x)`` or ``(y, x)``.
        names: of the bands, as Sentinel-2 has them, in any order; further bands are left out.

    Returns:
        probabilities ``(y, x)``, 0 where unknown, and where they are known.

    Raises:
        InputError: a band is missing, shapes do not fit, or the numbers cannot be reflectance.
        MissingError: s2cloudless is not installed.
    """
    if reflectance.ndim != 3 or len(names) != len(reflectance) or valid.shape[-2:] != reflectance.shape[-2:]:
        raise InputError(
            f"Numbers {reflectance.shape}, validity {valid.shape} and {len(names)} names of bands",
            expected="(band, y, x), (band, y, x) or (y, x), and one name a band",
            remedy="give the bands of one date",
        )
    places = _places(names)
    chosen = reflectance[places]
    full = (valid[places] if valid.ndim == 3 else valid[None]) & np.isfinite(chosen)
    known = np.asarray(full.all(axis=0))
    pixels = np.ascontiguousarray(chosen[:, known].T, np.float32)
    if pixels.size and float(pixels.max()) > _MOST:
        raise InputError(
            f"Reflectance up to {pixels.max():g}",
            expected=f"at most {_MOST:g}, the largest that Level-1C can store",
            remedy="convert stored numbers first: cubes.to_physical",
        )
    found = np.zeros(known.shape)
    model = classifier()
    if len(pixels):
        found[known] = model(pixels)
    return found, known


def states(reflectance: NDArray[Any], valid: NDArray[np.bool_], names: Sequence[str]) -> NDArray[np.uint8]:
    """``CLEAR``, ``CLOUD`` or ``UNKNOWN`` for every pixel ``(y, x)``, with the published defaults.

    Args:
        reflectance: as ``probabilities``.
        valid: as ``probabilities``.
        names: as ``probabilities``.

    Raises:
        InputError: as ``probabilities``.
        MissingError: s2cloudless is not installed.
    """
    from scipy import ndimage

    chance, known = probabilities(reflectance, valid, names)
    if not chance.size:
        return np.zeros(chance.shape, np.uint8)
    near = _disk(AVERAGE_OVER).astype(np.float64)
    above = ndimage.convolve(chance, near, mode="constant")
    below = ndimage.convolve(known.astype(np.float64), near, mode="constant")
    seen = known & (above > THRESHOLD * below)
    grown = ndimage.binary_dilation(seen, _disk(DILATION))
    return np.where(known, np.where(grown, CLOUD, CLEAR), UNKNOWN).astype(np.uint8)


def _disk(radius: int) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return np.asarray(rows**2 + columns**2 <= radius**2)


def _places(names: Sequence[str]) -> list[int]:
    """Position of each of ``BANDS`` among the names.

    Raises:
        InputError: one is missing.
    """
    held = sensors.load(SENSOR).bands
    lowered = [name.lower() for name in names]
    places = []
    for name in BANDS:
        band = held[held.position(name)]
        words = [word.lower() for word in (band.name, *band.aliases)]
        found = next((lowered.index(word) for word in words if word in lowered), None)
        if found is None:
            raise InputError(
                f"The band {name} is missing among {', '.join(names) or 'none'}",
                expected=f"the ten bands of s2cloudless: {', '.join(BANDS)}",
                remedy="open Level-1C scenes with all of their bands; Level-2A has no B10",
            )
        places.append(found)
    return places
