"""The second task of ``reobench``: land cover of a real Sentinel-2 scene, learned from some polygons."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.transform import Affine

from swath import chips, cubes
from swath.judge import ForestOptions, PixelSampling, RandomForest
from swath.judge.corruptions.scale import Scale
from swath.learn import FitConfig, fit
from swath.learn.reproduce import seeded
from swath.learn.task import SegmentationTask
from swath.nn import Normalise, UNet
from swath.sources.published import rstoolbox
from swath.sources.published.common import one_cube
from swath.systems.eo._world_data import Scenes, WindowLoader, band_set, batch_of
from swath.systems.eo.rstoolbox_polygons import split_polygons
from swath.types import IGNORE, Batch

BANDS = ("B02", "B03", "B04", "B08", "B11", "B12")
_SHARES = (2.0, 98.0)


@dataclass(frozen=True, eq=False)
class Land:
    """A scene with the labels of a split of its polygons.

    Args:
        values: reflectance float32 ``(C, H, W)``, 0 where invalid.
        valid: bool ``(C, H, W)``.
        learned: labels to learn from ``(H, W)``, ``IGNORE`` elsewhere.
        scored: labels to score on.
        classes: names.
    """

    values: NDArray[np.float32]
    valid: NDArray[np.bool_]
    learned: NDArray[np.int64]
    scored: NDArray[np.int64]
    classes: tuple[str, ...]

    def scale(self) -> Scale:
        """The 2nd to 98th percentile of every band over the scene."""
        known = [band[mask] for band, mask in zip(self.values, self.valid, strict=True)]
        low, high = np.array([np.percentile(band, _SHARES) for band in known]).T
        return Scale.given(low.tolist(), high.tolist())

    def tiles(self, size: int) -> Batch:
        """The parts of the scene, ``size`` pixels wide and not overlapping, that hold labels to score on."""
        height, width = self.scored.shape
        rows, columns = -(-height // size), -(-width // size)
        room = ((0, rows * size - height), (0, columns * size - width))

        def cut(held: NDArray[np.generic], fill: float) -> NDArray[np.generic]:
            wide = np.pad(held, (*((0, 0),) * (held.ndim - 2), *room), constant_values=fill)
            parts = wide.reshape(*held.shape[:-2], rows, size, columns, size)
            return np.moveaxis(parts, (-4, -2), (0, 1)).reshape(rows * columns, *held.shape[:-2], size, size)

        labels = cut(self.scored, IGNORE).astype(np.int64)
        kept = (labels != IGNORE).any(axis=(1, 2))
        values, valid = cut(self.values, 0.0)[kept].astype(np.float32), cut(self.valid, False)[kept].astype(bool)
        grid = GeoBox((size, size), Affine(10.0, 0.0, 500_000.0, 0.0, -10.0, 0.0), "EPSG:32631")
        return batch_of(values, valid, labels[kept], band_set(BANDS), grid, "tile")


def open_land(root: Path, seed: int) -> Land:
    """The Sentinel-2 scene of RStoolbox; half of the polygons of every class, drawn by the seed, are to learn from.

    Raises:
        InputError: a file is missing or damaged, or a class has fewer than two polygons.
    """
    place = next(each for each in rstoolbox.open(root) if each.id == "sen2")
    chosen = cubes.to_physical(one_cube(place.scene())).sel(band=list(BANDS)).compute()
    valid = chosen["valid"].values
    valid = np.broadcast_to(valid if valid.ndim == 4 else valid[:, None], chosen["data"].shape)[0]
    numbers, labels = place.polygon_numbers().values, place.labels().values.astype(np.int64)
    split = split_polygons(place.polygons(), numbers, test_share=0.5, seed=seed)
    learned, scored = (
        np.where(np.isin(numbers, [int(name) for name in split.ids(part)]), labels, IGNORE)
        for part in ("train", "test")
    )
    values = np.where(valid, chosen["data"].values[0], 0.0).astype(np.float32)
    return Land(values, valid.copy(), learned, scored, place.legend.names)


def land_network(land: Land, *, width: int, steps: int, window: int, out: Path, seed: int) -> SegmentationTask:
    """A U-Net on windows around the labels to learn from; a finished run in ``out`` is read."""
    with seeded(seed, "land"):
        network = UNet(len(BANDS), len(land.classes), width=width, depth=2, stem_stride=2, norm="channel")
    bands = [band[mask].astype(np.float64) for band, mask in zip(land.values, land.valid, strict=True)]
    normalise = Normalise([float(b.mean()) for b in bands], [float(b.std()) for b in bands], names=BANDS)
    task = SegmentationTask(network, normalise, band_set(BANDS), land.classes)
    places = chips.windows_at(land.learned != IGNORE, window, 256, seed)
    at = np.concatenate([np.zeros((len(places), 1), np.int64), places], axis=1)
    scene = Scenes(land.values[None], land.valid[None], land.learned[None], ("sen2",))
    loader = WindowLoader(scene, band_set(BANDS), size=window, batch_size=16, batches=steps, seed=seed, at=at)
    fit(
        task,
        loader,
        config=FitConfig(epochs=1, learning_rate=2e-3, device="cpu", threads=1),
        out=out,
        seed=seed,
        progress=False,
    )
    return task


def land_forest(land: Land, *, trees: int, seed: int) -> RandomForest:
    """A random forest on bands and 5 x 5 means, from the same labels."""
    options = ForestOptions(
        trees=trees, min_samples_leaf=1, mean_bands=BANDS, sampling=PixelSampling(max_pixels=10_000), jobs=1
    )
    height, width = land.learned.shape
    grid = GeoBox((height, width), Affine(10.0, 0.0, 500_000.0, 0.0, -10.0, 0.0), "EPSG:32631")
    whole = batch_of(land.values[None], land.valid[None], land.learned[None], band_set(BANDS), grid, "whole")
    return RandomForest({"image": band_set(BANDS)}, land.classes, options, seed).fit([whole])
