"""The models of the simulated floods on a real one: the hand-labelled radar chip of Sen1Floods11."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from swath import chips
from swath.sources.published import sen1floods11
from swath.sources.published.common import one_cube
from swath.systems.eo._instageo_models import mean_iou
from swath.types import Predictor, ResultRow

FOLDER = "sen1floods11_sample"
SIDE = 64
"""Pixels of a chip."""


def folder_of(root: Path | None) -> Path | None:
    """Where the real flood lies, or None."""
    given = root or (Path(os.environ["SWATH_DATA"]) if os.environ.get("SWATH_DATA") else None)
    return given / FOLDER if given is not None and (given / FOLDER).is_dir() else None


def rows(people: Mapping[str, Predictor], place: Path, out: Path, base: ResultRow) -> list[ResultRow]:
    """``real_miou`` of everybody on the real chip.

    Args:
        people: who is judged.
        place: folder of the data set.
        out: folder of the seed.
        base: what all rows share.
    """
    folder = out / "real_chips"
    if not folder.is_dir():
        chip = sen1floods11.open(place)[0]
        cube = one_cube(chip.radar())  # decibels already
        chips.cut(cube, chip.labels(), folder, size=SIDE, legend=sen1floods11.LEGEND)
    chipset = chips.open(folder)
    base = replace(base, split="all", n_test=len(chipset))
    return [
        replace(base, backbone=name, metric="real_miou", value=mean_iou(each, chipset, chipset.ids))
        for name, each in people.items()
    ]
