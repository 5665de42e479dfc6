"""Which chips of two sets show the same window on the ground."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer
from scipy.spatial import cKDTree

from swath import grids
from swath.errors import InputError
from swath.grids.geobox import crs_of

if TYPE_CHECKING:
    from swath.chips.store import ChipSet

TOLERANCE = 0.5
"""How far corners may lie apart, in pixels of the finer grid."""


def match(first: ChipSet, other: ChipSet, names: tuple[str, str]) -> list[str]:
    """For every chip of the first set, in the order of its index, the chip of the other with the same window.

    The four corners of all windows are compared in the CRS of the first set. Two windows agree when no corner lies
    further off, along either axis, than half a pixel of the finer grid; so sets in two CRS agree only where these name
    the same places by nearly the same numbers.

    Args:
        first: the set to match.
        other: the set to search.
        names: what the sets are called, for sentences.

    Returns:
        Ids of the other set; an empty text where it has no such window.

    Raises:
        InputError: no window agrees; extents and CRS of both are told.
    """
    wanted, found = corners(first, first), corners(other, first)
    finer = min(_pixel(wanted, first.size), _pixel(found, other.size))
    usable = np.isfinite(found).all(axis=1)
    ids = np.array([*other.index["id"].astype(str)], object)[usable]
    matched = np.full(len(wanted), "", object)
    if usable.any():
        distance, place = cKDTree(found[usable]).query(wanted, p=np.inf, distance_upper_bound=TOLERANCE * finer)
        near = np.isfinite(distance)
        matched[near] = ids[place[near]]
    if not (matched != "").any():
        raise _disagreement(first, other, names)
    return [str(name) for name in matched]


def corners(chipset: ChipSet, like: ChipSet) -> NDArray[np.float64]:
    """The four corners of every chip in the CRS of another set, ``(N, 8)`` as x and y of each; not finite off its map.

    Corners come in the order first row and column, first row and last column, and so on, as they lie on the ground in
    the grid: two sets of which one is turned or mirrored do not agree.
    """
    start = chipset.index[["row", "column"]].to_numpy(np.float64)
    steps = np.array([(0, 0), (0, 1), (1, 0), (1, 1)], np.float64) * chipset.size
    row, column = (start[:, axis, None] + steps[None, :, axis] for axis in (0, 1))
    a, b, c, d, e, f = chipset.scene.affine[:6]
    x, y = a * column + b * row + c, d * column + e * row + f
    own, wanted = crs_of(chipset.scene), crs_of(like.scene)
    if own != wanted:
        x, y = Transformer.from_crs(own.proj, wanted.proj, always_xy=True).transform(x, y)
    return np.stack([x, y], axis=-1).reshape(len(start), -1)


def _pixel(places: NDArray[np.float64], size: int) -> float:
    """Side of a pixel in the units of the corners, the shortest over all chips; infinite where none is on the map."""
    usable = places[np.isfinite(places).all(axis=1)].reshape(-1, 4, 2)
    sides = [np.hypot(*(usable[:, corner] - usable[:, 0]).T) for corner in (1, 2)]
    return float(min(side.min(initial=np.inf) for side in sides)) / size


def _disagreement(first: ChipSet, other: ChipSet, names: tuple[str, str]) -> InputError:
    told = [f"'{name}' is {grids.describe(chips.scene)}" for name, chips in zip(names, (first, other), strict=True)]
    sizes = [_ground(chips) for chips in (first, other)]
    mixed = crs_of(first.scene) != crs_of(other.scene)
    remedy = "warp one of the scenes to the CRS of the other and cut it again" if mixed else "cut both at the same"
    return InputError(
        f"No window of '{names[1]}' agrees with one of '{names[0]}'"
        + (", and they lie in two CRS" if mixed else "")
        + f": {'; '.join(told)}; windows are {sizes[0]} and {sizes[1]} wide",
        expected=f"corners that agree to {TOLERANCE:g} pixels of the finer grid",
        remedy=remedy + ("" if mixed else " corner, with a size and stride that cover the same ground"),
    )


def _ground(chipset: ChipSet) -> str:
    unit = "degrees" if crs_of(chipset.scene).geographic else "m"
    return f"{chipset.size * abs(chipset.scene.affine.a):g} {unit}"
