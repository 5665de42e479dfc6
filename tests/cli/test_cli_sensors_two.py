"""Two sensors of unlike resolution and dates: joined, checked, trained, scored, and mapped from one merged cube."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

from swath import chips, cubes, sensors, verbs
from swath.errors import InputError
from swath.sensors import Band, BandSet

SIZE = 64
OPTICAL = sensors.load("sentinel2_l2a").bands.select(("B04", "B08"))
RADAR = BandSet((Band("VV", kind="backscatter", unit="dB"),))
LABELS = np.repeat((np.arange(SIZE) >= SIZE // 2).astype(np.int16)[None], SIZE, axis=0)
OPTIONS: dict[str, Any] = {
    "network": {"width": 8, "depth": 1, "head_width": 8},
    "batch_size": 4,
    "modality_dropout": 0.2,
    "fit": {"epochs": 10, "learning_rate": 0.02, "threads": 1},
}


def _cube(bands: BandSet, values: Any, valid: Any, times: tuple[str, ...]) -> xr.Dataset:
    size = values.shape[-1]
    box = GeoBox((size, size), Affine(640 / size, 0, 500_000, 0, -640 / size, 5_000_000), "EPSG:32632")
    return cubes.make_cube(
        values.astype(np.float32), valid, box, bands, time=np.array(times, "datetime64[ns]"),
        scale=[1.0] * len(bands), offset=[0.0] * len(bands), stored=False, attrs={},
    )  # fmt: skip


def _cut(cube: xr.Dataset, folder: Path, size: int) -> chips.ChipSet:
    labels = LABELS[:: SIZE // cube.sizes["y"], :: SIZE // cube.sizes["x"]]
    raster = xr.DataArray(labels, dims=("y", "x"), coords={"y": cube["y"], "x": cube["x"]})
    made = chips.cut(cube, raster, folder, size=size, legend=cubes.Legend.of("dark", "bright"))
    split = chips.split_by_block(made, block_chips=1, buffer_chips=0.0, seed=0)
    split.save(folder / "split.parquet")
    return made


def test_joined_trained_scored_and_mapped(tmp_path: Path) -> None:
    drawn = np.random.default_rng(0)
    optical = drawn.normal(0.2, 0.02, (2, 2, SIZE, SIZE)) + 0.3 * LABELS
    radar = drawn.normal(-15, 1, (1, 1, SIZE // 2, SIZE // 2)) + 8 * LABELS[::2, ::2]
    dates = ("2024-06-01", "2024-07-01")
    whole, coarse = np.ones((2, SIZE, SIZE), bool), np.ones((1, SIZE // 2, SIZE // 2), bool)
    _cut(_cube(OPTICAL, optical, whole, dates), tmp_path / "optical", 16)
    _cut(_cube(RADAR, radar, coarse, ("2024-06-03",)), tmp_path / "radar", 8)
    chips.join({"optical": tmp_path / "optical", "radar": tmp_path / "radar"}, tmp_path / "both")

    plan = verbs.check(tmp_path / "both", config=OPTIONS)
    assert not plan.problems and plan.output == (4, 2, 16, 16)
    assert {each.name: each.shape for each in plan.inputs} == {"optical": (4, 2, 2, 16, 16), "radar": (4, 1, 1, 8, 8)}
    verbs.fit(tmp_path / "both", tmp_path / "run", config=OPTIONS, progress=False)
    assert verbs.score(tmp_path / "run", tmp_path / "both").value("accuracy") > 0.9

    # One cube on the grid of the first, in which the radar image lies at the earlier date alone.
    fine = np.repeat(np.repeat(radar, 2, axis=2), 2, axis=3)
    merged = np.concatenate([optical, np.concatenate([fine, np.zeros_like(fine)])], axis=1)
    valid = np.ones(merged.shape, bool)
    valid[1, 2] = False
    scene = _cube(BandSet((*OPTICAL, *RADAR)), merged, valid, dates)
    verbs.predict(tmp_path / "run", scene, tmp_path / "map.tif", tile=32, overlap=8, strict=False, progress=False)
    with rasterio.open(tmp_path / "map.tif") as file:
        assert (file.read(1) == LABELS).mean() > 0.9
    with pytest.raises(InputError, match="VV"):
        verbs.predict(tmp_path / "run", scene.isel(band=[0, 1]), tmp_path / "none.tif", progress=False)
