"""Batches and encoders for the tests of this folder."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from affine import Affine
from odc.geo.geobox import GeoBox
from torch import nn

from swath import rng, sensors, weights
from swath.models import GalileoPatches, PrestoPixels
from swath.models.galileo import GalileoEncoder, step_table
from swath.models.presto import Presto
from swath.sensors import Band, BandSet
from swath.types import Batch, Modality
from swath.weights import LoadReport

REPORT = LoadReport("made up", "made up", False, (), (), (), (), (), (0, 0))
S1 = sensors.load("sentinel1_grd").bands.select(["VV", "VH"])
S2 = sensors.load("sentinel2_l1c").bands.select(["B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"])
WEATHER = BandSet((Band("t2m", unit="K"), Band("tp", unit="m d-1")))
TERRAIN = BandSet((Band("elevation", kind="elevation", unit="m"), Band("slope", unit="degree")))
COVER = BandSet((Band("dynamic_world", kind="quality", unit="1"),))


def seconds(*dates: str) -> list[int]:
    """Times of dates."""
    return [int(np.datetime64(date, "s").astype(np.int64)) for date in dates]


def months(count: int) -> list[int]:
    """The middle of ``count`` months from January 2021 on."""
    return seconds(*[f"{2021 + step // 12}-{step % 12 + 1:02d}-15" for step in range(count)])


def modality(bands: BandSet, values: np.ndarray, times: Sequence[int], valid: np.ndarray | None = None) -> Modality:
    """A modality on a grid of 10 m in UTM 32N; a different place for every sample."""
    batch, _, _, height, width = values.shape
    mask = np.ones(values.shape, bool) if valid is None else valid
    grid = tuple(
        GeoBox((height, width), Affine(10, 0, 500_000 + 50_000 * number, 0, -10, 5_400_000), "EPSG:32632")
        for number in range(batch)
    )
    time = torch.tensor([list(times)] * batch, dtype=torch.int64)
    return Modality(torch.from_numpy(values.astype(np.float32)), torch.from_numpy(mask), bands, time, grid)


def made_up(bands: BandSet, shape: tuple[int, int, int, int], seed: int = 0) -> np.ndarray:
    """Plausible numbers ``(B, T, C, H, W)``; shape is (B, T, H, W)."""
    generator = rng.generator(seed, "model batches", *bands.names)
    size = (shape[0], shape[1], len(bands), *shape[2:])
    uniform = generator.random(size)
    scale = {
        "backscatter": (-25.0, 15.0),
        "reflectance": (0.02, 0.5),
        "elevation": (0.0, 2000.0),
        "quality": (0.0, 8.4),
    }
    own = {"t2m": (270.0, 30.0), "tp": (0.0, 0.01), "slope": (0.0, 40.0)}
    low, span = (
        np.array([own.get(band.name, scale.get(band.kind, (0.0, 1.0)))[part] for band in bands]).reshape(1, 1, -1, 1, 1)
        for part in (0, 1)
    )
    values = low + span * uniform
    return np.floor(values) if bands is COVER else values


def batch_of(**inputs: Modality) -> Batch:
    """A batch with ids."""
    count = next(iter(inputs.values())).batch_size
    return Batch(inputs, ids=tuple(f"s{number}" for number in range(count)))


def filled(network: nn.Module) -> nn.Module:
    """The network with made-up weights that depend on their names alone."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(0.1 * torch.randn(parameter.shape, generator=rng.torch_generator(0, "weights", name)))
            if "norm" in name and name.endswith("weight"):
                parameter.add_(1.0)
    return network


@lru_cache(maxsize=1)
def presto() -> PrestoPixels:
    """Presto with made-up weights."""
    network = Presto()
    filled(network)
    return PrestoPixels(weights.entry("presto"), network, REPORT)


@lru_cache(maxsize=1)
def galileo() -> GalileoPatches:
    """Galileo with made-up weights."""
    network = GalileoEncoder()
    filled(network)
    network.pos_embed.data.copy_(step_table())
    return GalileoPatches(weights.entry("galileo_nano"), network, REPORT)
