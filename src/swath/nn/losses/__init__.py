"""Losses that never look under the mask.

Every loss takes ``valid`` and returns a ``Loss``: a sum and the count it must be divided by. Sums and counts of several
batches (accumulated gradients, several devices) add up to the loss over all of their valid elements, which a mean of
means would not. With nothing valid the loss is 0 and so are all gradients.
"""

from __future__ import annotations

from swath.nn.losses.common import Loss
from swath.nn.losses.labels import Weighting, class_weights_from_counts, cross_entropy, focal, ordinal
from swath.nn.losses.pairs import (
    change_similarity,
    concrete_dropout_penalty,
    distillation,
    info_nce,
    loss_order,
    nt_xent,
)
from swath.nn.losses.regions import dice, lovasz_hinge, lovasz_softmax, tversky
from swath.nn.losses.values import bce, gaussian_nll, huber, l1, log_mse, mse, normalised_mse, quantile

__all__ = [
    "Loss",
    "Weighting",
    "bce",
    "change_similarity",
    "class_weights_from_counts",
    "concrete_dropout_penalty",
    "cross_entropy",
    "dice",
    "distillation",
    "focal",
    "gaussian_nll",
    "huber",
    "info_nce",
    "l1",
    "log_mse",
    "loss_order",
    "lovasz_hinge",
    "lovasz_softmax",
    "mse",
    "normalised_mse",
    "nt_xent",
    "ordinal",
    "quantile",
    "tversky",
]
