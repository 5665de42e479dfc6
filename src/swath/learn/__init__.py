"""Learning: one training loop, tasks, checkpoints that outlive the code that wrote them."""

from __future__ import annotations

from swath.learn.cache import cached_loader
from swath.learn.checkpoint import load_checkpoint, read_record, save_checkpoint
from swath.learn.config import FitConfig, parse
from swath.learn.embedding import Embedder
from swath.learn.fit import BEST, LAST, BatchLoader, FitResult, fit
from swath.learn.model_task import ModelTask
from swath.learn.options import TrainOptions, read_options
from swath.learn.plan import Plan, plan
from swath.learn.pretraining import PretrainOptions, pretrain, read_pretrain_options
from swath.learn.reproduce import choose_device, repeatable, seeded
from swath.learn.segmentation import build_task, train_segmentation
from swath.learn.task import SegmentationLoss, SegmentationTask, Trainable, check_classes, evaluation
from swath.learn.training import train

__all__ = [
    "BEST",
    "LAST",
    "BatchLoader",
    "Embedder",
    "FitConfig",
    "FitResult",
    "ModelTask",
    "Plan",
    "PretrainOptions",
    "SegmentationLoss",
    "SegmentationTask",
    "TrainOptions",
    "Trainable",
    "build_task",
    "cached_loader",
    "check_classes",
    "choose_device",
    "evaluation",
    "fit",
    "load_checkpoint",
    "parse",
    "plan",
    "pretrain",
    "read_options",
    "read_pretrain_options",
    "read_record",
    "repeatable",
    "save_checkpoint",
    "seeded",
    "train",
    "train_segmentation",
]
