"""Which windows are worth keeping, and why the others were not kept."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from swath.chips.rows import Unreadable
from swath.errors import ConfigError, InputError
from swath.failures import Failure, Failures


@dataclass(frozen=True)
class DropRules:
    """Which windows are not worth keeping.

    Args:
        min_valid: least share of valid numbers (over time, band, y and x), 0 to 1.
        min_labelled: least share of pixels with a label and a valid number, 0 to 1.
        min_date_valid: least share of valid numbers of a date in a chip, 0 to 1; dates below it are left out of that
            chip, which then has dates of its own. Every chip keeps its best date.

    Raises:
        ConfigError: a share is outside 0 to 1.
    """

    min_valid: float = 0.5
    min_labelled: float = 0.01
    min_date_valid: float = 0.0

    def __post_init__(self) -> None:
        for name in ("min_valid", "min_labelled", "min_date_valid"):
            share = getattr(self, name)
            if not 0.0 <= share <= 1.0:
                raise ConfigError(f"{name} = {share}", expected="a share from 0 to 1", remedy=f"change {name}")


@dataclass
class Tally:
    """How many windows each rule dropped, and how many pixels could be used at all."""

    windows: int = 0
    invalid: int = 0
    unlabelled: int = 0
    valid_pixels: int = 0
    dates: int = 0
    known: NDArray[np.int64] | int = 0
    unknown: NDArray[np.int64] | int = 0
    unreadable: list[Unreadable] = field(default_factory=list)
    failures: Failures = field(default_factory=Failures)

    def keep(
        self, valid_share: NDArray[np.float64], labelled_share: NDArray[np.float64], drop: DropRules
    ) -> NDArray[np.bool_]:
        """Which windows to keep; counts the others."""
        enough_valid = valid_share >= drop.min_valid
        kept = enough_valid & (labelled_share >= drop.min_labelled)
        self.windows += len(kept)
        self.invalid += int((~enough_valid).sum())
        self.unlabelled += int((enough_valid & ~kept).sum())
        return kept

    def add(self, other: Tally) -> None:
        """Add what was counted in other windows."""
        for name in ("windows", "invalid", "unlabelled", "valid_pixels", "dates", "known", "unknown"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.unreadable += other.unreadable
        self.failures.rows += other.failures.rows

    def lose(self, windows: NDArray[np.int64], size: int, source: str, why: Failure) -> None:
        """Note windows ``(N, 2)`` that could not be cut at all."""
        self.windows += len(windows)
        for row, column in windows.tolist():
            item = f"chip of rows {row} to {row + size - 1}, columns {column} to {column + size - 1} of {source}"
            self.failures.add(replace(why, item=item))

    def left_out(self) -> dict[str, int]:
        """What was left out or is masked, for the description of the chips: only what is not 0."""
        counts = {"windows that cannot be read": len(self.failures), "windows with too little valid": self.invalid}
        counts |= {"windows with too little labelled": self.unlabelled, "dates of chips": self.dates}
        counts["unknown quantities of pixels"] = int(np.sum(self.unknown))
        return {what: count for what, count in counts.items() if count}

    def readable(self, row: int, columns: NDArray[np.int64], size: int, source: str) -> NDArray[np.bool_]:
        """Which windows of one row touch no unreadable block; the others are failures."""
        touching = np.zeros(len(columns), bool)
        for block in self.unreadable:
            if block.rows[0] >= row + size or block.rows[1] <= row:
                continue
            touched = (columns + size > block.columns[0]) & (columns < block.columns[1]) & ~touching
            for column in columns[touched].tolist():
                item = f"chip of rows {row} to {row + size - 1}, columns {column} to {column + size - 1} of {source}"
                remedy = "fetch the scene again and cut it again; the chips of the other windows are complete"
                self.failures.add(Failure.of(item, "read", block.error, remedy))
            touching |= touched
        return ~touching

    def nothing_kept(self, source: str, drop: DropRules) -> InputError:
        """The sentence for a cutting without chips."""
        if self.unreadable and len(self.failures) == self.windows:
            return InputError(
                f"Every window of '{source}' touches a block that cannot be read: {self.failures.rows[0].reason}",
                expected="a scene of which some blocks can be read",
                remedy="fetch the scene again",
            )
        if self.valid_pixels == 0:
            return InputError(
                f"The scene '{source}' has no valid pixel in any of the {self.windows} windows",
                expected="a scene that is not masked everywhere",
                remedy="check the no-data value and the mask (cube['valid'])",
            )
        return InputError(
            f"None of the {self.windows} windows of '{source}' was kept: {self.invalid} have less than "
            f"{drop.min_valid:g} valid, {self.unlabelled} of the rest less than {drop.min_labelled:g} labelled",
            expected="at least one chip",
            remedy="weaken min_valid or min_labelled, or check that labels lie where the scene is valid",
        )
