"""Statistics: exact, whatever the order, and blind to what lies under the mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from chip_scenes import LEGEND, label_map, scene
from hypothesis import given, settings
from hypothesis import strategies as st

from swath import chips
from swath.chips import ChipSet, Statistics, statistics
from swath.chips.statistics import Moments
from swath.errors import InputError
from swath.types import Split


def split_of(made: ChipSet, train: int) -> Split:
    kinds = ["train"] * train + ["test"] * (len(made) - train)
    return Split(pd.DataFrame({"id": made.ids, "split": kinds, "group": made.ids, "fold": 0}))


def make(out: Path, valid: np.ndarray | None = None, change: float = 0.0) -> ChipSet:
    cube = scene((32, 48), dates=2, valid=valid)
    if valid is not None and change:
        layers = np.broadcast_to(valid if valid.ndim == 4 else valid[:, None], cube["data"].shape)
        cube["data"].values[~layers] += int(change)
    return chips.cut(cube, label_map((32, 48)), out, size=16, legend=LEGEND)


def test_statistics_are_those_of_the_valid_pixels_of_the_split(tmp_path: Path) -> None:
    valid = np.random.default_rng(0).random((2, 4, 32, 48)) < 0.7
    made = make(tmp_path / "a", valid)
    found = statistics(made, split_of(made, 4))
    values, mask, labels = made.load(made.ids[:4])
    for band in range(4):
        numbers = values[:, :, band][mask[:, :, band]].astype(np.float64)
        assert found.count[band] == numbers.size
        assert found.mean[band] == pytest.approx(numbers.mean(), rel=1e-12)
        assert found.std[band] == pytest.approx(numbers.std(), rel=1e-12)
        assert (found.minimum[band], found.maximum[band]) == (numbers.min(), numbers.max())
        for level, row in found.percentiles.items():
            exact = np.percentile(numbers, float(level), method="inverted_cdf")
            assert row[band] == pytest.approx(exact, abs=(numbers.max() - numbers.min()) / 4096)
    assert found.class_counts == {name: int((labels == k).sum()) for k, name in enumerate(made.classes)}
    assert (found.source, found.split, found.chips) == (made.fingerprint, "train", 4)
    assert found.split_hash == split_of(made, 4).hash
    assert found.bands == ("red", "green", "blue", "latitude")


def test_numbers_under_the_mask_change_nothing(tmp_path: Path) -> None:
    valid = np.random.default_rng(0).random((2, 32, 48)) < 0.7
    plain, changed = make(tmp_path / "a", valid), make(tmp_path / "b", valid, change=9000)
    assert statistics(plain, split_of(plain, 4)) == statistics(changed, split_of(changed, 4))


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 1000), parts=st.integers(1, 6), offset=st.sampled_from([0.0, 1e4, -1e6]))
def test_merging_in_any_order_gives_the_same_moments(seed: int, parts: int, offset: float) -> None:
    draw = np.random.default_rng(seed)
    values = draw.normal(offset, 1.0, (parts, 2, 3, 4, 4))
    valid = draw.random(values.shape) < draw.random((parts, 1, 1, 1, 1))
    each = []
    for part in range(parts):
        moments = Moments(3)
        moments.update(values[part : part + 1], valid[part : part + 1])
        each.append(moments)
    whole = Moments(3)
    whole.update(values, valid)
    for order in (range(parts), reversed(range(parts)), draw.permutation(parts)):
        merged = Moments(3)
        for part in order:
            merged.merge(each[part])
        assert np.array_equal(merged.count, whole.count)
        assert np.allclose(merged.mean, whole.mean, rtol=1e-14, atol=1e-12)
        assert np.allclose(merged.std, whole.std, rtol=1e-9, atol=1e-12)
        assert np.array_equal(merged.minimum, whole.minimum)
        assert np.array_equal(merged.maximum, whole.maximum)


def test_moments_of_nothing_are_empty() -> None:
    moments = Moments(2)
    moments.update(np.zeros((1, 1, 2, 3, 3)), np.zeros((1, 1, 2, 3, 3), bool))
    assert moments.count.tolist() == [0, 0] and moments.std.tolist() == [0.0, 0.0]
    assert moments.minimum.tolist() == [np.inf, np.inf]


def test_statistics_come_back_from_json_digit_by_digit(tmp_path: Path) -> None:
    made = make(tmp_path / "a")
    found = statistics(made, split_of(made, 3))
    assert Statistics.from_json(found.to_json()) == found
    found.save(tmp_path / "statistics.json")
    assert Statistics.load(tmp_path / "statistics.json") == found
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["statistics.json"]


def test_damaged_statistics_are_refused(tmp_path: Path) -> None:
    for text in ("{", "[]", '{"bands": []}'):
        with pytest.raises(InputError, match="statistics"):
            Statistics.from_json(text)
    with pytest.raises(InputError, match="no file"):
        Statistics.load(tmp_path / "statistics.json")


def test_constant_bands_and_missing_classes_are_told(tmp_path: Path) -> None:
    cube = scene((16, 16), dtype="float32")
    cube["data"].values[:, 3] = 45.0
    made = chips.cut(cube, np.ones((16, 16), np.int16), tmp_path / "a", size=16, legend=LEGEND)
    found = statistics(made, split_of(made, 1))
    band, missing, single = found.problems()
    assert "latitude hardly varies" in band
    assert missing == "the train split has no pixel of water, crop"
    assert "one class only" in single
    assert found.percentiles["50"][3] == 45.0


def test_good_statistics_have_no_problems(tmp_path: Path) -> None:
    made = make(tmp_path / "a")
    assert statistics(made, split_of(made, 6)).problems() == []


def test_an_empty_split_and_an_empty_band_are_refused(tmp_path: Path) -> None:
    made = make(tmp_path / "a")
    with pytest.raises(InputError, match="'validation' has no chips"):
        statistics(made, split_of(made, 3), name="validation")
    valid = np.ones((2, 4, 32, 48), bool)
    valid[:, 2] = False
    made = make(tmp_path / "b", valid)
    with pytest.raises(InputError, match="bands blue have no valid pixel in the train split"):
        statistics(made, split_of(made, 3))
