"""What a contender of real10 gets to see: inputs in physical units and, for training, targets.

One shape serves pixels, series, scenes and maps: inputs are ``(N, T, C, H, W)``, targets ``(N, h, w)``, where (h, w) is
(H, W) when every pixel has its answer and (1, 1) when the sample as a whole has one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.errors import ContractError
from swath.sensors import BandSet
from swath.types import IGNORE

NO_MONTH = -1
"""Month of an image without a date."""


@dataclass(frozen=True, eq=False)
class Inputs:
    """Everything about N samples but the answers.

    Args:
        values: float32 ``(N, T, C, H, W)`` in the physical units of the bands; finite, 0 where invalid.
        valid: bool, shape of ``values``.
        bands: C bands, to be matched by name or wavelength.
        month: int64 ``(N, T)``, 0 is January, ``NO_MONTH`` unknown.
        lonlat: float64 ``(N, 2)`` in degrees, NaN unknown.
        dense: whether an answer is asked for every pixel, ``(H, W)``, or one for the sample, ``(1, 1)``.
    """

    values: NDArray[np.float32]
    valid: NDArray[np.bool_]
    bands: BandSet
    month: NDArray[np.int64]
    lonlat: NDArray[np.float64]
    dense: bool

    def __len__(self) -> int:
        return len(self.values)

    @property
    def answer_shape(self) -> tuple[int, int, int]:
        """(N, h, w) of what is to be predicted."""
        height, width = self.values.shape[3:]
        return (len(self), height, width) if self.dense else (len(self), 1, 1)

    def take(self, places: NDArray[np.int64]) -> Inputs:
        """The samples at ``places``, in that order."""
        return Inputs(
            self.values[places], self.valid[places], self.bands, self.month[places], self.lonlat[places], self.dense
        )

    def check(self) -> None:
        """Raise a plain sentence if the contract is broken.

        Raises:
            ContractError: a shape or type differs, or a value is NaN or infinite.
        """
        values = self.values
        if values.ndim != 5 or values.shape[2] != len(self.bands) or values.dtype != np.float32:
            raise ContractError(
                f"The inputs have shape {values.shape}, type {values.dtype} and {len(self.bands)} bands",
                expected="float32 (sample, time, band, y, x)",
                remedy="keep axes of length 1; a pixel is H = W = 1",
            )
        shapes = {"valid": values.shape, "month": values.shape[:2], "lonlat": (len(values), 2)}
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise ContractError(
                    f"'{name}' has shape {getattr(self, name).shape}",
                    expected=str(shape),
                    remedy="cut it with the values",
                )
        if not np.isfinite(values).all():
            raise ContractError(
                f"{int((~np.isfinite(values)).sum())} inputs are NaN or infinite",
                expected="finite numbers, 0 where 'valid' is False",
                remedy="fill them and mark them in 'valid'",
            )


@dataclass(frozen=True, eq=False)
class Target:
    """The answers of N samples: classes or quantities.

    Args:
        values: classes int64 ``(N, h, w)``, ``IGNORE`` where unknown, or quantities float64 ``(N, K, h, w)``, NaN where
            unknown.
        names: K class names, or K names of quantities.
        unit: unit of the quantities.
    """

    values: NDArray[Any]
    names: tuple[str, ...]
    unit: str = "1"

    @property
    def classes(self) -> bool:
        """Whether the answers are classes; else they are quantities."""
        return self.values.ndim == 3

    @property
    def known(self) -> NDArray[np.bool_]:
        """Bool ``(N, h, w)``: where there is an answer."""
        return self.values != IGNORE if self.classes else np.isfinite(self.values).all(axis=1)

    def take(self, places: NDArray[np.int64]) -> Target:
        """The answers of the samples at ``places``."""
        return Target(self.values[places], self.names, self.unit)


@dataclass(frozen=True, eq=False)
class Samples:
    """All samples of one task, and which of them belong together.

    Args:
        inputs: what is seen.
        target: what is asked.
        ids: N names.
        groups: N names of what must not be in training and test at once: site, block, polygons, continent.
        strata: bool ``(N, S)``: kinds of which few-label training draws the same number each; classes, or fifths of a
            quantity.
        place: int64 ``(N, 2)``, row and column of tiles of one scene, whose neighbours touch; None where nothing does.
        test: bool ``(N,)``, the part that is scored where authors or a region fix it; None where it is drawn.
    """

    inputs: Inputs
    target: Target
    ids: tuple[str, ...]
    groups: tuple[str, ...]
    strata: NDArray[np.bool_]
    place: NDArray[np.int64] | None = None
    test: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def check(self) -> None:
        """Raise a plain sentence if inputs, answers and names do not belong together.

        Raises:
            ContractError: as ``Inputs.check``; a class number outside the names; lengths or shapes differ.
        """
        self.inputs.check()
        target, wanted = self.target, self.inputs.answer_shape
        shape = wanted if target.classes else (wanted[0], len(target.names), *wanted[1:])
        if target.values.shape != shape:
            raise ContractError(
                f"The answers have shape {target.values.shape}", expected=str(shape), remedy="cut them with the inputs"
            )
        if target.classes and target.known.any():
            used = target.values[target.known]
            if used.min() < 0 or used.max() >= len(target.names):
                raise ContractError(
                    f"The classes run from {used.min()} to {used.max()}",
                    expected=f"0 to {len(target.names) - 1}, or {IGNORE}",
                    remedy="map them in the reader",
                )
        lengths = {"ids": len(self.ids), "groups": len(self.groups), "strata": len(self.strata)}
        if set(lengths.values()) != {len(self.inputs)} or len(set(self.ids)) != len(self.ids):
            raise ContractError(
                f"There are {len(self.inputs)} inputs and {lengths}, {len(set(self.ids))} different ids",
                expected="one different id, one group and one row of strata for each sample",
                remedy="build them together",
            )


def class_strata(target: Target, share: float = 0.05) -> NDArray[np.bool_]:
    """Bool ``(N, K)``: the classes that fill at least ``share`` of a sample's known answers."""
    values = target.values.reshape(len(target.values), -1)
    known = np.maximum((values != IGNORE).sum(axis=1), 1)
    counts = np.stack([(values == number).sum(axis=1) for number in range(len(target.names))], axis=1)
    return np.asarray((counts > 0) & (counts >= share * known[:, None]))


def fifths(quantity: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Bool ``(N, 5)``: the fifth of the sorted quantities ``(N,)`` that each lies in."""
    order = np.argsort(np.argsort(quantity, kind="stable"), kind="stable")
    return np.asarray((order * 5 // max(len(quantity), 1))[:, None] == np.arange(5))


def tiles(array: NDArray[Any], side: int) -> NDArray[Any]:
    """Tiles ``(rows * columns, ..., side, side)`` of ``(..., y, x)``, row by row; a rest at the edge is left out."""
    rows, columns = array.shape[-2] // side, array.shape[-1] // side
    cut = array[..., : rows * side, : columns * side]
    apart = cut.reshape(*array.shape[:-2], rows, side, columns, side)
    return np.ascontiguousarray(
        np.moveaxis(apart, (-4, -2), (0, 1)).reshape(rows * columns, *array.shape[:-2], side, side)
    )


def tile_places(height: int, width: int, side: int) -> NDArray[np.int64]:
    """Row and column ``(rows * columns, 2)`` of each tile of ``tiles``."""
    rows, columns = np.divmod(np.arange((height // side) * (width // side)), width // side)
    return np.stack([rows, columns], axis=1).astype(np.int64)
