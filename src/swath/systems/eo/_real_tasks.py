"""Labelled scenes of Sentinel-2, two real ones and simulated ones, as tasks with few labels; for ``world_transfer``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swath import cubes, rng
from swath.errors import InputError
from swath.sources.published import rstoolbox, sen1floods11
from swath.sources.published.common import one_cube
from swath.sources.world.truth import COVER
from swath.systems.eo._world_data import Scenes, Statistics, standardised
from swath.types import IGNORE


@dataclass(frozen=True)
class RealTask:
    """A labelled scene.

    Args:
        name: of the data set.
        values: reflectance float32 ``(C, H, W)``, 0 where invalid.
        valid: bool ``(C, H, W)``.
        labels: int64 ``(H, W)``, ``IGNORE`` where there is none.
        things: number of the labelled thing (polygon) of each pixel, -1 where none; a thing is never both learned from
            and scored on.
        classes: names.
        apart: blocks between those that are learned from and those that are scored on.
        bands: names of the C bands.
    """

    name: str
    values: NDArray[np.float32]
    valid: NDArray[np.bool_]
    labels: NDArray[np.int64]
    things: NDArray[np.int64]
    classes: tuple[str, ...]
    apart: int
    bands: tuple[str, ...]

    def standardised(self, common: Statistics | None) -> RealTask:
        """The same in z-scores: in common statistics, or (None) in its own."""
        return replace(self, values=standardised(self.values[None], self.valid[None], common)[0])

    def blocks(self, side: int) -> NDArray[np.int64]:
        """Number of the block of each pixel ``(H, W)``, row by row."""
        height, width = self.labels.shape
        rows, columns = np.arange(height)[:, None] // side, np.arange(width)[None] // side
        return np.asarray(rows * -(-width // side) + columns)

    def few(self, side: int, per_class: int, seed: int, draw: int = 0) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Labels to learn from and labels to score on, both ``(H, W)`` with ``IGNORE`` elsewhere.

        For each class, ``per_class`` blocks that hold it are drawn; all their labels may be learned from. Scored are
        labels of other blocks, as far apart as ``apart`` says, of things without a learned pixel. One seed has any
        number of independent draws.

        Raises:
            InputError: a class lies in too few blocks, or nothing is left to score on.
        """
        numbers = self.blocks(side)
        usable = (self.labels != IGNORE) & self.valid.all(axis=0)
        chosen: set[int] = set()
        for index, name in enumerate(self.classes):
            found, counts = np.unique(numbers[usable & (self.labels == index)], return_counts=True)
            found = found[counts >= max(4, side * side // 100)]
            if len(found) <= per_class:
                raise InputError(
                    f"The class '{name}' of {self.name} lies in {len(found)} blocks of {side} pixels",
                    expected=f"more than {per_class}",
                    remedy="draw fewer blocks, or smaller ones",
                )
            chosen |= set(rng.generator(seed, "blocks", self.name, name, draw).permutation(found)[:per_class].tolist())
        inside = np.isin(numbers, sorted(chosen))
        learned = usable & inside
        taken = np.unique(self.things[learned & (self.things >= 0)])
        scored = usable & ~_grown(inside, self.apart * side) & ~np.isin(self.things, taken)
        if not scored.any():
            raise InputError(
                f"Nothing of {self.name} is left to score on", expected="labels", remedy="draw fewer blocks"
            )
        return tuple(np.where(mask, self.labels, IGNORE) for mask in (learned, scored))  # type: ignore[return-value]


def thinned(labels: NDArray[np.int64], most: int, draw: np.random.Generator) -> NDArray[np.int64]:
    """At most so many of the labelled pixels, drawn at random; the others become ``IGNORE``."""
    places = np.flatnonzero(labels != IGNORE)
    if len(places) <= most:
        return labels
    kept = draw.choice(places, most, replace=False)
    found = np.full(labels.size, IGNORE)
    found[kept] = labels.reshape(-1)[kept]
    return found.reshape(labels.shape)


def open_tasks(rstoolbox_root: Path, floods_root: Path, bands: Sequence[str]) -> tuple[RealTask, ...]:
    """Land cover of the Amazon scene (polygons) and water of the flood scene (every pixel), on common bands."""
    place = next(place for place in rstoolbox.open(rstoolbox_root) if place.id == "sen2")
    chip = sen1floods11.open(floods_root)[0]
    values, valid = _arrays(one_cube(place.scene()), bands)
    land = RealTask(
        "rstoolbox_sen2",
        values,
        valid,
        place.labels().values.astype(np.int64),
        place.polygon_numbers().values.astype(np.int64),
        place.legend.names,
        0,
        tuple(bands),
    )
    values, valid = _arrays(one_cube(chip.optical()), bands)
    labels = chip.labels().values.astype(np.int64)
    rest = np.full(labels.shape, -1)
    flood = RealTask("sen1floods11_s2", values, valid, labels, rest, sen1floods11.LEGEND.names, 1, tuple(bands))
    return land, flood


def simulated_task(name: str, scenes: Scenes, index: int, bands: Sequence[str], *, least: float = 0.02) -> RealTask:
    """A simulated scene as a task: the classes of land cover that have at least a share ``least`` of it.

    Raises:
        InputError: there are fewer than two such classes.
    """
    labels = scenes.labels[index]
    counts = np.bincount(labels[labels != IGNORE], minlength=len(COVER))
    kept = [at for at in range(len(COVER)) if counts[at] >= least * labels.size]
    if len(kept) < 2:
        raise InputError(
            f"The simulated scene {scenes.names[index]} has {len(kept)} classes of at least {100 * least:g} %",
            expected="two or more",
            remedy="choose another place, or a larger scene",
        )
    numbers = np.full(len(COVER), IGNORE)
    numbers[kept] = np.arange(len(kept))
    names = tuple(COVER.names[at] for at in kept)
    own = np.where(labels == IGNORE, IGNORE, numbers[np.clip(labels, 0, None)])
    rest = np.full(own.shape, -1)
    return RealTask(name, scenes.values[index], scenes.valid[index], own, rest, names, 1, tuple(bands))


def _arrays(cube: object, bands: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    chosen = cubes.to_physical(cube).sel(band=list(bands)).compute()  # type: ignore[arg-type]
    valid = chosen["valid"].values
    valid = np.broadcast_to(valid if valid.ndim == 4 else valid[:, None], chosen["data"].shape)[0]
    return np.where(valid, chosen["data"].values[0], 0.0).astype(np.float32), valid.copy()


def _grown(mask: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    """The mask and all within ``pixels`` rows and columns of it."""
    from scipy.ndimage import maximum_filter

    return np.asarray(maximum_filter(mask, size=2 * pixels + 1) if pixels else mask)
