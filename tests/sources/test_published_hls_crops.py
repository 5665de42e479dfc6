"""The reader of the multi-temporal crops, and the order of its layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from swath.cubes.cube import DIMS
from swath.errors import ConfigError, InputError
from swath.sources.published import hls_crops
from swath.sources.published.hls_crops import Order, band_order
from swath.types import IGNORE

ORDERS: tuple[Order, ...] = ("frame_major", "band_major")


@pytest.mark.parametrize("order", ORDERS)
def test_either_order_is_told_from_the_numbers_and_gives_the_same_cube(order: Order, tmp_path: Path) -> None:
    root = hls_crops.write_fake(tmp_path / "crops", 2, order)
    reference = hls_crops.open(hls_crops.write_fake(tmp_path / "reference", 2))
    for chip, like in zip(hls_crops.open(root), reference, strict=True):
        cube = chip.cube()
        assert cube.attrs["axis_order"] == order
        assert cube["data"].dims == DIMS
        assert cube["data"].shape == (3, 6, 24, 24)
        np.testing.assert_array_equal(cube["data"].values, like.cube("frame_major")["data"].values)


def test_a_wrong_order_given_by_hand_mixes_frames_and_bands(tmp_path: Path) -> None:
    chip = hls_crops.open(hls_crops.write_fake(tmp_path, 0))[0]
    right, wrong = chip.cube("frame_major"), chip.cube("band_major")
    stored = right["data"].values.reshape(18, 24, 24)
    np.testing.assert_array_equal(wrong["data"].values[1, 2], stored[2 * 3 + 1])


def test_where_the_order_cannot_be_told_nothing_is_guessed() -> None:
    flat = np.full((18, 4, 4), 700)
    seen = np.ones_like(flat, bool)
    with pytest.raises(InputError, match="cannot be told"):
        band_order(flat, seen, "flat.tif")
    with pytest.raises(InputError, match="cannot be told"):
        band_order(flat, ~seen, "masked.tif")


def test_labels_count_from_nought_and_no_data_is_ignored(tmp_path: Path) -> None:
    root = hls_crops.write_fake(tmp_path, 0)
    chip = hls_crops.open(root)[0]
    labels = chip.labels().values
    assert set(np.unique(labels)) <= {IGNORE, *range(13)}
    assert (labels == IGNORE).any()
    assert hls_crops.LEGEND.names[0] == "natural vegetation"
    assert len(hls_crops.LEGEND) == 13


def test_lists_of_names_choose_the_chips(tmp_path: Path) -> None:
    root = hls_crops.write_fake(tmp_path, 0)
    (root / "training_data.txt").write_text("chip_100_102\n")
    assert [chip.id for chip in hls_crops.open(root)] == ["chip_100_102", "chip_200_007"]
    (root / "training_data.txt").unlink()
    assert len(hls_crops.open(root)) == 3


def test_dates_are_unknown_and_keep_their_order(tmp_path: Path) -> None:
    cube = hls_crops.open(hls_crops.write_fake(tmp_path, 0))[0].cube()
    assert cube.attrs["time_known"] == 0
    assert (np.diff(cube["time"].values) > np.timedelta64(0, "s")).all()


def test_an_unknown_order_is_refused(tmp_path: Path) -> None:
    chip = hls_crops.open(hls_crops.write_fake(tmp_path, 0))[0]
    with pytest.raises(ConfigError, match="frames"):
        chip.cube("frames first")  # type: ignore[arg-type]
