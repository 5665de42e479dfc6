"""The example scenes of the R package RStoolbox: two places in the Amazon with polygons of known land cover.

Layout:

* ``sen2.tif``: Sentinel-2 Level-2A, 12 bands B01 .. B12 without B10, EPSG:4326, and ``trainingPolygons_sen2.geojson``;
* ``lsat.tif``: Landsat 5 TM Level 1, 7 bands of 8-bit numbers, 14 August 1988, EPSG:32622, and
  ``trainingPolygons_lsat.geojson``;
* ``srtm_sen2.tif``, ``srtm_lsat.tif``: elevation in metres on the same grids;
* ``landsat/``: the Landsat scene once more as the USGS delivers it, a file a band, and ``..._MTL.txt``.

The numbers of ``sen2.tif`` are DN / 10000 of a product with baseline 04.00 or later *without* its offset: no band falls
below 0.1, and water has 0.11 in the shortwave infrared. The reader takes the missing 0.1 off.

Citation: Mueller et al.: RStoolbox: remote sensing data analysis in R. Methods in Ecology and Evolution, 2025.
Licence: package GPL-3; Landsat data are public domain, Copernicus Sentinel data are free and open.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import geopandas
import numpy as np
import xarray as xr
from affine import Affine
from shapely.geometry import box

from swath import cubes, limits, rng, sensors
from swath.cubes import Legend, geobox_of, legend_from_colours
from swath.cubes.tables import read_table
from swath.errors import InputError
from swath.reading import inside
from swath.sources.published.common import (
    Description,
    Expected,
    fingerprint,
    folder_of,
    histogram,
    nothing_in,
    one_cube,
    raster_problems,
    with_bands,
    write_raster,
)

NAME = "rstoolbox"
COLUMN = "class"
SENTINEL2, LANDSAT5 = "sentinel2_l2a", "landsat5_tm"
SENTINEL2_BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
LANDSAT5_BANDS = ("B1", "B2", "B3", "B4", "B5", "B6", "B7")
LANDSAT_TIME = "1988-08-14T13:00:47"
LANDSAT_BASELINE = "Landsat 5 before 1992"  # its gains are those that the scene's metadata tell
LEGENDS: dict[str, Legend] = {
    "sen2": legend_from_colours({"forest": "#117733", "water": "#332288", "dryout": "#ddcc77", "village": "#cc6677"}),
    "lsat": legend_from_colours(
        {"forest": "#117733", "water": "#332288", "cleared": "#ddcc77", "fallen_dry": "#cc6677"}
    ),
}
_EXPECTED = {"sen2": Expected(12), "lsat": Expected(7)}
_MISSING_OFFSET = -0.1
_SCENE_ID = "LT52240631988227CUB02"


@dataclass(frozen=True)
class Place:
    """One scene with its polygons; nothing is read before a method asks for it.

    Args:
        id: ``sen2`` or ``lsat``.
        folder: the data set's directory.
    """

    id: str
    folder: Path

    @property
    def legend(self) -> Legend:
        """The four classes of this place."""
        return LEGENDS[self.id]

    def scene(self) -> xr.DataTree:
        """The scene in stored numbers: reflectance (``sen2``) or radiance (``lsat``) after ``cubes.to_physical``.

        Raises:
            InputError: the file is missing or damaged.
        """
        path = self.folder / f"{self.id}.tif"
        if self.id == "lsat":
            return _open_landsat(path, LANDSAT_TIME)
        bands = sensors.load(SENTINEL2).bands.select(SENTINEL2_BANDS)
        scene = cubes.open(path, bands=SENTINEL2_BANDS)
        ones = [1.0] * len(bands)
        return with_bands(
            scene, bands, ones, [_MISSING_OFFSET] * len(bands), sensor=SENTINEL2, level="L2A",
            baseline="04.00 and later",
        )  # fmt: skip

    def relief(self) -> xr.DataTree:
        """Elevation in metres on the same grid; raises InputError when the file is missing or damaged."""
        return cubes.open(self.folder / f"srtm_{self.id}.tif", bands=("elevation",))

    def polygons(self) -> geopandas.GeoDataFrame:
        """The polygons with the columns ``class`` and ``polygon``, a number from 0 by which to split.

        Raises:
            InputError: the file is missing, or it has no column ``class``.
        """
        path = self.folder / f"trainingPolygons_{self.id}.geojson"
        if not path.is_file():
            raise InputError(
                f"The file {path} is missing", expected=f"the polygons of {self.id}.tif", remedy="check --root"
            )
        table = read_table(path)
        if COLUMN not in table.columns:
            raise InputError(
                f"{path} has the columns {', '.join(map(str, table.columns))}",
                expected=f"a column '{COLUMN}'",
                remedy="download the file again",
            )
        return table.assign(polygon=np.arange(len(table)))

    def labels(self) -> xr.DataArray:
        """int16 ``(y, x)``: the class of the polygons on the scene's grid, ``IGNORE`` outside."""
        return cubes.rasterise(
            self.polygons(), geobox_of(one_cube(self.scene())), column=COLUMN, legend=self.legend.mapping()
        )

    def polygon_numbers(self) -> xr.DataArray:
        """int32 ``(y, x)``: the number of the polygon, -1 outside; the groups of a split by polygon."""
        return cubes.rasterise_ids(self.polygons(), geobox_of(one_cube(self.scene())))


def open(root: Path | str) -> tuple[Place, ...]:
    """The places whose scene is there, ``lsat`` before ``sen2``.

    Raises:
        InputError: there is no such directory, or neither scene in it.
    """
    folder = folder_of(root, NAME)
    found = tuple(Place(name, folder) for name in sorted(LEGENDS) if (folder / f"{name}.tif").is_file())
    if not found:
        raise nothing_in(folder, NAME, "lsat.tif or sen2.tif")
    return found


def landsat_folder(root: Path | str) -> xr.DataTree:
    """The Landsat scene from ``landsat/``, a file a band, with the time that its metadata tell.

    Raises:
        InputError: the folder, the metadata or a band that they name is missing.
    """
    folder = folder_of(Path(root) / "landsat", f"the Landsat scene of {NAME}")
    metadata = next(iter(sorted(folder.glob("*_MTL.txt"))), None)
    if metadata is None:
        raise nothing_in(folder, "a Landsat Level 1 scene", "*_MTL.txt")
    told = read_mtl(metadata)
    files = [folder / told.get(f"FILE_NAME_BAND_{band[1:]}", f"band {band[1:]}") for band in LANDSAT5_BANDS]
    if not all(inside(file.name) and file.parent == folder for file in files):
        raise InputError(
            f"{metadata.name} names band files outside of {folder}",
            expected="files beside the metadata",
            remedy="download the scene again",
        )
    absent = [file.name for file in files if not file.is_file()]
    if absent:
        raise InputError(
            f"{folder} lacks {', '.join(absent)}, which {metadata.name} names",
            expected="all bands of the scene",
            remedy="download the scene again",
        )
    time = f"{told['DATE_ACQUIRED']}T{told['SCENE_CENTER_TIME'][:8]}"
    return _open_landsat(files, time)


def read_mtl(path: Path) -> dict[str, str]:
    """The keys of a Landsat metadata file, without its groups; quotes are taken off, and what follows END is ignored.

    Raises:
        InputError: the file is no Landsat metadata, or lacks the date and time of the scene.
    """
    body = re.split(r"^END\s*$", _text(path), maxsplit=1, flags=re.MULTILINE)[0]
    told = {key: value.strip('"') for key, value in re.findall(r"^\s*(\w+)\s*=\s*(.+?)\s*$", body, re.MULTILINE)}
    if absent := {"DATE_ACQUIRED", "SCENE_CENTER_TIME"} - set(told):
        raise InputError(
            f"{path} does not tell {' and '.join(sorted(absent))}",
            expected="the metadata of a Landsat Level 1 scene (MTL)",
            remedy="download the scene again",
        )
    return told


def _text(path: Path) -> str:
    limits.YAML_BYTES.check(path.stat().st_size, path)
    return path.read_text(encoding="utf-8", errors="replace")


def check(root: Path | str) -> list[str]:
    """Everything that is wrong with the files, as sentences; empty when nothing is.

    Raises:
        InputError: there is no such directory.
    """
    folder = folder_of(root, NAME)
    found = []
    for name, legend in LEGENDS.items():
        scene = folder / f"{name}.tif"
        found += raster_problems(scene, _EXPECTED[name])
        found += raster_problems(folder / f"srtm_{name}.tif", Expected(1), like=scene)
        found += _polygon_problems(Place(name, folder), legend)
    try:
        landsat_folder(folder)
    except InputError as error:
        found.append(f"landsat: {error.given}")
    return found


def describe(root: Path | str) -> Description:
    """Counts, bands, classes, missing files, label histogram and fingerprint. Classes of both places are put together.

    Raises:
        InputError: there is no such directory, or neither scene in it.
    """
    places = open(root)
    folder = Path(root)
    classes = tuple(dict.fromkeys(name for legend in LEGENDS.values() for name in legend.names))
    counts = dict.fromkeys(classes, 0)
    for place in places:
        for name, count in histogram([place.labels().values], place.legend.names).items():
            counts[name] = counts.get(name, 0) + count
    wanted = [folder / file for name in LEGENDS for file in _files(name)]
    landsat = sorted(path for path in (folder / "landsat").glob("*") if path.is_file())
    return Description(
        name=NAME,
        title="Sentinel-2 and Landsat 5 in the Amazon with labelled polygons",
        citation="Mueller et al. 2025, Methods in Ecology and Evolution",
        licence="GPL-3 package; Landsat public domain; Copernicus Sentinel data",
        records=len(places),
        bands={SENTINEL2: SENTINEL2_BANDS, LANDSAT5: LANDSAT5_BANDS},
        classes=classes,
        labels=counts,
        missing=tuple(path.name for path in wanted if not path.is_file()) + (() if landsat else ("landsat/",)),
        fingerprint=fingerprint(folder, [path for path in wanted if path.is_file()] + landsat),
    )


def write_fake(root: Path | str, seed: int = 0) -> Path:
    """A miniature data set in the true layout: both scenes 40 x 48 pixels, two polygons a class, the Landsat folder."""
    folder = Path(root)
    places = {
        "lsat": (Affine(30, 0, 619395, 0, -30, -410205), "EPSG:32622"),
        "sen2": (Affine(8.983e-05, 0, -56.3736, 0, -8.983e-05, -1.4586), "EPSG:4326"),
    }
    for name, (transform, crs) in places.items():
        _write_fake_place(folder, name, transform, crs, seed)
    return folder


def _write_fake_place(folder: Path, name: str, transform: Affine, crs: str, seed: int) -> None:
    random = rng.generator(seed, "fake rstoolbox", name)
    height, width, count = 40, 48, _EXPECTED[name].count
    names = LEGENDS[name].names
    classes = np.repeat(np.arange(len(names)), height // len(names))[:, None] * np.ones((1, width), np.int64)
    spectra = random.uniform(40, 200, (count, len(names)))
    numbers = spectra[:, classes] + random.normal(0, 3, (count, height, width))
    relief = random.uniform(4, 60, (1, height, width))
    if name == "lsat":
        array = np.clip(np.rint(numbers), 1, 254).astype(np.int16)
        write_raster(folder / "lsat.tif", array, transform, crs)
        for band, plane in zip(LANDSAT5_BANDS, array.astype(np.uint8), strict=True):
            write_raster(folder / "landsat" / f"{_SCENE_ID}_{band}.TIF", plane[None], transform, crs, nodata=255)
        _write_fake_mtl(folder / "landsat" / f"{_SCENE_ID}_MTL.txt")
    else:
        write_raster(folder / "sen2.tif", (0.1 + numbers / 400).astype(np.float32), transform, crs)
    write_raster(folder / f"srtm_{name}.tif", relief.astype(np.float32 if name == "sen2" else np.int16), transform, crs)
    step, left, top = transform.a, transform.c, transform.f
    squares = [
        (label, box(left + column * step, top - (row + 8) * step, left + (column + 8) * step, top - (row + 2) * step))
        for row, label in zip(range(0, height, 10), names, strict=True)
        for column in (4, 30)
    ]
    table = geopandas.GeoDataFrame({COLUMN: [label for label, _ in squares]}, geometry=[s for _, s in squares], crs=crs)
    table.to_file(folder / f"trainingPolygons_{name}.geojson", driver="GeoJSON")


def _write_fake_mtl(path: Path) -> None:
    lines = ["GROUP = L1_METADATA_FILE", "  GROUP = PRODUCT_METADATA", "    DATE_ACQUIRED = 1988-08-14"]
    lines.append("    SCENE_CENTER_TIME = 13:00:47.3750190Z")
    lines += [f'    FILE_NAME_BAND_{band[1:]} = "{_SCENE_ID}_{band}.TIF"' for band in LANDSAT5_BANDS]
    lines += ["  END_GROUP = PRODUCT_METADATA", "END_GROUP = L1_METADATA_FILE", "END", " " * 200]
    path.write_text("\n".join(lines))


def _open_landsat(path: Path | list[Path], time: str) -> xr.DataTree:
    return cubes.open(path, sensor=LANDSAT5, level="L1", baseline=LANDSAT_BASELINE, bands=LANDSAT5_BANDS, time=time)


def _files(name: str) -> tuple[str, ...]:
    return (f"{name}.tif", f"srtm_{name}.tif", f"trainingPolygons_{name}.geojson")


def _polygon_problems(place: Place, legend: Legend) -> list[str]:
    try:
        table = place.polygons()
    except InputError as error:
        return [error.given]
    counts = table[COLUMN].value_counts()
    return [
        f"trainingPolygons_{place.id}.geojson: {count} polygons of the class '{name}', expected "
        f"{', '.join(legend.names)}"
        for name, count in counts.items()
        if name not in legend.names
    ]
