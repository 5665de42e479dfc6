"""Losses of numbers: regression, distributions, and labels that exclude nothing."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from swath.errors import ConfigError, ContractError
from swath.nn.losses.common import Loss, pool, spread, usable_values


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
    usable = usable_values(logits, target, valid)
    losses = F.binary_cross_entropy_with_logits(
        torch.where(usable, logits, 0.0),
        torch.where(usable, target, 0.0),
        reduction="none",
        pos_weight=pos_weight,
    )
    return pool(losses, usable)


def mse(prediction: Tensor, target: Tensor, valid: Tensor) -> Loss:
    """Squared error ``(x - y)^2``, mean over valid elements.

    Args:
        prediction: any shape.
        target: same shape.
        valid: bool, broadcastable to ``target``.

    Raises:
        ContractError: shapes do not fit.
    """
    usable = usable_values(prediction, target, valid)
    return pool(torch.where(usable, prediction - target, 0.0).square(), usable)


def l1(prediction: Tensor, target: Tensor, valid: Tensor) -> Loss:
    """Absolute error ``|x - y|``, mean over valid elements.

    Args:
        prediction: any shape.
        target: same shape.
        valid: bool, broadcastable to ``target``.

    Raises:
        ContractError: shapes do not fit.
    """
    usable = usable_values(prediction, target, valid)
    return pool(torch.where(usable, prediction - target, 0.0).abs(), usable)


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
    usable = usable_values(mean, target, valid) & usable_values(log_variance, target, valid)
    error = torch.where(usable, target - mean, 0.0)
    spread = torch.where(usable, log_variance, 0.0)
    return pool(0.5 * (spread + error.square() * torch.exp(-spread)), usable)


def huber(prediction: Tensor, target: Tensor, valid: Tensor, *, delta: float = 1.0) -> Loss:
    """Huber loss: ``e^2 / 2`` up to ``|e| = d`` and ``d (|e| - d / 2)`` beyond, mean over valid elements.

    Source: Huber, "Robust estimation of a location parameter", Annals of Mathematical Statistics 35 (1964).

    Args:
        prediction: any shape.
        target: same shape.
        valid: bool, broadcastable to ``target``.
        delta: d, in the unit of the target.

    Raises:
        ContractError: shapes do not fit.
    """
    usable = usable_values(prediction, target, valid)
    error = torch.where(usable, prediction - target, 0.0)
    return pool(F.huber_loss(error, torch.zeros_like(error), reduction="none", delta=delta), usable)


def log_mse(prediction: Tensor, target: Tensor, valid: Tensor) -> Loss:
    """Squared error of logarithms ``(log(1 + x) - log(1 + y))^2``, mean over valid elements.

    Args:
        prediction: any shape, not negative (``RegressionOutput(positive=True)``); what is below 0 counts as 0.
        target: same shape, not negative.
        valid: bool, broadcastable to ``target``.

    Raises:
        ContractError: shapes do not fit or a valid target is negative.
    """
    usable = usable_values(prediction, target, valid)
    truth = torch.where(usable, target, 0.0)
    if bool((truth < 0).any()):
        raise ContractError(
            f"The target of log_mse is {float(truth.min()):g} somewhere",
            expected="numbers of at least 0",
            remedy="use mse for numbers that may be negative",
        )
    guess = torch.where(usable, prediction, 0.0).clamp_min(0)
    return pool((guess.log1p() - truth.log1p()).square(), usable)


def normalised_mse(prediction: Tensor, target: Tensor, valid: Tensor, *, deviation: Tensor) -> Loss:
    """Squared error in standard deviations, ``((x - y) / sd)^2``, mean over valid elements.

    Args:
        prediction: any shape, in the unit of the target.
        target: same shape.
        valid: bool, broadcastable to ``target``.
        deviation: sd of the target in the training split, broadcastable to ``target``, above 0.

    Raises:
        ContractError: shapes do not fit or ``deviation`` is not above 0.
    """
    usable = usable_values(prediction, target, valid)
    if not bool((deviation > 0).all()):
        raise ContractError(
            "The standard deviation of the target is not above 0",
            expected="numbers above 0",
            remedy="compute it over the valid targets of the training split",
        )
    return pool((torch.where(usable, prediction - target, 0.0) / deviation).square(), usable)


def quantile(prediction: Tensor, target: Tensor, valid: Tensor, *, levels: Sequence[float]) -> Loss:
    """Pinball loss ``max(q e, (q - 1) e)`` with ``e = y - x_q``, mean over valid elements and quantiles.

    Source: Koenker and Bassett, "Regression quantiles", Econometrica 46 (1978). Its minimum is the q-quantile.

    Args:
        prediction: ``(B, Q, ...)``, one number per quantile.
        target: ``(B, ...)``.
        valid: bool, broadcastable to ``target``.
        levels: the Q quantiles q, each in (0, 1).

    Raises:
        ConfigError: a level is not in (0, 1).
        ContractError: shapes do not fit.
    """
    if not levels or not all(0 < level < 1 for level in levels):
        raise ConfigError(
            f"The quantiles are {tuple(levels)}", expected="numbers between 0 and 1", remedy="such as (0.05, 0.5, 0.95)"
        )
    if prediction.ndim < 2 or tuple(prediction.shape) != (target.shape[0], len(levels), *target.shape[1:]):
        raise ContractError(
            f"The prediction has shape {tuple(prediction.shape)} and the target {tuple(target.shape)}",
            expected=f"(sample, {len(levels)} quantiles, ...) and (sample, ...)",
            remedy="give the head as many outputs as there are quantiles",
        )
    usable = spread(valid, target).unsqueeze(1).expand_as(prediction)
    level = torch.tensor(levels, dtype=prediction.dtype, device=prediction.device)
    level = level.reshape(-1, *[1] * (target.ndim - 1))
    error = torch.where(usable, target.unsqueeze(1) - prediction, 0.0)
    return pool(torch.maximum(level * error, (level - 1) * error), usable)
