"""Names of the 100 km squares of the Military Grid Reference System (MGRS), which Sentinel-2 and HLS use for tiles.

Zones, latitude bands and square letters follow NGA.STND.0037 (Universal Grids and Grid Reference Systems, 2014), with
the wider zones of Norway and Svalbard. Poleward of 84 N and 80 S, where the system changes to polar squares, the name
is ``polar_N`` or ``polar_S``.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pyproj import Transformer

_BANDS = "CDEFGHJKLMNPQRSTUVWX"
_COLUMNS = ("ABCDEFGH", "JKLMNPQR", "STUVWXYZ")
_ROWS = "ABCDEFGHJKLMNPQRSTUV"
_IN_NAME = re.compile(r"(?<![A-Za-z0-9])T?(\d{2}[C-HJ-NP-X][A-HJ-NP-Z][A-HJ-NP-V])(?![A-Za-z0-9])")


def tile_of(lon: ArrayLike, lat: ArrayLike) -> NDArray[np.str_]:
    """Name of the square of each place, such as ``33TWM``.

    Args:
        lon: degrees east ``(N,)``, -180 to 180.
        lat: degrees north ``(N,)``.
    """
    east, north = np.atleast_1d(np.asarray(lon, np.float64)), np.atleast_1d(np.asarray(lat, np.float64))
    names = np.where(north > 0, "polar_N", "polar_S").astype("<U7")
    zones = _zones(east, north)
    within = (north >= -80.0) & (north < 84.0)
    for zone in np.unique(zones[within]):
        for south in (False, True):
            chosen = within & (zones == zone) & ((north < 0) == south)
            if chosen.any():
                names[chosen] = _in_zone(int(zone), south, east[chosen], north[chosen])
    return names


def tile_in(name: str) -> str | None:
    """The tile that a file or item name tells (``HLS.L30.T13SCS.2020001T173930.v2.0``), or None."""
    found = _IN_NAME.search(name.replace("_", "."))
    return found.group(1) if found else None


def _zones(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.int64]:
    zone = (np.floor((lon + 180.0) / 6.0).astype(np.int64) % 60) + 1
    zone[(lat >= 56) & (lat < 64) & (lon >= 3) & (lon < 12)] = 32
    svalbard = (lat >= 72) & (lon >= 0) & (lon < 42)
    zone[svalbard] = np.array([31, 33, 35, 37])[np.searchsorted([9, 21, 33], lon[svalbard], side="right")]
    return zone


def _in_zone(zone: int, south: bool, lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.str_]:
    move = Transformer.from_crs(4326, 32700 + zone if south else 32600 + zone, always_xy=True)
    x, y = (np.asarray(item) for item in move.transform(lon, lat))
    band = np.array(list(_BANDS))[np.clip(((lat + 80) // 8).astype(int), 0, len(_BANDS) - 1)]
    letters = np.array(list(_COLUMNS[(zone - 1) % 3]))
    column = letters[np.clip((x // 100_000).astype(int) - 1, 0, len(letters) - 1)]
    row = np.array(list(_ROWS))[((y // 100_000).astype(int) + (0 if zone % 2 else 5)) % len(_ROWS)]
    joined: NDArray[np.str_] = np.char.add(np.char.add(np.char.add(f"{zone:02d}", band), column), row)
    return joined
