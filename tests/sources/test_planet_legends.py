"""Legends and the fixed table from IGBP to seven classes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from swath.sources.planet import COARSE_LAND_COVER, CONTINENTS, IGBP, KOPPEN, coarse_land_cover
from swath.types import IGNORE

# Machado, Oliveira and Fernandes (2009), complete deficiency, for linear red, green, blue.
BLINDNESS = {
    "none": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
}


def lab(rgb: tuple[int, int, int], matrix: np.ndarray) -> np.ndarray:
    value = np.array(rgb) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.asarray(matrix) @ linear, 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ seen
    scaled = xyz / [0.9505, 1.0, 1.089]
    root = np.where(scaled > 0.008856, np.cbrt(scaled), 7.787 * scaled + 16 / 116)
    return np.array([116 * root[1] - 16, 500 * (root[0] - root[1]), 200 * (root[1] - root[2])])


@pytest.mark.parametrize("kind", BLINDNESS)
def test_the_seven_colours_stay_apart(kind: str) -> None:
    for one, other in itertools.combinations(COARSE_LAND_COVER, 2):
        distance = np.linalg.norm(lab(one.rgb, BLINDNESS[kind]) - lab(other.rgb, BLINDNESS[kind]))
        assert distance > 12, f"{one.name} and {other.name} are {distance:.0f} apart"


def test_the_fixed_legend() -> None:
    wanted = {
        "forest": [1, 2, 3, 4, 5],
        "shrub": [6, 7],
        "savanna": [8, 9],
        "grass and wetland": [10, 11],
        "crop": [12, 14],
        "ice": [15],
        "barren": [16],
    }
    assert COARSE_LAND_COVER.names == tuple(wanted)
    for number, classes in enumerate(wanted.values()):
        assert coarse_land_cover(np.array(classes)).tolist() == [number] * len(classes)
    assert coarse_land_cover(np.array([0, 13])).tolist() == [IGNORE, IGNORE]


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64])
def test_numbers_outside_the_legend_are_ignored(dtype: type) -> None:
    values = np.array([17, 100, 255 if dtype is np.uint8 else -1], dtype)
    assert coarse_land_cover(values).tolist() == [IGNORE] * 3


def test_shape_and_type_are_kept() -> None:
    out = coarse_land_cover(np.ones((0, 3), np.uint8))
    assert out.shape == (0, 3)
    assert out.dtype == np.int16
    assert coarse_land_cover(np.array(16)).shape == ()


def test_sizes_of_the_other_legends() -> None:
    assert (len(IGBP), len(KOPPEN), len(CONTINENTS)) == (17, 6, 9)
    assert CONTINENTS.mapping()["Greenland"] == 8
