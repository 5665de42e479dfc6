"""What world_transfer does with labels: few blocks, nothing scored that was learned from, controls that control."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from swath.errors import InputError
from swath.sources.world.packages import missing
from swath.systems.eo import world_transfer
from swath.systems.eo._real_tasks import RealTask
from swath.systems.eo._world_data import Scenes, WindowLoader, band_set
from swath.types import IGNORE

BANDS = ("B02", "B03")


def task(labels: np.ndarray, things: np.ndarray | None = None, apart: int = 0) -> RealTask:
    shape = labels.shape
    rest = np.full(shape, -1) if things is None else things
    return RealTask(
        "made", np.zeros((2, *shape), np.float32), np.ones((2, *shape), bool), labels, rest, ("a", "b"), apart
    )


def halves(size: int = 32) -> np.ndarray:
    labels = np.zeros((size, size), np.int64)
    labels[:, size // 2 :] = 1
    return labels


@pytest.mark.parametrize("seed", range(5))
def test_blocks_of_every_class_are_learned_and_others_scored(seed: int) -> None:
    made = task(halves(), apart=1)
    learned, scored = made.few(4, 2, seed)
    assert not ((learned != IGNORE) & (scored != IGNORE)).any()
    assert (np.bincount(learned[learned != IGNORE]) == [32, 32]).all()
    near = np.zeros((34, 34), bool)
    rows, columns = np.nonzero(learned != IGNORE)
    for row in (-4, 0, 4):
        for column in (-4, 0, 4):
            near[np.clip(rows + row, 0, 33), np.clip(columns + column, 0, 33)] = True
    assert not (near[:32, :32] & (scored != IGNORE)).any()


def test_a_thing_is_never_learned_from_and_scored_on() -> None:
    labels, things = halves(), np.arange(32)[None].repeat(32, 0) // 4
    learned, scored = task(labels, things).few(4, 1, 3)
    assert not set(things[learned != IGNORE]) & set(things[scored != IGNORE])


def test_seeds_draw_other_blocks() -> None:
    first, second = (task(halves()).few(4, 2, seed)[0] for seed in (0, 1))
    assert (first != second).any()


def test_too_few_blocks() -> None:
    with pytest.raises(InputError, match="class 'a' of made lies in 32 blocks"):
        task(halves()).few(4, 40, 0)
    with pytest.raises(InputError, match="left to score"):
        task(halves(), np.zeros((32, 32), np.int64)).few(4, 1, 0)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_no_image_keeps_its_labels_in_the_negative_control(count: int) -> None:
    labels = np.arange(count)[:, None, None] * 10 + np.arange(4).reshape(2, 2)[None]
    scenes = Scenes(
        np.zeros((count, 2, 2, 2), np.float32), np.ones((count, 2, 2, 2), bool), labels, tuple("abcde"[:count])
    )
    moved = world_transfer._shuffled(scenes, 4).labels
    assert sorted(moved.ravel()) == sorted(labels.ravel())
    assert all((moved[index] != labels[index]).any() for index in range(count))
    if count > 1:
        assert all(moved[index].max() // 10 != index for index in range(count))


def test_windows_are_those_of_seed_and_epoch() -> None:
    generator = np.random.default_rng(0)
    values = generator.normal(size=(2, 2, 12, 12)).astype(np.float32)
    labels = (values[:, 0] > 0).astype(np.int64)
    scenes = Scenes(values, np.ones_like(values, bool), labels, ("a", "b"))
    loader = WindowLoader(scenes, band_set(BANDS), size=8, batch_size=4, batches=3, seed=1)
    batches = list(loader.epoch(0))
    assert len(batches) == 3
    for batch in batches:
        batch.check({"label": "segmentation"})
        # Image and labels are turned alike.
        assert ((batch.inputs["image"].values[:, 0, 0] > 0) == (batch.targets["label"] == 1)).all()
    resumed = next(loader.epoch(0, start=2))
    assert (resumed.inputs["image"].values == batches[2].inputs["image"].values).all()
    with pytest.raises(InputError, match="No window of 13 pixels"):
        WindowLoader(scenes, band_set(BANDS), size=13, batch_size=1, batches=1, seed=0)


@pytest.mark.skipif(bool(missing()), reason="needs the spectra of: swath data get world")
def test_a_quick_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SWATH_DATA", raising=False)
    config = world_transfer.Config.quick().model_copy(update={"scene": 32, "tuning_steps": 2, "pretraining_steps": 2})
    report = world_transfer.run(config, tmp_path, seed=3)
    assert {row.backbone for row in report.rows} == {"world", "shuffled", "scratch", "random_forest"}
    assert {row.metric for row in report.rows} == {
        "miou",
        "miou_rstoolbox_sen2",
        "miou_sen1floods11_s2",
        "miou_planted",
    }
    assert all(0 <= row.value <= 1 for row in report.rows)
    assert {row.data_kind for row in report.rows} == {"fixture", "simulated"}
    assert (tmp_path / "report.html").is_file()
    again = world_transfer.run(config, tmp_path, seed=3)
    assert [row.value for row in again.rows] == [row.value for row in report.rows]
