from __future__ import annotations

import numpy as np
import pytest
import torch

from swath.errors import InputError
from swath.metrics import ConfusionMatrix, confusion_per_unit, counting
from swath.types import IGNORE


def names(size: int) -> list[str]:
    return [str(number) for number in range(size)]


def plain(truth: np.ndarray, prediction: np.ndarray, keep: np.ndarray, size: int) -> np.ndarray:
    """The same counts without any of the tricks."""
    counts = np.zeros((size, size), np.int64)
    np.add.at(counts, (truth[keep].astype(np.int64), prediction[keep].astype(np.int64)), 1)
    return counts


DTYPES = (np.uint8, np.int8, np.int16, np.uint16, np.int32, np.int64)
FITTING = [(size, d) for size in (1, 2, 15, 16, 255, 256, 300) for d in DTYPES if size - 1 <= np.iinfo(d).max]


@pytest.mark.parametrize(("size", "dtype"), FITTING)
@pytest.mark.parametrize("count", [1, 2, counting.PAIRS_PAY - 1, counting.PAIRS_PAY + 1])
def test_every_way_of_counting_gives_the_same_counts(size: int, dtype: type, count: int) -> None:
    stream = np.random.default_rng(size)
    truth, prediction = stream.integers(0, size, (2, count)).astype(dtype)
    valid = stream.random(count) < 0.8
    for threads in (1, 3):
        matrix = ConfusionMatrix(names(size))
        matrix.update(truth, prediction, None, threads)
        assert (matrix.counts == plain(truth, prediction, np.ones(count, bool), size)).all()
        masked = ConfusionMatrix(names(size))
        junk = np.where(valid, truth, np.iinfo(dtype).max).astype(dtype)
        masked.update(junk, np.where(valid, prediction, np.iinfo(dtype).max).astype(dtype), valid, threads)
        assert (masked.counts == plain(truth, prediction, valid, size)).all()
    if np.dtype(dtype).kind == "i":
        ignored = ConfusionMatrix(names(size))
        ignored.update(np.where(valid, truth, IGNORE).astype(dtype), prediction)
        assert (ignored.counts == plain(truth, prediction, valid, size)).all()


def test_several_blocks_and_a_view_that_is_not_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "BLOCK", 1 << 10)
    monkeypatch.setattr(counting, "PAIRS_PAY", 1 << 8)
    monkeypatch.setattr(counting, "SPLIT", 1 << 12)
    stream = np.random.default_rng(0)
    truth, prediction = stream.integers(0, 7, (2, 101, 333), dtype=np.uint8)
    valid = stream.random((101, 1)) < 0.7
    matrix = ConfusionMatrix(names(7))
    matrix.update(truth.T, prediction.T, valid.T)
    assert (matrix.counts == plain(truth, prediction, np.broadcast_to(valid, truth.shape), 7)).all()


def test_a_bad_label_leaves_the_counts_as_they_were_whichever_thread_finds_it() -> None:
    truth = np.zeros(1 << 16, np.uint8)
    prediction = truth.copy()
    prediction[-1] = 9
    matrix = ConfusionMatrix(names(3))
    for threads in (1, 4):
        with pytest.raises(InputError, match=r"'prediction' holds .* 9 \(1 times\)"):
            matrix.update(truth, prediction, None, threads)
    with pytest.raises(InputError, match=r"'truth' holds .* -1 \(1 times\)"):
        matrix.update(-prediction.astype(np.int8) // 9, truth)
    assert matrix.total == 0


@pytest.mark.parametrize("side", [1, 63, 64, 65])  # one index for all units, or unit by unit
def test_units_do_not_depend_on_their_size(side: int) -> None:
    stream = np.random.default_rng(side)
    truth, prediction = stream.integers(0, 4, (2, 3, side, side))
    truth[stream.random(truth.shape) < 0.1] = IGNORE
    valid = stream.random((3, 1, side)) < 0.8
    counts = confusion_per_unit(torch.from_numpy(truth), prediction, torch.from_numpy(valid), names(4))
    for unit in range(3):
        keep = np.broadcast_to(valid[unit], (side, side)) & (truth[unit] != IGNORE)
        assert (counts[unit] == plain(truth[unit], prediction[unit], keep, 4)).all()
