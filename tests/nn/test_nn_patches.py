"""Patches: orders of the numbers by hand, exact inverse, masks, sizes that do not fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.errors import ConfigError, ContractError
from swath.nn.patches import Order, Patch, grid_of, patchify, unpatchify

ORDERS: list[Order] = ["tpqc", "pqc", "cpq"]


def numbered(*shape: int) -> torch.Tensor:
    return torch.arange(int(np.prod(shape))).reshape(shape)


def test_each_order_by_hand() -> None:
    images = numbered(1, 2, 2, 2, 4)  # value = 16 t + 8 c + 4 y + x
    # The second token of the first date covers x = 2, 3 and y = 0, 1.
    assert patchify(images, (1, 2, 2), "cpq")[0, 1].tolist() == [2, 3, 6, 7, 10, 11, 14, 15]
    assert patchify(images, (1, 2, 2), "pqc")[0, 1].tolist() == [2, 10, 3, 11, 6, 14, 7, 15]
    two_dates = [2, 10, 3, 11, 6, 14, 7, 15, 18, 26, 19, 27, 22, 30, 23, 31]
    assert patchify(images, (2, 2, 2), "tpqc")[0, 1].tolist() == two_dates
    assert patchify(images, (1, 2, 2), "tpqc").equal(patchify(images, (1, 2, 2), "pqc"))


def test_tokens_follow_date_row_column() -> None:
    first = patchify(numbered(1, 2, 1, 4, 6), (1, 2, 2), "pqc")[0, :, 0]
    assert first.tolist() == [0, 2, 4, 12, 14, 16, 24, 26, 28, 36, 38, 40]


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2),
    st.integers(1, 3),
    st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 3)),
    st.sampled_from(ORDERS),
)
def test_exact_inverse(batch: int, bands: int, grid: Patch, patch: Patch, order: Order) -> None:
    if order != "tpqc":
        patch = (1, *patch[1:])
    dates, rows, columns = (number * side for number, side in zip(grid, patch, strict=True))
    images = torch.randn(batch, dates, bands, rows, columns)
    images[images > 1] = float("nan")
    patches = patchify(images, patch, order)
    assert patches.shape == (batch, int(np.prod(grid)), bands * int(np.prod(patch)))
    assert grid_of((dates, rows, columns), patch) == grid
    joined = unpatchify(patches, (dates, bands, rows, columns), patch, order)
    torch.testing.assert_close(joined, images, rtol=0, atol=0, equal_nan=True)
    valid = images.isfinite()
    assert patchify(valid, patch, order).equal(patches.isfinite())  # masks go the same way


def test_sizes_that_do_not_fit_are_named() -> None:
    with pytest.raises(ContractError, match=r"10 columns and the patch 4.* nearest is 8 or 12"):
        patchify(torch.zeros(1, 1, 1, 8, 10), (1, 4, 4), "pqc")
    with pytest.raises(ContractError, match=r"3 rows and the patch 4.* nearest is 4"):
        patchify(torch.zeros(1, 1, 1, 3, 8), (1, 4, 4), "pqc")
    with pytest.raises(ContractError, match="3 dates"):
        patchify(torch.zeros(1, 3, 1, 4, 4), (2, 4, 4), "tpqc")
    with pytest.raises(ContractError, match="0 rows"):
        patchify(torch.zeros(1, 1, 1, 0, 4), (1, 4, 4), "pqc")
    with pytest.raises(ContractError, match="date axis"):
        patchify(torch.zeros(1, 1, 4, 4), (1, 4, 4), "pqc")
    with pytest.raises(ContractError, match=r"\(sample, 4, 4\)"):
        unpatchify(torch.zeros(1, 4, 8), (1, 1, 4, 4), (1, 2, 2), "pqc")


def test_options_that_are_none() -> None:
    images = torch.zeros(1, 2, 1, 4, 4)
    with pytest.raises(ConfigError, match="tpqc, pqc, cpq"):
        patchify(images, (1, 2, 2), "cqp")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="2 frames"):
        patchify(images, (2, 2, 2), "cpq")
    with pytest.raises(ConfigError, match="'rows' is 0"):
        patchify(images, (1, 0, 2), "pqc")
