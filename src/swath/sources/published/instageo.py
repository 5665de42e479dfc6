"""InstaGeo chips: scenes chosen by date and cloud around observations, as its chip creator writes them.

Layout: ``chips/chip_{YYYYMMDD}_{sensor}_T{tile}_{time}_{x}_{y}.tif`` with all bands of all dates, the latest date first
(band names ``BAND_STEP``; uint16 counts of 0.0001 reflectance, 0 for no data; radar: float32, -1 for no data), beside
it ``seg_maps/seg_map_...`` of the same name (int16 classes or float32 quantities, -1 without a label) and
``hls_raster_dataset.csv`` with the columns ``Input`` and ``Label`` (no ``Label`` in sets to predict on). Names of chips
over label rasters begin with the name of the raster instead of the date.

The time of the latest date stands in the name; those of the others are not kept by the layout.

Citation: InstaGeo, version 0.1.0, instadeepai/InstaGeo-E2E-Geospatial-ML.
Licence: that of the observations and of the archive the chips were made from.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from affine import Affine
from numpy.typing import NDArray

from swath import cubes, limits, rng, sensors
from swath.cubes import geobox_of, make_cube
from swath.errors import InputError
from swath.reading import inside, reading
from swath.sensors import Band, BandSet
from swath.sources.published.common import (
    Description,
    Expected,
    fingerprint,
    folder_of,
    nothing_in,
    one_cube,
    raster_problems,
    write_raster,
)
from swath.types import IGNORE

NAME = "instageo"
TABLE = "hls_raster_dataset.csv"
SENSORS = {"L30": "hls_l30", "S30": "hls_s30", "S2": "sentinel2_l2a", "S1": "sentinel1_grd"}
NODATA = {"L30": 0, "S30": 0, "S2": 0, "S1": -1}
NO_LABEL = -1
SIX = ("blue", "green", "red", "nir_narrow", "swir_1", "swir_2")
_OWN = {
    "L30": dict(zip(SIX, ("B02", "B03", "B04", "B05", "B06", "B07"), strict=True)),
    "S30": dict(zip(SIX, ("B02", "B03", "B04", "B8A", "B11", "B12"), strict=True)),
    "S2": dict(zip(SIX, ("B02", "B03", "B04", "B8A", "B11", "B12"), strict=True)),
    "S1": {"vv": "VV", "vh": "VH"},
}
_NAME = re.compile(
    r"chip_(?P<stem>.+?)_(?P<product>L30|S30|S2|S1)_T(?P<tile>\w{5,7}?)_(?P<time>\d{7}T\d{6})(?P<rest>_.*)?"
)
_SIDE = 16


@dataclass(frozen=True)
class Chip:
    """One chip; nothing is read before a method asks for it.

    Args:
        id: stem of the file name without ``chip_``.
        product: ``L30``, ``S30``, ``S2`` or ``S1``: sensor of the latest date.
        tile: tile of 100 km: the natural group of a split.
        time: of the latest date, ISO text.
        image: the bands.
        labels_file: the labels, or None.
    """

    id: str
    product: str
    tile: str
    time: str
    image: Path
    labels_file: Path | None

    def cube(self) -> xr.Dataset:
        """Physical numbers ``(time, band, y, x)``, the latest date first; its time is the only one known.

        Raises:
            InputError: the file is missing or damaged, or its bands are not named ``BAND_STEP``.
        """
        stored = one_cube(cubes.open(self.image, level="physical", nodata=NODATA[self.product], time=self.time))
        names = _layers([str(name) for name in stored["band"].values], self.image)
        steps = 1 + max(step for _, step in names)
        bands = [band for band, step in names if step == 0]
        if names != [(band, step) for step in range(steps) for band in bands]:
            raise _odd(self.image, "they are not the same bands for every step")
        box = geobox_of(stored)
        limits.CHIP_NUMBERS.check(box.shape.y * box.shape.x * len(names), self.image)
        shape = (steps, len(bands), *box.shape.yx)
        data = stored["data"].values[0].reshape(shape)
        valid = np.broadcast_to(stored["valid"].values[0], (len(names), *box.shape.yx)).reshape(shape)
        radar = self.product == "S1"
        first = np.datetime64(self.time, "ns")
        return make_cube(
            data, valid, box, _bands(self.product, bands),
            time=first - np.arange(steps) * np.timedelta64(1, "s"), scale=[1.0 if radar else 1e-4] * len(bands),
            offset=[0.0] * len(bands), stored=not radar,
            attrs={"sensor": SENSORS[self.product], "source": str(self.image), "time_known": int(steps == 1)},
        )  # fmt: skip

    def labels(self) -> xr.DataArray | None:
        """int16 classes with ``IGNORE``, or float32 quantities with NaN, ``(y, x)``; None in sets without labels."""
        if self.labels_file is None:
            return None
        if self._quantities():
            stored = one_cube(cubes.open(self.labels_file, level="physical", nodata=NO_LABEL))
            layer = stored["data"].isel(time=0, band=0, drop=True)
            known = np.broadcast_to(stored["valid"].values[0], stored["data"].shape[1:])[0]
            return layer.copy(data=np.where(known, layer.values, np.nan).astype(np.float32))
        return cubes.read_labels(self.labels_file, nodata=NO_LABEL)

    def _quantities(self) -> bool:
        from swath.cubes.raster import probe

        assert self.labels_file is not None
        return probe(self.labels_file).dtype.kind == "f"


def open(root: Path | str) -> tuple[Chip, ...]:
    """The chips that the table under ``root`` names, sorted by name.

    Raises:
        InputError: there is no such directory or table, or it names files outside, or names of another form.
    """
    folder = folder_of(root, NAME)
    path = folder / TABLE
    if not path.is_file():
        raise nothing_in(folder, NAME, TABLE)
    with reading(path, expected="a table with the columns Input and Label"):
        table = pd.read_csv(path)
    if "Input" not in table:
        raise InputError(
            f"{path} has the columns {', '.join(map(str, table))}", expected="Input, and Label where there are labels",
            remedy="write the layout again",
        )  # fmt: skip
    found = []
    for row in table.to_dict("records"):
        names = [row["Input"], *([row["Label"]] if isinstance(row.get("Label"), str) else [])]
        odd = next((name for name in names if not inside(name)), None)
        match = _NAME.fullmatch(Path(str(row["Input"])).stem)
        if odd is not None or match is None:
            raise InputError(
                f"{path} names the file '{str(odd or row['Input'])[:100]}'",
                expected="chips/chip_{date}_{sensor}_T{tile}_{time}_{x}_{y}.tif inside of the folder",
                remedy="write the layout again with relative names",
            )
        labels = folder / names[1] if len(names) > 1 else None
        when = datetime.strptime(match["time"][:4], "%Y") + timedelta(int(match["time"][4:7]) - 1)
        clock = match["time"][8:]
        time = f"{when:%Y-%m-%d}T{clock[:2]}:{clock[2:4]}:{clock[4:]}"
        stem = Path(row["Input"]).stem.removeprefix("chip_")
        found.append(Chip(stem, match["product"], match["tile"], time, folder / row["Input"], labels))
    if not found:
        raise nothing_in(folder, NAME, "chips/chip_*.tif")
    return tuple(sorted(found, key=lambda chip: chip.id))


def check(root: Path | str) -> list[str]:
    """Everything that is wrong with the files, as sentences; empty when nothing is.

    Raises:
        InputError: as ``open``.
    """
    found = []
    chips = open(root)
    for chip in chips:
        problems = raster_problems(chip.image, Expected(_count(chip, chips)))
        if not problems:
            try:
                chip.cube()
            except InputError as error:
                problems.append(f"{chip.image.name}: {error.given}")
        found += problems
        if chip.labels_file is not None:
            found += raster_problems(chip.labels_file, Expected(1), chip.image)
    return found


def describe(root: Path | str) -> Description:
    """Counts, bands, missing files, label histogram by value and fingerprint; reads every byte once.

    Raises:
        InputError: as ``open``, or a chip is damaged.
    """
    chips = open(root)
    files = [path for chip in chips for path in (chip.image, chip.labels_file) if path is not None]
    counts: dict[str, int] = {}
    for chip in chips:
        labels = chip.labels() if chip.labels_file is not None and chip.labels_file.is_file() else None
        if labels is not None:
            _count_labels(labels.values, counts)
    held = {chip.product: chip for chip in chips if chip.image.is_file()}
    return Description(
        name=NAME,
        title="InstaGeo chips",
        citation="InstaGeo 0.1.0, instadeepai/InstaGeo-E2E-Geospatial-ML",
        licence="that of the observations and the archive",
        records=len(chips),
        bands={SENSORS[key]: tuple(map(str, chip.cube()["band"].values)) for key, chip in sorted(held.items())},
        classes=tuple(name for name in sorted(counts) if name != "unlabelled"),
        labels=dict(sorted(counts.items())),
        missing=tuple(path.name for path in files if not path.is_file()),
        fingerprint=fingerprint(Path(root), [path for path in files if path.is_file()]),
    )


def write_fake(root: Path | str, seed: int = 0) -> Path:
    """Three miniature chips of two dates in the true layout, with no data and unlabelled pixels."""
    folder = Path(root)
    rows = []
    for number, (product, when) in enumerate(
        (("S30", "2020141T173930"), ("L30", "2020160T101500"), ("S30", "2021141T090000"))
    ):
        random = rng.generator(seed, "fake InstaGeo", number)
        image = random.integers(100, 4000, (12, _SIDE, _SIDE)).astype(np.uint16)
        labels = np.full((1, _SIDE, _SIDE), NO_LABEL, np.int16)
        labels[0, 2:5, 3:9] = random.integers(0, 2, (3, 6))
        image[:, :2] = 0
        name = f"20200620_{product}_T13SCS_{when}_{number}_0"
        transform = Affine(30, 0, 300_000 + 30 * _SIDE * number, 0, -30, 3_800_000)
        names = [f"{band}_{step}" for step in range(2) for band in SIX]
        write_raster(folder / f"chips/chip_{name}.tif", image, transform, "EPSG:32613", nodata=0, names=names)
        write_raster(folder / f"seg_maps/seg_map_{name}.tif", labels, transform, "EPSG:32613", nodata=NO_LABEL)
        rows.append({"Input": f"chips/chip_{name}.tif", "Label": f"seg_maps/seg_map_{name}.tif"})
    pd.DataFrame(rows).to_csv(folder / TABLE)
    return folder


def _count(chip: Chip, chips: tuple[Chip, ...]) -> int:
    """Bands that a chip should have: as the first readable one of its set."""
    from swath.cubes.raster import probe

    for other in chips:
        try:
            return probe(other.image).count
        except InputError:
            continue
    return len(SIX)


def _count_labels(values: NDArray[np.generic], counts: dict[str, int]) -> None:
    known = np.isfinite(values) & (values != IGNORE)
    counts["unlabelled"] = counts.get("unlabelled", 0) + int((~known).sum())
    if values.dtype.kind == "f":
        counts["quantity"] = counts.get("quantity", 0) + int(known.sum())
        return
    for value, count in zip(*np.unique(values[known], return_counts=True), strict=True):
        counts[f"class {value}"] = counts.get(f"class {value}", 0) + int(count)


def _layers(names: list[str], path: Path) -> list[tuple[str, int]]:
    found = [re.fullmatch(r"(.+)_(\d{1,4})", name) for name in names]
    if not all(found):
        raise _odd(
            path, f"one is called '{next(n for n, match in zip(names, found, strict=True) if match is None)[:40]}'"
        )
    return [(match[1], int(match[2])) for match in found if match is not None]


def _odd(path: Path, why: str) -> InputError:
    return InputError(
        f"The bands of {path} are not those of an InstaGeo chip: {why}",
        expected="names such as blue_0, green_0, ..., blue_1, ..., the latest date first",
        remedy="write the layout again",
    )


def _bands(product: str, names: list[str]) -> BandSet:
    held = sensors.load(SENSORS[product]).bands
    told = []
    for name in names:
        own = _OWN[product].get(name, name)
        known = next((band for band in held if band.called(own)), None)
        told.append(Band(name) if known is None else _called(known, name))
    return BandSet(tuple(told))


def _called(band: Band, name: str) -> Band:
    aliases = tuple(word for word in (band.name, *band.aliases) if word.lower() != name.lower())
    return Band(name, aliases, band.wavelength_nm, band.width_nm, band.gsd_m, band.kind, band.unit, band.description)
