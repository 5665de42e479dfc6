"""fMoW-Sentinel: Sentinel-2 pictures of the places of Functional Map of the World, 62 kinds of site.

Layout: ``{part}/{category}/{category}_{location}/{category}_{location}_{image}.tif`` (part ``train``, ``val`` or
``test_gt``), 13 bands, top of atmosphere reflectance x 10000, from about 45 pixels a side upwards and of differing
size; ``{part}.csv`` with the columns ``category``, ``location_id``, ``image_id``, ``timestamp`` names what belongs to
the part.
All pictures of one location are of one place: whoever splits anew has to keep them together (``Picture.group``).

The published models take ten of the 13 bands in three groups (``GROUPS``) and standardise by ``MEAN`` and ``STD`` in
stored numbers.

Citation: Cong, Khanna, Meng, Liu, Rozi, He, Burke, Lobell, Ermon: SatMAE: pre-training transformers for temporal and
multi-spectral satellite imagery. NeurIPS 2022. Places: Christie, Fendley, Wilson, Mukherjee: Functional Map of the
World. CVPR 2018.
Licence: Functional Map of the World Challenge Public License; Copernicus Sentinel data are free and open.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from affine import Affine

from swath import cubes, rng
from swath.errors import InputError
from swath.reading import reading
from swath.sources.published.common import (
    UNLABELLED,
    Description,
    Expected,
    fingerprint,
    folder_of,
    nothing_in,
    raster_problems,
    write_raster,
)

NAME = "fmow_sentinel"
SENSOR = "sentinel2_l1c"
BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
GROUPS = (("B02", "B03", "B04", "B08"), ("B05", "B06", "B07", "B8A"), ("B11", "B12"))
"""Band groups of SatMAE and SatMAE++; B01, B09 and B10 are left out."""
MEAN = (
    1370.19,
    1184.38,
    1120.77,
    1136.26,
    1263.74,
    1645.40,
    1846.87,
    1762.60,
    1972.62,
    582.73,
    14.77,
    1732.16,
    1247.92,
)
STD = (633.15, 650.28, 712.13, 965.23, 948.98, 1108.07, 1258.36, 1233.15, 1364.39, 472.38, 14.31, 1310.37, 1087.60)
PARTS = ("train", "val", "test_gt")
COLUMNS = ("category", "location_id", "image_id", "timestamp")


@dataclass(frozen=True)
class Picture:
    """One picture; nothing is read before a method asks for it.

    Args:
        id: stem of the file name.
        part: ``train``, ``val`` or ``test_gt``.
        category: kind of site.
        group: category and location: pictures of one place share it.
        time: as ISO text in UTC.
        path: the file.
    """

    id: str
    part: str
    category: str
    group: str
    time: str
    path: Path

    def scene(self) -> xr.DataTree:
        """13 bands of reflectance; raises InputError when the file is missing or damaged."""
        return cubes.open(self.path, sensor=SENSOR, baseline="before 04.00", bands=BANDS, time=self.time)


def open(root: Path | str) -> tuple[Picture, ...]:
    """The pictures that the tables of ``root`` name, by part, then in their order.

    Raises:
        InputError: there is no such directory, no table in it, or a table lacks a column.
    """
    folder = folder_of(root, NAME)
    found: list[Picture] = []
    for part in PARTS:
        file = folder / f"{part}.csv"
        if file.is_file():
            found += _pictures(folder, part, file)
    if not found:
        raise nothing_in(folder, NAME, "train.csv")
    return tuple(found)


def _pictures(folder: Path, part: str, file: Path) -> list[Picture]:
    expected = f"a table with the columns {', '.join(COLUMNS)}"
    with reading(file, expected=expected, remedy="download it again"):
        table = pd.read_csv(file)
        absent = [name for name in COLUMNS if name not in table]
        if absent:
            raise InputError(f"{file} has no column '{absent[0]}'", expected=expected, remedy="download it again")
        times = pd.to_datetime(table["timestamp"], utc=True, format="ISO8601").dt.tz_localize(None)
        rows = zip(table["category"].astype(str), table["location_id"], table["image_id"], times, strict=True)
        return [_picture(folder, part, *row) for row in rows]


def _picture(folder: Path, part: str, category: str, location: int, image: int, time: pd.Timestamp) -> Picture:
    group = f"{category}_{int(location)}"
    name = f"{group}_{int(image)}"
    path = folder / part / category / group / f"{name}.tif"
    return Picture(name, part, category, group, time.isoformat(), path)


def categories(pictures: tuple[Picture, ...]) -> tuple[str, ...]:
    """Kinds of site in the order of their class numbers: by name."""
    return tuple(sorted({picture.category for picture in pictures}))


def check(root: Path | str) -> list[str]:
    """Everything that is wrong with the files, as sentences; empty when nothing is.

    Raises:
        InputError: there is no such directory, no table in it, or a table lacks a column.
    """
    pictures = open(root)
    found = [problem for picture in pictures for problem in raster_problems(picture.path, Expected(len(BANDS)))]
    parts: dict[str, set[str]] = {}
    for picture in pictures:
        parts.setdefault(picture.group, set()).add(picture.part)
    shared = sorted(group for group, held in parts.items() if len(held) > 1)
    return found + [
        f"{group}: pictures of this place are in the parts {', '.join(sorted(parts[group]))}" for group in shared
    ]


def describe(root: Path | str) -> Description:
    """Counts of pictures by kind of site, missing files and fingerprint; reads every byte once.

    Raises:
        InputError: there is no such directory, no table in it, or a table lacks a column.
    """
    pictures, folder = open(root), Path(root)
    files = [picture.path for picture in pictures if picture.path.is_file()]
    tables = [folder / f"{part}.csv" for part in PARTS if (folder / f"{part}.csv").is_file()]
    classes = categories(pictures)
    counts = {name: sum(picture.category == name for picture in pictures) for name in classes}
    return Description(
        name=NAME,
        title="fMoW-Sentinel, Sentinel-2 pictures of 62 kinds of site",
        citation="Cong et al. 2022, NeurIPS; Christie et al. 2018, CVPR",
        licence="Functional Map of the World Challenge Public License; Copernicus Sentinel data",
        records=len(pictures),
        bands={SENSOR: BANDS},
        classes=classes,
        labels={**counts, UNLABELLED: 0},
        missing=tuple(picture.path.name for picture in pictures if not picture.path.is_file()),
        fingerprint=fingerprint(folder, [*files, *tables]),
    )


def write_fake(root: Path | str, seed: int = 0) -> Path:
    """Four miniature pictures of three places in the true layout, of differing size."""
    folder = Path(root)
    told = (
        ("train", "airport", 0, 3, "2016-02-03T10:11:12Z"),
        ("train", "airport", 0, 4, "2017-07-03T10:11:12Z"),
        ("train", "crop_field", 12, 0, "2016-05-06T01:02:03Z"),
        ("val", "airport", 7, 100, "2018-11-30T23:59:59Z"),
    )
    rows: dict[str, list[dict[str, object]]] = {}
    for number, (part, category, location, image, time) in enumerate(told):
        random = rng.generator(seed, "fake fmow", number)
        shape = (len(BANDS), 9 + number, 11)
        level = np.reshape(MEAN, (-1, 1, 1)) + random.normal(0, 0.3, shape) * np.reshape(STD, (-1, 1, 1))
        group = f"{category}_{location}"
        transform = Affine(1e-4, 0, 10 + number, 0, -1e-4, 48)
        path = folder / part / category / group / f"{group}_{image}.tif"
        write_raster(path, level.clip(1, 10_000).astype(np.uint16), transform, "EPSG:4326", nodata=0)
        row = {"category": category, "location_id": location, "image_id": image, "timestamp": time}
        rows.setdefault(part, []).append(row)
    for part, table in rows.items():
        pd.DataFrame(table).to_csv(folder / f"{part}.csv", index=False)
    return folder
