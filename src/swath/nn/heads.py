"""Heads: from features to numbers per image or per pixel.

Dense heads are built from the channels and strides of any backbone and give ``(B, outputs, s h, s w)`` for a finest map
``(B, C, h, w)`` of stride s: the size of the input, or of its padding, from which ``swath.nn.network`` crops. The
U-Net-like one is ``swath.nn.UNetDecoder``. What the numbers mean is the loss's affair: the same head serves classes
(cross-entropy), several labels at once (binary cross-entropy) and ordered classes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swath.errors import ConfigError, ContractError
from swath.nn.checks import check_whole
from swath.nn.norms import Norm, make_norm
from swath.nn.pyramid import check_maps
from swath.types import Features


class VectorHead(nn.Module):
    """Numbers per image: classes, labels or regression targets.

    Args:
        channels: channels of the class token, or of the last map.
        outputs: numbers per image.
        hidden: width of a hidden layer, 0 for a linear head.
        dropout: share of inputs dropped while training.
    """

    def __init__(self, channels: int, outputs: int, *, hidden: int = 0, dropout: float = 0.0) -> None:
        super().__init__()
        check_whole("VectorHead", {"channels": channels, "outputs": outputs})
        check_whole("VectorHead", {"hidden": hidden}, smallest=0)
        self.dropout = nn.Dropout(dropout)
        self.hidden = nn.Sequential(nn.Linear(channels, hidden), nn.GELU()) if hidden else nn.Identity()
        self.output = nn.Linear(hidden or channels, outputs)

    def forward(self, features: Features) -> Tensor:
        """``(B, outputs)`` from ``cls``; without one from the mean of the last map, or of the tokens.

        Raises:
            ContractError: the features hold none of them.
        """
        return self.output(self.hidden(self.dropout(pooled(features))))


class LinearHead(nn.Module):
    """A linear map of each place of the last map, enlarged bilinearly: what a frozen backbone knows.

    Args:
        channels: channels of the feature levels, finest first.
        strides: strides of the levels.
        outputs: numbers per pixel.
    """

    def __init__(self, channels: tuple[int, ...], strides: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        _check_levels(channels, strides, outputs)
        self.stride = strides[-1]
        self.output = nn.Conv2d(channels[-1], outputs, 1)

    def forward(self, features: Features) -> Tensor:
        """``(B, outputs, s h, s w)`` for the last map's stride s."""
        check_maps(features, 1)
        return _enlarge(self.output(features.maps[-1]), self.stride)


class FCNHead(nn.Module):
    """Convolutions on the last map (Long, Shelhamer, Darrell, "Fully convolutional networks", CVPR 2015).

    Args:
        channels: channels of the feature levels, finest first.
        strides: strides of the levels.
        outputs: numbers per pixel.
        width: channels of the hidden convolutions.
        depth: number of hidden convolutions.
        norm: kind of normalisation.
    """

    def __init__(
        self,
        channels: tuple[int, ...],
        strides: tuple[int, ...],
        outputs: int,
        *,
        width: int = 256,
        depth: int = 2,
        norm: Norm = "group",
    ) -> None:
        super().__init__()
        _check_levels(channels, strides, outputs)
        self.stride = strides[-1]
        widths = [channels[-1], *[width] * depth]
        self.hidden = nn.Sequential(*(_conv(widths[index], width, 3, norm) for index in range(depth)))
        self.output = nn.Conv2d(widths[-1], outputs, 1)

    def forward(self, features: Features) -> Tensor:
        """``(B, outputs, s h, s w)`` for the last map's stride s."""
        check_maps(features, 1)
        return _enlarge(self.output(self.hidden(features.maps[-1])), self.stride)


class UPerNetHead(nn.Module):
    """Pyramid pooling on the coarsest level, a feature pyramid upwards, and one fused map.

    Xiao et al., "Unified perceptual parsing for scene understanding", ECCV 2018. Ours differs: group normalisation, and
    bins larger than the map are allowed (they repeat pixels), so that small chips go in.

    Args:
        channels: channels of the feature levels, finest first.
        strides: strides of the levels.
        outputs: numbers per pixel.
        width: channels of all inner maps.
        bins: sides to which the coarsest map is pooled.
        norm: kind of normalisation.
    """

    def __init__(
        self,
        channels: tuple[int, ...],
        strides: tuple[int, ...],
        outputs: int,
        *,
        width: int = 256,
        bins: tuple[int, ...] = (1, 2, 3, 6),
        norm: Norm = "group",
    ) -> None:
        super().__init__()
        _check_levels(channels, strides, outputs)
        self.stride, self.bins = strides[0], bins
        self.pooled = nn.ModuleList(_conv(channels[-1], width, 1, norm) for _ in bins)
        self.context = _conv(channels[-1] + width * len(bins), width, 3, norm)
        self.lateral = nn.ModuleList(_conv(number, width, 1, norm) for number in channels[:-1])
        self.smooth = nn.ModuleList(_conv(width, width, 3, norm) for _ in channels[:-1])
        self.fuse = _conv(width * len(channels), width, 3, norm)
        self.output = nn.Conv2d(width, outputs, 1)

    def forward(self, features: Features) -> Tensor:
        """``(B, outputs, s h, s w)`` for the finest map ``(B, C, h, w)`` of stride s."""
        check_maps(features, len(self.lateral) + 1)
        coarse = features.maps[len(self.lateral)]
        size = coarse.shape[-2:]
        pools = [
            _resize(convolution(F.adaptive_avg_pool2d(coarse, side)), size)
            for side, convolution in zip(self.bins, self.pooled, strict=True)
        ]
        levels = [self.context(torch.cat([coarse, *pools], dim=1))]
        for index in reversed(range(len(self.lateral))):
            fine = self.lateral[index](features.maps[index])
            levels.append(fine + _resize(levels[-1], fine.shape[-2:]))
        levels.reverse()
        size = levels[0].shape[-2:]
        smooth = [step(level) for step, level in zip(self.smooth, levels[:-1], strict=True)]
        joined = torch.cat([_resize(level, size) for level in (*smooth, levels[-1])], dim=1)
        return _enlarge(self.output(self.fuse(joined)), self.stride)


class RegressionOutput(nn.Module):
    """Raw numbers to a mean, and a log variance when asked for; for heads per image and per pixel alike.

    Args:
        targets: numbers to predict, K.
        positive: pass the mean through ``log(1 + exp(x))``, for heights, biomass and other amounts.
        variance: the head also gives the log variance, for ``losses.gaussian_nll``.
        smallest: the log variance is kept at this or above, against certainty without bound.
    """

    def __init__(
        self, targets: int, *, positive: bool = False, variance: bool = False, smallest: float = -10.0
    ) -> None:
        super().__init__()
        check_whole("RegressionOutput", {"targets": targets})
        self.targets, self.positive, self.variance, self.smallest = targets, positive, variance, smallest
        self.raw = targets * (2 if variance else 1)
        """Numbers that the head must give."""

    def forward(self, raw: Tensor) -> dict[str, Tensor]:
        """``mean`` and, when asked for, ``log_variance``, each ``(B, K, ...)``, from ``(B, raw, ...)``.

        Raises:
            ContractError: the head gives another number of values.
        """
        if raw.ndim < 2 or raw.shape[1] != self.raw:
            raise ContractError(
                f"The head gave {tuple(raw.shape)}",
                expected=f"(sample, {self.raw}, ...)",
                remedy="build the head with outputs = RegressionOutput.raw",
            )
        mean = raw[:, : self.targets]
        result = {"mean": F.softplus(mean) if self.positive else mean}
        if self.variance:
            result["log_variance"] = raw[:, self.targets :].clamp_min(self.smallest)
        return result


def pooled(features: Features) -> Tensor:
    """One vector per sample ``(B, D)``: the class token, else the mean of the last map, else that of the tokens.

    Raises:
        ContractError: the features hold none of them.
    """
    if features.cls is not None:
        return features.cls
    if features.maps:
        last = features.maps[-1]
        return last.mean((2, 3)) if last.ndim == 4 else last.mean((1, 3, 4))
    if features.tokens is not None:
        return features.tokens.mean(1)
    raise ContractError(
        "Features hold no map, no tokens and no class token", expected="one of them", remedy="return what encode() gave"
    )


def _check_levels(channels: tuple[int, ...], strides: tuple[int, ...], outputs: int) -> None:
    check_whole("The head", {"outputs": outputs})
    if len(channels) != len(strides) or not channels:
        raise ConfigError(
            f"The head was given {len(channels)} channel counts and {len(strides)} strides",
            expected="one of each per feature level, at least one level",
            remedy="pass the channels and strides of the backbone",
        )


def _conv(inputs: int, outputs: int, kernel: int, norm: Norm) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False),
        make_norm(outputs, norm),
        nn.ReLU(inplace=True),
    )


def _resize(maps: Tensor, size: torch.Size) -> Tensor:
    return maps if maps.shape[-2:] == size else F.interpolate(maps, size=size, mode="bilinear", align_corners=False)


def _enlarge(maps: Tensor, stride: int) -> Tensor:
    return _resize(maps, torch.Size([maps.shape[-2] * stride, maps.shape[-1] * stride]))
