"""Tasks made of one labelled scene: flood water, land use, land cover by polygons, shares of materials.

A scene is cut into tiles that do not overlap. Whole strips of it are held out, or, where polygons are labelled, whole
sets of polygons that share tiles; tiles beside a tested tile are not learned from.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from swath import cubes, grids
from swath.errors import InputError
from swath.judge.real10.samples import NO_MONTH, Inputs, Samples, Target, class_strata, tile_places, tiles
from swath.judge.real10.splits import components, strip_groups
from swath.sensors import BandSet
from swath.sources.published import eolearn, jasper_ridge, rstoolbox, sen1floods11
from swath.sources.published.common import one_cube
from swath.types import IGNORE

POLYGON_TILE = 16
"""Largest side of a tile of a scene with labelled polygons, which are about ten pixels wide."""
FLOOD_TILES, PATCH_TILES = 16, 10
"""Tiles along one side of a scene that is labelled everywhere, and fewest along one with polygons."""
TOO_RARE = "cultivated"
"""Eleven pixels of the patch: too few to be on both sides of a split."""


@dataclass(frozen=True, eq=False)
class Scene:
    """One scene in memory.

    Args:
        values: float32 ``(T, C, y, x)``; any number where invalid.
        valid: bool of the same shape.
        bands: C bands.
        month: T months, 0 is January, ``NO_MONTH`` unknown.
        lonlat: float64 ``(2, y, x)`` in degrees, NaN unknown.
    """

    values: NDArray[np.float32]
    valid: NDArray[np.bool_]
    bands: BandSet
    month: tuple[int, ...]
    lonlat: NDArray[np.float64]

    def inputs(self, side: int) -> Inputs:
        """All tiles of ``side`` pixels."""
        values, valid = tiles(np.where(self.valid, self.values, np.float32(0)), side), tiles(self.valid, side)
        month = np.broadcast_to(np.array(self.month, np.int64), (len(values), len(self.month)))
        place = tiles(self.lonlat, side).mean(axis=(2, 3))
        return Inputs(values, valid, self.bands, month, place, dense=True)


def polygons(root: Path, which: str) -> Samples:
    """Land cover of an RStoolbox scene; tiles without a label are left out.

    Args:
        root: folder of the data set.
        which: ``sen2`` or ``lsat``.

    Raises:
        InputError: the scene or its polygons are absent or damaged.
    """
    found = [place for place in rstoolbox.open(root) if place.id == which]
    if not found:
        raise InputError(f"{root} lacks {which}.tif", expected="both scenes", remedy="download the data set again")
    place = found[0]
    cube = cubes.to_physical(one_cube(place.scene())).compute()
    labels, numbers = place.labels().values.astype(np.int64), place.polygon_numbers().values.astype(np.int64)
    side = max(1, min(POLYGON_TILE, min(labels.shape) // PATCH_TILES))
    scene = _padded(_scene(cube), side)
    answers, owner = tiles(_filled(labels, side, IGNORE), side), tiles(_filled(numbers, side, -1), side)
    inputs = scene.inputs(side)
    usable = inputs.valid.all(axis=(1, 2))
    answers = np.where(usable, answers, IGNORE)
    kept = np.flatnonzero((answers != IGNORE).any(axis=(1, 2)))
    members = [set(np.unique(owner[tile][answers[tile] != IGNORE]).tolist()) for tile in kept]
    target = Target(answers[kept], place.legend.names)
    places = tile_places(scene.values.shape[2], scene.values.shape[3], side)[kept]
    return Samples(
        inputs=inputs.take(kept),
        target=target,
        ids=_tile_ids(places),
        groups=tuple(f"polygons {number}" for number in components(members)),
        strata=class_strata(target),
        place=places,
    )


def floods(root: Path) -> Samples:
    """Flood water on the first chip of Sen1Floods11, radar and optical bands together.

    Raises:
        InputError: there is no chip, a file is damaged, or the sensors lie on different grids.
    """
    chip = sen1floods11.open(root)[0]
    radar, optical = one_cube(chip.radar()).compute(), cubes.to_physical(one_cube(chip.optical())).compute()
    if not cubes.same_grid(cubes.geobox_of(radar), cubes.geobox_of(optical)):
        raise InputError(
            f"The sensors of {chip.id} lie on different grids", expected="one grid", remedy="download the chip again"
        )
    first, second = _scene(radar), _scene(optical)
    scene = Scene(
        np.concatenate([first.values, second.values], axis=1),
        np.concatenate([first.valid, second.valid], axis=1),
        BandSet((*first.bands, *second.bands)),
        second.month,
        second.lonlat,
    )
    labels = chip.labels().values.astype(np.int64)
    return _everywhere(scene, Target(labels[None], sen1floods11.LEGEND.names), FLOOD_TILES)


def land_use(root: Path) -> Samples:
    """Four kinds of land use of the eo-learn patch from its five scenes without clouds, in order of their dates.

    Raises:
        InputError: a file is missing or damaged.
    """
    patch = eolearn.open(root)
    values, bands = patch.scenes()
    dates = patch.scene_times()
    if None not in dates:
        order = np.argsort(np.array(dates, "datetime64[s]"), kind="stable")
        values, dates = values[order], tuple(dates[place] for place in order)
    month = tuple(NO_MONTH if date is None else _month(date) for date in dates)
    height, width = values.shape[2:]
    lonlat = np.broadcast_to(np.array(patch.lonlat())[:, None, None], (2, height, width))
    scene = Scene(
        values, np.isfinite(values), bands, month if NO_MONTH not in month else (NO_MONTH,) * len(month), lonlat
    )
    rare = eolearn.LEGEND.mapping()[TOO_RARE]
    use = patch.land_use()
    labels = np.where(use == rare, IGNORE, use - (use > rare))
    names = tuple(name for name in eolearn.LEGEND.names if name != TOO_RARE)
    return _everywhere(scene, Target(labels[None], names), PATCH_TILES)


def materials(root: Path) -> Samples:
    """Shares of four materials at Jasper Ridge; the kinds of few-label draws are the material that fills a tile most.

    Raises:
        InputError: the file is missing or damaged.
    """
    found = jasper_ridge.open(root)
    nowhere = np.full((2, *found.values.shape[1:]), np.nan)
    scene = Scene(found.values[None], np.ones(found.values[None].shape, bool), found.bands, (NO_MONTH,), nowhere)
    return _everywhere(scene, Target(found.shares[None], jasper_ridge.MATERIALS), PATCH_TILES)


def _everywhere(scene: Scene, target: Target, along: int) -> Samples:
    """Tiles of a scene that is labelled everywhere; a sample without any answer is left out.

    Args:
        scene: the inputs.
        target: one answer ``(1, y, x)`` or ``(1, K, y, x)`` for the whole scene.
        along: tiles along its shorter side.
    """
    height, width = scene.values.shape[2:]
    side = min(height, width) // along
    if side < 1:
        raise InputError(
            f"The scene has {height} x {width} pixels", expected=f"at least {along}", remedy="check the data set"
        )
    answers = Target(tiles(target.values[0], side), target.names, target.unit)
    if not target.classes:
        share = answers.values.mean(axis=(2, 3))
        strata = share.argmax(axis=1)[:, None] == np.arange(len(target.names))
    else:
        strata = class_strata(answers)
    kept = np.flatnonzero(answers.known.any(axis=(1, 2)))
    places = tile_places(height, width, side)
    groups = np.array(strip_groups(places))[kept]
    return Samples(
        inputs=scene.inputs(side).take(kept),
        target=answers.take(kept),
        ids=_tile_ids(places[kept]),
        groups=tuple(groups.tolist()),
        strata=np.asarray(strata[kept]),
        place=places[kept],
    )


def _scene(cube: xr.Dataset) -> Scene:
    """A cube in physical units as arrays."""
    values = cube["data"].values.astype(np.float32)
    valid = cube["valid"].values
    valid = np.broadcast_to(valid if valid.ndim == 4 else valid[:, None], values.shape) & np.isfinite(values)
    known = int(cube.attrs.get("time_known", 1))
    month = tuple(_month(time) if known else NO_MONTH for time in cube["time"].values)
    return Scene(values, valid, cubes.bands_of(cube), month, np.stack(grids.lonlat(cubes.geobox_of(cube))))


def _padded(scene: Scene, side: int) -> Scene:
    """The scene with invalid pixels at its lower and right edge, up to whole tiles."""
    height, width = scene.values.shape[2:]
    below, beside = -height % side, -width % side
    place = np.pad(scene.lonlat, ((0, 0), (0, below), (0, beside)), mode="edge")
    values, valid = _filled(scene.values, side, 0), _filled(scene.valid, side, False)
    return Scene(values, valid, scene.bands, scene.month, place)


def _filled(array: NDArray[Any], side: int, fill: float) -> NDArray[Any]:
    height, width = array.shape[-2:]
    around = [(0, 0)] * (array.ndim - 2) + [(0, -height % side), (0, -width % side)]
    return np.pad(array, around, constant_values=fill)


def _month(time: np.datetime64) -> int:
    return int(np.asarray(time).astype("datetime64[M]").astype(np.int64) % 12)


def _tile_ids(places: NDArray[np.int64]) -> tuple[str, ...]:
    return tuple(f"tile {row} {column}" for row, column in places.tolist())
