"""Open a chip set and read samples from it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import geopandas
import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from swath.chips import pixels
from swath.chips.folder import FAILURES
from swath.chips.layout import INDEX, KIND, Description, class_columns, class_numbers
from swath.cubes import Legend
from swath.errors import InputError, nearest
from swath.failures import Failure, load_failures
from swath.reading import check_parquet, inside, reading
from swath.sensors import BandSet
from swath.types import IGNORE, Batch, DataKind, Modality

if TYPE_CHECKING:
    from geopandas import GeoDataFrame

COLUMNS = (
    "id",
    "image",
    "valid",
    "label",
    "row",
    "column",
    "valid_share",
    "labelled_share",
    "group",
    "time",
    "content",
)


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

    @property
    def size(self) -> int:
        return self.values.nbytes + self.valid.nbytes + self.labels.nbytes


class ChipSet:
    """Chips on disk: an index, what all chips share, and the pixels.

    Args:
        folder: folder of the chip set.
        description: what all chips share.
        index: one row per chip.
        cache_mb: memory for chips already read, in MiB; 0 reads them every time.
    """

    def __init__(self, folder: Path, description: Description, index: GeoDataFrame, *, cache_mb: float = 256.0) -> None:
        self.folder = folder
        self.description = description
        self.index = index
        self._cache: OrderedDict[str, _Stored] = OrderedDict()
        self._cache_left = int(cache_mb * 2**20)
        ids = index["id"].astype(str)
        self._rows = dict(zip(ids, range(len(ids)), strict=True))
        self._files = list(zip(index["image"], index["valid"], index["label"], index["valid_share"], strict=True))
        self._origins = index[["row", "column"]].to_numpy(np.int64)
        self._groups = index["group"].astype(str).to_list()

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        bands, classes = ", ".join(self.bands.names), ", ".join(self.classes)
        return f"<ChipSet {self.folder}: {len(self)} chips of {self.size} pixels; {bands}; {classes}>"

    @property
    def ids(self) -> list[str]:
        """All ids, sorted."""
        return sorted(self._rows)

    @property
    def bands(self) -> BandSet:
        """Bands in stored order."""
        return self.description.bands

    @property
    def legend(self) -> Legend:
        """Values, names and colours of the classes."""
        return self.description.legend

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; class number k of a loaded label is ``classes[k]``."""
        return self.legend.names

    @property
    def size(self) -> int:
        """Rows and columns of a chip."""
        return self.description.size

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the pixels, validity and labels of all chips."""
        return self.description.fingerprint

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
        """Number of usable labelled pixels per class, zeros included.

        Args:
            ids: chips to count; default: all.
        """
        rows = list(range(len(self))) if ids is None else [self._row(name) for name in ids]
        totals = self.index[class_columns(self.legend)].to_numpy(np.int64)[rows].sum(axis=0)
        return dict(zip(self.classes, totals.tolist(), strict=True))

    def require(self, ids: Iterable[str]) -> None:
        """Stop at the first id that the chip set does not hold.

        Raises:
            InputError: an id is unknown.
        """
        for name in ids:
            self._row(name)

    def load(self, ids: Sequence[str]) -> ChipArrays:
        """Values in physical units, validity and class numbers of some chips, in the order asked for.

        Raises:
            InputError: ``ids`` is empty, an id is unknown, or a file cannot be read.
        """
        if len(ids) == 0:
            raise InputError(
                f"No chip ids were given for {self.folder}", expected="at least one id", remedy="check the split"
            )
        with pixels.environment():
            stored = [self._read(name) for name in ids]
        shape = (len(ids), len(self.description.times), len(self.bands), self.size, self.size)
        valid = np.stack([chip.valid for chip in stored]).reshape(shape)
        raw = np.stack([chip.values for chip in stored]).reshape(shape)
        values = np.where(valid, self._physical(raw), np.float32(0))
        labels = self._class_numbers(np.stack([chip.labels for chip in stored]))
        labels[~valid.any(axis=(1, 2))] = IGNORE
        return ChipArrays(values, valid, labels)

    def batch(self, ids: Sequence[str]) -> Batch:
        """Some chips as a batch: modality ``image``, target ``label``.

        Raises:
            InputError: as ``load``.
        """
        import torch

        arrays = self.load(ids)
        times = np.broadcast_to(np.array(self.description.times, np.int64), (len(ids), len(self.description.times)))
        image = Modality(
            values=torch.from_numpy(arrays.values),
            valid=torch.from_numpy(arrays.valid),
            bands=self.bands,
            time=torch.from_numpy(times.copy()),
            grid=tuple(self.geobox(name) for name in ids),
        )
        label = torch.from_numpy(arrays.labels)
        return Batch(
            inputs={"image": image},
            targets={"label": label},
            target_valid={"label": label != IGNORE},
            ids=tuple(ids),
            meta={"group": tuple(self.group(name) for name in ids)},
        )

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
        layers = len(self.description.times) * len(self.bands)
        values, mask = pixels.read_image(self.folder, image, valid, masked=valid_share < 1)
        chip = _Stored(values, mask, pixels.read_labels(self.folder, label))
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
    path = folder / INDEX
    if not path.exists():
        raise InputError(f"There is no {path}", expected="the GeoParquet index of the chips", remedy="cut them again")
    expected, remedy = "an index as swath writes it", "cut the chips again"
    check_parquet(path, expected=expected, remedy=remedy)
    with reading(path, expected=expected, remedy=remedy):
        index = geopandas.read_parquet(path)
        return ChipSet(folder, description, _checked(index, path, description), cache_mb=cache_mb)


def _checked(index: GeoDataFrame, path: Path, description: Description) -> GeoDataFrame:
    """The index, when it names at least one chip, every chip once, and only files inside the chip set."""
    missing = [column for column in COLUMNS if column not in index.columns]
    missing += [column for column in class_columns(description.legend) if column not in index.columns]
    if missing:
        raise InputError(
            f"The index {path} lacks the columns {', '.join(missing)}",
            expected="an index as swath writes it",
            remedy="cut the chips again",
        )
    if len(index) == 0:
        raise InputError(
            f"The chip set {path.parent} is empty", expected="at least one chip", remedy="cut it with weaker drop rules"
        )
    if index["id"].duplicated().any():
        raise InputError(
            f"The index {path} names the chip '{index['id'][index['id'].duplicated()].iloc[0]}' twice",
            expected="every chip once",
            remedy="cut the chips again",
        )
    _check_kinds(index, path)
    _check_names(index, path)
    return index


def _check_kinds(index: GeoDataFrame, path: Path) -> None:
    """Refuse words about the data that nobody knows; older sets say nothing."""
    known = ("", *get_args(DataKind))
    odd = [kind for kind in index[KIND].fillna("").tolist() if kind not in known] if KIND in index else []
    if odd:
        raise InputError(
            f"The index {path} calls its data '{str(odd[0])[:40]}'",
            expected=f"one of {', '.join(known[1:])}, or nothing",
            remedy="cut the chips again",
        )


def _check_names(index: GeoDataFrame, path: Path) -> None:
    """Refuse file names that lead out of the chip set."""
    for column in ("image", "valid", "label"):
        names = index[column].tolist()
        odd = next((name for name in names if not inside(name) and not (column == "valid" and name == "")), None)
        if odd is not None:
            raise InputError(
                f"The index {path} names the file '{str(odd)[:80]}' in the column '{column}'",
                expected="names of files inside the folder of the chip set",
                remedy="cut the chips again; do not use a chip set from a source you do not trust",
            )
