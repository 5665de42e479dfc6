"""Cut a scene and its labels into chips."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from odc.geo.crs import CRS as OdcCRS
from odc.geo.geobox import GeoBox
from rasterio.crs import CRS
from rasterio.dtypes import check_dtype

from swath.chips import pixels, store
from swath.chips.align import IntegerRaster
from swath.chips.folder import FAILURES, appearing
from swath.chips.footprints import footprints
from swath.chips.groups import group_names, majority
from swath.chips.index import COLUMNS
from swath.chips.layout import ATTRS, INDEX, KIND, Description, class_columns, class_numbers
from swath.chips.rows import Array, RowReader, gather, reader_of
from swath.chips.tally import DropRules, Tally
from swath.chips.windows import Windows, grid_windows
from swath.cubes import Legend, as_cube, bands_of, geobox_of, is_physical
from swath.errors import InputError
from swath.grids.geobox import crs_of
from swath.types import IGNORE

Groups = xr.DataArray | Mapping[str, str]


def cut(
    cube: xr.Dataset,
    labels: xr.DataArray | Array,
    out: Path | str,
    *,
    size: int,
    legend: Legend,
    stride: int | None = None,
    drop: DropRules | None = None,
    groups: Groups | None = None,
    windows: Windows | None = None,
    name_prefix: str = "",
) -> store.ChipSet:
    """Cut a cube and its labels into chips, and write them as a chip set.

    The cube is read from top to bottom, each stored block of rows once; memory holds about one row of chips.
    The folder appears when everything is written. A chip set that lies there already is replaced, anything else is not.
    Windows that touch a block of the scene that cannot be read are left out; ``failures.csv`` lists them.

    Args:
        cube: ``data`` (time, band, y, x) and ``valid``; numbers are stored as they are.
        labels: legend values ``(y, x)``, ``IGNORE`` where unlabelled; another grid is sampled at the nearest pixel.
        out: folder to write.
        size: rows and columns of a chip.
        legend: the classes; the only values that ``labels`` may hold.
        stride: step between windows; default: ``size``.
        drop: which windows to leave out; default: ``DropRules()``.
        groups: group of each chip: a raster of whole numbers, where the most frequent one wins (names in
            ``attrs["legend"]``: a Legend, its JSON, or a mapping from value to name), or a mapping from chip id.
        windows: int ``(N, 2)`` as the window functions give; default: ``grid_windows``. They may reach beyond the
            scene, where pixels are invalid and unlabelled.
        name_prefix: put before every id, which is ``rROW_cCOLUMN``.

    Raises:
        InputError: labels and scene do not overlap or fit, label values outside the legend, no window, nothing kept, or
            ``out`` holds something else.
        ContractError: the dataset is not a cube, or has no grid.
    """
    cube = as_cube(cube)
    job = _Job.of(cube, labels, groups, legend=legend, size=size, drop=drop or DropRules(), prefix=name_prefix)
    chosen = _check_windows(grid_windows(job.shape, size, stride) if windows is None else windows, job)
    with appearing(Path(out)) as folder:
        for name in ("images", "labels", "valid"):
            (folder / name).mkdir()
        tally = Tally()
        with pixels.environment():
            kept = [table for table in job.run(chosen, folder, tally) if len(table)]
        if not kept:
            raise tally.nothing_kept(job.description.source, job.drop)
        if not any((folder / "valid").iterdir()):
            (folder / "valid").rmdir()
        _write_index(pd.concat(kept, ignore_index=True), job, folder)
        tally.failures.save(folder / FAILURES)
    return store.open(out)


@dataclass(frozen=True)
class _Job:
    """Everything that cutting a row of chips needs."""

    cube: xr.Dataset
    labels: IntegerRaster
    groups: IntegerRaster | None
    group_names: Mapping[int, str] | None
    group_of: Mapping[str, str]
    description: Description
    drop: DropRules
    prefix: str

    @classmethod
    def of(
        cls,
        cube: xr.Dataset,
        labels: xr.DataArray | Array,
        groups: Groups | None,
        *,
        legend: Legend,
        size: int,
        drop: DropRules,
        prefix: str,
    ) -> _Job:
        """Check all inputs before anything is written."""
        scene = geobox_of(cube)
        description = _describe(cube, scene, legend, size)
        _check_legend(legend)
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
        readers = [
            reader_of([self.cube["data"].data, self.cube["valid"].data], size, tally.unreadable),
            self.labels.reader(size),
            *([self.groups.reader(size)] if self.groups else []),
        ]
        starts, first = np.unique(windows[:, 0], return_index=True)
        at_once = max(1, -(-self.shape[1] // size))
        for row, columns in zip(starts.tolist(), np.split(windows[:, 1], first[1:]), strict=True):
            slabs = _slabs(readers, row, size, self.shape[0])
            for position in range(0, len(columns), at_once):
                yield self._cut_row(slabs, row, columns[position : position + at_once], folder, tally)

    def _cut_row(
        self, slabs: list[Array], row: int, columns: NDArray[np.int64], folder: Path, tally: Tally
    ) -> pd.DataFrame:
        """Cut windows of one row from the rows of the scene, write those worth keeping, and list them."""
        data, valid, labels, groups = self._gather(slabs, row, columns)
        counts = self._class_counts(np.where(valid.any(axis=1), labels, IGNORE))
        shares = {
            "valid_share": valid.mean(axis=(1, 2, 3)),
            "labelled_share": counts.sum(axis=1) / self.description.size**2,
        }
        tally.valid_pixels += int(valid.any(axis=1).sum())
        keep = tally.keep(**shares, drop=self.drop)
        keep &= tally.readable(row, columns, self.description.size, self.description.source)
        names = [f"{self.prefix}r{row:05d}_c{column:05d}" for column in columns[keep].tolist()]
        table = pd.DataFrame({"id": names, "row": row, "column": columns[keep]})
        table = table.assign(**{name: share[keep] for name, share in shares.items()})
        table["group"] = [self.group_of.get(name, "") for name in names]
        if groups is not None:
            table["group"] = majority(groups[keep], self.group_names)
        table[class_columns(self.description.legend)] = counts[keep]
        written = self._write(table, data[keep], valid[keep], labels[keep].astype(np.int16), folder)
        table["valid"], table["content"] = [path for path, _ in written], [digest for _, digest in written]
        return table

    def _gather(
        self, slabs: list[Array], row: int, columns: NDArray[np.int64]
    ) -> tuple[Array, NDArray[np.bool_], Array, Array | None]:
        """Numbers and validity ``(N, layer, y, x)``, labels and, if any, groups ``(N, y, x)`` of windows of one row."""
        size = self.description.size
        data, mask, labels, *groups = (
            gather(slab, max(row, 0), row, columns, size, fill)
            for slab, fill in zip(slabs, (0, False, IGNORE, IGNORE), strict=False)
        )
        valid = np.broadcast_to(mask if mask.ndim == data.ndim else mask[:, :, None], data.shape)
        if data.dtype.kind == "f":
            # Chips are read as float32, where larger numbers would be infinite.
            valid = valid & np.isfinite(data) & (np.abs(data) <= np.finfo(np.float32).max)
        layers = (len(columns), data.shape[1] * data.shape[2], size, size)
        return data.reshape(layers), valid.reshape(layers), labels, groups[0] if groups else None

    def _class_counts(self, labels: Array) -> NDArray[np.int64]:
        """Labelled pixels per chip and class, ``(N, K)``."""
        chips, classes = len(labels), len(self.description.legend)
        numbers, _ = class_numbers(labels, self.description.legend)
        numbers += np.arange(chips)[:, None, None] * classes
        used = numbers[labels != IGNORE]
        return np.bincount(used, minlength=chips * classes).reshape(chips, classes)

    def _write(
        self, table: pd.DataFrame, data: Array, valid: NDArray[np.bool_], labels: NDArray[np.int16], folder: Path
    ) -> list[tuple[str, str]]:
        """Write the files of some chips; path of the validity raster and content hash of each."""
        transform = self.description.geobox.affine
        crs, layers = CRS.from_user_input(self.description.crs), self.description.layers
        written = []
        origins = zip(table["id"], table["row"], table["column"], strict=True)
        for position, (name, row, column) in enumerate(origins):
            grid = (transform @ Affine.translation(column, row), crs)
            path = pixels.write_image(folder, name, data[position], valid[position], grid, layers)
            pixels.write_labels(folder, name, labels[position], grid)
            written.append((path, content(data[position], valid[position], labels[position])))
        return written


def content(values: Array, valid: NDArray[np.bool_], labels: Array) -> str:
    """Thirty-two hexadecimal digits over what may be used of a chip: valid numbers, validity and labels."""
    digest = hashlib.sha256(f"{values.dtype.str} {values.shape}".encode())
    digest.update(np.where(valid, values, np.zeros((), values.dtype)).tobytes())
    digest.update(np.packbits(valid).tobytes())
    digest.update(labels.astype("<i2").tobytes())
    return digest.hexdigest()[:32]


def _slabs(readers: list[RowReader], row: int, size: int, length: int) -> list[Array]:
    """The rows of the scene that windows at ``row`` need: data, valid, labels and, if any, groups."""
    start, stop = max(row, 0), min(row + size, length)
    data, valid, *whole = (array for reader in readers for array in reader.rows(start, stop))
    # Labels may come in a type that cannot hold IGNORE.
    return [data, valid, *(array.astype(np.int64, copy=False) for array in whole)]


def _check_legend(legend: Legend) -> None:
    limits = np.iinfo(np.int16)
    if len(legend) == 0 or any(not limits.min <= value <= limits.max or value == IGNORE for value in legend.values):
        raise InputError(
            f"The legend has the values {', '.join(map(str, legend.values)) or 'none'}",
            expected=f"at least one class, each a number from {limits.min} to {limits.max} other than {IGNORE}",
            remedy="give the classes other numbers",
        )


def _check_windows(windows: Windows, job: _Job) -> Windows:
    """Different windows in order of row and column, all of which touch the scene."""
    size, shape = job.description.size, job.shape
    if windows.ndim != 2 or windows.shape[1] != 2 or windows.dtype.kind not in "iu":
        raise InputError(
            f"The windows are an array {windows.shape} of {windows.dtype}",
            expected="whole numbers (N, 2), each the first row and column of a chip",
            remedy="make them with grid_windows, random_windows or windows_at",
        )
    if len(windows) == 0:
        raise InputError(
            f"No window of {size} x {size} pixels fits the scene '{job.description.source}' ({shape[0]} x {shape[1]})",
            expected="at least one window",
            remedy="cut smaller chips, or give windows=grid_windows(shape, size, edge='pad')",
        )
    outside = (windows + size <= 0).any(axis=1) | (windows >= np.array(shape)).any(axis=1)
    if outside.any():
        raise InputError(
            f"{int(outside.sum())} windows lie outside the scene of {shape[0]} x {shape[1]} pixels, "
            f"the first at row {windows[outside][0][0]}, column {windows[outside][0][1]}",
            expected="windows that touch the scene",
            remedy="make them with the shape of this scene",
        )
    ordered: Windows = np.unique(windows, axis=0).astype(np.int64)
    return ordered


def _describe(cube: xr.Dataset, scene: GeoBox, legend: Legend, size: int) -> Description:
    times = cube["time"].values.astype("datetime64[s]")
    source = str(cube.attrs.get("source") or "scene")
    if np.isnat(times).any() or len(times) == 0:
        raise InputError(
            f"The scene '{source}' has {len(times)} dates, {int(np.isnat(times).sum())} of them unknown",
            expected="at least one date, all of them known",
            remedy="give the time when opening the scene",
        )
    if not check_dtype(cube["data"].dtype.name):
        raise InputError(
            f"The scene '{source}' holds numbers of type {cube['data'].dtype}",
            expected="a type that GeoTIFF can store",
            remedy="convert them, for example with cube['data'].astype('float32')",
        )
    bands = bands_of(cube)
    stored = not is_physical(cube)
    scale = tuple(cube["scale_factor"].values.tolist()) if stored else (1.0,) * len(bands)
    offset = tuple(cube["add_offset"].values.tolist()) if stored else (0.0,) * len(bands)
    return Description(
        bands=bands,
        scale=scale,
        offset=offset,
        unit=str(cube["data"].attrs.get("unit", "1")),
        times=tuple(int(time) for time in times.astype(np.int64)),
        legend=legend,
        size=size,
        crs=_crs_text(scene),
        transform=tuple(float(number) for number in scene.affine[:6]),
        shape=(int(scene.shape.y), int(scene.shape.x)),
        source=source,
        attrs={name: str(value) for name in ATTRS if (value := cube.attrs.get(name) or _told(cube, name))},
    )


def _told(cube: xr.Dataset, name: str) -> str:
    """What the source of a scene tells: those of the simulated Earth begin with that word."""
    return "simulated" if name == KIND and str(cube.attrs.get("source", "")).startswith("simulated (") else ""


def _crs_text(scene: GeoBox) -> str:
    """``EPSG:...`` where that says it all, else WKT."""
    crs = crs_of(scene)
    short = f"EPSG:{crs.epsg}"
    return short if crs.epsg is not None and OdcCRS(short) == crs else str(crs.to_wkt())


def _write_index(table: pd.DataFrame, job: _Job, folder: Path) -> None:
    """Write ``index.parquet`` and ``chips.json``."""
    description = job.description
    table["image"] = "images/" + table["id"] + ".tif"
    table["label"] = "labels/" + table["id"] + ".tif"
    table[KIND] = description.attrs.get(KIND, "")
    table["time"] = pd.Timestamp(description.times[0], unit="s", tz="UTC")
    windows = table[["row", "column"]].to_numpy(np.int64)
    shapes = footprints(description.geobox, windows, description.size)
    columns = [*COLUMNS, KIND, *class_columns(description.legend)]
    index = geopandas.GeoDataFrame(table[columns], geometry=shapes, crs="EPSG:4326")
    index.to_parquet(folder / INDEX, index=False)
    lines = sorted(f"{name} {digest}" for name, digest in zip(table["id"], table["content"], strict=True))
    replace(description, fingerprint=hashlib.sha256("\n".join(lines).encode()).hexdigest()).write(folder)
