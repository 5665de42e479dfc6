"""Embeddings of points and chips as GeoParquet: one row each, masked, with the record of what made them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyarrow.parquet
import torch
import xarray as xr
from numpy.typing import NDArray

from swath.chips import ChipSet
from swath.embed.places import Cells, cells_of
from swath.embed.record import EmbeddingRecord, read_record
from swath.embed.scene import check_cube
from swath.embed.source import blocks_with
from swath.errors import ConfigError, InputError
from swath.files import replacing
from swath.models import Encoder
from swath.predict.inputs import SceneInputs
from swath.predict.window import Window
from swath.reading import check_parquet, reading
from swath.types import Batch

COLUMN, SHARE = "embedding", "valid_share"
_BATCH = 64
_BLOCK = 512
_EXPECTED = "a table of embeddings as swath embed writes it"


@dataclass(frozen=True, eq=False)
class TableReport:
    """What was embedded.

    Args:
        path: the table.
        record: what was written beside it.
        rows: rows of the table.
        empty: rows without an embedding, because nothing is valid there.
        outside: points outside of the scene, left out.
    """

    path: Path
    record: EmbeddingRecord
    rows: int
    empty: int
    outside: int


@dataclass(frozen=True, eq=False)
class EmbeddingTable:
    """A table of embeddings.

    Args:
        path: the file.
        record: what made it.
        places: the other columns, with geometry.
        values: float32 ``(N, D)``, 0 where not valid.
        valid: bool ``(N,)``.
    """

    path: Path
    record: EmbeddingRecord
    places: gpd.GeoDataFrame
    values: NDArray[np.float32]
    valid: NDArray[np.bool_]


def embed_chips(encoder: Encoder, chips: ChipSet, out: Path | str, *, batch_size: int = 8) -> TableReport:
    """Embed every chip: the mean over its cells that have an embedding.

    The columns id, group, valid_share (of the cells), label (the most frequent class, empty without labels) and
    embedding (D numbers) are written, with the outline of the chip in EPSG:4326.

    Args:
        encoder: see ``swath.models.load``; restricted to the bands of the chips.
        chips: see ``swath.chips.open``.
        out: ``.parquet`` file.
        batch_size: chips at once.

    Raises:
        ConfigError: the file has another ending, or the batch is empty.
        InputError: no band fits, dates are unknown, or values cannot be what they are said to be.
    """
    out = _checked_name(out)
    if batch_size < 1:
        raise ConfigError(f"'batch_size' is {batch_size}", expected="at least 1", remedy="leave it at its default")
    restricted = encoder.using(chips.bands)
    ids = [str(name) for name in chips.index["id"]]
    parts, shares = [], []
    for start in range(0, len(ids), batch_size):
        values, share = _encoded(restricted, chips.batch(ids[start : start + batch_size]))
        parts.append(values)
        shares.append(share)
    table = chips.index[["id", "group", "geometry"]].copy().reset_index(drop=True)
    counts = np.array([list(chips.class_counts([name]).values()) for name in ids])
    names = np.array([*chips.classes, ""], dtype=object)
    table["label"] = names[np.where(counts.sum(axis=1) > 0, counts.argmax(axis=1), len(chips.classes))]
    table[SHARE] = np.concatenate(shares)
    times = np.array(chips.description.times, "datetime64[s]")
    record = _record(restricted, times, str(chips.folder))
    return _write(out, table, np.concatenate(parts), record, 0)


def embed_points(
    encoder: Encoder,
    cube: xr.Dataset | xr.DataTree,
    points: gpd.GeoDataFrame,
    out: Path | str,
    *,
    window: int | None = None,
    name: str = "the points",
) -> TableReport:
    """Embed points of a scene: the mean over the cells of a small window around each.

    Only blocks of the scene that hold points are read. The columns of the points are kept; valid_share (of the cells)
    and embedding are added.

    Args:
        encoder: see ``swath.models.load``; restricted to the bands of the scene.
        cube: as for ``embed_scene``.
        points: points with a CRS; reprojected to the scene.
        out: ``.parquet`` file.
        window: pixels along one side; None: one cell of the encoder.
        name: of the points, for sentences.

    Raises:
        ConfigError: the file has another ending, or the window does not hold whole cells.
        InputError: the table holds other geometries, all points lie outside of the scene, or as ``embed_scene``.
    """
    out = _checked_name(out)
    if set(points.geometry.geom_type) - {"Point"}:
        raise InputError(
            f"'{name}' holds {', '.join(sorted(set(points.geometry.geom_type)))}",
            expected="points only",
            remedy="embed the scene instead, or take a point of each (geopandas: representative_point)",
        )
    dataset, restricted = check_cube(encoder, cube)
    stride = restricted.output_stride
    size = stride if window is None else window
    if size < 1 or size % stride or size > _BLOCK:
        raise ConfigError(
            f"The window has {size} pixels along one side",
            expected=f"a multiple of {stride} up to {_BLOCK}, because {encoder.name} embeds {stride} x {stride} pixels",
            remedy="leave it out for one embedding per point",
        )
    taken = {COLUMN, SHARE} & {str(column) for column in points.columns}
    if taken:
        raise InputError(
            f"'{name}' has a column '{sorted(taken)[0]}'", expected="another name", remedy="rename or drop the column"
        )
    inputs = SceneInputs(dataset, restricted.inputs)
    cells = cells_of(points, inputs.geobox, name)
    values = np.zeros((len(cells), restricted.embedding_dim), np.float32)
    shares = np.zeros(len(cells), np.float64)
    for chosen, batch in _windows(inputs, cells, size):
        values[chosen], shares[chosen] = _encoded(restricted, batch)
    table = points.iloc[cells.objects].reset_index(drop=True)
    table[SHARE] = shares
    record = _record(restricted, dataset["time"].values, str(dataset.attrs.get("source", "")))
    return _write(out, table, values, record, cells.outside)


def open_table(path: Path | str) -> EmbeddingTable:
    """Open a table of embeddings.

    Raises:
        InputError: there is no such file, no record beside it, it is damaged, or the two do not belong together.
    """
    path = Path(path)
    check_parquet(path, expected=_EXPECTED)
    record = read_record(path)
    with reading(path, expected=_EXPECTED, remedy="make the embeddings again with swath embed"):
        if b"geo" not in (pyarrow.parquet.read_schema(path).metadata or {}):
            raise InputError(
                f"'{path}' has no geometry",
                expected="GeoParquet, as swath embed writes it",
                remedy="do not take the column away; it tells neighbours apart from places elsewhere",
            )
        table = gpd.read_parquet(path)
        lists = table[COLUMN].tolist() if COLUMN in table else []
        lengths = {len(item) for item in lists}
        values = np.array(lists, np.float32) if len(lengths) == 1 else np.empty((0, 0), np.float32)
    if SHARE not in table or not len(table) or values.shape != (len(table), record.dimensions):
        raise InputError(
            f"'{path}' holds {len(table)} rows with {sorted(lengths) or 'no'} numbers each, and its record tells of "
            f"{record.dimensions}",
            expected=_EXPECTED,
            remedy="copy the table and its record again, or make the embeddings again",
        )
    valid = (table[SHARE].to_numpy(np.float64) > 0) & np.isfinite(values).all(axis=1)
    values[~valid] = 0
    return EmbeddingTable(path, record, table.drop(columns=COLUMN), values, valid)


def _encoded(encoder: Encoder, batch: Batch) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Mean embedding ``(B, D)`` and share of the cells that have one ``(B,)``."""
    with torch.inference_mode():
        found = encoder.encode(batch)
    return found.points().cpu().numpy(), found.valid.flatten(1).double().mean(dim=1).cpu().numpy()


def _windows(inputs: SceneInputs, cells: Cells, size: int) -> Iterator[tuple[NDArray[np.int64], Batch]]:
    """Windows around cells as batches, with the positions of their cells; every block of the scene is read once.

    What lies beyond the scene is invalid.
    """
    chosen = inputs.cube.isel(band=list(inputs.bands))
    before = size // 2
    offsets = np.arange(size)
    for places, top, left in blocks_with(cells.rows, cells.columns):
        first = max(top - before, 0), max(left - before, 0)
        part = chosen.isel(y=slice(first[0], top + _BLOCK + size), x=slice(first[1], left + _BLOCK + size))
        values, valid = _loaded(part, size)
        # The margin of `size` on all sides takes windows that reach beyond the scene.
        rows, columns = cells.rows[places] - before, cells.columns[places] - before
        for start in range(0, len(places), _BATCH):
            some = slice(start, start + _BATCH)
            at = rows[some, None, None] - first[0] + size + offsets[:, None]
            across = columns[some, None, None] - first[1] + size + offsets
            taken = values[:, :, at, across].transpose(2, 0, 1, 3, 4)
            masks = valid[:, :, at, across].transpose(2, 0, 1, 3, 4)
            starts = list(zip(rows[some].tolist(), columns[some].tolist(), strict=True))
            windows = [
                Window(image, mask, row, column)
                for image, mask, (row, column) in zip(taken, masks, starts, strict=True)
            ]
            yield places[some], inputs.batch(windows, starts, size)


def _loaded(part: xr.Dataset, margin: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Values, 0 where not valid, and mask of a part of a scene with a margin of nothing."""
    values, mask = np.asarray(part["data"].values, np.float32), np.asarray(part["valid"].values)
    mask = mask if mask.ndim == 4 else mask[:, None]
    mask = (
        mask & np.isfinite(values) if mask.shape == values.shape else mask & np.isfinite(values).all(1, keepdims=True)
    )
    around = ((0, 0), (0, 0), (margin, margin), (margin, margin))
    return np.pad(np.where(mask, values, np.float32(0)), around), np.pad(mask, around)


def _record(encoder: Encoder, times: NDArray[Any], source: str) -> EmbeddingRecord:
    dates = tuple(str(item) for item in times.astype("datetime64[s]"))
    bands = encoder.inputs["image"].names
    size, stride = encoder.embedding_dim, encoder.output_stride
    return EmbeddingRecord(encoder.name, encoder.version, size, stride, bands, dates, "float32", 1.0, 0.0, source)


def _write(
    out: Path, table: gpd.GeoDataFrame, values: NDArray[np.float32], record: EmbeddingRecord, outside: int
) -> TableReport:
    empty = int((table[SHARE] == 0).sum())
    if empty == len(table):
        raise InputError(
            f"None of {len(table)} samples from '{record.source}' has an embedding: all are masked",
            expected="at least one valid sample",
            remedy="check the no-data value and the cloud mask",
        )
    whole = table.assign(**{COLUMN: list(values)})
    with replacing(out) as temporary:
        whole.to_parquet(temporary, index=False)
    record.write(out)
    return TableReport(out, record, len(table), empty, outside)


def _checked_name(out: Path | str) -> Path:
    path = Path(out)
    if path.suffix.lower() != ".parquet":
        raise ConfigError(
            f"Embeddings of points or chips were to be written to '{path}'",
            expected="a name that ends in .parquet",
            remedy=f"write to '{path.with_suffix('.parquet') if path.name else 'emb.parquet'}'",
        )
    return path
