"""The canvas: weighted sums, clipping, carrying."""

from __future__ import annotations

import numpy as np

from swath.predict.blend import Canvas

ONES = (np.ones(4, np.float32), np.ones(4, np.float32))


def everywhere(height: int, width: int) -> np.ndarray:
    return np.ones((height, width), dtype=bool)


def test_a_tile_is_clipped_at_every_side_and_carried_to_the_right() -> None:
    canvas = Canvas(1, 3, 2, 4)
    canvas.mark(everywhere(20, 20), (-5, -5))
    canvas.add(np.full((1, 4, 4), 2.0), ONES, (-3, -3), None)  # covers (0, 0) only
    canvas.add(np.full((1, 4, 4), 4.0), ONES, (1, 1), None)  # rows 1-2, columns 1-4
    fields, valid = canvas.take(3, 2)
    np.testing.assert_array_equal(valid, [[1, 0], [0, 1], [0, 1]])
    assert fields[0][valid].tolist() == [2, 4, 4]
    assert not canvas.empty
    fields, valid = canvas.take(3, 2)
    np.testing.assert_array_equal(valid, [[0, 0], [1, 1], [1, 1]])
    assert canvas.take(3, 2)[1][1:, 0].all()  # the last carried column
    assert canvas.empty
    assert not canvas.take(3, 2)[1].any()


def test_a_tile_outside_leaves_the_canvas_empty() -> None:
    canvas = Canvas(1, 3, 2, 4)
    for place in ((-4, 0), (0, -4), (3, 0), (0, 6)):
        canvas.add(np.ones((1, 4, 4), np.float32), ONES, place, None)
    assert canvas.empty


def test_weighted_mean_of_two_tiles() -> None:
    canvas = Canvas(1, 4, 4, 4)
    canvas.mark(everywhere(4, 4), (0, 0))
    canvas.add(np.full((1, 4, 4), 1.0), (np.ones(4, np.float32), np.full(4, 0.25, np.float32)), (0, 0), None)
    canvas.add(np.full((1, 4, 4), 5.0), (np.ones(4, np.float32), np.full(4, 0.75, np.float32)), (0, 0), None)
    fields, valid = canvas.take(4, 4)
    assert valid.all()
    assert (fields == 4.0).all()


def test_nan_where_the_model_says_invalid_does_not_spread() -> None:
    canvas = Canvas(1, 4, 4, 4)
    canvas.mark(everywhere(4, 4), (0, 0))
    values = np.ones((1, 4, 4), np.float32)
    values[0, 1, 1] = np.nan
    given = np.ones((4, 4), dtype=bool)
    given[1, 1] = False
    canvas.add(values, ONES, (0, 0), given)
    fields, valid = canvas.take(4, 4)
    assert (valid == given).all()
    assert np.isfinite(fields).all()


def test_unmarked_pixels_are_not_valid_and_clear_forgets() -> None:
    canvas = Canvas(1, 4, 4, 4)
    canvas.add(np.ones((1, 4, 4), np.float32), ONES, (0, 0), None)
    assert not canvas.take(4, 4)[1].any()
    canvas.mark(everywhere(4, 4), (0, 0))
    canvas.add(np.ones((1, 4, 4), np.float32), ONES, (0, 2), None)
    canvas.clear()
    assert canvas.empty
    assert not canvas.take(4, 4)[1].any()
