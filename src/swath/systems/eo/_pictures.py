"""Scenes with one class each as arrays and batches, for the systems that learn from pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from PIL import Image
from rasterio.transform import Affine

from swath import rng, sensors
from swath.judge.corruptions import corrupt
from swath.nn import Normalise
from swath.sensors import BandSet
from swath.sources.published import rsscn7
from swath.types import Batch, Modality

CORRUPTED_SHARE = 4
"""One in so many images of a batch is corrupted by each of two draws: half of the batch."""


@dataclass(frozen=True, eq=False)
class Pictures:
    """Colour images with a class each.

    Args:
        values: float32 ``(N, 3, H, W)`` in [0, 1].
        labels: int64 ``(N,)``.
        ids: N names.
        groups: N names of what must not be in two parts of a split.
    """

    values: NDArray[np.float32]
    labels: NDArray[np.int64]
    ids: tuple[str, ...]
    groups: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)

    def batch(self, places: NDArray[np.integer] | slice = slice(None)) -> Batch:
        """Some of them as a batch; place and date are made up."""
        values = torch.from_numpy(np.ascontiguousarray(self.values[places]))[:, None]
        numbers = np.arange(len(self))[places]
        count = len(numbers)
        image = Modality(
            values,
            torch.ones((count, 1, 1, *values.shape[3:]), dtype=torch.bool),
            colours(),
            torch.zeros((count, 1), dtype=torch.int64),
            (_grid(values.shape[-1]),) * count,
        )
        labels = torch.from_numpy(self.labels[places])
        ids = tuple(self.ids[number] for number in numbers)
        return Batch({"image": image}, {"label": labels}, {"label": torch.ones(count, dtype=torch.bool)}, ids)


class Library:
    """Scenes that are read, and shrunk by means over areas, when they are first asked for.

    Args:
        scenes: what there is.
        size: side of the pictures in pixels.
    """

    def __init__(self, scenes: Sequence[rsscn7.Scene], size: int) -> None:
        self._scenes, self._size = {scene.id: scene for scene in scenes}, size
        self._read: dict[str, NDArray[np.float32]] = {}

    def take(self, ids: Sequence[str], most: int | None = None) -> Pictures:
        """The pictures of these ids, in their order; at most ``most`` of them, evenly spread.

        Raises:
            InputError: a file is damaged.
        """
        wanted = list(ids)
        if most is not None and most < len(wanted):
            wanted = [wanted[place] for place in np.linspace(0, len(wanted) - 1, most).round().astype(int)]
        scenes = [self._scenes[name] for name in wanted]
        return Pictures(
            np.stack([self._values(scene) for scene in scenes]),
            np.array([scene.label for scene in scenes], np.int64),
            tuple(wanted),
            tuple(scene.group for scene in scenes),
        )

    def _values(self, scene: rsscn7.Scene) -> NDArray[np.float32]:
        if scene.id not in self._read:
            image = Image.fromarray(np.moveaxis(scene.image(), 0, -1))
            small = image.resize((self._size, self._size), Image.Resampling.BOX)
            self._read[scene.id] = np.moveaxis(np.asarray(small, np.float32), -1, 0) / np.float32(255)
        return self._read[scene.id]


@cache
def colours() -> BandSet:
    """Red, green and blue as display values."""
    return sensors.load("globe").bands.select(rsscn7.BANDS)


@cache
def _grid(size: int) -> GeoBox:
    return GeoBox((size, size), Affine(1.0, 0.0, 500_000.0, 0.0, -1.0, 0.0), "EPSG:32631")


class PictureLoader:
    """Batches in an order that depends on seed and epoch alone, mirrored from left to right at random.

    Args:
        pictures: what is learned from.
        batch_size: images per batch; the last batch of an epoch may be smaller.
        seed: of order, mirroring and corruptions.
        corruptions: with some, half of every batch is corrupted, by two draws of a corruption and a severity.
    """

    def __init__(self, pictures: Pictures, *, batch_size: int, seed: int, corruptions: Sequence[str] = ()) -> None:
        self._pictures, self._size, self._seed, self._corruptions = pictures, batch_size, seed, tuple(corruptions)

    def __len__(self) -> int:
        return -(-len(self._pictures) // self._size)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from batch ``start`` on."""
        order = rng.generator(self._seed, "order", epoch).permutation(len(self._pictures))
        for number in range(start, len(self)):
            draw = rng.generator(self._seed, "batch", epoch, number)
            batch = self._pictures.batch(order[number * self._size : (number + 1) * self._size])
            values = batch.inputs["image"].values
            mirrored = torch.from_numpy(draw.integers(2, size=len(values)).astype(bool))
            values[mirrored] = values[mirrored].flip(-1)
            yield self._worsened(batch, draw) if self._corruptions else batch

    def _worsened(self, batch: Batch, draw: np.random.Generator) -> Batch:
        share = batch.batch_size // CORRUPTED_SHARE
        values = batch.inputs["image"].values
        valid = batch.inputs["image"].valid.expand_as(values).clone()
        for turn in range(2 if share else 0):
            part = slice(turn * share, (turn + 1) * share)
            name = self._corruptions[draw.integers(len(self._corruptions))]
            severity, seed = int(draw.integers(1, 6)), int(draw.integers(2**62))
            worse = corrupt(_part(batch, part), name, severity, seed).inputs["image"]
            values[part], valid[part] = worse.values, worse.valid.expand_as(worse.values)
        image = batch.inputs["image"]
        return Batch(
            {"image": Modality(values, valid, image.bands, image.time, image.grid)},
            batch.targets,
            batch.target_valid,
            batch.ids,
        )


def _part(batch: Batch, part: slice) -> Batch:
    image = batch.inputs["image"]
    taken = Modality(image.values[part], image.valid[part], image.bands, image.time[part], image.grid[part])
    return Batch({"image": taken}, {}, {}, batch.ids[part])


def statistics_of(pictures: Pictures) -> Normalise:
    """Mean and deviation of each colour."""
    mean = pictures.values.mean(axis=(0, 2, 3), dtype=np.float64)
    return Normalise(mean.tolist(), pictures.values.std(axis=(0, 2, 3), dtype=np.float64).tolist(), names=rsscn7.BANDS)
