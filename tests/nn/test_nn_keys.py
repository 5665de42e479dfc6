"""Published names and shapes to ours on the meta device; equal outputs where timm and torchvision are installed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from nn_peers import peer
from torch import Tensor, nn

from swath.errors import InputError
from swath.nn import BackboneOptions, VectorHead, backbone
from swath.nn.keys import Family, convert, rename

IDENTICAL = 2e-5
"""Largest difference between two float32 computations of the same network that is rounding alone."""


class Classifier(nn.Module):
    """A backbone with a linear head, as published networks are stored."""

    def __init__(self, name: str, classes: int, **options: Any) -> None:
        super().__init__()
        self.backbone = backbone(name, 3, BackboneOptions(**options))
        self.head = VectorHead(self.backbone.channels[-1], classes)  # type: ignore[union-attr]

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.backbone(image))


@pytest.mark.parametrize(
    ("family", "theirs", "ours"),
    [
        ("timm_vit", "blocks.11.attn.qkv.weight", "blocks.11.attention.qkv.weight"),
        ("timm_vit", "blocks.0.ls1.gamma", "blocks.0.scale1.factor"),
        ("timm_vit", "pos_embed", "positions"),
        ("timm_swin", "layers.1.downsample.reduction.weight", "merges.0.reduce.weight"),
        ("microsoft_swin", "layers.0.downsample.norm.bias", "merges.0.norm.bias"),
        ("timm_swin", "layers.2.blocks.5.attn.relative_position_bias_table", "stages.2.5.attention.bias_table"),
        ("timm_swin2", "layers.3.blocks.1.attn.cpb_mlp.2.weight", "stages.3.1.attention.bias_network.2.weight"),
        ("torchvision_swin", "features.7.0.attn.cpb_mlp.0.bias", "stages.3.0.attention.bias_network.0.bias"),
        ("timm_swin2", "layers.0.blocks.0.attn.logit_scale", "stages.0.0.attention.temperature"),
        ("resnet", "layer4.2.bn3.running_mean", "stages.3.2.norms.2.running_mean"),
        ("resnet", "layer2.0.downsample.1.weight", "stages.1.0.shortcut.1.weight"),
        ("resnet", "fc.bias", "head.output.bias"),
        (
            "torchvision_vit",
            "encoder.layers.encoder_layer_3.self_attention.in_proj_weight",
            "blocks.3.attention.qkv.weight",
        ),
        ("torchvision_swin", "features.5.4.mlp.3.bias", "stages.2.4.mlp.contract.bias"),
        ("torchvision_swin", "features.2.reduction.weight", "merges.0.reduce.weight"),
    ],
)
def test_names(family: Family, theirs: str, ours: str) -> None:
    assert rename(theirs, family) == ours


def resnet18_state() -> dict[str, Tensor]:
    """Names and shapes of the published ResNet-18, written out from the paper's table."""
    state = {"conv1.weight": (64, 3, 7, 7), **_bn("bn1", 64)}
    width = 64
    for stage in range(4):
        outputs = 64 * 2**stage
        for block in range(2):
            name, inputs = f"layer{stage + 1}.{block}", width if block == 0 else outputs
            state |= {f"{name}.conv1.weight": (outputs, inputs, 3, 3), f"{name}.conv2.weight": (outputs, outputs, 3, 3)}
            state |= _bn(f"{name}.bn1", outputs) | _bn(f"{name}.bn2", outputs)
            if inputs != outputs:
                state |= {
                    f"{name}.downsample.0.weight": (outputs, inputs, 1, 1),
                    **_bn(f"{name}.downsample.1", outputs),
                }
        width = outputs
    state |= {"fc.weight": (1000, 512), "fc.bias": (1000,)}
    return {name: torch.empty(shape, device="meta") for name, shape in state.items()}


def _bn(name: str, width: int) -> dict[str, tuple[int, ...]]:
    parts = {f"{name}.{part}": (width,) for part in ("weight", "bias", "running_mean", "running_var")}
    return {**parts, f"{name}.num_batches_tracked": ()}


def vit_state(width: int = 768, depth: int = 12, patch: int = 16, tokens: int = 197) -> dict[str, Tensor]:
    """Names and shapes of the published ViT-B/16."""
    state: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, tokens, width),
        "patch_embed.proj.weight": (width, 3, patch, patch),
        "patch_embed.proj.bias": (width,),
        "norm.weight": (width,),
        "norm.bias": (width,),
        "head.weight": (1000, width),
        "head.bias": (1000,),
    }
    for block in range(depth):
        layers = {"attn.qkv": (3 * width, width), "attn.proj": (width, width)}
        layers |= {"mlp.fc1": (4 * width, width), "mlp.fc2": (width, 4 * width)}
        for layer, shape in layers.items():
            state |= {f"blocks.{block}.{layer}.weight": shape, f"blocks.{block}.{layer}.bias": shape[:1]}
        for norm in ("norm1", "norm2"):
            state |= {f"blocks.{block}.{norm}.{part}": (width,) for part in ("weight", "bias")}
    return {name: torch.empty(shape, device="meta") for name, shape in state.items()}


@pytest.mark.parametrize(
    ("family", "name", "options", "state"),
    [("timm_vit", "vit_base", {}, vit_state), ("resnet", "resnet18", {"norm": "batch"}, resnet18_state)],
)
def test_published_names_and_shapes_fit(family: Family, name: str, options: dict[str, Any], state: Any) -> None:
    with torch.device("meta"):
        whole = Classifier(name, 1000, **options)
    found = convert(state(), family, whole)
    whole.load_state_dict(found, assign=True)
    assert set(found) == set(whole.state_dict())
    assert not any(key.startswith("head") for key in convert(state(), family, whole.backbone))


def test_what_does_not_fit_is_named() -> None:
    with torch.device("meta"):
        grouped, batched = (Classifier("resnet18", 1000, norm=norm) for norm in ("group", "batch"))
        other = Classifier("resnet18", 10, norm="batch")
    state = resnet18_state()
    with pytest.raises(InputError, match=r"left over backbone.stem_norm.running_mean.*and 56 more"):
        convert(state, "resnet", grouped)
    with pytest.raises(InputError, match=r"head.output.weight has shape \(1000, 512\), not \(10, 512\)"):
        convert(state, "resnet", other)
    del state["layer3.1.conv2.weight"]
    with pytest.raises(InputError, match=r"missing backbone.stages.2.1.convolutions.1.weight"):
        convert(state, "resnet", batched)


def differences(theirs: nn.Module, ours: Classifier, family: Family, size: int) -> float:
    """Largest difference of the outputs with the same random weights, relative to the largest output."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in theirs.state_dict().items():
            if value.is_floating_point() and "relative_" not in name and "attn_mask" not in name:
                noise = torch.randn(value.shape, generator=generator)
                value.copy_(noise.abs() + 0.5 if name.endswith("running_var") else value + 0.05 * noise)
    ours.load_state_dict(convert(theirs.state_dict(), family, ours))
    image = torch.randn(2, 3, size, size, generator=generator)
    with torch.inference_mode():
        first, second = theirs.eval()(image), ours.eval()(image)
    return float((first - second).detach().abs().max() / first.detach().abs().max())


@pytest.mark.parametrize(
    ("family", "theirs", "ours", "size", "options"),
    [
        ("timm_vit", "vit_tiny_patch16_224", "vit_tiny", 224, {}),
        ("timm_swin", "swin_tiny_patch4_window7_224", "swin_tiny", 224, {}),
        ("timm_swin2", "swinv2_tiny_window8_256", "swin2_tiny", 256, {}),
        ("resnet", "resnet18", "resnet18", 96, {"norm": "batch"}),
        ("resnet", "resnet50", "resnet50", 96, {"norm": "batch"}),
    ],
)
def test_equal_to_timm(family: Family, theirs: str, ours: str, size: int, options: dict[str, Any]) -> None:
    timm = peer("timm")
    torch.manual_seed(0)
    model = timm.create_model(theirs, pretrained=False, num_classes=10)
    difference = differences(model, Classifier(ours, 10, **options), family, size)
    print(f"{theirs}: largest relative difference {difference:.1e}")
    assert difference < IDENTICAL


def test_resized_positions_equal_those_of_timm() -> None:
    timm = peer("timm")
    torch.manual_seed(0)
    table = torch.randn(1, 197, 8)
    theirs = timm.layers.resample_abs_pos_embed(table, [10, 7], num_prefix_tokens=1)
    from swath.nn.positions import resize_grid

    ours = resize_grid(table[0, 1:].reshape(14, 14, 8), 10, 7)
    torch.testing.assert_close(theirs[0, 1:].reshape(10, 7, 8), ours)


@pytest.mark.parametrize(
    ("family", "theirs", "ours", "size", "options"),
    [
        ("torchvision_vit", "vit_b_16", "vit_base", 224, {}),
        ("torchvision_swin", "swin_t", "swin_tiny", 224, {}),
        ("torchvision_swin", "swin_v2_t", "swin2_tiny", 256, {}),
        ("resnet", "resnet34", "resnet34", 96, {"norm": "batch"}),
    ],
)
def test_equal_to_torchvision(family: Family, theirs: str, ours: str, size: int, options: dict[str, Any]) -> None:
    models = peer("torchvision").models
    torch.manual_seed(0)
    model = getattr(models, theirs)(weights=None, num_classes=10)
    difference = differences(model, Classifier(ours, 10, **options), family, size)
    print(f"{theirs}: largest relative difference {difference:.1e}")
    assert difference < IDENTICAL


def test_dilation_equals_that_of_torchvision() -> None:
    models = peer("torchvision").models
    torch.manual_seed(0)
    model = models.resnet50(weights=None, num_classes=10, replace_stride_with_dilation=[False, True, True])
    ours = Classifier("resnet50", 10, norm="batch", output_stride=8)
    assert differences(model, ours, "resnet", 96) < IDENTICAL
