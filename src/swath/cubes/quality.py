"""Which pixels a quality layer calls clear: scene classification of Sentinel-2, Fmask of HLS, QA_PIXEL of Landsat.

Clear means, by scheme:

* ``SCL``, classes 0 to 11 (Sentinel-2 Level-2A product specification): dark ground, vegetation, bare soil, water,
  unclassified and snow, which are 2, 4, 5, 6, 7 and 11;
* ``Fmask``, bits (HLS 2.0 user guide), 255 is fill: neither cloud (bit 1), beside a cloud (bit 2) nor shadow (bit 3);
* ``MSK_CLASSI``, bits (Sentinel-2 Level-1C, its three bands in one number): neither opaque cloud (bit 0) nor cirrus
  (bit 1);
* ``QA_PIXEL``, bits (Landsat Collection 2): neither fill, dilated cloud, cirrus, cloud nor shadow, bits 0 to 4.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from swath.errors import ConfigError, nearest

SCL_NAMES = (
    "no data",
    "saturated or defective",
    "dark area",
    "cloud shadow",
    "vegetation",
    "bare soil",
    "water",
    "unclassified",
    "cloud, medium probability",
    "cloud, high probability",
    "thin cirrus",
    "snow or ice",
)
_SCL_CLEAR = (2, 4, 5, 6, 7, 11)
_FMASK_FILL = 255
_FMASK_BAD = 0b1110
_CLASSI_BAD = 0b11
_QA_PIXEL_BAD = 0b11111
SCHEMES = ("SCL", "MSK_CLASSI", "Fmask", "QA_PIXEL")


def clear(quality: NDArray[np.integer[Any]] | da.Array, scheme: str) -> Any:
    """Where a quality layer calls the ground clear.

    Args:
        quality: whole numbers of any shape, numpy or dask.
        scheme: one of ``SCHEMES``.

    Returns:
        booleans of the same shape and kind of array.

    Raises:
        ConfigError: the scheme is unknown.
    """
    if scheme == "SCL":
        return np.isin(quality, _SCL_CLEAR)
    if scheme == "Fmask":
        return (quality != _FMASK_FILL) & ((quality & _FMASK_BAD) == 0)
    if scheme == "MSK_CLASSI":
        return (quality & _CLASSI_BAD) == 0
    if scheme == "QA_PIXEL":
        return (quality & _QA_PIXEL_BAD) == 0
    raise ConfigError(
        f"The quality scheme '{scheme}' is unknown",
        expected=f"one of {', '.join(SCHEMES)}",
        remedy=f"the nearest is {nearest(scheme, SCHEMES)}",
    )


def scheme_of(name: str) -> str | None:
    """The scheme that an asset or file name tells (``T32UQD_SCL_20m.tif``), or None."""
    parts = Path(name).stem.lower().replace("-", "_").split("_")
    if "scl" in parts:
        return "SCL"
    if "msk" in parts and "classi" in parts:
        return "MSK_CLASSI"
    if "fmask" in parts:
        return "Fmask"
    if "qa" in parts and "pixel" in parts:
        return "QA_PIXEL"
    return None
