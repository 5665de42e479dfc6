"""The reader of InstaGeo chips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio

from swath import cubes
from swath.errors import InputError
from swath.sources.published import READERS, instageo
from swath.types import IGNORE


@pytest.fixture
def fake(tmp_path: Path) -> Path:
    return instageo.write_fake(tmp_path / "set", 1)


def test_names_tell_sensor_tile_and_time(fake: Path) -> None:
    chips = instageo.open(fake)
    assert READERS["instageo"] is instageo
    assert [(chip.product, chip.tile, chip.time) for chip in chips] == [
        ("L30", "13SCS", "2020-06-08T10:15:00"), ("S30", "13SCS", "2020-05-20T17:39:30"),
        ("S30", "13SCS", "2021-05-21T09:00:00"),
    ]  # fmt: skip


def test_steps_bands_reflectance_and_labels(fake: Path) -> None:
    for chip in instageo.open(fake):
        cube = chip.cube()
        assert cube["data"].shape == (2, 6, 16, 16)
        assert tuple(cube["band"].values) == instageo.SIX
        assert (np.diff(cube["time"].values) < np.timedelta64(0, "s")).all()
        assert not cube["valid"].values[..., :2, :].any()
        assert cube["valid"].values[..., 2:, :].all()
        assert 0.01 <= cubes.to_physical(cube)["data"].values[..., 2:, :].min() < 0.4
        labels = chip.labels()
        assert labels is not None
        assert (labels.values != IGNORE).sum() == 18
    assert instageo.check(fake) == []
    told = instageo.describe(fake)
    assert told.records == 3
    assert sum(told.labels.values()) == 3 * 256
    assert told.labels["unlabelled"] == 3 * (256 - 18)


def test_what_is_wrong_is_told(fake: Path) -> None:
    first, second, third = instageo.open(fake)
    first.image.unlink()
    with rasterio.open(second.image, "r+") as file:
        file.set_band_description(3, "red")
    assert third.labels_file is not None
    third.labels_file.write_bytes(b"no raster")
    found = instageo.check(fake)
    assert len(found) == 3
    for chip, text in zip((first, second, third), found, strict=True):
        assert chip.id in text
    assert "called 'red'" in found[1]


def test_tables_that_lead_out_or_nowhere(fake: Path) -> None:
    for name in ("../chip_20200620_S30_T13SCS_2020141T173930_0_0.tif", "chips/picture.tif"):
        pd.DataFrame([{"Input": name}]).to_csv(fake / instageo.TABLE)
        with pytest.raises(InputError, match="names the file"):
            instageo.open(fake)
    pd.DataFrame([{"Image": "x"}]).to_csv(fake / instageo.TABLE)
    with pytest.raises(InputError, match="columns"):
        instageo.open(fake)
    (fake / instageo.TABLE).unlink()
    with pytest.raises(InputError, match="hls_raster_dataset"):
        instageo.open(fake)
