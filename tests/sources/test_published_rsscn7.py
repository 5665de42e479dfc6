from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from swath.errors import ConfigError, ContractError, InputError
from swath.sources.published import rsscn7
from swath.sources.published.rsscn7 import CLASSES, Scene


def listed(count: int = 400, names: tuple[str, ...] = CLASSES) -> list[Scene]:
    """Scenes without files."""
    return [Scene(f"{name}/{number}", name, number, Path("none")) for name in names for number in range(1, count + 1)]


def test_fake_tree_reads_back(tmp_path: Path) -> None:
    scenes = rsscn7.open(rsscn7.write_fake(tmp_path, 1))
    assert len(scenes) == 7 * 8
    assert [scene.label for scene in scenes] == sorted(scene.label for scene in scenes)
    assert scenes[0].id == "aGrass/a001" and scenes[0].class_name == "grass"
    assert scenes[0].image().shape == (3, 32, 32) and scenes[0].image().dtype == np.uint8
    assert len({scene.image().tobytes() for scene in scenes}) == len(scenes)
    assert rsscn7.describe(tmp_path).labels == {**dict.fromkeys(CLASSES, 8), "unlabelled": 0}


def test_other_files_are_passed_over(tmp_path: Path) -> None:
    root = rsscn7.write_fake(tmp_path)
    before = len(rsscn7.open(root))
    (root / "README.md").write_text("x")
    (root / "aGrass" / "Thumbs.db").write_bytes(b"x")
    (root / "aGrass" / "a009.jpg.part").write_bytes(b"x")
    (root / "hOther").mkdir()
    assert len(rsscn7.open(root)) == before and rsscn7.check(root) == []


def test_check_finds_everything(tmp_path: Path) -> None:
    root = rsscn7.write_fake(tmp_path)
    for path in (root / "gParking").iterdir():
        path.unlink()
    (root / "gParking").rmdir()
    (root / "aGrass" / "a001.jpg").write_bytes(b"none")
    Image.new("RGB", (8, 6)).save(root / "bField" / "b401.jpg")
    text = "\n".join(rsscn7.check(root))
    assert "gParking: the folder is missing" in text and "a001.jpg" in text
    assert "bField/b401: numbers run from 1 to 400" in text and "1 of 6 x 8" in text
    assert rsscn7.describe(root).missing == ("gParking/",)


def test_a_split_keeps_neighbours_together() -> None:
    scenes = listed()
    split = rsscn7.split(scenes, 3)
    assert split.counts() == {"test": 560, "train": 1960, "validation": 280}
    table = split.table.assign(name=[scene.class_name for scene in scenes])
    assert (table.groupby("group")["split"].nunique() == 1).all()
    assert (table[table["split"] == "test"].groupby("name").size() == 80).all()
    assert scenes[9].group == scenes[0].group != scenes[10].group


def test_the_test_part_is_one_for_all_seeds() -> None:
    first, second = (rsscn7.split(listed(), seed) for seed in (0, 1))
    assert first.ids("test") == second.ids("test")
    assert first.ids("validation") != second.ids("validation")
    assert first.hash == rsscn7.split(listed(), 0).hash != second.hash
    assert rsscn7.split(listed()[::-1], 0).counts() == first.counts()


@pytest.mark.parametrize(("count", "ok"), [(10, False), (20, False), (21, True), (30, True)])
def test_small_sets(count: int, ok: bool) -> None:
    if ok:
        assert set(rsscn7.split(listed(count), 0).counts()) == {"train", "validation", "test"}
    else:
        with pytest.raises(InputError, match="blocks of 10 pictures"):
            rsscn7.split(listed(count), 0)
    if count > 10:
        assert set(rsscn7.split(listed(count), 0, validation_share=0.0).counts()) == {"train", "test"}


def test_bad_shares() -> None:
    for shares in ((0.0, 0.1), (1.0, 0.0), (0.5, 0.5), (0.2, -0.1)):
        with pytest.raises(ConfigError, match="The shares are"):
            rsscn7.split(listed(40), 0, test_share=shares[0], validation_share=shares[1])
    with pytest.raises(ContractError, match="no rows"):
        rsscn7.split([], 0)


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    scene = rsscn7.open(rsscn7.write_fake(tmp_path))[0]
    scene.path.write_bytes(b"none")
    with pytest.raises(InputError, match=r"a001\.jpg"):
        scene.image()
