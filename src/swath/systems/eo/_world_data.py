"""Scenes of the simulated Earth as arrays to learn from, and a loader of random windows; for ``world_transfer``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.transform import Affine

from swath import cubes, rng, sensors
from swath.errors import InputError
from swath.files import write_whole
from swath.sensors import BandSet
from swath.sources.world.places import place_of
from swath.sources.world.render.conditions import Conditions
from swath.sources.world.render.observe import observe
from swath.sources.world.world import World
from swath.types import IGNORE, Batch, Modality

SENSOR = "sentinel2_l2a"


@dataclass(frozen=True)
class Scenes:
    """Images with labels, all of one size.

    Args:
        values: reflectance float32 ``(N, C, H, W)``, 0 where invalid.
        valid: bool ``(N, C, H, W)``.
        labels: int64 ``(N, H, W)``, ``IGNORE`` where there is none.
        names: of the scenes.
    """

    values: NDArray[np.float32]
    valid: NDArray[np.bool_]
    labels: NDArray[np.int64]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def joined(cls, parts: Sequence[Scenes]) -> Scenes:
        """Several groups of scenes of one size as one."""
        return cls(
            np.concatenate([part.values for part in parts]),
            np.concatenate([part.valid for part in parts]),
            np.concatenate([part.labels for part in parts]),
            tuple(name for part in parts for name in part.names),
        )


@dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation of every band, float64 ``(C,)``; a constant band is only centred."""

    mean: NDArray[np.float64]
    std: NDArray[np.float64]

    @classmethod
    def of(cls, values: NDArray[np.float32], valid: NDArray[np.bool_]) -> Statistics:
        """Over the valid pixels of images ``(N, C, H, W)``; a band without any counts as mean 0, deviation 1."""
        bands = [values[:, at][valid[:, at]].astype(np.float64) for at in range(values.shape[1])]
        means = np.array([band.mean() if band.size else 0.0 for band in bands])
        spreads = np.array([band.std() if band.size else 1.0 for band in bands])
        return cls(means, np.where(spreads > 1e-6, spreads, 1.0))

    def apply(self, values: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        """``(x - mean) / std`` of images ``(N, C, H, W)``, 0 where not valid."""
        scaled = (values - self.mean[:, None, None]) / self.std[:, None, None]
        return np.where(valid, scaled, 0.0).astype(np.float32)


def standardised(
    values: NDArray[np.float32], valid: NDArray[np.bool_], common: Statistics | None
) -> NDArray[np.float32]:
    """Images ``(N, C, H, W)`` in common statistics, or (None) each in its own.

    In its own statistics an image stays the same when any band gets another gain and offset, as another atmosphere or
    product gives it; what it loses is how bright the scene is as a whole.
    """
    if common is not None:
        return common.apply(values, valid)
    alone = [
        Statistics.of(image[None], mask[None]).apply(image[None], mask[None])
        for image, mask in zip(values, valid, strict=True)
    ]
    return np.concatenate(alone)


def simulated(
    world: World, places: Sequence[str], days: Sequence[str], bands: Sequence[str], size: int, folder: Path
) -> Scenes:
    """Clear scenes of Sentinel-2 over named places with the true land cover, on pixels of 10 m.

    Each scene is kept in ``folder`` under a name that holds the hash of the world, and is not made again.

    Args:
        world: the world.
        places: named places.
        days: days of observation; each place is seen on every one that has enough sun.
        bands: names of bands; those of coarser grids are brought to 10 m.
        size: side of a scene in pixels.
        folder: where scenes are kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made: list[tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.int64]]] = []
    names = []
    for place in places:
        for day in days:
            name = f"{place.replace(',', '_')}_{day}_{size}_{world.seed}_{world.version_hash()[:12]}"
            path = folder / f"{name}.npz"
            if not path.is_file():
                arrays = _observed(world, place, day, bands, size)
                write_whole(path, lambda part, held=arrays: _save(part, held))  # type: ignore[misc]
            with np.load(path) as held:
                if held["values"].size:
                    made.append((held["values"], held["valid"], held["labels"].astype(np.int64)))
                    names.append(f"{place} {day}")
    if not made:
        raise InputError("No scene has enough sun", expected="at least one", remedy="choose other days or places")
    values, valid, labels = (np.stack(part) for part in zip(*made, strict=True))
    return Scenes(values, valid, labels, tuple(names))


def _save(path: Path, arrays: dict[str, NDArray[np.generic]]) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def _observed(world: World, place: str, day: str, bands: Sequence[str], size: int) -> dict[str, NDArray[np.generic]]:
    where = place_of(place)
    box = world.box(where.lon, where.lat, (size, size))
    truth = world.truth(box, day)
    seed = rng.key(world.seed, "transfer", place, day) % 2**63
    try:
        scene = observe(truth, SENSOR, day, None, seed, conditions=Conditions(cloud_fraction=0.0))
    except InputError as error:
        if "sun" not in error.given.lower():
            raise
        empty = np.empty((0, 0, 0), np.float32)
        return {"values": empty, "valid": empty.astype(bool), "labels": np.empty((0, 0), np.uint8)}
    cube = cubes.to_physical(cubes.to_cube(scene, bands=tuple(bands))).compute()
    valid = np.broadcast_to(
        cube["valid"].values if cube["valid"].ndim == 4 else cube["valid"].values[:, None], cube["data"].shape
    )
    return {
        "values": np.where(valid, cube["data"].values, 0.0)[0].astype(np.float32),
        "valid": valid[0].copy(),
        "labels": truth["cover"].values.astype(np.uint8),
    }


class WindowLoader:
    """Batches of random windows, turned and mirrored, in an order that depends on seed and epoch alone.

    Args:
        scenes: where windows are cut.
        bands: the bands on the band axis.
        size: side of a window in pixels.
        batch_size: windows per batch.
        batches: batches per epoch.
        seed: of the order.
        at: ``(K, 3)`` scene, row and column of the only windows to draw from; None draws anywhere.
        jitter: standard deviation b of the brightness of a window, in units of the values, which are z-scores: a value
            z of band c becomes ``exp(b (g + g_c / 2)) z + b (h + h_c / 2)`` with g and h standard normal.
    """

    def __init__(
        self,
        scenes: Scenes,
        bands: BandSet,
        *,
        size: int,
        batch_size: int,
        batches: int,
        seed: int,
        at: NDArray[np.int64] | None = None,
        jitter: float = 0.0,
    ) -> None:
        self._scenes, self._bands, self._size, self._batch, self._batches = scenes, bands, size, batch_size, batches
        self._seed, self._at, self._jitter = seed, at, jitter
        height, width = scenes.labels.shape[1:]
        if height < size or width < size or (at is not None and len(at) == 0):
            raise InputError(
                f"No window of {size} pixels can be cut from scenes of {height} x {width}",
                expected="scenes at least as large as a window, and at least one window",
                remedy="take smaller windows",
            )
        self._grid = GeoBox((size, size), Affine(10.0, 0.0, 500_000.0, 0.0, -10.0, 0.0), "EPSG:32631")

    def __len__(self) -> int:
        return self._batches

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from batch ``start`` on."""
        for number in range(start, self._batches):
            yield self._batch_of(rng.generator(self._seed, "windows", epoch, number), f"{epoch}_{number}")

    def _batch_of(self, draw: np.random.Generator, name: str) -> Batch:
        size, scenes = self._size, self._scenes
        height, width = scenes.labels.shape[1:]
        if self._at is None:
            picks = draw.integers((len(scenes), height - size + 1, width - size + 1), size=(self._batch, 3))
        else:
            picks = self._at[draw.integers(len(self._at), size=self._batch)]
        turns, flips = draw.integers(4, size=self._batch), draw.integers(2, size=self._batch)

        def cut(held: NDArray[Any]) -> NDArray[Any]:
            parts = []
            for (index, row, column), turn, flip in zip(picks, turns, flips, strict=True):
                part = np.rot90(held[index][..., row : row + size, column : column + size], turn, axes=(-2, -1))
                parts.append(part[..., ::-1] if flip else part)
            return np.stack(parts)

        values, valid = cut(scenes.values), cut(scenes.valid)
        if self._jitter:
            values = np.where(valid, self._other_light(values, draw), 0.0).astype(np.float32)
        return batch_of(values, valid, cut(scenes.labels), self._bands, self._grid, name)

    def _other_light(self, values: NDArray[np.float32], draw: np.random.Generator) -> NDArray[np.float64]:
        count, bands = values.shape[:2]
        gain, offset = (
            self._jitter * (draw.normal(size=(count, 1)) + draw.normal(size=(count, bands)) / 2) for _ in range(2)
        )
        return np.asarray(np.exp(gain)[..., None, None] * values + offset[..., None, None])


def batch_of(
    values: NDArray[np.float32],
    valid: NDArray[np.bool_],
    labels: NDArray[np.int64],
    bands: BandSet,
    grid: GeoBox,
    name: str,
) -> Batch:
    """Arrays ``(N, C, H, W)`` and labels ``(N, H, W)`` as a batch of one date; places and dates are made up."""
    count = len(values)
    target = torch.from_numpy(np.ascontiguousarray(labels))
    image = Modality(
        torch.from_numpy(np.ascontiguousarray(values))[:, None],
        torch.from_numpy(np.ascontiguousarray(valid))[:, None],
        bands,
        torch.zeros((count, 1), dtype=torch.int64),
        (grid,) * count,
    )
    return Batch(
        {"image": image}, {"label": target}, {"label": target != IGNORE}, tuple(f"{name}_{at}" for at in range(count))
    )


def band_set(names: Sequence[str]) -> BandSet:
    """Bands of Sentinel-2 surface reflectance by name."""
    return sensors.load(SENSOR).bands.select(names)
