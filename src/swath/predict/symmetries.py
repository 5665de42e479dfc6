"""The eight ways to lay a square on itself (the dihedral group D4), for tensors and for grids alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from affine import Affine
from odc.geo.geobox import GeoBox
from torch import Tensor

from swath.errors import ConfigError, nearest


@dataclass(frozen=True)
class Symmetry:
    """Mirror the columns if wanted, then turn anticlockwise by quarters.

    Args:
        name: by which users ask for it.
        turns: quarter turns, 0 to 3.
        mirror: whether left and right change places first.
    """

    name: str
    turns: int
    mirror: bool

    def apply(self, values: Tensor) -> Tensor:
        """The transformed view of ``(..., y, x)``; axes of length 1, as of a mask that is broadcast, stay right."""
        mirrored = values.flip(-1) if self.mirror else values
        return torch.rot90(mirrored, self.turns, dims=(-2, -1))

    def undo(self, values: Tensor) -> Tensor:
        """``(..., y, x)`` of the view back in the order of the original; exact, because pixels only move."""
        turned = torch.rot90(values, -self.turns, dims=(-2, -1))
        return turned.flip(-1) if self.mirror else turned

    def grid(self, box: GeoBox) -> GeoBox:
        """The grid of the view: the same places on Earth, each in its new row and column."""
        height, width = int(box.shape.y), int(box.shape.x)
        affine = box.affine
        if self.mirror:
            affine = _after(affine, Affine(-1.0, 0.0, width, 0.0, 1.0, 0.0))
        for _ in range(self.turns):
            # Column c and row r of the turned view were column (width - r) and row c.
            affine = _after(affine, Affine(0.0, -1.0, width, 1.0, 0.0, 0.0))
            height, width = width, height
        return GeoBox((height, width), affine, box.crs)


def _after(outer: Affine, inner: Affine) -> Affine:
    """First ``inner``, then ``outer``; written out, because versions 2 and 3 of affine want different operators."""
    a, b, c, d, e, f = tuple(outer)[:6]
    g, h, i, j, k, m = tuple(inner)[:6]
    return Affine(a * g + b * j, a * h + b * k, a * i + b * m + c, d * g + e * j, d * h + e * k, d * i + e * m + f)


_ALL = tuple(
    Symmetry(name, turns, mirror)
    for name, turns, mirror in (
        ("identity", 0, False),
        ("rotate_90", 1, False),
        ("rotate_180", 2, False),
        ("rotate_270", 3, False),
        ("flip_x", 0, True),
        ("transpose", 1, True),
        ("flip_y", 2, True),
        ("anti_transpose", 3, True),
    )
)
SYMMETRIES: dict[str, Symmetry] = {each.name: each for each in _ALL}
"""By name. ``flip_x`` exchanges left and right, ``flip_y`` top and bottom, ``transpose`` rows and columns."""

GROUPS: dict[str, tuple[str, ...]] = {
    "identity": ("identity",),
    "flips": ("identity", "flip_x", "flip_y", "rotate_180"),
    "rotations": ("identity", "rotate_90", "rotate_180", "rotate_270"),
    "d4": tuple(SYMMETRIES),
}
"""Named subsets, each closed: a view of a view is in it again, so the average over it is invariant under it."""


def symmetries(wanted: str | Sequence[str]) -> tuple[Symmetry, ...]:
    """The symmetries of a named group, or those named one by one.

    Raises:
        ConfigError: nothing is named, a name is unknown or comes twice.
    """
    names = GROUPS.get(wanted, (wanted,)) if isinstance(wanted, str) else tuple(wanted)
    known = [*GROUPS, *(name for name in SYMMETRIES if name not in GROUPS)]
    for name in names:
        if name not in SYMMETRIES:
            raise ConfigError(
                f"There is no transform '{name}'",
                expected=f"one of the groups {', '.join(GROUPS)}, or a list of {', '.join(SYMMETRIES)}",
                remedy=f"the nearest names are: {nearest(name, known)}",
            )
    if not names or len(set(names)) < len(names):
        raise ConfigError(
            f"The transforms are {', '.join(names) or 'none'}",
            expected="at least one, each once",
            remedy="use 'd4' for all eight",
        )
    return tuple(SYMMETRIES[name] for name in names)
