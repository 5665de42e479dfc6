"""The measure of alignment, on masks whose shift is known."""

from __future__ import annotations

import numpy as np
import pytest

from swath.sources.planet.agreement import agreement_table, shifted_agreement, summary


@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (1, 0), (0, -2), (-2, 1), (2, 2)])
def test_a_known_shift_is_found(dx: int, dy: int) -> None:
    one = np.random.default_rng(0).random((40, 60)) < 0.5
    other = np.roll(one, (dy, dx), axis=(0, 1))  # other[y + dy, x + dx] == one[y, x]
    table = shifted_agreement(one, other)
    assert len(table) == 25
    best = table.loc[table["agreement"].idxmax()]
    assert (best["dx"], best["dy"], best["agreement"]) == (dx, dy, 1.0)
    assert np.sort(table["agreement"])[-2] < 0.7


def test_columns_wrap_around_and_rows_do_not() -> None:
    one = np.zeros((5, 4), bool)
    one[2, 3] = True
    other = np.zeros((5, 4), bool)
    other[2, 0] = True
    table = shifted_agreement(one, other).set_index(["dx", "dy"])["agreement"]
    assert table[1, 0] == 1.0
    assert table[0, 0] == 0.5  # one row of four cells is judged, two of them differ


def test_the_summary_names_the_best_shift() -> None:
    rng = np.random.default_rng(1)
    cover = rng.integers(0, 2, (30, 40)).astype(np.uint8)
    moved = np.roll(cover, 1, axis=1)
    water = np.array([[6], [14], [37]])[..., None] * np.ones((1, 30, 40), int)
    land = np.array([[120], [110], [60]])[..., None] * np.ones((1, 30, 40), int)
    layers = {
        "land_cover": cover,
        "land": cover,
        "koppen": moved,
        "elevation": np.where(cover == 0, 0, 55).astype(np.int16),
        "true_colour": np.where(cover == 0, water, land).astype(np.uint8),
    }
    found = summary(agreement_table(layers))
    assert set(found) == {"land", "koppen", "elevation", "true_colour"}
    for name in ("land", "elevation", "true_colour"):
        assert found[name] == {"at_zero": 1.0, "best": 1.0, "best_shift": [0, 0]}
    assert found["koppen"]["best_shift"] == [-1, 0]
