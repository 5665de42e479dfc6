"""Losses of one label per pixel or image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from swath.errors import InputError
from swath.nn.losses.common import Loss, hidden, pool, usable_labels
from swath.types import IGNORE

Weighting = Literal["torch", "mean"]


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
    usable = usable_labels(logits, target, valid)
    labels = torch.where(usable, target, IGNORE)
    total = F.cross_entropy(
        hidden(logits, usable),
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
    usable = usable_labels(logits, target, valid)
    labels = torch.where(usable, target, 0)
    log_probability = F.log_softmax(hidden(logits, usable), dim=1).gather(1, labels[:, None])[:, 0]
    # -expm1(log p) = 1 - p without cancellation; the floor keeps the gradient of the power finite at p = 1.
    surprise = (-torch.expm1(log_probability)).clamp_min(torch.finfo(logits.dtype).tiny)
    losses = -(surprise**gamma) * log_probability
    if class_weights is not None:
        losses = losses * class_weights[labels]
    return pool(losses, usable)


def ordinal(logits: Tensor, target: Tensor, valid: Tensor) -> Loss:
    """Loss of ordered classes: for every step k, is the class above k? Mean over valid pixels of the sum over steps.

    ``- sum_k [y > k] log s(x_k) + [y <= k] log(1 - s(x_k))`` for K - 1 logits of K classes. A prediction three classes
    off costs three steps. Source: Cao, Mirjalili, Raschka, "Rank consistent ordinal regression", 2020 (CORAL), with
    equal weights; the predicted class is the number of logits above 0.

    Args:
        logits: ``(B, K - 1, ...)``.
        target: int64 ``(B, ...)``, 0 to K - 1; ``IGNORE`` counts as not valid.
        valid: bool, broadcastable to ``target``.

    Raises:
        ContractError: shapes do not fit or a valid label is not in 0..K-1.
    """
    # K classes have K - 1 logits; the look at shapes and labels expects K.
    usable = usable_labels(torch.cat([logits, logits[:, :1]], dim=1), target, valid)
    steps = torch.arange(logits.shape[1], device=logits.device).reshape(-1, *[1] * (target.ndim - 1))
    above = (torch.where(usable, target, 0).unsqueeze(1) > steps).to(logits.dtype)
    losses = F.binary_cross_entropy_with_logits(hidden(logits, usable), above, reduction="none")
    return pool(losses.sum(1), usable)
