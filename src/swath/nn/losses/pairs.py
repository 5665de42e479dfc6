"""Losses of pairs: two views, two networks, two samples, two dates."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from swath.errors import ConfigError, ContractError
from swath.nn.losses.common import Loss, hidden, pool, spread


def info_nce(query: Tensor, key: Tensor, valid: Tensor, *, temperature: float = 0.1) -> Loss:
    """Which key of the batch belongs to this query? Mean over valid samples of ``-log softmax_j(cos(q_i, k_j) / t)_i``.

    Source: van den Oord, Li, Vinyals, "Representation learning with contrastive predictive coding", 2018, equation 4,
    with cosine similarity. Keys that are not valid are not in the sum either.

    Args:
        query: ``(B, D)``.
        key: ``(B, D)``; row i belongs to row i of ``query``.
        valid: bool ``(B,)``.
        temperature: t, above 0.

    Raises:
        ConfigError: ``temperature`` is not above 0.
        ContractError: shapes do not fit.
    """
    usable = _usable_pairs(query, key, valid, temperature)
    similarity = _units(query, usable) @ _units(key, usable).T / temperature
    # A query keeps its own key even if invalid, so that no row is empty; that row is not counted.
    itself = torch.eye(len(query), dtype=torch.bool, device=query.device)
    losses = -similarity.masked_fill(~(usable[None] | itself), float("-inf")).log_softmax(1).diagonal()
    return pool(losses, usable)


def nt_xent(first: Tensor, second: Tensor, valid: Tensor, *, temperature: float = 0.1) -> Loss:
    """Contrast two views of each sample with all other views in the batch, mean over the views of valid samples.

    With the 2 B views z in one list: ``-log exp(s_ip / t) / sum_{j != i} exp(s_ij / t)``, s the cosine similarity and p
    the other view of the same sample. Source: Chen et al., "A simple framework for contrastive learning of visual
    representations", ICML 2020, equation 1.

    Args:
        first: ``(B, D)``.
        second: ``(B, D)``, the other view of the same samples.
        valid: bool ``(B,)``.
        temperature: t, above 0.

    Raises:
        ConfigError: ``temperature`` is not above 0.
        ContractError: shapes do not fit.
    """
    usable = _usable_pairs(first, second, valid, temperature)
    number = len(first)
    views = torch.cat([_units(first, usable), _units(second, usable)])
    twice = torch.cat([usable, usable])
    place = torch.arange(2 * number, device=first.device)
    partner = (place + number) % (2 * number) if number else place
    allowed = twice[None].expand(2 * number, -1).clone()
    allowed[place, partner] = True
    allowed[place, place] = False
    similarity = (views @ views.T / temperature).masked_fill(~allowed, float("-inf"))
    losses = -similarity.log_softmax(1).gather(1, partner[:, None])[:, 0]
    return pool(losses, twice)


def distillation(student: Tensor, teacher: Tensor, valid: Tensor, *, temperature: float = 1.0) -> Loss:
    """``t^2 KL(softmax(teacher / t) || softmax(student / t))``, mean over valid pixels.

    Source: Hinton, Vinyals, Dean, "Distilling the knowledge in a neural network", 2015. The factor keeps the size
    of the gradient as t grows. No gradient reaches the teacher.

    Args:
        student: logits ``(B, K, ...)``.
        teacher: logits of the same shape.
        valid: bool, broadcastable to ``(B, ...)``.
        temperature: t, above 0.

    Raises:
        ConfigError: ``temperature`` is not above 0.
        ContractError: shapes do not fit.
    """
    _check_temperature(temperature)
    _check_same(student, teacher)
    usable = spread(valid, student[:, 0])
    log_student = (hidden(student, usable) / temperature).log_softmax(1)
    log_teacher = (hidden(teacher.detach(), usable) / temperature).log_softmax(1)
    divergence = (log_teacher.exp() * (log_teacher - log_student)).sum(1)
    return pool(temperature**2 * divergence, usable)


def loss_order(predicted: Tensor, actual: Tensor, valid: Tensor, *, gap: float = 0.1) -> Loss:
    """Does the predicted loss of two samples have the order of their losses? Hinge over consecutive pairs.

    ``max(0, -sign(L_a - L_b) (u_a - u_b) + gap)`` for samples (0, 1), (2, 3), ...; pairs of equal losses teach
    nothing and are not counted, nor is a last sample without a partner. Source: Yoo and Kweon, "Learning loss for
    active learning", CVPR 2019.

    Args:
        predicted: u, ``(B,)``.
        actual: L, ``(B,)``; no gradient reaches it.
        valid: bool ``(B,)``; a pair needs both.
        gap: by how much the order must be kept.

    Raises:
        ContractError: shapes do not fit.
    """
    _check_same(predicted, actual)
    mask = spread(valid, predicted)
    even = len(predicted) // 2 * 2
    sign = torch.sign(actual[:even:2] - actual[1:even:2]).detach()
    usable = mask[:even:2] & mask[1:even:2] & (sign != 0) & torch.isfinite(sign)
    difference = torch.where(usable, predicted[:even:2] - predicted[1:even:2], 0.0)
    return pool((gap - torch.where(usable, sign, 0.0) * difference).clamp_min(0), usable)


def change_similarity(before: Tensor, after: Tensor, changed: Tensor, valid: Tensor) -> Loss:
    """Land cover must agree where nothing changed and differ where something did: cosine of class probabilities.

    ``1 - cos(p, p')`` on unchanged pixels and ``max(0, cos(p, p'))`` on changed ones, mean over valid pixels. Source:
    Ding et al., "Bi-temporal semantic reasoning for the semantic change detection", TGRS 2022.

    Args:
        before: logits ``(B, K, H, W)``.
        after: logits of the same shape.
        changed: bool ``(B, H, W)``.
        valid: bool, broadcastable to ``changed``.

    Raises:
        ContractError: shapes do not fit.
    """
    _check_same(before, after)
    if changed.shape != before[:, 0].shape:
        raise ContractError(
            f"The map of change has shape {tuple(changed.shape)} and the logits {tuple(before.shape)}",
            expected="(sample, y, x) and (sample, class, y, x)",
            remedy="give one bool per pixel",
        )
    usable = spread(valid, changed)
    cosine = F.cosine_similarity(hidden(before, usable).softmax(1), hidden(after, usable).softmax(1), dim=1)
    return pool(torch.where(changed, cosine.clamp_min(0), 1 - cosine), usable)


def concrete_dropout_penalty(
    rate: Tensor, weights: Tensor, inputs: int, *, weight_factor: float, dropout_factor: float
) -> Tensor:
    """What a learned dropout rate a costs: ``f_w ||W||^2 / (1 - a) + f_d D (a log a + (1 - a) log(1 - a))``.

    Source: Gal, Hron, Kendall, "Concrete dropout", NeurIPS 2017, equations 3 and 4. To be added to a mean loss.

    Args:
        rate: a, a scalar in (0, 1).
        weights: W, the weights behind the dropout.
        inputs: D, the number of inputs that are dropped.
        weight_factor: f_w.
        dropout_factor: f_d.
    """
    entropy = torch.special.xlogy(rate, rate) + torch.special.xlogy(1 - rate, 1 - rate)
    return weight_factor * weights.square().sum() / (1 - rate) + dropout_factor * inputs * entropy


def _units(vectors: Tensor, usable: Tensor) -> Tensor:
    return F.normalize(torch.where(usable[:, None], vectors, 0.0), dim=1)


def _usable_pairs(first: Tensor, second: Tensor, valid: Tensor, temperature: float) -> Tensor:
    _check_temperature(temperature)
    _check_same(first, second)
    if first.ndim != 2:
        raise ContractError(
            f"The vectors have shape {tuple(first.shape)}", expected="(sample, number)", remedy="pool them first"
        )
    return spread(valid, first[:, 0])


def _check_temperature(temperature: float) -> None:
    if not temperature > 0:
        raise ConfigError(f"The temperature is {temperature}", expected="a number above 0", remedy="0.1 is usual")


def _check_same(first: Tensor, second: Tensor) -> None:
    if first.shape != second.shape or first.ndim < 1:
        raise ContractError(
            f"The two sides have shapes {tuple(first.shape)} and {tuple(second.shape)}",
            expected="the same shape",
            remedy="pair them first",
        )
