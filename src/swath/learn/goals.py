"""What a task asks of a network: how raw numbers become a loss, outputs of a prediction, and scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from swath.errors import ConfigError
from swath.learn.objective import SMALLEST_LOG_VARIANCE, LabelLoss, LossOptions, ValueLoss, losses_for
from swath.metrics import ConfusionMatrix, Multilabel, Regression, accuracy, mean_f1, miou
from swath.nn import Loss, losses
from swath.types import Prediction, Task

PER_PIXEL: tuple[Task, ...] = ("segmentation", "change", "pixel_regression")
PER_SAMPLE: tuple[Task, ...] = ("classification", "multilabel", "regression")
TASKS: tuple[Task, ...] = (*PER_PIXEL, *PER_SAMPLE)
MONITOR: Mapping[Task, tuple[str, str]] = {
    "segmentation": ("miou", "max"),
    "change": ("miou", "max"),
    "classification": ("f1", "max"),
    "multilabel": ("f1", "max"),
    "regression": ("relative_rmse", "min"),
    "pixel_regression": ("relative_rmse", "min"),
}
"""Task -> the validation value that usually decides which epoch is the best, and its better end."""


class Tally(Protocol):
    """Scores of predictions, batch by batch."""

    def update(self, truth: Tensor, valid: Tensor, prediction: Prediction) -> None:
        """Add a batch: targets, their mask, and what was predicted."""
        ...

    def scores(self) -> dict[str, float]:
        """All scores by name."""
        ...


class Goal(nn.Module):
    """What the goals share.

    Args:
        task: one of ``TASKS``.
        names: classes, labels or quantities.
        options: the losses.
    """

    target = "label"

    def __init__(self, task: Task, names: Sequence[str], options: LossOptions | None) -> None:
        super().__init__()
        if not names or len(set(names)) != len(names):
            raise ConfigError(
                f"The task '{task}' has the names {', '.join(names) or '(none)'}",
                expected="at least one, each once",
                remedy="name every class or quantity",
            )
        self.task, self.names, self.options = task, tuple(names), losses_for(task, options)

    @property
    def raw(self) -> int:
        """Numbers that the network gives."""
        return len(self.names)

    @property
    def dense(self) -> bool:
        """Whether there is an answer per pixel."""
        return self.task in PER_PIXEL

    def record(self) -> dict[str, Any]:
        """All that rebuilds the goal beyond task and names, as JSON values."""
        return {"loss": self.options.record()}


class LabelGoal(Goal):
    """One class per pixel or sample.

    Args:
        task: segmentation, change or classification.
        names: K classes.
        options: losses.
        class_weights: one per class, for cross-entropy and focal loss.
        label_smoothing: of the cross-entropy.
    """

    class_weights: Tensor | None

    def __init__(
        self,
        task: Task,
        names: Sequence[str],
        options: LossOptions | None = None,
        *,
        class_weights: Sequence[float] | None = None,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(task, names, options)
        _check_weights(class_weights, names)
        self.register_buffer(
            "class_weights", None if class_weights is None else torch.tensor(class_weights), persistent=False
        )
        self.terms = LabelLoss(self.options, label_smoothing)

    @property
    def raw(self) -> int:
        """One number per class; ordered classes have one per step between them."""
        return len(self.names) - (self.options.ordinal is not None)

    def loss(self, raw: Tensor, target: Tensor, usable: Tensor) -> Loss:
        """Of ``raw`` ``(B, K, ...)`` against labels ``(B, ...)``."""
        return self.terms(raw, target, usable, self.class_weights)

    def outputs(self, raw: Tensor) -> dict[str, Tensor]:
        """``logits`` ``(B, K, ...)``."""
        return {"logits": raw if self.options.ordinal is None else ordered_logits(raw)}

    def tally(self) -> Tally:
        """Accuracy, mean IoU and mean F1."""
        return _Labels(self.names)

    def record(self) -> dict[str, Any]:
        """Losses, class weights and smoothing."""
        weights = None if self.class_weights is None else self.class_weights.tolist()
        return {**super().record(), "class_weights": weights, "label_smoothing": self.terms.label_smoothing}


class MultilabelGoal(Goal):
    """Any number of labels per sample.

    Args:
        names: K labels.
        options: losses.
        class_weights: weight of the presence of each label against its absence.
    """

    class_weights: Tensor | None

    def __init__(
        self, names: Sequence[str], options: LossOptions | None = None, *, class_weights: Sequence[float] | None = None
    ) -> None:
        super().__init__("multilabel", names, options)
        _check_weights(class_weights, names)
        self.register_buffer(
            "class_weights", None if class_weights is None else torch.tensor(class_weights), persistent=False
        )

    def loss(self, raw: Tensor, target: Tensor, usable: Tensor) -> Loss:
        """Of ``raw`` ``(B, K)`` against 0 and 1."""
        found = losses.bce(raw, target, usable, pos_weight=self.class_weights)
        assert self.options.bce is not None  # the only loss of the task
        return Loss(self.options.bce.weight * found.total, found.count)

    def outputs(self, raw: Tensor) -> dict[str, Tensor]:
        """``logits`` ``(B, K)``."""
        return {"logits": raw}

    def tally(self) -> Tally:
        """F1: macro (``f1``) and micro."""
        return _Several(self.names)

    def record(self) -> dict[str, Any]:
        """Losses and weights."""
        weights = None if self.class_weights is None else self.class_weights.tolist()
        return {**super().record(), "class_weights": weights}


class ValueGoal(Goal):
    """Quantities per pixel or sample, standardised inside and in their own units outside.

    Args:
        task: regression or pixel_regression.
        names: K quantities.
        mean: of the training targets, per quantity.
        std: likewise, above 0.
        options: losses.
        units: unit of each quantity.
    """

    target = "value"
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        task: Task,
        names: Sequence[str],
        mean: Sequence[float],
        std: Sequence[float],
        options: LossOptions | None = None,
        *,
        units: Sequence[str] = (),
    ) -> None:
        super().__init__(task, names, options)
        if not len(mean) == len(std) == len(names) or min(std) <= 0 or not np.isfinite([*mean, *std]).all():
            raise ConfigError(
                f"The quantities {', '.join(names)} have the means {list(mean)} and standard deviations {list(std)}",
                expected="one finite mean and one standard deviation above 0 for each",
                remedy="compute them over the training targets; a quantity that never varies cannot be learned",
            )
        self.units = tuple(units)
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float64).float(), persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float64).float(), persistent=False)
        self.terms = ValueLoss(self.options)

    @property
    def spread(self) -> bool:
        """Whether a log variance is predicted too."""
        return self.options.gaussian_nll is not None

    @property
    def raw(self) -> int:
        """One number per quantity, or two."""
        return len(self.names) * (2 if self.spread else 1)

    def loss(self, raw: Tensor, target: Tensor, usable: Tensor) -> Loss:
        """Of standardised ``raw`` against the target in its unit, ``(B, K, ...)``."""
        return self.terms(raw, target, usable, self._shaped(self.mean, raw), self._shaped(self.std, raw))

    def outputs(self, raw: Tensor) -> dict[str, Tensor]:
        """``mean`` in the unit of each quantity and, where it is learned, ``log_variance`` in its square."""
        mean, std = self._shaped(self.mean, raw), self._shaped(self.std, raw)
        if not self.spread:
            return {"mean": raw * std + mean}
        guess, spread = raw.chunk(2, dim=1)
        return {"mean": guess * std + mean, "log_variance": spread.clamp_min(SMALLEST_LOG_VARIANCE) + 2 * std.log()}

    def tally(self) -> Tally:
        """Errors in units of the training spread (``relative_rmse``), and of each quantity in its own unit."""
        return _Values(self.names, self.std.tolist())

    def record(self) -> dict[str, Any]:
        """Losses, units and statistics of the targets."""
        values = {"mean": self.mean.tolist(), "std": self.std.tolist()}
        return {**super().record(), "values": values, "units": list(self.units)}

    @staticmethod
    def _shaped(numbers: Tensor, like: Tensor) -> Tensor:
        return numbers.reshape(-1, *[1] * (like.ndim - 2))


AnyGoal = LabelGoal | MultilabelGoal | ValueGoal


def goal_from_record(record: Mapping[str, Any]) -> AnyGoal:
    """The goal that ``record()`` describes, with its task and names."""
    task, names = record["task"], record["classes"]
    options = LossOptions.model_validate(record["loss"])
    if task == "multilabel":
        return MultilabelGoal(names, options, class_weights=record["class_weights"])
    if task in ("regression", "pixel_regression"):
        values = record["values"]
        return ValueGoal(task, names, values["mean"], values["std"], options, units=record["units"])
    smoothing = record["label_smoothing"]
    return LabelGoal(task, names, options, class_weights=record["class_weights"], label_smoothing=smoothing)


def ordered_logits(steps: Tensor) -> Tensor:
    """Log-probabilities of K ordered classes from K - 1 logits of "above class k", ``(B, K - 1, ...)``.

    The probabilities of being above are made to fall from class to class (running minimum) before their differences
    are taken, because nothing else keeps them in order.
    """
    above = steps.double().sigmoid().cummin(dim=1).values
    whole, none = torch.ones_like(above[:, :1]), torch.zeros_like(above[:, :1])
    share = torch.cat([whole, above], dim=1) - torch.cat([above, none], dim=1)
    return share.clamp_min(1e-12).log().float()


def _check_weights(weights: Sequence[float] | None, names: Sequence[str]) -> None:
    if weights is not None and len(weights) != len(names):
        raise ConfigError(
            f"There are {len(weights)} class weights and {len(names)} classes",
            expected="the same number of both",
            remedy="give one weight per class",
        )


class _Labels:
    def __init__(self, names: Sequence[str]) -> None:
        self.confusion = ConfusionMatrix(names)

    def update(self, truth: Tensor, valid: Tensor, prediction: Prediction) -> None:
        self.confusion.update(truth, prediction.label(), valid.expand_as(truth) & prediction.valid)

    def scores(self) -> dict[str, float]:
        counts = self.confusion.counts
        return {"accuracy": float(accuracy(counts)), "miou": float(miou(counts)), "f1": float(mean_f1(counts))}


class _Several:
    def __init__(self, names: Sequence[str]) -> None:
        self.metric = Multilabel(names)

    def update(self, truth: Tensor, valid: Tensor, prediction: Prediction) -> None:
        known = valid.expand_as(truth) & prediction.valid[:, None]
        self.metric.update(torch.where(known, truth, 0.0).long(), prediction.probability(), known)

    def scores(self) -> dict[str, float]:
        found = self.metric.compute()
        return {"f1": float(found["f1_macro"].value), "f1_micro": float(found["f1_micro"].value)}


class _Values:
    def __init__(self, names: Sequence[str], std: Sequence[float]) -> None:
        self.names, self.std = names, std
        self.metrics = [Regression() for _ in names]

    def update(self, truth: Tensor, valid: Tensor, prediction: Prediction) -> None:
        known = valid.expand_as(truth) & prediction.valid[:, None]
        for place, metric in enumerate(self.metrics):
            metric.update(truth[:, place], prediction.outputs["mean"][:, place], known[:, place])

    def scores(self) -> dict[str, float]:
        each = [metric.rmse() / std for metric, std in zip(self.metrics, self.std, strict=True)]
        found = {"relative_rmse": float(np.mean(each))}
        for name, metric in zip(self.names, self.metrics, strict=True):
            suffix = "" if len(self.names) == 1 else f"_{name}"
            found |= {f"rmse{suffix}": metric.rmse(), f"r2{suffix}": metric.r2()}
        return found
