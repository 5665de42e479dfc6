"""Windows of the simulated Earth in six bands, with the land cover of each patch, for ``satmaepp_groups``."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from swath import rng
from swath.files import user_cache
from swath.grids import LatLon
from swath.grids.sphere import METRES_PER_DEGREE
from swath.nn import Normalise
from swath.sources.world.places import place_of
from swath.sources.world.truth import COVER
from swath.sources.world.world import World
from swath.systems.eo._world_data import Scenes, Statistics, band_set, simulated
from swath.types import IGNORE, Batch, DataKind, Modality

Number = TypeVar("Number", bound=np.generic)
BANDS = ("B02", "B03", "B04", "B08", "B11", "B12")
GROUPS = {"visible": ("B02", "B03", "B04"), "near_infrared": ("B08",), "short_wave": ("B11", "B12")}
DAYS = ("2019-02-14", "2019-07-20")
PIXEL_M = 10.0
EVERY = 2
"""One window in so many is taken along either side of a scene."""


@dataclass(frozen=True, eq=False)
class Windows:
    """N images, and the class of each of their patches.

    Args:
        values: reflectance float32 ``(N, C, H, W)``, 0 where invalid.
        valid: bool ``(N, C, H, W)``.
        labels: int64 ``(N, h, w)``, the class of ``COVER`` that more than half of a patch has, else ``IGNORE``.
        places: N names of places.
        time: int64 ``(N,)``, seconds UTC.
    """

    values: NDArray[np.float32]
    valid: NDArray[np.bool_]
    labels: NDArray[np.int64]
    places: NDArray[np.str_]
    time: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def without(self, names: Sequence[str]) -> Windows:
        """The same windows, in which these bands are not valid."""
        lost = np.isin(BANDS, names)[:, None, None]
        return replace(self, values=np.where(lost, np.float32(0), self.values), valid=self.valid & ~lost)

    def thinned(self, step: int) -> Windows:
        """The pixel in the middle of every square of so many pixels."""
        part = (..., slice(step // 2, None, step), slice(step // 2, None, step))
        return replace(self, values=self.values[part], valid=self.valid[part])

    def batches(self, size: int, spacing_m: float = PIXEL_M) -> list[Batch]:
        """All of them in batches of so many, with dates and places; windows of a place are put at its middle."""
        found = []
        for start in range(0, len(self), size):
            part = slice(start, start + size)
            grids = tuple(_grid(str(name), self.values.shape[-1], spacing_m) for name in self.places[part])
            image = Modality(
                torch.from_numpy(np.ascontiguousarray(self.values[part]))[:, None],
                torch.from_numpy(np.ascontiguousarray(self.valid[part]))[:, None],
                band_set(BANDS),
                torch.from_numpy(self.time[part])[:, None],
                grids,
            )
            found.append(Batch({"image": image}, ids=tuple(str(start + at) for at in range(len(grids)))))
        return found


@dataclass(frozen=True, eq=False)
class Land:
    """All scenes and their windows.

    Args:
        scenes: images with the true cover.
        windows: cut from them.
        kind: ``simulated`` or ``fixture``.
    """

    scenes: Scenes
    windows: Windows
    kind: DataKind

    @property
    def hash(self) -> str:
        """Of values, labels and names, 12 digits."""
        digest = hashlib.sha256(" ".join(self.scenes.names).encode())
        for part in (self.scenes.values, self.scenes.valid, self.windows.labels):
            digest.update(np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()[:12]

    def split(self, tested: int, seed: int) -> tuple[str, ...]:
        """Names of the places that are tested."""
        names = np.unique(self.windows.places)
        return tuple(sorted(rng.generator(seed, "tested places").permutation(names)[:tested].tolist()))

    def learned(self, tested: Sequence[str]) -> Scenes:
        """Scenes of all other places."""
        keep = [at for at, name in enumerate(self.scenes.names) if name.split(" ")[0] not in tested]
        found = self.scenes
        names = tuple(found.names[at] for at in keep)
        return Scenes(found.values[keep], found.valid[keep], found.labels[keep], names)


def normalise_of(scenes: Scenes) -> Normalise:
    """Mean and deviation of each band over the valid pixels."""
    found = Statistics.of(scenes.values, scenes.valid)
    return Normalise(found.mean.tolist(), found.std.tolist(), names=BANDS)


def land(folder: Path | None, places: Sequence[str], scene: int, size: int, patch: int) -> Land:
    """World 0 on two days without clouds.

    Args:
        folder: where scenes are kept, the user's cache by default; those that are absent are made (some minutes).
        places: where they lie.
        scene: side of a scene in pixels.
        size: side of a window.
        patch: side of a patch.
    """
    scenes = simulated(World(0), places, DAYS, BANDS, scene, folder or user_cache("world-scenes"))
    return Land(scenes, windows(scenes, size, patch), "simulated")


def made_up(size: int, patch: int, seed: int = 0) -> Land:
    """Scenes of six places whose classes, in stripes, are told apart by all bands, under noise; for smokes."""
    draw = rng.generator(seed, "made-up land")
    side, places = 2 * size, 6
    labels = np.broadcast_to((np.arange(side) // patch) % 3, (places, side, side)).astype(np.int64)
    level = 0.1 + 0.1 * labels[:, None] + 0.01 * np.arange(len(BANDS))[:, None, None]
    values = (level + draw.normal(0, 0.02, level.shape)).astype(np.float32)
    names = tuple(f"{10 * place}.0,45.0 2019-07-20" for place in range(places))
    scenes = Scenes(values, np.ones(values.shape, bool), labels, names)
    return Land(scenes, windows(scenes, size, patch), "fixture")


def windows(scenes: Scenes, size: int, patch: int) -> Windows:
    """Windows with a gap of one window between them, and the classes of their patches."""
    place, day = zip(*(name.split(" ") for name in scenes.names), strict=True)
    cells = _cut(scenes.labels, patch)
    share = np.stack([(cells == value).mean(axis=(-2, -1)) for value in range(len(COVER.names))], axis=-1)
    classes = np.where(share.max(axis=-1) > 0.5, share.argmax(axis=-1), IGNORE)
    per_side = size // patch
    labels = _cut(classes, per_side)[:, ::EVERY, ::EVERY]
    each = labels.shape[1] * labels.shape[2]
    values = _cut(scenes.values, size)[:, ::EVERY, ::EVERY]
    valid = _cut(scenes.valid, size)[:, ::EVERY, ::EVERY]
    return Windows(
        values.reshape(-1, *values.shape[3:]),
        valid.reshape(-1, *valid.shape[3:]),
        labels.reshape(-1, per_side, per_side).astype(np.int64),
        np.repeat(np.array(place), each),
        np.repeat(np.array(day, "datetime64[s]").astype(np.int64) + 10 * 3600, each),
    )


def _cut(array: NDArray[Number], size: int) -> NDArray[Number]:
    """``(N, ..., H, W)`` to squares ``(N, h, w, ..., size, size)``; what is left at the edges is dropped."""
    rows, columns = (side // size for side in array.shape[-2:])
    whole = array[..., : rows * size, : columns * size]
    split = whole.reshape(*whole.shape[:-2], rows, size, columns, size)
    return np.moveaxis(split, (-4, -2), (1, 2))


def _grid(name: str, side: int, spacing_m: float) -> LatLon:
    place = place_of(name)
    steps = (np.arange(side) - (side - 1) / 2) * spacing_m / METRES_PER_DEGREE
    east = place.lon + steps / np.cos(np.deg2rad(place.lat))
    return LatLon(tuple((place.lat - steps).tolist()), tuple(east.tolist()))
