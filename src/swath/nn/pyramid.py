"""From the single scale of a plain transformer, or the dates of a series, to the pyramid that decoders read."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swath.errors import ConfigError, ContractError
from swath.nn.norms import ChannelNorm
from swath.types import Features


class SimplePyramid(nn.Module):
    """Four levels from maps of one stride s: s / 4, s / 2, s and 2 s.

    Li et al., "Exploring plain vision transformer backbones for object detection", ECCV 2022: transposed convolutions
    upwards and pooling downwards. Each level is built from one of the taps, the last four in order; with fewer taps the
    last one serves the rest, as in the paper.

    Args:
        channels: channels of each tapped map.
        strides: strides of the maps, all the same multiple of 4.
        width: channels of each level that comes out.

    Raises:
        ConfigError: the strides differ or 4 does not divide them.
    """

    def __init__(self, channels: tuple[int, ...], strides: tuple[int, ...], width: int = 256) -> None:
        super().__init__()
        if not channels or len(set(strides)) != 1 or strides[0] % 4:
            raise ConfigError(
                f"The simple pyramid was given maps of strides {strides}",
                expected="maps of one stride, a multiple of 4",
                remedy="use the maps directly if they already form a pyramid; give the ViT a patch of 4, 8, 16, ...",
            )
        stride = strides[0]
        self.channels, self.strides = (width,) * 4, (stride // 4, stride // 2, stride, 2 * stride)
        first = max(0, len(channels) - 4)
        # Sources of the four levels: the last taps in order, the very last one where there are too few.
        self.sources = [min(first + level, len(channels) - 1) for level in range(4)]
        inputs = [channels[source] for source in self.sources]
        finest = nn.Sequential(
            nn.ConvTranspose2d(inputs[0], width, 2, 2),
            ChannelNorm(width),
            nn.GELU(),
            nn.ConvTranspose2d(width, width, 2, 2),
        )
        steps: list[nn.Module] = [
            finest,
            nn.ConvTranspose2d(inputs[1], width, 2, 2),
            nn.Conv2d(inputs[2], width, 1),
            nn.Sequential(nn.MaxPool2d(2, 2, ceil_mode=True), nn.Conv2d(inputs[3], width, 1)),
        ]
        self.steps = nn.ModuleList(
            nn.Sequential(step, ChannelNorm(width), nn.Conv2d(width, width, 3, padding=1), ChannelNorm(width))
            for step in steps
        )

    def forward(self, features: Features) -> Features:
        """Levels ``(B, width, h_l, w_l)``, finest first; tokens and class token are passed on.

        Raises:
            ContractError: the maps are too few, or keep a date axis.
        """
        check_maps(features, max(self.sources) + 1)
        maps = tuple(step(features.maps[source]) for step, source in zip(self.steps, self.sources, strict=True))
        return Features(maps, self.strides, features.tokens, features.cls)


class TimePool(nn.Module):
    """Maps with a date axis to maps without.

    ``mean`` over the dates present, ``max`` over them, or ``attention``: weights ``softmax_t(u . x_t)`` with a learned
    vector u per level, each pixel by itself (a small relative of Garnot and Landrieu, "Lightweight temporal
    self-attention", 2020).

    Args:
        channels: channels of each level.
        strides: strides of the levels.
        kind: how dates are joined.

    Raises:
        ConfigError: ``kind`` is another word.
    """

    def __init__(
        self,
        channels: tuple[int, ...],
        strides: tuple[int, ...],
        kind: Literal["mean", "max", "attention"] = "mean",
    ) -> None:
        super().__init__()
        if kind not in ("mean", "max", "attention"):
            raise ConfigError(f"TimePool: the kind is {kind!r}", expected="mean, max or attention", remedy="choose one")
        self.channels, self.strides, self.kind = channels, strides, kind
        # With zeros the start is the mean.
        self.scores = nn.ParameterList(torch.zeros(width) for width in channels if kind == "attention")

    def forward(self, features: Features, present: Tensor | None = None) -> Features:
        """Levels ``(B, C_l, h_l, w_l)`` from ``(B, T, C_l, h_l, w_l)``; 0 where no date is present.

        Args:
            features: of a series of images.
            present: bool ``(B, T)``, or ``(B, T, h, w)`` for maps of one size, or None for all dates.

        Raises:
            ContractError: a map has no date axis.
        """
        _check_dated(features, "TimePool pools dates")
        maps = []
        for level, part in enumerate(features.maps):
            mask = torch.ones(part.shape[:2], dtype=torch.bool, device=part.device) if present is None else present
            mask = mask[:, :, None, None, None] if mask.ndim == 2 else mask[:, :, None]
            maps.append(self._pool(part, mask, level))
        return Features(tuple(maps), features.strides, features.tokens, features.cls)

    def _pool(self, part: Tensor, mask: Tensor, level: int) -> Tensor:
        if self.kind == "mean":
            return torch.where(mask, part, 0.0).sum(1) / mask.sum(1).clamp_min(1)
        some = mask.any(1)
        if self.kind == "max":
            lowest = torch.finfo(part.dtype).min
            return torch.where(some, torch.where(mask, part, lowest).amax(1), 0.0)
        score = torch.einsum("btchw,c->bthw", part, self.scores[level])[:, :, None]
        score = torch.where(mask, score, torch.finfo(part.dtype).min)
        return torch.where(some, (score.softmax(1) * torch.where(mask, part, 0.0)).sum(1), 0.0)


def dates_to_channels(features: Features, first: Literal["date", "channel"] = "date") -> Features:
    """Maps ``(B, T, C_l, h_l, w_l)`` to ``(B, T C_l, h_l, w_l)``.

    Decoders that are built for a fixed number of dates read them so (Jakubik et al., arXiv 2310.18660); ``TimePool``
    takes any number. Tokens and class token are passed on.

    Args:
        features: of a series of images.
        first: what comes one after the other: the dates, each with all its channels, or the channels, each with all
            its dates, which is the order of the published head (``swath.nn.transposed_head``).

    Raises:
        ContractError: a map has no date axis.
    """
    _check_dated(features, "Dates can only become channels where there are dates")
    turned = (part if first == "date" else part.transpose(1, 2) for part in features.maps)
    maps = tuple(part.flatten(1, 2) for part in turned)
    return Features(maps, features.strides, features.tokens, features.cls)


def restride(features: Features, stride: int) -> Features:
    """Maps of one stride resized to another, bilinear, for heads that need a multiple of 4 (patches of 14 pixels).

    Args:
        features: maps ``(B, [T,] C, h, w)`` of equal strides.
        stride: the wanted one in input pixels.

    Returns:
        Maps of ``round(h old / new)`` rows and as many columns, at least 1.

    Raises:
        ConfigError: the stride is below 1, or those of the maps differ.
    """
    old = set(features.strides)
    if len(old) != 1 or stride < 1:
        raise ConfigError(
            f"Maps of strides {features.strides} cannot get the stride {stride}",
            expected="maps of one stride and a new one of at least 1",
            remedy="take the maps of a plain transformer",
        )
    share = features.strides[0] / stride
    maps = []
    for part in features.maps:
        size = [max(1, round(side * share)) for side in part.shape[-2:]]
        flat = part.flatten(0, 1) if part.ndim == 5 else part
        resized = F.interpolate(flat, size=size, mode="bilinear", align_corners=False)
        maps.append(resized.unflatten(0, part.shape[:2]) if part.ndim == 5 else resized)
    return Features(tuple(maps), (stride,) * len(maps), features.tokens, features.cls)


def per_date(backbone: nn.Module, images: Tensor) -> Features:
    """Apply a backbone of single images to every date of ``(B, T, C, H, W)``.

    Returns:
        Maps ``(B, T, C_l, h_l, w_l)``; ``cls`` is the mean over dates of the backbone's, if it has one; no tokens.

    Raises:
        ContractError: there is no date axis.
    """
    if images.ndim != 5 or 0 in images.shape[:2]:
        raise ContractError(
            f"The images have shape {tuple(images.shape)}",
            expected="(sample, date, band, y, x) with at least one sample and date",
            remedy="add the date axis",
        )
    size = images.shape[:2]
    features: Features = backbone(images.flatten(0, 1))
    cls = None if features.cls is None else features.cls.unflatten(0, size).mean(1)
    return Features(tuple(part.unflatten(0, size) for part in features.maps), features.strides, cls=cls)


def _check_dated(features: Features, why: str) -> None:
    if not features.maps or any(part.ndim != 5 for part in features.maps):
        raise ContractError(
            f"{why}, and the maps have shape {[tuple(part.shape) for part in features.maps]}",
            expected="maps (sample, date, channel, y, x)",
            remedy="encode a series of images, or leave this part out",
        )


def check_maps(features: Features, levels: int) -> None:
    """Refuse features with too few maps or with a date axis.

    Raises:
        ContractError: says which.
    """
    if len(features.maps) < levels or any(part.ndim != 4 for part in features.maps):
        raise ContractError(
            f"The features have maps of shape {[tuple(part.shape) for part in features.maps]}",
            expected=f"at least {levels} maps (sample, channel, y, x)",
            remedy="build this part from the channels and strides of the same backbone; pool dates with TimePool first",
        )
