"""Masks of tokens: numbers by hand, invariants, groups, dates, clouds, what cannot be masked."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from swath import rng
from swath.errors import ConfigError, ContractError
from swath.nn.masking import (
    Masked,
    consistent_mask,
    draw_noise,
    frame_mask,
    given_mask,
    kept_number,
    random_mask,
    targets,
)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return draw_noise(rng.torch_generator(seed, "test"), *shape)


def check(mask: Masked) -> None:
    """What holds for every mask."""
    batch, number = mask.hidden.shape
    kept = mask.kept.shape[1]
    assert mask.kept.dtype == mask.restore.dtype == torch.int64
    assert (~mask.hidden).sum(1).tolist() == [kept] * batch
    assert mask.restore.sort(1).values.equal(torch.arange(number).expand(batch, -1))
    assert not mask.hidden.gather(1, mask.kept).any()
    tokens = torch.arange(number, dtype=torch.float32).expand(batch, -1)[..., None] + 1
    filled = mask.fill(mask.select(tokens), torch.zeros(1, 1, 1))
    assert filled.equal(torch.where(mask.hidden[..., None], 0.0, tokens))  # every token at its own place


def test_random_mask_by_hand() -> None:
    mask = random_mask(torch.tensor([[0.9, 0.1, 0.5, 0.3]]), 0.5)
    assert mask.kept.tolist() == [[1, 3]]
    assert mask.hidden.tolist() == [[True, False, True, False]]
    assert mask.restore.tolist() == [[3, 0, 2, 1]]  # shuffled list: 1, 3, 2, 0
    check(mask)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 3), st.integers(2, 40), st.floats(0.05, 0.95), st.integers(0, 5))
def test_random_mask_holds_for_all_sizes(batch: int, number: int, ratio: float, seed: int) -> None:
    expected = int(number * (1 - ratio))
    values = noise(batch, number, seed=seed)
    if not 0 < expected < number:
        with pytest.raises(ConfigError, match="at least one of each"):
            random_mask(values, ratio)
        return
    mask = random_mask(values, ratio)
    check(mask)
    assert mask.kept.shape == (batch, expected)
    lowest = torch.where(mask.hidden, -1.0, values).amax(1)
    assert bool((lowest <= torch.where(mask.hidden, values, 2.0).amin(1)).all())


def test_equal_noise_keeps_the_first() -> None:
    assert random_mask(torch.zeros(1, 4), 0.5).kept.tolist() == [[0, 1]]


def test_all_tokens_are_hidden_equally_often() -> None:
    share = random_mask(noise(4000, 8), 0.75).hidden.double().mean(0)
    assert bool(((share - 0.75).abs() < 5 * (0.75 * 0.25 / 4000) ** 0.5).all())


@pytest.mark.parametrize("ratio", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_a_ratio_that_hides_none_or_all_is_refused(ratio: float) -> None:
    with pytest.raises(ConfigError, match="above 0 and below 1"):
        random_mask(noise(1, 8), ratio)


def test_too_few_tokens_are_refused() -> None:
    with pytest.raises(ConfigError, match="leave 0 to be seen"):
        kept_number(3, 0.75)
    for number in (0, 1):
        with pytest.raises(ConfigError, match="at least one of each"):
            random_mask(noise(2, number), 0.5)
    with pytest.raises(ContractError, match="token"):
        random_mask(noise(8), 0.5)


def test_noise_is_that_of_the_named_stream() -> None:
    assert noise(2, 5).equal(noise(2, 5))
    assert not noise(2, 5).equal(noise(2, 5, seed=1))


def test_consistent_mask_hides_places_in_all_groups() -> None:
    values = torch.tensor([[0.9, 0.1, 0.5, 0.3], [0.1, 0.2, 0.3, 0.4]])
    mask = consistent_mask(values, 3, 0.5)
    assert mask.kept.tolist() == [[1, 3, 5, 7, 9, 11], [0, 1, 4, 5, 8, 9]]
    assert mask.hidden.reshape(2, 3, 4).tolist() == [[[True, False, True, False]] * 3, [[False, False, True, True]] * 3]
    check(mask)
    one = consistent_mask(values, 1, 0.5)
    plain = random_mask(values, 0.5)
    assert one.kept.equal(plain.kept) and one.restore.equal(plain.restore)
    with pytest.raises(ConfigError, match="0 groups"):
        consistent_mask(values, 0, 0.5)


def test_independent_mask_shows_hidden_places_in_other_groups() -> None:
    independent = random_mask(noise(200, 3 * 16), 0.75).hidden.reshape(200, 3, 16)
    leaked = 1 - independent.all(1)[independent[:, 0]].double().mean().item()
    assert abs(leaked - (1 - (35 / 47) * (34 / 46))) < 0.03  # without replacement: 36 of 48 are hidden
    consistent = consistent_mask(noise(200, 16), 3, 0.75).hidden.reshape(200, 3, 16)
    assert consistent.all(1)[consistent[:, 0]].all()


def test_whole_dates() -> None:
    mask = frame_mask(torch.tensor([[0.2, 0.9, 0.1], [0.9, 0.2, 0.1]]), 2, 1)
    assert mask.hidden.tolist() == [[False, False, True, True, False, False], [True, True, False, False, False, False]]
    assert mask.kept.tolist() == [[4, 5, 0, 1], [4, 5, 2, 3]]
    check(mask)
    check(frame_mask(noise(3, 4), 5, 3))
    for frames in (0, 3):
        with pytest.raises(ConfigError, match="at least 1 and at most 2"):
            frame_mask(noise(1, 3), 2, frames)
    with pytest.raises(ConfigError, match="at least 2 dates"):
        frame_mask(noise(1, 1), 2, 1)


def test_given_clouds_are_hidden_and_all_samples_keep_equally_many() -> None:
    clouds = torch.tensor([[True, True, False, False, False], [False, False, False, False, True]])
    values = torch.tensor([[0.5, 0.4, 0.3, 0.2, 0.1], [0.5, 0.4, 0.3, 0.2, 0.1]])
    mask = given_mask(clouds, values)
    assert mask.kept.tolist() == [[4, 3, 2], [3, 2, 1]]
    assert mask.hidden.tolist() == [[True, True, False, False, False], [True, False, False, False, True]]
    check(mask)
    none = given_mask(torch.zeros(2, 3, dtype=torch.bool), noise(2, 3))
    assert not none.hidden.any()
    with pytest.raises(ContractError, match="All tokens of sample 1"):
        given_mask(torch.tensor([[True, False], [True, True]]), noise(2, 2))
    with pytest.raises(ContractError, match="one shape"):
        given_mask(clouds, noise(2, 4))


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 4), st.integers(1, 20), st.floats(0, 0.9), st.integers(0, 5))
def test_given_masks_of_all_kinds(batch: int, number: int, share: float, seed: int) -> None:
    hidden = noise(batch, number, seed=seed) < share
    hidden[:, 0] = False
    mask = given_mask(hidden, noise(batch, number, seed=seed + 100))
    check(mask)
    assert bool((mask.hidden | ~hidden).all())
    assert mask.kept.shape[1] == int((~hidden).sum(1).min())


def test_tokens_without_valid_pixels_are_no_targets() -> None:
    hidden = torch.tensor([[True, True, False]])
    valid = torch.tensor([[[True, False], [False, False], [True, True]]])
    assert targets(hidden, valid).tolist() == [[[True, False], [False, False], [False, False]]]
