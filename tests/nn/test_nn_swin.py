"""Swin: windows, masks and relative positions by hand; attention of both versions; any size."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.errors import ConfigError, ContractError
from swath.nn import Swin, SwinSpec, windows
from swath.nn.swin import Merge, SwinBlock


def small(version: int, **options: Any) -> Swin:
    torch.manual_seed(0)
    spec = {"width": 8, "depths": (2, 2), "heads": (2, 4), "window": 4, "patch": 2, "version": version, **options}
    network = Swin(SwinSpec(2, **spec)).eval()
    # Version 2 starts with branches that add nothing; here they shall say something.
    for module in network.modules():
        if isinstance(module, SwinBlock):
            torch.nn.init.ones_(module.norm1.weight)
            torch.nn.init.ones_(module.norm2.weight)
    return network


def test_windows_and_back() -> None:
    grid = torch.arange(2 * 4 * 6).reshape(2, 4, 6, 1)
    cut = windows.cut_windows(grid, 2)
    assert cut.shape == (2, 6, 4, 1)
    assert cut[0, 1, :, 0].tolist() == [2, 3, 8, 9]
    assert torch.equal(windows.join_windows(cut, 2, 4, 6), grid)


def test_relative_index_by_hand() -> None:
    index = windows.relative_index(2)
    # Places (0,0), (0,1), (1,0), (1,1); row = (dy + 1) 3 + dx + 1.
    assert index.tolist() == [[4, 3, 1, 0], [5, 4, 2, 1], [7, 6, 4, 3], [8, 7, 5, 4]]


def test_log_offsets_by_hand() -> None:
    offsets = windows.log_offsets(3, 3)
    line = [math.copysign(math.log2(1 + 8 * abs(d) / 2) / 3, d) if d else 0.0 for d in (-2, -1, 0, 1, 2)]
    torch.testing.assert_close(offsets, torch.tensor(list(itertools.product(line, line))))
    torch.testing.assert_close(windows.log_offsets(3, 5)[-1], torch.tensor([math.log2(5) / 3] * 2))


@settings(deadline=None, max_examples=40)
@given(
    rows=st.integers(1, 9), columns=st.integers(1, 9), window=st.integers(2, 4), down=st.booleans(), right=st.booleans()
)
def test_the_mask_by_brute_force(rows: int, columns: int, window: int, down: bool, right: bool) -> None:
    """Two tokens of a window may meet when they lie as far apart in the map as in the window, and the key is real."""
    padded = (rows + -rows % window, columns + -columns % window)
    shift = (window // 2 * down, window // 2 * right)
    mask = windows.window_mask((rows, columns), padded, window, shift)
    if mask is None:
        assert padded == (rows, columns) and shift == (0, 0)
        return
    y, x = torch.meshgrid(torch.arange(padded[0]), torch.arange(padded[1]), indexing="ij")
    places = torch.stack([y, x], dim=-1).roll((-shift[0], -shift[1]), (0, 1))
    place = windows.cut_windows(places[None], window)[0]
    inside = torch.stack(torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij"), -1).reshape(-1, 2)
    apart = (place[:, :, None] - place[:, None] == (inside[:, None] - inside[None])[None]).all(-1)
    real = (place[..., 0] < rows) & (place[..., 1] < columns)
    expected = (apart & real[:, None]) | torch.eye(window**2, dtype=torch.bool)
    assert torch.equal(mask, expected)


def test_window_attention_by_hand() -> None:
    torch.manual_seed(0)
    attention = windows.WindowAttention(4, 1, 2)
    tokens = torch.randn(1, 1, 4, 4)
    query, key, value = attention.qkv(tokens)[0, 0].split(4, dim=1)
    bias = attention.bias_table[windows.relative_index(2), 0]
    weights = (query @ key.T / 2 + bias).softmax(1)
    torch.testing.assert_close(attention(tokens, None)[0, 0], attention.project(weights @ value))


@pytest.mark.parametrize(("stored", "factor"), [(math.log(10), 10), (math.log(40), 40), (50.0, 100)])
def test_cosine_window_attention_by_hand(stored: float, factor: float) -> None:
    """The temperature is kept at 0.01 or above, the factor at 100 or below."""
    torch.manual_seed(0)
    attention = windows.CosineWindowAttention(4, 1, 2)
    with torch.no_grad():
        attention.qkv.bias.normal_()
        attention.temperature.fill_(stored)
    tokens = 1 + 0.05 * torch.randn(1, 1, 4, 4)  # alike, so that no factor makes one of them win outright
    query, key, value = (attention.qkv.weight[4 * part : 4 * part + 4] @ tokens[0, 0].T for part in range(3))
    query, key = query.T + attention.qkv.bias[:4], key.T  # keys have no bias
    cosine = F.cosine_similarity(query[:, None], key[None], dim=-1)
    table = 16 * torch.sigmoid(attention.bias_network(windows.log_offsets(2, 2)))
    weights = (factor * cosine + table[windows.relative_index(2), 0]).softmax(1)
    expected = attention.project(weights @ (value.T + attention.qkv.bias[8:]))
    torch.testing.assert_close(attention(tokens, None)[0, 0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("version", [1, 2])
def test_merging_by_hand(version: int) -> None:
    merge = Merge(2, version)
    grid = torch.randn(1, 2, 3, 2)
    padded = F.pad(grid, (0, 0, 0, 1))
    corner = torch.cat([padded[0, y, x] for x in (2, 3) for y in (0, 1)])
    expected = merge.norm(merge.reduce(corner)) if version == 2 else merge.reduce(merge.norm(corner))
    out = merge(grid)
    assert out.shape == (1, 1, 2, 4)
    torch.testing.assert_close(out[0, 0, 1], expected)


@pytest.mark.parametrize("version", [1, 2])
@settings(deadline=None, max_examples=15)
@given(rows=st.integers(1, 37), columns=st.integers(1, 37))
def test_any_size(version: int, rows: int, columns: int) -> None:
    network = small(version)
    features = network(torch.randn(2, 2, rows, columns))
    features.check()
    for part, width, stride in zip(features.maps, (8, 16), (2, 4), strict=True):
        assert part.shape == (2, width, -(-rows // stride), -(-columns // stride))
        assert bool(torch.isfinite(part).all())


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("bands", [1, 200])
def test_any_number_of_bands(version: int, bands: int) -> None:
    network = Swin(SwinSpec(bands, 8, (1,), (2,), 4, 4, version))  # type: ignore[arg-type]
    assert network(torch.randn(1, bands, 16, 16)).maps[0].shape == (1, 8, 4, 4)


@pytest.mark.parametrize("version", [1, 2])
def test_padding_is_looked_at_by_nobody(version: int) -> None:
    """A map of 3 x 3 in a window of 4 gives what a window of 3 with the same offsets would give."""
    torch.manual_seed(0)
    block = small(version).stages[0][0]  # type: ignore[index]
    grid = torch.randn(1, 3, 3, 8)
    place = [y * 4 + x for y in range(3) for x in range(3)]
    tokens = torch.randn(1, 1, 16, 8)
    tokens[0, 0, place] = grid.reshape(9, 8)
    mask = torch.zeros(1, 16, 16, dtype=torch.bool)
    mask[:, :, place] = True
    expected = block.attention(tokens, mask)[0, 0, place].reshape(1, 3, 3, 8)
    torch.testing.assert_close(block.mix(grid), expected)


@pytest.mark.parametrize("version", [1, 2])
def test_shifted_windows_by_hand(version: int) -> None:
    """In a shifted block the middle window of an 8 x 8 map is rows and columns 2 to 5."""
    block = small(version).stages[0][1]  # type: ignore[index]
    grid = torch.randn(1, 8, 8, 8)
    middle = block.attention(grid[:, 2:6, 2:6].reshape(1, 1, 16, 8), None)[0, 0].reshape(4, 4, 8)
    mixed = block.mix(grid)
    torch.testing.assert_close(mixed[0, 2:6, 2:6], middle)
    # The upper left corner of 2 x 2 keeps to itself: nothing from the other edges reaches it.
    other = grid.clone()
    other[:, 2:] += 1
    other[:, :, 2:] += 1
    torch.testing.assert_close(block.mix(other)[0, :2, :2], mixed[0, :2, :2])


@pytest.mark.parametrize("version", [1, 2])
def test_a_map_of_one_window_is_not_shifted(version: int) -> None:
    block = small(version).stages[0][1]  # type: ignore[index]
    grid = torch.randn(1, 4, 4, 8)
    whole = block.attention(grid.reshape(1, 1, 16, 8), None)[0, 0].reshape(4, 4, 8)
    torch.testing.assert_close(block.mix(grid)[0], whole)


@pytest.mark.parametrize("version", [1, 2])
def test_every_parameter_learns(version: int) -> None:
    network = small(version)
    features = network(torch.randn(1, 2, 32, 32))
    torch.autograd.backward([part.square().sum() for part in features.maps])
    assert all(
        p.grad is not None and float(p.grad.detach().abs().max()) > 0 for p in network.parameters() if p.ndim > 1
    )


def test_version_2_starts_as_the_identity() -> None:
    block = Swin(SwinSpec(1, 8, (1,), (2,), 4, 4, 2)).stages[0][0]  # type: ignore[index]
    grid = torch.randn(1, 4, 4, 8)
    assert torch.equal(block(grid), grid)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depths": (2,)}, "1 depths, 2 heads"),
        ({"heads": (3, 3)}, "3 heads"),
        ({"version": 3}, "'version' is 3"),
        ({"window": 0}, "'window' is 0"),
        ({"trained_windows": (8,)}, "1 windows"),
        ({"width": 2**20}, "parameters"),
        ({"window": 10**6}, "parameters"),
        ({"drop_path": -0.1}, "'drop_path' is -0.1"),
    ],
)
def test_options_out_of_range_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        small(options.pop("version", 1), **options)


def test_a_wrong_image_is_named() -> None:
    with pytest.raises(ContractError, match="with 2 bands"):
        small(1)(torch.zeros(1, 3, 8, 8))
