"""Losses of regions: how well the pixels of a class overlap with the truth, over the whole batch."""

from __future__ import annotations

import torch
from torch import Tensor

from swath.errors import ContractError
from swath.nn.losses.common import Loss, over_present, probability_and_truth, usable_values
from swath.types import IGNORE


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
    probability, truth, usable = probability_and_truth(logits, target, valid)
    pixels = [axis for axis in range(logits.ndim) if axis != 1]
    both = (probability * truth).sum(pixels)
    size = truth.sum(pixels)
    per_class = 1 - (2 * both + epsilon) / (probability.sum(pixels) + size + epsilon)
    return over_present(per_class, size > 0, usable)


def tversky(
    logits: Tensor,
    target: Tensor,
    valid: Tensor,
    *,
    false_positive: float = 0.3,
    false_negative: float = 0.7,
    gamma: float = 1.0,
    epsilon: float = 0.5,
) -> Loss:
    """Tversky loss over the batch, averaged over the classes present: Dice with unlike prices for the two errors.

    Per class ``(1 - (TP + e) / (TP + a FP + b FN + e))^gamma`` with soft counts over the valid pixels of the batch.
    a = b = 1/2 is ``dice`` with twice the e. Sources: Salehi et al., "Tversky loss function for image segmentation",
    MLMI 2017; gamma from Abraham and Khan, ISBI 2019. Pooled over batches like ``dice``.

    Args:
        logits: ``(B, K, H, W)``.
        target: int64 ``(B, H, W)``.
        valid: bool, broadcastable to ``target``.
        false_positive: price a.
        false_negative: price b.
        gamma: below 1 stresses classes that are nearly right, above 1 those that are not.
        epsilon: smoothing term e.

    Raises:
        ContractError: shapes do not fit or a valid label is not in 0..K-1.
    """
    probability, truth, usable = probability_and_truth(logits, target, valid)
    pixels = [axis for axis in range(logits.ndim) if axis != 1]
    both, size = (probability * truth).sum(pixels), truth.sum(pixels)
    wrong = false_positive * (probability.sum(pixels) - both) + false_negative * (size - both)
    per_class = (1 - (both + epsilon) / (both + wrong + epsilon)).clamp_min(torch.finfo(logits.dtype).tiny)
    return over_present(per_class**gamma, size > 0, usable)


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
    probability, truth, usable = probability_and_truth(logits, target, valid)
    classes = logits.shape[1]
    # Pixels that are not valid have p = y = 0: error 0, so they come last and never change the Jaccard steps before.
    errors, order = (truth - probability).abs().movedim(1, 0).reshape(classes, -1).sort(dim=1, descending=True)
    ordered = truth.movedim(1, 0).reshape(classes, -1).gather(1, order)
    size = ordered.sum(1, keepdim=True)
    intersection = size - ordered.cumsum(1)
    union = size + (1 - ordered).cumsum(1)
    jaccard = 1 - intersection / union.clamp_min(1)
    steps = torch.diff(jaccard, dim=1, prepend=torch.zeros_like(size))
    return over_present((errors * steps).sum(1), size[:, 0] > 0, usable)


def lovasz_hinge(logits: Tensor, target: Tensor, valid: Tensor) -> Loss:
    """Lovász hinge of two classes over the batch, from one logit per pixel.

    The errors ``1 - x (2 y - 1)`` in falling order, cut at 0, times the steps of the Jaccard loss of the class 1.
    Source: Berman, Rannen Triki, Blaschko, CVPR 2018, section 3.1. Pooled over batches like ``dice``.

    Args:
        logits: ``(B, H, W)``, above 0 for class 1.
        target: int64 of the same shape, 0, 1 or ``IGNORE``.
        valid: bool, broadcastable to ``target``.

    Raises:
        ContractError: shapes do not fit or a valid label is neither 0 nor 1.
    """
    usable = usable_values(logits, target, valid) & (target != IGNORE)
    if bool((usable & (target != 0) & (target != 1)).any()):
        raise ContractError(
            "The target of the Lovász hinge holds labels other than 0 and 1",
            expected=f"0, 1, or {IGNORE} to ignore",
            remedy="use lovasz_softmax for several classes",
        )
    truth = torch.where(usable, target, 0).to(logits.dtype)
    # What is not valid has the error -1: cut to 0, and behind every error that counts.
    errors = torch.where(usable, 1 - logits * (2 * truth - 1), -1.0).flatten()
    ordered_errors, order = errors.sort(descending=True)
    ordered = truth.flatten()[order]
    size = ordered.sum()
    jaccard = 1 - (size - ordered.cumsum(0)) / (size + (1 - ordered).cumsum(0)).clamp_min(1)
    steps = torch.diff(jaccard, prepend=torch.zeros_like(jaccard[:1]))
    count = usable.sum().to(logits.dtype)
    return Loss((ordered_errors.clamp_min(0) * steps).sum() * count, count)
