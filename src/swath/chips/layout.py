"""``chips.json``: what all chips of a set share."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from swath import limits
from swath.cubes import Legend
from swath.errors import InputError
from swath.reading import read_json, reading
from swath.sensors import Band, BandSet
from swath.types import IGNORE

SCHEMA_VERSION = 1
FILE = "chips.json"
INDEX = "index.parquet"
KIND = "data_kind"
"""Attribute of a cube and column of the index: whether the data are real, hybrid, simulated or a fixture."""

ATTRS = ("sensor", "level", "baseline", KIND)
"""What a chip set keeps of the attributes of its scene."""


@dataclass(frozen=True)
class Description:
    """What all chips of a set share.

    Args:
        bands: bands in stored order.
        scale: per band; physical value = stored number * scale + offset.
        offset: per band.
        unit: ``DN`` where scale and offset apply, else the physical unit.
        times: seconds since 1970-01-01 UTC of every date, oldest first.
        legend: classes of the labels.
        size: rows and columns of a chip.
        crs: ``EPSG:...`` or WKT of the scene.
        transform: six numbers from (column, row) to (x, y) of the scene.
        shape: rows and columns of the scene.
        source: the file or name of the scene.
        attrs: those of the scene that ``ATTRS`` names.
        fingerprint: SHA-256 over the pixels, validity and labels of all chips.
        left_out: what was left out or masked when cutting, and how often; older sets do not say.
    """

    bands: BandSet
    scale: tuple[float, ...]
    offset: tuple[float, ...]
    unit: str
    times: tuple[int, ...]
    legend: Legend
    size: int
    crs: str
    transform: tuple[float, ...]
    shape: tuple[int, int]
    source: str
    attrs: Mapping[str, str]
    fingerprint: str = ""
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def geobox(self) -> GeoBox:
        """Grid of the whole scene."""
        return GeoBox(self.shape, Affine(*self.transform), self.crs)

    @property
    def layers(self) -> tuple[str, ...]:
        """Name of every raster layer of an image, ordered by time, then band."""
        if len(self.times) == 1:
            return self.bands.names
        dates = [str(np.datetime64(time, "s")) for time in self.times]
        return tuple(f"{date} {name}" for date in dates for name in self.bands.names)

    def check(self) -> None:
        """Refuse numbers that cannot describe chips.

        Raises:
            ValueError: a size, shape, grid, scale or date is impossible.
        """
        whole = (self.size, *self.shape, *self.times)
        if not all(type(number) is int and number.bit_length() < 64 for number in whole):
            raise ValueError("size, shape and times have to be whole numbers")
        if min(self.size, *self.shape) < 1 or not self.times or not len(self.bands) or not len(self.legend):
            raise ValueError("size, shape, times, bands and legend cannot be empty")
        numbers = (*self.scale, *self.offset, *self.transform)
        if len(self.transform) != 6 or not all(math.isfinite(number) for number in numbers):
            raise ValueError("the transform has to be six finite numbers, and scale and offset finite")
        texts = (self.unit, self.crs, self.source, self.fingerprint)
        if not all(isinstance(text, str) for text in texts) or not isinstance(self.attrs, dict):
            raise TypeError("unit, crs, source and fingerprint have to be texts, and attrs an object")
        if not isinstance(self.left_out, dict) or not all(type(count) is int for count in self.left_out.values()):
            raise TypeError("left_out has to be an object of counts")
        limits.SIDE.check(max(self.shape), FILE)
        limits.DATES.check(len(self.times), FILE)
        limits.CHIP_NUMBERS.check(self.size**2 * len(self.bands) * len(self.times), FILE)
        _ = self.geobox  # the CRS has to be one

    def write(self, folder: Path) -> None:
        """Write ``chips.json`` into ``folder``."""
        bands = [
            {**asdict(band), "scale": scale, "offset": offset}
            for band, scale, offset in zip(self.bands, self.scale, self.offset, strict=True)
        ]
        record = {
            "schema_version": SCHEMA_VERSION,
            "modality": "image",
            "size": self.size,
            "unit": self.unit,
            "times": list(self.times),
            "bands": bands,
            "legend": json.loads(self.legend.to_json()),
            "crs": self.crs,
            "transform": list(self.transform),
            "shape": list(self.shape),
            "source": self.source,
            "attrs": dict(self.attrs),
            "fingerprint": self.fingerprint,
            "left_out": dict(self.left_out),
        }
        (folder / FILE).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Description:
        """Read ``chips.json`` from ``folder``.

        Raises:
            InputError: the file is missing, damaged, or written by a newer swath.
        """
        path = folder / FILE
        if not path.exists():
            raise InputError(
                f"There is no {FILE} in {folder}",
                expected="the folder of a chip set",
                remedy="run 'swath chips cut' first",
            )
        record = read_json(path, expected="JSON as swath writes it", remedy="cut the chips again")
        if not isinstance(record, dict) or record.get("schema_version") != SCHEMA_VERSION:
            found = record.get("schema_version") if isinstance(record, dict) else "missing"
            raise InputError(
                f"{path} has schema version {str(found)[:40]}",
                expected=f"version {SCHEMA_VERSION}",
                remedy="open it with the swath version that wrote it, or cut the chips again",
            )
        with reading(path, expected="the fields that swath writes, with their types", remedy="cut the chips again"):
            description = cls._from_record(record)
            description.check()
            return description

    @classmethod
    def _from_record(cls, record: Mapping[str, Any]) -> Description:
        plain = [{key: entry[key] for key in entry if key not in ("scale", "offset")} for entry in record["bands"]]
        return cls(
            bands=BandSet(tuple(Band(**{**entry, "aliases": tuple(entry["aliases"])}) for entry in plain)),
            scale=tuple(float(entry["scale"]) for entry in record["bands"]),
            offset=tuple(float(entry["offset"]) for entry in record["bands"]),
            unit=record["unit"],
            times=tuple(record["times"]),
            legend=Legend.from_json(json.dumps(record["legend"])),
            size=record["size"],
            crs=record["crs"],
            transform=tuple(record["transform"]),
            shape=(record["shape"][0], record["shape"][1]),
            source=record["source"],
            attrs=record["attrs"],
            fingerprint=record["fingerprint"],
            left_out=record.get("left_out", {}),
        )


def class_numbers(labels: NDArray[Any], legend: Legend) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Position of every label in the legend.

    Args:
        labels: legend values, any shape.
        legend: the classes.

    Returns:
        Class numbers 0 to K - 1, ``IGNORE`` where the label is ``IGNORE`` or unknown; and where it is unknown.
    """
    values = np.array(legend.values, np.int64)
    order = np.argsort(values)
    position = np.searchsorted(values[order], labels).clip(max=len(values) - 1)
    numbers = order[position]
    known = values[numbers] == labels
    return np.where(known, numbers, IGNORE), ~known & (labels != IGNORE)


def class_column(value: int) -> str:
    """Name of the index column with the pixel count of one legend value."""
    return f"pixels_{value}"


def class_columns(legend: Legend) -> list[str]:
    """Names of all count columns, in legend order."""
    return [class_column(value) for value in legend.values]
