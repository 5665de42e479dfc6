"""The commands that label and join, and scoring through the front door for every task."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from chip_scenes import LEGEND, chip_set, label_map, scene
from typer.testing import CliRunner

import swath
from swath import chips
from swath.cli.chips import app
from swath.errors import ConfigError, InputError
from swath.types import Batch, Prediction


class Knows:
    """Predicts the truth; it is told by the batch, so that scores are known."""

    def __init__(self, samples: chips.Samples) -> None:
        self.task, self.inputs, self.classes = samples.task, samples.inputs, samples.classes
        self.quantities, self.target = samples.quantities, samples.target

    def predict(self, batch: Batch) -> Prediction:
        truth, known = batch.targets[self.target], batch.target_valid[self.target]
        if self.task in ("regression", "pixel_regression"):
            valid = torch.ones((len(truth), *truth.shape[2:]), dtype=torch.bool)
            return Prediction(self.task, {"mean": truth + 1}, valid)
        if self.task == "multilabel":
            return Prediction(
                self.task, {"logits": truth * 8 - 4}, torch.ones(len(truth), dtype=torch.bool), self.classes
            )
        hot = torch.nn.functional.one_hot(truth.clamp(min=0), len(self.classes)).float().movedim(-1, 1)
        return Prediction(self.task, {"logits": hot}, torch.ones_like(known), self.classes)


def sets(folder: Path, task: str) -> chips.ChipSet | chips.JoinedSet:
    """A set of each task with a split."""
    if task == "change":
        made = chips.cut(
            scene((64, 96), dates=2), label_map((64, 96)), folder / "a", size=16, legend=LEGEND, task="change"
        )
    else:
        made = chip_set(folder / "a")
    chips.split_by_block(made, block_chips=1, buffer_chips=0, seed=0).save(made.folder / "split.parquet")
    if task in ("classification", "multilabel"):
        made, _ = chips.label_from_rasters(made.folder, task, min_share=0.34)
    if task == "regression":
        pd.DataFrame({"id": made.ids, "a": range(len(made))}).to_csv(folder / "t.csv", index=False)
        made, _ = chips.label_from_table(made.folder, folder / "t.csv", "regression", ["a"], units=["m"])
    if task == "joined":
        chips.cut(scene((64, 96), seed=5), label_map((64, 96)), folder / "b", size=16, legend=LEGEND)
        return chips.join({"one": made.folder, "two": folder / "b"}, folder / "both")
    return made


@pytest.mark.parametrize(
    ("task", "metric", "value"),
    [
        ("segmentation", "accuracy", 1.0),
        ("change", "miou", 1.0),
        ("classification", "accuracy", 1.0),
        ("multilabel", "map", 1.0),
        ("regression", "rmse", 1.0),
        ("joined", "accuracy", 1.0),
    ],
)
def test_every_task_is_scored_through_the_front_door(tmp_path: Path, task: str, metric: str, value: float) -> None:
    samples = sets(tmp_path, task)
    result = swath.score(Knows(samples), samples.folder)
    assert result.value(metric) == pytest.approx(value)
    row = next(row for row in result.rows if row.metric == metric)
    assert row.n_test == len(result.ids) == 5 and row.dataset_hash == samples.fingerprint[:12]
    assert result.value("excluded_share") == 0.0
    if task == "regression":
        assert row.note is not None and "a in m" in row.note


def test_a_model_of_another_task_or_quantity_is_refused(tmp_path: Path) -> None:
    samples = sets(tmp_path, "regression")
    model = Knows(samples)
    model.quantities = ("b",)
    with pytest.raises(InputError, match=r"tells b apart.*quantities a"):
        swath.score(model, samples)
    model.task = "segmentation"
    with pytest.raises(InputError, match=r"made for segmentation.*ask for regression"):
        swath.score(model, samples)


def run(*words: str) -> str:
    result = CliRunner().invoke(app, list(words))
    if result.exception is not None:
        raise result.exception
    return result.output


def test_commands_say_what_was_left_out(tmp_path: Path) -> None:
    samples = sets(tmp_path, "joined")
    pd.DataFrame({"id": [samples.ids[0], samples.ids[1], "no"], "a": [1.0, None, 3.0]}).to_csv(tmp_path / "t.csv")
    said = run("label", f"{tmp_path}/a", "--task", "classification")
    assert "24 of 24 chips have an answer" in said and "classification: water, forest, crop" in said
    said = run("join", f"one={tmp_path}/a", f"two={tmp_path}/b", "--out", f"{tmp_path}/both")
    assert "24 chips with one, two" in said and "two: 0 chips lack it; 0 of its 24 chips are not used" in said
    said = run("label", f"{tmp_path}/a", "--task", "regression", "--table", f"{tmp_path}/t.csv", "--column", "a")
    assert "1 of 24 chips have an answer" in said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["label", "x", "--task", "regression", "--table", "t.csv"], "--table and --column"),
        (["join", "a", "b=c", "--out", "o"], "NAME=FOLDER"),
        (["join", "a=b", "a=c", "--out", "o"], "every name once"),
    ],
)
def test_options_that_make_no_sense_are_refused(words: list[str], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        run(*words)


def test_labels_and_values_exclude_each_other(tmp_path: Path) -> None:
    for labels, options, sentence in (
        (None, {}, "Neither"),
        (label_map((64, 96)), {"values": "v.tif"}, "Both"),
        ("l.tif", {"quantities": ["a"]}, "'quantities'"),
        ("l.tif", {"task": "pixel_regression"}, "'pixel_regression'"),
        (None, {"values": "v.tif", "column": "c"}, "'column'"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            swath.chips(scene((64, 96)), labels, tmp_path / "a", **options)  # type: ignore[arg-type]


@pytest.mark.skipif("SWATH_DATA" not in os.environ, reason="SWATH_DATA is not set: real scenes are not at hand")
def test_real_elevation_under_a_real_scene(tmp_path: Path) -> None:
    folder = Path(os.environ["SWATH_DATA"]) / "rstoolbox"
    made = swath.chips(
        swath.open(folder / "lsat.tif", time="2011-06-10"),
        None,
        tmp_path / "a",
        values=swath.open(folder / "srtm_lsat.tif", time="2011-06-10"),
        quantities=["elevation"],
        units=["m"],
        size=32,
    )
    split = chips.split_by_block(made, block_chips=2, buffer_chips=0, seed=0)
    found = chips.value_statistics(made, split)
    assert (len(made), found.quantities, found.units) == (72, ("elevation",), ("m",))
    assert 60 < found.mean[0] < 150 and 10 < found.std[0] < 60
    assert np.isfinite(made.batch(made.ids).targets["value"].numpy()).all()
