"""Heads, pyramids, change: sizes of any pyramid, equations by hand, what must not matter."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swath.errors import ConfigError, ContractError
from swath.nn import (
    ChangeNetwork,
    FCNHead,
    LinearHead,
    RegressionOutput,
    ResNet,
    ResNetSpec,
    SemanticChangeNetwork,
    SimplePyramid,
    TimePool,
    UNetDecoder,
    UPerNetHead,
    VectorHead,
    combine_dates,
    combined_channels,
    per_date,
    pooled,
)
from swath.types import Features

CHANNELS, STRIDES = (4, 6, 8), (2, 4, 8)


def pyramid(rows: int = 24, columns: int = 17, samples: int = 2) -> Features:
    torch.manual_seed(0)
    maps = tuple(
        torch.randn(samples, width, -(-rows // stride), -(-columns // stride))
        for width, stride in zip(CHANNELS, STRIDES, strict=True)
    )
    return Features(maps, STRIDES)


@pytest.mark.parametrize("kind", [LinearHead, FCNHead, UPerNetHead, UNetDecoder])
@pytest.mark.parametrize("size", [(24, 17), (1, 1), (8, 33)])
def test_dense_heads_cover_the_image(kind: type[nn.Module], size: tuple[int, int]) -> None:
    head = kind(CHANNELS, STRIDES, 3)
    logits = head(pyramid(*size))
    assert logits.shape[:2] == (2, 3)
    assert all(size[axis] <= logits.shape[2 + axis] < size[axis] + 8 for axis in (0, 1))
    logits.square().sum().backward()
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in head.parameters())


def test_linear_head_by_hand() -> None:
    head, features = LinearHead((4,), (2,), 3), Features((torch.ones(1, 4, 2, 2),), (2,))
    expected = head.output.weight.sum((1, 2, 3)) + head.output.bias  # type: ignore[operator]
    torch.testing.assert_close(head(features), expected[None, :, None, None].expand(1, 3, 4, 4))


def test_upernet_uses_every_level_and_every_bin() -> None:
    head, features = UPerNetHead(CHANNELS, STRIDES, 3, width=8).eval(), pyramid()
    before = head(features)
    for level in range(3):
        maps = list(features.maps)
        maps[level] = maps[level] + torch.randn_like(maps[level])
        assert float((head(Features(tuple(maps), STRIDES)) - before).detach().abs().max()) > 1e-4
    assert len(head.pooled) == 4 and head.context[0].in_channels == 8 + 4 * 8  # type: ignore[union-attr]


def test_upernet_by_hand() -> None:
    head = UPerNetHead(CHANNELS, STRIDES, 2, width=8, bins=(1, 2), norm="channel").eval()
    fine, middle, coarse = pyramid(16, 16).maps

    def grow(maps: Tensor, like: Tensor) -> Tensor:
        return F.interpolate(maps, size=like.shape[-2:], mode="bilinear", align_corners=False)

    pools = [grow(head.pooled[i](F.adaptive_avg_pool2d(coarse, side)), coarse) for i, side in enumerate((1, 2))]
    third = head.context(torch.cat([coarse, *pools], dim=1))
    second = head.lateral[1](middle) + grow(third, middle)
    first = head.lateral[0](fine) + grow(second, fine)
    joined = [head.smooth[0](first), grow(head.smooth[1](second), fine), grow(third, fine)]
    expected = F.interpolate(
        head.output(head.fuse(torch.cat(joined, dim=1))), scale_factor=2, mode="bilinear", align_corners=False
    )
    torch.testing.assert_close(head(pyramid(16, 16)), expected)


def test_vector_head_takes_what_there_is() -> None:
    maps = (torch.randn(2, 4, 3, 3),)
    cls, tokens = torch.randn(2, 4), torch.randn(2, 5, 4)
    head = VectorHead(4, 3)
    torch.testing.assert_close(head(Features(maps, (8,), tokens, cls)), head.output(cls))
    torch.testing.assert_close(head(Features(maps, (8,), tokens)), head.output(maps[0].mean((2, 3))))
    torch.testing.assert_close(pooled(Features((), (), tokens)), tokens.mean(1))
    series = (torch.randn(2, 5, 4, 3, 3),)
    torch.testing.assert_close(pooled(Features(series, (8,))), series[0].mean((1, 3, 4)))
    assert VectorHead(4, 1, hidden=7)(Features(maps, (8,))).shape == (2, 1)
    with pytest.raises(ContractError, match="no map, no tokens"):
        pooled(Features((), ()))


def test_regression_output_by_hand() -> None:
    raw = torch.tensor([[-2.0, 3.0, -50.0, 1.0]])
    result = RegressionOutput(2, positive=True, variance=True)(raw)
    torch.testing.assert_close(result["mean"], torch.log1p(torch.exp(raw[:, :2])))
    assert result["log_variance"].tolist() == [[-10, 1]]
    dense = RegressionOutput(1)(torch.full((2, 1, 3, 3), -4.0))
    assert list(dense) == ["mean"] and float(dense["mean"].min()) == -4
    with pytest.raises(ContractError, match=r"head gave \(1, 4\)"):
        RegressionOutput(1)(raw)


def test_simple_pyramid() -> None:
    taps = tuple(torch.randn(2, 4, 3, 5) for _ in range(4))
    neck = SimplePyramid((4,) * 4, (16,) * 4, 8)
    features = neck(Features(taps, (16,) * 4, cls=torch.ones(2, 4)))
    features.check()
    assert neck.strides == features.strides == (4, 8, 16, 32) and neck.channels == (8,) * 4
    assert [tuple(part.shape) for part in features.maps] == [(2, 8, 12, 20), (2, 8, 6, 10), (2, 8, 3, 5), (2, 8, 2, 3)]
    assert features.cls is not None
    single = SimplePyramid((4,), (8,), 8)
    assert single.sources == [0, 0, 0, 0] and single.strides == (2, 4, 8, 16)
    assert SimplePyramid((4,) * 6, (8,) * 6).sources == [2, 3, 4, 5]
    with pytest.raises(ConfigError, match="maps of one stride"):
        SimplePyramid((4, 4), (4, 8))
    with pytest.raises(ContractError, match="at least 4 maps"):
        neck(Features(taps[:1], (16,)))


@pytest.mark.parametrize("kind", ["mean", "max", "attention"])
def test_time_pool(kind: str) -> None:
    pool = TimePool((4,), (8,), kind)  # type: ignore[arg-type]
    maps = torch.randn(2, 3, 4, 2, 2)
    present = torch.tensor([[True, False, True], [False, False, False]])
    result = pool(Features((maps,), (8,)), present).maps[0]
    kept = maps[0, [0, 2]]
    expected = kept.amax(0) if kind == "max" else kept.mean(0)  # attention starts as the mean
    torch.testing.assert_close(result[0], expected)
    assert float(result[1].detach().abs().max()) == 0
    hidden = torch.where(present[:, :, None, None, None], maps, float("nan"))
    if kind != "attention":
        torch.testing.assert_close(pool(Features((hidden,), (8,)), present).maps[0], result)
    torch.testing.assert_close(pool(Features((maps[:, :1],), (8,))).maps[0], maps[:, 0])


def test_time_attention_by_hand() -> None:
    pool = TimePool((2,), (1,), "attention")
    nn.init.normal_(pool.scores[0])
    maps = torch.randn(1, 3, 2, 1, 1)
    weights = (maps[0, :, :, 0, 0] @ pool.scores[0]).softmax(0)
    torch.testing.assert_close(pool(Features((maps,), (1,))).maps[0][0, :, 0, 0], weights @ maps[0, :, :, 0, 0])
    seen = torch.tensor([[True, False, True]])
    other = maps.clone()
    other[:, 1] = float("nan")
    torch.testing.assert_close(
        pool(Features((other,), (1,)), seen).maps[0], pool(Features((maps[:, [0, 2]],), (1,))).maps[0]
    )


def test_time_pool_names_what_does_not_fit() -> None:
    with pytest.raises(ContractError, match="maps \\(sample, date"):
        TimePool((4,), (8,))(Features((torch.zeros(1, 4, 2, 2),), (8,)))
    with pytest.raises(ConfigError, match="'median'"):
        TimePool((4,), (8,), "median")  # type: ignore[arg-type]


def backbone() -> ResNet:
    torch.manual_seed(0)
    return ResNet(ResNetSpec(2, 18, 8)).eval()


def test_per_date_is_the_backbone_at_each_date() -> None:
    network, images = backbone(), torch.randn(2, 3, 2, 32, 32)
    features = per_date(network, images)
    features.check()
    torch.testing.assert_close(features.maps[1][1, 2], network(images[1, 2:3]).maps[1][0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(features.cls[1], network(images[1]).cls.mean(0), rtol=1e-4, atol=1e-5)  # type: ignore[index]
    with pytest.raises(ContractError, match="add the date axis"):
        per_date(network, images[0])


def test_dates_combined_by_hand() -> None:
    before, after = (Features((torch.full((1, 1, 1, 1), v),), (2,), cls=torch.tensor([[v]])) for v in (3.0, 1.0))
    assert combine_dates(before, after, "difference").maps[0].item() == 2
    assert combine_dates(before, after, "concat").maps[0].flatten().tolist() == [3, 1]
    assert combine_dates(before, after, "concat").cls.tolist() == [[3, 1]]  # type: ignore[union-attr]
    assert combined_channels((4, 6), "concat") == (8, 12) and combined_channels((4, 6), "difference") == (4, 6)
    with pytest.raises(ConfigError, match="'sum'"):
        combined_channels((4,), "sum")  # type: ignore[arg-type]


@pytest.mark.parametrize("combine", ["difference", "concat"])
def test_change_network(combine: str) -> None:
    network = backbone()
    head = UNetDecoder(combined_channels(network.channels, combine), network.strides, 1)  # type: ignore[arg-type]
    change = ChangeNetwork(network, head, combine).eval()  # type: ignore[arg-type]
    images = torch.randn(2, 2, 2, 33, 19)
    logits = change(images)
    assert logits.shape == (2, 1, 33, 19)
    swapped = change(images.flip(1))
    assert torch.allclose(logits, swapped, rtol=1e-4, atol=1e-5) == (combine == "difference")
    before, after = network(images[:, 0]), network(images[:, 1])
    alone = head(combine_dates(before, after, combine))[..., :33, :19]  # type: ignore[arg-type]
    torch.testing.assert_close(logits, alone, rtol=1e-4, atol=1e-5)


def test_change_of_whole_images() -> None:
    network = backbone()
    head, images = VectorHead(2 * network.channels[-1], 3), torch.randn(4, 2, 2, 16, 16)
    both = torch.cat([network(images[:, 0]).cls, network(images[:, 1]).cls], dim=1)
    logits = ChangeNetwork(network, head, "concat")(images)
    torch.testing.assert_close(logits, head.output(both), rtol=1e-4, atol=1e-5)


def test_semantic_change_has_three_outputs() -> None:
    network = backbone()
    cover, where = (UPerNetHead(network.channels, network.strides, outputs, width=8) for outputs in (5, 1))
    both = SemanticChangeNetwork(network, cover, where).eval()
    images = torch.randn(1, 2, 2, 40, 24)
    logits: dict[str, Tensor] = both(images)
    assert {name: tuple(value.shape) for name, value in logits.items()} == {
        "before": (1, 5, 40, 24),
        "after": (1, 5, 40, 24),
        "change": (1, 1, 40, 24),
    }
    swapped = both(images.flip(1))
    torch.testing.assert_close(swapped["before"], logits["after"], rtol=1e-4, atol=1e-5)
    same = both(images[:, :1].expand(-1, 2, -1, -1, -1))
    torch.testing.assert_close(same["before"], same["after"], rtol=1e-4, atol=1e-5)
    with pytest.raises(ContractError, match="2 dates"):
        both(images[:, :1])


def test_heads_name_what_does_not_fit() -> None:
    with pytest.raises(ConfigError, match="2 channel counts and 1 strides"):
        LinearHead((4, 4), (8,), 3)
    with pytest.raises(ConfigError, match="'outputs' is 0"):
        FCNHead((4,), (8,), 0)
    with pytest.raises(ContractError, match="TimePool first"):
        LinearHead((4,), (8,), 3)(Features((torch.zeros(1, 2, 4, 2, 2),), (8,)))


def test_fcn_head_by_hand() -> None:
    head = FCNHead((4,), (1,), 2, width=4, depth=1, norm="channel")
    maps = torch.randn(1, 4, 5, 5)
    inner = F.conv2d(maps, head.hidden[0][0].weight, padding=1)  # type: ignore[index,arg-type]
    inner = F.layer_norm(inner.movedim(1, -1), (4,)).movedim(-1, 1).relu()
    torch.testing.assert_close(head(Features((maps,), (1,))), head.output(inner))
