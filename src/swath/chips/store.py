"""Open a chip set and read samples from it."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from swath.chips import pixels
from swath.chips.folder import FAILURES
from swath.chips.index import chip_times, read_index
from swath.chips.layout import KIND, Description, class_columns, class_numbers
from swath.chips.targets import QUANTITIES, VALUES, Targets, target_name
from swath.cubes import Legend
from swath.errors import InputError, nearest
from swath.failures import Failure, load_failures
from swath.sensors import BandSet
from swath.types import IGNORE, Batch, DataKind, Modality, Task

if TYPE_CHECKING:
    from geopandas import GeoDataFrame

IMAGE = "image"
"""Name of the one modality of a chip set."""


class ChipArrays(NamedTuple):
    """Samples as arrays.

    Args:
        values: float32 ``(N, T, C, H, W)`` in physical units; 0 where invalid.
        valid: bool of the same shape.
        labels: int64 ``(N, H, W)``, class numbers 0 to K - 1 in the order of ``ChipSet.classes``; ``IGNORE`` where
            there is no label or no band is valid.
    """

    values: NDArray[np.float32]
    valid: NDArray[np.bool_]
    labels: NDArray[np.int64]


class _Stored(NamedTuple):
    """A chip as it lies on disk, kept in memory."""

    values: NDArray[Any]
    valid: NDArray[np.bool_]
    labels: NDArray[np.int16]
    quantities: NDArray[np.float32] | None = None

    @property
    def size(self) -> int:
        extra = 0 if self.quantities is None else self.quantities.nbytes
        return self.values.nbytes + self.valid.nbytes + self.labels.nbytes + extra


class ChipSet:
    """Chips on disk: an index, what all chips share, and the pixels.

    Args:
        folder: folder of the chip set.
        description: what all chips share.
        index: one row per chip.
        targets: what is asked of the chips; None: a class per pixel, as the label rasters say.
        cache_mb: memory for chips already read, in MiB; 0 reads them every time.

    Raises:
        InputError: the targets are not those of these chips.
    """

    def __init__(
        self,
        folder: Path,
        description: Description,
        index: GeoDataFrame,
        targets: Targets | None = None,
        *,
        cache_mb: float = 256.0,
    ) -> None:
        self.folder = folder
        self.description = description
        self.index = index
        self._cache: OrderedDict[str, _Stored] = OrderedDict()
        self._cache_left = int(cache_mb * 2**20)
        ids = index["id"].astype(str)
        self._rows = dict(zip(ids, range(len(ids)), strict=True))
        self._targets = None if targets is None else targets.aligned(ids.to_list(), folder)
        self._times = chip_times(index, description.times)
        self._files = list(zip(index["image"], index["valid"], index["label"], index["valid_share"], strict=True))
        self._origins = index[["row", "column"]].to_numpy(np.int64)
        self._groups = index["group"].astype(str).to_list()

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        bands, names = ", ".join(self.bands.names), ", ".join(self.classes or self.quantities)
        return f"<ChipSet {self.folder}: {len(self)} chips of {self.size} pixels; {bands}; {self.task}: {names}>"

    @property
    def ids(self) -> list[str]:
        """All ids, sorted."""
        return sorted(self._rows)

    @property
    def bands(self) -> BandSet:
        """Bands in stored order."""
        return self.description.bands

    @property
    def inputs(self) -> Mapping[str, BandSet]:
        """Bands of the one modality, ``image``."""
        return {IMAGE: self.bands}

    @property
    def dates(self) -> Mapping[str, int]:
        """Most dates of a chip, by modality; every batch has as many, the missing ones invalid."""
        return {IMAGE: max(len(times) for times in self._times)}

    @property
    def targets(self) -> Targets | None:
        """What is asked of the chips beside a class per pixel; None where that is what is asked."""
        return self._targets

    @property
    def task(self) -> Task:
        """What is asked of the chips."""
        return "segmentation" if self._targets is None else self._targets.task

    @property
    def target(self) -> str:
        """Name of the target in a batch: ``label`` or ``value``."""
        return target_name(self.task)

    @property
    def legend(self) -> Legend:
        """Values, names and colours of the classes of the label rasters."""
        return self.description.legend

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes or labels, in the order of their numbers; empty where quantities are asked for."""
        if self._targets is None or self.task == "change":
            return self.legend.names
        return () if self.task in QUANTITIES else self._targets.names

    @property
    def quantities(self) -> tuple[str, ...]:
        """Names of the quantities; empty where classes are asked for."""
        return self._targets.names if self._targets is not None and self.task in QUANTITIES else ()

    @property
    def units(self) -> tuple[str, ...]:
        """Unit of each quantity."""
        return () if self._targets is None else self._targets.units

    @property
    def size(self) -> int:
        """Rows and columns of a chip."""
        return self.description.size

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the pixels, validity and labels of all chips, and over the targets where there are some."""
        if self._targets is None:
            return self.description.fingerprint
        return hashlib.sha256(f"{self.description.fingerprint} {self._targets.digest}".encode()).hexdigest()

    @property
    def data_kind(self) -> DataKind | None:
        """Whether the data are real, simulated, ...; ``hybrid`` where chips differ, None where no chip says."""
        kinds = set(self.index[KIND].fillna("").astype(str)) if KIND in self.index else {""}
        if kinds == {""}:
            return None
        return next(kind for kind in get_args(DataKind) if kinds == {kind} or (kind == "hybrid" and len(kinds) > 1))

    @property
    def scene(self) -> GeoBox:
        """Grid of the scene the chips were cut from."""
        return self.description.geobox

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Windows that were left out because the scene could not be read there."""
        return load_failures(self.folder / FAILURES)

    def geobox(self, name: str) -> GeoBox:
        """Grid of one chip."""
        row, column = self._origins[self._row(name)]
        scene = self.scene
        return GeoBox((self.size, self.size), scene.affine @ Affine.translation(int(column), int(row)), scene.crs)

    def group(self, name: str) -> str:
        """Group of one chip, empty where it has none."""
        return self._groups[self._row(name)]

    def class_counts(self, ids: Iterable[str] | None = None) -> dict[str, int]:
        """Usable labelled pixels per class, samples per class, or positives per label; zeros included.

        Args:
            ids: chips to count; default: all.

        Returns:
            Counts by class or label; nothing where quantities are asked for.
        """
        rows = list(range(len(self))) if ids is None else [self._row(name) for name in ids]
        if self.task in QUANTITIES:
            return {}
        if self._targets is not None and self._targets.per_chip:
            return self._targets.counts(rows)
        totals = self.index[class_columns(self.legend)].to_numpy(np.int64)[rows].sum(axis=0)
        return dict(zip(self.classes, totals.tolist(), strict=True))

    def require(self, ids: Iterable[str]) -> None:
        """Stop at the first id that the chip set does not hold.

        Raises:
            InputError: an id is unknown.
        """
        for name in ids:
            self._row(name)

    def times(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """Dates of some chips, ``(N, T)`` in seconds UTC; the last one again where a chip has fewer than T."""
        own = [self._times[self._row(name)] for name in ids]
        longest = self.dates[IMAGE]
        return np.stack([np.pad(times, (0, longest - len(times)), mode="edge") for times in own])

    def load(self, ids: Sequence[str]) -> ChipArrays:
        """Values in physical units, validity and class numbers of some chips, in the order asked for.

        Dates that a chip lacks come last; nothing is valid there.

        Raises:
            InputError: ``ids`` is empty, an id is unknown, or a file cannot be read.
        """
        return self._arrays(self._stored(ids))

    def batch(self, ids: Sequence[str]) -> Batch:
        """Some chips as a batch: modality ``image``, and the target that ``target`` names.

        Raises:
            InputError: as ``load``.
        """
        import torch

        stored = self._stored(ids)
        arrays = self._arrays(stored)
        image = Modality(
            values=torch.from_numpy(arrays.values),
            valid=torch.from_numpy(arrays.valid),
            bands=self.bands,
            time=torch.from_numpy(self.times(ids)),
            grid=tuple(self.geobox(name) for name in ids),
        )
        if self._targets is not None and self._targets.per_chip:
            target, usable = self._targets.tensors([self._row(name) for name in ids])
        elif self.task == "pixel_regression":
            numbers = np.stack([chip.quantities for chip in stored if chip.quantities is not None])
            seen: NDArray[np.bool_] = np.asarray(arrays.valid.any(axis=(1, 2)))
            known = np.isfinite(numbers) & seen[:, None]
            target = torch.from_numpy(np.where(known, numbers, np.float32(0)))
            usable = torch.from_numpy(known)
        else:
            target = torch.from_numpy(arrays.labels)
            usable = target != IGNORE
        return Batch(
            inputs={IMAGE: image},
            targets={self.target: target},
            target_valid={self.target: usable},
            ids=tuple(ids),
            meta={"group": tuple(self.group(name) for name in ids)},
        )

    def _stored(self, ids: Sequence[str]) -> list[_Stored]:
        if len(ids) == 0:
            raise InputError(
                f"No chip ids were given for {self.folder}", expected="at least one id", remedy="check the split"
            )
        with pixels.environment():
            return [self._read(name) for name in ids]

    def _arrays(self, stored: Sequence[_Stored]) -> ChipArrays:
        shape = (len(stored), self.dates[IMAGE], len(self.bands), self.size, self.size)
        valid, raw = np.zeros(shape, bool), np.zeros(shape, np.result_type(*(chip.values for chip in stored)))
        for place, chip in enumerate(stored):
            own = (-1, *shape[2:])
            valid[place, : len(chip.valid) // shape[2]] = chip.valid.reshape(own)
            raw[place, : len(chip.values) // shape[2]] = chip.values.reshape(own)
        values = np.where(valid, self._physical(raw), np.float32(0))
        labels = self._class_numbers(np.stack([chip.labels for chip in stored]))
        labels[~valid.any(axis=(1, 2))] = IGNORE
        return ChipArrays(values, valid, labels)

    def _row(self, name: str) -> int:
        if name not in self._rows:
            raise InputError(
                f"There is no chip '{name}' in {self.folder}",
                expected=f"one of its {len(self)} ids",
                remedy=f"the nearest ids are: {nearest(name, self._rows)}",
            )
        return self._rows[name]

    def _read(self, name: str) -> _Stored:
        if name in self._cache:
            self._cache.move_to_end(name)
            return self._cache[name]
        image, valid, label, valid_share = self._files[self._row(name)]
        layers = len(self._times[self._row(name)]) * len(self.bands)
        values, mask = pixels.read_image(self.folder, image, valid, masked=valid_share < 1)
        chip = _Stored(values, mask, pixels.read_labels(self.folder, label), self._read_quantities(label))
        wanted = (layers, self.size, self.size)
        if not values.shape == mask.shape == wanted or chip.labels.shape != wanted[1:]:
            raise InputError(
                f"The chip '{name}' in {self.folder} has the shape {values.shape}, its validity {mask.shape} and its "
                f"labels {chip.labels.shape}",
                expected=f"{wanted} (band and date, y, x), and labels of {wanted[1:]}",
                remedy="cut the chips again",
            )
        self._keep(name, chip)
        return chip

    def _read_quantities(self, label: str) -> NDArray[np.float32] | None:
        """Quantities ``(K, y, x)`` of the chip with this label raster, where they are asked for."""
        if self.task != "pixel_regression":
            return None
        name = Path(label).stem
        found = pixels.read_values(self.folder, f"{VALUES}/{name}.tif")
        wanted = (len(self.quantities), self.size, self.size)
        if found.shape != wanted:
            raise InputError(
                f"The quantities of the chip '{name}' in {self.folder} have the shape {found.shape}",
                expected=f"{wanted} (quantity, y, x)",
                remedy="cut the chips again",
            )
        return found

    def _keep(self, name: str, chip: _Stored) -> None:
        """Remember a chip, and forget the least recently used ones where memory runs short."""
        while self._cache and chip.size > self._cache_left:
            self._cache_left += self._cache.popitem(last=False)[1].size
        if chip.size <= self._cache_left:
            self._cache[name] = chip
            self._cache_left -= chip.size

    def _physical(self, raw: NDArray[Any]) -> NDArray[np.float32]:
        scale = np.array(self.description.scale)[:, None, None]
        offset = np.array(self.description.offset)[:, None, None]
        if (scale == 1).all() and (offset == 0).all():
            return raw.astype(np.float32)
        # In float64, as cubes.to_physical does, so that training and prediction see the same numbers.
        physical: NDArray[np.float32] = (raw * scale + offset).astype(np.float32)
        return physical

    def _class_numbers(self, labels: NDArray[np.int16]) -> NDArray[np.int64]:
        numbers, unknown = class_numbers(labels, self.legend)
        if unknown.any():
            raise InputError(
                f"The labels in {self.folder} hold the value {int(labels[unknown][0])}",
                expected=f"a value of the legend ({', '.join(map(str, self.legend.values))}) or {IGNORE}",
                remedy="cut the chips again",
            )
        return numbers


def open(folder: Path | str, *, cache_mb: float = 256.0) -> ChipSet:
    """Open a chip set.

    Args:
        folder: the folder that ``cut`` wrote.
        cache_mb: memory for chips already read, in MiB.

    Raises:
        InputError: the folder is no chip set, or the chip set is empty or damaged.
    """
    folder = Path(folder)
    description = Description.read(folder)
    return ChipSet(folder, description, read_index(folder, description), Targets.read(folder), cache_mb=cache_mb)
