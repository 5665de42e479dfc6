"""Boxes in longitude and latitude, cut into whole chips without labels, for a model to predict on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from swath.chips.archive.lattice import Lattice
from swath.errors import InputError
from swath.reading import read_json

MOST = 10_000
"""Most chips of one box, unless told otherwise."""

Box = tuple[float, float, float, float]


def read_boxes(path: Path | str) -> list[Box]:
    """Boxes of a JSON file: a list of [west, south, east, north] in degrees, or one such box.

    Raises:
        InputError: it is no such file, or a box is no place on Earth.
    """
    found = read_json(Path(path), expected="a list of boxes [west, south, east, north]", remedy="correct the file")
    if isinstance(found, list) and len(found) == 4 and all(isinstance(value, int | float) for value in found):
        found = [found]
    if not isinstance(found, list) or not found:
        raise InputError(f"{path} holds no boxes", expected="[[west, south, east, north], ...]", remedy="correct it")
    return [check_box(box, f"{path}, box {number}") for number, box in enumerate(found)]


def check_box(box: Any, where: str) -> Box:
    """A box on Earth with a positive extent.

    Raises:
        InputError: it is none.
    """
    numbers = list(box) if isinstance(box, Sequence) and not isinstance(box, str) else []
    plain = len(numbers) == 4 and all(isinstance(value, int | float) and math.isfinite(value) for value in numbers)
    if plain:
        west, south, east, north = (float(value) for value in numbers)
        if -180 <= west < east <= 180 and -90 <= south < north <= 90:
            return west, south, east, north
    raise InputError(
        f"The box {str(box)[:80]} ({where}) is no place on Earth",
        expected="west, south, east, north in degrees; -180 <= west < east <= 180, -90 <= south < north <= 90",
        remedy="check the order; cut a box across the antimeridian in two",
    )


def grid_of(box: Box, lattice: Lattice, size: int, most: int = MOST) -> list[tuple[int, int]]:
    """First row and column of the whole chips that cover a box, from its upper left corner on.

    Raises:
        InputError: there would be more than ``most``.
    """
    west, south, east, north = box
    along = np.linspace(0.0, 1.0, 33)
    lon = west + (east - west) * np.concatenate([along, along, np.zeros(33), np.ones(33)])
    lat = south + (north - south) * np.concatenate([np.zeros(33), np.ones(33), along, along])
    rows, columns = lattice.pixels(lon, lat)
    if not (np.isfinite(rows).all() and np.isfinite(columns).all()):
        raise InputError(
            f"The box {box} lies outside of {lattice.crs}",
            expected="a place where the CRS holds",
            remedy="choose another CRS (--crs, --resolution)",
        )
    top, left = math.floor(rows.min() + 1e-6), math.floor(columns.min() + 1e-6)
    down = max(1, math.ceil((rows.max() - top - 1e-6) / size))
    right = max(1, math.ceil((columns.max() - left - 1e-6) / size))
    if down * right > most:
        raise InputError(
            f"The box {box} takes {down} x {right} chips of {size} pixels",
            expected=f"at most {most} chips",
            remedy="take a smaller box, larger pixels or chips, or raise the limit (most=, --most)",
        )
    return [(top + i * size, left + j * size) for i in range(down) for j in range(right)]
