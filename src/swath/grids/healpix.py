"""The HEALPix sphere: twelve square faces of equal-area cells.

Formulas: K. M. Gorski et al. (2005), ApJ 622, 759, sections 4 and 5 and equations 2 to 9.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from swath.errors import ContractError

FACES = 12
# Row of the southernmost corner of each face in units of nside, counted from the north pole, and the column of
# that corner in units of nside / 2 (Gorski et al. 2005, equations 10 to 12).
_CORNER_ROW = np.repeat([2, 3, 4], 4)
_CORNER_COLUMN = np.array([1, 3, 5, 7, 0, 2, 4, 6, 1, 3, 5, 7])


@dataclass(frozen=True)
class HealPix:
    """All cells of a HEALPix sphere as an array ``(face, y, x)`` of shape ``(12, nside, nside)``.

    Faces 0 to 3 touch the north pole, 4 to 7 lie on the equator, 8 to 11 touch the south pole; longitude grows with
    the face number inside each ring of four. Inside a face the element (0, 0) is the northern corner, rows run to
    the south-west and columns to the south-east. With the in-face coordinates of the HEALPix paper (ix towards
    north-east, iy towards north-west, both from the southern corner), ``y = nside - 1 - ix``, ``x = nside - 1 - iy``.

    Args:
        nside: cells along a face edge, a power of two.
        order: numbering of the cells in flat files, ``nested`` or ``ring``; see ``cell_numbers``.

    Raises:
        ContractError: nside is not a power of two, or the order is unknown.
    """

    nside: int
    order: Literal["nested", "ring"] = "nested"

    def __post_init__(self) -> None:
        if not isinstance(self.nside, int | np.integer) or self.nside < 1 or self.nside & (self.nside - 1):
            raise ContractError(
                f"HEALPix was given nside {self.nside}",
                expected="a power of two: 1, 2, 4, 8, ...",
                remedy="nside is the number of cells along a face edge; a sphere has 12 nside^2 cells",
            )
        if self.order not in ("nested", "ring"):
            raise ContractError(
                f"HEALPix was given the order '{self.order}'",
                expected="'nested' or 'ring'",
                remedy="look up ORDERING in the header of the file",
            )
        object.__setattr__(self, "nside", int(self.nside))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(12, nside, nside)."""
        return FACES, self.nside, self.nside

    @property
    def cells(self) -> int:
        """Number of cells, 12 nside^2."""
        return FACES * self.nside**2

    def cell_numbers(self) -> NDArray[np.int64]:
        """Number of each cell in flat files of this grid's ``order``, int64 ``(12, nside, nside)``.

        ``flat[grid.cell_numbers()]`` puts a flat array on faces.
        """
        return _nested_numbers(self.nside) if self.order == "nested" else _ring_numbers(self.nside)

    def to_faces(self, flat: NDArray[np.generic]) -> NDArray[np.generic]:
        """A flat array ``(..., 12 nside^2)`` as ``(..., 12, nside, nside)``.

        Raises:
            ContractError: the last axis does not hold 12 nside^2 cells.
        """
        if flat.shape[-1] != self.cells:
            raise ContractError(
                f"The flat array has {flat.shape[-1]} cells on its last axis",
                expected=f"{self.cells} cells for nside {self.nside}",
                remedy="keep the cell axis last, and check nside",
            )
        return flat[..., self.cell_numbers()]

    def to_flat(self, faces: NDArray[np.generic]) -> NDArray[np.generic]:
        """The inverse of ``to_faces``.

        Raises:
            ContractError: the last axes are not (12, nside, nside).
        """
        if faces.shape[-3:] != self.shape:
            raise ContractError(
                f"The array has the shape {faces.shape}",
                expected=f"the last axes {self.shape}",
                remedy="keep the axes face, y, x last",
            )
        flat = np.empty((*faces.shape[:-3], self.cells), dtype=faces.dtype)
        flat[..., self.cell_numbers().ravel()] = faces.reshape(*faces.shape[:-3], self.cells)
        return flat


@lru_cache(maxsize=8)
def centres(nside: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Longitude in [-180, 180) and latitude of cell centres in degrees, each ``(12, nside, nside)``, read-only."""
    row, column, shift, in_row = _rows(nside)
    polar = np.minimum(row, 4 * nside - row)
    # 1 - |z| is exact in the caps; asin(z) alone would lose the last cells before the poles.
    distance = np.where(polar < nside, polar**2 / (3.0 * nside**2), 1.0 - np.abs(2 * nside - row) * 2.0 / (3.0 * nside))
    sine = (1.0 - distance) * np.sign(2 * nside - row)
    latitude = np.degrees(np.arctan2(sine, np.sqrt(distance * (2.0 - distance))))
    # The k-th cell of a row of 4 m cells lies at (k - 1/2) or (k - 1) times 90 / m degrees.
    longitude = (column - (shift + 1) / 2.0) * (90.0 / in_row)
    longitude = np.where(longitude >= 180.0, longitude - 360.0, longitude)
    for part in (longitude, latitude):
        part.flags.writeable = False
    return longitude, latitude


def _in_face(nside: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The coordinates ix and iy of the HEALPix paper for rows y and columns x, each (nside, nside)."""
    reverse = np.arange(nside - 1, -1, -1, dtype=np.int64)
    ix, iy = np.meshgrid(reverse, reverse, indexing="ij")
    return ix, iy


def _rows(nside: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Row from the north pole and column in it (both 1-based), half-cell shift, a quarter of the row's cells."""
    ix, iy = _in_face(nside)
    row = _CORNER_ROW[:, None, None] * nside - ix - iy - 1
    in_row = np.minimum(np.minimum(row, 4 * nside - row), nside)
    shift = np.where((row >= nside) & (row <= 3 * nside), (row - nside) % 2, 0)
    column = (_CORNER_COLUMN[:, None, None] * in_row + ix - iy + 1 + shift) // 2
    column = (column - 1) % (4 * in_row) + 1
    return row, column, shift, in_row


def _ring_numbers(nside: int) -> NDArray[np.int64]:
    row, column, _, in_row = _rows(nside)
    north = 2 * in_row * (in_row - 1)
    middle = 2 * nside * (nside - 1) + (row - nside) * 4 * nside
    south = FACES * nside**2 - 2 * in_row * (in_row + 1)
    before = np.where(row < nside, north, np.where(row > 3 * nside, south, middle))
    return before + column - 1


def _nested_numbers(nside: int) -> NDArray[np.int64]:
    ix, iy = _in_face(nside)
    number = np.zeros_like(ix)
    for bit in range(nside.bit_length()):
        number |= ((ix >> bit) & 1) << (2 * bit)
        number |= ((iy >> bit) & 1) << (2 * bit + 1)
    return np.arange(FACES, dtype=np.int64)[:, None, None] * nside**2 + number
