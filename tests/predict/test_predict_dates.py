"""Series of several dates, and dask's schedulers, through the reader of predictions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import dask
import numpy as np
import pytest
import rasterio
import xarray as xr
from predict_scenes import BANDS, numbers, opened, read, write

from swath.predict import predict_scene
from swath.sensors import BandSet
from swath.types import Batch, Prediction, Task


@dataclass(frozen=True)
class Series:
    """One quantity: what the dates hold, each weighed by its place, and days between first and last date."""

    task: Task = "pixel_regression"
    classes: tuple[str, ...] = ("sum", "days")
    inputs: dict[str, BandSet] = field(default_factory=lambda: {"optical": BandSet.of(*BANDS, unit="DN")})

    def predict(self, batch: Batch) -> Prediction:
        image = batch.inputs["optical"]
        shown = image.values.where(image.valid, 0).sum(dim=2)
        weights = 10.0 ** -np.arange(shown.shape[1])
        total = sum(float(weight) * shown[:, place] for place, weight in enumerate(weights))
        days = (image.time[:, -1] - image.time[:, 0]).float() / 86_400
        mean = total.new_zeros(total.shape[0], 2, *total.shape[1:])
        mean[:, 0], mean[:, 1] = total, days[:, None, None]
        return Prediction(self.task, {"mean": mean}, total > -1, self.classes)


def series(paths: list[Path], days: list[str]) -> xr.Dataset:
    """Scenes on disk as one lazy cube."""
    parts = [opened(path).assign_coords(time=[np.datetime64(day, "ns")]) for path, day in zip(paths, days, strict=True)]
    cube: xr.Dataset = xr.concat(
        parts, dim="time", data_vars="all", coords="minimal", compat="override", join="override"
    )
    return cube.assign_attrs(parts[0].attrs)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)], ids=["sorted", "mixed"])
@pytest.mark.parametrize("size", [(70, 90), (1, 1)], ids=str)
def test_a_series_on_disk_is_read_date_by_date_in_the_order_of_time(
    tmp_path: Path, size: tuple[int, int], order: tuple[int, ...]
) -> None:
    values = [numbers(*size, seed=seed) for seed in range(3)]
    for number in values:
        number[number < 0] = 3
    values[1][:, :1, :1] = -1  # on one date only
    days = ["2020-05-01", "2020-05-04", "2020-06-01"]
    paths = [write(tmp_path / f"{place}.tif", values[place]) for place in range(3)]
    cube = series([paths[place] for place in order], [days[place] for place in order])
    assert cube.sizes["time"] == 3 and hasattr(cube["data"].data, "dask")
    options = {"tile": 32, "overlap": 8, "block": 40, "progress": False}
    report = predict_scene(Series(), cube, tmp_path / "m.tif", **options)
    shown = [np.where(number < 0, 0, number).sum(axis=0) for number in values]
    expected = sum(total / 10.0**place for place, total in enumerate(shown))
    found = read(tmp_path / "m.tif")
    np.testing.assert_allclose(found[0], expected, rtol=1e-5)
    np.testing.assert_allclose(found[1], np.full(size, 31.0), rtol=1e-6)
    assert report.valid_share == 1  # one date is enough
    assert report.chunks_needed == report.chunks_read == 3 * -(-size[0] // 32) * -(-size[1] // 32)


@pytest.mark.parametrize("scheduler", ["synchronous", "threads", "processes"])
def test_no_scheduler_changes_a_byte(tmp_path: Path, scheduler: str) -> None:
    scene = write(tmp_path / "scene.tif", numbers(64, 64))
    predict: Callable[[str], bytes] = lambda name: _bytes(scene, tmp_path / name)  # noqa: E731
    with dask.config.set(scheduler=scheduler, num_workers=1):
        found = predict("a.tif")
    with dask.config.set(scheduler="synchronous"):
        assert found == predict("b.tif")


def _bytes(scene: Path, out: Path) -> bytes:
    predict_scene(Series(), opened(scene), out, tile=32, overlap=8, progress=False)
    with rasterio.open(out) as dataset:
        numbers_read: np.ndarray = dataset.read()
    assert np.isfinite(numbers_read).any() and np.isnan(numbers_read).any()  # the hole
    return out.read_bytes()
