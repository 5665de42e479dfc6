"""The published layout of InstaGeo beside a chip set: ``chips/``, ``seg_maps/`` and a CSV of pairs.

``chips/chip_{YYYYMMDD}_{tile}_{x}_{y}.tif`` holds all bands of all dates, the latest date first, named ``BAND_STEP``,
as uint16 (radar: float32); a pixel without data is 0 (radar: -1). ``seg_maps/seg_map_...`` of the same name holds int16
classes (quantities: float32), -1 without a label. The layout has no other mask, so that a valid number equal to the
no-data number is moved by the smallest step; how many were is told.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import rasterio
from numpy.typing import NDArray

from swath.chips import pixels
from swath.chips.archive.cut import RECORDS
from swath.chips.archive.gather import MARK
from swath.chips.archive.sources import source_of
from swath.chips.layout import FILE
from swath.chips.store import ChipSet
from swath.chips.store import open as open_set
from swath.errors import ConfigError, InputError
from swath.files import make_folder, write_whole
from swath.reading import read_json
from swath.types import IGNORE

TABLE = "hls_raster_dataset.csv"
NO_LABEL = -1
_COUNTS = 1e-4  # reflectance of one count in the published chips


@dataclass(frozen=True)
class Exported:
    """What was written.

    Args:
        folder: where.
        chips: number of chips.
        moved: valid numbers that had to give way to the no-data number, or lay outside of the type.
    """

    folder: Path
    chips: int
    moved: int


def write_published(folder: Path | str, out: Path | str) -> Exported:
    """Write the published layout of a chip set from an archive; files that are there already stay.

    Args:
        folder: the chip set.
        out: folder for ``chips``, ``seg_maps`` and the table; may be the chip set's own.

    Raises:
        InputError: the folder holds no chips from an archive.
        ConfigError: a class has the value -1, which means "no label" there.
    """
    folder, out = Path(folder), Path(out)
    if not (folder / MARK).is_file() or not (folder / FILE).is_file():
        raise InputError(
            f"{folder} holds no chips from an archive",
            expected=f"a folder with {MARK} and {FILE}",
            remedy="make them with 'swath archive points' and the like first",
        )
    facts = read_json(folder / MARK, expected="what swath wrote")["request"]
    chipset = open_set(folder)
    if NO_LABEL in chipset.legend.values:
        raise ConfigError(
            "A class has the value -1", expected="values from 0 on", remedy="give the class another value"
        )
    records = {name: read_json(folder / RECORDS / f"{name}.json", expected="a record") for name in chipset.ids}
    names = _names(records)
    for part in ("chips", "seg_maps") if facts["labelled"] else ("chips",):
        make_folder(out / part)
    moved, rows = 0, []
    for name in chipset.ids:
        row = {"Input": f"chips/chip_{names[name]}.tif"}
        if facts["labelled"]:
            row["Label"] = f"seg_maps/seg_map_{names[name]}.tif"
        rows.append(row)
        moved += _write_chip(chipset, name, records[name], out, row, source_of(facts["source"]).nodata)
    write_whole(out / TABLE, lambda part: pd.DataFrame(rows).to_csv(part))
    return Exported(out, len(rows), moved)


def _names(records: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Published name of every chip; chips that would share one get the end of their id too."""
    plain = {}
    for name, record in records.items():
        stem = Path(record["raster"]).stem if record["raster"] else record["date"]
        where = "" if record["raster"] else f"_{record['cell'][0]}_{record['cell'][1]}"
        plain[name] = f"{stem}_{record['tile']}{where}"
    shared = Counter(plain.values())
    return {name: text if shared[text] == 1 else f"{text}_{name.rpartition('_')[2]}" for name, text in plain.items()}


def _write_chip(
    chipset: ChipSet, name: str, record: dict[str, Any], out: Path, row: dict[str, str], nodata: int
) -> int:
    """Write chip and seg map of one chip where they are not there; how many valid numbers were moved."""
    labels = out / row["Label"] if "Label" in row else None
    if (out / row["Input"]).is_file() and (labels is None or labels.is_file()):
        return 0
    arrays, steps = chipset.load([name]), len(record["times"])
    order = _order(record)
    values, valid = arrays.values[0][order], arrays.valid[0][order]
    layers = [f"{band}_{step}" for step in range(steps) for band in chipset.bands.names]
    flat = (-1, *values.shape[-2:])
    numbers, moved = _numbers(values.reshape(flat), valid.reshape(flat), nodata)
    with rasterio.open(chipset.folder / f"images/{name}.tif") as file:
        grid = {"crs": file.crs, "transform": file.transform}
    _write(out / row["Input"], numbers, layers, nodata, grid)
    if labels is not None:
        _write(labels, _seg_map(chipset, name), ["label"], NO_LABEL, grid)
    return moved


def _order(record: dict[str, Any]) -> list[int]:
    """Position of every step, the latest wanted first, among the dates in order of time."""
    times = [step["time"] for step in record["steps"]]
    order = sorted(range(len(times)), key=lambda step: times[step])
    return [order.index(step) for step in range(len(times))]


def _numbers(values: NDArray[np.float32], valid: NDArray[np.bool_], nodata: int) -> tuple[NDArray[Any], int]:
    """Physical numbers ``(layer, y, x)`` as the layout stores them, and how many valid ones had to be moved."""
    if nodata < 0:
        clash = valid & (values == nodata)
        numbers = np.where(clash, np.nextafter(np.float32(nodata), np.float32(0)), values)
        return np.where(valid, numbers, np.float32(nodata)), int(clash.sum())
    counts = np.rint(values.astype(np.float64) / _COUNTS)
    kept = np.clip(counts, 1, np.iinfo(np.uint16).max)
    return np.where(valid, kept, nodata).astype(np.uint16), int((valid & (kept != counts)).sum())


def _seg_map(chipset: ChipSet, name: str) -> NDArray[Any]:
    """Labels ``(1, y, x)``."""
    if chipset.quantities:
        values = pixels.read_values(chipset.folder, f"values/{name}.tif")
        clash = values == NO_LABEL
        values = np.where(clash, np.nextafter(np.float32(NO_LABEL), np.float32(0)), values)
        return np.where(np.isfinite(values), values, np.float32(NO_LABEL))
    labels = pixels.read_labels(chipset.folder, f"labels/{name}.tif")
    return np.where(labels == IGNORE, NO_LABEL, labels).astype(np.int16)[None]


def _write(path: Path, array: NDArray[Any], names: list[str], nodata: int, grid: dict[str, Any]) -> None:
    def write(part: Path) -> None:
        count, height, width = array.shape
        with rasterio.open(
            part, "w", driver="GTiff", count=count, height=height, width=width, dtype=array.dtype.name, nodata=nodata,
            compress="deflate", photometric="MINISBLACK", interleave="band", **grid,
        ) as file:  # fmt: skip
            file.write(array)
            file.descriptions = tuple(names)

    write_whole(path, write)
