"""Two evaluation tasks of Presto: live fuel moisture and algal blooms, as series of single pixels in NumPy files.

Layout, below one folder a task: ``npy/s1_s2_era5_srtm.npy`` float64 (row, month, 18) in the order of ``STORED``: VV and
VH in dB, Sentinel-2 Level-1C x 10000, temperature in K, precipitation in m, elevation in m, slope in degrees, NDVI;
``dynamic_world.npy`` (row, month), classes 0 to 8 or 9 for missing; ``month.npy`` (row, month), 0 is January;
``latlon.npy`` (row, 2); ``target.npy`` (row,); ``is_test.npy`` (row,), the authors' split; and ``site.npy`` (fuel
moisture, in percent of dry mass) or ``uid.npy`` (algal blooms, severity 1 to 5), one text a row.

A group is a sampling site where sites are named, else a cell of 0.1 degree; the authors' split keeps both whole.

Citation: Tseng et al.: Lightweight, pre-trained transformers for remote sensing timeseries. 2023 (arXiv 2304.14065).
Licence: repository MIT; Copernicus, ERA5 and SRTM inputs; the licence of the field labels is not stated.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath import rng, sensors
from swath.errors import InputError
from swath.sensors import Band, BandSet
from swath.sources.published.arrays import Shape, array_problems, read_array
from swath.sources.published.common import Description, fingerprint, folder_of, nothing_in

NAME = "presto_tables"
STORED = (
    "VV", "VH", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B11", "B12", "temperature_2m",
    "total_precipitation", "elevation", "slope", "NDVI",
)  # fmt: skip
"""Band names as the authors write them, in stored order."""
RADAR = ("VV", "VH")
OPTICAL = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
SERIES = "s1_s2_era5_srtm.npy"
QUANTIFICATION = 10_000.0
_FILES: dict[str, tuple[Shape, str]] = {
    SERIES: ((None, None, len(STORED)), "f"),
    "dynamic_world.npy": ((None, None), "iu"),
    "month.npy": ((None, None), "iu"),
    "latlon.npy": ((None, 2), "f"),
    "target.npy": ((None,), "fiu"),
    "is_test.npy": ((None,), "iub"),
}
_GROUPS = ("site.npy", "uid.npy")


def bands() -> BandSet:
    """The 18 bands in stored order, under their canonical names."""
    others = (
        Band("temperature_2m", unit="K"),
        Band("total_precipitation", unit="m"),
        Band("elevation", kind="elevation", unit="m"),
        Band("slope", unit="degree"),
        Band("NDVI", kind="index"),
    )
    radar = sensors.load("sentinel1_grd").bands.select(RADAR)
    return BandSet((*radar, *sensors.load("sentinel2_l1c").bands.select(OPTICAL), *others))


@dataclass(frozen=True, eq=False)
class Table:
    """All rows of one task in memory.

    Args:
        values: float32 ``(row, month, band)`` in physical units, reflectance for Sentinel-2.
        bands: the 18 bands.
        dynamic_world: int64 ``(row, month)``, land cover 0 to 8; 9 is missing.
        month: int64 ``(row, month)``, 0 is January.
        lonlat: float64 ``(row, 2)`` in degrees.
        target: float64 ``(row,)``.
        is_test: bool ``(row,)``, the authors' split.
        group: site, or cell of 0.1 degree, of each row.
    """

    values: NDArray[np.float32]
    bands: BandSet
    dynamic_world: NDArray[np.int64]
    month: NDArray[np.int64]
    lonlat: NDArray[np.float64]
    target: NDArray[np.float64]
    is_test: NDArray[np.bool_]
    group: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.target)


def open(root: Path | str) -> Table:
    """The rows of the task in ``root``.

    Raises:
        InputError: there is no such directory, a file is missing or damaged, files differ in length, or a value is
            out of range.
    """
    folder = _arrays_of(root)
    found = {name: read_array(folder / name, shape, kinds) for name, (shape, kinds) in _FILES.items()}
    values = found[SERIES]
    lengths = {name: len(array) for name, array in found.items()}
    if len(set(lengths.values())) > 1 or found["month.npy"].shape != values.shape[:2]:
        raise InputError(
            f"The files in {folder} differ in length: {', '.join(f'{n} {k}' for n, k in lengths.items())}",
            expected="one row of every file for each sample, one column for each month",
            remedy="download the data set again",
        )
    month, latlon = found["month.npy"].astype(np.int64), found["latlon.npy"].astype(np.float64)
    if month.size and (month.min() < 0 or month.max() > 11):
        raise InputError(
            f"{folder / 'month.npy'} holds {month.min()} to {month.max()}",
            expected="months from 0 (January) to 11",
            remedy="download the data set again",
        )
    scale = np.ones(len(STORED))
    scale[[STORED.index(name) for name in STORED if name.startswith("B")]] = 1 / QUANTIFICATION
    return Table(
        values=(values * scale).astype(np.float32),
        bands=bands(),
        dynamic_world=found["dynamic_world.npy"].astype(np.int64),
        month=month,
        lonlat=np.ascontiguousarray(latlon[:, ::-1]),
        target=found["target.npy"].astype(np.float64),
        is_test=found["is_test.npy"].astype(bool),
        group=_groups(folder, latlon),
    )


def check(root: Path | str) -> list[str]:
    """Everything that is wrong with the files, as sentences; empty when nothing is.

    Raises:
        InputError: there is no such directory, or no table in it.
    """
    folder = _arrays_of(root)
    found = [
        problem for name, (shape, kinds) in _FILES.items() for problem in array_problems(folder / name, shape, kinds)
    ]
    if found:
        return found
    try:
        table = open(root)
    except InputError as error:
        return [error.given]
    both = sorted(set(np.array(table.group)[table.is_test]) & set(np.array(table.group)[~table.is_test]))
    return [f"the group {name} lies in both parts of the split" for name in both]


def describe(root: Path | str) -> Description:
    """Counts and fingerprint; reads every byte once.

    Raises:
        InputError: as ``open``.
    """
    table = open(root)
    return Description(
        name=NAME,
        title=f"{Path(root).name}: pixel series of Sentinel-1, Sentinel-2, ERA5 and SRTM with a quantity",
        citation="Tseng et al. 2023, arXiv 2304.14065",
        licence="repository MIT; field labels not stated; Copernicus Sentinel data",
        records=len(table),
        bands={"s1_s2_era5_srtm": table.bands.names},
        classes=(),
        labels={},
        missing=(),
        fingerprint=fingerprint(Path(root), files(root)),
    )


def files(root: Path | str) -> list[Path]:
    """The files that ``open`` reads."""
    folder = _arrays_of(root)
    return [path for path in (folder / name for name in (*_FILES, *_GROUPS)) if path.is_file()]


def write_fake(root: Path | str, seed: int = 0, *, named_sites: bool = True) -> Path:
    """A miniature table: 120 rows at 30 sites, three months; the moisture follows the NDVI of the last month.

    Args:
        root: folder of the task.
        seed: seed of the numbers.
        named_sites: with ``site.npy``, as fuel moisture has it; else with ``uid.npy``.
    """
    folder = Path(root) / "npy"
    folder.mkdir(parents=True, exist_ok=True)
    random = rng.generator(seed, "fake presto table")
    rows, months, sites = 120, 3, 30
    site = np.arange(rows) % sites
    values = np.zeros((rows, months, len(STORED)))
    values[..., :2] = random.normal((-12, -18), 2, (rows, months, 2))
    values[..., 2:13] = random.uniform(300, 3000, (rows, months, 11))
    values[..., 13:17] = random.uniform((270, 0, 0, 0), (300, 0.003, 2000, 20), (rows, months, 4))
    red, near = values[..., 4], values[..., 8]
    values[..., 17] = (near - red) / (near + red)
    west = np.where(np.arange(sites) % 3 == 0, -90.05, -100.05) + 0.1 * np.arange(sites) % 2
    latlon = np.stack([40.05 + 0.1 * np.arange(sites), west], axis=1)[site]
    first = random.integers(0, 12, rows)
    stored: dict[str, NDArray[Any]] = {
        SERIES: values,
        "dynamic_world.npy": random.integers(0, 9, (rows, months)).astype(np.uint8),
        "month.npy": (first[:, None] + np.arange(months)) % 12,
        "latlon.npy": latlon,
        "target.npy": 100 + 40 * values[:, -1, 17] + random.normal(0, 5, rows),
        "is_test.npy": (site % 3 == 0).astype(np.int64),
        "site.npy" if named_sites else "uid.npy": np.array([f"site {number:02d}" for number in site]),
    }
    for name, array in stored.items():
        np.save(folder / name, array)
    return Path(root)


def _arrays_of(root: Path | str) -> Path:
    folder = folder_of(root, NAME)
    if not (folder / "npy" / SERIES).is_file():
        raise nothing_in(folder, NAME, f"npy/{SERIES}")
    return folder / "npy"


def _groups(folder: Path, latlon: NDArray[np.float64]) -> tuple[str, ...]:
    path = folder / "site.npy"
    if path.is_file():
        return tuple(str(name) for name in read_array(path, (len(latlon),), "U"))
    cells = np.floor(np.round(latlon * 10, 6)).astype(np.int64)
    return tuple(f"cell {south} {west}" for south, west in cells.tolist())
