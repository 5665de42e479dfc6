"""Streaming metrics: counts and sums that merge, scores from them, and intervals around the scores."""

from __future__ import annotations

from swath.metrics.bootstrap import (
    Interval,
    bootstrap_interval,
    paired_bootstrap,
    paired_t_interval,
    sum_by_group,
)
from swath.metrics.confusion import ConfusionMatrix, confusion_per_group, confusion_per_unit
from swath.metrics.regression import Regression
from swath.metrics.scores import (
    Absent,
    accuracy,
    balanced_accuracy,
    classes_present,
    f1,
    iou,
    kappa,
    macro,
    mean_f1,
    miou,
    precision,
    recall,
)

__all__ = [
    "Absent",
    "ConfusionMatrix",
    "Interval",
    "Regression",
    "accuracy",
    "balanced_accuracy",
    "bootstrap_interval",
    "classes_present",
    "confusion_per_group",
    "confusion_per_unit",
    "f1",
    "iou",
    "kappa",
    "macro",
    "mean_f1",
    "miou",
    "paired_bootstrap",
    "paired_t_interval",
    "precision",
    "recall",
    "sum_by_group",
]
