"""A doubly periodic box, the home of idealised turbulence."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swath.errors import ContractError


@dataclass(frozen=True)
class Box:
    """A rectangle whose opposite sides are glued together; it lies nowhere on Earth.

    Args:
        shape: numbers of rows and columns (H, W).
        length_m: side lengths (y, x) in metres (in units of length for dimensionless problems).

    Raises:
        ContractError: a number of cells or a length is not positive.
    """

    shape: tuple[int, int]
    length_m: tuple[float, float]

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(int(size) for size in self.shape))
        object.__setattr__(self, "length_m", tuple(float(length) for length in self.length_m))
        if len(self.shape) != 2 or min(self.shape) < 1:
            raise ContractError(
                f"The box has the shape {self.shape}",
                expected="(rows, columns), each at least 1",
                remedy="check the shape",
            )
        if len(self.length_m) != 2 or not all(math.isfinite(length) and length > 0 for length in self.length_m):
            raise ContractError(
                f"The box has the side lengths {self.length_m}",
                expected="two positive lengths (y, x)",
                remedy="give the length of the whole box, not of a cell",
            )

    @property
    def spacing_m(self) -> tuple[float, float]:
        """Cell size (y, x) in the unit of ``length_m``."""
        return self.length_m[0] / self.shape[0], self.length_m[1] / self.shape[1]

    def coordinates(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Positions (y, x) of the cells along each axis, from 0 up to one cell before the side length."""
        dy, dx = self.spacing_m
        rows, columns = (np.arange(size, dtype=np.float64) for size in self.shape)
        return rows * dy, columns * dx
