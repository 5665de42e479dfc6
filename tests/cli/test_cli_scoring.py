"""A model is scored only on chips whose classes are its own, in its order."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_scenes import write_polygons, write_scene

import swath
from swath import chips as room
from swath.errors import InputError
from swath.judge import MajorityClass
from swath.types import Split


@pytest.fixture(scope="module")
def chips(tmp_path_factory: pytest.TempPathFactory) -> room.ChipSet:
    tmp_path: Path = tmp_path_factory.mktemp("scoring")
    scene = swath.open(write_scene(tmp_path / "scene.tif"), sensor="sentinel2_l2a", baseline="05.09")
    polygons = write_polygons(tmp_path / "polygons.geojson")
    made: room.ChipSet = swath.chips(scene, polygons, tmp_path / "chips", column="cover", size=16, block=1)
    return made


def fitted(chips: room.ChipSet) -> MajorityClass:
    ids = Split.load(chips.folder / "split.parquet").ids("train")
    model = MajorityClass({"image": chips.bands}, chips.classes)
    return model.fit(room.ChipLoader(chips, ids, batch_size=16, seed=0))


def test_its_own_classes_are_scored(chips: room.ChipSet) -> None:
    assert 0 <= swath.score(fitted(chips), chips).value("accuracy") <= 1


@pytest.mark.parametrize("classes", [("forest", "field", "water"), ("a", "b", "c"), ("field", "forest"), ()])
def test_other_classes_are_refused(chips: room.ChipSet, classes: tuple[str, ...]) -> None:
    assert chips.classes == ("field", "forest", "water")
    model = fitted(chips)
    model.classes = classes
    with pytest.raises(InputError, match=r"tells .* apart, and the chips of .* have the classes field, forest, water"):
        swath.score(model, chips)
