"""Presto as an encoder of pixels: from a batch to one embedding per pixel."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from swath.models._parts import ndvi
from swath.models.encoder import Embeddings, prediction, usable, version_of
from swath.models.inputs import gather, lonlat_of
from swath.models.presto import CHANNELS, GROUPS, NDVI, NEAR_INFRARED, NO_LAND_COVER, RED, PixelSeries, Presto
from swath.sensors import BandSet
from swath.types import Batch, Prediction, Task
from swath.weights import Entry, LoadReport, PublishedBand

LAND_COVER = "dynamic_world"
_TOKENS = 2**15
"""Tokens in the network at once, which bounds memory to some hundred megabytes."""


class PrestoPixels:
    """Every pixel of a batch, with its own series of dates and its own mask, becomes 128 numbers.

    A group of bands is seen at a date where all its bands are valid there. The place always enters. A pixel without
    any seen group of a satellite or of land cover has no embedding; where a batch holds weather or terrain alone, they
    are enough.

    Args:
        entry: what is known about the weights.
        network: with the weights.
        report: what was loaded.
        bands: those that may be used; None = all.

    Attributes are those of ``Encoder``.
    """

    task: Task = "embedding"
    output_stride = 1

    def __init__(
        self, entry: Entry, network: Presto, report: LoadReport, bands: tuple[PublishedBand, ...] | None = None
    ) -> None:
        self.name = entry.name
        self.report = report
        self.embedding_dim = entry.embedding_dim
        self.classes = tuple(f"e{number}" for number in range(entry.embedding_dim))
        self.network = network.eval().requires_grad_(False)
        self._entry = entry
        self._bands = entry.bands if bands is None else bands
        self.inputs: Mapping[str, BandSet] = {"image": BandSet(tuple(band.band for band in self._bands))}
        self.version = version_of(entry.name, network, self._bands, {})

    def using(self, bands: BandSet) -> PrestoPixels:
        """The encoder for scenes that offer these bands alone; other bands count as missing.

        Raises:
            InputError: none of them fits.
        """
        return PrestoPixels(self._entry, self.network, self.report, usable(self._entry.bands, bands, self.name))

    def encode(self, batch: Batch) -> Embeddings:
        """``(B, 128, H, W)`` for a batch of ``(B, T, C, H, W)`` modalities.

        Raises:
            InputError: no band fits, dates or places are unknown, or values cannot be what they are said to be.
            ContractError: modalities differ in size or dates.
        """
        series, known = self._series(batch)
        rows, columns = known.shape[-2:]
        flat = known.flatten()
        values = torch.zeros(len(flat), self.embedding_dim, device=flat.device)
        size = max(1, _TOKENS // (9 * series.months.shape[1] + 2))
        with torch.inference_mode():
            chosen = torch.nonzero(flat).flatten()
            for part in chosen.split(size) if len(chosen) else ():
                values[part] = self.network(series.rows(part))
        maps = values.reshape(len(known), rows, columns, self.embedding_dim).permute(0, 3, 1, 2).contiguous()
        return Embeddings(maps, known, 1, self.version)

    def predict(self, batch: Batch) -> Prediction:
        """``embedding``, for maps."""
        return prediction(self.encode(batch))

    def _series(self, batch: Batch) -> tuple[PixelSeries, Tensor]:
        """All pixels of a batch as the network takes them, and which have an embedding, bool ``(B, H, W)``."""
        found = gather(batch, self._bands, model=self.name, most_steps=self._entry.most_steps)
        names = [band.name for band in self._entry.bands if band.name != LAND_COVER]
        values, seen = found.stack(names)
        values = torch.cat([values, ndvi(values[:, :, RED], values[:, :, NEAR_INFRARED])[:, :, None]], dim=2)
        seen = torch.cat([seen, (seen[:, :, RED] & seen[:, :, NEAR_INFRARED])[:, :, None]], dim=2)
        assert values.shape[2] == CHANNELS == NDVI + 1
        classes, classed = (part[:, :, 0] for part in found.stack([LAND_COVER]))
        cover = torch.where(classed, classes.round().long(), NO_LAND_COVER)
        series = PixelSeries(
            values.permute(0, 3, 4, 1, 2).flatten(0, 2),
            seen.permute(0, 3, 4, 1, 2).flatten(0, 2),
            cover.permute(0, 2, 3, 1).flatten(0, 2),
            lonlat_of(found, self.name).permute(0, 2, 3, 1).flatten(0, 2),
            found.months[:, None, None].expand(-1, *found.size, -1).flatten(0, 2),
        )
        known = self._observed(series, set(found.layers))
        return series, known.reshape(len(values), *found.size)

    def _observed(self, series: PixelSeries, there: set[str]) -> Tensor:
        """Which pixels see enough for an embedding, bool ``(N,)``."""
        scenic = {band.group for band in self._bands if band.role == "series"} | {"NDVI"}
        if not any(band.name in there and band.role in ("series", "category") for band in self._bands):
            scenic = set(GROUPS)
        seen = (series.land_cover != NO_LAND_COVER).any(dim=1)
        for name in scenic:
            seen = seen | series.seen[..., list(GROUPS[name])].all(dim=-1).any(dim=1)
        return seen
