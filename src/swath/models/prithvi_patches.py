"""Prithvi as an encoder of patches: from a batch to one embedding per patch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

import torch
from torch import Tensor

from swath.errors import ConfigError, InputError
from swath.models._parts import unit_vectors
from swath.models.encoder import Embeddings, prediction, version_of
from swath.models.galileo_patches import Tiling
from swath.models.inputs import Gathered, gather, lonlat_of
from swath.models.prithvi_bands import near
from swath.nn.masked_autoencoder import SpaceTimeEncoder
from swath.nn.time_place import TimePlace
from swath.sensors import BandSet
from swath.types import Batch, Prediction, Task
from swath.weights import Entry, LoadReport, PublishedBand

_TOKENS = 2**13
"""Tokens in the network at once, which bounds memory to some gigabytes for the largest size."""


@dataclass(frozen=True)
class PrithviOptions:
    """What the user chooses; all of it is part of the version.

    Args:
        image: pixels along one side of the squares into which samples are cut; 224 as in pretraining.
        missing: what becomes of a band that the scene lacks: an error (``refuse``), or its mean of pretraining
            everywhere (``mean``).
        time: whether year and day enter, where the weights know them.
        place: whether latitude and longitude enter, where the weights know them.
    """

    image: int = 224
    missing: Literal["refuse", "mean"] = "refuse"
    time: bool = True
    place: bool = True


class PrithviPatches:
    """Every patch of a batch becomes one vector: the mean over its dates of the tokens of the last block.

    Samples are cut into squares no larger than those of pretraining, and tokens keep their distance in smaller ones. A
    patch is seen at a date where at least half of its pixels are valid in all bands; the other pixels take the mean of
    the valid ones. What is not seen is left out of the attention, as hidden tokens were in pretraining. A patch that is
    seen at no date has no embedding.

    Args:
        entry: what is known about the weights.
        network: with the weights.
        report: what was loaded.
        options: see ``PrithviOptions``.
        bands: those that may be used; None = all.

    Attributes are those of ``Encoder``.

    Raises:
        ConfigError: the squares are smaller than a patch.
    """

    task: Task = "embedding"

    def __init__(
        self,
        entry: Entry,
        network: SpaceTimeEncoder,
        report: LoadReport,
        options: PrithviOptions | None = None,
        bands: tuple[PublishedBand, ...] | None = None,
    ) -> None:
        self.options = options or PrithviOptions()
        self.output_stride = network.spec.patch[1]
        if self.options.image < self.output_stride or self.options.missing not in ("refuse", "mean"):
            raise ConfigError(
                f"Squares of {self.options.image} pixels, missing bands '{self.options.missing}'",
                expected=f"at least {self.output_stride} pixels, a patch of this network; refuse or mean",
                remedy="224 is the size of pretraining",
            )
        self.name = entry.name
        self.report = report
        self.embedding_dim = network.spec.width
        self.classes = tuple(f"e{number}" for number in range(network.spec.width))
        self.network = network.eval().requires_grad_(False)
        self._entry = entry
        self._bands = entry.bands if bands is None else bands
        self.inputs: Mapping[str, BandSet] = {"image": BandSet(tuple(band.band for band in self._bands))}
        self.version = version_of(entry.name, network, self._bands, asdict(self.options))

    def using(self, bands: BandSet) -> PrithviPatches:
        """The encoder for scenes that offer these bands alone.

        Raises:
            InputError: a band is missing (all of them, with the option ``missing="mean"``); what comes nearest is told.
        """
        match = bands.match(self._entry.band_set)
        pairs = list(zip(self._entry.bands, match.indices, strict=True))
        found = tuple(band for band, index in pairs if index is not None)
        self._refuse_missing([band for band, index in pairs if index is None], bands)
        return PrithviPatches(self._entry, self.network, self.report, self.options, found)

    def with_options(self, options: PrithviOptions) -> PrithviPatches:
        """The same encoder with other squares, or without time or place."""
        return PrithviPatches(self._entry, self.network, self.report, options, self._bands)

    def encode(self, batch: Batch) -> Embeddings:
        """``(B, D, ceil(H / patch), ceil(W / patch))`` for a batch of ``(B, T, C, H, W)`` modalities.

        Raises:
            InputError: a band is missing, dates or places are unknown, or values cannot be what they are said to be.
            ContractError: modalities differ in size or dates.
        """
        knows_time = self.network.time is not None and self.options.time
        most = self._entry.most_steps
        found = gather(batch, self._bands, model=self.name, most_steps=most, dated=knows_time)
        offered = BandSet(tuple(band for item in batch.inputs.values() for band in item.bands)) if _one(batch) else None
        self._refuse_missing([band for band in self._bands if band.name not in found.layers], offered)
        tiling = self._tiling(found.size)
        values, seen = self._squares(found, tiling)
        about = self._about(found, tiling, knows_time)
        maps = self._encoded(values, seen, about)
        known = seen.any(dim=1)
        valid = tiling.together(known[:, None])[:, 0]
        return Embeddings(tiling.together(maps), valid, self.output_stride, self.version)

    def predict(self, batch: Batch) -> Prediction:
        """``embedding``, for maps."""
        return prediction(self.encode(batch))

    def _encoded(self, values: Tensor, seen: Tensor, about: TimePlace) -> Tensor:
        """``(N, D, h, w)``: the mean over the dates at which a patch is seen."""
        count, dates, rows, columns = seen.shape
        maps = torch.zeros(count, self.embedding_dim, rows, columns, device=values.device)
        size = max(1, _TOKENS // (dates * rows * columns))
        with torch.inference_mode():
            chosen = torch.nonzero(seen.flatten(1).any(dim=1)).flatten()
            for part in chosen.split(size) if len(chosen) else ():
                tokens = self.network(values[part], about.rows(part.to(about.year.device)), seen[part]).maps[-1]
                # Tokens that are not seen come as 0.
                maps[part] = tokens.sum(dim=1) / seen[part].sum(dim=1).clamp(min=1)[:, None]
        return maps

    def _tiling(self, size: tuple[int, int]) -> Tiling:
        """Squares as even as can be, none larger than the option says."""
        patch = self.output_stride
        cells = math.ceil(max(size) / patch)
        return Tiling(size, patch, math.ceil(cells / math.ceil(cells / (self.options.image // patch))))

    def _squares(self, found: Gathered, tiling: Tiling) -> tuple[Tensor, Tensor]:
        """All squares ``(N, T, 6, S, S)`` and which patches are seen, bool ``(N, T, side, side)``."""
        names = [band.name for band in self._entry.bands]
        values, valid = found.stack(names)
        # A band that is missing altogether is 0, its mean, and says nothing about what is seen.
        valid[:, :, [name not in found.layers for name in names]] = True
        squares, seen = tiling.patched(values, valid, {"HLS": tuple(range(len(names)))})
        return squares, seen[:, :, 0]

    def _about(self, found: Gathered, tiling: Tiling, knows_time: bool) -> TimePlace:
        """When every square was seen, and where its middle lies."""
        squares = len(found.months) * tiling.squares[0] * tiling.squares[1]
        about: dict[str, Tensor] = {}
        if knows_time:
            year, day = found.reference.year_doy()
            about |= {"year": tiling.repeated(year), "day": tiling.repeated(day)}
        if self.network.place is not None and self.options.place:
            lonlat = lonlat_of(found, self.name).permute(0, 2, 3, 1)
            vectors = unit_vectors(lonlat).permute(0, 3, 1, 2)
            east, north, up = tiling.cut(vectors, 0.0).sum(dim=(-2, -1)).double().unbind(dim=1)
            longitude, latitude = torch.atan2(north, east), torch.atan2(up, torch.hypot(east, north))
            about |= {"latitude": latitude.rad2deg(), "longitude": longitude.rad2deg()}
        return TimePlace.of(**about) if about else TimePlace.unknown(squares)

    def _refuse_missing(self, missing: list[PublishedBand], offered: BandSet | None) -> None:
        if not missing or (self.options.missing == "mean" and len(missing) < len(self._entry.bands)):
            return
        what = [
            f"{band.name} ({band.published}" + (f", {near(band.band, offered)})" if offered else ")")
            for band in missing
        ]
        raise InputError(
            f"{self.name} takes bands that are not there: {'; '.join(what)}",
            expected=f"all of {', '.join(band.name for band in self._entry.bands)}, by name, alias or wavelength",
            remedy="name the sensor when opening; PrithviOptions(missing='mean') takes the mean of pretraining instead",
        )


def _one(batch: Batch) -> bool:
    """Whether all bands of a batch can stand in one list: one modality."""
    return len(batch.inputs) == 1
