"""Sen1Floods11, hand-labelled part: Sentinel-1 and Sentinel-2 chips of eleven floods, and one held out (Bolivia).

Layout: ``{Event}_{number}_S1Hand.tif`` (VV, VH in dB, NaN outside the swath), ``..._S2Hand.tif`` (13 bands, top of
atmosphere reflectance x 10000, products before baseline 04.00 and so without an offset) and ``..._LabelHand.tif``
(-1 no data, 0 dry, 1 water), 512 x 512 pixels of about 10 m in EPSG:4326; flat, or in the folders ``S1Hand``,
``S2Hand`` and ``LabelHand`` as the bucket has them. ``Sen1Floods11_Metadata.geojson``, if there, gives the dates.

Citation: Bonafilia, Tellman, Anderson, Issenberg: Sen1Floods11: a georeferenced dataset to train and test deep learning
flood algorithms for Sentinel-1. CVPR Workshops 2020.
Licence: released openly by the authors without a named licence; Copernicus Sentinel data are free and open.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from affine import Affine

from swath import cubes, rng
from swath.cubes import legend_from_colours
from swath.reading import read_json, reading
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

NAME = "sen1floods11"
RADAR_SENSOR, OPTICAL_SENSOR = "sentinel1_grd", "sentinel2_l1c"
RADAR_BANDS = ("VV", "VH")
OPTICAL_BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
LEGEND = legend_from_colours({"dry": "#ddcc77", "water": "#332288"})
HELD_OUT_EVENT = "Bolivia"
METADATA = "Sen1Floods11_Metadata.geojson"
_NO_LABEL = -1
_PARTS = {"S1Hand": Expected(2), "S2Hand": Expected(13), "LabelHand": Expected(1, (_NO_LABEL, *LEGEND.values))}
_NAME = re.compile(r"(?P<event>.+)_(?P<number>\d+)_(?P<part>S1Hand|S2Hand|LabelHand)\.tif")
_SIDE, _STEP = 32, 8.983152841195215e-05


@dataclass(frozen=True)
class Chip:
    """One hand-labelled chip; nothing is read before a method asks for it.

    Args:
        id: event and number, such as ``Spain_7370579``.
        event: the flood, the natural group of a split.
        files: part (``S1Hand``, ``S2Hand``, ``LabelHand``) to file; absent parts are left out.
        dates: part to date, where the metadata file gives one.
    """

    id: str
    event: str
    files: dict[str, Path]
    dates: dict[str, str]

    def radar(self) -> xr.DataTree:
        """The Sentinel-1 scene, VV and VH in dB; raises InputError when the file is missing or damaged."""
        return cubes.open(
            self._file("S1Hand"), sensor=RADAR_SENSOR, level="dB", bands=RADAR_BANDS, time=self.dates.get("S1Hand")
        )

    def optical(self) -> xr.DataTree:
        """The Sentinel-2 scene, 13 bands; raises InputError when the file is missing or damaged."""
        return cubes.open(
            self._file("S2Hand"), sensor=OPTICAL_SENSOR, baseline="before 04.00", bands=OPTICAL_BANDS,
            time=self.dates.get("S2Hand"),
        )  # fmt: skip

    def labels(self) -> xr.DataArray:
        """int16 ``(y, x)``: 0 dry, 1 water, ``IGNORE``; raises InputError for other values."""
        return labels_of(self._file("LabelHand"), _NO_LABEL, len(LEGEND))

    def _file(self, part: str) -> Path:
        return self.files.get(part, Path(f"{self.id}_{part}.tif"))


def open(root: Path | str) -> tuple[Chip, ...]:
    """The chips under ``root``, sorted by name.

    Raises:
        InputError: there is no such directory, or no chip in it.
    """
    folder = folder_of(root, NAME)
    dates = _dates(folder)
    found: dict[str, dict[str, Path]] = {}
    events: dict[str, str] = {}
    for path in sorted(folder.rglob("*Hand.tif")):
        if match := _NAME.fullmatch(path.name):
            chip = f"{match['event']}_{match['number']}"
            found.setdefault(chip, {})[match["part"]] = path
            events[chip] = match["event"]
    if not found:
        raise nothing_in(folder, NAME, "{Event}_{number}_LabelHand.tif")
    return tuple(Chip(chip, events[chip], files, dates.get(events[chip], {})) for chip, files in sorted(found.items()))


def check(root: Path | str) -> list[str]:
    """Everything that is wrong with the files, as sentences; empty when nothing is.

    Raises:
        InputError: there is no such directory, or no chip in it.
    """
    found = []
    for chip in open(root):
        reference = chip.files.get("LabelHand")
        for part, expected in _PARTS.items():
            found += raster_problems(chip._file(part), expected, None if part == "LabelHand" else reference)
    return found


def describe(root: Path | str) -> Description:
    """Counts, bands, classes, missing files, label histogram and fingerprint; reads every byte once.

    Raises:
        InputError: there is no such directory, no chip in it, or a label outside the legend.
    """
    chips = open(root)
    files = [path for chip in chips for path in chip.files.values()]
    return Description(
        name=NAME,
        title="Sen1Floods11, hand-labelled flood chips, Sentinel-1 and Sentinel-2",
        citation="Bonafilia et al. 2020, CVPR Workshops",
        licence="open, none named; Copernicus Sentinel data",
        records=len(chips),
        bands={RADAR_SENSOR: RADAR_BANDS, OPTICAL_SENSOR: OPTICAL_BANDS},
        classes=LEGEND.names,
        labels=histogram((chip.labels().values for chip in chips if "LabelHand" in chip.files), LEGEND.names),
        missing=tuple(f"{chip.id}_{part}.tif" for chip in chips for part in _PARTS if part not in chip.files),
        fingerprint=fingerprint(Path(root), files),
    )


def write_fake(root: Path | str, seed: int = 0) -> Path:
    """A miniature data set in the true layout: two events, three chips of 32 x 32 pixels, with NaN and no data."""
    folder = Path(root)
    chips = (("Spain", 7370579), ("Spain", 7370580), ("Bolivia", 23014))
    for place, (event, number) in enumerate(chips):
        random = rng.generator(seed, "fake sen1floods11", event, number)
        transform = Affine(_STEP, 0, -0.78 + place * 0.1, 0, -_STEP, 38.12)
        rows, columns = np.mgrid[:_SIDE, :_SIDE]
        water = rows + columns < random.integers(_SIDE // 2, _SIDE)
        radar = np.stack([np.where(water, -20.0, -9.0), np.where(water, -27.0, -15.0)])
        radar += random.normal(0, 1, radar.shape)
        radar[:, 0, :3] = np.nan
        optical = np.where(water, 900, 2000)[None] + random.integers(-200, 200, (13, _SIDE, _SIDE))
        labels = water.astype(np.int16)[None]
        labels[0, -2:, -2:] = -1
        stem = f"{event}_{number}"
        write_raster(
            folder / f"{stem}_S1Hand.tif", radar.astype(np.float32), transform, "EPSG:4326", nodata=np.nan,
            names=RADAR_BANDS,
        )  # fmt: skip
        stored_names = [name.replace("B0", "B") for name in OPTICAL_BANDS]
        write_raster(
            folder / f"{stem}_S2Hand.tif", optical.astype(np.int16), transform, "EPSG:4326", nodata=0,
            names=stored_names,
        )  # fmt: skip
        write_raster(folder / f"{stem}_LabelHand.tif", labels, transform, "EPSG:4326")
    features = [
        {
            "type": "Feature",
            "properties": {"location": event, "s1_date": "2019-09-17", "s2_date": "2019-09-18"},
            "geometry": None,
        }
        for event in ("Spain", "Bolivia")
    ]
    (folder / METADATA).write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return folder


def _dates(folder: Path) -> dict[str, dict[str, str]]:
    """Event to dates per part, from the metadata file if there is one."""
    file = next(iter(sorted(folder.rglob(METADATA))), None)
    if file is None:
        return {}
    expected = "the metadata of the data set: features with location, s1_date and s2_date"
    with reading(file, expected=expected, remedy="download it again"):
        return _dates_of(read_json(file, expected=expected, remedy="download it again")["features"])


def _dates_of(features: list[dict[str, Any]]) -> dict[str, dict[str, str]]:
    return {
        str(item["properties"]["location"]): {
            part: str(item["properties"][key])[:10].replace("/", "-")
            for part, key in (("S1Hand", "s1_date"), ("S2Hand", "s2_date"))
            if item["properties"].get(key)
        }
        for item in features
    }
