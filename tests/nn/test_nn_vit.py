"""ViT: attention by hand, any size, masks of tokens, dates, groups, taps, published counts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from swath.errors import ConfigError, ContractError
from swath.nn import ViT, ViTSpec, token_mask
from swath.nn.transformer import Attention, Block, masked_mean


def small(bands: int = 2, **options: Any) -> ViT:
    torch.manual_seed(0)
    return ViT(ViTSpec(bands, **{"image": 16, "patch": 4, "width": 16, "depth": 2, "heads": 2, **options})).eval()


def test_attention_by_hand() -> None:
    torch.manual_seed(1)
    attention = Attention(4, 2)
    tokens = torch.randn(1, 3, 4)
    query, key, value = (attention.qkv(tokens)[0, :, 4 * part : 4 * part + 4] for part in range(3))
    mixed = torch.zeros(3, 4)
    for head in range(2):
        part = slice(2 * head, 2 * head + 2)
        weights = (query[:, part] @ key[:, part].T / 2**0.5).softmax(1)
        mixed[:, part] = weights @ value[:, part]
    torch.testing.assert_close(attention(tokens)[0], attention.project(mixed))


def test_a_hidden_token_equals_an_absent_one() -> None:
    torch.manual_seed(1)
    block, tokens = Block(8, 2), torch.randn(2, 5, 8)
    seen = torch.tensor([[True, True, False, True, False]] * 2)
    hidden = block(tokens, seen)[:, [0, 1, 3]]
    torch.testing.assert_close(hidden, block(tokens[:, [0, 1, 3]]))
    torch.testing.assert_close(block(tokens, torch.zeros_like(seen)), block(tokens))  # none: nothing to hide


def test_block_by_hand() -> None:
    torch.manual_seed(2)
    block, tokens = Block(8, 2, layer_scale=0.5), torch.randn(1, 3, 8)
    first = tokens + 0.5 * block.attention(torch.nn.functional.layer_norm(tokens, (8,), eps=1e-6))
    inner = torch.nn.functional.gelu(block.mlp.expand(torch.nn.functional.layer_norm(first, (8,), eps=1e-6)))
    torch.testing.assert_close(block(tokens), first + 0.5 * block.mlp.contract(inner))


def test_masked_mean() -> None:
    tokens = torch.tensor([[[1.0], [3.0], [float("nan")]]])
    assert masked_mean(tokens, torch.tensor([[True, True, False]])).item() == 2
    assert masked_mean(tokens, torch.zeros(1, 3, dtype=torch.bool)).item() == 0


@settings(deadline=None, max_examples=25)
@given(
    rows=st.integers(1, 21),
    columns=st.integers(1, 21),
    samples=st.integers(1, 3),
    bands=st.sampled_from([1, 3, 200]),
    fixed=st.booleans(),
    token=st.booleans(),
)
def test_any_size_and_number_of_bands(
    rows: int, columns: int, samples: int, bands: int, fixed: bool, token: bool
) -> None:
    network = small(bands, positions="fixed" if fixed else "learned", class_token=token, taps=(0, 1))
    features = network(torch.randn(samples, bands, rows, columns))
    features.check()
    size = (-(-rows // 4), -(-columns // 4))
    assert [tuple(part.shape) for part in features.maps] == [(samples, 16, *size)] * 2
    assert features.strides == (4, 4) == network.strides
    assert features.tokens is not None and features.tokens.shape == (samples, size[0] * size[1], 16)
    assert features.cls is not None and bool(torch.isfinite(features.cls).all())


def test_maps_are_tokens_in_rows() -> None:
    features = small()(torch.randn(1, 2, 8, 12))
    assert features.tokens is not None
    torch.testing.assert_close(features.maps[0][0, :, 1, 2], features.tokens[0, 1 * 3 + 2])


def test_patch_embedding_by_hand() -> None:
    network = small()
    image = torch.randn(1, 2, 8, 8)
    kernel = network.embed.project[0]
    patch = image[0, :, 4:8, 0:4].flatten()
    expected = kernel.weight.reshape(16, -1) @ patch + kernel.bias  # type: ignore[operator,union-attr]
    torch.testing.assert_close(network.embed(image)[0, 0, 1, 0], expected)


def test_padding_repeats_the_border() -> None:
    network, image = small(), torch.randn(1, 2, 6, 7)
    padded = torch.nn.functional.pad(image, (0, 1, 0, 2), mode="replicate")
    torch.testing.assert_close(network(image).maps[0], network(padded).maps[0])


@pytest.mark.parametrize("hidden", [7.5, float("nan")])
def test_what_lies_under_the_mask_changes_nothing(hidden: float) -> None:
    network, image = small(), torch.randn(2, 2, 16, 16)
    present = torch.rand(2, 4, 4, generator=torch.Generator().manual_seed(0)) > 0.5
    pixels = present.repeat_interleave(4, 1).repeat_interleave(4, 2)[:, None]
    first = network(image, present)
    second = network(torch.where(pixels, image, hidden), present)
    torch.testing.assert_close(first.maps[0], second.maps[0])
    torch.testing.assert_close(first.cls, second.cls)
    assert bool((first.maps[0][~present[:, None].expand_as(first.maps[0])] == 0).all())
    assert float((network(image).cls - first.cls).detach().abs().max()) > 1e-4  # type: ignore[operator]


def test_nobody_looks_at_a_missing_token() -> None:
    """What comes out is what the blocks give on the tokens present alone, at their places."""
    network, image = small(), torch.randn(1, 2, 8, 8)
    present = torch.tensor([[[True, False], [True, True]]])
    tokens = (network.embed(image) + network._places(1, 2, 2)).flatten(1, 3)[:, [0, 2, 3]]
    full, _ = network._with_class(tokens, None)
    for block in network.blocks:
        full = block(full)
    torch.testing.assert_close(network(image, present).cls, network.norm(full)[:, 0])


@pytest.mark.parametrize("token", [True, False])
def test_no_token_present_is_finite(token: bool) -> None:
    features = small(class_token=token)(torch.randn(2, 2, 8, 8), torch.zeros(2, 2, 2, dtype=torch.bool))
    assert features.cls is not None and bool(torch.isfinite(features.cls).all())
    assert float(features.maps[0].detach().abs().max()) == 0
    if not token:
        assert float(features.cls.detach().abs().max()) == 0


@pytest.mark.parametrize("positions", ["learned", "fixed"])
@pytest.mark.parametrize(("dates", "tubelet", "layers"), [(1, 1, 1), (3, 1, 3), (5, 2, 3)])
def test_dates(positions: str, dates: int, tubelet: int, layers: int) -> None:
    network = small(dates=3, tubelet=tubelet, positions=positions)
    image = torch.randn(2, dates, 2, 9, 8)
    features = network(image)
    features.check()
    assert features.maps[0].shape == (2, layers, 16, 3, 2)
    present = torch.ones(2, layers, 3, 2, dtype=torch.bool)
    torch.testing.assert_close(network(image, present).maps[0], features.maps[0])
    present[:, 0] = False
    other = image.clone()
    other[:, :tubelet] = -4.0
    torch.testing.assert_close(network(image, present).cls, network(other, present).cls)


def test_tubelet_embedding_by_hand() -> None:
    network = small(dates=4, tubelet=2)
    image = torch.randn(1, 4, 2, 8, 8)
    kernel = network.embed.project[0]
    block = image[0, 2:4, :, 4:8, 0:4].movedim(0, 1).flatten()
    expected = kernel.weight.reshape(16, -1) @ block + kernel.bias  # type: ignore[operator,union-attr]
    torch.testing.assert_close(network.embed(image)[0, 1, 1, 0], expected)


def test_dates_are_told_apart() -> None:
    for positions in ("learned", "fixed"):
        network, image = small(dates=2, positions=positions), torch.randn(1, 2, 2, 8, 8)
        assert float((network(image).cls - network(image.flip(1)).cls).detach().abs().max()) > 1e-5


def test_groups_of_bands() -> None:
    network = small(5, groups=((0, 1, 2), (4,)))
    image = torch.randn(2, 5, 8, 8)
    features = network(image)
    assert features.tokens is not None and features.tokens.shape == (2, 2 * 4, 16)
    assert features.maps[0].shape == (2, 16, 2, 2)
    torch.testing.assert_close(features.maps[0].flatten(2), features.tokens.unflatten(1, (2, 4)).mean(1).mT)
    other = image.clone()
    other[:, 3] += 1  # in no group
    torch.testing.assert_close(network(other).cls, features.cls)
    present = torch.ones(2, 2, 2, 2, dtype=torch.bool)
    present[:, 1] = False
    other[:, 4] += 1
    one = network(image, present)
    torch.testing.assert_close(one.maps[0], network(other, present).maps[0])
    torch.testing.assert_close(one.maps[0].flatten(2), one.tokens[:, :4].mT)  # the mean over the one group present


def test_taps_see_their_own_depth() -> None:
    network, image = small(depth=3, taps=(0, 2)), torch.randn(1, 2, 8, 8)
    before = network(image).maps
    with torch.no_grad():
        network.blocks[2].mlp.contract.bias.add_(1.0)  # type: ignore[operator,union-attr]
        network.blocks[2].mlp.contract.bias[0].add_(1.0)  # type: ignore[index,union-attr]
    after = network(image).maps
    assert torch.equal(before[0], after[0]) and not torch.equal(before[1], after[1])


def test_every_parameter_learns() -> None:
    for options in ({}, {"dates": 2}, {"groups": ((0,), (1,))}, {"layer_scale": 0.1}):
        network = small(**options)
        image = torch.randn(2, 2, 2, 8, 8) if "dates" in options else torch.randn(2, 2, 8, 8)
        features = network(image)
        (features.maps[0].square().sum() + features.cls[:, 0].sum()).backward()
        assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in network.parameters())


def test_token_mask() -> None:
    valid = torch.zeros(1, 5, 9, dtype=torch.bool)
    valid[0, 4, 8] = valid[0, 0, 3] = True
    assert token_mask(valid, 4).int().tolist() == [[[1, 0, 0], [0, 0, 1]]]
    stack = torch.zeros(1, 3, 4, 4, dtype=torch.bool)
    stack[0, 2, 1, 1] = True
    assert token_mask(stack, 4, tubelet=2).int().tolist() == [[[[0]], [[1]]]]


@pytest.mark.parametrize(
    ("shape", "message"), [((2, 8, 8), "shape"), ((1, 3, 8, 8), "2 bands"), ((1, 2, 0, 8), "at least one pixel")]
)
def test_a_wrong_image_is_named(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ContractError, match=message):
        small()(torch.zeros(shape))


def test_a_wrong_mask_is_named() -> None:
    with pytest.raises(ContractError, match="mask of tokens has shape"):
        small()(torch.zeros(1, 2, 8, 8), torch.ones(1, 3, 3, dtype=torch.bool))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bands": 0}, "'bands' is 0"),
        ({"depth": True}, "'depth' is True"),
        ({"heads": 5}, "5 heads"),
        ({"taps": (0, 0)}, "'taps'"),
        ({"taps": (2,)}, "blocks from 0 to 1"),
        ({"positions": "sine"}, "'positions'"),
        ({"groups": ((0,), ())}, "'groups'"),
        ({"groups": ((7,),)}, "0 to 1"),
        ({"groups": ((0,),), "dates": 2}, "both"),
        ({"width": 10**6}, "parameters"),
        ({"image": 10**6, "patch": 1}, r"about 10\^13 parameters"),
        ({"bands": 10**9}, "parameters"),
        ({"tubelet": 2}, "'tubelet' is 2 without 'dates'"),
        ({"drop_path": 1.0}, "'drop_path' is 1.0"),
        ({"mlp_ratio": 0}, "'mlp_ratio' is 0"),
    ],
)
def test_options_out_of_range_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        small(**options)


def test_samples_do_not_see_each_other() -> None:
    network, images = small(), torch.randn(3, 2, 8, 8)
    alone: Tensor = torch.cat([network(image[None]).cls for image in images])
    torch.testing.assert_close(network(images).cls, alone, rtol=1e-5, atol=1e-6)
