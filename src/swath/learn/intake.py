"""From a batch in physical units to what a network reads: chosen bands, standardised, with masks and days."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swath.errors import ConfigError, ContractError, InputError
from swath.learn.task import take_bands
from swath.learn.when_where import places_of
from swath.nn import Normalise
from swath.sensors import BandSet
from swath.types import Batch, Modality

EARLIEST_S = 63_072_000
"""1972-01-01, before the first Landsat. Files without a date open with 1970-01-01."""
DAY_S = 86_400


@dataclass(frozen=True, eq=False)
class Seen:
    """What a network reads of a batch; every mapping has the same names, those of the inputs that are there.

    Args:
        images: standardised ``(B, T, C, H, W)``, 0 where invalid.
        seen: bool ``(B, T, H, W)``: some band is valid.
        days: ``(B, T)``, days since 1970.
        places: ``(B, 2)``, longitude and latitude in degrees, NaN where a sample lies nowhere on Earth; empty where
            the intake was not asked for them.
    """

    images: Mapping[str, Tensor]
    seen: Mapping[str, Tensor]
    days: Mapping[str, Tensor]
    places: Mapping[str, Tensor] = field(default_factory=dict)

    def known(self, pairs: bool) -> Tensor:
        """Where a prediction is meaningful, bool ``(B, H, W)`` on the pixels of the first input.

        Args:
            pairs: both dates of an input with two are needed.
        """
        masks = [mask.all(1) if pairs and mask.shape[1] == 2 else mask.any(1) for mask in self.seen.values()]
        size = masks[0].shape[-2:]
        total = masks[0]
        for mask in masks[1:]:
            if mask.shape[-2:] != size:
                mask = F.interpolate(mask[:, None].float(), size=size, mode="nearest")[:, 0] > 0
            total = total & mask if pairs else total | mask
        return total

    def hiding(self, share: float, rng: torch.Generator) -> Seen:
        """The same with each input hidden from ``share`` of the samples; one input always stays.

        Args:
            share: probability per sample and input.
            rng: on the processor.
        """
        names = list(self.images)
        if share == 0 or len(names) < 2:
            return self
        drawn = torch.rand((len(names), len(self.images[names[0]])), generator=rng)
        # Of a sample that would lose everything, the input with the largest number stays.
        keeps = (drawn >= share) | (drawn == drawn.max(dim=0, keepdim=True).values)
        images, seen = {}, {}
        for name, keep in zip(names, keeps.to(self.images[names[0]].device), strict=True):
            images[name] = torch.where(keep[:, None, None, None, None], self.images[name], 0.0)
            seen[name] = self.seen[name] & keep[:, None, None, None]
        return replace(self, images=images, seen=seen)


class Intake(nn.Module):
    """Finds the bands of every input by name, alias or wavelength, and standardises them.

    An input that a batch lacks is left out, as long as one is there. An input of one date that comes with several (as
    from the cube of a scene, where other inputs have dates) gives each band's latest valid value at every pixel.

    Args:
        bands: input name to its bands.
        normalise: input name to the statistics of these bands, in their order.
        dates: input name to its usual number of dates.
        needs_days: refuse samples whose dates are not known.
        needs_places: tell where samples lie.

    Raises:
        ConfigError: names or numbers do not agree.
    """

    def __init__(
        self,
        bands: Mapping[str, BandSet],
        normalise: Mapping[str, Normalise],
        dates: Mapping[str, int],
        *,
        needs_days: bool = False,
        needs_places: bool = False,
    ) -> None:
        super().__init__()
        for name, wanted in bands.items():
            found = len(normalise[name].mean) if name in normalise else 0
            if found != len(wanted) or name not in dates:
                raise ConfigError(
                    f"The input '{name}' has {len(wanted)} bands and statistics of {found}",
                    expected="the same number of both, and its number of dates",
                    remedy="build the statistics for the same bands",
                )
        self.bands, self.dates = dict(bands), dict(dates)
        self.needs_days, self.needs_places = needs_days, needs_places
        self.normalise = nn.ModuleDict({name: normalise[name] for name in bands})

    def forward(self, batch: Batch) -> Seen:
        """What the network reads, on the device of the statistics.

        Raises:
            ContractError: no input of the network is in the batch, or one has faces.
            InputError: a wanted band is missing, or dates are needed and not known.
        """
        given = [name for name in self.bands if name in batch.inputs]
        if not given:
            raise ContractError(
                f"The batch has the inputs {', '.join(sorted(batch.inputs)) or 'none'}",
                expected=f"one or more of {', '.join(self.bands)}",
                remedy="rename the inputs",
            )
        images, seen, days, places = {}, {}, {}, {}
        for name in given:
            modality = batch.inputs[name]
            if modality.has_faces:
                raise ContractError(
                    f"The input '{name}' has shape {tuple(modality.values.shape)}",
                    expected="(sample, time, band, y, x)",
                    remedy="choose a grid of rows and columns",
                )
            values, valid, time = self._taken(name, modality)
            values, valid = values.to(self.device), valid.to(self.device)
            images[name] = self.normalise[name](values, valid)
            seen[name] = valid.any(dim=2)
            days[name] = (time.double() / DAY_S).to(self.device)
            if self.needs_places:
                places[name] = places_of(modality.grid).to(self.device)
        return Seen(images, seen, days, places)

    @property
    def device(self) -> torch.device:
        """Where the statistics lie."""
        return next(self.buffers()).device

    def _taken(self, name: str, modality: Modality) -> tuple[Tensor, Tensor, Tensor]:
        values, valid = take_bands(modality, self.bands[name])
        if self.needs_days and self.dates[name] > 1:
            _check_days(name, modality.time, valid)
        if self.dates[name] == 1 and values.shape[1] > 1:
            values, valid = latest(values, valid)
            return values, valid, modality.time[:, -1:]
        return values, valid, modality.time


def latest(values: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """The latest valid number of each band and pixel: ``(B, T, C, H, W)`` to ``(B, 1, C, H, W)``, and where one is."""
    places = torch.arange(1, values.shape[1] + 1, device=values.device)[:, None, None, None]
    last = (valid * places).amax(dim=1, keepdim=True)
    return values.gather(1, (last - 1).clamp_min(0)), last > 0


def _check_days(name: str, time: Tensor, valid: Tensor) -> None:
    unknown = (time < EARLIEST_S) & valid.flatten(2).any(2)
    if bool(unknown.any()):
        first = int(time[unknown].min())
        raise InputError(
            f"The input '{name}' has samples without a date (their time is {first} s since 1970)",
            expected="the date of every image, because the network reads the season from it",
            remedy="open the scene with its dates (--time), or set time to pool",
        )
