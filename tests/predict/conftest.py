"""Small predictors and cubes for the tests of predict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from torch import Tensor

from swath.cubes import make_cube
from swath.sensors import BandSet
from swath.types import Batch, Prediction, Task

BANDS = ("red", "green", "blue")
UTM = "EPSG:32633"


@dataclass
class Fake:
    """A predictor made of a function from batch to output (B, K, y, x)."""

    function: Callable[[Batch], Tensor]
    task: Task = "segmentation"
    classes: tuple[str, ...] = BANDS
    inputs: Mapping[str, BandSet] = field(default_factory=lambda: {"optical": BandSet.of(*BANDS)})
    calls: list[int] = field(default_factory=list)

    def predict(self, batch: Batch) -> Prediction:
        batch.check()
        self.calls.append(batch.batch_size)
        output = self.function(batch)
        name = "mean" if self.task == "pixel_regression" else "logits"
        valid = torch.ones(output.shape[0], *output.shape[2:], dtype=torch.bool)
        return Prediction(self.task, {name: output}, valid, self.classes)


@pytest.fixture
def fake() -> type[Fake]:
    """The class ``Fake``."""
    return Fake


def build(
    values: np.ndarray,
    valid: np.ndarray | None = None,
    *,
    geobox: GeoBox | None = None,
    names: tuple[str, ...] = BANDS,
    unit: str = "1",
    times: tuple[str, ...] | None = None,
) -> xr.Dataset:
    """A cube from values (time, band, y, x) or (band, y, x)."""
    values = values[None] if values.ndim == 3 else values
    dates, count, height, width = values.shape
    mask = np.ones((dates, height, width), dtype=bool) if valid is None else valid
    box = geobox or GeoBox((height, width), Affine(10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0), UTM)
    times = times or tuple(f"2020-01-{day + 1:02d}" for day in range(dates))
    return make_cube(
        values,
        mask[None] if mask.ndim == 2 else mask,
        box,
        BandSet.of(*names),
        time=np.array(times, dtype="datetime64[ns]"),
        scale=[1.0] * count,
        offset=[0.0] * count,
        stored=unit == "DN",
        attrs={"source": "made for a test"},
    )


@pytest.fixture
def make() -> Callable[..., xr.Dataset]:
    """The function ``build``."""
    return build


@pytest.fixture
def globe() -> Callable[[int, int], GeoBox]:
    """Rows, columns -> a grid of the whole Earth in degrees."""
    return lambda height, width: GeoBox.from_bbox((-180, -90, 180, 90), crs="EPSG:4326", shape=(height, width))
