"""Published encoders as backbones that learn: which there are, what may differ, and which bands serve them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

import numpy as np

from swath import units
from swath.errors import ConfigError, InputError, nearest
from swath.models import satmaepp
from swath.models.prithvi_bands import near
from swath.models.sizes import PRITHVI, TAPS
from swath.nn.grouped import GroupedSpec
from swath.nn.space_time import Border, MaskedAutoencoderSpec, Positions
from swath.sensors import Band, BandSet
from swath.weights import Entry, PublishedBand

NAMES = (*PRITHVI, *satmaepp.NAMES)
"""Published encoders that learn."""
RANDOM = "random"
"""In place of a file of weights: start from random numbers."""
LEVELS = 255
"""Multispectral images of SatMAE++ were stored in 8 bits before training."""
_SHAPE = ("width", "depth", "heads", "patch", "mlp_ratio")
_SERIES = ("border", "positions", "drop_path", "time", "place", "new_bands")
"""Options that encoders of single dates do not have."""
NewBands = Literal["leave", "mean", "zero"]
Spec = MaskedAutoencoderSpec | GroupedSpec


@dataclass(frozen=True)
class PublishedOptions:
    """What differs from the published size and way of reading.

    Args:
        width: numbers per token; like the next four it has to be that of the file of weights.
        depth: blocks.
        heads: attention heads.
        patch: side of a token in pixels.
        mlp_ratio: hidden numbers of a block's second branch, as a multiple of the width.
        border: images that the patch does not divide are padded (``pad``) or resized (``resize``).
        positions: ``recomputed`` or ``resized``, see ``nn.MaskedAutoencoderSpec``.
        drop_path: largest rate of stochastic depth.
        time: whether year and day enter, where the encoder knows them.
        place: whether latitude and longitude enter, where the encoder knows them.
        new_bands: a band of the chips without a published counterpart is left out (``leave``), or starts as the
            ``mean`` of the published ones or as ``zero``.
    """

    width: int | None = None
    depth: int | None = None
    heads: int | None = None
    patch: int | None = None
    mlp_ratio: float | None = None
    border: Border = "pad"
    positions: Positions = "recomputed"
    drop_path: float = 0.0
    time: bool = True
    place: bool = True
    new_bands: NewBands = "leave"


def published_options(name: str, given: Mapping[str, Any]) -> PublishedOptions:
    """Options by name, checked.

    Raises:
        ConfigError: an option is unknown, or the encoder has no use for it.
    """
    known = [field.name for field in fields(PublishedOptions)]
    if name in satmaepp.NAMES:
        known = [option for option in known if option not in _SERIES]
    for option in given:
        if option not in known:
            raise ConfigError(
                f"The option '{str(option)[:40]}' of the backbone '{name}' is unknown",
                expected=f"one of {', '.join(known)}",
                remedy=f"the nearest is {nearest(str(option), known, 1)}",
            )
    made = PublishedOptions(**given)
    if made.new_bands not in get_args(NewBands) or made.border not in ("pad", "resize"):
        raise ConfigError(
            f"'new_bands' is {made.new_bands!r} and 'border' {made.border!r}",
            expected=f"{' or '.join(get_args(NewBands))}; pad or resize",
            remedy="choose one of them",
        )
    spec_of(name, made)
    return made


def spec_of(name: str, options: PublishedOptions, new_bands: int = 0) -> Spec:
    """Shape of the encoder, with feature maps from each quarter of its depth.

    Args:
        name: one of ``NAMES``.
        options: what differs.
        new_bands: bands beside the published ones.

    Raises:
        ConfigError: a number is out of range.
    """
    given: dict[str, Any] = {name: value for name in _SHAPE if (value := getattr(options, name)) is not None}
    if name in satmaepp.NAMES:
        whole, _ = satmaepp.published_specs(name)
        # The share of a position that tells the group follows the width.
        share: dict[str, Any] = {"group_width": None} if whole.group_width and "width" in given else {}
        return replace(whole, **share, **given, taps=_taps(given.get("depth", whole.depth)))
    size = PRITHVI[name]
    if "patch" in given:
        given["patch"] = (1, given["patch"], given["patch"])
    wanted = {"time": options.time, "place": options.place}
    return replace(
        size,
        **given,
        taps=_taps(given.get("depth", size.depth)),
        bands=size.bands + new_bands,
        border=options.border,
        positions=options.positions,
        drop_path=options.drop_path,
        conditions=tuple(condition for condition in size.conditions if wanted[condition]),
    )


@dataclass(frozen=True)
class Served:
    """Which bands of the chips the backbone reads.

    Args:
        bands: in the order in which they go in.
        slots: place of each among the bands of the encoder.
        fresh: how many of them, at the end, have no published counterpart.
        rows: (band, where its weights come from), for the report.
        mean: of each, in its unit.
        std: likewise.
    """

    bands: BandSet
    slots: tuple[int, ...]
    fresh: int
    rows: tuple[tuple[str, str], ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]


def serve(known: Entry, offered: BandSet, new_bands: NewBands, measured: Mapping[str, tuple[float, float]]) -> Served:
    """Match the bands of the chips with those of an encoder.

    Args:
        known: the encoder.
        offered: bands of the chips.
        new_bands: what becomes of bands without a published counterpart.
        measured: mean and standard deviation over the train split, by band; for new bands.

    Raises:
        InputError: no band fits, or a unit does not convert.
    """
    match = offered.match(known.band_set)
    pairs = [(place, index) for place, index in enumerate(match.indices) if index is not None]
    if not pairs:
        raise InputError(
            f"No band of the chips fits {known.name}: "
            + "; ".join(f"{band.name} ({near(band, known.band_set)})" for band in offered),
            expected=f"some of {', '.join(known.band_set.names)}, by name, alias or wavelength",
            remedy="name the sensor when opening the scene, so that its bands are known",
        )
    rows, mean, std = [], [], []
    for place, index in enumerate(match.indices):
        band = known.bands[place]
        if index is None:
            rows.append((band.name, f"absent from the chips: {band.published} of the weights sees its published mean"))
            continue
        centre, spread = statistics_of(band, offered[index])
        mean.append(centre)
        std.append(spread)
        how = f"{band.published} of the weights, by {match.how[place]}; mean {centre:.4g}, std {spread:.4g}"
        rows.append((offered[index].name, how))
    used = {index for _, index in pairs}
    extra = [index for index in range(len(offered)) if index not in used]
    for index in extra:
        name = offered[index].name
        if new_bands == "leave":
            rows.append((name, "new: the weights have no such band, left out"))
            continue
        start = "the mean of all published bands" if new_bands == "mean" else "zeros"
        rows.append((name, f"new: starts from {start}; mean {measured[name][0]:.4g}, std {measured[name][1]:.4g}"))
        mean.append(measured[name][0])
        std.append(measured[name][1])
    kept = [] if new_bands == "leave" else extra
    bands = BandSet(tuple(offered[index] for index in [*(index for _, index in pairs), *kept]))
    slots = (*(place for place, _ in pairs), *range(len(known.bands), len(known.bands) + len(kept)))
    return Served(bands, slots, len(kept), tuple(rows), tuple(mean), tuple(std))


def statistics_of(band: PublishedBand, offered: Band) -> tuple[float, float]:
    """Published mean and standard deviation of a band, in the unit in which it is offered.

    Raises:
        InputError: the units do not convert.
    """
    if band.mean is not None and band.std is not None:
        known = np.array([band.mean, band.mean + band.std]) / band.factor
    else:
        factor, add, divide = band.scaling
        known = np.array([-add, divide - add]) / factor
    there, here = units.canonical(band.band.unit), units.canonical(offered.unit)
    if there != here:
        try:
            known = np.asarray(units.convert(known, there, here), dtype=np.float64)
        except ConfigError as error:
            raise InputError(
                f"The band '{offered.name}' has the unit '{offered.unit}', and {band.published} was trained on "
                f"'{band.band.unit}'",
                expected="a unit that converts to it",
                remedy="name sensor and level when opening the scene, so that stored numbers become physical ones",
            ) from error
    return float(known[0]), float(known[1] - known[0])


def _taps(depth: int) -> tuple[int, ...]:
    """The last block of each quarter of the depth, as published."""
    return TAPS.get(depth) or tuple(sorted({max(depth * part // 4 - 1, 0) for part in (1, 2, 3, 4)}))
