"""An encoder as pretraining has it, under a head: numbers per pixel or per sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from swath.errors import ConfigError
from swath.nn.checks import check_whole
from swath.nn.grouped import GroupedEncoder, GroupedSpec
from swath.nn.masked_autoencoder import MaskedAutoencoderSpec, SpaceTimeEncoder
from swath.nn.network import Head, make_head
from swath.nn.pyramid import SimplePyramid, TimePool, dates_to_channels, restride
from swath.nn.time_place import TimePlace
from swath.nn.token_maps import multiple_of_four, present_tokens, to_pixels
from swath.types import Features

Encoder = GroupedEncoder | SpaceTimeEncoder
Dates = Literal["mean", "max", "attention", "channels"]
"""How the dates of the maps are joined: pooled, see ``nn.TimePool``, or put side by side as channels."""


@dataclass(frozen=True)
class Reading:
    """How an encoder that was trained elsewhere reads the images.

    Args:
        slots: for each band of the input its place among the bands of the encoder; () for its own bands in order. A
            band of the encoder that nothing serves is its mean, 0, and a group of bands without any is not looked at.
        levels: 0, or the number of steps from 0 to 1 to which values are rounded down after two standard deviations on
            each side of the mean became 0 to 1, as some weights were trained.
        masked: leave tokens without any valid pixel out of the attention and of the pooling of dates.
        told: give when and where to an encoder that knows them.
    """

    slots: tuple[int, ...] = ()
    levels: int = 0
    masked: bool = False
    told: bool = False

    def __post_init__(self) -> None:
        # A checkpoint stores a list where the constructor was given a tuple.
        object.__setattr__(self, "slots", tuple(self.slots))


@dataclass(frozen=True)
class PretrainedSpec:
    """All that fixes the shape of a network with a pretrained encoder: what a checkpoint stores.

    Args:
        encoder: arguments of ``GroupedSpec`` or ``MaskedAutoencoderSpec``.
        out_channels: classes, labels or quantities.
        head: kind of head, see ``nn.network``.
        head_width: channels inside a pyramid or head.
        join: how dates are joined.
        dates: number of dates; only ``channels`` needs it.
        reading: arguments of ``Reading``.
    """

    encoder: dict[str, Any]
    out_channels: int
    head: Head = "upernet"
    head_width: int = 128
    join: Dates = "mean"
    dates: int = 1
    reading: dict[str, Any] | None = None

    @property
    def in_channels(self) -> int:
        """Bands of the input."""
        return len((self.reading or {}).get("slots", ())) or int(self.encoder["bands"])


class PretrainedNetwork(nn.Module):
    """An encoder as pretraining has it, with a head: numbers per pixel, or per sample with the head ``vector``.

    A network of groups of bands sees every date by itself. Patches that 4 does not divide are brought to the nearest
    multiple of 4 for heads that read a pyramid.

    Args:
        encoder: arguments of ``GroupedSpec`` or ``MaskedAutoencoderSpec``.
        out_channels: classes, labels or quantities.
        head: kind of head.
        head_width: channels inside a pyramid or head.
        join: how dates are joined.
        dates: number of dates; only ``channels`` needs it.
        reading: arguments of ``Reading``; as in pretraining where None.

    Raises:
        ConfigError: a number is out of range, the head unknown, or dates are to be channels for the head ``vector``.
    """

    def __init__(
        self,
        encoder: Mapping[str, Any],
        out_channels: int,
        head: Head = "upernet",
        head_width: int = 128,
        join: Dates = "mean",
        dates: int = 1,
        reading: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        check_whole("The network", {"out_channels": out_channels, "head_width": head_width, "dates": dates})
        _check_join(join, head)
        told = None if reading is None else dict(reading)
        self.spec = PretrainedSpec(dict(encoder), out_channels, head, head_width, join, dates, told)
        self.reading = Reading(**(told or {}))
        self.encoder = build_encoder(encoder)
        channels, strides = self.encoder.channels, self.encoder.strides
        several = isinstance(self.encoder, SpaceTimeEncoder) or dates > 1
        self.pool = TimePool(channels, strides, join) if several and join != "channels" else None
        if join == "channels":
            channels = tuple(width * dates for width in channels)
        self.pyramid: SimplePyramid | None = None
        if head in ("unet", "upernet"):
            strides = tuple(multiple_of_four(stride) for stride in strides)
            self.pyramid = SimplePyramid(channels, strides, head_width)
            channels, strides = self.pyramid.channels, self.pyramid.strides
        self.head = make_head(head, channels, strides, out_channels, head_width)

    @property
    def patch(self) -> int:
        """Side of a token in pixels."""
        return self.encoder.strides[0]

    def forward(self, image: Tensor, about: TimePlace | None = None, seen: Tensor | None = None) -> Tensor:
        """``(B, outputs, H, W)``, or ``(B, outputs)``, from standardised ``(B, C, H, W)`` or ``(B, T, C, H, W)``.

        Args:
            image: 0 where invalid.
            about: when and where; without it an encoder that knows them goes without.
            seen: bool ``(B, T, H, W)``, pixels with any valid band; used where the reading is ``masked``.

        Raises:
            ContractError: the image does not fit.
        """
        features = self.features(image, about, seen)
        if self.pyramid is not None:
            whole = multiple_of_four(self.patch)
            features = self.pyramid(features if whole == self.patch else restride(features, whole))
        numbers: Tensor = self.head(features)
        if self.spec.head == "vector":
            return numbers
        size = (int(image.shape[-2]), int(image.shape[-1]))
        return to_pixels(numbers, size, self._cells(size), self.patch, resized=self._resized)

    def features(self, image: Tensor, about: TimePlace | None = None, seen: Tensor | None = None) -> Features:
        """What the encoder gives, dates joined; see ``forward``."""
        series = self._slotted(image if image.ndim == 5 else image[:, None])
        present = None
        if self.reading.masked and seen is not None:
            cells = self._cells((int(series.shape[-2]), int(series.shape[-1])))
            present = present_tokens(seen, cells, self.patch, resized=self._resized)
        if isinstance(self.encoder, GroupedEncoder):
            found = self._grouped(series, present)
        else:
            # A length would fix the number of samples of an exported graph; a shape does not.
            untold = TimePlace.unknown(series.shape[0]) if about is None and self.encoder.spec.conditions else about
            found = self.encoder(series, untold, present)
        if self.spec.join == "channels":
            return dates_to_channels(found, "channel")
        if self.pool is None:
            return Features(tuple(part[:, 0] for part in found.maps), found.strides, found.tokens, found.cls)
        pooled: Features = self.pool(found, present)
        return pooled

    def _grouped(self, series: Tensor, present: Tensor | None) -> Features:
        """Maps ``(B, T, D, h, w)`` of every date by itself; the class token is the mean over the dates seen."""
        size = series.shape[:2]
        mask = None if present is None else present.flatten(0, 1)
        served = self._groups_served()
        if not all(served):
            cells = self._cells((int(series.shape[-2]), int(series.shape[-1])))
            every = series.new_ones((size[0] * size[1], *cells), dtype=torch.bool) if mask is None else mask
            mask = every[:, None] & torch.tensor(served, device=series.device)[:, None, None]
        found: Features = self.encoder(series.flatten(0, 1), mask)
        maps = tuple(part.unflatten(0, size) for part in found.maps)
        if found.cls is None or size[1] == 1:
            return Features(maps, found.strides, found.tokens, found.cls)
        dated = torch.ones(size, device=series.device) if present is None else present.flatten(2).any(2).float()
        weight = dated[..., None]
        cls = (found.cls.unflatten(0, size) * weight).sum(1) / weight.sum(1).clamp_min(1)
        return Features(maps, found.strides, cls=cls)

    def _groups_served(self) -> list[bool]:
        """For each group of bands whether the input has any of it."""
        assert isinstance(self.encoder, GroupedEncoder)  # its caller has seen to it
        slots = self.reading.slots
        return [not slots or any(band in slots for band in group) for group in self.encoder.spec.groups]

    def _slotted(self, series: Tensor) -> Tensor:
        """All bands of the encoder, in its numbers."""
        slots = self.reading.slots
        if slots:
            whole = series.new_zeros((*series.shape[:2], self.encoder.spec.bands, *series.shape[3:]))
            series = whole.index_copy(2, torch.tensor(slots, device=series.device), series)
        levels = self.reading.levels
        if levels:
            series = ((series / 4 + 0.5).clamp(0, 1) * levels).floor() / levels
        return series

    @property
    def _resized(self) -> bool:
        return isinstance(self.encoder, SpaceTimeEncoder) and self.encoder.spec.border == "resize"

    def _cells(self, size: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of tokens."""
        if isinstance(self.encoder, SpaceTimeEncoder):
            return self.encoder.spec.grid(self.encoder.spec.patch[0], *size)[1:]
        return -(-size[0] // self.patch), -(-size[1] // self.patch)


def build_encoder(arguments: Mapping[str, Any]) -> Encoder:
    """An encoder with fresh weights from its arguments."""
    if "groups" in arguments:
        return GroupedEncoder(GroupedSpec(**arguments))
    return SpaceTimeEncoder(MaskedAutoencoderSpec(**arguments))


def _check_join(join: str, head: str) -> None:
    if join not in get_args(Dates):
        raise ConfigError(
            f"The dates are to be joined by {join!r}", expected=" or ".join(get_args(Dates)), remedy="choose one"
        )
    if join == "channels" and head == "vector":
        raise ConfigError(
            "The dates are to become channels, and the head 'vector' reads the class token, which has no dates",
            expected="a head that reads maps, or dates that are pooled",
            remedy="set time to pool, max or attention",
        )
