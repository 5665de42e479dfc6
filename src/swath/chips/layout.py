"""``chips.json``: what all chips of a set share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from swath.cubes import Legend
from swath.errors import InputError
from swath.sensors import Band, BandSet
from swath.types import IGNORE

SCHEMA_VERSION = 1
FILE = "chips.json"
INDEX = "index.parquet"


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
        attrs: sensor, level and baseline of the scene.
        fingerprint: SHA-256 over the pixels, validity and labels of all chips.
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
        }
        (folder / FILE).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Description:
        """Read ``chips.json`` from ``folder``.

        Raises:
            InputError: the file is missing, damaged, or written by a newer swath.
        """
        path = folder / FILE
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise InputError(
                f"There is no {FILE} in {folder}",
                expected="the folder of a chip set",
                remedy="run 'swath chips cut' first",
            ) from None
        except json.JSONDecodeError as error:
            raise InputError(
                f"{path} is damaged: {error}", expected="JSON as swath writes it", remedy="cut the chips again"
            ) from None
        if record.get("schema_version") != SCHEMA_VERSION:
            raise InputError(
                f"{path} has schema version {record.get('schema_version')}",
                expected=f"version {SCHEMA_VERSION}",
                remedy="open it with the swath version that wrote it, or cut the chips again",
            )
        return cls._from_record(record)

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
