"""Scenes on disk and lasting predictors for the tests of prediction jobs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
import xarray as xr
from torch import Tensor, nn

from swath import cubes
from swath.nn import UNet
from swath.predict import PredictionReport, predict_scene
from swath.sensors import BandSet
from swath.types import Batch, Prediction, Task

BANDS = ("red", "green", "blue")


def numbers(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Stored numbers (band, y, x) with a hole of no-data."""
    values = np.random.default_rng(seed).integers(0, 40, (len(BANDS), height, width)).astype(np.int16)
    values[:, height // 3 : height // 3 + 9, width // 2 : width // 2 + 7] = -1
    return values


def write(path: Path, values: np.ndarray, block: int = 32, **options: Any) -> Path:
    """A tiled, compressed GeoTIFF with no-data -1."""
    count, height, width = values.shape
    place = {"crs": "EPSG:32633", "transform": rasterio.Affine(10, 0, 500_000, 0, -10, 5_000_000), "nodata": -1}
    layout = {"tiled": True, "blockxsize": block, "blockysize": block, "compress": "deflate", **options}
    shape = {"driver": "GTiff", "width": width, "height": height, "count": count, "dtype": values.dtype}
    with rasterio.open(path, "w", **shape, **place, **layout) as dataset:
        dataset.write(values)
        dataset.descriptions = BANDS[:count]
    return path


def opened(path: Path, chunk: int = 32) -> xr.Dataset:
    """The scene as a cube of small chunks, one stored block each."""
    from swath.cubes import raster

    before, raster.CHUNK_ELEMENTS = raster.CHUNK_ELEMENTS, chunk * chunk
    try:
        return cubes.to_cube(cubes.open(path))
    finally:
        raster.CHUNK_ELEMENTS = before


@dataclass(frozen=True)
class Pixelwise:
    """Logits = the values times a factor."""

    factor: float = 1.0
    task: Task = "segmentation"
    classes: tuple[str, ...] = BANDS
    inputs: dict[str, BandSet] = field(default_factory=lambda: {"optical": BandSet.of(*BANDS, unit="DN")})

    def predict(self, batch: Batch) -> Prediction:
        output = batch.inputs["optical"].values[:, 0] * self.factor
        return Prediction(self.task, {"logits": output}, output[:, 0] > -9, self.classes)


class Network(nn.Module):
    """A network as a predictor of probabilities (classes) or one quantity per class name."""

    inputs = {"optical": BandSet.of(*BANDS, unit="DN")}  # noqa: RUF012

    def __init__(self, network: nn.Module, task: Task = "segmentation", stride: int = 1) -> None:
        super().__init__()
        self.network = network.eval()
        self.task = task
        self.classes = BANDS
        self.output_stride = stride

    def forward(self, values: Tensor) -> Tensor:
        answer: Tensor = self.network(values)
        return answer

    def predict(self, batch: Batch) -> Prediction:
        output = self(batch.inputs["optical"].values[:, 0] / 40)
        name = {"segmentation": "logits", "embedding": "embedding"}.get(self.task, "mean")
        valid = torch.ones(len(output), *output.shape[2:], dtype=torch.bool)
        return Prediction(self.task, {name: output}, valid, self.classes)


def unet(width: int = 8, depth: int = 2, seed: int = 0) -> Network:
    """A small U-Net with random weights."""
    torch.manual_seed(seed)
    return Network(UNet(3, 3, width=width, depth=depth, stem_stride=2))


def run(predictor: Any, cube: xr.Dataset, out: Path, **options: Any) -> PredictionReport:
    """``predict_scene`` with small tiles, without a bar."""
    return predict_scene(predictor, cube, out, **{"tile": 32, "overlap": 8, "block": 64, "progress": False, **options})


def content(folder: Path) -> dict[str, bytes]:
    """The bytes of all files of a folder that are not hidden, and the names of the hidden ones."""
    return {
        path.name: b"" if path.name.startswith(".") else path.read_bytes()
        for path in folder.iterdir()
        if path.suffix != ".csv"
    }


def read(path: Path) -> np.ndarray:
    """All bands of a raster."""
    with rasterio.open(path) as dataset:
        bands: np.ndarray = dataset.read()
        return bands
