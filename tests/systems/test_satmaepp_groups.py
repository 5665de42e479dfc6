"""Groups of bands when one is missing: windows, features of every case, the head, and the smoke of the whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from swath import systems
from swath.errors import ConfigError
from swath.systems.eo import _satmaepp_cover as cover
from swath.systems.eo import _satmaepp_windows as ground
from swath.systems.eo import satmaepp_groups
from swath.systems.eo._world_data import Scenes
from swath.types import IGNORE, ResultRow

QUICK = satmaepp_groups.Config.quick()


@pytest.fixture(scope="module")
def land() -> ground.Land:
    return ground.made_up(QUICK.size, QUICK.patch)


def test_windows_are_cut_where_they_lie() -> None:
    side, size, patch = 24, 8, 4
    values = np.arange(2 * 6 * side * side, dtype=np.float32).reshape(2, 6, side, side)
    labels = np.zeros((2, side, side), np.int64)
    labels[:, 16:20, 4:8] = 3
    labels[1, 20:24, 0:2] = 2  # half of a patch: no class has more than half
    scenes = Scenes(values, np.ones(values.shape, bool), labels, ("1.0,45.0 2019-07-20", "bavaria 2019-02-14"))
    found = ground.windows(scenes, size, patch)
    assert len(found) == 2 * 4  # windows 0 and 2 along either side of three
    np.testing.assert_array_equal(found.values[2], values[0, :, 16:24, 0:8])
    np.testing.assert_array_equal(found.labels[2], [[0, 3], [0, 0]])
    np.testing.assert_array_equal(found.labels[6], [[0, 3], [IGNORE, 0]])
    assert found.places.tolist() == ["1.0,45.0"] * 4 + ["bavaria"] * 4
    assert np.datetime64(int(found.time[7]), "s") == np.datetime64("2019-02-14T10:00:00")
    middle = found.batches(8)[0].inputs["image"].grid[7]
    assert np.mean(middle.lat) == pytest.approx(48.6, abs=1.0)  # type: ignore[union-attr]


def test_bands_left_out_are_not_valid_and_hold_nothing(land: ground.Land) -> None:
    lost = land.windows.without(("B08",))
    place = ground.BANDS.index("B08")
    assert not lost.valid[:, place].any() and not lost.values[:, place].any()
    rest = [at for at in range(6) if at != place]
    np.testing.assert_array_equal(lost.values[:, rest], land.windows.values[:, rest])
    assert land.windows.valid.all()


def test_places_are_apart_and_the_seed_draws_them(land: ground.Land) -> None:
    tested = land.split(2, 0)
    assert len(tested) == 2 and tested == land.split(2, 0)
    assert len({land.split(2, seed) for seed in range(20)}) > 3
    learned = {name.split(" ")[0] for name in land.learned(tested).names}
    assert learned.isdisjoint(tested) and len(learned) == 4


def test_a_missing_group_feeds_its_mean(land: ground.Land) -> None:
    task = satmaepp_groups.objective(QUICK, "grouped", land.scenes, 0)
    found = cover.masked_features(task, land.windows)
    filled = land.windows.values.copy()
    filled[:, 3] = task.normalise.mean[3].numpy()
    by_hand = cover.masked_features(task, replace(land.windows, values=filled))
    np.testing.assert_allclose(found["near_infrared"], by_hand["all"], atol=1e-5)
    assert np.abs(found["near_infrared"] - found["all"]).max() > 1e-3


def test_tokens_left_out_do_not_see_what_was_there(land: ground.Land) -> None:
    task = satmaepp_groups.objective(QUICK, "grouped", land.scenes, 0)
    found = cover.masked_features(task, land.windows, left_out=True)
    other = land.windows.values.copy()
    other[:, 4:] += 5
    again = cover.masked_features(task, replace(land.windows, values=other), left_out=True)
    np.testing.assert_array_equal(found["short_wave"], again["short_wave"])
    fed = cover.masked_features(task, land.windows)
    np.testing.assert_array_equal(found["all"], fed["all"])
    assert np.abs(found["short_wave"] - fed["short_wave"]).max() > 1e-4


def test_one_token_for_all_bands_has_one_group(land: ground.Land) -> None:
    single, grouped = (satmaepp_groups.objective(QUICK, name, land.scenes, 0) for name in ("single", "grouped"))
    sizes = [len(task.model.encoder_spec.groups) for task in (single, grouped)]  # type: ignore[union-attr]
    assert sizes == [1, 3]
    batch = land.windows.batches(4)[0]
    hidden = [
        satmaepp_groups.objective(QUICK, name, land.scenes, 0).restore(batch, torch.Generator().manual_seed(0)).hidden
        for name in ("consistent", "grouped")
    ]
    assert all(torch.equal(hidden[0][:, :, 0], hidden[0][:, :, at]) for at in range(6))
    assert not torch.equal(hidden[1][:, :, 0], hidden[1][:, :, 3])


def test_the_head_is_scored_by_class_and_case() -> None:
    labels = np.array([0] * 8 + [1] * 4)
    exact = np.eye(2, dtype=np.float32)[labels].reshape(3, 2, 2, 2)  # window, row, column, class
    maps = {case: np.moveaxis(exact, -1, 1) * (case != "visible") for case in cover.CASES}
    every = np.arange(12)
    rows = cover.rows(maps, labels, (every, every), cover.linear(), ResultRow(run_id="r", system="s"))
    found = {row.metric: row.value for row in rows}
    assert found["accuracy_full"] == 1 and found["accuracy_without_visible"] == 0.5
    assert found["accuracy_drop"] == pytest.approx((0.5 + 1 + 1) / 3)
    assert found["lost"] == pytest.approx(1 - found["accuracy_drop"])
    assert cover.balanced(np.array([0, 0, 0, 1]), np.array([0, 0, 0, 1])) == 1
    assert cover.balanced(np.zeros(4, np.int64), np.array([0, 0, 0, 1])) == 0.5


def test_drawn_patches_have_classes_and_lie_in_the_windows_asked_for(land: ground.Land) -> None:
    seen = land.windows
    wanted = seen.places == seen.places[0]
    found = cover.drawn(seen, wanted, 1, 0, "test")
    labels = seen.labels.reshape(-1)[found]
    assert sorted(labels.tolist()) == [0, 1] and (labels != IGNORE).all()
    assert wanted[found // seen.labels[0].size].all()
    np.testing.assert_array_equal(found, cover.drawn(seen, wanted, 1, 0, "test"))


def test_the_smoke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SWATH_DATA", raising=False)
    module = systems.load("satmaepp_groups")
    report = module.run(module.Config.quick(), tmp_path, seed=1)
    found = {(row.backbone, row.metric): row.value for row in report.rows}
    names = {"grouped", "consistent", "single", "left_out", "random_weights", "presto", "galileo", "random_forest"}
    assert {name for name, _ in found} == names | {"shuffled", "planted"}
    assert found["grouped", "accuracy_full"] > 0.9  # three classes that any band tells apart
    assert found["shuffled", "accuracy_full"] < 0.8
    assert report.data == "fixture" and (tmp_path / "report.html").is_file()
    again = module.run(module.Config.quick(), tmp_path, seed=1)  # finished networks are taken up again
    assert {(row.backbone, row.metric): row.value for row in again.rows} == found


def test_sizes_that_do_not_fit(land: ground.Land) -> None:
    with pytest.raises(ValueError, match="multiple of 16"):
        satmaepp_groups.Config(width=20)
    with pytest.raises(ConfigError):
        satmaepp_groups.objective(QUICK.model_copy(update={"heads": 3}), "grouped", land.scenes, 0)
