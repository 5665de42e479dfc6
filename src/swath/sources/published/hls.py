"""Chips of the Harmonized Landsat Sentinel-2 product (HLS), Landsat side (L30), one GeoTIFF a chip.

Layout: ``*.tif`` with ten bands in the order B01, B02, B03, B04, B05, B06, B07, B09, B10, B11; reflectance x 10000,
brightness temperature of B10 and B11 x 100 in degrees Celsius, no data -9999.

Citation: Claverie et al.: The Harmonized Landsat and Sentinel-2 surface reflectance data set. Remote Sensing of
Environment 219, 2018.
Licence: HLS is public domain (NASA, USGS).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from affine import Affine

from swath import cubes, rng
from swath.sources.published.common import (
    Description,
    Expected,
    fingerprint,
    folder_of,
    nothing_in,
    raster_problems,
    write_raster,
)

NAME = "hls"
SENSOR = "hls_l30"
BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B09", "B10", "B11")
PRITHVI_BANDS = ("B02", "B03", "B04", "B05", "B06", "B07")
"""Blue, green, red, near infrared and two shortwave infrared bands: what the Prithvi models were trained on."""
NODATA = -9999
_SIDE = 24


@dataclass(frozen=True)
class Chip:
    """One chip; nothing is read before a method asks for it.

    Args:
        id: file name without its ending.
        path: the file.
    """

    id: str
    path: Path

    def scene(self) -> xr.DataTree:
        """The chip as a scene of the sensor ``hls_l30``; raises InputError when the file is damaged."""
        return cubes.open(self.path, sensor=SENSOR, bands=BANDS, nodata=NODATA)


def open(root: Path | str) -> tuple[Chip, ...]:
    """The chips under ``root``, sorted by name.

    Raises:
        InputError: there is no such directory, or no GeoTIFF in it.
    """
    folder = folder_of(root, NAME)
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".tif", ".tiff"))
    if not paths:
        raise nothing_in(folder, NAME, "*.tif")
    return tuple(Chip(path.relative_to(folder).with_suffix("").as_posix(), path) for path in paths)


def check(root: Path | str) -> list[str]:
    """Everything that is wrong with the files, as sentences; empty when nothing is.

    Raises:
        InputError: there is no such directory, or no GeoTIFF in it.
    """
    return [problem for chip in open(root) for problem in raster_problems(chip.path, Expected(len(BANDS)))]


def describe(root: Path | str) -> Description:
    """Counts, bands and fingerprint; there are no labels.

    Raises:
        InputError: there is no such directory, or no GeoTIFF in it.
    """
    chips = open(root)
    return Description(
        name=NAME,
        title="HLS L30 chips, ten bands, 30 m",
        citation="Claverie et al. 2018, Remote Sensing of Environment 219",
        licence="public domain (NASA, USGS)",
        records=len(chips),
        bands={SENSOR: BANDS},
        classes=(),
        labels={},
        missing=(),
        fingerprint=fingerprint(Path(root), [chip.path for chip in chips]),
    )


def write_fake(root: Path | str, seed: int = 0) -> Path:
    """Two miniature chips in the true layout, with no-data pixels and small negative reflectance."""
    folder = Path(root)
    for number in range(2):
        random = rng.generator(seed, "fake hls", number)
        array = random.normal(1500, 700, (len(BANDS), _SIDE, _SIDE)).astype(np.float32)
        array[-2:] = random.normal(2800, 200, (2, _SIDE, _SIDE))
        array[0, 0, 0] = -120
        array[:, :2, -3:] = NODATA
        transform = Affine(30, 0, 440280 + number * 3000, 0, -30, 3159720)
        write_raster(folder / f"chip_{number}_input.tif", array, transform, "EPSG:32614", nodata=NODATA)
    return folder
