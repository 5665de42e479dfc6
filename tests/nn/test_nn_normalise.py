"""Normalise: z-scores, masks, constant bands, bad statistics."""

from __future__ import annotations

import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.errors import InputError
from swath.nn import Normalise


def test_values_by_hand() -> None:
    values = torch.tensor([1.0, 3.0, 10.0, 30.0]).reshape(1, 1, 2, 1, 2)
    result = Normalise([1.0, 20.0], [2.0, 5.0])(values, torch.ones(1, 1, 1, 1, 1, dtype=torch.bool))
    assert result.flatten().tolist() == [0.0, 1.0, -2.0, 2.0]


@settings(deadline=None, max_examples=30)
@given(
    size=st.tuples(st.integers(0, 3), st.integers(1, 2), st.integers(1, 3), st.integers(1, 4), st.integers(1, 4)),
    shared=st.booleans(),
    hidden=st.sampled_from([1e30, -5.0, float("nan"), float("inf")]),
    seed=st.integers(0, 2**31),
)
def test_values_under_the_mask_change_nothing(size: tuple[int, ...], shared: bool, hidden: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(size, generator=generator)
    mask_size = (*size[:2], 1, *size[3:]) if shared else size
    valid = torch.rand(mask_size, generator=generator) > 0.5
    module = Normalise(torch.randn(size[2], generator=generator).tolist(), [0.5] * size[2])
    first = module(values, valid)
    second = module(torch.where(valid, values, hidden), valid)
    assert torch.equal(first, second)
    assert bool((first[~valid.expand_as(first)] == 0).all())


def test_a_constant_band_is_centred_and_named() -> None:
    with pytest.warns(UserWarning, match="The standard deviation of snow is below 1e-06"):
        module = Normalise([0.0, 7.0], [1.0, 1e-9], names=["red", "snow"])
    assert module.std.tolist() == [1.0, 1.0]
    assert float(module(torch.full((1, 1, 2, 1, 1), 9.0), torch.tensor(True))[0, 0, 1]) == 2.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Normalise(module.mean.tolist(), module.std.tolist())  # what a checkpoint stores does not warn again


def test_statistics_are_not_weights() -> None:
    module = Normalise([0.0], [1.0])
    assert module.state_dict() == {}
    assert list(module.parameters()) == []
    assert module.to(torch.float64).mean.dtype == torch.float64


@pytest.mark.parametrize(
    ("mean", "std", "sentence"),
    [
        ([], [], "0 means and 0 standard deviations"),
        ([0.0], [1.0, 1.0], "1 means and 2 standard deviations"),
        ([0.0, float("nan")], [1.0, 1.0], "statistics of nir are mean nan"),
        ([0.0, 0.0], [1.0, -2.0], "statistics of nir are mean 0.0, standard deviation -2.0"),
    ],
)
def test_bad_statistics(mean: list[float], std: list[float], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Normalise(mean, std, names=["red", "nir"] if mean else [])
