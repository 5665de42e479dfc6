"""Backbones by name: one line per published or desk size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from swath.errors import ConfigError, nearest
from swath.nn.norms import Norm
from swath.nn.resnet import ResNet, ResNetSpec
from swath.nn.series import Gru, SeriesSpec, SeriesTransformer, TempCNN, series_encoder
from swath.nn.swin import Swin, SwinSpec
from swath.nn.unet import UNetEncoder, UNetSpec
from swath.nn.vit import Positions, ViT, ViTSpec

IMAGE_BACKBONES = (
    *("vit_micro", "vit_tiny", "vit_small", "vit_base", "vit_large"),
    *("swin_micro", "swin_tiny", "swin_small", "swin_base"),
    *("swin2_micro", "swin2_tiny", "swin2_small", "swin2_base"),
    *("resnet18", "resnet34", "resnet50", "unet"),
)
"""Names of backbones that take images; ``micro`` is our size for small chips on two processor cores."""
SERIES_BACKBONES = ("tempcnn", "gru", "transformer")
"""Names of backbones that take series."""
NAMES = (*IMAGE_BACKBONES, *SERIES_BACKBONES)

_VIT = {"tiny": (192, 12, 3), "small": (384, 12, 6), "base": (768, 12, 12), "large": (1024, 24, 16)}
_SWIN = {
    "micro": (32, (2, 2, 2), (2, 4, 8)),
    "tiny": (96, (2, 2, 6, 2), (3, 6, 12, 24)),
    "small": (96, (2, 2, 18, 2), (3, 6, 12, 24)),
    "base": (128, (2, 2, 18, 2), (4, 8, 16, 32)),
}


@dataclass(frozen=True)
class BackboneOptions:
    """What may differ from the published size; None leaves it as published.

    Args:
        image: ViT: side in pixels for which learned positions are laid out.
        patch: ViT, Swin: side of a patch.
        window: Swin: side of a window in tokens.
        width: all: channels of the first stage, or numbers per token.
        depth: ViT, U-Net, series: blocks, halvings or layers.
        positions: ViT: ``learned`` or ``fixed``.
        dates: ViT: number of dates; turns it into one of image series.
        tubelet: ViT: dates per token.
        groups: ViT: numbers of the bands in each group.
        taps: ViT: blocks whose outputs become maps.
        norm: ResNet, U-Net: kind of normalisation.
        output_stride: ResNet: 32, 16 or 8.
        stem_stride: ResNet, U-Net: stride of the stem.
        drop_path: ViT, Swin: largest rate of stochastic depth.
        dropout: series: share of numbers dropped.
    """

    image: int | None = None
    patch: int | None = None
    window: int | None = None
    width: int | None = None
    depth: int | None = None
    positions: Positions | None = None
    dates: int | None = None
    tubelet: int | None = None
    groups: Sequence[Sequence[int]] | None = None
    taps: Sequence[int] | None = None
    norm: Norm | None = None
    output_stride: int | None = None
    stem_stride: int | None = None
    drop_path: float | None = None
    dropout: float | None = None

    def given(self) -> dict[str, Any]:
        """The options that differ from None."""
        return {name: value for name, value in vars(self).items() if value is not None}


Shape = TypeVar("Shape", ViTSpec, SwinSpec, ResNetSpec, UNetSpec, SeriesSpec)
ImageBackbone = ViT | Swin | ResNet | UNetEncoder
Backbone = ImageBackbone | TempCNN | Gru | SeriesTransformer


def backbone(name: str, bands: int, options: BackboneOptions | None = None) -> Backbone:
    """A backbone with fresh weights.

    Args:
        name: one of ``NAMES``.
        bands: bands of the input, any number of at least 1.
        options: what differs from the size that the name stands for.

    Raises:
        ConfigError: the name is unknown (the nearest are named), an option does not belong to this family, or a value
            is out of range.
    """
    options = options or BackboneOptions()
    match name.split("_"):
        case ["vit", "micro"]:
            small = ViTSpec(bands, image=64, patch=8, width=96, depth=6, heads=3, taps=(1, 2, 3, 5))
            return ViT(_vary(name, small, options))
        case ["vit", size] if size in _VIT:
            width, depth, heads = _VIT[size]
            spec = ViTSpec(bands, width=width, depth=depth, heads=heads, taps=_quarters(depth))
            return ViT(_vary(name, spec, options))
        case [("swin" | "swin2") as family, size] if size in _SWIN:
            width, depths, heads_per_stage = _SWIN[size]
            window = 7 if family == "swin" else 8
            window = 4 if size == "micro" else window
            patch = 2 if size == "micro" else 4
            swin = SwinSpec(bands, width, depths, heads_per_stage, window, patch, 1 if family == "swin" else 2)
            return Swin(_vary(name, swin, options))
        case [("resnet18" | "resnet34" | "resnet50") as resnet]:
            return ResNet(_vary(name, ResNetSpec(bands, int(resnet.removeprefix("resnet"))), options, ("depth",)))
        case ["unet"]:
            # The number of logits belongs to the decoder; the encoder does not use it.
            return UNetEncoder(_vary(name, UNetSpec(bands, 1), options))
        case [("tempcnn" | "gru" | "transformer") as kind]:
            return series_encoder(_vary(name, SeriesSpec(kind, bands), options))
    raise ConfigError(
        f"The backbone '{name[:40]}' is unknown",
        expected=f"one of {', '.join(NAMES)}",
        remedy=f"the nearest is {nearest(name, NAMES, 1)}",
    )


def _vary(name: str, spec: Shape, options: BackboneOptions, fixed: tuple[str, ...] = ()) -> Shape:
    """The spec with the options that were given."""
    given = options.given()
    known = {field.name for field in fields(spec)} - set(fixed)
    unknown = [option for option in given if option not in known]
    if unknown:
        own = [option for option in vars(options) if option in known]
        raise ConfigError(
            f"The backbone '{name}' has no option '{unknown[0]}'",
            expected=f"options among {', '.join(own)}",
            remedy=f"leave '{unknown[0]}' out",
        )
    if isinstance(spec, ViTSpec) and "depth" in given and "taps" not in given:
        given["taps"] = _quarters(given["depth"])
    return replace(spec, **given)


def _quarters(depth: int) -> tuple[int, ...]:
    """The last block of each quarter of the depth."""
    if not isinstance(depth, int):
        return ()
    return tuple(sorted({max(depth * part // 4 - 1, 0) for part in (1, 2, 3, 4)}))
