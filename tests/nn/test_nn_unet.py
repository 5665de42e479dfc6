"""U-Net: any size in, the same size out; parameter formula; parts that other backbones can use."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.errors import ConfigError, ContractError
from swath.nn import ChannelNorm, UNet, UNetDecoder, UNetEncoder, UNetSpec
from swath.types import Features


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (3, 17), (16, 16), (31, 33), (64, 64)])
@pytest.mark.parametrize("samples", [1, 2])
def test_any_size_in_the_same_size_out(size: tuple[int, int], samples: int) -> None:
    logits = UNet(2, 3, width=4, depth=2)(torch.randn(samples, 2, *size))
    assert logits.shape == (samples, 3, *size)
    assert bool(torch.isfinite(logits).all())


@settings(deadline=None, max_examples=30)
@given(
    inputs=st.integers(1, 6),
    outputs=st.integers(1, 4),
    width=st.integers(1, 12),
    depth=st.integers(0, 3),
    stride=st.integers(1, 4),
    norm=st.sampled_from(["group", "channel"]),
)
def test_the_parameter_formula_and_the_gradients(
    inputs: int, outputs: int, width: int, depth: int, stride: int, norm: str
) -> None:
    network = UNet(inputs, outputs, width=width, depth=depth, stem_stride=stride, norm=norm)  # type: ignore[arg-type]
    assert network.spec.parameters == sum(parameter.numel() for parameter in network.parameters())
    logits = network(torch.randn(1, inputs, 5, 3))
    assert logits.shape == (1, outputs, 5, 3)
    logits.square().sum().backward()
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in network.parameters())


def test_published_numbers_of_the_default() -> None:
    spec = UNetSpec(5, 7)
    assert (spec.channels, spec.strides) == ((32, 64, 128, 256), (2, 4, 8, 16))
    assert spec.parameters == 1_799_431


def test_samples_do_not_see_each_other() -> None:
    network = UNet(2, 3, width=4, depth=2).eval()
    images = torch.randn(3, 2, 16, 16)
    together = network(images)
    alone = torch.cat([network(image[None]) for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)


def test_channel_norm_makes_a_window_equal_to_the_whole() -> None:
    torch.manual_seed(0)
    network = UNet(1, 2, width=4, depth=1, norm="channel").eval()
    image = torch.randn(1, 1, 96, 96)
    whole, window = network(image), network(image[..., 16:80, 16:80])
    torch.testing.assert_close(window[..., 24:40, 24:40], whole[..., 40:56, 40:56], rtol=1e-4, atol=1e-5)


def test_channel_norm_by_hand() -> None:
    maps = torch.tensor([[[[1.0]], [[3.0]]]])
    torch.testing.assert_close(ChannelNorm(2)(maps).flatten(), torch.tensor([-1.0, 1.0]), rtol=1e-4, atol=1e-4)


def test_every_stage_matters() -> None:
    """A network that skips its bottom or its stem would give the same output when their weights change."""
    torch.manual_seed(0)
    network = UNet(1, 2, width=4, depth=2).eval()
    image = torch.randn(1, 1, 16, 16)
    before = network(image)
    for level in range(3):
        changed = UNet(1, 2, width=4, depth=2).eval()
        changed.load_state_dict(network.state_dict())
        with torch.no_grad():
            for parameter in changed.encoder.levels[level].parameters():
                parameter.mul_(1.7)
        assert (changed(image) - before).abs().max().item() > 1e-4


def test_encoder_gives_features() -> None:
    features = UNetEncoder(UNetSpec(3, 1, width=4, depth=2))(torch.randn(2, 3, 32, 16))
    features.check()
    assert [tuple(part.shape) for part in features.maps] == [(2, 4, 16, 8), (2, 8, 8, 4), (2, 16, 4, 2)]
    assert features.strides == (2, 4, 8)


def test_decoder_serves_another_backbone() -> None:
    maps = (torch.randn(1, 6, 8, 8), torch.randn(1, 5, 2, 2))  # strides 4 and 16: not a factor of two
    assert UNetDecoder((6, 5), (4, 16), 3)(Features(maps, (4, 16))).shape == (1, 3, 32, 32)


def test_decoder_names_a_wrong_number_of_levels() -> None:
    with pytest.raises(ContractError, match="The features have 1 levels"):
        UNetDecoder((4, 8), (2, 4), 3)(Features((torch.randn(1, 4, 8, 8),), (2,)))
    with pytest.raises(ConfigError, match="2 channel counts and 1 strides"):
        UNetDecoder((4, 8), (2,), 3)


@pytest.mark.parametrize("shape", [(2, 8, 8), (1, 3, 8, 8), (1, 2, 0, 8)])
def test_a_wrong_image_is_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(ContractError, match="image of shape"):
        UNet(2, 3, width=4, depth=1)(torch.randn(shape))


@pytest.mark.parametrize(
    ("name", "value"), [("in_channels", 0), ("width", 0), ("depth", -1), ("stem_stride", 0), ("depth", True)]
)
def test_numbers_out_of_range_are_named(name: str, value: int) -> None:
    numbers = {"in_channels": 1, "out_channels": 1, name: value}
    with pytest.raises(ConfigError, match=f"U-Net: '{name}' is {value!r}"):
        UNetSpec(**numbers)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="'norm' is 'layer'"):
        UNetSpec(1, 1, norm="layer")  # type: ignore[arg-type]
