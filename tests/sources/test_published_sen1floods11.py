"""The reader of Sen1Floods11."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio

from swath import cubes
from swath.errors import InputError
from swath.sources.published import sen1floods11
from swath.sources.published.common import UNLABELLED, one_cube, write_raster
from swath.types import IGNORE


@pytest.fixture
def fake(tmp_path: Path) -> Path:
    return sen1floods11.write_fake(tmp_path / "hand", 3)


def test_chips_events_and_dates(fake: Path) -> None:
    chips = sen1floods11.open(fake)
    assert [chip.id for chip in chips] == ["Bolivia_23014", "Spain_7370579", "Spain_7370580"]
    assert [chip.event for chip in chips] == ["Bolivia", "Spain", "Spain"]
    assert one_cube(chips[1].radar())["time"].values[0] == np.datetime64("2019-09-17")
    assert one_cube(chips[1].optical())["time"].values[0] == np.datetime64("2019-09-18")


def test_radar_is_in_db_and_nan_is_invalid(fake: Path) -> None:
    chip = sen1floods11.open(fake)[0]
    cube = one_cube(chip.radar())
    assert tuple(cube["band"].values) == ("VV", "VH")
    assert set(cube["band_unit"].values) == {"dB"}
    valid = cube["valid"].values
    assert np.count_nonzero(~valid[..., 0, :3]) == valid[..., 0, :3].size
    assert valid[..., 1:, :].all()
    median = np.nanmedian(cube["data"].values)
    assert -30 < median < -5


def test_optical_is_reflectance_without_an_offset(fake: Path) -> None:
    chip = sen1floods11.open(fake)[0]
    cube = one_cube(chip.optical())
    assert tuple(cube["band"].values) == sen1floods11.OPTICAL_BANDS
    physical = cubes.to_physical(cube)
    np.testing.assert_allclose(physical["data"].values, cube["data"].values * 1e-4, rtol=1e-6)
    cubes.check_physical(physical)


def test_labels_and_their_counts(fake: Path) -> None:
    chips = sen1floods11.open(fake)
    labels = chips[0].labels()
    assert labels.dtype == np.int16
    assert (labels.values[-2:, -2:] == IGNORE).all()
    assert set(np.unique(labels.values)) == {IGNORE, 0, 1}
    described = sen1floods11.describe(fake)
    assert sum(described.labels.values()) == 3 * 32 * 32
    assert described.labels[UNLABELLED] == 3 * 4


def test_the_folders_of_the_bucket_are_read_alike(fake: Path) -> None:
    flat = [chip.id for chip in sen1floods11.open(fake)]
    for part in ("S1Hand", "S2Hand", "LabelHand"):
        (fake / part).mkdir()
        for path in fake.glob(f"*_{part}.tif"):
            path.rename(fake / part / path.name)
    assert [chip.id for chip in sen1floods11.open(fake)] == flat
    assert sen1floods11.check(fake) == []


def test_all_problems_are_listed_at_once(fake: Path) -> None:
    (fake / "Spain_7370579_S1Hand.tif").unlink()
    with rasterio.open(fake / "Spain_7370580_LabelHand.tif", "r+") as raster:
        labels = raster.read()
        labels[0, 0, :5] = 7
        raster.write(labels)
    with rasterio.open(fake / "Bolivia_23014_S2Hand.tif") as raster:
        array, crs = raster.read(), str(raster.crs)
        moved = rasterio.Affine(raster.transform.a, 0, raster.transform.c + 1, 0, raster.transform.e, 0)
    write_raster(fake / "Bolivia_23014_S2Hand.tif", array[:12], moved, crs)
    problems = sen1floods11.check(fake)
    assert problems == [
        "Bolivia_23014_S2Hand.tif: 12 bands, expected 13",
        "Bolivia_23014_S2Hand.tif: another grid than Bolivia_23014_LabelHand.tif (CRS or corner)",
        "Spain_7370579_S1Hand.tif: the file is missing",
        "Spain_7370580_LabelHand.tif: 5 pixels hold 7, expected one of -1, 0, 1",
    ]
    with pytest.raises(InputError, match="label 7 in 5 pixels"):
        sen1floods11.describe(fake)
    with pytest.raises(InputError, match="Spain_7370579_S1Hand"):
        next(chip for chip in sen1floods11.open(fake) if chip.id == "Spain_7370579").radar()


def test_without_metadata_the_date_is_unknown(fake: Path) -> None:
    (fake / sen1floods11.METADATA).unlink()
    chip = sen1floods11.open(fake)[0]
    assert chip.dates == {}
    assert chip.optical().attrs["time_known"] == 0


def test_the_real_chip(real_data: Path) -> None:
    root = real_data / "sen1floods11_sample"
    assert sen1floods11.check(root) == []
    described = sen1floods11.describe(root)
    assert described.labels == {"dry": 192010, "water": 70035, UNLABELLED: 99}
    (chip,) = sen1floods11.open(root)
    assert (chip.id, chip.event) == ("Spain_7370579", "Spain")
    labels = chip.labels().values
    radar, optical = one_cube(chip.radar()), cubes.to_physical(one_cube(chip.optical()))
    cubes.check_physical(optical)
    vv, swir = radar["data"].values[0, 0], optical["data"].values[0, -1]
    assert vv[labels == 1].mean() < vv[labels == 0].mean() - 3  # water is dark in radar
    assert swir[labels == 1].mean() < swir[labels == 0].mean()
