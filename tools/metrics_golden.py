"""Make ``tests/metrics/golden/*.json``: small inputs and what torchmetrics and pycocotools say about them.

The tests compare swath with these files, so neither library is needed to run them. To make them again, in an
environment of its own:

    python -m venv oracle && oracle/bin/pip install torch==2.13.0 torchmetrics==1.9.0 pycocotools==2.0.11
    oracle/bin/python tools/metrics_golden.py tests/metrics/golden

Inputs are random with fixed seeds, rounded, and stored beside the answers.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools
import torch
import torchmetrics
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torchmetrics.functional import classification as tm
from torchmetrics.functional import image as tm_image
from torchmetrics.functional import regression as tm_regression

CLASSES = 5


def labels(random: np.random.Generator) -> dict[str, Any]:
    """Classes, ignored values and probabilities with ties."""
    truth = random.integers(0, CLASSES - 1, 80)  # the last class is never true
    probabilities = random.dirichlet(np.ones(CLASSES), 80) + 0.7 * np.eye(CLASSES)[truth] * random.random((80, 1))
    probabilities = np.round(probabilities / probabilities.sum(axis=1, keepdims=True), 2)
    probabilities[:, 0] = np.round(1 - probabilities[:, 1:].sum(axis=1), 2)
    truth[random.random(80) < 0.1] = -100
    target, scores = torch.tensor(truth), torch.tensor(probabilities, dtype=torch.float64)
    options: dict[str, Any] = {"num_classes": CLASSES, "ignore_index": -100}
    single = {**options, "average": "none"}
    answers = {
        "oa": tm.multiclass_accuracy(scores, target, average="micro", **options),
        "kappa": tm.multiclass_cohen_kappa(scores, target, **options),
        "f1": tm.multiclass_f1_score(scores, target, **single),
        "iou": tm.multiclass_jaccard_index(scores, target, **single),
        "precision": tm.multiclass_precision(scores, target, **single),
        "recall": tm.multiclass_recall(scores, target, **single),
        "confusion": tm.multiclass_confusion_matrix(scores, target, **options),
        "ap": tm.multiclass_average_precision(scores, target, **single),
        "auroc": tm.multiclass_auroc(scores, target, **single),
        "ece_cls": tm.multiclass_calibration_error(scores, target, n_bins=15, norm="l1", **options),
    }
    return {"truth": truth, "probabilities": probabilities, "answers": answers}


def multilabel(random: np.random.Generator) -> dict[str, Any]:
    """Several labels per sample."""
    truth = random.integers(0, 2, (40, CLASSES))
    probabilities = np.round(np.clip(0.5 * truth + 0.6 * random.random(truth.shape) - 0.05, 0, 1), 3)
    probabilities[probabilities == 0.5] = 0.501  # torchmetrics wants more than the threshold, swath at least
    target, scores = torch.tensor(truth), torch.tensor(probabilities)
    options: dict[str, Any] = {"num_labels": CLASSES}
    answers = {
        "f1_micro": tm.multilabel_f1_score(scores, target, average="micro", **options),
        "f1_macro": tm.multilabel_f1_score(scores, target, average="macro", **options),
        "ap_macro": tm.multilabel_average_precision(scores, target, average="macro", **options),
        "auroc_macro": tm.multilabel_auroc(scores, target, average="macro", **options),
    }
    return {"truth": truth, "probabilities": probabilities, "answers": answers}


def quantities(random: np.random.Generator) -> dict[str, Any]:
    """Regression, and CRPS of members."""
    observed = np.round(300 + random.normal(size=30), 3)
    predicted = np.round(observed + 0.5 * random.normal(size=30), 3)
    members = np.round(observed + random.normal(size=(7, 30)), 3)
    guess, target = torch.tensor(predicted), torch.tensor(observed)
    answers = {
        "mae": tm_regression.mean_absolute_error(guess, target),
        "rmse": tm_regression.mean_squared_error(guess, target, squared=False),
        "r2": tm_regression.r2_score(guess, target),
        "pearson": tm_regression.pearson_corrcoef(guess, target),
        "mape": tm_regression.mean_absolute_percentage_error(guess, target),
        "crps": tm_regression.continuous_ranked_probability_score(torch.tensor(members.T), target),
    }
    return {"observed": observed, "predicted": predicted, "members": members, "answers": answers}


def images(random: np.random.Generator) -> dict[str, Any]:
    """Two frames of three bands."""
    reference = np.round(random.random((2, 3, 17, 14)), 3)
    copy = np.round(np.clip(reference + 0.1 * random.normal(size=reference.shape), 0, 1), 3)
    guess, target = torch.tensor(copy), torch.tensor(reference)
    answers = {
        "psnr": tm_image.peak_signal_noise_ratio(guess, target, data_range=1.0),
        "ssim": tm_image.structural_similarity_index_measure(guess, target, data_range=1.0, sigma=1.5),
        "sam": tm_image.spectral_angle_mapper(guess, target),
    }
    return {"reference": reference, "copy": copy, "answers": answers}


def objects(random: np.random.Generator, kind: str) -> dict[str, Any]:
    """Twelve pictures of objects of three classes, some of them crowds; boxes x, y, width, height."""
    pictures: list[dict[str, Any]] = []
    for _ in range(12):
        count = int(random.integers(0, 7))
        truth = np.concatenate([random.integers(0, 30, (count, 2)), random.integers(4, 18, (count, 2))], axis=1)
        kinds = random.integers(0, 3, count)
        kept = random.random(count) < 0.8
        moved = truth[kept] + random.integers(-2, 3, (int(kept.sum()), 4))
        extra = np.concatenate([random.integers(0, 30, (3, 2)), random.integers(4, 18, (3, 2))], axis=1)
        found = np.concatenate([moved, moved[:1], extra]).clip(0)
        found[:, 2:] = found[:, 2:].clip(1)
        guessed = np.concatenate([kinds[kept], kinds[kept][:1], random.integers(0, 3, 3)])
        guessed = np.where(random.random(len(guessed)) < 0.1, random.integers(0, 3, len(guessed)), guessed)
        pictures.append(
            {
                "truth": truth.tolist(),
                "labels": kinds.tolist(),
                "crowd": (random.random(count) < 0.15).tolist(),
                "found": found.tolist(),
                "guessed": guessed.tolist(),
                "scores": np.round(random.random(len(found)), 1).tolist(),  # ties on purpose
            }
        )
    return {"pictures": pictures, "answers": coco_answers(pictures, kind)}


def coco_answers(pictures: list[dict[str, Any]], kind: str) -> dict[str, float]:
    """AP and AP50 by the reference code."""

    def shape(box: list[int]) -> dict[str, Any]:
        mask = np.zeros((64, 64), np.uint8, order="F")
        x, y, width, height = box
        mask[y : y + height, x : x + width] = 1
        for corner in range(min(width, height) // 2):  # cut a corner, so that masks are not boxes
            mask[y, x + corner] = 0
        return {"bbox": box, "segmentation": coco_mask.encode(mask), "area": int(mask.sum())}

    annotations, results = [], []
    for number, picture in enumerate(pictures, start=1):
        for box, label, crowd in zip(picture["truth"], picture["labels"], picture["crowd"], strict=True):
            entry = {"id": len(annotations) + 1, "image_id": number, "category_id": label + 1, "iscrowd": int(crowd)}
            annotations.append(entry | shape(box))
        for box, label, score in zip(picture["found"], picture["guessed"], picture["scores"], strict=True):
            entry = {"image_id": number, "category_id": label + 1, "score": score}
            filled = shape(box)
            results.append(entry | ({"bbox": box} if kind == "box" else {"segmentation": filled["segmentation"]}))
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "info": {},
            "images": [{"id": number, "height": 64, "width": 64} for number in range(1, len(pictures) + 1)],
            "categories": [{"id": number} for number in (1, 2, 3)],
            "annotations": annotations,
        }
        truth.createIndex()
        judge = COCOeval(truth, truth.loadRes(results), {"box": "bbox", "mask": "segm"}[kind])
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return {f"map_{kind}": float(judge.stats[0]), f"map50_{kind}": float(judge.stats[1])}


def plain(value: Any) -> Any:
    """Numbers and lists that JSON can hold."""
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, torch.Tensor | np.ndarray):
        return value.tolist()
    return value


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(20)
    cases = {
        "labels": labels(random),
        "multilabel": multilabel(random),
        "quantities": quantities(random),
        "images": images(random),
        "boxes": objects(random, "box"),
        "masks": objects(random, "mask"),
    }
    coco = getattr(pycocotools, "__version__", "2.0.11")
    made = f"torch {torch.__version__}, torchmetrics {torchmetrics.__version__}, pycocotools {coco}"
    for name, case in cases.items():
        text = json.dumps({"made_with": made, **plain(case)}, allow_nan=True)
        (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
        print(name, plain(case["answers"]))


if __name__ == "__main__":
    main()
