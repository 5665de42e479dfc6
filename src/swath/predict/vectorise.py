"""Class maps to polygons: one polygon per connected region, with its true area.

Memory holds a band of rows, the outlines of regions that are not finished, and one batch of polygons; with
``simplify_m`` above 0 the polygons of the whole map, because a border must be simplified together with both its
neighbours.

Columns: ``value``, ``class``, ``area_m2`` (sum of the true pixel areas, whatever the projection; of the region before
its outline is simplified), ``perimeter_m`` (metres on the ground of the outline as written, see
``swath.predict.ground``; what is cut at the edge of a global map is not counted), ``pixels`` and, with a confidence,
``mean_confidence`` (mean over pixels, NaN where none is known).

No-data never becomes a polygon. On a grid of degrees that goes around the globe, a region that reaches over the edge of
the map is one feature with two parts. Borders are shared corner by corner: without simplification the polygons, burnt
onto the grid again, give the map; with it they neither overlap nor leave gaps, and the edge of the map stays in place.
The outlines of dropped regions are not simplified.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import shapely
from numpy.typing import NDArray

from swath import grids
from swath.errors import ConfigError, nearest
from swath.files import replacing
from swath.predict.class_rows import ClassRows
from swath.predict.ground import Ground
from swath.predict.outlines import gathered, ordered, polygons, simplified
from swath.predict.polygon_files import SUFFIXES, PolygonFile, check_name, open_file
from swath.predict.regions import Regions, RegionStream

MOST = 1_000_000
"""Regions beyond which ``vectorise`` asks back."""

Small = Literal["drop", "merge"]


@dataclass(frozen=True)
class VectoriseReport:
    """What ``vectorise`` did.

    Args:
        file: what was written.
        polygons: number of regions written.
        dropped: number of regions below the minimum area that were left out; 0 where they were merged before.
        corners: corners of all outlines, after simplification.
        counts: regions per class name.
        area_m2: area per class name, of the regions written, as counted in pixels.
        wall_s: seconds.
    """

    file: Path
    polygons: int
    dropped: int
    corners: int
    counts: dict[str, int]
    area_m2: dict[str, float]
    wall_s: float

    def as_dict(self) -> dict[str, Any]:
        """The report for JSON; paths as text."""
        return {**asdict(self), "file": str(self.file)}


def vectorise(
    map_path: Path | str,
    out: Path | str,
    *,
    minimum_area_m2: float = 0.0,
    simplify_m: float = 0.0,
    classes: Sequence[str | int] | None = None,
    band: int = 1,
    confidence: Path | str | None = None,
    connectivity: int = 4,
    small: Small = "drop",
    most: int = MOST,
) -> VectoriseReport:
    """Write the connected regions of a class map as polygons.

    Columns and borders are as the module says. A map of no regions gives an empty file.

    Args:
        map_path: raster of class numbers.
        out: ``.geojson`` (longitude and latitude, RFC 7946), ``.gpkg`` or ``.parquet`` (both in the CRS of the map).
        minimum_area_m2: regions below it are dropped or merged.
        simplify_m: tolerance of ``outlines.simplified`` in metres, at the middle of the map; 0 = every pixel corner.
        classes: names or values of the wanted classes; None = all.
        band: the band, from 1.
        confidence: raster on the same grid, to be averaged over each region.
        connectivity: 4: pixels of a region share sides; 8: corners are enough.
        small: ``drop`` leaves small regions out; ``merge`` gives them to their largest neighbour first (GDAL's sieve,
            by the pixel area in the middle of the map; needs the whole map in memory).
        most: number of regions beyond which nothing is written.

    Raises:
        ConfigError: a number is out of range, a class or ending unknown, the output one of the inputs, or there are
            more than ``most`` regions.
        InputError: a raster is missing or damaged, holds no classes, or the confidence lies on another grid.
        MissingError: simplification was asked for and shapely is too old for it.
        ResourceError: the output cannot be written.
    """
    began = time.perf_counter()
    map_path, out = Path(map_path), Path(out)
    _check_numbers(minimum_area_m2, simplify_m, connectivity, most, small)
    check_name(out)
    _check_apart(out, map_path, confidence)
    source = ClassRows(map_path, band, classes, confidence)
    if small == "merge" and minimum_area_m2 > 0:
        source.sieve(minimum_area_m2, connectivity)
    job = _Job(source, minimum_area_m2 if small == "drop" else 0.0, simplify_m, connectivity, most)
    kind = SUFFIXES[out.suffix.lower()]
    with replacing(out) as part:
        none = np.empty(0, dtype=object)
        multi = connectivity == 8 or job.wrap
        with closing(open_file(part, kind, job.ground, job.columns(_nothing(), none), multi=multi)) as file:
            job.run(file)
    return VectoriseReport(
        out, job.written, job.dropped, job.corners, job.counts, job.areas, time.perf_counter() - began
    )


@dataclass(eq=False)
class _Job:
    """Counts and the way from rows to a file."""

    source: ClassRows
    minimum: float
    tolerance: float
    connectivity: int
    most: int
    written: int = 0
    dropped: int = 0
    corners: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    areas: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ground = Ground(self.source.geobox)
        self.wrap = grids.is_global(self.source.geobox)

    def run(self, file: PolygonFile) -> None:
        """All regions, into the file."""
        width = int(self.source.geobox.shape.x)
        if not self.tolerance:
            for regions in self._regions(gaps=False):
                shapes, owner = polygons(regions, width)
                self._append(file, regions, gathered(shapes, owner))
            return
        found: list[Regions] = []
        lots: list[NDArray[Any]] = []
        owners: list[NDArray[np.int64]] = []
        for regions in self._regions(gaps=True):
            shapes, owner = polygons(regions, width)
            owners.append(owner + sum(len(each) for each in found))
            lots.append(shapes)
            found.append(Regions(regions.code, regions.sums, regions.region, type(regions.sides)()))
        shapes, owner = np.concatenate(lots), np.concatenate(owners)
        shapes = simplified(shapes, self.ground.pixel(), self.tolerance)
        whole = gathered(shapes, owner)
        first = 0
        for regions in found:
            here = whole[first : first + len(regions)]
            first += len(regions)
            real = regions.code >= 0
            sums = {name: values[real] for name, values in regions.sums.items()}
            self._append(file, Regions(regions.code[real], sums, regions.region, regions.sides), here[real])

    def _regions(self, *, gaps: bool) -> Iterator[Regions]:
        """Finished regions that are large enough, in batches."""
        stream = RegionStream(
            int(self.source.geobox.shape.x), connectivity=self.connectivity, wrap=self.wrap, gaps=gaps
        )
        total = 0
        for rows in self.source.read(self.ground):
            regions = stream.push(rows)
            large = regions.sums["area"] >= self.minimum
            self.dropped += int((~large & (regions.code >= 0)).sum())
            regions = ordered(regions.take(large))
            total += len(regions)
            self._check_count(total)
            yield regions

    def _append(self, file: PolygonFile, regions: Regions, shapes: NDArray[Any]) -> None:
        shapes = self.ground.place(shapes)
        if len(shapes) and self.source.geobox.affine.determinant < 0:
            shapes = shapely.reverse(shapes)  # rows run against y: anticlockwise exteriors, as GeoJSON wants them
        columns = self.columns(regions, shapes)
        file.append(shapes, columns)
        self.written += len(regions)
        self.corners += int(shapely.get_num_coordinates(shapes).sum()) - _rings_of(shapes) if len(shapes) else 0
        for name, area in zip(columns["class"].tolist(), columns["area_m2"].tolist(), strict=True):
            self.counts[name] = self.counts.get(name, 0) + 1
            self.areas[name] = self.areas.get(name, 0.0) + area

    def columns(self, regions: Regions, shapes: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """The table of some regions."""
        values = self.source.values(regions.code)
        perimeter = self.ground.perimeters(shapes) if len(shapes) else np.empty(0)
        table: dict[str, NDArray[Any]] = {
            "value": values,
            "class": np.array([self.source.name(value) for value in values.tolist()], dtype=object),
            "area_m2": regions.sums["area"],
            "perimeter_m": perimeter - regions.sums["cut"],
            "pixels": regions.sums["pixels"].astype(np.int64),
        }
        if self.source.has_confidence:
            known = regions.sums["known"]
            mean = regions.sums["confidence"] / np.maximum(known, 1)
            table["mean_confidence"] = np.where(known > 0, mean, np.nan)
        return table

    def _check_count(self, total: int) -> None:
        if total > self.most:
            raise ConfigError(
                f"The map '{self.source.path}' has more than {self.most:,} regions"
                + (f" of at least {self.minimum:g} m²" if self.minimum else ""),
                expected=f"at most {self.most:,}, which programs that show polygons can still open",
                remedy="give a minimum area (a few pixels are usually noise), fewer classes, or a larger 'most'",
            )


def _nothing() -> Regions:
    from swath.predict.regions import MEASURES, Sides

    none = np.empty(0, dtype=np.int64)
    return Regions(none, {name: np.empty(0) for name in MEASURES}, none, Sides())


def _rings_of(shapes: NDArray[Any]) -> int:
    """Number of rings; each repeats its first corner."""
    parts = shapely.get_parts(shapes)
    return int(shapely.get_num_interior_rings(parts).sum()) + len(parts)


def _check_numbers(minimum: float, tolerance: float, connectivity: int, most: int, small: str) -> None:
    for name, value in (("minimum_area_m2", minimum), ("simplify_m", tolerance)):
        if not math.isfinite(value) or value < 0:
            raise ConfigError(f"'{name}' is {value}", expected="0 or more", remedy="0 switches it off")
    if connectivity not in (4, 8):
        raise ConfigError(f"'connectivity' is {connectivity}", expected="4 or 8", remedy="4 is usual")
    if small not in ("drop", "merge"):
        raise ConfigError(
            f"'small' is {small!r}",
            expected="drop or merge",
            remedy=f"use '{nearest(str(small), ('drop', 'merge'), 1)}'",
        )
    if most < 1:
        raise ConfigError(f"'most' is {most}", expected="at least 1", remedy="leave it at its default")


def _check_apart(out: Path, map_path: Path, confidence: Path | str | None) -> None:
    for source in (map_path, *([] if confidence is None else [Path(confidence)])):
        if out.exists() and source.exists() and out.samefile(source):
            raise ConfigError(
                f"The output '{out}' is the raster '{source}' itself",
                expected="another file",
                remedy="choose another name for the polygons",
            )
