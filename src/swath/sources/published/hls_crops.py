"""Multi-temporal crop classification: three dates of six HLS bands, labels of the Cropland Data Layer.

Layout: folders ``training_chips`` and ``validation_chips`` with ``chip_{x}_{y}_merged.tif`` (18 bands, reflectance x
10000) and ``chip_{x}_{y}.mask.tif`` (0 no data, 1 to 13 the classes), 224 x 224 pixels of 30 m. ``training_data.txt``
and ``validation_data.txt``, where they are, list the stems that belong to either part.

**The order of the 18 bands.** The data set is described as three dates one after another, each with six bands
(``frame_major``); published training code splits the axis as six bands with three dates each (``band_major``), which
mixes both up if the description is right. Here the order is an argument. ``auto`` decides by the numbers: reflectance
of one band differs less between dates than the six bands differ among themselves, so that the true order is the one
with the smaller spread within bands (``band_order``); where neither is clearly smaller it refuses to guess.

Dates of the three frames are not in these files: they count as unknown, and stand one second apart to keep their order.

Citation: Cecil, Kordi, Li, Khallaghi, Ankur, Roy, Ramachandran, Kumar: HLS Multi-Temporal Crop Classification, 2023.
Licence: CC BY 4.0.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import xarray as xr
from affine import Affine
from numpy.typing import NDArray

from swath import cubes, limits, rng, sensors
from swath.cubes import geobox_of, legend_from_colours, make_cube
from swath.errors import ConfigError, InputError
from swath.sources.published.common import (
    Description,
    Expected,
    fingerprint,
    folder_of,
    histogram,
    labels_of,
    nothing_in,
    one_cube,
    raster_problems,
    write_raster,
)
from swath.types import IGNORE

NAME = "hls_crops"
SENSOR = "hls_s30"
BANDS = ("B02", "B03", "B04", "B8A", "B11", "B12")
FRAMES = 3
Order = Literal["frame_major", "band_major"]
LEGEND = legend_from_colours(
    {
        "natural vegetation": "#117733",
        "forest": "#004d26",
        "corn": "#ddcc77",
        "soybeans": "#44aa99",
        "wetlands": "#88ccee",
        "developed or barren": "#888888",
        "open water": "#332288",
        "winter wheat": "#aa4499",
        "alfalfa": "#cc6677",
        "fallow or idle cropland": "#999933",
        "cotton": "#eeeeee",
        "sorghum": "#882255",
        "other": "#000000",
    }
)
PARTS = {"training_chips": "training_data.txt", "validation_chips": "validation_data.txt"}
_IMAGE, _MASK = "_merged.tif", ".mask.tif"
_CLEARLY = 0.8
"""Spread within bands under one order over that under the other, below which an order is believed."""
_SIDE = 24


@dataclass(frozen=True)
class Chip:
    """One chip; nothing is read before a method asks for it.

    Args:
        id: stem of the file names, such as ``chip_102_104``.
        part: ``training_chips`` or ``validation_chips``.
        image: the 18 bands.
        mask: the labels.
    """

    id: str
    part: str
    image: Path
    mask: Path

    def cube(self, order: Order | Literal["auto"] = "auto") -> xr.Dataset:
        """Reflectance as stored, ``(time, band, y, x)`` with three frames of six bands.

        Args:
            order: what the axis of 18 runs over first; see the module.

        Raises:
            ConfigError: the order is unknown.
            InputError: the file is missing or damaged, or ``auto`` cannot tell.
        """
        if order not in ("auto", "frame_major", "band_major"):
            raise ConfigError(
                f"order = {order!r}", expected="auto, frame_major or band_major", remedy="choose one of them"
            )
        names = [f"layer {number}" for number in range(1, FRAMES * len(BANDS) + 1)]
        stored = one_cube(cubes.open(self.image, bands=names))
        box = geobox_of(stored)
        limits.CHIP_NUMBERS.check(box.shape.y * box.shape.x * len(names), self.image)
        layers = stored["data"].values[0]
        valid = np.broadcast_to(stored["valid"].values[0], layers.shape)
        known = band_order(layers, valid, self.image) if order == "auto" else order
        values, mask = (_framed(array, known) for array in (layers, valid))
        time = np.datetime64("1970-01-01T00:00:00", "ns") + np.arange(FRAMES) * np.timedelta64(1, "s")
        scale, offset = [1e-4] * len(BANDS), [0.0] * len(BANDS)
        attrs = {"sensor": SENSOR, "source": str(self.image), "time_known": 0, "axis_order": known}
        bands = sensors.load(SENSOR).bands.select(BANDS)
        return make_cube(values, mask, box, bands, time=time, scale=scale, offset=offset, stored=True, attrs=attrs)

    def labels(self) -> xr.DataArray:
        """int16 ``(y, x)``: class numbers 0 to 12, ``IGNORE`` for 0 in the file; raises InputError for other values."""
        stored = labels_of(self.mask, -1, len(LEGEND) + 1)
        return stored.copy(data=np.where(stored.values > 0, stored.values - 1, IGNORE).astype(np.int16))


def band_order(layers: NDArray[np.generic], valid: NDArray[np.bool_], where: Path | str) -> Order:
    """Which order the 18 layers have, by the spread of their medians within bands.

    Args:
        layers: ``(18, y, x)`` as stored.
        valid: of the same shape.
        where: the file, for the sentence.

    Raises:
        InputError: both orders are about as likely, or nothing is valid.
    """
    levels = np.array(
        [np.median(layer[seen]) if seen.any() else np.nan for layer, seen in zip(layers, valid, strict=True)]
    )
    spread: dict[Order, float] = {
        "frame_major": float(levels.reshape(FRAMES, len(BANDS)).std(axis=0).mean()),
        "band_major": float(levels.reshape(len(BANDS), FRAMES).std(axis=1).mean()),
    }
    best: Order = min(spread, key=lambda name: spread[name])
    if not max(spread.values()) > 0 or not spread[best] < _CLEARLY * max(spread.values()):
        raise InputError(
            f"The order of the 18 layers of {where} cannot be told from their numbers "
            f"(spread within bands: {', '.join(f'{name} {value:.0f}' for name, value in spread.items())})",
            expected="an order under which the dates of one band are clearly more alike than the bands",
            remedy="give it: cube(order='frame_major') as the data set is described, or 'band_major'",
        )
    return best


def _framed(layers: NDArray[np.generic], order: Order) -> NDArray[np.generic]:
    """``(18, y, x)`` as ``(time, band, y, x)``."""
    size = layers.shape[1:]
    if order == "frame_major":
        return layers.reshape(FRAMES, len(BANDS), *size)
    return layers.reshape(len(BANDS), FRAMES, *size).swapaxes(0, 1)


def open(root: Path | str) -> tuple[Chip, ...]:
    """The chips under ``root``, sorted by part and name; those that a list of names leaves out are left out.

    Raises:
        InputError: there is no such directory, or no chip in it.
    """
    folder = folder_of(root, NAME)
    found = []
    for part, names in PARTS.items():
        listed = _listed(folder / names)
        for path in sorted(folder.rglob(f"{part}/chip_*{_IMAGE}")):
            stem = path.name.removesuffix(_IMAGE)
            if listed is None or stem in listed:
                found.append(Chip(stem, part, path, path.with_name(stem + _MASK)))
    if not found:
        raise nothing_in(folder, NAME, f"training_chips/chip_*{_IMAGE}")
    return tuple(found)


def _listed(path: Path) -> set[str] | None:
    """Stems that a list names, or None without a list."""
    if not path.is_file():
        return None
    lines = path.read_text(encoding="utf-8").split()
    return {line.removesuffix(".tif").removesuffix("_merged") for line in lines}


def check(root: Path | str) -> list[str]:
    """Everything that is wrong with the files, as sentences; empty when nothing is.

    Raises:
        InputError: there is no such directory, or no chip in it.
    """
    found = []
    for chip in open(root):
        found += raster_problems(chip.image, Expected(FRAMES * len(BANDS)))
        found += raster_problems(chip.mask, Expected(1, tuple(range(len(LEGEND) + 1))), chip.image)
    return found


def describe(root: Path | str) -> Description:
    """Counts, bands, classes, missing files, label histogram and fingerprint; reads every byte once.

    Raises:
        InputError: there is no such directory, no chip in it, or a label outside the legend.
    """
    chips = open(root)
    files = [path for chip in chips for path in (chip.image, chip.mask) if path.is_file()]
    return Description(
        name=NAME,
        title="Multi-temporal crop classification, three dates of six HLS bands, 30 m",
        citation="Cecil et al. 2023, HLS Multi-Temporal Crop Classification",
        licence="CC BY 4.0",
        records=len(chips),
        bands={SENSOR: BANDS},
        classes=LEGEND.names,
        labels=histogram((chip.labels().values for chip in chips if chip.mask.is_file()), LEGEND.names),
        missing=tuple(chip.mask.name for chip in chips if not chip.mask.is_file()),
        fingerprint=fingerprint(Path(root), files),
    )


def write_fake(root: Path | str, seed: int = 0, order: Order = "frame_major") -> Path:
    """Three miniature chips in the true layout, with crops that grow over the three dates."""
    folder = Path(root)
    soil = np.array([900.0, 1100, 1300, 2200, 2700, 2000])
    green = np.array([400.0, 800, 500, 3800, 2000, 1000])
    for number, (part, name) in enumerate(
        (("training_chips", "chip_100_101"), ("training_chips", "chip_100_102"), ("validation_chips", "chip_200_007"))
    ):
        random = rng.generator(seed, "fake crops", number)
        labels = random.integers(0, len(LEGEND) + 1, (_SIDE // 4, _SIDE // 4)).repeat(4, 0).repeat(4, 1)
        growth = np.stack([np.clip((labels / len(LEGEND)) * step, 0, 1) for step in (0.2, 0.6, 1.0)])
        frames = soil[None, :, None, None] + (green - soil)[None, :, None, None] * growth[:, None]
        frames = frames + random.normal(0, 40, frames.shape)
        layers = frames if order == "frame_major" else frames.swapaxes(0, 1)
        transform = Affine(30, 0, 300_000 + number * 6_720, 0, -30, 2_000_000)
        image = layers.reshape(-1, _SIDE, _SIDE).astype(np.int16)
        write_raster(folder / part / f"{name}{_IMAGE}", image, transform, "EPSG:5070")
        write_raster(folder / part / f"{name}{_MASK}", labels[None].astype(np.uint8), transform, "EPSG:5070")
    for part, names in PARTS.items():
        stems = sorted(path.name.removesuffix(_IMAGE) for path in (folder / part).glob(f"*{_IMAGE}"))
        (folder / names).write_text("\n".join(stems) + "\n", encoding="utf-8")
    return folder
