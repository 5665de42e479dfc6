"""What world_transfer does with labels: few blocks, nothing scored that was learned from, controls that control."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.linear_model import LogisticRegression

from swath.errors import InputError
from swath.sources.world.packages import missing
from swath.sources.world.truth import COVER
from swath.systems.eo import _world_learning as learning
from swath.systems.eo import world_transfer
from swath.systems.eo._real_tasks import RealTask, simulated_task, thinned
from swath.systems.eo._world_data import Scenes, Statistics, WindowLoader, band_set, standardised
from swath.systems.eo._world_learning import Shape, Tuning, linear_head
from swath.types import IGNORE

BANDS = ("B02", "B03")


def task(labels: np.ndarray, things: np.ndarray | None = None, apart: int = 0) -> RealTask:
    shape = labels.shape
    rest = np.full(shape, -1) if things is None else things
    values, valid = np.zeros((2, *shape), np.float32), np.ones((2, *shape), bool)
    return RealTask("made", values, valid, labels, rest, ("a", "b"), apart, BANDS)


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


def test_seeds_and_draws_take_other_blocks() -> None:
    first, second, third = (task(halves()).few(4, 2, seed, draw)[0] for seed, draw in ((0, 0), (1, 0), (0, 1)))
    assert (first != second).any() and (first != third).any() and (second != third).any()
    assert (first == task(halves()).few(4, 2, 0)[0]).all()


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


@pytest.mark.parametrize(("most", "left"), [(0, 0), (1, 1), (7, 7), (512, 512), (2000, 512)])
def test_thinned_keeps_so_many_labels_as_they_are(most: int, left: int) -> None:
    labels = halves()
    labels[:16] = IGNORE
    kept = thinned(labels, most, np.random.default_rng(1))
    assert (kept != IGNORE).sum() == left
    assert (kept[kept != IGNORE] == labels[kept != IGNORE]).all()


def test_a_simulated_scene_as_a_task() -> None:
    labels = np.full((1, 10, 10), 7)
    labels[0, :, :5], labels[0, 0, :2], labels[0, 9, 9] = 3, IGNORE, 0
    scenes = Scenes(np.ones((1, 2, 10, 10), np.float32), np.ones((1, 2, 10, 10), bool), labels, ("somewhere",))
    made = simulated_task("made", scenes, 0, BANDS)
    assert made.classes == ("cropland", "permanent water")  # a single pixel of trees is no class
    assert (made.labels[:, :5][1:] == 0).all() and (made.labels[0, :2] == IGNORE).all()
    assert made.labels[9, 9] == IGNORE and (made.labels[:9, 5:] == 1).all()
    with pytest.raises(InputError, match="somewhere has 1 classes of at least 60 %"):
        simulated_task("made", Scenes(scenes.values, scenes.valid, np.full((1, 10, 10), 7), scenes.names), 0, BANDS,
                       least=0.6)  # fmt: skip


@given(
    hnp.arrays(np.float32, (2, 3, 4, 5), elements=st.floats(0, 1, width=32)),
    hnp.arrays(np.bool_, (2, 3, 4, 5)),
    st.floats(0.25, 4),
    st.floats(-1, 1),
)
def test_in_its_own_statistics_a_scene_is_the_same_in_any_light(
    values: np.ndarray, valid: np.ndarray, gain: float, offset: float
) -> None:
    first = standardised(values, valid, None)
    assert first.shape == values.shape and (first[~valid] == 0).all() and np.isfinite(first).all()
    for image, mask, scaled in zip(values, valid, first, strict=True):
        for band in range(3):
            inside = scaled[band][mask[band]]
            if inside.size and image[band][mask[band]].astype(float).std() > 1e-3:
                assert abs(inside.mean()) < 1e-3 and abs(inside.std() - 1) < 1e-3
                other = np.where(mask, image * gain + offset, np.nan).astype(np.float32)
                again = standardised(np.nan_to_num(other)[None], mask[None], None)[0]
                np.testing.assert_allclose(again[band][mask[band]], inside, atol=2e-2)


def test_common_statistics_keep_how_bright_a_scene_is() -> None:
    values = np.stack([np.full((1, 2, 2), 0.1), np.full((1, 2, 2), 0.3)]).astype(np.float32)
    valid = np.ones(values.shape, bool)
    common = Statistics.of(values, valid)
    scaled = standardised(values, valid, common)
    assert np.allclose(scaled[0], -1) and np.allclose(scaled[1], 1)
    nothing = Statistics.of(values, np.zeros(values.shape, bool))
    assert nothing.mean == [0] and nothing.std == [1]
    assert (standardised(values, np.zeros(values.shape, bool), nothing) == 0).all()


def test_jitter_changes_the_light_of_whole_windows() -> None:
    values = np.random.default_rng(2).normal(size=(1, 2, 12, 12)).astype(np.float32)
    valid = np.ones(values.shape, bool)
    valid[0, 1, :, :6] = False
    scenes = Scenes(np.where(valid, values, 0), valid, np.zeros((1, 12, 12), np.int64), ("a",))
    plain, jittered = (
        next(WindowLoader(scenes, band_set(BANDS), size=8, batch_size=4, batches=1, seed=1, jitter=jitter).epoch(0))
        for jitter in (0.0, 0.3)
    )
    before, after = (batch.inputs["image"].values[:, 0].numpy() for batch in (plain, jittered))
    mask = plain.inputs["image"].valid[:, 0].numpy()
    assert (mask == jittered.inputs["image"].valid[:, 0].numpy()).all() and (after[~mask] == 0).all()
    lines = set()
    for old, new, known in zip(before, after, mask, strict=True):
        for band in range(2):
            inside = known[band]
            gain, offset = np.polyfit(old[band][inside], new[band][inside], 1)
            np.testing.assert_allclose(gain * old[band][inside] + offset, new[band][inside], atol=1e-5)
            assert gain > 0
            lines.add((round(float(gain), 4), round(float(offset), 4)))
    assert len(lines) == 8


@pytest.mark.parametrize("classes", [3, 5])
def test_the_head_is_that_of_scikit_learn(classes: int) -> None:
    generator = np.random.default_rng(classes)
    labels = np.repeat(np.arange(classes), [40 + 30 * each for each in range(classes)])
    rows = generator.normal(size=(len(labels), 6)) * [1, 2, 3, 1, 1, 0] + labels[:, None] * [0.5, 0, 1, 0, -0.3, 0]
    ridge = 3e-3
    weight, bias = linear_head(torch.from_numpy(rows), torch.from_numpy(labels), classes, ridge=ridge)
    spread = rows.std(axis=0)
    scaled = (rows - rows.mean(axis=0)) / np.where(spread > 0, spread, 1)
    oracle = LogisticRegression(C=1 / (2 * ridge * len(labels)), class_weight="balanced", tol=1e-10, max_iter=5000)
    oracle.fit(scaled, labels)
    mine = (torch.from_numpy(rows).float() @ weight.T + bias).softmax(dim=1).numpy()
    np.testing.assert_allclose(mine, oracle.predict_proba(scaled), atol=2e-3)


def test_the_head_of_two_classes_and_of_a_class_without_labels() -> None:
    rows = torch.tensor([[0.0], [1.0], [10.0], [11.0]])
    weight, bias = linear_head(rows, torch.tensor([0, 0, 2, 2]), 3, ridge=1e-2)
    assert weight.shape == (3, 1) and bias.shape == (3,)
    assert (rows @ weight.T + bias).argmax(dim=1).tolist() == [0, 0, 2, 2]


def learnable(seed: int = 0) -> tuple[RealTask, np.ndarray, np.ndarray]:
    """Two classes that differ in the first band, and labels of a few blocks."""
    labels = halves()
    noise = np.random.default_rng(seed).normal(size=(2, *labels.shape))
    made = replace(task(labels, apart=1), values=(noise + 3.0 * np.stack([labels, 0 * labels])).astype(np.float32))
    return made, *made.few(4, 2, seed)


def test_a_head_leaves_the_features_of_the_start_as_they_are(tmp_path: Path) -> None:
    made, learned, _ = learnable()
    shape = Shape(bands=BANDS, width=4, depth=1, window=16)
    start = learning.network(shape, COVER.names, 7)
    found = learning.tuned(shape, Tuning(), made, learned, start, tmp_path / "none", 3)
    assert found.classes == ("a", "b") and not (tmp_path / "none").exists()
    assert torch.equal(learning.features_of(found, made), learning.features_of(start, made))
    blank = learning.tuned(shape, Tuning(), made, learned, None, tmp_path / "none", 3)
    assert not torch.equal(learning.features_of(blank, made), learning.features_of(start, made))
    features, usable = learning.features_of(start, made), torch.from_numpy(learned != IGNORE)
    weight, bias = linear_head(features[:, usable].T, torch.from_numpy(learned)[usable], 2, ridge=Tuning().ridge)
    logits = torch.einsum("kf,fyx->kyx", weight, features) + bias[:, None, None]
    assert (learning.mapped(found, made) == logits.argmax(dim=0).numpy()).mean() > 0.999  # but for rounding


def test_steps_move_the_features_and_lower_the_loss(tmp_path: Path) -> None:
    made, learned, scored = learnable()
    shape = Shape(bands=BANDS, width=4, depth=1, window=16)
    start = learning.network(shape, COVER.names, 7)
    how = Tuning(steps=30, rate=1e-2, batch_size=4)
    found = learning.tuned(shape, how, made, learned, start, tmp_path / "found", 3)
    assert not torch.equal(learning.features_of(found, made), learning.features_of(start, made))
    head = learning.tuned(shape, Tuning(), made, learned, start, tmp_path / "none", 3)
    batch = learning.whole(made, learned)
    losses = [float(each.loss(batch, torch.Generator())["loss_sum"].detach()) for each in (found, head)]
    assert losses[0] < losses[1]
    assert learning.score(made.classes, scored, learning.mapped(found, made)) > 0.8


def test_the_forest_predicts_where_it_is_asked_to() -> None:
    made, learned, scored = learnable()
    shape = Shape(bands=BANDS, width=4, depth=1)
    wanted = scored != IGNORE
    start = learning.network(shape, COVER.names, 7)
    for said in (None, start):
        found = learning.forest(shape, 20, made, learned, wanted, said, 0)
        assert found.shape == learned.shape and (found[~wanted] == 0).all()
        assert learning.score(made.classes, scored, found) > 0.9
        assert (found == learning.forest(shape, 20, made, learned, wanted, said, 0)).all()


@pytest.mark.skipif(bool(missing()), reason="needs the spectra of: swath data get world")
def test_a_quick_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SWATH_DATA", raising=False)
    config = world_transfer.Config.quick().model_copy(update={"scene": 32})
    report = world_transfer.run(config, tmp_path, seed=3)
    networks, forests = {"world", "shuffled", "scratch"}, {"random_forest", "world_forest", "shuffled_forest"}
    assert {row.backbone for row in report.rows} == networks | forests
    assert {row.metric for row in report.rows} == {
        "miou",
        "miou_planted",
        "miou_planted_0",
        "miou_rstoolbox_sen2",
        "miou_sen1floods11_s2",
    }
    values = {(row.backbone, row.metric): row.value for row in report.rows}
    assert len(values) == len(report.rows) and all(0 <= value <= 1 for value in values.values())
    real = [values["world", name] for name in ("miou_rstoolbox_sen2", "miou_sen1floods11_s2")]
    assert values["world", "miou"] == pytest.approx(np.mean(real))
    assert {row.data_kind for row in report.rows} == {"fixture", "simulated"}
    assert (tmp_path / "report.html").is_file()
    again = world_transfer.run(config, tmp_path, seed=3)
    assert [row.value for row in again.rows] == [row.value for row in report.rows]
