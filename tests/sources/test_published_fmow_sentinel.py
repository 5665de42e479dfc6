"""The reader of fMoW-Sentinel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from swath.errors import InputError
from swath.sources.published import fmow_sentinel
from swath.sources.published.common import one_cube


@pytest.fixture
def fake(tmp_path: Path) -> Path:
    return fmow_sentinel.write_fake(tmp_path / "fmow", 4)


def test_tables_name_the_pictures(fake: Path) -> None:
    pictures = fmow_sentinel.open(fake)
    assert [picture.id for picture in pictures] == ["airport_0_3", "airport_0_4", "crop_field_12_0", "airport_7_100"]
    assert [picture.part for picture in pictures] == ["train"] * 3 + ["val"]
    assert pictures[0].group == pictures[1].group != pictures[3].group
    assert fmow_sentinel.categories(pictures) == ("airport", "crop_field")


def test_pictures_are_reflectance_of_differing_size(fake: Path) -> None:
    shapes = set()
    for picture in fmow_sentinel.open(fake):
        cube = one_cube(picture.scene())
        assert tuple(cube["band"].values) == fmow_sentinel.BANDS
        assert cube["time"].values[0] == np.datetime64(picture.time)
        shapes.add(cube["data"].shape[2:])
    assert len(shapes) == 4


def test_the_groups_of_the_published_models_hold_ten_bands_once(fake: Path) -> None:
    used = [band for group in fmow_sentinel.GROUPS for band in group]
    assert len(used) == len(set(used)) == 10
    assert set(used) | {"B01", "B09", "B10"} == set(fmow_sentinel.BANDS)
    assert len(fmow_sentinel.MEAN) == len(fmow_sentinel.STD) == 13


def test_a_place_in_two_parts_is_a_problem(fake: Path) -> None:
    (fake / "val.csv").write_text("category,location_id,image_id,timestamp\nairport,0,3,2016-02-03T10:11:12Z\n")
    problems = fmow_sentinel.check(fake)
    assert "airport_0: pictures of this place are in the parts train, val" in problems
    assert "airport_0_3.tif: the file is missing" in problems


def test_tables_that_are_none(fake: Path) -> None:
    (fake / "train.csv").write_text("category,image_id,timestamp\nairport,3,2016-02-03T10:11:12Z\n")
    with pytest.raises(InputError, match="no column 'location_id'"):
        fmow_sentinel.open(fake)
    (fake / "train.csv").write_text("category,location_id,image_id,timestamp\nairport,0,3,yesterday\n")
    with pytest.raises(InputError, match=r"train\.csv"):
        fmow_sentinel.open(fake)
