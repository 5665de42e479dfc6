"""The part of a network that belongs to one input: its dates, its backbone, and how dates become one map."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from swath.errors import ConfigError, ContractError, nearest
from swath.nn.build import BackboneOptions, ImageBackbone
from swath.nn.build import backbone as make_backbone
from swath.nn.change import combine_dates, combined_channels
from swath.nn.checks import pad_to
from swath.nn.depth import ordered_parts
from swath.nn.pyramid import TimePool
from swath.nn.series import PerPixel, SeriesSpec, series_encoder
from swath.nn.unet import UNetEncoder
from swath.types import Features

Time = Literal["pool", "max", "attention", "transformer", "tempcnn", "gru", "difference", "concat"]
POOLS: tuple[Time, ...] = ("pool", "max", "attention")
"""Each date goes through the backbone, and the maps are pooled over the dates present."""
SERIES: tuple[Time, ...] = ("transformer", "tempcnn", "gru")
"""Each pixel's series is encoded first, with its dates; the backbone reads the code as an image."""
PAIRS: tuple[Time, ...] = ("difference", "concat")
"""Two dates go through the backbone and are compared."""
TIMES: tuple[Time, ...] = (*POOLS, *SERIES, *PAIRS)


def check_time(time: str, bare: bool, dates: Mapping[str, int]) -> None:
    """Refuse a way of joining dates that does not fit the inputs.

    Args:
        time: one of ``TIMES``.
        bare: whether there is no backbone.
        dates: number of dates of each input.

    Raises:
        ConfigError: the word is unknown, needs dates that are not there, or two of them.
    """
    if time not in TIMES:
        raise ConfigError(
            f"'time' is '{str(time)[:40]}'",
            expected=f"one of {', '.join(TIMES)}",
            remedy=f"the nearest is {nearest(str(time), TIMES, 1)}",
        )
    told = ", ".join(f"'{name}' has {count}" for name, count in dates.items())
    if (time in SERIES or time in PAIRS) and max(dates.values()) < 2:
        raise ConfigError(
            f"'time' is '{time}', and no input has more than one date ({told})",
            expected="an input with several dates" if time in SERIES else "an input with two dates",
            remedy="leave 'time' out, or use samples with dates",
        )
    odd = [name for name, count in dates.items() if time in PAIRS and count > 2]
    if odd:
        raise ConfigError(
            f"'time' is '{time}', which compares two dates, and {told}",
            expected="two dates (or one, for an input that does not change)",
            remedy="choose two dates, or set time to pool, transformer, tempcnn or gru",
        )
    if bare and (time not in SERIES or min(dates.values()) < 2):
        raise ConfigError(
            f"The backbone is 'none' and 'time' is '{time}' ({told})",
            expected="an encoder of dates (transformer, tempcnn or gru) and several dates in every input",
            remedy="name a backbone, or set time to one of these",
        )


class Branch(nn.Module):
    """Images ``(B, T, C, H, W)`` of one input to features without dates.

    Args:
        bands: bands C.
        dates: usual number of dates T; pooling and encoders of dates take any other number too.
        backbone: name of a backbone for images, None for none.
        options: what differs from its published size.
        time: how dates are joined.
        series: sizes of the encoder of dates.

    Raises:
        ConfigError: a name is unknown or a number out of range.
    """

    def __init__(
        self,
        bands: int,
        dates: int,
        *,
        backbone: str | None,
        options: Mapping[str, Any],
        time: Time,
        series: Mapping[str, Any],
    ) -> None:
        super().__init__()
        several = dates > 1
        self.time = time if several else None
        self.series: PerPixel | None = None
        if several and time in SERIES:
            self.series = PerPixel(series_encoder(_series_spec(time, bands, series)))
            bands = self.series.channels[0]
        self.backbone = None if backbone is None else _image_backbone(backbone, bands, options)
        inside = self.series if self.backbone is None else self.backbone
        assert inside is not None  # check_time refuses to go without both
        channels, self.strides = inside.channels, inside.strides
        # The strides of a U-Net must divide the image; the others round up by themselves.
        self.multiple = max(self.strides) if isinstance(self.backbone, UNetEncoder) else 1
        self.pool: TimePool | None = None
        if several and time in POOLS:
            kinds: dict[str, Literal["mean", "max", "attention"]] = {"pool": "mean", "max": "max"}
            self.pool = TimePool(channels, self.strides, kinds.get(time, "attention"))
        if several and time in PAIRS:
            channels = combined_channels(channels, "difference" if time == "difference" else "concat")
        self.channels = channels

    def forward(self, image: Tensor, seen: Tensor, days: Tensor) -> Features:
        """Maps ``(B, C_l, h_l, w_l)``.

        Args:
            image: standardised, 0 where invalid.
            seen: bool ``(B, T, H, W)``.
            days: ``(B, T)``.

        Raises:
            ContractError: the number of dates does not fit.
        """
        if self.series is not None:
            code = self.series(image, days, seen)
            return code if self.backbone is None else self._encode(code.maps[0])
        wanted = {None: 1, "difference": 2, "concat": 2}.get(self.time)
        if wanted is not None and image.shape[1] != wanted:
            raise ContractError(
                f"The images have {image.shape[1]} dates",
                expected=f"{wanted}, as this network was built for",
                remedy="choose dates, or make a composite first",
            )
        if self.time is None:
            return self._encode(image[:, 0])
        return self._join(self._encode(image.flatten(0, 1)), image.shape[:2], seen.flatten(2).any(2))

    def _encode(self, image: Tensor) -> Features:
        assert self.backbone is not None
        found: Features = self.backbone(pad_to(image, self.multiple))
        return Features(found.maps, found.strides, cls=found.cls)

    def _join(self, features: Features, size: torch.Size, present: Tensor) -> Features:
        """One map from those of all dates, of which only the dates present count."""
        maps = tuple(part.unflatten(0, size) for part in features.maps)
        cls = None if features.cls is None else features.cls.unflatten(0, size)
        if self.pool is not None:
            pooled = self.pool(Features(maps, features.strides), present)
            if cls is not None:
                keep = present[..., None]
                cls = torch.where(keep, cls, 0.0).sum(1) / keep.sum(1).clamp_min(1)
            return Features(pooled.maps, pooled.strides, cls=cls)
        before, after = (
            Features(tuple(part[:, date] for part in maps), features.strides, cls=None if cls is None else cls[:, date])
            for date in (0, 1)
        )
        return combine_dates(before, after, "difference" if self.time == "difference" else "concat")

    def pool_parameters(self) -> Iterator[nn.Parameter]:
        """What the joining of dates learns, if anything."""
        return iter(()) if self.pool is None else self.pool.parameters()

    def layer_names(self) -> list[tuple[str, ...]]:
        """Names of parts from input to output."""
        parts: list[tuple[str, ...]] = []
        if self.series is not None:
            below = ordered_parts(self.series.encoder)
            parts += [tuple(f"series.encoder.{name}" for name in part) for part in below]
        if self.backbone is not None:
            parts += [tuple(f"backbone.{name}" for name in part) for part in ordered_parts(self.backbone)]
        return parts


def _series_spec(time: Time, bands: int, sizes: Mapping[str, Any]) -> SeriesSpec:
    known = ("width", "depth", "heads", "kernel", "dropout", "period")
    unknown = [name for name in sizes if name not in known]
    if unknown:
        raise ConfigError(
            f"The encoder of dates has no option '{unknown[0][:40]}'",
            expected=f"options among {', '.join(known)}",
            remedy=f"the nearest is {nearest(unknown[0], known, 1)}",
        )
    kind: Any = time
    return SeriesSpec(kind, bands, **sizes)


def _image_backbone(name: str, bands: int, options: Mapping[str, Any]) -> ImageBackbone:
    if options.get("dates") is not None:
        raise ConfigError(
            "The option 'dates' was given to a backbone of single images",
            expected="no such option: dates come from the samples",
            remedy="leave 'dates' out and choose with 'time' how dates are joined",
        )
    built = make_backbone(name, bands, BackboneOptions(**options))
    if not isinstance(built, ImageBackbone):
        raise ConfigError(f"'{name}' takes no images", expected="a backbone for images", remedy="choose one")
    return built
