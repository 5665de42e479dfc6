"""A handful of spectral indices, computed from bands that are found by name or wavelength.

With N(a, b) = (a - b) / (a + b):

* NDVI N(nir, red), Rouse et al. 1974; GNDVI N(nir, green), Gitelson et al. 1996; NDRE N(nir, rededge1), Gitelson and
  Merzlyak 1994
* NDWI N(green, nir), McFeeters 1996; MNDWI N(green, swir16), Xu 2006; NDMI N(nir, swir16), Gao 1996
* NBR N(nir, swir22), Key and Benson 2006; NDTI N(swir16, swir22), van Deventer et al. 1997
* ExG (2 green - red - blue) / (red + green + blue), Woebbecke et al. 1995
* cross ratio VH - VV in dB

An index whose bands are absent, or which is among the bands already, is left out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from swath.sensors import BandSet

Values = NDArray[np.float32]

ROLES_NM = {
    "blue": 490.0,
    "green": 560.0,
    "red": 665.0,
    "rededge1": 705.0,
    "nir": 840.0,
    "swir16": 1610.0,
    "swir22": 2200.0,
}
"""Centre wavelength by which a role is found in bands without such a name."""
DIFFERENCES = {
    "NDVI": ("nir", "red"),
    "GNDVI": ("nir", "green"),
    "NDRE": ("nir", "rededge1"),
    "NDWI": ("green", "nir"),
    "MNDWI": ("green", "swir16"),
    "NDMI": ("nir", "swir16"),
    "NBR": ("nir", "swir22"),
    "NDTI": ("swir16", "swir22"),
}
_REACH_NM = 15.0
_TINY = 1e-6


def roles(bands: BandSet) -> dict[str, int]:
    """Position of the band of each role that is there: by name or alias, else the nearest within 15 nm."""
    found = {}
    for role, wanted in ROLES_NM.items():
        named = [place for place, band in enumerate(bands) if band.called(role)]
        if named:
            found[role] = named[0]
            continue
        gaps = {
            place: abs(band.wavelength_nm - wanted)
            for place, band in enumerate(bands)
            if band.wavelength_nm is not None and abs(band.wavelength_nm - wanted) <= _REACH_NM
        }
        if gaps:
            found[role] = min(gaps, key=gaps.__getitem__)
    return found


def indices(values: Values, bands: BandSet, axis: int = 2) -> tuple[Values, tuple[str, ...]]:
    """The indices that the bands allow.

    Args:
        values: physical values with the bands along ``axis``; NaN where invalid.
        bands: the bands.
        axis: band axis.

    Returns:
        Indices along ``axis``, float32, NaN where a band is NaN or a denominator 0; and their names.
    """
    place = roles(bands)
    planes, names = [], []
    channel = {role: np.take(values, number, axis=axis) for role, number in place.items()}
    for name, (first, second) in DIFFERENCES.items():
        if first in channel and second in channel and place[first] != place[second] and not _called(bands, name):
            planes.append(_ratio(channel[first] - channel[second], channel[first] + channel[second]))
            names.append(name)
    if {"red", "green", "blue"} <= set(channel):
        red, green, blue = channel["red"], channel["green"], channel["blue"]
        planes.append(_ratio(2 * green - red - blue, red + green + blue))
        names.append("ExG")
    if _called(bands, "VV") and _called(bands, "VH"):
        planes.append(
            np.take(values, bands.position("VH"), axis=axis) - np.take(values, bands.position("VV"), axis=axis)
        )
        names.append("VH-VV")
    shape = list(values.shape)
    shape[axis] = 0
    stacked = np.stack(planes, axis=axis) if planes else np.empty(shape, np.float32)
    return stacked.astype(np.float32), tuple(names)


def _called(bands: BandSet, name: str) -> bool:
    return any(band.called(name) for band in bands)


def _ratio(top: Values, bottom: Values) -> Values:
    large = np.abs(bottom) > _TINY
    return np.where(large, top / np.where(large, bottom, 1), np.float32(np.nan)).astype(np.float32)
