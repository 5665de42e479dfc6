"""SatMAE++ as an encoder of patches: from a batch to one embedding per patch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

import torch
from torch import Tensor

from swath.errors import ConfigError, InputError
from swath.models.encoder import Embeddings, prediction, version_of
from swath.models.galileo_patches import Tiling
from swath.models.inputs import Gathered, gather
from swath.models.satmaepp import SIDES
from swath.nn.grouped import GroupedEncoder
from swath.sensors import BandSet
from swath.types import Batch, Prediction, Task
from swath.weights import Entry, LoadReport, PublishedBand

_TOKENS = 2**13
"""Tokens in the network at once, which bounds memory."""
_LEVELS = 255
"""Multispectral images were stored in 8 bits before training, between two standard deviations on each side."""


@dataclass(frozen=True)
class SatMaeOptions:
    """What the user chooses; all of it is part of the version.

    Args:
        image: pixels along one side of the squares into which samples are cut; None for the size of pretraining.
        missing: what becomes of a group of bands of which one is missing: an error (``refuse``), or the group is not
            looked at (``group``), as hidden tokens were not in pretraining.
    """

    image: int | None = None
    missing: Literal["refuse", "group"] = "refuse"


class SatMaePatches:
    """Every patch of a batch becomes one vector: the mean of its tokens over the groups of bands and the dates seen.

    Every date goes through the network by itself. A group of a patch is seen at a date where at least half of its
    pixels are valid in all bands of the group; the other pixels take the mean of the valid ones. What is not seen is
    left out of the attention. A patch of which nothing is seen has no embedding.

    Args:
        entry: what is known about the weights.
        network: with the weights.
        report: what was loaded.
        options: see ``SatMaeOptions``.
        bands: those that may be used; None = all.

    Attributes are those of ``Encoder``.

    Raises:
        ConfigError: the squares are smaller than a patch.
    """

    task: Task = "embedding"

    def __init__(
        self,
        entry: Entry,
        network: GroupedEncoder,
        report: LoadReport,
        options: SatMaeOptions | None = None,
        bands: tuple[PublishedBand, ...] | None = None,
    ) -> None:
        self.options = options or SatMaeOptions()
        self.output_stride = network.spec.patch
        self.image = SIDES[entry.name] if self.options.image is None else self.options.image
        if self.image < self.output_stride or self.options.missing not in ("refuse", "group"):
            raise ConfigError(
                f"Squares of {self.image} pixels, missing bands '{self.options.missing}'",
                expected=f"at least {self.output_stride} pixels, a patch of this network; refuse or group",
                remedy=f"{SIDES[entry.name]} is the size of pretraining",
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

    def using(self, bands: BandSet) -> SatMaePatches:
        """The encoder for scenes that offer these bands alone.

        Raises:
            InputError: a band is missing; with the option ``missing="group"``, no group is whole.
        """
        indices = bands.match(self._entry.band_set).indices
        found = tuple(band for band, index in zip(self._entry.bands, indices, strict=True) if index is not None)
        self._refuse_missing({band.name for band in found})
        return SatMaePatches(self._entry, self.network, self.report, self.options, found)

    def with_options(self, options: SatMaeOptions) -> SatMaePatches:
        """The same encoder with other squares, or another way with missing bands."""
        return SatMaePatches(self._entry, self.network, self.report, options, self._bands)

    def encode(self, batch: Batch) -> Embeddings:
        """``(B, D, ceil(H / patch), ceil(W / patch))`` for a batch of ``(B, T, C, H, W)`` modalities.

        Raises:
            InputError: a band is missing, or values cannot be what they are said to be.
            ContractError: modalities differ in size or dates.
        """
        found = gather(batch, self._bands, model=self.name, most_steps=self._entry.most_steps, dated=False)
        self._refuse_missing(set(found.layers))
        patch = self.output_stride
        cells = math.ceil(max(found.size) / patch)
        tiling = Tiling(found.size, patch, math.ceil(cells / math.ceil(cells / (self.image // patch))))
        values, seen = self._squares(found, tiling)
        valid = tiling.together(seen.flatten(1, 2).any(dim=1)[:, None])[:, 0]
        return Embeddings(tiling.together(self._encoded(values, seen)), valid, patch, self.version)

    def predict(self, batch: Batch) -> Prediction:
        """``embedding``, for maps."""
        return prediction(self.encode(batch))

    def _encoded(self, values: Tensor, seen: Tensor) -> Tensor:
        """``(N, D, h, w)``: the mean over the dates at which some group of a patch is seen."""
        count, dates, groups, rows, columns = seen.shape
        flat, present = values.flatten(0, 1), seen.flatten(0, 1)
        maps = torch.zeros(count * dates, self.embedding_dim, rows, columns, device=values.device)
        size = max(1, _TOKENS // (groups * rows * columns))
        with torch.inference_mode():
            chosen = torch.nonzero(present.flatten(1).any(dim=1)).flatten()
            for part in chosen.split(size) if len(chosen) else ():
                # What is not seen comes as 0.
                maps[part] = self.network(flat[part], present[part]).maps[-1]
        number = seen.any(dim=2).sum(dim=1).clamp(min=1)
        return maps.unflatten(0, (count, dates)).sum(dim=1) / number[:, None]

    def _squares(self, found: Gathered, tiling: Tiling) -> tuple[Tensor, Tensor]:
        """All squares ``(N, T, C, S, S)`` and which groups are seen, bool ``(N, T, G, side, side)``."""
        values, valid = found.stack([band.name for band in self._entry.bands])
        if len(self.network.spec.groups) > 1:
            values = (values.clamp(0, 1) * _LEVELS).floor() / _LEVELS
        groups = {str(number): group for number, group in enumerate(self.network.spec.groups)}
        return tiling.patched(values, valid, groups)

    def _refuse_missing(self, found: set[str]) -> None:
        published = [band.name for band in self._entry.bands]
        missing = [name for name in published if name not in found]
        whole = [all(published[band] in found for band in group) for group in self.network.spec.groups]
        if not missing or (self.options.missing == "group" and any(whole)):
            return
        raise InputError(
            f"{self.name} takes bands that are not there: {', '.join(missing)}",
            expected=f"all of {', '.join(published)}, by name, alias or wavelength",
            remedy="name the sensor when opening; SatMaeOptions(missing='group') leaves groups of bands out, as long "
            "as one is whole",
        )
