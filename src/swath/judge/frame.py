"""The sampling frame of a class map: every mapped pixel, its class, its stratum and its area, read block by block."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from swath import grids
from swath.cubes import read_legend
from swath.cubes.raster import RasterFile, probe, read_window
from swath.errors import InputError

BLOCK = 512
"""Rows and columns of a block. Random numbers are drawn per block, so another size would draw another sample."""
MOST_CLASSES = 4096
_CELLS = 1024  # places along an axis where the areal scale of a projection is evaluated


@dataclass(frozen=True)
class Part:
    """One block of the frame.

    Args:
        row: first row.
        column: first column.
        classes: class values (y, x).
        strata: stratum values (y, x).
        valid: where there is a mapped pixel.
        area_km2: area of each pixel, broadcastable to (y, x).
    """

    row: int
    column: int
    classes: NDArray[np.int64]
    strata: NDArray[np.int64]
    valid: NDArray[np.bool_]
    area_km2: NDArray[np.float64]


@dataclass
class Totals:
    """Pixels, area and largest pixel of every value that occurs."""

    pixels: dict[int, int] = field(default_factory=dict)
    km2: dict[int, float] = field(default_factory=dict)
    largest_km2: dict[int, float] = field(default_factory=dict)

    def add(self, values: NDArray[np.int64], area: NDArray[np.float64]) -> None:
        """Count pixels (n,) of some area (n,)."""
        found, inverse = np.unique(values, return_inverse=True)
        counts = np.bincount(inverse, minlength=len(found))
        areas = np.bincount(inverse, weights=area, minlength=len(found))
        largest = np.zeros(len(found))
        np.maximum.at(largest, inverse, area)
        for place, value in enumerate(found.tolist()):
            self.pixels[value] = self.pixels.get(value, 0) + int(counts[place])
            self.km2[value] = self.km2.get(value, 0.0) + float(areas[place])
            self.largest_km2[value] = max(self.largest_km2.get(value, 0.0), float(largest[place]))


@dataclass(frozen=True, eq=False)
class Frame:
    """A map from which samples are drawn, or to which they belong.

    Args:
        path: the class map.
        strata_path: raster of strata on the same grid; None = the classes of the map are the strata.
        geobox: the grid.
        class_names: value -> name, of the legend and of the map.
        stratum_names: value -> name of the strata that occur.
        classes: totals of the classes that occur.
        strata: totals of the strata.
        design: changes with any pixel, name or place of map and strata: a sample carries it along.
    """

    path: Path
    strata_path: Path | None
    geobox: GeoBox
    class_names: dict[int, str]
    stratum_names: dict[int, str]
    classes: Totals
    strata: Totals
    design: str

    @property
    def km2(self) -> float:
        """Mapped area."""
        return math.fsum(self.strata.km2.values())

    def blocks(self) -> list[tuple[int, int]]:
        """First row and column of every block, row by row."""
        return lattice(self.geobox)

    def parts(self, blocks: list[tuple[int, int]] | None = None) -> Iterator[Part]:
        """Some blocks, by default all.

        Raises:
            InputError: a file ended early or was changed meanwhile.
        """
        strata = None if self.strata_path is None else probe(self.strata_path)
        yield from read_parts(probe(self.path), strata, blocks)


def survey(path: Path | str, strata: Path | str | None = None) -> Frame:
    """Read a class map once: classes, areas and its fingerprint; memory does not depend on its size.

    Areas are those on the ground: exact on the ellipsoid for geographic grids, with the areal scale of the projection
    where that is off by more than 1 %.

    Args:
        path: raster of one band of whole numbers.
        strata: raster of strata on the same grid, where they differ from the classes (Stehman 2014).

    Raises:
        InputError: not a raster of classes, nothing is mapped, the grids differ, or a mapped pixel has no stratum.
    """
    files = [_class_raster(Path(name)) for name in ((path,) if strata is None else (path, strata))]
    if len(files) > 1 and files[0].geobox != files[1].geobox:
        raise InputError(
            f"The strata '{strata}' ({grids.describe(files[1].geobox)}) and the map '{path}' "
            f"({grids.describe(files[0].geobox)}) lie on different grids",
            expected="one grid",
            remedy="warp the strata to the grid of the map, by nearest neighbour",
        )
    classes, groups, digest = Totals(), Totals(), hashlib.blake2b(digest_size=8)
    for part in read_parts(files[0], files[1] if len(files) > 1 else None):
        mask = part.valid
        area = np.broadcast_to(part.area_km2, mask.shape)[mask]
        for totals, values in ((classes, part.classes), (groups, part.strata)):
            totals.add(values[mask], area)
        _check_number(len(classes.pixels), str(path))
        digest.update(np.packbits(mask).tobytes())
        digest.update(part.classes[mask].astype(np.int32).tobytes())
        if len(files) > 1:
            digest.update(part.strata[mask].astype(np.int32).tobytes())
    if not classes.pixels:
        raise InputError(
            f"The map '{path}' holds no data", expected="at least one mapped pixel", remedy="check the no-data value"
        )
    names = [_names(Path(file.path), totals) for file, totals in zip(files, (classes, groups), strict=False)]
    box = files[0].geobox
    digest.update(f"{box.shape} {tuple(box.affine)[:6]} {box.crs} {names}".encode())
    occurring = {value: names[-1][value] for value in sorted(groups.pixels)}
    where = None if strata is None else Path(strata)
    return Frame(Path(path), where, box, names[0], occurring, classes, groups, f"map-{digest.hexdigest()}")


def lattice(geobox: GeoBox) -> list[tuple[int, int]]:
    """First row and column of every block of a grid."""
    height, width = (int(size) for size in geobox.shape)
    return [(row, column) for row in range(0, height, BLOCK) for column in range(0, width, BLOCK)]


def read_parts(
    file: RasterFile, strata: RasterFile | None, blocks: list[tuple[int, int]] | None = None
) -> Iterator[Part]:
    """Blocks of a map and its strata.

    Raises:
        InputError: a pixel has a class and no stratum.
    """
    areas = PixelAreas(file.geobox)
    height, width = (int(size) for size in file.geobox.shape)
    for row, column in lattice(file.geobox) if blocks is None else blocks:
        rows, columns = (row, min(row + BLOCK, height)), (column, min(column + BLOCK, width))
        classes, valid = _read(file, rows, columns)
        groups = classes
        if strata is not None:
            groups, covered = _read(strata, rows, columns)
            if (valid & ~covered).any():
                place = np.argwhere(valid & ~covered)[0] + [row, column]
                raise InputError(
                    f"The strata '{strata.path}' have no data where '{file.path}' has a class, first at row "
                    f"{place[0]}, column {place[1]}",
                    expected="a stratum for every mapped pixel, because areas without one could not be estimated",
                    remedy="fill the strata, or mask the map where they end",
                )
        yield Part(row, column, classes, groups, valid, areas.window(rows, columns))


class PixelAreas:
    """Areas of pixels in square kilometres.

    Args:
        geobox: the grid.
    """

    def __init__(self, geobox: GeoBox) -> None:
        height, width = (int(size) for size in geobox.shape)
        if geobox.crs is not None and geobox.crs.geographic:  # the same along a row
            self._steps, self._geobox = (1, width), geobox
            column = GeoBox((height, 1), geobox.affine, geobox.crs)
            self._areas = grids.cell_area_m2(column) / 1e6
            return
        step = max(1, -(-max(height, width) // _CELLS))
        self._steps, self._geobox = (step, step), geobox
        coarse = GeoBox((-(-height // step), -(-width // step)), geobox.affine @ Affine.scale(step), geobox.crs)
        self._areas = grids.cell_area_m2(coarse) / step**2 / 1e6

    def window(self, rows: tuple[int, int], columns: tuple[int, int]) -> NDArray[np.float64]:
        """Areas of the pixels from the first row and column to before the last, (y, x)."""
        places = (np.arange(*ends) // step for ends, step in zip((rows, columns), self._steps, strict=True))
        areas: NDArray[np.float64] = self._areas[np.ix_(*places)]
        if self._steps == (1, 1) or (np.isfinite(areas) & (areas > 0)).all():
            return areas
        # Where the middle of a step lies beyond the edge of the Earth, some of its pixels may not.
        corner = self._geobox.affine @ Affine.translation(columns[0], rows[0])
        box = GeoBox((rows[1] - rows[0], columns[1] - columns[0]), corner, self._geobox.crs)
        return grids.cell_area_m2(box) / 1e6


def _class_raster(path: Path) -> RasterFile:
    file = probe(path)
    if file.count != 1 or file.dtype.kind not in "iu":
        raise InputError(
            f"'{path}' has {file.count} band{'s' if file.count != 1 else ''} of {file.dtype}",
            expected="a class map: one band of whole numbers",
            remedy="give the map with the classes, not that of a share or quantity; 'swath predict' writes one",
        )
    if file.scale[0] != 1 or file.offset[0] != 0:
        raise InputError(
            f"'{path}' holds a quantity in steps of {file.scale[0]:g}",
            expected="a class map: one band of whole numbers",
            remedy="give the map with the classes, not that of a share or quantity; 'swath predict' writes one",
        )
    return file


def _read(
    file: RasterFile, rows: tuple[int, int], columns: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    stored = read_window(file, (0,), rows, columns)[0]
    valid = np.ones(stored.shape, bool) if file.nodata[0] is None else stored != file.nodata[0]
    if file.shared_mask:
        valid &= read_window(file, (0,), rows, columns, masks=True)[0]
    return stored.astype(np.int64), valid


def _names(path: Path, totals: Totals) -> dict[int, str]:
    """Names of the legend; a value that the legend lacks is called by its number."""
    legend = read_legend(path)
    known: dict[int, Any] = {} if legend is None else {entry.value: entry.name for entry in legend}
    return known | {value: str(value) for value in sorted(totals.pixels) if value not in known}


def _check_number(count: int, path: str) -> None:
    if count > MOST_CLASSES:
        raise InputError(
            f"'{path}' holds more than {MOST_CLASSES} different numbers",
            expected="a map of classes",
            remedy="give the map with the classes, not that of a quantity",
        )
