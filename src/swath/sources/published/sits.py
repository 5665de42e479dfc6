"""Labelled series of the R package sits: places in the Brazilian Amazon and Cerrado seen by MODIS or Landsat 8.

Layout: ``samples/*.csv.gz``, one row a place and date with the columns id, label, longitude, latitude, date and one
column a band. Three sets: ``samples_modis_ndvi`` (NDVI, 12 dates, four classes), ``cerrado_2classes`` (NDVI and EVI,
23 dates, two classes) and ``samples_l8_rondonia_2bands`` (EVI and NDVI, 25 dates, four classes). The csv files were
converted from the R objects of the package, values unchanged.

Citation: Simoes et al.: Satellite image time series analysis for big Earth observation data. Remote Sensing 13, 2021.
Licence: package GPL-2; MODIS and Landsat data are in the public domain.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from swath import limits, rng
from swath.errors import InputError
from swath.reading import reading
from swath.sensors import BandSet
from swath.sources.published.common import UNLABELLED, Description, fingerprint, folder_of, nothing_in

NAME = "sits"
SETS = ("samples_modis_ndvi", "cerrado_2classes", "samples_l8_rondonia_2bands")
KEYS = ("id", "label", "longitude", "latitude", "date")


@dataclass(frozen=True, eq=False)
class Series:
    """One set of labelled series in memory.

    Args:
        name: one of ``SETS``.
        ids: number of each place in the file.
        values: float32 ``(place, date, band)``.
        bands: vegetation indices.
        times: ``datetime64[D]`` ``(place, date)``, in order.
        lonlat: float64 ``(place, 2)`` in degrees.
        label: int64 ``(place,)``, index into ``classes``.
        classes: names in alphabetical order.
    """

    name: str
    ids: tuple[str, ...]
    values: NDArray[np.float32]
    bands: BandSet
    times: NDArray[np.datetime64]
    lonlat: NDArray[np.float64]
    label: NDArray[np.int64]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.label)


def open(root: Path | str) -> tuple[Series, ...]:
    """The sets that are there, in the order of ``SETS``.

    Raises:
        InputError: there is no such directory, none of the files, or one is damaged.
    """
    return tuple(_read(path) for path in files(root))


def check(root: Path | str) -> list[str]:
    """Everything that is wrong with the files, as sentences; empty when nothing is.

    Raises:
        InputError: there is no such directory, or none of the files in it.
    """
    found = []
    for path in files(root):
        try:
            series = _read(path)
        except InputError as error:
            found.append(error.given)
            continue
        if not np.isfinite(series.values).all():
            found.append(f"{path.name}: {int((~np.isfinite(series.values)).sum())} values are missing")
    return found


def describe(root: Path | str) -> Description:
    """Counts, bands, classes of all sets together, missing files and fingerprint; reads every byte once.

    Raises:
        InputError: as ``open``.
    """
    sets = open(root)
    classes = tuple(dict.fromkeys(name for each in sets for name in each.classes))
    counts = dict.fromkeys((*classes, UNLABELLED), 0)
    for each in sets:
        for number, name in enumerate(each.classes):
            counts[name] += int((each.label == number).sum())
    present = {each.name for each in sets}
    return Description(
        name=NAME,
        title="sits, labelled series of vegetation indices in Brazil",
        citation="Simoes et al. 2021, Remote Sensing 13",
        licence="package GPL-2; MODIS and Landsat public domain",
        records=sum(len(each) for each in sets),
        bands={each.name: each.bands.names for each in sets},
        classes=classes,
        labels=counts,
        missing=tuple(f"{name}.csv.gz" for name in SETS if name not in present),
        fingerprint=fingerprint(Path(root), files(root)),
    )


def files(root: Path | str) -> list[Path]:
    """The files of the sets that are there.

    Raises:
        InputError: there is no such directory, or none of the files in it.
    """
    folder = folder_of(root, NAME)
    found = [path for path in (folder / "samples" / f"{name}.csv.gz" for name in SETS) if path.is_file()]
    if not found:
        raise nothing_in(folder, NAME, f"samples/{SETS[0]}.csv.gz")
    return found


def write_fake(root: Path | str, seed: int = 0) -> Path:
    """A miniature: 96 places with NDVI on 12 dates; the season of the greenest date tells the class."""
    folder = Path(root) / "samples"
    folder.mkdir(parents=True, exist_ok=True)
    random = rng.generator(seed, "fake sits")
    names, dates = ("Cerrado", "Forest", "Pasture", "Soy_Corn"), pd.date_range("2013-09-14", periods=12, freq="32D")
    rows = []
    for place in range(96):
        label = place % len(names)
        lon, lat = -60 + (place // 4) % 6 + 0.5, -15 + (place // 24) + 0.5
        season = 0.4 + 0.3 * np.cos(2 * np.pi * (np.arange(len(dates)) - 3 * label) / len(dates))
        ndvi = season + random.normal(0, 0.05, len(dates))
        rows += [
            (place, names[label], lon, lat, str(date.date()), value) for date, value in zip(dates, ndvi, strict=True)
        ]
    table = pd.DataFrame(rows, columns=[*KEYS, "NDVI"])
    # Without a time in the gzip header the same seed gives the same bytes.
    table.to_csv(folder / f"{SETS[0]}.csv.gz", index=False, compression={"method": "gzip", "mtime": 0})
    return Path(root)


def _read(path: Path) -> Series:
    expected, remedy = f"a table with the columns {', '.join(KEYS)} and bands", "download the data set again"
    limits.TEXT_BYTES.check(path.stat().st_size, path)
    with reading(path, expected=expected, remedy=remedy):
        table = pd.read_csv(path, nrows=limits.ROWS.value)
        absent = [name for name in KEYS if name not in table.columns]
        names = [str(name) for name in table.columns if name not in KEYS]
        if absent or not names or table.empty:
            given = f"{path} lacks {', '.join(absent)}" if absent else f"{path} has no bands or no rows"
            raise InputError(given, expected=expected, remedy=remedy)
        table["date"] = pd.to_datetime(table["date"])
        table = table.sort_values(["id", "date"], kind="stable")
        counts = table.groupby("id", sort=True).size()
        if counts.nunique() > 1:
            raise InputError(
                f"{path} has places with {counts.min()} and with {counts.max()} dates",
                expected="the same number of dates for every place",
                remedy=remedy,
            )
        places, dates = len(counts), int(counts.iloc[0])
        first = table.groupby("id", sort=True).first()
        classes = tuple(sorted(str(name) for name in first["label"].unique()))
        return Series(
            name=path.name.removesuffix(".csv.gz"),
            ids=tuple(str(number) for number in first.index),
            values=table[names].to_numpy(np.float32).reshape(places, dates, len(names)),
            bands=BandSet.of(*names, kind="index"),
            times=table["date"].to_numpy("datetime64[D]").reshape(places, dates),
            lonlat=first[["longitude", "latitude"]].to_numpy(np.float64),
            label=np.array([classes.index(str(name)) for name in first["label"]], np.int64),
            classes=classes,
        )
