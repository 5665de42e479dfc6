"""What to minimise: the losses that a task may use, their options, and their weighted sum."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from torch import Tensor

from swath.errors import ConfigError, nearest
from swath.nn import Loss, losses
from swath.types import Task


class Weighted(BaseModel):
    """A loss and its weight in the sum; in YAML a bare number is the weight."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)


class CrossEntropyLoss(Weighted):
    """``nn.losses.cross_entropy``; the smoothing is ``label_smoothing`` of the training options."""

    weighting: Literal["torch", "mean"] = "torch"


class FocalLoss(Weighted):
    """``nn.losses.focal``."""

    gamma: float = Field(default=2.0, ge=0)


class TverskyLoss(Weighted):
    """``nn.losses.tversky``."""

    false_positive: float = Field(default=0.3, ge=0)
    false_negative: float = Field(default=0.7, ge=0)
    gamma: float = Field(default=1.0, gt=0)


class HuberLoss(Weighted):
    """``nn.losses.huber``; ``delta`` in standard deviations of the target."""

    delta: float = Field(default=1.0, gt=0)


def _as_mapping(value: Any) -> Any:
    """A bare number is the weight; true and an empty value mean the usual options."""
    if value is None or value is True:
        return {}
    return {"weight": value} if isinstance(value, int | float) and not isinstance(value, bool) else value


Plain = Annotated[Weighted, BeforeValidator(_as_mapping)]


class LossOptions(BaseModel):
    """A weighted sum of losses; the table in ``docs/train.md`` says which task takes which.

    In YAML a name alone (``loss: dice``), names with weights (``loss: {cross_entropy: 1, dice: 0.5}``), or names with
    options (``loss: {focal: {gamma: 3}}``).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cross_entropy: Annotated[CrossEntropyLoss, BeforeValidator(_as_mapping)] | None = None
    focal: Annotated[FocalLoss, BeforeValidator(_as_mapping)] | None = None
    dice: Plain | None = None
    lovasz: Plain | None = None
    tversky: Annotated[TverskyLoss, BeforeValidator(_as_mapping)] | None = None
    ordinal: Plain | None = None
    bce: Plain | None = None
    mse: Plain | None = None
    l1: Plain | None = None
    huber: Annotated[HuberLoss, BeforeValidator(_as_mapping)] | None = None
    log_mse: Plain | None = None
    gaussian_nll: Plain | None = None

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        return {value: {}} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _something_to_learn(self) -> Self:
        if not self.used():
            raise ValueError(f"at least one loss is needed, among {', '.join(type(self).model_fields)}")
        for alone in ("ordinal", "gaussian_nll"):  # their raw numbers mean something else than those of the others
            if getattr(self, alone) is not None and len(self.used()) > 1:
                raise ValueError(f"'{alone}' goes with no other loss")
        return self

    def used(self) -> dict[str, Weighted]:
        """The losses in use by name."""
        given = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: loss for name, loss in given.items() if loss is not None}

    def record(self) -> dict[str, Any]:
        """As JSON values; ``LossOptions.model_validate`` reads them."""
        return {name: loss.model_dump(mode="json") for name, loss in self.used().items()}


LABELS = ("cross_entropy", "focal", "dice", "lovasz", "tversky", "ordinal")
VALUES = ("mse", "l1", "huber", "log_mse", "gaussian_nll")
SUITED: Mapping[Task, tuple[str, ...]] = {
    "segmentation": LABELS,
    "change": LABELS,
    "classification": ("cross_entropy", "focal", "ordinal"),
    "multilabel": ("bce",),
    "regression": VALUES,
    "pixel_regression": VALUES,
}
"""Task -> losses that it may use; the first one is the usual one."""


def losses_for(task: Task, options: LossOptions | None) -> LossOptions:
    """The options, or the usual loss of the task.

    Raises:
        ConfigError: a loss does not suit the task.
    """
    suited = SUITED[task]
    if options is None:
        return LossOptions.model_validate(suited[0])
    odd = [name for name in options.used() if name not in suited]
    if odd:
        raise ConfigError(
            f"The loss '{odd[0]}' does not suit the task '{task}'",
            expected=f"one or more of {', '.join(suited)}",
            remedy=f"the nearest is {nearest(odd[0], suited, 1)}; leave 'loss' out for {suited[0]}",
        )
    return options


@dataclass(frozen=True, eq=False)
class LabelLoss:
    """The sum of losses of one label per pixel or sample.

    Args:
        options: which losses.
        label_smoothing: share of the uniform distribution in the target of the cross-entropy.
    """

    options: LossOptions
    label_smoothing: float = 0.0

    def __call__(self, raw: Tensor, target: Tensor, usable: Tensor, class_weights: Tensor | None) -> Loss:
        """Pooled loss of ``raw`` ``(B, K, ...)`` against labels ``(B, ...)``."""
        o = self.options
        terms: list[tuple[float, Callable[[], Loss]]] = []
        if o.cross_entropy is not None:
            weighting = o.cross_entropy.weighting
            terms.append((o.cross_entropy.weight, lambda: losses.cross_entropy(
                raw, target, usable, class_weights=class_weights, weighting=weighting,
                label_smoothing=self.label_smoothing)))  # fmt: skip
        if o.focal is not None:
            gamma = o.focal.gamma
            terms.append((o.focal.weight, lambda: losses.focal(
                raw, target, usable, gamma=gamma, class_weights=class_weights)))  # fmt: skip
        if o.dice is not None:
            terms.append((o.dice.weight, lambda: losses.dice(raw, target, usable)))
        if o.lovasz is not None:
            terms.append((o.lovasz.weight, lambda: losses.lovasz_softmax(raw, target, usable)))
        if o.tversky is not None:
            prices = o.tversky.model_dump(exclude={"weight"})
            terms.append((o.tversky.weight, lambda: losses.tversky(raw, target, usable, **prices)))
        if o.ordinal is not None:
            terms.append((o.ordinal.weight, lambda: losses.ordinal(raw, target, usable)))
        return weighted_sum([(weight, term()) for weight, term in terms])


def weighted_sum(terms: list[tuple[float, Loss]]) -> Loss:
    """Pooled loss of a batch; the count is that of the first term, the others enter as means."""
    weight, first = terms[0]
    total = weight * first.total
    for weight, term in terms[1:]:
        total = total + weight * term.mean() * first.count
    return Loss(total, first.count)


@dataclass(frozen=True, eq=False)
class ValueLoss:
    """The sum of losses of quantities.

    All but ``log_mse`` compare standardised numbers, so that quantities of unlike units weigh alike; ``log_mse``
    compares numbers in their own unit.

    Args:
        options: which losses.
    """

    options: LossOptions

    def __call__(self, raw: Tensor, target: Tensor, usable: Tensor, mean: Tensor, std: Tensor) -> Loss:
        """Pooled loss.

        Args:
            raw: standardised ``(B, K, ...)``, or ``(B, 2 K, ...)`` with a log variance.
            target: ``(B, K, ...)`` in the unit of each quantity.
            usable: bool of the shape of ``target``.
            mean: ``(K, 1, ...)`` of the training targets.
            std: likewise.
        """
        o = self.options
        wanted = torch.where(usable, (target - mean) / std, 0.0)
        if o.gaussian_nll is not None:
            guess, spread = raw.chunk(2, dim=1)
            loss = losses.gaussian_nll(guess, spread.clamp_min(SMALLEST_LOG_VARIANCE), wanted, usable)
            return weighted_sum([(o.gaussian_nll.weight, loss)])
        terms: list[tuple[float, Loss]] = []
        if o.mse is not None:
            terms.append((o.mse.weight, losses.mse(raw, wanted, usable)))
        if o.l1 is not None:
            terms.append((o.l1.weight, losses.l1(raw, wanted, usable)))
        if o.huber is not None:
            terms.append((o.huber.weight, losses.huber(raw, wanted, usable, delta=o.huber.delta)))
        if o.log_mse is not None:
            terms.append((o.log_mse.weight, losses.log_mse(raw * std + mean, target, usable)))
        return weighted_sum(terms)


SMALLEST_LOG_VARIANCE = -10.0
"""Of a standardised quantity: against certainty without bound."""
