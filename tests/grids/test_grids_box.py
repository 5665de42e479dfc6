from __future__ import annotations

import numpy as np
import pytest

from swath import grids
from swath.errors import ContractError
from swath.grids import Box


def test_a_box_answers_what_it_can() -> None:
    box = Box((4, 8), (2.0, 2.0))
    assert grids.shape(box) == (4, 8)
    assert not grids.has_faces(box)
    assert not grids.is_global(box)
    assert grids.gsd_m(box) == 0.5
    assert grids.cell_area_m2(box).sum() == 4.0
    assert grids.describe(box) == "4 x 8 periodic box of 2 x 2 m"
    y, x = box.coordinates()
    assert y.tolist() == [0.0, 0.5, 1.0, 1.5]
    assert x[-1] + box.spacing_m[1] == 2.0


def test_one_cell_and_numpy_numbers() -> None:
    box = Box((np.int64(1), np.int64(1)), (np.float32(3.0), 1))
    assert box == Box((1, 1), (3.0, 1.0))
    assert hash(box) == hash(Box((1, 1), (3.0, 1.0)))
    assert [axis.tolist() for axis in box.coordinates()] == [[0.0], [0.0]]


def test_a_box_lies_nowhere_on_earth() -> None:
    with pytest.raises(ContractError, match="no longitude and latitude"):
        grids.lonlat(Box((2, 2), (1.0, 1.0)))


@pytest.mark.parametrize(
    ("shape", "length", "words"),
    [
        ((0, 2), (1.0, 1.0), r"shape \(0, 2\)"),
        ((2,), (1.0, 1.0), r"shape \(2,\)"),
        ((2, 2), (1.0, 0.0), "side lengths"),
        ((2, 2), (1.0, float("inf")), "side lengths"),
        ((2, 2), (float("nan"), 1.0), "side lengths"),
        ((2, 2), (1.0,), "side lengths"),
    ],
)
def test_impossible_boxes_are_refused(shape: tuple[int, int], length: tuple[float, float], words: str) -> None:
    with pytest.raises(ContractError, match=words):
        Box(shape, length)


@pytest.mark.parametrize(
    "question",
    [grids.shape, grids.has_faces, grids.lonlat, grids.gsd_m, grids.cell_area_m2, grids.is_global, grids.describe],
)
def test_something_else_than_a_grid_gets_a_sentence(question: object) -> None:
    with pytest.raises(ContractError, match="a str was given"):
        question("EPSG:4326")  # type: ignore[operator]
