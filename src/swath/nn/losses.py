"""Losses that never look under the mask.

Every loss takes ``valid`` and returns a ``Loss``: a sum and the count it must be divided by. Sums and counts of several
batches (accumulated gradients, several devices) add up to the loss over all of their valid elements, which a mean of
means would not. With nothing valid the loss is 0 and so are all gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from swath.errors import ContractError, InputError
from swath.types import IGNORE

Weighting = Literal["torch", "mean"]


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


def class_weights_from_counts(counts: Sequence[int] | Tensor) -> Tensor:
    """Weights that give every class the same total: ``w_c = n / (K n_c)``, n the sum over the K classes present.

    A class that does not occur gets weight 0. Source: King and Zeng, "Logistic regression in rare events data",
    Political Analysis 9 (2001), as used by scikit-learn under the name "balanced".

    Args:
        counts: number of training pixels per class.

    Returns:
        float32, one weight per class; their mean over the training pixels is 1.

    Raises:
        InputError: a count is negative or all are 0.
    """
    number = torch.as_tensor(counts, dtype=torch.float64)
    if bool((number < 0).any()) or not bool((number > 0).any()):
        raise InputError(
            f"The class counts are {number.long().tolist()}",
            expected="counts of at least 0, and one above 0",
            remedy="count the valid labels of the training split",
        )
    present = number > 0
    weights = number.sum() / (present.sum() * torch.where(present, number, 1.0))
    return torch.where(present, weights, 0.0).float()


def cross_entropy(
    logits: Tensor,
    target: Tensor,
    valid: Tensor,
    *,
    class_weights: Tensor | None = None,
    weighting: Weighting = "torch",
    label_smoothing: float = 0.0,
) -> Loss:
    """Cross-entropy ``l = -log softmax(logits)_y``, weighted by the class of the target.

    ``weighting`` chooses the denominator: "torch" divides ``sum w_y l`` by ``sum w_y`` (the rule of
    ``torch.nn.functional.cross_entropy``), "mean" by the number of valid pixels. Label smoothing e mixes the target
    with the uniform distribution: ``(1 - e) w_y l_y + e / K sum_k w_k l_k``.

    Args:
        logits: ``(B, K, H, W)``, or ``(B, K)``.
        target: int64 ``(B, H, W)``, or ``(B,)``; ``IGNORE`` counts as not valid.
        valid: bool, broadcastable to ``target``.
        class_weights: ``(K,)``, or None for 1.
        weighting: which denominator.
        label_smoothing: share of the uniform distribution, in [0, 1).

    Raises:
        ContractError: shapes do not fit or a valid label is not in 0..K-1.
    """
    usable = _usable(logits, target, valid)
    labels = torch.where(usable, target, IGNORE)
    total = F.cross_entropy(
        _hidden(logits, usable),
        labels,
        weight=class_weights,
        ignore_index=IGNORE,
        reduction="sum",
        label_smoothing=label_smoothing,
    )
    if class_weights is None or weighting == "mean":
        return Loss(total, usable.sum().to(total.dtype))
    return Loss(total, class_weights[labels.clamp_min(0)][usable].sum().to(total.dtype))


def focal(
    logits: Tensor, target: Tensor, valid: Tensor, *, gamma: float = 2.0, class_weights: Tensor | None = None
) -> Loss:
    """Focal loss ``-w_y (1 - p_y)^gamma log p_y``, mean over valid pixels.

    Source: Lin et al., "Focal loss for dense object detection", ICCV 2017. gamma = 0 is cross-entropy with
    ``weighting="mean"``.

    Args:
        logits: ``(B, K, H, W)``.
        target: int64 ``(B, H, W)``.
        valid: bool, broadcastable to ``target``.
        gamma: how strongly easy pixels are played down, at least 0.
        class_weights: ``(K,)``, or None for 1.

    Raises:
        ContractError: shapes do not fit or a valid label is not in 0..K-1.
    """
    usable = _usable(logits, target, valid)
    labels = torch.where(usable, target, 0)
    log_probability = F.log_softmax(_hidden(logits, usable), dim=1).gather(1, labels[:, None])[:, 0]
    # -expm1(log p) = 1 - p without cancellation; the floor keeps the gradient of the power finite at p = 1.
    surprise = (-torch.expm1(log_probability)).clamp_min(torch.finfo(logits.dtype).tiny)
    losses = -(surprise**gamma) * log_probability
    if class_weights is not None:
        losses = losses * class_weights[labels]
    return _pool(losses, usable)


def dice(logits: Tensor, target: Tensor, valid: Tensor, *, epsilon: float = 1.0) -> Loss:
    """Soft Dice loss over the batch, averaged over the classes present.

    Per class ``1 - (2 sum p y + e) / (sum p + sum y + e)`` with softmax probabilities p, one-hot targets y and sums
    over the valid pixels of the whole batch. Source: Milletari et al., "V-Net", 3DV 2016 (without the squares).

    The batch value is not a sum over pixels; ``Loss`` carries it times the number of valid pixels, so that batches
    pool by their size.

    Args:
        logits: ``(B, K, H, W)``.
        target: int64 ``(B, H, W)``.
        valid: bool, broadcastable to ``target``.
        epsilon: smoothing term e.

    Raises:
        ContractError: shapes do not fit or a valid label is not in 0..K-1.
    """
    probability, truth, usable = _probability_and_truth(logits, target, valid)
    pixels = [axis for axis in range(logits.ndim) if axis != 1]
    both = (probability * truth).sum(pixels)
    size = truth.sum(pixels)
    per_class = 1 - (2 * both + epsilon) / (probability.sum(pixels) + size + epsilon)
    return _over_present(per_class, size > 0, usable)


def lovasz_softmax(logits: Tensor, target: Tensor, valid: Tensor) -> Loss:
    """Lovász-softmax loss over the batch, averaged over the classes present.

    The convex extension of ``1 - IoU``: the errors ``|y - p|`` of a class, in falling order, times the step by which
    the Jaccard loss grows as each pixel joins the misclassified set. Source: Berman, Rannen Triki, Blaschko, "The
    Lovász-softmax loss", CVPR 2018. Pooled over batches like ``dice``.

    Args:
        logits: ``(B, K, H, W)``.
        target: int64 ``(B, H, W)``.
        valid: bool, broadcastable to ``target``.

    Raises:
        ContractError: shapes do not fit or a valid label is not in 0..K-1.
    """
    probability, truth, usable = _probability_and_truth(logits, target, valid)
    classes = logits.shape[1]
    # Pixels that are not valid have p = y = 0: error 0, so they come last and never change the Jaccard steps before.
    errors, order = (truth - probability).abs().movedim(1, 0).reshape(classes, -1).sort(dim=1, descending=True)
    ordered = truth.movedim(1, 0).reshape(classes, -1).gather(1, order)
    size = ordered.sum(1, keepdim=True)
    intersection = size - ordered.cumsum(1)
    union = size + (1 - ordered).cumsum(1)
    jaccard = 1 - intersection / union.clamp_min(1)
    steps = torch.diff(jaccard, dim=1, prepend=torch.zeros_like(size))
    return _over_present((errors * steps).sum(1), size[:, 0] > 0, usable)


def bce(logits: Tensor, target: Tensor, valid: Tensor, *, pos_weight: Tensor | None = None) -> Loss:
    """Binary cross-entropy on logits, ``-(w y log s(x) + (1 - y) log(1 - s(x)))``, mean over valid elements.

    Args:
        logits: any shape.
        target: same shape, in [0, 1].
        valid: bool, broadcastable to ``target``.
        pos_weight: weight w of positives; a scalar, a vector over the last axis or one number per element.

    Raises:
        ContractError: shapes do not fit.
    """
    usable = _same_shape(logits, target, valid)
    losses = F.binary_cross_entropy_with_logits(
        torch.where(usable, logits, 0.0),
        torch.where(usable, target, 0.0),
        reduction="none",
        pos_weight=pos_weight,
    )
    return _pool(losses, usable)


def mse(prediction: Tensor, target: Tensor, valid: Tensor) -> Loss:
    """Squared error ``(x - y)^2``, mean over valid elements.

    Args:
        prediction: any shape.
        target: same shape.
        valid: bool, broadcastable to ``target``.

    Raises:
        ContractError: shapes do not fit.
    """
    usable = _same_shape(prediction, target, valid)
    return _pool(torch.where(usable, prediction - target, 0.0).square(), usable)


def l1(prediction: Tensor, target: Tensor, valid: Tensor) -> Loss:
    """Absolute error ``|x - y|``, mean over valid elements.

    Args:
        prediction: any shape.
        target: same shape.
        valid: bool, broadcastable to ``target``.

    Raises:
        ContractError: shapes do not fit.
    """
    usable = _same_shape(prediction, target, valid)
    return _pool(torch.where(usable, prediction - target, 0.0).abs(), usable)


def gaussian_nll(mean: Tensor, log_variance: Tensor, target: Tensor, valid: Tensor) -> Loss:
    """Gaussian negative log-likelihood without its constant, ``(s + (y - m)^2 exp(-s)) / 2``, mean over valid elements.

    Source: Nix and Weigend, "Estimating the mean and variance of the target probability distribution", ICNN 1994.

    Args:
        mean: predicted mean m, any shape.
        log_variance: predicted s = log variance, same shape.
        target: same shape.
        valid: bool, broadcastable to ``target``.

    Raises:
        ContractError: shapes do not fit.
    """
    usable = _same_shape(mean, target, valid) & _same_shape(log_variance, target, valid)
    error = torch.where(usable, target - mean, 0.0)
    spread = torch.where(usable, log_variance, 0.0)
    return _pool(0.5 * (spread + error.square() * torch.exp(-spread)), usable)


def _usable(logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Where a label may be used, after a look at shapes and labels."""
    if logits.ndim < 2 or (logits.shape[0], *logits.shape[2:]) != tuple(target.shape):
        raise ContractError(
            f"The logits have shape {tuple(logits.shape)} and the target {tuple(target.shape)}",
            expected="logits (sample, class, y, x) and target (sample, y, x)",
            remedy="check the network's output size and the class axis",
        )
    usable = _spread(valid, target) & (target != IGNORE)
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


def _same_shape(prediction: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    if prediction.shape != target.shape:
        raise ContractError(
            f"The prediction has shape {tuple(prediction.shape)} and the target {tuple(target.shape)}",
            expected="the same shape",
            remedy="check the network's output; broadcasting would compare the wrong elements",
        )
    return _spread(valid, target)


def _spread(valid: Tensor, target: Tensor) -> Tensor:
    try:
        return valid.expand_as(target)
    except RuntimeError as error:
        raise ContractError(
            f"The mask has shape {tuple(valid.shape)} and the target {tuple(target.shape)}",
            expected="a mask that broadcasts to the target",
            remedy="give one bool per target value",
        ) from error


def _hidden(logits: Tensor, usable: Tensor) -> Tensor:
    """Logits with 0 wherever they may not be used: neither their value nor NaN reaches a loss or a gradient."""
    return torch.where(usable.unsqueeze(1), logits, 0.0)


def _probability_and_truth(logits: Tensor, target: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Softmax probabilities and one-hot truth, both 0 where not usable, and the usable mask."""
    usable = _usable(logits, target, valid)
    keep = usable.unsqueeze(1)
    probability = torch.where(keep, _hidden(logits, usable).softmax(dim=1), 0.0)
    classes = torch.arange(logits.shape[1], device=logits.device).reshape(-1, *[1] * (target.ndim - 1))
    truth = ((target.unsqueeze(1) == classes) & keep).to(logits.dtype)
    return probability, truth, usable


def _pool(losses: Tensor, usable: Tensor) -> Loss:
    return Loss(torch.where(usable, losses, 0.0).sum(), usable.sum().to(losses.dtype))


def _over_present(per_class: Tensor, present: Tensor, usable: Tensor) -> Loss:
    """Mean over the classes present, carried as a sum over the valid pixels."""
    mean = torch.where(present, per_class, 0.0).sum() / present.sum().clamp_min(1)
    count = usable.sum().to(mean.dtype)
    return Loss(mean * count, count)
