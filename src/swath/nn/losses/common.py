"""What all losses share: a sum with its count, and the checks of shapes, labels and masks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from swath.errors import ContractError
from swath.types import IGNORE


@dataclass(frozen=True, eq=False)
class Loss:
    """A loss before the division that turns it into a mean.

    Args:
        total: sum over valid elements, differentiable, a scalar.
        count: what to divide by, a scalar without gradient: the number of valid elements or the sum of their weights.
    """

    total: Tensor
    count: Tensor

    def mean(self) -> Tensor:
        """``total / count``; 0, with zero gradient, when nothing counts."""
        return self.total / torch.where(self.count > 0, self.count, 1.0)

    def __add__(self, other: Loss) -> Loss:
        """Pool with the loss of other elements."""
        return Loss(self.total + other.total, self.count + other.count)


def usable_labels(logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Where a label may be used, after a look at shapes and labels."""
    if logits.ndim < 2 or (logits.shape[0], *logits.shape[2:]) != tuple(target.shape):
        raise ContractError(
            f"The logits have shape {tuple(logits.shape)} and the target {tuple(target.shape)}",
            expected="logits (sample, class, y, x) and target (sample, y, x)",
            remedy="check the network's output size and the class axis",
        )
    usable = spread(valid, target) & (target != IGNORE)
    wrong = usable & ((target < 0) | (target >= logits.shape[1]))
    if bool(wrong.any()):
        values, counts = target[wrong].unique(return_counts=True)
        listed = ", ".join(f"{int(v)} ({int(c)} pixels)" for v, c in zip(values[:5], counts[:5], strict=True))
        raise ContractError(
            f"The target holds labels without a logit: {listed}",
            expected=f"labels from 0 to {logits.shape[1] - 1}, or {IGNORE} to ignore",
            remedy="map the labels to the legend of the model, or build the model with more classes",
        )
    return usable


def usable_values(prediction: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Where a number may be used, after a look at the shapes."""
    if prediction.shape != target.shape:
        raise ContractError(
            f"The prediction has shape {tuple(prediction.shape)} and the target {tuple(target.shape)}",
            expected="the same shape",
            remedy="check the network's output; broadcasting would compare the wrong elements",
        )
    return spread(valid, target)


def spread(valid: Tensor, target: Tensor) -> Tensor:
    """The mask in the shape of the target."""
    try:
        return valid.expand_as(target)
    except RuntimeError as error:
        raise ContractError(
            f"The mask has shape {tuple(valid.shape)} and the target {tuple(target.shape)}",
            expected="a mask that broadcasts to the target",
            remedy="give one bool per target value",
        ) from error


def hidden(logits: Tensor, usable: Tensor) -> Tensor:
    """Logits with 0 wherever they may not be used: neither their value nor NaN reaches a loss or a gradient."""
    return torch.where(usable.unsqueeze(1), logits, 0.0)


def probability_and_truth(logits: Tensor, target: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Softmax probabilities and one-hot truth, both 0 where not usable, and the usable mask."""
    usable = usable_labels(logits, target, valid)
    keep = usable.unsqueeze(1)
    probability = torch.where(keep, hidden(logits, usable).softmax(dim=1), 0.0)
    classes = torch.arange(logits.shape[1], device=logits.device).reshape(-1, *[1] * (target.ndim - 1))
    truth = ((target.unsqueeze(1) == classes) & keep).to(logits.dtype)
    return probability, truth, usable


def pool(losses: Tensor, usable: Tensor) -> Loss:
    """Sum and number of the usable elements."""
    return Loss(torch.where(usable, losses, 0.0).sum(), usable.sum().to(losses.dtype))


def over_present(per_class: Tensor, present: Tensor, usable: Tensor) -> Loss:
    """Mean over the classes present, carried as a sum over the valid pixels."""
    mean = torch.where(present, per_class, 0.0).sum() / present.sum().clamp_min(1)
    count = usable.sum().to(mean.dtype)
    return Loss(mean * count, count)
