"""From a batch in physical units to the normalised bands that a published encoder was trained on.

Bands are found by name, alias or wavelength in any modality of the batch; what none of them holds is missing, which the
encoders know how to handle. Units are converted where they are declared, and every band is checked against what it can
be, so that stored numbers, another unit or numbers that were normalised before end as a sentence that names the band.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from swath import units
from swath.errors import ConfigError, ContractError, InputError, SwathError
from swath.sensors import Band, BandSet
from swath.sensors.bands import How
from swath.types import Batch, Modality
from swath.weights import PublishedBand

_EARLIEST_S = 63_072_000
"""1972-01-01, before the first Landsat. Files without a date open with 1970-01-01."""
_TOLERATED_SHARE = 0.01
_MEDIAN_OF = 16
"""Fewer values say too little about their median."""
_VARYING = ("series", "weather", "category")
_PREFERENCE: tuple[How, ...] = ("name", "alias", "wavelength")


@dataclass(frozen=True)
class Source:
    """Where a wanted band comes from.

    Args:
        band: the band of the encoder.
        modality: name in the batch; None where the band is missing.
        position: place on the band axis of that modality.
        offered: name of the band there.
        how: what made the match.
    """

    band: PublishedBand
    modality: str | None = None
    position: int = -1
    offered: str = ""
    how: How | None = None


@dataclass(frozen=True, eq=False)
class Gathered:
    """The bands of a batch, normalised, each still on the axes it came with.

    Args:
        layers: per band that was found: values float32 and mask bool, both ``(B, T or 1, H or 1, W or 1)``.
        months: int64 ``(B, T)``, 0 to 11.
        size: (H, W) of the places that get an embedding.
        reference: the modality whose grid they lie on.
        sources: where each wanted band came from.
    """

    layers: Mapping[str, tuple[Tensor, Tensor]]
    months: Tensor
    size: tuple[int, int]
    reference: Modality
    sources: tuple[Source, ...]

    @property
    def steps(self) -> int:
        """Number of dates T."""
        return int(self.months.shape[1])

    def stack(self, names: Sequence[str], *, steps: bool = True, space: bool = True) -> tuple[Tensor, Tensor]:
        """Bands on one axis, missing ones as 0 with a mask of False.

        Args:
            names: the bands, in order.
            steps: keep the axis of dates (else the first date); what has one date is repeated.
            space: keep rows and columns (else the mean over valid pixels); what has one pixel is repeated.

        Returns:
            values and mask, ``(B, [T,] C[, H, W])``.
        """
        made = [self._shaped(name, steps, space) for name in names]
        axis = 2 if steps else 1
        return torch.stack([part[0] for part in made], dim=axis), torch.stack([part[1] for part in made], dim=axis)

    def _shaped(self, name: str, steps: bool, space: bool) -> tuple[Tensor, Tensor]:
        batch, count = self.months.shape
        rows, columns = self.size if space else (1, 1)
        shape = (batch, count if steps else 1, rows, columns)
        if name not in self.layers:
            empty = torch.zeros(shape, device=self.months.device)
            values, valid = empty, empty.bool()
        else:
            values, valid = self.layers[name]
            if not steps:
                values, valid = values[:, :1], valid[:, :1]
            if not space:
                number = valid.sum(dim=(-2, -1), keepdim=True)
                total = torch.where(valid, values, 0.0).sum(dim=(-2, -1), keepdim=True)
                values, valid = total / number.clamp(min=1), number > 0
            values, valid = values.expand(shape), valid.expand(shape)
        if not steps:
            values, valid = values[:, 0], valid[:, 0]
        return (values, valid) if space else (values[..., 0, 0], valid[..., 0, 0])


def find_sources(offered: Mapping[str, BandSet], wanted: Sequence[PublishedBand], model: str) -> tuple[Source, ...]:
    """Which band of which modality serves each wanted band.

    A name beats an alias beats a wavelength, across modalities as within one.

    Raises:
        InputError: two modalities serve a band equally well, or nothing serves any.
    """
    asked = BandSet(tuple(band.band for band in wanted))
    matches = {name: bands.match(asked) for name, bands in offered.items()}
    found = []
    for place, band in enumerate(wanted):
        candidates = [
            Source(band, name, index, match.available[index].name, how)
            for name, match in matches.items()
            if (index := match.indices[place]) is not None and (how := match.how[place]) is not None
        ]
        candidates.sort(key=lambda source: _PREFERENCE.index(source.how or "wavelength"))
        if len(candidates) > 1 and candidates[0].how == candidates[1].how:
            raise InputError(
                f"Both '{candidates[0].modality}' and '{candidates[1].modality}' hold {band.name} for {model}",
                expected="one modality for every band",
                remedy="leave one of the two out of the batch",
            )
        found.append(candidates[0] if candidates else Source(band))
    if all(source.modality is None for source in found):
        held = "; ".join(f"{name}: {', '.join(bands.names)}" for name, bands in offered.items())
        raise InputError(
            f"No band fits {model}; there are {held or 'no bands'}",
            expected=f"some of {', '.join(asked.names)}, by name, alias or wavelength",
            remedy="name the sensor when opening the scene, so that its bands are known",
        )
    return tuple(found)


def gather(
    batch: Batch, wanted: Sequence[PublishedBand], *, model: str, most_steps: int, dated: bool = True
) -> Gathered:
    """Find, check, convert and normalise the bands of a batch.

    Args:
        batch: physical values with dates and grids.
        wanted: the bands of the encoder, in any order.
        model: its name, for sentences.
        most_steps: largest number of dates.
        dated: whether the encoder has to know the dates.

    Raises:
        InputError: no band fits, dates are unknown, a unit cannot be converted, or values cannot be what they are said
            to be; the sentence names the band.
        ContractError: modalities differ in size or in their dates.
    """
    sources = find_sources({name: item.bands for name, item in batch.inputs.items()}, wanted, model)
    served = [source for source in sources if source.modality is not None]
    size, reference = _reference(batch, served, model)
    months = _months(batch, served, model, dated)
    if months.shape[1] > most_steps:
        raise InputError(
            f"The batch has {months.shape[1]} dates",
            expected=f"at most {most_steps} for {model}, one per month",
            remedy="composite the dates by month, or take fewer",
        )
    layers = {source.band.name: _layer(batch, source, model) for source in served}
    return Gathered(layers, months, size, reference, sources)


def _reference(batch: Batch, served: Sequence[Source], model: str) -> tuple[tuple[int, int], Modality]:
    """The size that all modalities share (one pixel is repeated), and the one that has it."""
    used = {source.modality: batch.inputs[source.modality] for source in served if source.modality is not None}
    faces = [name for name, item in used.items() if item.has_faces]
    if faces:
        raise ContractError(
            f"'{faces[0]}' lies on a HEALPix grid",
            expected=f"rows and columns for {model}",
            remedy="resample it to a grid of rows and columns",
        )
    sizes = {name: (int(item.values.shape[-2]), int(item.values.shape[-1])) for name, item in used.items()}
    largest = max(sizes, key=lambda name: sizes[name][0] * sizes[name][1])
    for name, size in sizes.items():
        if size not in (sizes[largest], (1, 1)):
            raise ContractError(
                f"'{name}' has {size[0]} x {size[1]} pixels and '{largest}' {sizes[largest][0]} x {sizes[largest][1]}",
                expected="one size, or one pixel for the whole place",
                remedy="bring all sensors to one grid with cubes.to_cube before cutting",
            )
    return sizes[largest], used[largest]


def _months(batch: Batch, served: Sequence[Source], model: str, dated: bool) -> Tensor:
    """Month of each step, int64 ``(B, T)``, 0 to 11, the same for all modalities whose bands vary in time."""
    varying = {source.modality for source in served if source.band.role in _VARYING}
    names = [name for name in batch.inputs if name in varying] or [str(served[0].modality)]
    found: dict[str, Tensor] = {}
    for name in names:
        time = batch.inputs[name].time
        unknown = (time < _EARLIEST_S).any(dim=1).cpu().tolist()
        if dated and any(unknown):
            samples = [str(sample) for sample, missing in zip(batch.ids, unknown, strict=True) if missing]
            raise InputError(
                f"'{name}' has no dates for the samples {', '.join(samples[:5])}",
                expected=f"the time of acquisition, because {model} knows the months of its steps",
                remedy="give the time when opening the scene (time=, --time)",
            )
        calendar = time.cpu().numpy().astype("datetime64[s]").astype("datetime64[M]").astype(np.int64) % 12
        found[name] = torch.from_numpy(calendar).to(time.device)
    first = names[0]
    for name in names[1:]:
        if found[name].shape != found[first].shape or not bool((found[name] == found[first]).all()):
            raise ContractError(
                f"'{name}' and '{first}' have different dates ({found[name].shape[1]} and "
                f"{found[first].shape[1]} steps)",
                expected="steps of the same months in all modalities that vary in time",
                remedy="composite them by month over the same period; a month without data keeps its step, all invalid",
            )
    return found[first]


def _layer(batch: Batch, source: Source, model: str) -> tuple[Tensor, Tensor]:
    """Values, normalised, and mask of one band, ``(B, T or 1, H or 1, W or 1)``."""
    modality = batch.inputs[str(source.modality)]
    values = modality.values[:, :, source.position].double()
    valid = modality.valid
    valid = valid[:, :, min(source.position, valid.shape[2] - 1)].expand(values.shape)
    what = f"band {source.offered} of '{source.modality}', which {model} takes as {source.band.published}"
    offered, wanted = modality.bands[source.position], source.band.band
    values = _converted(values, offered, wanted, what)
    _check_values(values, valid, source.band, wanted, what)
    if source.band.role not in _VARYING:
        values, valid = values[:, :1], valid[:, :1]
    factor, add, divide = source.band.scaling
    normalised = (values * factor + add) / divide
    return torch.where(valid, normalised, 0.0).float(), valid


def _converted(values: Tensor, offered: Band, wanted: Band, what: str) -> Tensor:
    """Values in the unit of training; a band that declares nothing is taken to have it."""
    declared, unit = units.canonical(offered.unit), units.canonical(wanted.unit)
    if declared == unit or (offered.kind == "variable" and declared == "1"):
        return values
    try:
        converted = units.convert(values.cpu().numpy(), declared, unit)
    except ConfigError as error:
        raise InputError(
            f"{what}: the unit is '{offered.unit}'",
            expected=f"'{wanted.unit}', or a unit that converts to it",
            remedy="convert the values; stored numbers go through cubes.to_physical",
        ) from error
    return torch.from_numpy(converted).to(values.device)


def _check_values(values: Tensor, valid: Tensor, band: PublishedBand, wanted: Band, what: str) -> None:
    """Refuse values that the band cannot have, or whose median nowhere on Earth is that of a place."""
    used = values[valid].cpu().numpy()
    if not used.size:
        return
    units.check_range(used, None, wanted.unit, wanted.kind, what)
    middle = (band.middle or _statistical_middle(band)) if used.size >= _MEDIAN_OF else None
    for name, limits in (("values", band.range), ("median", middle)):
        if limits is None:
            continue
        tested = used if name == "values" else np.array([np.median(used)])
        outside = float(np.mean(~((tested >= limits[0]) & (tested <= limits[1]))))
        if outside > _TOLERATED_SHARE:
            raise InputError(
                f"{what}: the {name} run from {tested.min():g} to {tested.max():g}"
                if name == "values"
                else f"{what}: the median is {tested[0]:g}",
                expected=f"a {'value' if name == 'values' else 'median'} from {limits[0]:g} to {limits[1]:g} in the "
                f"unit '{wanted.unit}'",
                remedy="give physical values in this unit, not numbers that were normalised or are of another unit",
            )


def _statistical_middle(band: PublishedBand) -> tuple[float, float] | None:
    """Six standard deviations around the mean, for bands about whose unit nothing else is known."""
    if band.unit != "stored" or band.mean is None or band.std is None:
        return None
    return band.mean - 6 * band.std, band.mean + 6 * band.std


def lonlat_of(gathered: Gathered, model: str) -> Tensor:
    """Longitude and latitude of every place, float32 ``(B, 2, H, W)``.

    Raises:
        InputError: a grid lies nowhere on Earth.
    """
    try:
        return gathered.reference.lonlat()
    except SwathError as error:
        raise InputError(
            f"The samples have no place on Earth ({error.given})",
            expected=f"grids with a CRS, because {model} knows where it looks",
            remedy="open the scene with its CRS",
        ) from error
