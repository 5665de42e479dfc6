"""What a sweep of ``swath evaluate`` leaves behind for people: one page with grids, curves and examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from swath.chips import ChipSet
    from swath.judge.corruptions import Example
    from swath.types import Predictor, ResultRow

_LOOKED_AT = 32
"""Chips among which the example is chosen."""


@dataclass(frozen=True)
class Swept:
    """What was typed.

    Args:
        model: folder of the trained model.
        chips: folder of the chip set.
        split: which split was scored.
        corruptions: as typed.
        severities: as typed.
        seed: seed of the corruptions.
        metric: the metric that the page shows first.
    """

    model: Path
    chips: Path
    split: str
    corruptions: str
    severities: str
    seed: int
    metric: str

    @property
    def command(self) -> str:
        """The command that repeats the sweep."""
        return (
            f"swath evaluate {self.model} {self.chips} --split {self.split} --corruptions {self.corruptions} "
            f"--severities {self.severities} --seed {self.seed} --metric {self.metric}"
        )


def need_corruptions(html: Path, corruptions: str | None) -> None:
    """Refuse a page of corruptions without corruptions.

    Raises:
        ConfigError: none were named.
    """
    from swath.errors import ConfigError

    if corruptions is None:
        raise ConfigError(
            f"--html {html} without --corruptions",
            expected="a sweep to show",
            remedy="add --corruptions all",
        )


def page_beside(html: Path | None, out: Path | None) -> Path | None:
    """Where the page goes: where it was asked for, else beside the table, else nowhere."""
    return html if html is not None else None if out is None else out.with_suffix(".html")


def write_page(path: Path, rows: Sequence[ResultRow], swept: Swept) -> Path:
    """Write the page of a sweep, with the most varied of the first chips as the example.

    Raises:
        InputError: the rows are no sweep, or the chips cannot be read.
    """
    from swath import chips, types, verbs
    from swath.judge import corruptions as room

    chipset, predictor = chips.open(swept.chips), verbs.load(swept.model)
    ids = types.Split.load(chipset.folder / "split.parquet").ids(swept.split)
    example = _example(chipset, ids, predictor, swept.seed)
    return room.write_sweep_page(path, rows, swept.metric, command=swept.command, example=example)


def _example(chipset: ChipSet, ids: Sequence[str], predictor: Predictor, seed: int) -> Example:
    """The chip with the most classes, of those the one with the most labelled pixels."""
    from swath.judge.corruptions import Example, Sweep

    looked_at = list(ids[:_LOOKED_AT])
    batch = chipset.batch(looked_at)
    labels, valid = batch.targets["label"], batch.target_valid["label"]

    def variety(place: int) -> tuple[int, int]:
        known = labels[place][valid[place].expand_as(labels[place])]
        return int(known.unique().numel()), int(known.numel())

    best = max(range(len(looked_at)), key=variety)
    colours = tuple(getattr(predictor, "colours", ()))
    return Example(predictor, chipset.batch([looked_at[best]]), seed, Sweep(), colours)
