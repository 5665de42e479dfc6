"""The scale on which corruptions are defined: 0 to 1 per band, from the colour range or from percentiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from swath.chips import Statistics
from swath.errors import ConfigError, InputError
from swath.sensors import BandSet
from swath.types import Modality
from swath.units import possible_range

if TYPE_CHECKING:
    from torch import Tensor

IMAGE_KINDS = ("reflectance", "radiance", "colour", "brightness_temperature", "backscatter", "index", "variable")
"""Kinds that look changes; elevation, coordinates and quality flags are moved by geometry and else left alone."""
RADAR = "backscatter"
LOW, HIGH = 0.02, 0.98
MOST_PIXELS = 65_536


@dataclass(frozen=True, eq=False)
class Scale:
    """``unit = (x - low) / (high - low)`` per band.

    Args:
        low: float32, broadcastable to ``(B, 1, C, 1, 1)``: the value that becomes 0.
        high: the value that becomes 1.
    """

    low: Tensor
    high: Tensor

    @classmethod
    def given(cls, low: Sequence[float], high: Sequence[float]) -> Scale:
        """One range per band for all samples.

        Raises:
            ConfigError: not as many lows as highs, a number that is not finite, or a low that is not below its high.
        """
        first, second = (torch.as_tensor(list(part), dtype=torch.float32) for part in (low, high))
        if first.shape != second.shape or not bool((first < second).all() and torch.isfinite(second - first).all()):
            raise ConfigError(
                f"The scale runs from {list(low)[:5]} to {list(high)[:5]}",
                expected="one low and one high per band, the low below the high, all finite",
                remedy="for stored Sentinel-2 reflectance take 0 and 10000",
            )
        return cls(first.view(1, 1, -1, 1, 1), second.view(1, 1, -1, 1, 1))

    @classmethod
    def of_statistics(cls, statistics: Statistics, bands: BandSet) -> Scale:
        """The 2nd and 98th percentile of a training split, colours from 0 to 1.

        Raises:
            ConfigError: the statistics miss a band or these percentiles.
        """
        levels = {float(level): row for level, row in statistics.percentiles.items()}
        missing = [name for name in bands.names if name not in statistics.bands]
        if missing or 100 * LOW not in levels or 100 * HIGH not in levels:
            raise ConfigError(
                f"The statistics lack {', '.join(missing) or 'the 2nd or 98th percentile'}",
                expected=f"percentiles 2 and 98 of {', '.join(bands.names[:5])}",
                remedy="make the statistics of this chip set again",
            )
        place = [statistics.bands.index(name) for name in bands.names]
        low, high = (torch.tensor([levels[100 * level][index] for index in place]) for level in (LOW, HIGH))
        return _finished(low.view(1, 1, -1, 1, 1).float(), high.view(1, 1, -1, 1, 1).float(), bands)

    @classmethod
    def of_samples(cls, modality: Modality) -> Scale:
        """Each sample's own 2nd and 98th percentile per band over its valid pixels, colours from 0 to 1.

        Percentiles come from at most 65,536 evenly spaced pixels. A sample without a valid pixel gets 0 to 1.
        """
        count, _, bands = modality.values.shape[:3]
        if all(band.kind == "colour" for band in modality.bands):
            return cls(torch.zeros(1, 1, bands, 1, 1), torch.ones(1, 1, bands, 1, 1))
        values = modality.values.movedim(2, 1).flatten(2)
        used = modality.valid.expand_as(modality.values).movedim(2, 1).flatten(2)
        step = -(-values.shape[2] // MOST_PIXELS) or 1
        values, used = values[..., ::step], used[..., ::step]
        known = used.sum(dim=2)
        ordered = values.masked_fill(~used, torch.inf).sort(dim=2).values
        ends = []
        for level, default in ((LOW, 0.0), (HIGH, 1.0)):
            place = (level * (known - 1).clamp_min(0)).round().long()
            picked = ordered.gather(2, place[..., None])[..., 0] if values.shape[2] else torch.zeros(count, bands)
            ends.append(torch.where(known > 0, picked, default).view(count, 1, bands, 1, 1))
        return _finished(ends[0], ends[1], modality.bands)

    def to_unit(self, values: Tensor, out: Tensor) -> None:
        """Physical values ``(B, T, C, H, W)`` to the unit scale, written to ``out``."""
        unit = out.numpy()
        if self._plain:
            np.copyto(unit, values.numpy())
            return
        np.subtract(values.numpy(), self.low.numpy(), out=unit)
        np.divide(unit, (self.high - self.low).numpy(), out=unit)

    def to_physical(self, unit: Tensor) -> None:
        """The way back, in place."""
        if self._plain:
            return
        values = unit.numpy()
        np.multiply(values, (self.high - self.low).numpy(), out=values)
        np.add(values, self.low.numpy(), out=values)

    @property
    def _plain(self) -> bool:
        return bool((self.low == 0).all() and (self.high == 1).all())

    def of(self, samples: slice) -> Scale:
        """The scale of some samples."""
        return self if len(self.low) == 1 else Scale(self.low[samples], self.high[samples])

    def select(self, bands: Sequence[int]) -> Scale:
        """The scale of some bands."""
        return Scale(self.low[:, :, list(bands)], self.high[:, :, list(bands)])


def _finished(low: Tensor, high: Tensor, bands: BandSet) -> Scale:
    """Colours from 0 to 1, and a width of 1 where a band has none."""
    colour = torch.tensor([band.kind == "colour" for band in bands]).view(1, 1, -1, 1, 1)
    low, high = torch.where(colour, 0.0, low), torch.where(colour, 1.0, high)
    return Scale(low, torch.where(high > low, high, low + 1.0))


def scale_for(modality: Modality, given: Scale | None, name: str) -> Scale:
    """The given scale, checked against the bands, or the samples' own.

    Raises:
        InputError: the scale has another number of bands.
    """
    if given is None:
        return Scale.of_samples(modality)
    if given.low.shape[2] != len(modality.bands):
        raise InputError(
            f"The scale of '{name}' has {given.low.shape[2]} bands and the input {len(modality.bands)}",
            expected="one low and one high per band",
            remedy="give the scale in the order of the bands",
        )
    return given


def clip_to_possible(values: Tensor, bands: BandSet) -> None:
    """Clip each band of ``(B, T, C, H, W)`` in place to what its kind can be; no limit where the kind has none."""
    ranges = [possible_range(band.kind, band.unit) or (-np.inf, np.inf) for band in bands]
    low, high = (np.array([ends[side] for ends in ranges], np.float32).reshape(-1, 1, 1) for side in (0, 1))
    if np.isinf(low).all() and np.isinf(high).all():
        return
    if len(set(ranges)) == 1:
        low, high = low[0, 0, 0], high[0, 0, 0]
    array = values.numpy()
    np.clip(array, low, high, out=array)
