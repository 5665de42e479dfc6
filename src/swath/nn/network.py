"""A backbone with a head: from an image to logits of the size of the image, or to numbers per image."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor, nn

from swath.errors import ConfigError, ContractError, nearest
from swath.nn.build import IMAGE_BACKBONES, BackboneOptions, ImageBackbone, backbone
from swath.nn.checks import check_parameters, check_whole, pad_to
from swath.nn.heads import FCNHead, LinearHead, UPerNetHead, VectorHead
from swath.nn.pyramid import SimplePyramid, TimePool
from swath.nn.transposed_head import TransposedHead
from swath.nn.unet import UNetDecoder, UNetEncoder
from swath.nn.vit import ViT
from swath.types import Features

Head = Literal["vector", "linear", "fcn", "unet", "upernet", "transposed"]
HEADS: tuple[Head, ...] = ("vector", "linear", "fcn", "unet", "upernet", "transposed")
"""``vector`` gives numbers per image, the others numbers per pixel."""


@dataclass(frozen=True)
class NetworkSpec:
    """All that fixes the shape of a network: what a checkpoint stores.

    Args:
        backbone: name of a backbone for images.
        bands: bands of the input.
        outputs: classes, labels or regression targets.
        head: one of ``HEADS``.
        head_width: channels of the maps inside a pyramid or an FCN or UPerNet head.
        options: what differs from the published size of the backbone: names and values of ``BackboneOptions``.

    Raises:
        ConfigError: a name is unknown or a number out of range.
    """

    backbone: str
    bands: int
    outputs: int
    head: Head = "upernet"
    head_width: int = 128
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_whole("Network", {name: getattr(self, name) for name in ("bands", "outputs", "head_width")})
        for name, value, known in (("backbone", self.backbone, IMAGE_BACKBONES), ("head", self.head, HEADS)):
            if value not in known:
                raise ConfigError(
                    f"Network: the {name} '{str(value)[:40]}' is unknown",
                    expected=f"one of {', '.join(known)}",
                    remedy=f"the nearest is {nearest(str(value), known, 1)}",
                )
        unknown = [name for name in self.options if name not in vars(BackboneOptions())]
        if unknown:
            raise ConfigError(
                f"Network: the option '{unknown[0][:40]}' is unknown",
                expected=f"one of {', '.join(vars(BackboneOptions()))}",
                remedy=f"the nearest is {nearest(unknown[0], vars(BackboneOptions()), 1)}",
            )


def _check_head(spec: NetworkSpec, channels: tuple[int, ...]) -> None:
    """A pyramid and a head hold about so many weights; a U-Net's decoder is of the size of the backbone."""
    inner = 9 * spec.head_width * (8 * spec.head_width + 2 * sum(channels))
    check_parameters("head", inner + spec.outputs * 16 * max(spec.head_width, *channels))


class Network(nn.Module):
    """Any backbone for images with any head.

    A plain transformer gets a ``SimplePyramid`` between it and a head that reads a pyramid; the dates of an image
    series are pooled (mean over the dates present).

    Args:
        backbone: name of a backbone for images.
        bands: bands of the input.
        outputs: numbers per pixel, or per image with the head ``vector``.
        head: one of ``HEADS``.
        head_width: channels inside a pyramid or head.
        options: what differs from the published size of the backbone.

    Raises:
        ConfigError: a name is unknown or a number out of range.
    """

    def __init__(
        self,
        backbone: str,
        bands: int,
        outputs: int,
        *,
        head: Head = "upernet",
        head_width: int = 128,
        options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.spec = NetworkSpec(backbone, bands, outputs, head, head_width, dict(options or {}))
        self.backbone = _build(self.spec)
        channels, strides = self.backbone.channels, self.backbone.strides
        _check_head(self.spec, channels)
        # The strides of a U-Net must divide the image; the others round up by themselves.
        self.multiple = max(strides) if isinstance(self.backbone, UNetEncoder) else 1
        dates = self.backbone.spec.dates if isinstance(self.backbone, ViT) else None
        self.pool = None if dates is None else TimePool(channels, strides)
        self.pyramid: SimplePyramid | None = None
        if head in ("unet", "upernet") and len(set(strides)) == 1:
            self.pyramid = SimplePyramid(channels, strides, head_width)
            channels, strides = self.pyramid.channels, self.pyramid.strides
        self.head = make_head(head, channels, strides, outputs, head_width)

    def forward(self, image: Tensor, present: Tensor | None = None) -> Tensor:
        """``(B, outputs, H, W)``, or ``(B, outputs)`` with the head ``vector``.

        Args:
            image: ``(B, C, H, W)``, or ``(B, T, C, H, W)`` for a backbone with dates; any size.
            present: bool ``(B, T)``: dates that may be used; for a backbone with dates only.

        Raises:
            ContractError: the image does not fit, or ``present`` is given to a network without dates.
        """
        rows, columns = image.shape[-2:]
        logits: Tensor = self.head(self.features(image, present))
        return logits[..., :rows, :columns] if self.spec.head != "vector" else logits

    def features(self, image: Tensor, present: Tensor | None = None) -> Features:
        """What the head sees; see ``forward``."""
        if self.pool is None:
            if present is not None:
                raise ContractError(
                    "A mask of dates was given to a network of single images",
                    expected="no mask",
                    remedy="build the network with the option dates, or leave the mask out",
                )
            features: Features = self.backbone(pad_to(image, self.multiple) if image.ndim == 4 else image)
        else:
            features = self.pool(self._series(image, present), self._dates_of_tokens(present))
        return self.pyramid(features) if self.pyramid is not None else features

    def _series(self, image: Tensor, present: Tensor | None) -> Features:
        tokens = self._dates_of_tokens(present)
        if tokens is None or not isinstance(self.backbone, ViT):
            return self.backbone(image)
        patch = self.backbone.spec.patch
        size = (-(-image.shape[-2] // patch), -(-image.shape[-1] // patch))
        return self.backbone(image, tokens[:, :, None, None].expand(*tokens.shape, *size))

    def _dates_of_tokens(self, present: Tensor | None) -> Tensor | None:
        """Bool ``(B, L)``: tokens with at least one date present."""
        if present is None or not isinstance(self.backbone, ViT):
            return None
        step = self.backbone.spec.tubelet
        padded = nn.functional.pad(present, (0, -present.shape[1] % step))
        return padded.unflatten(1, (-1, step)).any(2)


def make_head(kind: Head, channels: tuple[int, ...], strides: tuple[int, ...], outputs: int, width: int) -> nn.Module:
    """A head for a backbone of these channels and strides.

    Raises:
        ConfigError: ``kind`` is unknown.
    """
    match kind:
        case "vector":
            return VectorHead(channels[-1], outputs)
        case "linear":
            return LinearHead(channels, strides, outputs)
        case "fcn":
            return FCNHead(channels, strides, outputs, width=width)
        case "unet":
            return UNetDecoder(channels, strides, outputs)
        case "upernet":
            return UPerNetHead(channels, strides, outputs, width=width)
        case "transposed":
            return TransposedHead(channels, strides, outputs)
    raise ConfigError(f"The head {kind!r} is unknown", expected=f"one of {', '.join(HEADS)}", remedy="choose one")


def _build(spec: NetworkSpec) -> ImageBackbone:
    built = backbone(spec.backbone, spec.bands, BackboneOptions(**spec.options))
    if not isinstance(built, ImageBackbone):  # the spec allows the names of backbones for images only
        raise ConfigError(f"'{spec.backbone}' takes no images", expected="a backbone for images", remedy="choose one")
    return built
