"""Fusion: missing modalities never reach the result; sizes; hand-worked stacks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from swath.errors import ConfigError, ContractError
from swath.nn import LateFusion, TokenFusion, early_bands, stack_early
from swath.types import Features

BANDS = {"s2": 2, "s1": 1}


def pyramid(width: int, seed: int, size: int = 4, samples: int = 2) -> Features:
    generator = torch.Generator().manual_seed(seed)
    maps = tuple(torch.randn(samples, width, size // step, size // step, generator=generator) for step in (1, 2))
    return Features(maps, (4, 8))


def hidden(features: Features, there: Tensor, value: float) -> Features:
    mask = there[:, None, None, None]
    return Features(tuple(torch.where(mask, part, value) for part in features.maps), features.strides)


def test_early_stack_by_hand() -> None:
    inputs = {"s1": torch.full((2, 1, 1, 1), 5.0), "s2": torch.full((2, 2, 1, 1), 3.0)}
    stack = stack_early(inputs, BANDS, {"s1": torch.tensor([True, False])})
    assert stack.flatten(1).tolist() == [[3, 3, 1, 5, 1], [3, 3, 1, 0, 0]]
    assert early_bands(BANDS) == 5
    assert stack_early({"s1": inputs["s1"]}, BANDS).flatten(1).tolist() == [[0, 0, 0, 5, 1]] * 2
    assert stack_early({"s1": torch.zeros(2, 3, 1, 4, 4)}, BANDS).shape == (2, 3, 5, 4, 4)


def test_early_stack_hides_what_is_missing() -> None:
    stack = stack_early({"s1": torch.full((1, 1, 2, 2), float("nan"))}, BANDS, {"s1": torch.tensor([False])})
    assert bool((stack == 0).all())


def test_early_stack_names_what_does_not_fit() -> None:
    with pytest.raises(ContractError, match="'s1' has shape"):
        stack_early({"s2": torch.zeros(1, 2, 4, 4), "s1": torch.zeros(1, 1, 2, 2)}, BANDS)
    with pytest.raises(ContractError, match=r"'s3' is unknown.*nearest is s"):
        stack_early({"s3": torch.zeros(1, 1, 2, 2)}, BANDS)
    with pytest.raises(ContractError, match="No modality is given"):
        stack_early({}, BANDS)


def late() -> LateFusion:
    torch.manual_seed(0)
    fusion = LateFusion({"s2": (4, 4), "s1": (3, 3)}, (4, 8), 6)
    for part in fusion.missing.parameters():
        torch.nn.init.normal_(part)
    return fusion


def test_late_fusion_by_hand() -> None:
    fusion, parts = late(), {"s2": pyramid(4, 0), "s1": pyramid(3, 1)}
    features = fusion(parts)
    features.check()
    joined = torch.cat([parts["s2"].maps[1], parts["s1"].maps[1]], dim=1)
    torch.testing.assert_close(features.maps[1], fusion.mix[1](joined))
    torch.testing.assert_close(features.cls, fusion.join(joined.mean((2, 3))))


@pytest.mark.parametrize("value", [9.0, float("nan")])
def test_late_fusion_hides_what_is_missing(value: float) -> None:
    fusion, parts = late(), {"s2": pyramid(4, 0), "s1": pyramid(3, 1)}
    there = torch.tensor([True, False])
    first = fusion(parts, {"s1": there})
    second = fusion({**parts, "s1": hidden(parts["s1"], there, value)}, {"s1": there})
    for before, after in zip((*first.maps, first.cls), (*second.maps, second.cls), strict=True):
        torch.testing.assert_close(before, after)
    without = fusion({"s2": parts["s2"]})
    torch.testing.assert_close(without.maps[0][1], first.maps[0][1])
    torch.testing.assert_close(without.cls[1], first.cls[1])  # type: ignore[index]
    assert float((without.maps[0][0] - first.maps[0][0]).detach().abs().max()) > 1e-3


def test_late_fusion_resizes_to_the_first_given() -> None:
    features = late()({"s2": pyramid(4, 0, size=4), "s1": pyramid(3, 1, size=6)})
    assert [tuple(part.shape[-2:]) for part in features.maps] == [(4, 4), (2, 2)]
    with pytest.raises(ConfigError, match="2 strides"):
        LateFusion({"s2": (4,)}, (4, 8), 6)


def tokens() -> TokenFusion:
    torch.manual_seed(0)
    return TokenFusion({"s2": 4, "series": 3}, 8, depth=1, heads=2).eval()


def test_token_fusion_hides_what_is_missing() -> None:
    fusion = tokens()
    series = Features((), (), tokens=torch.randn(2, 5, 3))
    there = torch.tensor([False, True])
    first = fusion({"s2": pyramid(4, 0), "series": series}, {"s2": there})
    first.check()
    second = fusion({"s2": hidden(pyramid(4, 0), there, float("nan")), "series": series}, {"s2": there})
    torch.testing.assert_close(first.cls, second.cls)
    torch.testing.assert_close(first.tokens, second.tokens)
    torch.testing.assert_close(fusion({"series": series}).cls[0], first.cls[0])  # type: ignore[index]
    assert first.maps[0].shape == (2, 8, 2, 2) and first.strides == (8,)
    assert float(first.maps[0][0].detach().abs().max()) == 0
    assert first.tokens is not None and first.tokens.shape == (2, 4 + 5, 8)
    torch.testing.assert_close(first.maps[0][1].flatten(1).T, first.tokens[1, :4])


def test_token_fusion_hides_single_tokens() -> None:
    fusion = tokens()
    seen = torch.tensor([[True, False, True, True, False]] * 2)
    dates = torch.randn(2, 5, 3)
    other = torch.where(seen[..., None], dates, float("inf"))
    results = [fusion({"series": Features((), (), tokens=part)}, seen={"series": seen}).cls for part in (dates, other)]
    torch.testing.assert_close(results[0], results[1])
    kept = fusion({"series": Features((), (), tokens=dates[:, [0, 2, 3]])}).cls
    torch.testing.assert_close(results[0], kept)


def test_token_fusion_with_nothing_present_is_finite() -> None:
    fusion, there = tokens(), torch.zeros(2, dtype=torch.bool)
    features = fusion({"s2": pyramid(4, 0)}, {"s2": there})
    assert bool(torch.isfinite(features.cls).all())  # type: ignore[arg-type]
    torch.testing.assert_close(features.cls[0], features.cls[1])  # type: ignore[index]


def test_token_fusion_names_what_does_not_fit() -> None:
    with pytest.raises(ContractError, match="neither maps nor tokens"):
        tokens()({"s2": Features((), (), cls=torch.zeros(2, 4))})
    with pytest.raises(ConfigError, match="no modality"):
        TokenFusion({}, 8)
