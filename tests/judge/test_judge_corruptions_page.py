"""The page of a sweep: heat maps, curves, examples beside their predictions."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from judge_samples import BANDS, CLASSES, MakeBatches
from matplotlib.image import imread

from swath.errors import ConfigError, ContractError, InputError
from swath.judge import NearestColour
from swath.judge.corruptions import Example, Sweep, draw_example, sweep, write_sweep_page
from swath.sensors import BandSet
from swath.types import Batch, Prediction, Predictor, ResultRow

FACTS = ResultRow("run", "demo", dataset="made up", backbone="<nearest>", data_kind="fixture", split="test", seed=0)
NAMES = ["haze", "rotate"]


class Tags(HTMLParser):
    """Counts tags and notes those left open."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: dict[str, int] = {}
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1
        if tag not in ("meta", "link", "br", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


class Scenes:
    """A classifier of whole images by their mean."""

    task = "classification"
    classes = ("dark", "bright")
    inputs: Mapping[str, BandSet] = {"image": BANDS}
    extras: Mapping[str, tuple[str, ...]] = {}
    output_stride = 1

    def predict(self, batch: Batch) -> Prediction:
        mean = batch.inputs["image"].values.mean(dim=(1, 2, 3, 4))
        return Prediction("classification", {"logits": torch.stack([1 - mean, mean], 1)}, mean > -9, self.classes)  # type: ignore[arg-type]


@pytest.fixture
def batches(make_batches: MakeBatches) -> list[Batch]:
    return make_batches(count=4, size=32, noise=0.3)


@pytest.fixture
def model(make_batches: MakeBatches) -> Predictor:
    return NearestColour({"image": BANDS}, CLASSES).fit(make_batches(count=6, size=32, seed=1, noise=0.3))


@pytest.fixture
def one(make_batches: MakeBatches) -> Batch:
    return make_batches(count=1, size=32, noise=0.3)[0]


def test_the_page(model: Predictor, batches: list[Batch], one: Batch, tmp_path: Path) -> None:
    rows = sweep(model, batches, NAMES, (1, 5), 0, Sweep(FACTS))
    example = Example(model, one, 0, Sweep())
    path = write_sweep_page(tmp_path / "page.html", rows, "accuracy", command="swath evaluate <here>", example=example)
    text = path.read_text()
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    # The metric that was asked for and five folded ones; two corruptions, their mean and a head in each.
    assert (tags.counts["table"], tags.counts["tr"], tags.counts["details"]) == (6, 24, 5)
    assert tags.counts["img"] == 1 + len(NAMES)  # curves, and one picture a corruption
    assert "http" not in text and "swath evaluate &lt;here&gt;" in text and "&lt;nearest&gt;" in text
    assert "severity set swath-2" in text and 'class="data">fixture' in text
    clean = next(row.value for row in rows if row.metric == "accuracy" and row.corruption is None)
    assert f"Clean: {100 * clean:.1f}" in text
    worst = [row.value for row in rows if (row.metric, row.corruption, row.severity) == ("accuracy", "haze", 5)]
    share = max(0.0, (clean - worst[0]) / clean)
    assert f"rgba(213, 94, 0, {0.75 * share:.2f})" in text
    again = write_sweep_page(
        tmp_path / "again.html", rows, "accuracy", command="swath evaluate <here>", example=example
    )
    assert again.read_bytes() == path.read_bytes()
    assert {each.name for each in tmp_path.iterdir()} == {"page.html", "again.html"}


def test_pictures_show_images_predictions_and_truth(model: Predictor, one: Batch, tmp_path: Path) -> None:
    def drawn(name: str, predictor: Predictor) -> np.ndarray:
        path = draw_example(Example(predictor, one, 0, Sweep()), name, (1, 2, 3, 4, 5), tmp_path / "picture.png")
        return np.asarray(imread(path))[..., :3]

    picture = drawn("gaps", model)
    height, width = picture.shape[:2]
    assert 1.5 < width / height < 2.5  # six columns, three rows
    other = NearestColour({"image": BANDS}, CLASSES[::-1]).fit([one])
    changed = np.abs(drawn("gaps", other) - picture).max(axis=(1, 2)) > 0.05
    assert changed[: height // 4].mean() < 0.2  # the images are the same
    assert changed.any()


def test_classes_of_whole_images_are_written_below(one: Batch, tmp_path: Path) -> None:
    batch = replace(one, targets={"label": torch.tensor([1])}, target_valid={"label": torch.tensor([True])})
    picture = draw_example(Example(Scenes(), batch, 0, Sweep()), "haze", (1, 5), tmp_path / "scene.png")  # type: ignore[arg-type]
    assert imread(picture).min() < 0.3


def test_without_an_example_or_with_one_band(
    make_batches: MakeBatches, model: Predictor, batches: list[Batch], tmp_path: Path
) -> None:
    rows = sweep(model, batches, ["gaps"], (2,), 0, Sweep(FACTS))
    text = write_sweep_page(tmp_path / "page.html", rows, "miou", command="x").read_text()
    assert "Examples" not in text and text.count("<img") == 1
    picture = re.search(r"data:image/png;base64,([^\"]+)", text)
    assert picture is not None
    assert imread(BytesIO(base64.b64decode(picture[1]))).ndim == 3


def test_what_is_no_sweep_is_refused(model: Predictor, batches: list[Batch], tmp_path: Path) -> None:
    rows = sweep(model, batches, ["gaps"], (2,), 0, Sweep(FACTS))
    for wrong, sentence, kind in (
        ([*rows, rows[0]], "already holds", ContractError),
        (rows[:1], "1 clean and 0 corrupted", InputError),
        ([*rows, *(replace(row, seed=1) for row in rows)], "several values", InputError),
    ):
        with pytest.raises(kind, match=sentence):
            write_sweep_page(tmp_path / "page.html", wrong, "accuracy", command="x")
    mixed = [replace(row, severity_set="v9") if row.metric == "miou" and row.severity else row for row in rows]
    with pytest.raises(InputError, match="severity sets swath-2, v9"):
        write_sweep_page(tmp_path / "page.html", mixed, "accuracy", command="x")
    with pytest.raises(InputError, match="holds 4 samples"):
        Example(model, batches[0], 0, Sweep())
    silent = NearestColour({"image": BANDS}, CLASSES)
    silent.task = "regression"  # type: ignore[assignment]
    with pytest.raises(ConfigError, match="predictor of labels"):
        Example(silent, batches[0], 0, Sweep())
    assert list(tmp_path.iterdir()) == []
