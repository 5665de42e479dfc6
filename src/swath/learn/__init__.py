"""Learning: one training loop, tasks, checkpoints that outlive the code that wrote them."""

from __future__ import annotations

from swath.learn.checkpoint import load_checkpoint, read_record, save_checkpoint
from swath.learn.config import FitConfig, parse
from swath.learn.embedding import Embedder
from swath.learn.fit import BEST, LAST, BatchLoader, FitResult, fit
from swath.learn.reproduce import repeatable, seeded
from swath.learn.segmentation import TrainOptions, build_task, read_options, train_segmentation
from swath.learn.task import SegmentationLoss, SegmentationTask, Trainable, check_classes, evaluation

__all__ = [
    "BEST",
    "LAST",
    "BatchLoader",
    "Embedder",
    "FitConfig",
    "FitResult",
    "SegmentationLoss",
    "SegmentationTask",
    "TrainOptions",
    "Trainable",
    "build_task",
    "check_classes",
    "evaluation",
    "fit",
    "load_checkpoint",
    "parse",
    "read_options",
    "read_record",
    "repeatable",
    "save_checkpoint",
    "seeded",
    "train_segmentation",
]
