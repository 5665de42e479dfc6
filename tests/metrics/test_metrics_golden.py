"""Against torchmetrics and pycocotools, through files that ``tools/metrics_golden.py`` made with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swath import metrics
from swath.metrics import DetectionAP, Objects

FOLDER = Path(__file__).parent / "golden"
SINGLE = 2e-6  # torchmetrics counts in float32


def golden(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def test_labels_equal_torchmetrics() -> None:
    case = golden("labels")
    truth, probabilities, answers = np.array(case["truth"]), np.array(case["probabilities"]), case["answers"]
    names = [str(number) for number in range(5)]
    matrix = metrics.ConfusionMatrix(names)
    matrix.update(truth, probabilities.argmax(axis=1))
    assert matrix.counts.tolist() == answers["confusion"]
    assert matrix.accuracy() == pytest.approx(answers["oa"], abs=SINGLE)
    assert matrix.kappa() == pytest.approx(answers["kappa"], abs=SINGLE)
    for key in ("f1", "iou", "precision", "recall"):
        ours = getattr(matrix, key)()
        # A class without truth: torchmetrics says recall 0, here it is NaN.
        assert np.nan_to_num(ours, nan=0.0) == pytest.approx(answers[key], abs=SINGLE), key
    ranking = metrics.ClassRanking(names)
    ranking.update(truth, probabilities)
    single = ranking.per_class()
    for number, name in enumerate(names[:4]):
        assert single[name]["ap"].value == pytest.approx(answers["ap"][number], abs=SINGLE)
        assert single[name]["auroc"].value == pytest.approx(answers["auroc"][number], abs=SINGLE)
    assert np.isnan(single["4"]["ap"].value)
    assert "no positives" in single["4"]["auroc"].reason
    calibration = metrics.ClassCalibration()
    calibration.update(truth, probabilities)
    assert calibration.compute()["ece_cls"].value == pytest.approx(answers["ece_cls"], abs=SINGLE)


def test_several_labels_equal_torchmetrics() -> None:
    case = golden("multilabel")
    truth, probabilities, answers = np.array(case["truth"]), np.array(case["probabilities"]), case["answers"]
    names = [str(number) for number in range(5)]
    ours, ranking = metrics.Multilabel(names), metrics.ClassRanking(names)
    ours.update(truth, probabilities)
    ranking.update(truth, probabilities)
    found = {**ours.compute(), **ranking.compute()}
    for key, value in answers.items():
        assert found[key].value == pytest.approx(value, abs=SINGLE), key


def test_quantities_equal_torchmetrics() -> None:
    case = golden("quantities")
    observed, predicted, members = (np.array(case[key]) for key in ("observed", "predicted", "members"))
    regression, samples = metrics.Regression(), metrics.SampleScores()
    regression.update(observed, predicted)
    samples.update(observed, members)
    found = {**regression.compute(), **samples.compute()}
    for key, value in case["answers"].items():
        assert found[key].value == pytest.approx(value, rel=1e-9), key


def test_images_equal_torchmetrics() -> None:
    case = golden("images")
    reference, copy = np.array(case["reference"]), np.array(case["copy"])
    found = {}
    for metric in (metrics.Psnr(1.0), metrics.Ssim(1.0), metrics.SpectralAngle()):
        metric.update(reference, copy)
        found |= metric.compute()
    for key, value in case["answers"].items():
        assert found[key].value == pytest.approx(value, rel=1e-7), key


def corner_cut(boxes: np.ndarray) -> np.ndarray:
    """The masks of the recipe: boxes x, y, width, height without half of their upper row."""
    masks = np.zeros((len(boxes), 64, 64), np.bool_)
    for mask, (x, y, width, height) in zip(masks, boxes.tolist(), strict=True):
        mask[y : y + height, x : x + width] = True
        mask[y, x : x + min(width, height) // 2] = False
    return masks


@pytest.mark.parametrize("kind", ["box", "mask"])
def test_detections_equal_the_reference_code_of_coco(kind: str) -> None:
    case = golden({"box": "boxes", "mask": "masks"}[kind])
    metric = DetectionAP(("a", "b", "c"), kind)  # type: ignore[arg-type]
    for number, picture in enumerate(case["pictures"]):
        truth, found = (np.array(picture[key], np.int64).reshape(-1, 4) for key in ("truth", "found"))
        shapes = [corner_cut(part) for part in (truth, found)]
        if kind == "box":
            shapes = [np.concatenate([part[:, :2], part[:, :2] + part[:, 2:]], axis=1) for part in (truth, found)]
        labels, guessed = (np.array(picture[key], np.int64) for key in ("labels", "guessed"))
        crowd, scores = np.array(picture["crowd"], np.bool_), np.array(picture["scores"])
        metric.update(f"{number:03d}", Objects(shapes[0], labels, crowd=crowd), Objects(shapes[1], guessed, scores))
    answers = metric.compute()
    for key, value in case["answers"].items():
        assert answers[key].value == pytest.approx(value, abs=1e-9), key
