"""How much of the tiling can be seen: disagreement of tiles where they overlap, and steps across their borders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from swath.predict.blend import Floats, Mask

SAMPLE = 8  # every so many rows and columns of the scene are compared, fewer where overlaps are narrow


@dataclass(frozen=True)
class Seams:
    """The seam figure of a map.

    Args:
        disagreement: mean absolute difference between what a tile says and what the earlier tiles said together, over
            sampled pixels where both count, and over the layers (classes, quantities); None without overlap.
        class_changes: share of these pixels whose most probable class differs; None for quantities.
        step_ratio: mean absolute difference of neighbouring pixels across the line where one tile hands over to the
            next, divided by that across lines in the middle between them: 1 = the border cannot be seen. Lines between
            two strips are left out. None where no tile has a neighbour, or the map is flat.
        pixels: pixels that were compared.
    """

    disagreement: float | None
    class_changes: float | None
    step_ratio: float | None
    pixels: int


@dataclass
class SeamSums:
    """Sums from which ``Seams`` is computed; those of all strips are added up."""

    pixels: int = 0
    difference: float = 0.0
    changed: int = 0
    border: float = 0.0
    border_pairs: int = 0
    middle: float = 0.0
    middle_pairs: int = 0

    def tile(self, said: Floats, earlier: Floats, classes: bool) -> None:
        """Compare what a tile says with what the earlier ones said.

        Args:
            said: float32 (layer, pixel).
            earlier: float32 (layer, pixel).
            classes: whether the layers are classes.
        """
        self.pixels += said.shape[1]
        self.difference += float(np.abs(said - earlier).mean(axis=0, dtype=np.float64).sum())
        if classes:
            self.changed += int((said.argmax(axis=0) != earlier.argmax(axis=0)).sum())

    def steps(self, fields: Floats, valid: Mask, rows: Lines, columns: Lines) -> None:
        """Add the steps across some lines of a finished window.

        Args:
            fields: float32 (layer, y, x).
            valid: bool (y, x).
            rows: rows of the window at which a tile takes over, and rows in the middle between such rows.
            columns: the same along x.
        """
        for lines, numbers, known in ((rows, fields, valid), (columns, fields.swapaxes(1, 2), valid.T)):
            total, pairs = _steps(numbers, known, lines[0])
            self.border, self.border_pairs = self.border + total, self.border_pairs + pairs
            total, pairs = _steps(numbers, known, lines[1])
            self.middle, self.middle_pairs = self.middle + total, self.middle_pairs + pairs

    def add(self, other: Mapping[str, float]) -> None:
        """Add the sums of another strip."""
        for name, value in other.items():
            setattr(self, name, getattr(self, name) + value)

    def as_dict(self) -> dict[str, float]:
        """The sums for JSON."""
        return asdict(self)

    def result(self, classes: bool) -> Seams:
        """The figure of everything that was added."""
        pairs = self.border_pairs and self.middle_pairs and self.middle
        return Seams(
            disagreement=self.difference / self.pixels if self.pixels else None,
            class_changes=self.changed / self.pixels if self.pixels and classes else None,
            step_ratio=(self.border / self.border_pairs) / (self.middle / self.middle_pairs) if pairs else None,
            pixels=self.pixels,
        )


Lines = tuple[Sequence[int], Sequence[int]]


def sampling(overlap: int) -> int:
    """Pixels from one compared row or column to the next: at least four across the ramp of an overlap."""
    return max(1, min(SAMPLE, (overlap - 2 * (overlap // 4)) // 4))


def _steps(fields: Floats, valid: Mask, lines: Sequence[int]) -> tuple[float, int]:
    """Sum over pixels of the mean absolute step to the row above, for some rows, and the number of pixels."""
    total, pairs = 0.0, 0
    for line in lines:
        both = valid[line] & valid[line - 1]
        step = np.abs(fields[:, line] - fields[:, line - 1]).mean(axis=0, dtype=np.float64)
        total += float(step[both].sum())
        pairs += int(both.sum())
    return total, pairs
