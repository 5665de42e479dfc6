"""Cutting, row by row of chips: what is read, kept, written and listed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import geopandas
import numpy as np
import pandas as pd
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

from swath.chips import pixels
from swath.chips.align import IntegerRaster
from swath.chips.describe import check_legend, describe
from swath.chips.footprints import footprints
from swath.chips.groups import group_names, majority
from swath.chips.index import COLUMNS, TIMES
from swath.chips.layout import INDEX, KIND, Description, class_columns, class_numbers
from swath.chips.quantities import Quantities
from swath.chips.rows import Array, RowReader, gather, reader_of
from swath.chips.tally import DropRules, Tally
from swath.chips.targets import finite_or_nan
from swath.chips.windows import Windows
from swath.cubes import Legend, geobox_of
from swath.types import IGNORE

Groups = xr.DataArray | Mapping[str, str]


class _Cut(NamedTuple):
    """Windows of one row of chips.

    Args:
        data: numbers ``(N, layer, y, x)``, layers ordered by date, then band.
        valid: bool of that shape.
        labels: legend values ``(N, y, x)``.
        groups: numbers of groups ``(N, y, x)``, or None.
        quantities: float32 ``(N, quantity, y, x)``, NaN where unknown, or None.
    """

    data: Array
    valid: NDArray[np.bool_]
    labels: Array
    groups: Array | None
    quantities: NDArray[np.float32] | None

    def only(self, keep: NDArray[np.bool_]) -> _Cut:
        """Some of the windows."""
        groups = None if self.groups is None else self.groups[keep]
        quantities = None if self.quantities is None else self.quantities[keep]
        return _Cut(self.data[keep], self.valid[keep], self.labels[keep], groups, quantities)


@dataclass(frozen=True)
class Job:
    """Everything that cutting a row of chips needs; made by ``Job.of``."""

    cube: xr.Dataset
    labels: IntegerRaster
    groups: IntegerRaster | None
    group_names: Mapping[int, str] | None
    group_of: Mapping[str, str]
    quantities: Quantities | None
    description: Description
    drop: DropRules
    prefix: str

    @classmethod
    def of(
        cls,
        cube: xr.Dataset,
        labels: xr.DataArray | Array | Quantities,
        groups: Groups | None,
        *,
        legend: Legend,
        size: int,
        drop: DropRules,
        prefix: str,
    ) -> Job:
        """Check all inputs before anything is written.

        Raises:
            InputError: as ``cut``.
        """
        scene = geobox_of(cube)
        description = describe(cube, scene, legend, size)
        check_legend(legend)
        if isinstance(labels, Quantities):
            raster = labels.measured
        else:
            raster = IntegerRaster.of(labels, scene, what="labels", scene_source=description.source)
            raster.check_values(legend)
        group_raster = None
        if isinstance(groups, xr.DataArray):
            group_raster = IntegerRaster.of(groups, scene, what="groups", scene_source=description.source)
        return cls(
            cube=cube,
            labels=raster,
            groups=group_raster,
            group_names=group_names(groups) if isinstance(groups, xr.DataArray) else None,
            group_of=groups if isinstance(groups, Mapping) else {},
            quantities=labels if isinstance(labels, Quantities) else None,
            description=description,
            drop=drop,
            prefix=prefix,
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the scene."""
        return self.description.shape

    def run(self, windows: Windows, folder: Path, tally: Tally) -> Iterator[pd.DataFrame]:
        """Cut all windows, row by row; yields the index rows of the chips kept."""
        size = self.description.size
        readers = {"scene": reader_of([self.cube["data"].data, self.cube["valid"].data], size, tally.unreadable)}
        others = {"labels": self.labels, "groups": self.groups, "quantities": self.quantities}
        readers |= {name: raster.reader(size) for name, raster in others.items() if raster is not None}
        starts, first = np.unique(windows[:, 0], return_index=True)
        at_once = max(1, -(-self.shape[1] // size))
        for row, columns in zip(starts.tolist(), np.split(windows[:, 1], first[1:]), strict=True):
            slabs = _slabs(readers, row, size, self.shape[0])
            for position in range(0, len(columns), at_once):
                part = columns[position : position + at_once]
                yield self._cut_row(self._gather(slabs, row, part), row, part, folder, tally)

    def finish(self, table: pd.DataFrame, folder: Path, tally: Tally) -> None:
        """Write ``index.parquet`` and ``chips.json``."""
        description = self.description
        table["image"] = "images/" + table["id"] + ".tif"
        table["label"] = "labels/" + table["id"] + ".tif"
        table[KIND] = description.attrs.get(KIND, "")
        first = [times[0] for times in table[TIMES]]
        table["time"] = pd.to_datetime(np.array(first, "datetime64[s]"), utc=True).as_unit("us")
        shapes = footprints(description.geobox, table[["row", "column"]].to_numpy(np.int64), description.size)
        columns = [*COLUMNS, KIND, *class_columns(description.legend)]
        columns += [TIMES] if tally.dates else []
        index = geopandas.GeoDataFrame(table[columns], geometry=shapes, crs="EPSG:4326")
        index.to_parquet(folder / INDEX, index=False)
        lines = sorted(f"{name} {digest}" for name, digest in zip(table["id"], table["content"], strict=True))
        fingerprint = hashlib.sha256("\n".join(lines).encode()).hexdigest()
        replace(description, fingerprint=fingerprint, left_out=tally.left_out()).write(folder)

    def _cut_row(self, part: _Cut, row: int, columns: NDArray[np.int64], folder: Path, tally: Tally) -> pd.DataFrame:
        """Write the windows of one row that are worth keeping, and list them."""
        counts = self._class_counts(np.where(part.valid.any(axis=1), part.labels, IGNORE))
        shares = {
            "valid_share": part.valid.mean(axis=(1, 2, 3)),
            "labelled_share": counts.sum(axis=1) / self.description.size**2,
        }
        tally.valid_pixels += int(part.valid.any(axis=1).sum())
        keep = tally.keep(**shares, drop=self.drop)
        keep &= tally.readable(row, columns, self.description.size, self.description.source)
        kept = part.only(keep)
        names = [f"{self.prefix}r{row:05d}_c{column:05d}" for column in columns[keep].tolist()]
        table = pd.DataFrame({"id": names, "row": row, "column": columns[keep]})
        table = table.assign(**{name: share[keep] for name, share in shares.items()})
        table["group"] = [self.group_of.get(name, "") for name in names]
        if kept.groups is not None:
            table["group"] = majority(kept.groups, self.group_names)
        table[class_columns(self.description.legend)] = counts[keep]
        dates = self._dates(kept.valid)
        tally.dates += int((~dates).sum())
        if kept.quantities is not None:
            tally.unknown += np.isnan(kept.quantities).sum(axis=(0, 2, 3))
            tally.known += np.isfinite(kept.quantities).sum(axis=(0, 2, 3))
        written = self._write(table, kept, dates, folder)
        table["valid"], table["content"] = [path for path, _ in written], [digest for _, digest in written]
        times = np.array(self.description.times, np.int64)
        table[TIMES] = [times[own] for own in dates]
        if not dates.all():
            shape = (len(kept.valid), len(times), -1)
            by_date = kept.valid.reshape(shape).mean(axis=2)
            table["valid_share"] = (by_date * dates).sum(axis=1) / dates.sum(axis=1)
        return table

    def _dates(self, valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which dates of each chip are worth keeping ``(N, T)``; always the one with most valid numbers."""
        chips, dates = len(valid), len(self.description.times)
        if self.drop.min_date_valid == 0 or chips == 0:
            return np.ones((chips, dates), bool)
        share = valid.reshape(chips, dates, -1).mean(axis=2)
        keep: NDArray[np.bool_] = share >= self.drop.min_date_valid
        keep[np.arange(chips), share.argmax(axis=1)] = True
        return keep

    def _gather(self, slabs: Mapping[str, list[Array]], row: int, columns: NDArray[np.int64]) -> _Cut:
        """Windows of one row out of the rows of the scene."""
        size, first = self.description.size, max(row, 0)

        def windows(slab: Array, fill: float) -> Array:
            return gather(slab, first, row, columns, size, fill)

        data, mask = windows(slabs["scene"][0], 0), windows(slabs["scene"][1], False)
        valid = np.broadcast_to(mask if mask.ndim == data.ndim else mask[:, :, None], data.shape)
        if data.dtype.kind == "f":
            # Chips are read as float32, where larger numbers would be infinite.
            valid = valid & np.isfinite(data) & (np.abs(data) <= np.finfo(np.float32).max)
        layers = (len(columns), data.shape[1] * data.shape[2], size, size)
        # Labels may come in a type that cannot hold IGNORE.
        whole = {
            name: windows(slabs[name][0].astype(np.int64, copy=False), IGNORE)
            for name in ("labels", "groups")
            if name in slabs
        }
        quantities = finite_or_nan(windows(slabs["quantities"][0], np.nan)) if "quantities" in slabs else None
        return _Cut(data.reshape(layers), valid.reshape(layers), whole["labels"], whole.get("groups"), quantities)

    def _class_counts(self, labels: Array) -> NDArray[np.int64]:
        """Labelled pixels per chip and class, ``(N, K)``."""
        chips, classes = len(labels), len(self.description.legend)
        numbers, _ = class_numbers(labels, self.description.legend)
        numbers += np.arange(chips)[:, None, None] * classes
        used = numbers[labels != IGNORE]
        return np.bincount(used, minlength=chips * classes).reshape(chips, classes)

    def _write(self, table: pd.DataFrame, part: _Cut, dates: NDArray[np.bool_], folder: Path) -> list[tuple[str, str]]:
        """Write the files of some chips; path of the validity raster and content hash of each."""
        transform = self.description.geobox.affine
        crs, bands = CRS.from_user_input(self.description.crs), len(self.description.bands)
        names = np.array(self.description.layers, object)
        written = []
        origins = zip(table["id"], table["row"], table["column"], strict=True)
        for position, (name, row, column) in enumerate(origins):
            grid = (transform @ Affine.translation(column, row), crs)
            own = np.repeat(dates[position], bands)
            data, valid = part.data[position][own], part.valid[position][own]
            labels = part.labels[position].astype(np.int16)
            path = pixels.write_image(folder, name, data, valid, grid, names[own].tolist())
            pixels.write_labels(folder, name, labels, grid)
            extra = b"" if own.all() else np.packbits(dates[position]).tobytes()
            if part.quantities is not None:
                pixels.write_values(folder, name, part.quantities[position], grid)
                extra += np.where(
                    np.isnan(part.quantities[position]), np.float32(np.nan), part.quantities[position]
                ).tobytes()
            written.append((path, content(data, valid, labels, extra)))
        return written


def content(values: Array, valid: NDArray[np.bool_], labels: Array, extra: bytes = b"") -> str:
    """Thirty-two hexadecimal digits over what may be used of a chip: valid numbers, validity, labels and the rest."""
    digest = hashlib.sha256(f"{values.dtype.str} {values.shape}".encode())
    digest.update(np.where(valid, values, np.zeros((), values.dtype)).tobytes())
    digest.update(np.packbits(valid).tobytes())
    digest.update(labels.astype("<i2").tobytes())
    digest.update(extra)
    return digest.hexdigest()[:32]


def _slabs(readers: Mapping[str, RowReader], row: int, size: int, length: int) -> dict[str, list[Array]]:
    """The rows of the scene that windows at ``row`` need, by name of the reader."""
    start, stop = max(row, 0), min(row + size, length)
    return {name: reader.rows(start, stop) for name, reader in readers.items()}
