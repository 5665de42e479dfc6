"""Backbones by name: published parameter counts on the meta device, options, errors, sizes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from swath.errors import ConfigError
from swath.nn import BackboneOptions, VectorHead, backbone
from swath.nn.build import IMAGE_BACKBONES, NAMES, SERIES_BACKBONES

PUBLISHED = {
    "vit_tiny": 5_717_416,
    "vit_small": 22_050_664,
    "vit_base": 86_567_656,
    "vit_large": 304_326_632,
    "swin_tiny": 28_288_354,
    "swin_small": 49_606_258,
    "swin_base": 87_768_224,
    "swin2_tiny": 28_351_570,
    "swin2_small": 49_737_442,
    "swin2_base": 87_930_848,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
}
"""With three bands and a linear head of 1000 classes."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_numbers_of_parameters(name: str) -> None:
    with torch.device("meta"):
        network = backbone(name, 3)
        head = VectorHead(network.channels[-1], 1000)
    assert sum(p.numel() for part in (network, head) for p in part.parameters()) == PUBLISHED[name]


@pytest.mark.parametrize("name", [n for n in IMAGE_BACKBONES if not n.endswith(("small", "base", "large"))])
def test_every_name_gives_features_of_the_strides_it_tells(name: str) -> None:
    with torch.device("meta"):
        network = backbone(name, 13)
        features = network(torch.empty(1, 13, 128, 64))
    features.check()
    for part, width, stride in zip(features.maps, network.channels, network.strides, strict=True):
        assert part.shape == (1, width, 128 // stride, 64 // stride)


@pytest.mark.parametrize("name", SERIES_BACKBONES)
def test_every_series_backbone(name: str) -> None:
    network = backbone(name, 10, BackboneOptions(width=8, depth=1, dropout=0.1)).eval()
    assert network(torch.randn(2, 3, 10), torch.rand(2, 3), torch.ones(2, 3, dtype=torch.bool)).cls.shape == (2, 8)


def test_small_sizes_are_small() -> None:
    sizes = {}
    for name in ("vit_micro", "swin_micro", "swin2_micro"):
        with torch.device("meta"):
            sizes[name] = sum(parameter.numel() for parameter in backbone(name, 10).parameters())
    assert all(300_000 < size < 1_000_000 for size in sizes.values()), sizes


@pytest.mark.parametrize(
    ("name", "options", "attribute", "value"),
    [
        ("vit_tiny", {"patch": 8, "image": 64}, "strides", (8,) * 4),
        ("vit_tiny", {"taps": (11,)}, "channels", (192,)),
        ("swin_tiny", {"width": 24}, "channels", (24, 48, 96, 192)),
        ("resnet50", {"width": 16, "output_stride": 16}, "strides", (4, 8, 16, 16)),
        ("resnet18", {"stem_stride": 1}, "strides", (1, 2, 4, 8)),
        ("unet", {"width": 8, "depth": 1}, "channels", (8, 16)),
    ],
)
def test_options(name: str, options: dict[str, Any], attribute: str, value: object) -> None:
    with torch.device("meta"):
        assert getattr(backbone(name, 4, BackboneOptions(**options)), attribute) == value


def test_fewer_blocks_move_the_taps() -> None:
    for depth, taps in ((1, (0,)), (2, (0, 1)), (3, (0, 1, 2)), (12, (2, 5, 8, 11))):
        with torch.device("meta"):
            network: nn.Module = backbone("vit_tiny", 1, BackboneOptions(depth=depth))
        assert network.spec.taps == taps  # type: ignore[union-attr]


def test_an_unknown_name_lists_the_names() -> None:
    with pytest.raises(ConfigError, match=r"'resnet19' is unknown.*vit_tiny.*nearest is resnet1?") as caught:
        backbone("resnet19", 3)
    assert all(name in str(caught.value) for name in NAMES)
    for name in ("vit", "vit_huge", "swin3_tiny", "", "vit_tiny_16"):
        with pytest.raises(ConfigError, match="is unknown"):
            backbone(name, 3)


def test_an_option_of_another_family_is_named() -> None:
    with pytest.raises(ConfigError, match=r"'resnet18' has no option 'patch'.*output_stride"):
        backbone("resnet18", 3, BackboneOptions(patch=8))
    with pytest.raises(ConfigError, match="'resnet50' has no option 'depth'"):
        backbone("resnet50", 3, BackboneOptions(depth=18))
    with pytest.raises(ConfigError, match="'bands' is 0"):
        backbone("vit_micro", 0)
    with pytest.raises(ConfigError, match="'depth' is x"):
        backbone("vit_micro", 1, BackboneOptions(depth="x"))  # type: ignore[arg-type]
