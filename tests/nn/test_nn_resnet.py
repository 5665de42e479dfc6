"""ResNet: blocks by hand, any size, output strides, stems, normalisations."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.errors import ConfigError, ContractError
from swath.nn import ResNet, ResNetSpec
from swath.nn.norms import ChannelNorm, DropPath, make_norm
from swath.nn.resnet import ResidualBlock


@pytest.mark.parametrize("depth", [18, 50])
@pytest.mark.parametrize("stem", [1, 2, 4])
@pytest.mark.parametrize("output", [8, 16, 32])
def test_strides_tell_the_sizes_of_the_maps(depth: int, stem: int, output: int) -> None:
    network = ResNet(ResNetSpec(3, depth, 4, output, stem)).eval()  # type: ignore[arg-type]
    features = network(torch.randn(1, 3, 37, 21))
    features.check()
    assert network.strides[-1] == stem * output // 4
    for part, width, stride in zip(features.maps, network.channels, network.strides, strict=True):
        assert part.shape == (1, width, -(-37 // stride), -(-21 // stride))


@settings(deadline=None, max_examples=20)
@given(rows=st.integers(1, 40), columns=st.integers(1, 40), bands=st.sampled_from([1, 5, 200]))
def test_any_size_and_number_of_bands(rows: int, columns: int, bands: int) -> None:
    features = ResNet(ResNetSpec(bands, 18, 8))(torch.randn(2, bands, rows, columns))
    assert features.cls is not None and features.cls.shape == (2, 64)
    assert all(bool(torch.isfinite(part).all()) for part in features.maps)


def test_basic_block_by_hand() -> None:
    torch.manual_seed(0)
    block = ResidualBlock(4, 4, 1, (1, 1, 1), "channel")
    maps = torch.randn(1, 4, 5, 5)
    first, second = (convolution.weight for convolution in block.convolutions)
    inner = F.relu(ChannelNorm(4)(F.conv2d(maps, first, padding=1)))  # type: ignore[arg-type]
    expected = F.relu(maps + ChannelNorm(4)(F.conv2d(inner, second, padding=1)))  # type: ignore[arg-type]
    torch.testing.assert_close(block(maps), expected)


def test_the_bottleneck_strides_in_the_middle() -> None:
    block = ResidualBlock(4, 2, 4, (2, 1, 1), "group")
    assert [tuple(convolution.stride) for convolution in block.convolutions] == [(1, 1), (2, 2), (1, 1)]  # type: ignore[arg-type]
    assert block(torch.randn(1, 4, 7, 7)).shape == (1, 8, 4, 4)


def test_dilation_keeps_the_weights_and_the_view() -> None:
    """A dilated network has the same parameters; where a strided one subsamples, it computes the same values."""
    torch.manual_seed(0)
    strided, dilated = (ResNet(ResNetSpec(1, 18, 8, stride, norm="channel")).eval() for stride in (32, 16))  # type: ignore[arg-type]
    dilated.load_state_dict(strided.state_dict())
    image = torch.randn(1, 1, 64, 64)
    coarse, fine = strided(image).maps, dilated(image).maps
    torch.testing.assert_close(coarse[2], fine[2])
    torch.testing.assert_close(coarse[3], fine[3][..., ::2, ::2], rtol=1e-4, atol=1e-5)


def test_group_norm_keeps_samples_apart() -> None:
    network, images = ResNet(ResNetSpec(2, 18, 8)), torch.randn(3, 2, 16, 16)
    alone = torch.cat([network(image[None]).cls for image in images])
    torch.testing.assert_close(network(images).cls, alone, rtol=1e-4, atol=1e-5)


def test_batch_norm_is_there_when_asked_for() -> None:
    assert "stem_norm.running_mean" in ResNet(ResNetSpec(1, 18, 4, norm="batch")).state_dict()
    assert "stem_norm.running_mean" not in ResNet(ResNetSpec(1, 18, 4)).state_dict()


def test_every_parameter_learns() -> None:
    network = ResNet(ResNetSpec(1, 50, 4))
    network(torch.randn(2, 1, 32, 32)).cls.square().sum().backward()
    assert all(
        p.grad is not None and float(p.grad.detach().abs().max()) > 0 for p in network.parameters() if p.ndim > 1
    )


def test_wrong_input_and_options_are_named() -> None:
    with pytest.raises(ContractError, match="with 2 bands"):
        ResNet(ResNetSpec(2, 18, 4))(torch.zeros(1, 3, 8, 8))
    for options in ({"depth": 20}, {"output_stride": 4}, {"stem_stride": 3}, {"width": 0}):
        with pytest.raises(ConfigError, match=next(iter(options))):
            ResNetSpec(1, **options)  # type: ignore[arg-type]
    for bands, width in ((1, 10**5), (10**9, 8)):
        with pytest.raises(ConfigError, match="The ResNet would have about"):
            ResNetSpec(bands, width=width)
    with pytest.raises(ConfigError, match="'layer'"):
        make_norm(4, "layer")  # type: ignore[arg-type]


def test_drop_path_keeps_the_mean() -> None:
    torch.manual_seed(0)
    layer, ones = DropPath(0.25), torch.ones(20_000, 1)
    dropped = layer(ones)
    assert dropped.unique().tolist() == pytest.approx([0, 4 / 3])
    assert float(dropped.mean()) == pytest.approx(1, abs=0.02)
    assert layer.eval()(ones) is ones
