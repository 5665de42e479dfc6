"""Scoring of several labels and of quantities: the numbers of swath.metrics, whatever the batches."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from swath.errors import ConfigError, ContractError, InputError
from swath.judge import compare, score
from swath.metrics import ClassRanking, Multilabel, Regression
from swath.sensors import BandSet
from swath.types import IGNORE, Batch, Modality, Prediction

LABELS = ("road", "roof", "pool")
SIZE = 3
GRID = GeoBox((SIZE, SIZE), Affine(0.1, 0, 0, 0, -0.1, 0), "EPSG:4326")


class Told:
    """Predicts what it was told per sample id."""

    def __init__(self, task: str, key: str, answers: dict[str, torch.Tensor], valid: dict[str, torch.Tensor]) -> None:
        self.task, self.key, self.answers, self.valid = task, key, answers, valid
        self.inputs = {"image": BandSet.of("red")}
        self.classes = LABELS if task == "multilabel" else ()

    def predict(self, batch: Batch) -> Prediction:
        outputs = {self.key: torch.stack([self.answers[name] for name in batch.ids])}
        valid = torch.stack([self.valid[name] for name in batch.ids])
        return Prediction(self.task, outputs, valid, self.classes)  # type: ignore[arg-type]


def batches_of(ids: list[str], target: str, truth: torch.Tensor, usable: torch.Tensor, sizes: list[int]) -> list[Batch]:
    """The samples in batches of some sizes, the rest in one."""
    bounds = [0, *np.cumsum(sizes).tolist(), len(ids)]
    made = []
    for start, stop in itertools.pairwise(bounds):
        part = slice(min(start, len(ids)), min(stop, len(ids)))
        count = part.stop - part.start
        if count == 0:
            continue
        image = Modality(
            torch.zeros(count, 1, 1, SIZE, SIZE),
            torch.ones(count, 1, 1, 1, 1, dtype=torch.bool),
            BandSet.of("red"),
            torch.zeros(count, 1, dtype=torch.int64),
            (GRID,) * count,
        )
        made.append(Batch({"image": image}, {target: truth[part]}, {target: usable[part]}, tuple(ids[part])))
    return made


def quantities(
    count: int, seed: int = 0, kinds: int = 2, pixels: bool = True, offset: float = 0.0
) -> tuple[Told, Callable[..., list[Batch]], Regression, list[Regression]]:
    """A predictor of quantities, its batches, and the errors by metrics.Regression: of the first, and of all."""
    draw = np.random.default_rng(seed)
    shape = (count, kinds, SIZE, SIZE) if pixels else (count, kinds)
    truth = torch.from_numpy((draw.normal(size=shape) + offset).astype(np.float32))
    usable = torch.from_numpy(draw.random(shape) < 0.8)
    usable[0] = True
    mean = truth + torch.from_numpy(draw.normal(0.2, 0.5, shape).astype(np.float32))
    valid = torch.from_numpy(draw.random((count, *shape[2:])) < 0.9)
    valid[0] = True
    ids = [f"chip{number}" for number in range(count)]
    task = "pixel_regression" if pixels else "regression"
    told = Told(task, "mean", dict(zip(ids, mean, strict=True)), dict(zip(ids, valid, strict=True)))
    expected = [Regression() for _ in range(kinds)]
    for kind, each in enumerate(expected):
        each.update(truth[:, kind].double(), mean[:, kind].double(), usable[:, kind] & valid)
    dirty = torch.where(usable, truth, torch.full_like(truth, 1e30))

    def batches(sizes: list[int] | None = None, under: bool = False) -> list[Batch]:
        return batches_of(ids, "value", dirty if under else truth, usable, sizes or [])

    return told, batches, expected[0], expected


def several(count: int, seed: int = 0) -> tuple[Told, Callable[..., list[Batch]], dict[str, float], int]:
    """A predictor of several labels, its batches, the scores by swath.metrics, and how many targets were left out."""
    draw = np.random.default_rng(seed)
    truth = torch.from_numpy((draw.random((count, 3)) < 0.4).astype(np.float32))
    # Few distinct logits, so that there are ties.
    logits = torch.from_numpy(np.round(draw.normal(size=(count, 3)) + truth.numpy(), 1).astype(np.float32))
    usable = torch.from_numpy(draw.random((count, 3)) < 0.8)
    valid = torch.from_numpy(draw.random(count) < 0.9)
    usable[0], valid[0], truth[0, :] = True, True, 1.0
    ids = [f"chip{number}" for number in range(count)]
    told = Told("multilabel", "logits", dict(zip(ids, logits, strict=True)), dict(zip(ids, valid, strict=True)))
    seen = usable & valid[:, None]
    labels = torch.where(seen, truth.long(), IGNORE)
    ranking, counted = ClassRanking(LABELS), Multilabel(LABELS)
    ranking.update(labels, logits.sigmoid())
    counted.update(labels, logits.sigmoid())
    expected = {name: float(outcome) for name, outcome in counted.compute().items()}
    expected["map"] = float(ranking.compute()["ap_macro"])
    expected |= {f"ap {name}": float(answers["ap"]) for name, answers in ranking.per_class().items()}

    def batches(sizes: list[int] | None = None) -> list[Batch]:
        return batches_of(ids, "label", truth, usable, sizes or [])

    return told, batches, expected, int((usable & ~valid[:, None]).sum())


def numbers(result: Any) -> list[Any]:
    return [(row.metric, row.class_name, row.value, row.ci_low, row.ci_high, row.note) for row in result.rows]


@pytest.mark.parametrize("pixels", [True, False])
def test_quantities_are_scored_as_the_metrics_say(pixels: bool) -> None:
    told, batches, _, expected = quantities(12, pixels=pixels)
    result = score(told, batches(), quantities={"height": "m", "mass": "t"})
    rows = {(row.metric, row.class_name): row for row in result.rows}
    for name, each in zip(("height", "mass"), expected, strict=True):
        for metric in ("rmse", "mae", "r2", "bias"):
            row = rows[metric, name]
            assert row.value == pytest.approx(each.scores()[metric], rel=1e-9)
            assert row.ci_low < row.value < row.ci_high
            assert "over 12 samples" in row.note and row.n_test == 12
    assert "in m;" in rows["rmse", "height"].note and "in" not in rows["r2", "height"].note.split(";")[0].split()
    assert rows["r2", None].value == pytest.approx(np.mean([each.r2() for each in expected]))
    assert (rows["rmse", "mass"].higher_is_better, rows["bias", "mass"].higher_is_better) == (False, None)
    assert ("rmse", None) not in rows
    assert result.excluded == result.labelled - sum(each.count for each in expected) > 0
    assert rows["excluded_share", None].value == result.excluded_share
    with pytest.raises(ConfigError, match=r"confusion matrix.*regression"):
        _ = result.confusion


def test_one_quantity_has_overall_numbers_and_large_offsets_keep_their_digits() -> None:
    told, batches, expected, _ = quantities(8, kinds=1, offset=1000.0)
    result = score(told, batches())
    assert result.value("r2") == pytest.approx(expected.r2(), rel=1e-9)
    assert result.value("rmse") == pytest.approx(expected.rmse(), rel=1e-9)
    with pytest.raises(ConfigError, match=r"'rsme'.*rmse"):
        result.value("rsme")


def test_constant_observations_have_no_r2() -> None:
    told, batches, _, _ = quantities(4, kinds=1, pixels=False)
    constant = [
        Batch(b.inputs, {"value": torch.full_like(b.targets["value"], 0.1)}, b.target_valid, b.ids) for b in batches()
    ]
    result = score(told, constant)
    assert np.isnan(result.value("r2")) and np.isfinite(result.value("rmse"))
    assert next(row for row in result.rows if row.metric == "r2").ci_low is None


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 5), max_size=8), st.integers(0, 3), st.booleans())
def test_quantities_do_not_depend_on_batches_or_on_what_lies_under_the_mask(
    sizes: list[int], seed: int, pixels: bool
) -> None:
    told, batches, _, _ = quantities(11, seed, pixels=pixels)
    assert numbers(score(told, batches(sizes, under=True))) == numbers(score(told, batches()))


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 5), max_size=8), st.integers(0, 3))
def test_several_labels_do_not_depend_on_batches(sizes: list[int], seed: int) -> None:
    told, batches, _, _ = several(11, seed)
    np.testing.assert_equal(numbers(score(told, batches(sizes))), numbers(score(told, batches())))


@pytest.mark.parametrize("seed", range(4))
def test_several_labels_are_scored_as_the_metrics_say(seed: int) -> None:
    told, batches, expected, left_out = several(40, seed)
    result = score(told, batches([7]))
    rows = {(row.metric, row.class_name): row for row in result.rows}
    for metric in ("map", "f1_micro", "f1_macro", "f1_samples"):
        row = rows[metric, None]
        assert row.value == result.value(metric) == pytest.approx(expected[metric], rel=1e-6)
        assert row.ci_low < row.value < row.ci_high
    for name in LABELS:
        assert rows["ap", name].value == pytest.approx(expected[f"ap {name}"], rel=1e-6)
    assert result.excluded == left_out > 0
    assert "mean over 3 of 3 labels" in rows["map", None].note


def test_groups_are_what_is_resampled() -> None:
    told, batches, _, _ = several(40)
    groups = {f"chip{number}": f"block {number % 4}" for number in range(40)}
    by_group, by_sample = score(told, batches(), groups=groups), score(told, batches())
    assert by_group.value("map") == by_sample.value("map")
    assert "over 4 groups" in by_group.rows[0].note and "over 40 samples" in by_sample.rows[0].note
    told, batches, _, _ = quantities(40)
    assert "over 4 groups" in score(told, batches(), groups=groups).rows[0].note
    alone = score(told, batches(), groups=dict.fromkeys(groups, "all"))
    assert all(row.ci_low is None for row in alone.rows if row.metric == "rmse")
    with pytest.raises(InputError, match="no group, such as chip1"):
        score(told, batches(), groups={"chip0": "a"})


def test_a_label_that_nobody_has_is_left_out_of_the_mean_and_said() -> None:
    told, batches, _, _ = several(20)
    bare = []
    for batch in batches():
        truth = batch.targets["label"].clone()
        truth[:, 2] = 0
        bare.append(Batch(batch.inputs, {"label": truth}, batch.target_valid, batch.ids))
    result = score(told, bare)
    rows = {(row.metric, row.class_name): row for row in result.rows}
    assert np.isnan(rows["ap", "pool"].value) and rows["ap", "pool"].ci_low is None
    assert result.value("map") == pytest.approx((rows["ap", "road"].value + rows["ap", "roof"].value) / 2)
    assert "mean over 2 of 3 labels" in rows["map", None].note


def test_two_predictors_of_quantities_are_compared_in_pairs() -> None:
    told, batches, _, _ = quantities(30, kinds=1)
    better = Told(told.task, "mean", {name: mean * 0.99 for name, mean in told.answers.items()}, told.valid)
    first, second = score(told, batches()), score(better, batches())
    difference = compare(first, second, "rmse")
    assert float(difference.estimate) == pytest.approx(first.value("rmse") - second.value("rmse"))
    with pytest.raises(ConfigError, match=r"'miou'.*rmse"):
        compare(first, second, "miou")
    blind = Told(told.task, "mean", told.answers, {name: torch.zeros_like(v) for name, v in told.valid.items()})
    with pytest.raises(InputError, match="different pixels of 30 samples"):
        compare(first, score(blind, batches()), "rmse")


def test_bad_targets_and_predictions_get_a_sentence() -> None:
    told, batches, _, _ = quantities(4, pixels=False)
    none = [Batch(b.inputs, b.targets, {"value": torch.zeros_like(b.target_valid["value"])}, b.ids) for b in batches()]
    with pytest.raises(InputError, match="All 4 samples lack a valid target"):
        score(told, none)
    with pytest.raises(ContractError, match=r"2 quantities, and 1 are named \(height\)"):
        score(told, batches(), quantities={"height": "m"})
    short = Told(told.task, "mean", {name: mean[:1] for name, mean in told.answers.items()}, told.valid)
    with pytest.raises(ContractError, match="mean of shape"):
        score(short, batches())
    told, batches, _, _ = several(4)
    none = [Batch(b.inputs, b.targets, {"label": torch.zeros_like(b.target_valid["label"])}, b.ids) for b in batches()]
    with pytest.raises(InputError, match="All 4 samples lack a valid target"):
        score(told, none)
    halves = [
        Batch(b.inputs, {"label": b.targets["label"] * 0.5}, {"label": torch.ones_like(b.target_valid["label"])}, b.ids)
        for b in batches()
    ]
    with pytest.raises(InputError, match=r"neither 0 nor 1, such as 0.5 of 'chip0'"):
        score(told, halves)
    with pytest.raises(ConfigError, match="several labels"):
        compare(score(told, batches()), score(told, batches()), "map")
