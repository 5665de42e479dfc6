from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from swath.errors import InputError
from swath.judge.corruptions import GEOMETRIC, NAMES
from swath.sources.published import reobench, reobench_answers
from swath.sources.published.common import UNLABELLED
from swath.sources.published.reobench import FOLDERS, Layout


@pytest.mark.parametrize("layout", ["scenes", "segmentation", "detection"])
def test_fake_tree_reads_back(tmp_path: Path, layout: Layout) -> None:
    root = reobench.write_fake(tmp_path / "tree", 3, layout)
    pictures = reobench.open(root)
    assert len(pictures) == 2 * 5 * 2
    assert {(each.corruption, each.severity) for each in pictures} == {
        (name, severity) for name in ("haze", "rotate") for severity in range(1, 6)
    }
    assert {each.layout for each in pictures} == {layout}
    assert pictures[0].image().shape == (3, 24, 24)
    assert len({each.image().tobytes() for each in pictures}) == len(pictures)
    assert reobench.check(root) == []
    described = reobench.describe(root)
    assert described.records == 20 and described.missing == ()
    again = reobench.write_fake(tmp_path / "again", 3, layout)
    assert reobench.describe(again).fingerprint == described.fingerprint
    other = reobench.write_fake(tmp_path / "other", 4, layout)
    assert reobench.describe(other).fingerprint != described.fingerprint


def test_classes_of_scenes(tmp_path: Path) -> None:
    root = reobench.write_fake(tmp_path, layout="scenes")
    assert reobench.describe(root).labels == {"beach": 10, "port": 10, UNLABELLED: 0}
    with pytest.raises(InputError, match="no labels for segmentation"):
        reobench.open(root)[0].mask()


def test_masks_that_were_not_moved_are_no_labels(tmp_path: Path) -> None:
    pictures = reobench.open(reobench.write_fake(tmp_path, layout="segmentation"))
    for each in pictures:
        if each.corruption == "haze":
            assert set(np.unique(each.mask())) == {int(each.path.stem[-1])}
        else:
            with pytest.raises(InputError, match="geometric corruptions of masks are not published"):
                each.mask()


def test_boxes_of_geometric_corruptions_are_their_own(tmp_path: Path) -> None:
    pictures = reobench.open(reobench.write_fake(tmp_path, layout="detection"))
    for each in pictures:
        corners, names = each.objects()
        assert corners.shape == (1, 4, 2) and names == ("ship",)
        assert corners[0, 0, 0] == 4 + (each.severity if each.corruption == "rotate" else 0)


def test_check_finds_everything(tmp_path: Path) -> None:
    root = reobench.write_fake(tmp_path, layout="segmentation")
    (root / "rotate_new" / "severity_2" / "val" / "port_1.png").unlink()
    (root / "ann_dir" / "val" / "beach_0.png").unlink()
    (root / "frost" / "severity_1").mkdir(parents=True)
    (root / "haze_update_new" / "severity_7").mkdir()
    for path in (root / "rotate_new" / "severity_5" / "val").iterdir():
        path.unlink()
    text = "\n".join(reobench.check(root))
    assert "rotate, severity 2: 1 images, others have 2" in text
    assert "rotate: the severities 5 are missing" in text
    assert "'frost' is no known corruption" in text
    assert "severity_7: severities run from 1 to 5" in text
    assert text.count("the labels are missing") == 5


def test_bad_roots_and_lines(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no directory"):
        reobench.open(tmp_path / "absent")
    with pytest.raises(InputError, match="holds no file"):
        reobench.open(tmp_path)
    root = reobench.write_fake(tmp_path / "boxes", layout="detection")
    label = root / "rotate_new" / "1labels" / "port_1.txt"
    label.write_text("imagesource:GoogleEarth\ngsd:0.5\n1 2 3 four 5 6 7 8 ship 0\n", encoding="utf-8")
    picture = next(each for each in reobench.open(root) if each.label_path == label)
    with pytest.raises(InputError, match=r"line 3: '1 2 3 four"):
        picture.objects()
    picture.path.write_bytes(b"no image")
    with pytest.raises(InputError):
        picture.image()


def test_folders_lead_to_the_corruptions_of_swath() -> None:
    assert set(FOLDERS.values()) == set(NAMES) and set(NAMES) <= set(FOLDERS)
    assert reobench.GEOMETRIC == GEOMETRIC
    assert FOLDERS["data_gaps"] == "gaps" and FOLDERS["scale_image"] == "scale"


def test_answers_read_back(tmp_path: Path) -> None:
    root = reobench_answers.write_fake(tmp_path, 2)
    every = reobench_answers.open(root)
    assert {(each.task, each.corruption, each.severity) for each in every} == {
        (task, corruption, severity)
        for task in ("caption", "vqa")
        for corruption in ("haze", "gaps")
        for severity in (1, 3)
    }
    records = every[0].records()
    assert [record["image_id"] for record in records] == ["P0.png", "P1.png"]
    assert all(set(record) == {"image_id", "answer"} for record in records)


def test_check_of_answers_finds_everything(tmp_path: Path) -> None:
    root = reobench_answers.write_fake(tmp_path)
    (root / "vqa_frost_1.json").write_text("{}\n", encoding="utf-8")
    (root / "vqa_rotate_new_1.json").write_text('{"a": 1}\n\n{"a": 2}\n', encoding="utf-8")
    (root / "vqa_haze_9.json").write_text('{"a": 1}\n', encoding="utf-8")
    (root / "cap_haze_2.json").write_text('{"a": 1}\n[1]\n', encoding="utf-8")
    (root / "notes.json").write_text("not of this data set", encoding="utf-8")
    text = "\n".join(reobench_answers.check(root))
    assert "'frost' is no known corruption" in text
    assert "vqa_rotate_new_1.json: answers about moved images" in text
    assert "vqa_haze_9.json: severities run from 1 to 5" in text
    assert "vqa_haze_9.json: 1 answers, others have 2" in text
    assert "cap_haze_2.json: " in text and "line 2 holds a list" in text
    assert "notes.json" not in text
    assert len(text.splitlines()) == 5
