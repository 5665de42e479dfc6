"""A small network learns from a large trained one, as well as from the labels.

The teacher is frozen, in evaluation mode, and no part of what is saved. Of classes the student learns the teacher's
probabilities (Hinton, Vinyals, Dean, "Distilling the knowledge in a neural network", 2015), of quantities its values.
The student is either a network of its own, such as a narrower one, or the teacher's network with fewer blocks, which
starts from a choice of the teacher's (Sanh et al., "DistilBERT", 2019); its head always starts anew. How such a student
is made is in ``learn.students``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from swath.errors import ConfigError, InputError
from swath.files import sha256
from swath.learn.checkpoint import BEST_FIRST, WEIGHTS, Task, load_checkpoint
from swath.learn.goals import ValueGoal
from swath.learn.model_task import ModelTask
from swath.learn.objective import weighted_sum
from swath.learn.options import DistilOptions
from swath.nn import Loss, losses
from swath.types import IGNORE, Batch


class Distilled:
    """A student with its teacher: a ``Trainable`` for ``fit``, which trains and saves the student alone.

    Args:
        student: learns.
        teacher: is left as it is.
        options: weight and temperature.
        fingerprint: tells teachers apart when a run is continued, such as the SHA-256 of the weights.

    Raises:
        InputError: task, classes, units, bands or dates differ.
    """

    def __init__(self, student: Task, teacher: Task, options: DistilOptions, fingerprint: str = "") -> None:
        check_agree(student, teacher)
        self.student, self.options, self.fingerprint = student, options, fingerprint
        self.teacher = teacher.eval().requires_grad_(False)

    @property
    def origin(self) -> dict[str, Any]:
        """What the checkpoint of the student says of its teacher."""
        return {"distil": {**self.options.model_dump(mode="json"), "teacher": self.fingerprint}}

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """``loss_sum`` and ``count`` of the student's own loss plus ``weight`` times its distance from the teacher.

        The distance is a mean over the places that count in the own loss and that the teacher sees too; it enters the
        sum times the count of the own loss, as further losses of a task do.

        Raises:
            ContractError: as the student.
            InputError: as the student.
        """
        answer = self.student.answer(batch, rng)
        own = self.student.own_loss(answer)
        guess, seen = self._teach(batch, answer.raw.device)
        usable = answer.usable & _spread(seen, answer.usable)
        if not answer.target.is_floating_point():
            usable = usable & (answer.target != IGNORE)
        away = distance(self.student.outputs(answer.raw), guess, usable, self.student, self.options.temperature)
        found = weighted_sum([(1.0, own), (self.options.weight, away)])
        return {"loss_sum": found.total, "count": found.count}

    def record(self) -> dict[str, Any]:
        """The student, and who teaches it how: what a continued run has to have in common with its start."""
        return {**self.student.record(), **self.origin}

    def _teach(self, batch: Batch, device: torch.device) -> tuple[dict[str, Tensor], Tensor]:
        """Outputs of the teacher, and where they mean something, without gradients."""
        found = self.teacher.to(device).predict(batch)
        # What inference mode made cannot be part of a graph; a copy can.
        return {name: value.to(device).clone() for name, value in found.outputs.items()}, found.valid.to(device).clone()


def load_teacher(path: str) -> tuple[Task, str]:
    """A trained model and the SHA-256 of its weights.

    Args:
        path: the folder of a run, of which the best model is taken, else the last; or of one model.

    Raises:
        ConfigError: there is no such folder.
        InputError: the checkpoint is damaged.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise ConfigError(
            f"'teacher' is '{path}', and there is no such folder",
            expected="the folder of a trained model",
            remedy="check the path",
        )
    model = next((folder / name for name in BEST_FIRST if (folder / name).is_dir()), folder)
    return load_checkpoint(model), sha256(model / WEIGHTS)


def distance(
    student: Mapping[str, Tensor], teacher: Mapping[str, Tensor], usable: Tensor, task: Task, temperature: float
) -> Loss:
    """How far the outputs of a student are from those of its teacher, mean over the usable places.

    ``t^2 KL(teacher || student)`` of the probabilities of classes; the same of each label's presence where labels do
    not exclude each other; of quantities the squared difference in units of their training spread (a predicted
    variance is learned from the targets alone).

    Args:
        student: outputs ``(B, K, ...)`` as in a prediction.
        teacher: likewise.
        usable: bool, of the shape of the target.
        task: the student's, with the units of its quantities.
        temperature: t.
    """
    if task.task in ("regression", "pixel_regression"):
        assert isinstance(task, ModelTask)  # the other one makes maps of classes
        scale = _standard_deviations(task).reshape(-1, *[1] * (student["mean"].ndim - 2))
        return losses.mse(student["mean"] / scale, teacher["mean"] / scale, usable)
    if task.task != "multilabel":
        return losses.distillation(student["logits"], teacher["logits"], usable, temperature=temperature)
    pairs = [torch.stack([each["logits"], torch.zeros_like(each["logits"])], dim=1) for each in (student, teacher)]
    return losses.distillation(pairs[0], pairs[1], usable, temperature=temperature)


def check_agree(student: Task, teacher: Task) -> None:
    """Refuse a teacher of something else.

    Raises:
        InputError: task, classes, bands or dates differ.
    """
    for what, ours, theirs in (
        ("task", student.task, teacher.task),
        ("classes", list(student.classes), list(teacher.classes)),
        ("units", *(list(getattr(getattr(each, "goal", None), "units", ())) for each in (student, teacher))),
        ("bands", *({name: list(bands.names) for name, bands in each.inputs.items()} for each in (student, teacher))),
        ("dates", _dates(student), _dates(teacher)),
    ):
        if ours != theirs:
            raise InputError(
                f"The teacher's {what} are {theirs}, and those of the student {ours}".replace("task are", "task is"),
                expected="the same task, classes, units, bands and dates in the same order",
                remedy="choose another teacher, or cut chips and choose bands as for the teacher",
            )


def _standard_deviations(task: ModelTask) -> Tensor:
    """Of the training targets, per quantity."""
    goal = task.goal
    assert isinstance(goal, ValueGoal)  # the task has quantities
    return goal.std


def _dates(task: Task) -> dict[str, int]:
    return {name: getattr(task, "dates", {}).get(name, 1) for name in task.inputs}


def _spread(valid: Tensor, like: Tensor) -> Tensor:
    """Where a teacher sees, ``(B, ...)``, in the shape of a target, which may have an axis of labels or quantities."""
    return valid.expand_as(like) if valid.ndim == like.ndim else valid[:, None].expand_as(like)
