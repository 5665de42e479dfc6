"""A class map, read in bands of rows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.features import sieve

from swath import cubes
from swath.cubes.nodata import valid_numbers
from swath.cubes.raster import RasterFile, probe, read_window
from swath.errors import ConfigError, InputError, nearest
from swath.predict.ground import Ground
from swath.predict.regions import GAP, Rows
from swath.predict.report import window_area_m2

BAND_PIXELS = 2**22
"""Pixels that are worked on at a time."""

SIEVE_PIXELS = 2**28
"""The largest map whose small regions are merged, because that needs all of it in memory, nine bytes a pixel."""

_SHIFT = 2**53  # class values may be negative, codes not


class ClassRows:
    """The wanted classes of a raster.

    Args:
        path: the raster.
        band: its band, from 1.
        classes: names or values of the wanted classes; None = all.
        confidence: raster on the same grid, or None.

    Raises:
        ConfigError: there is no such band or class.
        InputError: a raster is missing or damaged, no class map, or the confidence lies on another grid.
    """

    def __init__(
        self, path: Path, band: int, classes: Sequence[str | int] | None, confidence: Path | str | None
    ) -> None:
        self.path = path
        self._file = probe(path)
        self.geobox = self._file.geobox
        if not 1 <= band <= self._file.count:
            raise ConfigError(
                f"The band {band} of '{path}' was asked for",
                expected=f"a band from 1 to {self._file.count}",
                remedy="leave it at 1 for class maps",
            )
        self._band = band - 1
        if (step := self._file.scale[self._band]) != 1 or self._file.offset[self._band] != 0:
            raise InputError(
                f"The map '{path}' holds a quantity in steps of {step:g}",
                expected="whole numbers, one per class",
                remedy="give a class map; quantities have to be cut into classes first",
            )
        if classes is not None and not classes:
            raise ConfigError("No classes were named", expected="at least one", remedy="leave them out to have all")
        legend = cubes.read_legend(path)
        self._names = {} if legend is None else {entry.value: entry.name for entry in legend}
        self._wanted = None if classes is None else np.array(sorted({self._value(each) for each in classes}))
        self._sure = None if confidence is None else _beside(Path(confidence), self._file)
        self._merged: tuple[NDArray[np.int64], NDArray[np.int32]] | None = None  # codes, and one of them per pixel

    @property
    def has_confidence(self) -> bool:
        """Whether there is a raster to be averaged."""
        return self._sure is not None

    def name(self, value: int) -> str:
        """The name of a class, its number where the map has no legend."""
        return self._names.get(value, str(value))

    def values(self, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Class values of codes."""
        return codes - _SHIFT

    def read(self, ground: Ground) -> Iterator[Rows]:
        """Bands of rows from top to bottom."""
        height, width = (int(size) for size in self.geobox.shape)
        for rows in self._bands():
            first = rows[0]
            merged = self._merged
            codes = self._codes(rows) if merged is None else merged[0][merged[1][slice(*rows)]]
            if self._wanted is not None:
                codes = np.where(np.isin(codes, self._wanted + _SHIFT), codes, GAP)
            yield Rows(
                first=first,
                codes=codes,
                area=window_area_m2(self.geobox, rows, (0, width)),
                side=ground.sides(first, rows[1] - first),
                confidence=None if self._sure is None else _numbers(self._sure, rows),
                last=rows[1] == height,
            )

    def _bands(self) -> Iterator[tuple[int, int]]:
        height, width = (int(size) for size in self.geobox.shape)
        step = max(1, BAND_PIXELS // width)
        for first in range(0, height, step):
            yield first, min(first + step, height)

    def sieve(self, minimum_area_m2: float, connectivity: int) -> None:
        """Give every region below an area to its largest neighbour; no-data stays as it is.

        Raises:
            ConfigError: the map is too large for it.
        """
        height, width = (int(size) for size in self.geobox.shape)
        if height * width > SIEVE_PIXELS:
            raise ConfigError(
                f"The map '{self.path}' has {height:,} x {width:,} pixels, and small regions were to be merged",
                expected=f"at most {SIEVE_PIXELS:,} pixels, because merging needs the whole map in memory",
                remedy="drop small regions instead (small='drop'), or cut the map",
            )
        middle = (height // 2, width // 2)
        pixel = float(window_area_m2(self.geobox, (middle[0], middle[0] + 1), (middle[1], middle[1] + 1))[0, 0])
        size = math.ceil(minimum_area_m2 / pixel - 1e-9)
        known = np.unique(np.concatenate([np.unique(self._codes(rows)) for rows in self._bands()]))
        places = np.empty((height, width), dtype=np.int32)
        for rows in self._bands():
            places[slice(*rows)] = np.searchsorted(known, self._codes(rows))
        valid = places != np.searchsorted(known, GAP) if known[0] == GAP else None
        self._merged = known, sieve(places, max(1, size), mask=valid, connectivity=connectivity)

    def _codes(self, rows: tuple[int, int]) -> NDArray[np.int64]:
        stored, valid = _stored(self._file, self._band, rows)
        used = stored[valid]
        wrong = used[(used != np.rint(used)) | (np.abs(used.astype(np.float64)) > _SHIFT)]
        if wrong.size:
            raise InputError(
                f"The map '{self.path}' holds numbers that are no class, such as {wrong[0]:g}",
                expected="whole numbers, one per class",
                remedy="give a class map; quantities have to be cut into classes first",
            )
        codes = np.full(stored.shape, GAP, dtype=np.int64)
        codes[valid] = used.astype(np.int64) + _SHIFT
        return codes

    def _value(self, wanted: str | int) -> int:
        """The value of a class given by name or value."""
        by_name = {name: value for value, name in self._names.items()}
        if wanted in by_name:
            return by_name[str(wanted)]
        number = str(wanted).strip()
        value = int(number) if number.lstrip("-").isdecimal() else None
        if value is None or (self._names and value not in self._names):
            shown = ", ".join(list(by_name)[:12]) or "numbers, because the map has no legend"
            raise ConfigError(
                f"The map '{self.path}' has no class '{wanted}'",
                expected=f"names or values of its classes: {shown}",
                remedy=f"the nearest names are: {nearest(str(wanted), by_name) or 'none'}",
            )
        return value


def _stored(file: RasterFile, band: int, rows: tuple[int, int]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    columns = (0, int(file.geobox.shape.x))
    stored = read_window(file, (band,), rows, columns)
    missing = file.nodata[band]
    valid = valid_numbers(stored, (() if missing is None else (missing,),))[0]
    if file.shared_mask:
        valid &= read_window(file, (band,), rows, columns, masks=True)[0]
    return stored[0], valid


def _numbers(file: RasterFile, rows: tuple[int, int]) -> NDArray[np.float64]:
    stored, valid = _stored(file, 0, rows)
    physical = stored.astype(np.float64) * file.scale[0] + file.offset[0]
    return np.where(valid, physical, np.nan)


def _beside(path: Path, file: RasterFile) -> RasterFile:
    other = probe(path)
    if other.geobox != file.geobox:
        raise InputError(
            f"'{path}' lies on another grid than '{file.path}'",
            expected="a raster of the same size, place and CRS",
            remedy="write both with one call of predict: outputs=('class', 'confidence')",
        )
    return other
