"""Targets under a geometric corruption, by task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch

from swath.errors import ConfigError
from swath.judge.corruptions.boxes import move_objects
from swath.judge.corruptions.geometric import Placement, move_labels, move_values
from swath.metrics.detection import Objects
from swath.types import Batch
from swath.types.task import Task

UNMOVED = ("classification", "multilabel")
"""What a whole image shows does not depend on where it lies in the frame."""
MOVED = ("segmentation", "change", "pixel_regression", "detection", "instance")


class TargetAdapter(Protocol):
    """Moves one entry of a ragged target that swath cannot move itself, such as a sentence that says "at the left"."""

    def __call__(self, entry: Any, placement: Placement, sample: int) -> Any:
        """The entry of sample number ``sample`` after the corruption."""


def task_of(batch: Batch, target: str, tasks: Mapping[str, Task]) -> Task | None:
    """The task of a target: as declared, else told from integer labels, else None."""
    if target in tasks:
        return tasks[target]
    value = batch.targets[target]
    if isinstance(value, torch.Tensor) and value.dtype == torch.int64 and value.ndim in (1, 3):
        return "classification" if value.ndim == 1 else "segmentation"
    if not isinstance(value, torch.Tensor) and all(isinstance(entry, Objects) for entry in value):
        return "detection"
    return None


def move_targets(
    batch: Batch,
    moved: Placement,
    corruption: str,
    size: tuple[int, int],
    tasks: Mapping[str, Task],
    adapters: Mapping[str, TargetAdapter],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """All targets and their validity after the corruption.

    Raises:
        ConfigError: a target that cannot be moved.
    """
    targets, valid = dict(batch.targets), dict(batch.target_valid)
    for name, value in batch.targets.items():
        task = task_of(batch, name, tasks)
        if name in adapters:
            targets[name] = [adapters[name](entry, moved, place) for place, entry in enumerate(value)]
        elif task in ("segmentation", "change") and value.ndim == 3:
            targets[name], valid[name] = move_labels(value, valid[name].expand_as(value), moved)
        elif task == "pixel_regression" and value.ndim == 4:
            targets[name], seen = move_values(value, valid[name], moved, torch.zeros(()))
            valid[name] = seen.contiguous()
        elif task in ("detection", "instance") and all(isinstance(entry, Objects) for entry in value):
            targets[name] = [move_objects(entry, moved, place, size, name) for place, entry in enumerate(value)]
        elif task not in UNMOVED:
            raise ConfigError(
                f"The corruption '{corruption}' cannot move the target '{name}' ({task or 'of unknown task'})",
                expected=f"targets for {', '.join((*UNMOVED, *MOVED))}, with objects as swath.metrics.Objects",
                remedy="name the task of the target in 'tasks', give an adapter for it, or leave geometric "
                "corruptions out",
            )
    return targets, valid
