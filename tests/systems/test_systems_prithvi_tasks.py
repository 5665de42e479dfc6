"""Tasks of the Prithvi papers by share of labels: draws, splits, who differs in what, scores, pages, and the smoke."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swath import systems
from swath.errors import InputError
from swath.judge import load_registration
from swath.learn.objectives import MaskedReconstruction
from swath.sources import planet
from swath.sources.world.world import World
from swath.systems.eo import _prithvi_scenes as scenes
from swath.systems.eo import _prithvi_share_pages as pages
from swath.systems.eo import _prithvi_shares as shares
from swath.systems.eo import _world_series as world_series
from swath.systems.eo import prithvi_eo_1
from swath.systems.eo._prithvi_scenes import CLASSES, MapTask
from swath.systems.eo._prithvi_share_pages import Scored
from swath.systems.eo._prithvi_shares import Tuning
from swath.types import ResultRow

CONFIG = prithvi_eo_1.Config.quick()
SERIES = world_series.made_up(5, 5, 16, 1)
TUNING = Tuning(steps=2, batch_size=2, rate=1e-3, head_width=8, unet_width=8)
KINDS: tuple[scenes.Kind, ...] = ("floods", "fires", "crops")


def start(seed: int = 0) -> MaskedReconstruction:
    return prithvi_eo_1.objective(CONFIG, "random", SERIES, seed)


def miniature(kind: scenes.Kind = "floods", places: int = 6) -> MapTask:
    (task,) = scenes.made_up((kind,), places, 16)
    return task


@given(seed=st.integers(0, 200), pool=st.integers(1, 30), share=st.floats(0.001, 1.0))
def test_small_draws_lie_in_large_ones_and_never_in_tested_places(seed: int, pool: int, share: float) -> None:
    task = miniature()
    tested = shares.tested_places([task], 6, 0.3, seed)["floods"]
    drawn = shares.draw(task, tested, pool=pool, test=3, seed=seed)
    small, large = drawn.share(share / 2), drawn.share(share)
    assert 1 <= len(small) <= len(large) <= len(drawn.pool) <= pool
    np.testing.assert_array_equal(small, large[: len(small)])
    assert not set(task.place[drawn.pool]) & set(tested) and set(task.place[drawn.test]) <= set(tested)
    assert len(set(drawn.pool)) == len(drawn.pool) and 1 <= len(drawn.test) <= 3


def test_the_first_chip_shows_two_classes() -> None:
    task = miniature()
    classes = np.zeros_like(task.target.values)
    classes[7, :8] = 1
    one = replace(task, target=replace(task.target, values=classes))
    other = [place for place in range(6) if place != task.place[7]][:2]
    assert shares.draw(one, np.array(other), pool=5, test=3, seed=0).pool[0] == 7
    with pytest.raises(InputError, match="0 of the others show two classes"):
        shares.draw(one, task.place[7:8], pool=5, test=3, seed=0)
    with pytest.raises(InputError, match="0 lie in tested places"):
        shares.draw(one, np.array([99]), pool=5, test=3, seed=0)


def test_tested_places_are_those_of_the_task_and_shared() -> None:
    tasks = [miniature("floods", 9), miniature("fires", 4)]
    found = shares.tested_places(tasks, 9, 0.34, 3)
    assert len(found["floods"]) == 3 and len(found["fires"]) == 1
    assert set(found["fires"]) <= {0, 1, 2, 3}
    assert set(found["floods"]) != set(shares.tested_places(tasks, 9, 0.34, 4)["floods"])
    assert len(shares.tested_places([miniature("fires", 1)], 9, 0.01, 0)["fires"]) == 1


def test_only_the_encoder_differs_between_arms() -> None:
    other = start(1)
    with torch.no_grad():
        other.model.encoder.embed.weight.mul_(2.0)
    first, second = (shares.under_head(each, 2, TUNING, 5) for each in (start(), other))
    for name, value in first.state_dict().items():
        same = torch.equal(value, second.state_dict()[name])
        assert same or name.startswith("encoder."), name
    wanted = start().model.encoder.state_dict()["embed.weight"]
    assert torch.equal(first.state_dict()["encoder.embed.weight"], wanted)
    assert not torch.equal(second.state_dict()["encoder.embed.weight"], wanted)


def test_who_was_told_begins_with_what_it_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    task = miniature()
    told = shares.told_weights(start(), task, np.arange(len(task)), TUNING, 0)
    assert not torch.equal(told["embed.weight"], start().model.encoder.state_dict()["embed.weight"])
    begun: list[torch.Tensor] = []
    monkeypatch.setattr(
        shares, "tuned", lambda network, *rest: begun.append(network.state_dict()["encoder.embed.weight"].clone())
    )
    shares.transformer(start(), TUNING, 0, told)(task.inputs, task.target, task.inputs)
    assert torch.equal(begun[0], told["embed.weight"])


@pytest.mark.parametrize("kind", KINDS)
def test_all_learn_what_is_plain_to_see(kind: scenes.Kind) -> None:
    task = miniature(kind)
    how = replace(TUNING, steps=40, batch_size=4, rate=5e-3)
    learned, held = np.arange(8), np.arange(8, 12)
    normalise = SERIES.normalise()
    guess = 1 / len(CLASSES[kind])
    for name, learner in {"unet": shares.unet(normalise, how, 0), "forest": shares.pixel_forest(0)}.items():
        answers = learner(task.inputs.take(learned), task.target.take(learned), task.inputs.take(held))
        assert answers.shape == (4, 16, 16)
        assert (answers == task.target.values[held]).mean() > min(0.8, 1.5 * guess), name


def test_a_transformer_learns_one_chip_of_a_series() -> None:
    task = miniature("crops")
    how = replace(TUNING, steps=60, rate=3e-3)
    one = np.array([3])
    answers = shares.transformer(start(), how, 0)(task.inputs.take(one), task.target.take(one), task.inputs.take(one))
    assert (answers == task.target.values[one]).mean() > 0.3  # eight classes: 0.125 by chance


def test_scores_of_the_truth_and_of_one_class() -> None:
    task = miniature()
    chips = np.array([0, 3])
    truth = task.target.values[chips]
    assert shares.score(task, chips, truth) == 1.0
    wet = float((truth == 1).mean())
    assert shares.score(task, chips, np.ones_like(truth)) == pytest.approx(wet / 2)


def test_means_of_rows_are_those_of_their_cells() -> None:
    found = {
        (task, who, share): Scored(value, 1, 2)
        for task, step in (("floods", 0.1), ("crops", 0.3))
        for who, most in (("pretrained", 1.0), ("presto", 0.1))
        for share, value in ((0.01, step), (0.1, 2 * step), (1.0, 0.9))
        if share <= most and (who != "presto" or share == 0.1)
    }
    rows = pages.rows(found, ResultRow("r", "s", seed=0), 0.1)
    value = {(row.metric, row.backbone, row.group): row.value for row in rows if row.label_fraction is None}
    assert value["miou_few", "pretrained", None] == pytest.approx((0.15 + 0.45) / 2)
    assert value["miou_tenth", "presto", "crops"] == pytest.approx(0.6)
    assert ("miou_few", "presto", None) not in value
    assert len({row.key() for row in rows}) == len(rows)


def test_curves_of_one_and_of_two_seeds(tmp_path: Path) -> None:
    cells = {("floods", "scratch", share): Scored(share / 2, 1, 2) for share in (0.1, 1.0)}
    one = pages.rows(cells, ResultRow("r", "s", seed=0), 0.1)
    two = [*one, *(replace(row, seed=1, value=row.value + 0.1) for row in one)]
    np.testing.assert_allclose(pages.table(one, "floods", "scratch")[:, :2], [[0.1, 0.05], [1.0, 0.5]])
    assert np.isnan(pages.table(one, "floods", "scratch")[:, 2:]).all()
    low, high = pages.table(two, "floods", "scratch")[0, 2:]
    assert low == pytest.approx(0.1 - 12.7062 * 0.05, abs=1e-4) and high == pytest.approx(
        0.1 + 12.7062 * 0.05, abs=1e-4
    )
    assert pages.table(two, "floods", "nobody").shape == (0, 4)
    for rows in (one, two):
        assert pages.picture(rows, tmp_path / "shares.png").stat().st_size > 1000


def test_a_changed_pixel_or_place_changes_the_fingerprint() -> None:
    task = miniature()
    other = task.place.copy()
    other[0] = 5
    assert scenes.fingerprint(task) != scenes.fingerprint(replace(task, place=other))
    assert scenes.fingerprint(task) == scenes.fingerprint(miniature())


def test_a_scene_is_made_once_and_the_table_has_no_twins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(set(scenes.SCENES)) == len(scenes.SCENES)
    assert {scene.kind for scene in scenes.SCENES} == set(KINDS)
    assert all(0 <= scene.place < len(world_series.PLACES) for scene in scenes.SCENES)
    made: list[scenes.Scene] = []

    def fake(world: World, scene: scenes.Scene, size: int) -> dict[str, np.ndarray]:
        made.append(scene)
        shape = (len(scene.days), 6, size, size)
        return {"values": np.full(shape, 0.2, np.float32), "classes": np.zeros((size, size), np.uint8)}

    monkeypatch.setattr(scenes, "observed", fake)
    for _ in range(2):
        (task,) = scenes.tasks(tmp_path, ("crops",), size=40, side=16)
    listed = [scene for scene in scenes.SCENES if scene.kind == "crops"]
    assert made == listed and task.inputs.values.shape == (4 * len(listed), 3, 6, 16, 16)
    assert task.inputs.month[0].tolist() == [2, 5, 8] and task.place[4] == listed[1].place


def test_a_scene_of_crops_shows_several_kinds() -> None:
    if planet.missing():
        pytest.skip("layers of the planet are absent, run swath data get planet")
    scene = next(scene for scene in scenes.SCENES if scene.kind == "crops")
    made = scenes.observed(World(0), scene, 24)
    assert made["values"].shape == (3, 6, 24, 24) and np.isfinite(made["values"]).all()
    assert len(np.unique(made["classes"])) > 1 and made["classes"].max() < len(CLASSES["crops"])


def test_the_smoke_and_the_names_that_are_registered(tmp_path: Path) -> None:
    module = systems.load("prithvi_tasks")
    report = module.run(module.Config.quick(), tmp_path, seed=1)
    assert report.data == "fixture" and {row.data_kind for row in report.rows} == {"fixture"}
    found = {(row.metric, row.backbone) for row in report.rows if row.group is None}
    registered = load_registration(Path(__file__).parents[2] / "claims" / "prithvi_tasks.toml")
    for claim in registered:
        names = {claim.contender, claim.baseline} - set(module.Config().encoders)
        assert {(claim.metric, who) for who in names} <= found, claim.name
    assert {kind for claim in registered if (kind := claim.control_kind)} == {"negative", "positive"}
    assert (tmp_path / "shares.png").stat().st_size > 1000
