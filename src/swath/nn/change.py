"""Change between two dates: one backbone for both, joined level by level.

Daudt, Le Saux, Boulch, "Fully convolutional siamese networks for change detection", ICIP 2018, for the two ways of
joining; Ding et al., "Bi-temporal semantic reasoning for the semantic change detection", TGRS 2022, for three outputs.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from swath.errors import ConfigError, ContractError
from swath.types import Features

Combine = Literal["difference", "concat"]


def combined_channels(channels: tuple[int, ...], combine: Combine) -> tuple[int, ...]:
    """Channels of the levels that ``combine_dates`` gives.

    Raises:
        ConfigError: ``combine`` is another word.
    """
    _check_combine(combine)
    return tuple(number * (2 if combine == "concat" else 1) for number in channels)


def combine_dates(before: Features, after: Features, combine: Combine) -> Features:
    """Levels of two dates joined: ``|after - before|`` (the order of dates does not matter) or both side by side."""
    _check_combine(combine)

    def join(first: Tensor, second: Tensor) -> Tensor:
        return (second - first).abs() if combine == "difference" else torch.cat([first, second], dim=1)

    maps = tuple(join(first, second) for first, second in zip(before.maps, after.maps, strict=True))
    both = before.cls is not None and after.cls is not None
    return Features(maps, before.strides, cls=join(before.cls, after.cls) if both else None)  # type: ignore[arg-type]


class ChangeNetwork(nn.Module):
    """Change logits per pixel, or per image with a vector head.

    Args:
        backbone: image to features.
        head: built for ``combined_channels(backbone.channels, combine)``.
        combine: how dates are joined.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module, combine: Combine = "difference") -> None:
        super().__init__()
        _check_combine(combine)
        self.backbone, self.head, self.combine = backbone, head, combine

    def forward(self, images: Tensor) -> Tensor:
        """``(B, outputs, H, W)`` or ``(B, outputs)`` from ``(B, 2, C, H, W)``.

        Raises:
            ContractError: there are not two dates.
        """
        before, after = _both(self.backbone, images)
        logits: Tensor = self.head(combine_dates(before, after, self.combine))
        return logits[..., : images.shape[-2], : images.shape[-1]] if logits.ndim == 4 else logits


class SemanticChangeNetwork(nn.Module):
    """Land cover at both dates and where it changed, from one backbone.

    Args:
        backbone: image to features.
        cover: dense head for land cover, built for the backbone's channels; used for both dates.
        change: dense head for change, built for ``combined_channels``.
        combine: how dates are joined.
    """

    def __init__(
        self, backbone: nn.Module, cover: nn.Module, change: nn.Module, combine: Combine = "difference"
    ) -> None:
        super().__init__()
        _check_combine(combine)
        self.backbone, self.cover, self.change, self.combine = backbone, cover, change, combine

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """``before`` and ``after`` ``(B, classes, H, W)`` and ``change`` ``(B, outputs, H, W)``.

        Raises:
            ContractError: there are not two dates.
        """
        before, after = _both(self.backbone, images)
        logits = {
            "before": self.cover(before),
            "after": self.cover(after),
            "change": self.change(combine_dates(before, after, self.combine)),
        }
        return {name: value[..., : images.shape[-2], : images.shape[-1]] for name, value in logits.items()}


def _both(backbone: nn.Module, images: Tensor) -> tuple[Features, Features]:
    if images.ndim != 5 or images.shape[1] != 2:
        raise ContractError(
            f"The images have shape {tuple(images.shape)}",
            expected="(sample, 2 dates, band, y, x)",
            remedy="give the image before and the image after along the date axis",
        )
    # One pass for both dates. Batch normalisation then takes its statistics over both, as published networks do.
    features: Features = backbone(images.flatten(0, 1))
    return _date(features, 0), _date(features, 1)


def _date(features: Features, date: int) -> Features:
    cls = None if features.cls is None else features.cls[date::2]
    return Features(tuple(part[date::2] for part in features.maps), features.strides, cls=cls)


def _check_combine(combine: str) -> None:
    if combine not in ("difference", "concat"):
        raise ConfigError(
            f"The dates are to be joined by {combine!r}", expected="difference or concat", remedy="choose one"
        )
