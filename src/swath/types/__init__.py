"""The contracts between the rooms of swath: types and their checks, nothing else."""

from __future__ import annotations

from swath.types.batch import Batch
from swath.types.claim import Claim, Outcome, Scope, Verdict
from swath.types.features import Backbone, Features, Spec
from swath.types.modality import Modality
from swath.types.prediction import Prediction, Predictor
from swath.types.report import Picture, Report
from swath.types.result import DataKind, ResultRow
from swath.types.split import Split
from swath.types.task import IGNORE, TARGETS, TargetShape, Task

__all__ = [
    "IGNORE",
    "TARGETS",
    "Backbone",
    "Batch",
    "Claim",
    "DataKind",
    "Features",
    "Modality",
    "Outcome",
    "Picture",
    "Prediction",
    "Predictor",
    "Report",
    "ResultRow",
    "Scope",
    "Spec",
    "Split",
    "TargetShape",
    "Task",
    "Verdict",
]
