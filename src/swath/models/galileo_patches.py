"""Galileo as an encoder of patches: from a batch to one embedding per patch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from swath.errors import ConfigError
from swath.models._parts import ndvi, unit_vectors
from swath.models.encoder import Embeddings, prediction, usable, version_of
from swath.models.galileo import (
    LARGEST_PATCH,
    NEAR_INFRARED,
    RED,
    SPACE,
    SPACE_TIME,
    STATIC,
    TIME,
    GalileoEncoder,
    Groups,
    Square,
)
from swath.models.inputs import Gathered, gather, lonlat_of
from swath.sensors import BandSet
from swath.types import Batch, Prediction, Task
from swath.weights import Entry, LoadReport, PublishedBand

_SIDES = ((3, 12), (4, 6), (6, 5), (24, 4))
"""Steps up to -> patches along one side, the largest squares of pretraining with so many steps."""
_TOKENS = 2**14
_SEEN_SHARE = 0.5
"""A patch is seen where at least this share of its pixels is valid."""
_MOST_UNEVEN = 1.05


@dataclass(frozen=True)
class PatchOptions:
    """What the user chooses; all of it is part of the version.

    Args:
        patch: pixels along one side of a patch, 1 to 8.
        place: whether the location enters.
    """

    patch: int = LARGEST_PATCH
    place: bool = True


class GalileoPatches:
    """Every patch of a batch becomes 128 numbers: the mean of its own tokens and of those it shares with its square.

    Samples are cut into squares no larger than those of pretraining. Pixels that are not valid take the mean of the
    valid ones of their patch, and a group of bands is seen in a patch where half of its pixels are valid in all its
    bands (the original looks at the first pixel alone). A patch without any seen group of a satellite has no embedding;
    where a batch holds maps or weather alone, they are enough.

    Args:
        entry: what is known about the weights.
        network: with the weights.
        report: what was loaded.
        options: size of a patch and the like.
        bands: those that may be used; None = all.

    Attributes are those of ``Encoder``.

    Raises:
        ConfigError: a patch of no or more than 8 pixels.
    """

    task: Task = "embedding"

    def __init__(
        self,
        entry: Entry,
        network: GalileoEncoder,
        report: LoadReport,
        options: PatchOptions | None = None,
        bands: tuple[PublishedBand, ...] | None = None,
    ) -> None:
        self.options = options or PatchOptions()
        if not 1 <= self.options.patch <= LARGEST_PATCH:
            raise ConfigError(
                f"The patch has {self.options.patch} pixels along one side",
                expected=f"1 to {LARGEST_PATCH}",
                remedy="take 8 for speed, 4 or 2 for detail",
            )
        self.name = entry.name
        self.report = report
        self.embedding_dim = entry.embedding_dim
        self.output_stride = self.options.patch
        self.classes = tuple(f"e{number}" for number in range(entry.embedding_dim))
        self.network = network.eval().requires_grad_(False)
        self._entry = entry
        self._bands = entry.bands if bands is None else bands
        self._scaling = {band.name: band.scaling for band in entry.bands}
        self.inputs: Mapping[str, BandSet] = {"image": BandSet(tuple(band.band for band in self._bands))}
        choices = {"patch": self.options.patch, "place": self.options.place}
        self.version = version_of(entry.name, network, self._bands, choices)

    def using(self, bands: BandSet) -> GalileoPatches:
        """The encoder for scenes that offer these bands alone; other bands count as missing.

        Raises:
            InputError: none of them fits.
        """
        chosen = usable(self._entry.bands, bands, self.name)
        return GalileoPatches(self._entry, self.network, self.report, self.options, chosen)

    def with_options(self, options: PatchOptions) -> GalileoPatches:
        """The same encoder with another size of patch, or without the location."""
        return GalileoPatches(self._entry, self.network, self.report, options, self._bands)

    def encode(self, batch: Batch) -> Embeddings:
        """``(B, 128, ceil(H / patch), ceil(W / patch))`` for a batch of ``(B, T, C, H, W)`` modalities.

        Raises:
            InputError: no band fits, dates or places are unknown, or values cannot be what they are said to be.
            ContractError: modalities differ in size or dates.
        """
        found = gather(batch, self._bands, model=self.name, most_steps=self._entry.most_steps)
        tiling = Tiling.of(found.size, self.options.patch, found.steps)
        square = self._squares(found, tiling)
        resolution = self._resolution_m(found)
        known = self._observed(square, set(found.layers))
        values = torch.zeros(*known.shape, self.embedding_dim, device=known.device).permute(0, 3, 1, 2)
        size = max(1, _TOKENS // (tiling.side**2 * (found.steps * len(SPACE_TIME) + len(SPACE))))
        with torch.inference_mode():
            chosen = torch.nonzero(known.flatten(1).any(dim=1)).flatten()
            for part in chosen.split(size) if len(chosen) else ():
                tokens = self.network(_rows(square, part), self.options.patch, resolution)
                values[part] = torch.where(known[part][:, None], tokens.per_patch(), 0.0)
        valid = tiling.together(known[:, None])[:, 0]
        return Embeddings(tiling.together(values), valid, self.options.patch, self.version)

    def predict(self, batch: Batch) -> Prediction:
        """``embedding``, for maps."""
        return prediction(self.encode(batch))

    def _squares(self, found: Gathered, tiling: Tiling) -> Square:
        """All squares of a batch as the network takes them."""
        names = {role: [band.name for band in self._entry.bands if band.role == role] for role in ("series", "map")}
        values, valid = found.stack(names["series"])
        values, valid = self._with_ndvi(values, valid, names["series"])
        space_time, space_time_seen = tiling.patched(values, valid, SPACE_TIME)
        maps, mapped = found.stack(names["map"], steps=False)
        space, space_seen = tiling.patched(maps[:, None], mapped[:, None], SPACE)
        weather = [band.name for band in self._entry.bands if band.role == "weather"]
        time, timed = (tiling.repeated(part) for part in found.stack(weather, space=False))
        static, static_seen = self._static(found, tiling, maps, mapped)
        return Square(
            space_time.permute(0, 3, 4, 1, 2),
            space[:, 0].permute(0, 2, 3, 1),
            time,
            static,
            space_time_seen.permute(0, 3, 4, 1, 2),
            space_seen[:, 0].permute(0, 2, 3, 1),
            _whole(timed, TIME),
            static_seen,
            tiling.repeated(found.months),
        )

    def _with_ndvi(self, values: Tensor, valid: Tensor, names: list[str]) -> tuple[Tensor, Tensor]:
        """The index of the digital numbers as a further band, ``(B, T, C + 1, H, W)``."""
        numbers = []
        for place in (RED, NEAR_INFRARED):
            _, add, divide = self._scaling[names[place]]
            numbers.append(values[:, :, place] * divide - add)
        both = valid[:, :, RED] & valid[:, :, NEAR_INFRARED]
        index = torch.where(both, ndvi(numbers[0], numbers[1]), 0.0)
        return torch.cat([values, index[:, :, None]], dim=2), torch.cat([valid, both[:, :, None]], dim=2)

    def _static(self, found: Gathered, tiling: Tiling, maps: Tensor, mapped: Tensor) -> tuple[Tensor, Tensor]:
        """Population, place and means of the maps of each square, ``(N, 18)``, and what is seen of them, ``(N, 4)``."""
        places = [band.name for band in self._entry.bands if band.role == "place"]
        people, counted = (tiling.repeated(part) for part in found.stack(places, steps=False, space=False))
        cut, cut_valid = tiling.cut(maps, 0.0), tiling.cut(mapped, False)
        number = cut_valid.sum(dim=(-2, -1))
        means = torch.where(cut_valid, cut, 0.0).sum(dim=(-2, -1)) / number.clamp(min=1)
        cover = [*SPACE["DW"], *SPACE["WC"]]
        if self.options.place:
            vectors = unit_vectors(lonlat_of(found, self.name).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
            middle = F.normalize(tiling.cut(vectors, 0.0).sum(dim=(-2, -1)), dim=1)
        else:
            middle = means.new_zeros(len(means), 3)
        known = torch.full_like(middle, self.options.place, dtype=torch.bool)
        values = torch.cat([people, middle, means[:, cover]], dim=1)
        return values, _whole(torch.cat([counted, known, number[:, cover] > 0], dim=1), STATIC)

    def _resolution_m(self, found: Gathered) -> float:
        """Size of a pixel in metres, to a tenth; 10 where the samples are points without extent.

        Raises:
            ConfigError: the samples differ.
        """
        sizes = found.reference.gsd_m()
        if not len(sizes) or float(sizes.max()) == 0.0:
            return 10.0
        if float(sizes.max()) > _MOST_UNEVEN * float(sizes.min()):
            raise ConfigError(
                f"The samples have pixels of {float(sizes.min()):g} to {float(sizes.max()):g} m",
                expected=f"one size in a batch, because {self.name} knows the size of its patches",
                remedy="make batches of samples with equal pixels",
            )
        return round(float(sizes.mean()), 1)

    def _observed(self, square: Square, there: set[str]) -> Tensor:
        """Which patches see enough for an embedding, bool ``(N, h, w)``."""
        scenic = square.space_time_seen.flatten(3).any(dim=3)
        if any(band.name in there and band.role == "series" for band in self._bands):
            return scenic
        common = square.time_seen.flatten(1).any(dim=1)
        return scenic | square.space_seen.any(dim=3) | common[:, None, None]


@dataclass(frozen=True)
class Tiling:
    """How samples are cut into squares of patches.

    Args:
        size: rows and columns of a sample in pixels.
        patch: pixels along one side of a patch.
        side: patches along one side of a square.
    """

    size: tuple[int, int]
    patch: int
    side: int

    @classmethod
    def of(cls, size: tuple[int, int], patch: int, steps: int) -> Tiling:
        """Squares as even as can be, none larger than in pretraining."""
        largest = next(side for most, side in _SIDES if steps <= most)
        cells = math.ceil(max(size) / patch)
        return cls(size, patch, math.ceil(cells / math.ceil(cells / largest)))

    @property
    def cells(self) -> tuple[int, int]:
        """Patches down and across a sample; the last ones may reach beyond it."""
        return math.ceil(self.size[0] / self.patch), math.ceil(self.size[1] / self.patch)

    @property
    def squares(self) -> tuple[int, int]:
        """Squares down and across a sample; the last ones may reach beyond it."""
        return math.ceil(self.cells[0] / self.side), math.ceil(self.cells[1] / self.side)

    def cut(self, maps: Tensor, fill: float | bool) -> Tensor:
        """``(B, ..., H, W)`` to ``(N, ..., S, S)``, squares of a sample one after the other, row by row."""
        rows, columns = self.squares
        pixels = self.side * self.patch
        right, below = columns * pixels - self.size[1], rows * pixels - self.size[0]
        filled = F.pad(maps, (0, right, 0, below), value=fill)
        split = filled.unflatten(-1, (columns, pixels)).unflatten(-3, (rows, pixels))
        # (B, ..., rows, S, columns, S): the counts of squares go to the front.
        return split.movedim((-4, -2), (1, 2)).flatten(0, 2)

    def together(self, cells: Tensor) -> Tensor:
        """``(N, D, side, side)`` back to ``(B, D, h, w)``."""
        rows, columns = self.squares
        split = cells.unflatten(0, (-1, rows, columns))  # (B, rows, columns, D, side, side)
        joined = split.permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)
        return joined[..., : self.cells[0], : self.cells[1]].contiguous()

    def repeated(self, values: Tensor) -> Tensor:
        """What holds for a sample, once for each of its squares."""
        return values.repeat_interleave(self.squares[0] * self.squares[1], dim=0)

    def patched(self, values: Tensor, valid: Tensor, groups: Groups) -> tuple[Tensor, Tensor]:
        """Squares with invalid pixels filled from their patch, and which groups each patch sees.

        Args:
            values: ``(B, T, C, H, W)``.
            valid: the same shape.
            groups: bands of each group.

        Returns:
            ``(N, T, C, S, S)`` and bool ``(N, T, G, side, side)``.
        """
        values, valid = self.cut(values, 0.0), self.cut(valid, False)
        shape = values.shape
        flat, mask = values.flatten(0, 1), valid.flatten(0, 1)
        share = F.avg_pool2d(mask.float(), self.patch)
        mean = F.avg_pool2d(torch.where(mask, flat, 0.0), self.patch) / share.clamp(min=1e-9)
        spread = mean.repeat_interleave(self.patch, dim=-1).repeat_interleave(self.patch, dim=-2)
        filled = torch.where(mask, flat, spread).reshape(shape)
        enough = (share >= _SEEN_SHARE).unflatten(0, shape[:2]).movedim(2, -1)
        return filled, _whole(enough, groups).movedim(-1, 2)


def _whole(seen: Tensor, groups: Groups) -> Tensor:
    """``(..., C)`` to ``(..., G)``: a group is seen where all its bands are."""
    return torch.stack([seen[..., list(part)].all(dim=-1) for part in groups.values()], dim=-1)


def _rows(square: Square, part: Tensor) -> Square:
    """Some of the squares."""
    return Square(
        square.space_time[part],
        square.space[part],
        square.time[part],
        square.static[part],
        square.space_time_seen[part],
        square.space_seen[part],
        square.time_seen[part],
        square.static_seen[part],
        square.months[part],
    )
