"""Heads equal scikit-learn, survive storing, and blocks hold out whole neighbourhoods."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from swath.embed.blocks import block_score, difference, held_out, spatial_blocks
from swath.embed.heads import Linear, fit_head, head_from
from swath.embed.trees import Trees
from swath.errors import ConfigError, InputError


def rows_of(classes: int, number: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    stream = np.random.default_rng(seed)
    labels = np.arange(number) % classes
    rows = stream.normal(0, 1, (number, 5)).astype(np.float32)
    rows[:, 0] += 3 * labels
    return rows, labels


@pytest.mark.parametrize("classes", [2, 3])
def test_the_linear_head_is_logistic_regression_on_standardised_rows(classes: int) -> None:
    rows, labels = rows_of(classes)
    scaled = (rows - rows.astype(np.float64).mean(0)) / rows.astype(np.float64).std(0)
    wanted = LogisticRegression(C=1.0, max_iter=1000).fit(scaled, labels).predict_proba(scaled)
    assert np.allclose(fit_head("linear", rows, labels, classes).probability(rows), wanted, atol=1e-4)


@pytest.mark.parametrize("classes", [2, 4])
def test_stored_trees_say_what_the_forest_says(classes: int) -> None:
    rows, labels = rows_of(classes)
    forest = RandomForestClassifier(20, random_state=0).fit(rows, labels)
    other = rows_of(classes, 33, seed=5)[0]
    assert np.allclose(Trees.of(forest).probability(other), forest.predict_proba(other), atol=1e-12)
    assert Trees.of(forest).probability(other[:0]).shape == (0, classes)


@pytest.mark.parametrize("name", ["linear", "forest"])
def test_a_class_without_rows_is_never_predicted_and_constant_columns_do_no_harm(name: str) -> None:
    rows, labels = rows_of(2)
    rows[:, 3] = 7.0
    shares = fit_head(name, rows, labels * 2, 3).probability(rows)
    assert np.isfinite(shares).all() and np.allclose(shares.sum(axis=1), 1)
    assert (shares[:, 1] < 1e-9).all()
    assert np.mean(shares.argmax(axis=1) == labels * 2) > 0.9
    with pytest.raises(InputError, match="at least two"):
        fit_head(name, rows, np.zeros(len(rows), np.int64), 3)
    with pytest.raises(ConfigError, match="The head is 'deep'"):
        fit_head("deep", rows, labels, 2)


@pytest.mark.parametrize("name", ["linear", "forest"])
def test_heads_come_back_from_disk_and_damaged_ones_are_refused(tmp_path: Path, name: str) -> None:
    rows, labels = rows_of(3)
    head = fit_head(name, rows, labels, 3)
    save_file(head.tensors(), tmp_path / "head.safetensors")
    stored = load_file(tmp_path / "head.safetensors")
    assert np.array_equal(head_from(name, stored, 5, 3, "h").probability(rows), head.probability(rows))
    for damage in (
        {"features": 4 if name == "linear" else 1},
        {"classes": 2},
    ):
        with pytest.raises(InputError, match="'h' is damaged"):
            head_from(name, stored, damage.get("features", 5), damage.get("classes", 3), "h")
    first = next(iter(stored))
    with pytest.raises(InputError, match="damaged"):
        head_from(name, {key: value for key, value in stored.items() if key != first}, 5, 3, "h")


def test_a_tree_that_leads_in_circles_is_refused() -> None:
    rows, labels = rows_of(2)
    stored = fit_head("forest", rows, labels, 2).tensors()
    inner = int(np.flatnonzero(stored["left"] >= 0)[0])
    circle = stored["left"].copy()
    circle[inner] = inner
    with pytest.raises(InputError, match="damaged"):
        head_from("forest", stored | {"left": circle}, 5, 2, "h")


def test_blocks_keep_neighbours_and_polygons_together() -> None:
    cells = np.array([(0, 0), (1, 1), (0, 30), (1, 31), (30, 0), (30, 30), (30, 31), (31, 31)])
    objects = np.array([0, 1, 2, 3, 4, 5, 5, 6])
    labels = np.array([0, 1, 0, 1, 0, 1, 1, 0])
    blocks = spatial_blocks(cells, objects, labels, side=8)
    assert blocks.count == 4 and blocks.folds == 4
    assert blocks.block[0] == blocks.block[1] != blocks.block[2] == blocks.block[3]
    assert blocks.block[5] == blocks.block[6]
    with pytest.raises(ConfigError, match="positive"):
        spatial_blocks(cells, objects, labels, side=0)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(0, 5))
def test_no_label_is_predicted_by_a_head_that_saw_its_block(number: int, seed: int) -> None:
    stream = np.random.default_rng(seed)
    cells, labels = stream.integers(0, 50, (number, 2)), stream.integers(0, 3, number)
    blocks = spatial_blocks(cells, np.arange(number), labels, seed=seed)
    tested = np.zeros(number, int)

    def predict(train: np.ndarray, test: np.ndarray) -> np.ndarray:
        assert not set(blocks.block[train]) & set(blocks.block[test])
        tested[test] += 1
        return labels[test]

    found = held_out(blocks, labels, predict)
    assert tested.max() <= 1
    assert (found[tested == 1] == labels[tested == 1]).all()


def test_the_interval_is_over_blocks_and_the_difference_is_paired() -> None:
    cells = np.array([(row * 10, 0) for row in range(10)])
    labels = np.arange(10) % 2
    blocks = spatial_blocks(cells, np.arange(10), labels, side=5)
    right = block_score(blocks, labels, labels, 2)
    wrong = block_score(blocks, labels, np.where(np.arange(10) < 3, 1 - labels, labels), 2)
    assert float(right.accuracy.estimate) == 1.0 and float(wrong.accuracy.estimate) == pytest.approx(0.7)
    assert wrong.accuracy.units == 10
    assert float(wrong.accuracy.low) < 0.7 < float(wrong.accuracy.high)
    apart = difference(right, wrong)
    assert float(apart.estimate) == pytest.approx(0.3) and float(difference(right, right).high) == 0.0
    alone = block_score(spatial_blocks(cells, np.zeros(10, int), labels), labels, labels, 2)
    assert np.isnan(float(alone.accuracy.low))


def test_linear_shares_do_not_overflow() -> None:
    head = Linear(np.zeros(2), np.ones(2), np.array([[1e4, 0.0], [0.0, 1e4]]), np.zeros(2))
    assert np.allclose(head.probability(np.array([[9, 0], [0, 9]], np.float32)), np.eye(2))
