"""Streaming metrics: counts and sums that merge, scores from them, and intervals around the scores."""

from __future__ import annotations

from swath.metrics.aggregate import boot_ci, iqm, sem
from swath.metrics.bootstrap import Interval, bootstrap_interval, paired_bootstrap, paired_t_interval, sum_by_group
from swath.metrics.calibration import ClassCalibration, Coverage
from swath.metrics.change import SemanticChange, change_scores
from swath.metrics.class_ranking import ClassRanking
from swath.metrics.confusion import ConfusionMatrix, confusion_per_group, confusion_per_unit
from swath.metrics.corruption import CorruptionScores
from swath.metrics.damage import DAMAGE, damage_scores
from swath.metrics.detection import DetectionAP, Objects
from swath.metrics.envelope import WithinEnvelope
from swath.metrics.grounding import GroundingAccuracy
from swath.metrics.image import Compression, Psnr, SpectralAngle, Ssim
from swath.metrics.multilabel import Multilabel, TopK
from swath.metrics.outcome import Outcome
from swath.metrics.overlap import box_iou, mask_iou, polygon_iou, rotated_iou
from swath.metrics.per_image import PerImageConfusion
from swath.metrics.probabilistic import GaussianScores, SampleScores
from swath.metrics.ranking import Ranking
from swath.metrics.regression import Regression, compute_folds
from swath.metrics.retrieval import Retrieval, nearest_neighbours
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
    summary,
)
from swath.metrics.thresholds import BinaryF1, Threshold, best_threshold, f1_at
from swath.metrics.uncertainty import UncertaintyRanking, predictive_ability

__all__ = [
    "DAMAGE",
    "Absent",
    "BinaryF1",
    "ClassCalibration",
    "ClassRanking",
    "Compression",
    "ConfusionMatrix",
    "CorruptionScores",
    "Coverage",
    "DetectionAP",
    "GaussianScores",
    "GroundingAccuracy",
    "Interval",
    "Multilabel",
    "Objects",
    "Outcome",
    "PerImageConfusion",
    "Psnr",
    "Ranking",
    "Regression",
    "Retrieval",
    "SampleScores",
    "SemanticChange",
    "SpectralAngle",
    "Ssim",
    "Threshold",
    "TopK",
    "UncertaintyRanking",
    "WithinEnvelope",
    "accuracy",
    "balanced_accuracy",
    "best_threshold",
    "boot_ci",
    "bootstrap_interval",
    "box_iou",
    "change_scores",
    "classes_present",
    "compute_folds",
    "confusion_per_group",
    "confusion_per_unit",
    "damage_scores",
    "f1",
    "f1_at",
    "iou",
    "iqm",
    "kappa",
    "macro",
    "mask_iou",
    "mean_f1",
    "miou",
    "nearest_neighbours",
    "paired_bootstrap",
    "paired_t_interval",
    "polygon_iou",
    "precision",
    "predictive_ability",
    "recall",
    "rotated_iou",
    "sem",
    "sum_by_group",
    "summary",
]
