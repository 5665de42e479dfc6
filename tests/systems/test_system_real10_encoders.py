"""The comparison of encoders with the forest: ranks, controls and what is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from swath.errors import ConfigError, InputError
from swath.failures import Failure, Failures
from swath.judge import ResultTable
from swath.judge.real10 import TASKS, Inputs, Measured
from swath.judge.real10.samples import Target
from swath.sensors import BandSet
from swath.systems.eo import _real10_rows as made
from swath.systems.eo._real10_controls import Planted
from swath.systems.eo.real10_encoders import Config, prepare
from swath.types import IGNORE, ResultRow

TASK = {task.name: task for task in TASKS}


def score(task: str, name: str, value: float, variant: str) -> ResultRow:
    metric = TASK[task].metric
    return ResultRow(
        "bench", "real10", dataset=task, protocol=variant, backbone=name, seed=3, metric=metric, value=value
    )


def test_ranks_by_hand() -> None:
    scores = {"floods": {"a": 0.9, "b": 0.5, "c": 0.7}, "fuel_moisture": {"a": 30.0, "b": 20.0, "c": 25.0}}
    table = ResultTable(
        score(task, name, value, variant)
        for variant in made.SHORT
        for task, values in scores.items()
        for name, value in values.items()
    )
    rows = made.rows("demo", table, [TASK["floods"], TASK["fuel_moisture"]], (("a", "b"), ("c",)), "hash")
    found = {(row.metric, row.backbone, row.group): row.value for row in rows}
    assert found["rank_few", "a", "floods"] == 1 and found["rank_few", "a", "fuel_moisture"] == 2
    assert found["rank_few_controls", "b", "floods"] == 3 and found["rank_few_controls", "c", "fuel_moisture"] == 2
    assert found["mean_rank_all", "a", None] == found["mean_rank_all", "b", None] == 1.5
    assert found["miou_floods_few", "c", None] == 0.7 and ("rank_few", "c", "floods") not in found
    ResultTable(rows)  # no number twice
    assert {(row.system, row.seed, row.dataset_hash) for row in rows} == {("demo", 3, "hash")}


def test_what_lacks_a_contender_or_a_task_is_refused() -> None:
    made.check_whole(Measured(ResultTable(), {}, Failures()))
    failures = Failures()
    failures.add(Failure.of("floods, few labels, seed 0, forest", "fit", ValueError("no")))
    for measured in (
        Measured(ResultTable(), {"floods": "no folder"}, Failures()),
        Measured(ResultTable(), {}, failures),
    ):
        with pytest.raises(InputError, match="Not every contender could be measured"):
            made.check_whole(measured)


def test_the_planted_answer_is_there_and_blurred() -> None:
    values = np.random.default_rng(0).integers(0, 3, (40, 5, 5))
    values[0] = IGNORE
    target = Target(values, ("a", "b", "c"))
    given = Inputs(
        np.zeros((40, 1, 1, 5, 5), np.float32), np.ones((40, 1, 1, 5, 5), bool), BandSet.of("x"),
        np.zeros((40, 1), np.int64), np.zeros((40, 2)), True,
    )  # fmt: skip
    planted = Planted({"floods": target}, 0.25)
    found = planted.features(given, "floods")
    assert found.shape == (40, 3, 5, 5) and planted.version == "planted-0.25"
    assert (found[1:].argmax(axis=1) == values[1:]).mean() > 0.99 and 0 < np.abs(found[0]).max() < 1.5
    numbers = Target(np.linspace(0, 100, 40)[:, None, None, None], ("moisture",), "%")
    quantity = Planted({"fuel_moisture": numbers}, 0.25).features(
        dataclasses.replace(given, dense=False), "fuel_moisture"
    )
    assert np.corrcoef(quantity.ravel(), numbers.values.ravel())[0, 1] > 0.94


def test_tasks_that_an_encoder_cannot_be_asked_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"planet of presto\+linear"):
        prepare(Config.quick().model_copy(update={"tasks": ("planet",)}), tmp_path)
    with pytest.raises(ConfigError, match="the nearest are: floods"):
        prepare(Config.quick().model_copy(update={"tasks": ("flods",)}), tmp_path)
