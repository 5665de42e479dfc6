"""The example patch of eo-learn: one square kilometre of Slovenia with Sentinel-2 and land use.

Layout (an EOPatch, NumPy files): ``data/NDVI.npy`` (date, y, x, 1); ``mask/CLM.npy`` cloud mask 0 or 1 and
``mask/IS_DATA.npy``, both (date, y, x, 1); ``mask_timeless/LULC.npy`` (y, x, 1) land use, 0 no data, 1 cultivated,
2 forest, 3 grassland, 4 shrubland, 8 artificial; ``data_timeless/DEM.npy`` (y, x, 1) in metres; ``timestamps.json``;
and ``REFERENCE_SCENES.npy`` (5, y, x, 13), five scenes without clouds, top of atmosphere reflectance of all bands.
The original 13-band series of 68 dates is not part of it. The dates of the five scenes are not told in any file; they
are found where the NDVI of a scene equals the NDVI of a date in every pixel, see ``Patch.scene_times``.

Citation: Sentinel Hub: eo-learn. Land use: Ministry of Agriculture, Forestry and Food of Slovenia (RABA).
Licence: MIT (repository); Copernicus Sentinel data are free and open.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath import rng, sensors
from swath.cubes import legend_from_colours
from swath.errors import InputError
from swath.reading import read_json, reading
from swath.sensors import BandSet
from swath.sources.published.arrays import Shape, array_problems, read_array
from swath.sources.published.common import Description, fingerprint, folder_of, histogram, nothing_in
from swath.types import IGNORE

NAME = "eolearn"
SENSOR = "sentinel2_l1c"
SCENES, TIMES, OUTLINE = "REFERENCE_SCENES.npy", "timestamps.json", "bbox.geojson"
NDVI, CLOUDS, PRESENT = "data/NDVI.npy", "mask/CLM.npy", "mask/IS_DATA.npy"
LAND_USE, RELIEF = "mask_timeless/LULC.npy", "data_timeless/DEM.npy"
LEGEND = legend_from_colours(
    {
        "cultivated": "#cc6677",
        "forest": "#117733",
        "grassland": "#44aa99",
        "shrubland": "#882255",
        "artificial": "#332288",
    }
)
STORED = (1, 2, 3, 4, 8)
"""Land-use code in the file of each class of ``LEGEND``; 0 is no data."""
_FILES: dict[str, tuple[Shape, str]] = {
    SCENES: ((None, None, None, 13), "f"),
    NDVI: ((None, None, None, 1), "f"),
    CLOUDS: ((None, None, None, 1), "iub"),
    PRESENT: ((None, None, None, 1), "iub"),
    LAND_USE: ((None, None, 1), "iu"),
    RELIEF: ((None, None, 1), "fiu"),
}
_SAME = 0.02
"""Largest median difference of NDVI between a scene and the date that it was taken on."""


@dataclass(frozen=True)
class Patch:
    """The patch; nothing is read before a method asks for it.

    Args:
        folder: the patch's directory.
    """

    folder: Path

    def scenes(self) -> tuple[NDArray[np.float32], BandSet]:
        """Reflectance float32 ``(time, band, y, x)`` of the scenes without clouds, and their 13 bands.

        Raises:
            InputError: the file is missing or damaged.
        """
        stored = self._read(SCENES)
        return np.ascontiguousarray(stored.transpose(0, 3, 1, 2), np.float32), sensors.load(SENSOR).bands

    def times(self) -> NDArray[np.datetime64]:
        """The dates of ``ndvi``, ``datetime64[s]``; raises InputError when the file is missing or damaged."""
        path = self.folder / TIMES
        expected = "a list of dates"
        told = read_json(path, expected=expected, remedy="download the data set again")
        with reading(path, expected=expected, remedy="download the data set again"):
            return np.array([str(time)[:19] for time in told], "datetime64[s]")

    def ndvi(self) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """NDVI ``(time, y, x)`` of all dates, and where it may be used: data, no cloud, finite."""
        values = self._read(NDVI)[..., 0].astype(np.float32)
        valid = (
            self._read(PRESENT)[..., 0].astype(bool) & ~self._read(CLOUDS)[..., 0].astype(bool) & np.isfinite(values)
        )
        return np.where(valid, values, np.float32(0)), valid

    def scene_times(self) -> tuple[np.datetime64 | None, ...]:
        """The date of each scene without clouds; None where the NDVI of no date fits."""
        scenes, bands = self.scenes()
        red, near = scenes[:, bands.position("B04")], scenes[:, bands.position("B08")]
        own = (near - red) / np.maximum(near + red, 1e-6)
        series, times = self._read(NDVI)[..., 0], self.times()
        found: list[np.datetime64 | None] = []
        for each in own:
            gaps = np.median(np.abs(np.nan_to_num(series, nan=9.0) - each), axis=(1, 2))
            best = int(np.argmin(gaps))
            found.append(times[best] if gaps[best] < _SAME else None)
        return tuple(found)

    def land_use(self) -> NDArray[np.int64]:
        """Classes of ``LEGEND`` ``(y, x)``, ``IGNORE`` where there is no data.

        Raises:
            InputError: the file is missing or damaged, or holds another code.
        """
        stored = self._read(LAND_USE)[..., 0].astype(np.int64)
        classes = np.full(stored.shape, IGNORE, np.int64)
        for number, code in enumerate(STORED):
            classes[stored == code] = number
        strange = np.unique(stored[(classes == IGNORE) & (stored != 0)])
        if strange.size:
            raise InputError(
                f"{self.folder / LAND_USE} holds the land use {strange[0]}",
                expected=f"0 or one of {', '.join(map(str, STORED))}",
                remedy="download the data set again",
            )
        return classes

    def lonlat(self) -> tuple[float, float]:
        """Longitude and latitude of the middle in degrees.

        Raises:
            InputError: the outline is missing or damaged.
        """
        from pyproj import Transformer

        path = self.folder / OUTLINE
        expected, remedy = "a GeoJSON polygon with its reference system", "download the data set again"
        told = read_json(path, expected=expected, remedy=remedy)
        with reading(path, expected=expected, remedy=remedy):
            corners = np.array(told["coordinates"][0], np.float64)
            middle = (corners.min(axis=0) + corners.max(axis=0)) / 2
            turned = Transformer.from_crs(told["crs"]["properties"]["name"], "EPSG:4326", always_xy=True)
            lon, lat = turned.transform(*middle.tolist())
            return float(lon), float(lat)

    def elevation(self) -> NDArray[np.float32]:
        """Metres ``(y, x)``; raises InputError when the file is missing or damaged."""
        return self._read(RELIEF)[..., 0].astype(np.float32)

    def _read(self, name: str) -> NDArray[Any]:
        shape, kinds = _FILES[name]
        return read_array(self.folder / name, shape, kinds)


def open(root: Path | str) -> Patch:
    """The patch in ``root``.

    Raises:
        InputError: there is no such directory, or no land use in it.
    """
    folder = folder_of(root, NAME)
    if not (folder / LAND_USE).is_file():
        raise nothing_in(folder, NAME, LAND_USE)
    return Patch(folder)


def check(root: Path | str) -> list[str]:
    """Everything that is wrong with the files, as sentences; empty when nothing is.

    Raises:
        InputError: there is no such directory, or no patch in it.
    """
    patch = open(root)
    found = []
    for name, (shape, kinds) in _FILES.items():
        # Where there is no data the NDVI has no value; the mask says so.
        problems = array_problems(patch.folder / name, shape, kinds)
        found += [problem for problem in problems if name != NDVI or "NaN" not in problem]
    if found:
        return found
    try:
        sizes = {
            patch.scenes()[0].shape[2:],
            patch.ndvi()[0].shape[1:],
            patch.land_use().shape,
            patch.elevation().shape,
        }
        if len(sizes) > 1:
            found.append(f"the arrays differ in size: {', '.join(map(str, sorted(sizes)))}")
        if len(patch.times()) != len(patch.ndvi()[0]):
            found.append(f"{len(patch.times())} dates, but NDVI of {len(patch.ndvi()[0])}")
    except InputError as error:
        found.append(error.given)
    return found


def describe(root: Path | str) -> Description:
    """Counts, bands, classes, label histogram and fingerprint; reads every byte once.

    Raises:
        InputError: as ``open``, or a file is missing or damaged.
    """
    patch = open(root)
    return Description(
        name=NAME,
        title="eo-learn example patch, Sentinel-2 and land use in Slovenia",
        citation="Sentinel Hub, eo-learn",
        licence="MIT (repository); Copernicus Sentinel data",
        records=len(patch.scenes()[0]),
        bands={SENSOR: patch.scenes()[1].names},
        classes=LEGEND.names,
        labels=histogram([patch.land_use()], LEGEND.names),
        missing=tuple(name for name in (*_FILES, TIMES, OUTLINE) if not (patch.folder / name).is_file()),
        fingerprint=fingerprint(Path(root), files(root)),
    )


def files(root: Path | str) -> list[Path]:
    """The files that the reader reads, as far as they are there."""
    return [path for path in (Path(root) / name for name in (*_FILES, TIMES, OUTLINE)) if path.is_file()]


def write_fake(root: Path | str, seed: int = 0) -> Path:
    """A miniature patch: 40 x 40 pixels, three scenes, six dates, all five classes in stripes of both directions."""
    folder = Path(root)
    random = rng.generator(seed, "fake eolearn")
    side, dates = 40, 6
    rows, columns = np.mgrid[:side, :side]
    classes = (rows // 3 + columns // 5) % len(STORED)
    spectra = random.uniform(0.05, 0.5, (3, 13, len(STORED)))
    scenes = spectra[:, :, classes].transpose(0, 2, 3, 1) + random.normal(0, 0.02, (3, side, side, 13))
    scenes = np.clip(scenes, 0.001, 1).astype(np.float32)
    red, near = scenes[..., 3], scenes[..., 7]
    ndvi = random.uniform(-0.2, 0.9, (dates, side, side, 1)).astype(np.float32)
    ndvi[[0, 2, 4], ..., 0] = (near - red) / (near + red)
    clouds = random.integers(0, 5, (dates, side, side, 1)) == 0
    land_use = np.array(STORED, np.uint16)[classes]
    land_use[0, 0] = 0
    stored: dict[str, NDArray[Any]] = {
        SCENES: scenes,
        NDVI: ndvi,
        CLOUDS: clouds.astype(np.uint8),
        PRESENT: np.ones((dates, side, side, 1), bool),
        LAND_USE: land_use[..., None],
        RELIEF: (700 + rows + columns)[..., None].astype(np.float32),
    }
    for name, array in stored.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(folder / name, array)
    corners = [[465181.0, 5079244.0], [465181.0, 5080254.0], [466181.0, 5080254.0], [466181.0, 5079244.0]]
    outline = {
        "type": "Polygon",
        "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}},
        "coordinates": [[*corners, corners[0]]],
    }
    (folder / OUTLINE).write_text(json.dumps(outline))
    (folder / TIMES).write_text(json.dumps([f"2016-{month:02d}-10T10:00:08" for month in range(1, 2 * dates, 2)]))
    return folder
