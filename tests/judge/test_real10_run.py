"""Ranks, the resumable run and the page of real10."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from swath.errors import ConfigError, ContractError, InputError
from swath.judge.real10 import (
    BASELINES,
    TASKS,
    Contender,
    Inputs,
    Plan,
    Target,
    mean_ranks,
    page,
    rank_table,
    run,
    scores_table,
    suite_ranks,
)
from swath.judge.real10.ask import chosen, miniature, record
from swath.judge.real10.ranks import ranks
from swath.judge.real10.run import ALL, FEW, score

TASK = {task.name: task for task in TASKS}
CHEAP = BASELINES[:2]


def test_ranks_by_hand() -> None:
    np.testing.assert_array_equal(ranks(np.array([[0.1, 0.5, 0.3], [1.0, 1.0, 0.0]])), [[3, 1, 2], [1.5, 1.5, 3]])
    with pytest.raises(InputError, match="1 of 2 scores are NaN"):
        ranks(np.array([np.nan, 1.0]))


@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 5), st.integers(1, 6)), elements=st.floats(-5, 5)))
def test_ranks_sum_to_the_same_and_follow_the_order(scores: np.ndarray) -> None:
    found, count = ranks(scores), scores.shape[1]
    np.testing.assert_allclose(found.sum(axis=1), count * (count + 1) / 2)
    np.testing.assert_allclose(found, ranks(3 * scores))
    assert ((found[:, :1] <= found) | (scores[:, :1] <= scores)).all()


def test_mean_ranks_and_their_intervals() -> None:
    always = [np.array([[0.9, 0.5, 0.1]] * 3)] * 4
    best, middle, worst = mean_ranks(("a", "b", "c"), always)
    assert (best.mean, best.low, best.high) == (1, 1, 1) and (middle.mean, worst.mean, worst.tasks) == (2, 3, 4)
    mixed = [np.array([[1.0, 0.0]] * 5), np.array([[0.0, 1.0]] * 5), np.array([[1.0, 0.0]] * 5)]
    first, second = mean_ranks(("a", "b"), mixed)
    assert first.mean == pytest.approx(4 / 3) and first.mean + second.mean == pytest.approx(3)
    assert first.low == 1 and first.high == 2 and first.low < first.mean < first.high
    seeds_only = mean_ranks(("a", "b"), [np.array([[1.0, 0.0], [0.0, 1.0]])] * 2)
    assert seeds_only[0].low < 1.5 < seeds_only[0].high
    (alone,) = mean_ranks(("a",), [np.array([[0.2]])])
    assert alone.mean == 1 and np.isnan(alone.low)


def test_ranks_of_nothing_are_refused() -> None:
    for tables in ([], [np.zeros((0, 2))], [np.zeros((3, 1))]):
        with pytest.raises(InputError, match="There are scores of shapes"):
            mean_ranks(("a", "b"), tables)


class Spy:
    """Counts what it is asked, and notes what it was shown."""

    fits: int = 0

    def __init__(self, answer: Any = None) -> None:
        self._answer = answer

    def fit(self, inputs: Inputs, target: Target) -> Self:
        type(self).fits += 1
        self._names, self._classes = len(target.names), target.classes
        return self

    def predict(self, inputs: Inputs) -> Any:
        assert isinstance(inputs, Inputs) and not hasattr(inputs, "target")
        if self._answer is not None:
            return self._answer(inputs)
        samples, height, width = inputs.answer_shape
        return (
            np.zeros((samples, height, width), np.int64)
            if self._classes
            else np.zeros((samples, self._names, height, width))
        )


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Two small tasks, the cheap baselines and a spy."""
    Spy.fits = 0
    contenders = (*CHEAP, Contender("spy", "v1", lambda seed: Spy()))
    return miniature(tmp_path / "data", (TASK["vegetation"], TASK["fuel_moisture"]), contenders)


def test_every_cell_is_measured_once(plan: Plan, tmp_path: Path) -> None:
    said: list[str] = []
    measured = run(tmp_path / "out", plan, said.append)
    assert len(said) == 2 * 2 * 3 and Spy.fits == 4
    assert not measured.failures and not measured.missing
    assert {row.data_kind for row in measured.table} == {"fixture"}
    again = run(tmp_path / "out", plan, said.append)
    assert len(said) == 12 and Spy.fits == 4 and again.table.rows == measured.table.rows
    more = run(tmp_path / "out", replace(plan, seeds=(0, 1)), said.append)
    assert Spy.fits == 8 and len(more.table) == 2 * len(measured.table)
    fewer = run(tmp_path / "out", replace(plan, variants=(FEW,)))
    assert {row.protocol for row in fewer.table} == {FEW} and Spy.fits == 8


def test_a_contender_with_other_options_is_measured_again(plan: Plan, tmp_path: Path) -> None:
    run(tmp_path / "out", plan)
    changed = replace(plan, contenders=(*CHEAP, Contender("spy", "v2", lambda seed: Spy())))
    measured = run(tmp_path / "out", changed)
    assert Spy.fits == 8
    assert {row.note for row in measured.table if row.backbone == "spy"} == {"v2"}


def test_other_data_are_measured_again(plan: Plan, tmp_path: Path) -> None:
    run(tmp_path / "out", plan)
    TASK["vegetation"].write_fake(tmp_path / "data" / "sits_modis_s2", 1)
    run(tmp_path / "out", plan)
    assert Spy.fits == 6


def test_a_stop_loses_one_cell(plan: Plan, tmp_path: Path) -> None:
    def stop(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "out", plan, stop)
    measured = run(tmp_path / "out", plan)
    assert len({(row.dataset, row.protocol, row.backbone) for row in measured.table}) == 12


def test_a_contender_that_fails_is_noted_and_the_rest_goes_on(plan: Plan, tmp_path: Path) -> None:
    def nan(inputs: Inputs) -> Any:
        samples, height, width = inputs.answer_shape
        return np.full((samples, 1, height, width), np.nan)

    broken = replace(plan, contenders=(*CHEAP, Contender("broken", "v1", lambda seed: Spy(nan))))
    measured = run(tmp_path / "out", broken)
    reasons = {each.item: each.reason for each in measured.failures}
    assert len(reasons) == 4 and (tmp_path / "out" / "failures.csv").is_file()
    assert "shape" in reasons["vegetation, all labels, seed 0, broken"]
    assert "NaN" in reasons["fuel_moisture, all labels, seed 0, broken"]
    assert {row.backbone for row in measured.table} == {"constant", "linear"}
    assert "Failed: fuel_moisture" in page(measured)


def test_what_is_missing_is_said_and_what_is_damaged_too(plan: Plan, tmp_path: Path) -> None:
    tasks = (*plan.tasks, TASK["floods"], TASK["materials"])
    (tmp_path / "data" / "hyperspectral_jasper_ridge").mkdir()
    measured = run(tmp_path / "out", replace(plan, tasks=tasks))
    assert set(measured.missing) == {"floods"} and "There is no directory" in measured.missing["floods"]
    assert [each.item for each in measured.failures] == ["materials"]
    text = page(measured, tasks)
    assert "Missing: floods" in text and "Failed: materials" in text and "| vegetation |" in text


def test_frozen_data_only(plan: Plan, tmp_path: Path) -> None:
    measured = run(tmp_path / "out", replace(plan, frozen=True))
    assert len(measured.table) == 0 and len(measured.failures) == 2
    assert all("data hash" in each.reason for each in measured.failures)


def test_the_page_shows_scores_and_ranks(plan: Plan, tmp_path: Path) -> None:
    measured = run(tmp_path / "out", replace(plan, seeds=(0, 1, 2)))
    table = scores_table(measured.table, ALL, plan.tasks)
    assert table.splitlines()[0] == "| task | metric | train / test | constant | linear | spy |"
    assert "| vegetation | balanced accuracy [%] | " in table and "| fuel_moisture | RMSE | 80 / 40 | " in table
    found = {each.name: each for each in suite_ranks(measured.table, ALL, plan.tasks)}
    assert found["linear"].mean == 1 and found["linear"].tasks == 2
    assert found["spy"].mean > found["constant"].mean  # zero percent moisture is a bad guess
    assert "| both | 2 | " in page(measured, plan.tasks)
    told = record(measured)
    assert {each["name"] for each in told["ranks"]["both"]} == {"constant", "linear", "spy"}


def test_a_task_without_all_contenders_is_not_ranked(plan: Plan, tmp_path: Path) -> None:
    run(tmp_path / "out", replace(plan, tasks=plan.tasks[:1], contenders=plan.contenders[:1]))
    table = run(tmp_path / "out", replace(plan, tasks=plan.tasks[1:])).table
    part = run(tmp_path / "out", replace(plan, tasks=plan.tasks[:1], contenders=plan.contenders[:1])).table
    table.extend(part)
    (first, *_) = suite_ranks(table, ALL, plan.tasks)
    assert first.tasks == 1
    assert "nan" not in rank_table(table, plan.tasks)


def test_scores_by_hand() -> None:
    target = Target(np.array([[[0, 1]], [[1, -100]]]), ("a", "b"))
    found = score(TASK["floods"], target, np.array([[[0, 0]], [[1, 1]]]), ["x", "y"])
    assert list(found) == ["miou", "balanced_accuracy", "accuracy"]
    assert found["miou"] == pytest.approx(0.5) and found["accuracy"] == pytest.approx(2 / 3)
    quantity = Target(np.array([1.0, 3.0, np.nan])[:, None, None, None], ("q",))
    found = score(TASK["algae_blooms"], quantity, np.array([2.0, 3.0, 9.0])[:, None, None, None], ["x", "y", "z"])
    assert found["rmse"] == pytest.approx(np.sqrt(0.5)) and found["r2"] == pytest.approx(0.5)
    with pytest.raises(ContractError, match="whole class numbers"):
        score(TASK["floods"], target, np.zeros((2, 1, 2)), ["x", "y"])
    with pytest.raises(InputError):
        score(TASK["floods"], target, np.full((2, 1, 2), 5), ["x", "y"])


def test_plans_that_make_no_sense() -> None:
    for change in ({"tasks": ()}, {"seeds": ()}, {"contenders": (CHEAP[0], CHEAP[0])}, {"variants": ("some",)}):
        with pytest.raises(ConfigError, match="The plan has"):
            Plan(**change)
    with pytest.raises(ConfigError, match="the nearest are: floods"):
        chosen(TASKS, ["flods"], "task")
    assert [task.name for task in chosen(TASKS, ["planet", "floods"], "task")] == ["floods", "planet"]
