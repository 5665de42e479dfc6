"""HLS Burn Scars: fires of the contiguous United States in chips of six HLS bands, 2018 to 2021.

Layout: folders ``training`` and ``validation`` with pairs, the image being
``subsetted_512x512_HLS.{S30|L30}.T{tile}.{year}{day}.v1.4_merged.tif`` (six bands: blue, green, red, narrow near
infrared, two shortwave infrared; reflectance as float, no data -9999) and the label the same stem with ``.mask.tif`` (0
not burnt, 1 burnt, -1 no data), 512 x 512 pixels of 30 m.

The two folders are the authors' split; tile and date stand in the names, so that a split by tile can be drawn as well.

Citation: Phillips, Roy, Ankur, Ramachandran: HLS Foundation Burnscars Dataset, 2023.
Licence: CC BY 4.0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import xarray as xr
from affine import Affine

from swath import cubes, rng
from swath.cubes import legend_from_colours
from swath.sources.published.common import (
    Description,
    Expected,
    fingerprint,
    folder_of,
    histogram,
    labels_of,
    nothing_in,
    raster_problems,
    write_raster,
)

NAME = "hls_burn_scars"
SENSORS = {"L30": "hls_l30", "S30": "hls_s30"}
BANDS = {"L30": ("B02", "B03", "B04", "B05", "B06", "B07"), "S30": ("B02", "B03", "B04", "B8A", "B11", "B12")}
"""Names of the same six places in the file, for either satellite."""
LEGEND = legend_from_colours({"not burnt": "#ddcc77", "burnt": "#882255"})
PARTS = ("training", "validation")
NODATA, NO_LABEL = -9999, -1
_IMAGE, _MASK = "_merged.tif", ".mask.tif"
_NAME = re.compile(r".*HLS\.(?P<product>[LS]30)\.(?P<tile>T\w{5})\.(?P<year>\d{4})(?P<day>\d{3})\..*")
_SIDE = 24


@dataclass(frozen=True)
class Chip:
    """One chip; nothing is read before a method asks for it.

    Args:
        id: stem of the file names.
        part: ``training`` or ``validation``.
        product: ``L30`` (Landsat) or ``S30`` (Sentinel-2).
        tile: tile of the grid that Sentinel-2 uses, such as ``T10SEH``: the natural group of a split.
        date: day of the observation as ISO text.
        image: the six bands.
        mask: the labels.
    """

    id: str
    part: str
    product: str
    tile: str
    date: str
    image: Path
    mask: Path

    def scene(self) -> xr.DataTree:
        """Six bands of reflectance; raises InputError when the file is missing or damaged."""
        return cubes.open(
            self.image, sensor=SENSORS[self.product], level="physical", bands=BANDS[self.product], nodata=NODATA,
            time=self.date,
        )  # fmt: skip

    def labels(self) -> xr.DataArray:
        """int16 ``(y, x)``: 0 not burnt, 1 burnt, ``IGNORE``; raises InputError for other values."""
        return labels_of(self.mask, NO_LABEL, len(LEGEND))


def open(root: Path | str) -> tuple[Chip, ...]:
    """The chips under ``root``, sorted by part and name.

    Raises:
        InputError: there is no such directory, or no chip in it.
    """
    folder = folder_of(root, NAME)
    found = []
    for path in sorted(folder.rglob(f"*{_IMAGE}")):
        match = _NAME.fullmatch(path.name)
        if match and path.parent.name in PARTS:
            stem = path.name.removesuffix(_IMAGE)
            day = date(int(match["year"]), 1, 1) + timedelta(int(match["day"]) - 1)
            mask = path.with_name(stem + _MASK)
            found.append(Chip(stem, path.parent.name, match["product"], match["tile"], day.isoformat(), path, mask))
    if not found:
        raise nothing_in(folder, NAME, f"training/*HLS.*{_IMAGE}")
    return tuple(found)


def check(root: Path | str) -> list[str]:
    """Everything that is wrong with the files, as sentences; empty when nothing is.

    Raises:
        InputError: there is no such directory, or no chip in it.
    """
    found = []
    for chip in open(root):
        found += raster_problems(chip.image, Expected(6))
        found += raster_problems(chip.mask, Expected(1, (NO_LABEL, *LEGEND.values)), chip.image)
    return found


def describe(root: Path | str) -> Description:
    """Counts, bands, classes, missing files, label histogram and fingerprint; reads every byte once.

    Raises:
        InputError: there is no such directory, no chip in it, or a label outside the legend.
    """
    chips = open(root)
    files = [path for chip in chips for path in (chip.image, chip.mask)]
    return Description(
        name=NAME,
        title="HLS Burn Scars, six bands, 30 m",
        citation="Phillips et al. 2023, HLS Foundation Burnscars Dataset",
        licence="CC BY 4.0",
        records=len(chips),
        bands={SENSORS[product]: BANDS[product] for product in sorted({chip.product for chip in chips})},
        classes=LEGEND.names,
        labels=histogram((chip.labels().values for chip in chips if chip.mask.is_file()), LEGEND.names),
        missing=tuple(chip.mask.name for chip in chips if not chip.mask.is_file()),
        fingerprint=fingerprint(Path(root), [file for file in files if file.is_file()]),
    )


def write_fake(root: Path | str, seed: int = 0) -> Path:
    """Three miniature chips in the true layout: both satellites and both parts, with no data."""
    folder = Path(root)
    chips = (
        ("training", "S30", "T10SEH.2018245"),
        ("training", "L30", "T11SKA.2020260"),
        ("validation", "S30", "T12TVK.2021201"),
    )
    for number, (part, product, where) in enumerate(chips):
        random = rng.generator(seed, "fake burn scars", number)
        rows, columns = np.mgrid[:_SIDE, :_SIDE]
        burnt = rows * 2 + columns < random.integers(_SIDE // 2, 2 * _SIDE)
        plain, charred = (0.03, 0.06, 0.06, 0.25, 0.20, 0.12), (0.03, 0.04, 0.05, 0.10, 0.18, 0.17)
        image = np.where(burnt, np.reshape(charred, (6, 1, 1)), np.reshape(plain, (6, 1, 1)))
        image = (image + random.normal(0, 0.005, image.shape)).astype(np.float32)
        image[:, :2, :3] = NODATA
        labels = burnt.astype(np.int16)
        labels[:2, :3] = NO_LABEL
        transform = Affine(30, 0, 500_000 + number * 90_000, 0, -30, 4_300_000)
        stem = folder / part / f"subsetted_512x512_HLS.{product}.{where}.v1.4"
        write_raster(Path(f"{stem}{_IMAGE}"), image, transform, "EPSG:32611", nodata=NODATA)
        write_raster(Path(f"{stem}{_MASK}"), labels[None], transform, "EPSG:32611")
    return folder
