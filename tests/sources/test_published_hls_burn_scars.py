"""The reader of HLS Burn Scars."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from swath import cubes
from swath.errors import InputError
from swath.sources.published import hls_burn_scars
from swath.sources.published.common import UNLABELLED, one_cube
from swath.types import IGNORE


@pytest.fixture
def fake(tmp_path: Path) -> Path:
    return hls_burn_scars.write_fake(tmp_path / "scars", 1)


def test_parts_tiles_and_dates_stand_in_the_names(fake: Path) -> None:
    chips = hls_burn_scars.open(fake)
    assert [(chip.part, chip.product, chip.tile, chip.date) for chip in chips] == [
        ("training", "L30", "T11SKA", "2020-09-16"),
        ("training", "S30", "T10SEH", "2018-09-02"),
        ("validation", "S30", "T12TVK", "2021-07-20"),
    ]


def test_reflectance_is_physical_and_the_six_places_agree(fake: Path) -> None:
    landsat, sentinel, _ = (one_cube(chip.scene()) for chip in hls_burn_scars.open(fake))
    for cube in (landsat, sentinel):
        cubes.check_physical(cube)
        assert cube.attrs["unit"] == "1"
        assert not cube["valid"].values[..., :2, :3].any()
        assert cube["valid"].values[..., 2:, :].all()
    assert tuple(landsat["band"].values) == hls_burn_scars.BANDS["L30"]
    np.testing.assert_allclose(landsat["wavelength"], sentinel["wavelength"], atol=20)


def test_labels_and_their_counts(fake: Path) -> None:
    for chip in hls_burn_scars.open(fake):
        labels = chip.labels().values
        assert (labels[:2, :3] == IGNORE).all()
        infrared = one_cube(chip.scene())["data"].values[0, 3]
        assert infrared[labels == 1].mean() < infrared[labels == 0].mean() - 0.1
    described = hls_burn_scars.describe(fake)
    assert described.labels[UNLABELLED] == 3 * 6
    assert sum(described.labels.values()) == 3 * 24 * 24


def test_a_missing_mask_is_told(fake: Path) -> None:
    chip = hls_burn_scars.open(fake)[0]
    chip.mask.unlink()
    assert hls_burn_scars.describe(fake).missing == (chip.mask.name,)
    assert hls_burn_scars.check(fake) == [f"{chip.mask.name}: the file is missing"]
    with pytest.raises(InputError, match=r"mask\.tif"):
        chip.labels()
