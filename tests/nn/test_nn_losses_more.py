"""The losses of regions, numbers and pairs: hand-worked values, oracles, masks, empty sets."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from swath.errors import ConfigError, ContractError
from swath.nn import Loss, losses
from swath.types import IGNORE

Made = Callable[[Tensor, Tensor, Tensor], Loss]
LEVELS = (0.1, 0.5, 0.9)
# Each: prediction (2, 3, 4, 4) under a mask (2, 4, 4), and numbers (2, 3, 4, 4) from which it makes its target.
UNDER_A_MASK: dict[str, Made] = {
    "tversky": lambda x, y, v: losses.tversky(x, y.argmax(1), v),
    "tversky focal": lambda x, y, v: losses.tversky(x, y.argmax(1), v, gamma=0.75),
    "ordinal": lambda x, y, v: losses.ordinal(x, y.argmax(1), v),
    "lovasz_hinge": lambda x, y, v: losses.lovasz_hinge(x[:, 0], (y[:, 0] > 0).long(), v),
    "huber": lambda x, y, v: losses.huber(x, y, v[:, None]),
    "log_mse": lambda x, y, v: losses.log_mse(x.abs(), y.abs(), v[:, None]),
    "normalised_mse": lambda x, y, v: losses.normalised_mse(x, y, v[:, None], deviation=torch.tensor(2.0)),
    "quantile": lambda x, y, v: losses.quantile(x, y[:, 0], v, levels=LEVELS),
    "distillation": lambda x, y, v: losses.distillation(x, y, v, temperature=2.0),
    "change_similarity": lambda x, y, v: losses.change_similarity(x, y, y[:, 0] > 0, v),
}
VECTORS: dict[str, Made] = {
    "info_nce": lambda x, y, v: losses.info_nce(x, y, v, temperature=0.3),
    "nt_xent": lambda x, y, v: losses.nt_xent(x, y, v, temperature=0.3),
    "loss_order": lambda x, y, v: losses.loss_order(x[:, 0], y[:, 0], v),
}


def dense(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x, y = (torch.randn(2, 3, 4, 4, generator=generator) for _ in range(2))
    return x, y, torch.rand(2, 4, 4, generator=generator) > 0.4


def vectors(seed: int, samples: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x, y = (torch.randn(samples, 4, generator=generator) for _ in range(2))
    return x, y, torch.rand(samples, generator=generator) > 0.3


@pytest.mark.parametrize("name", [*UNDER_A_MASK, *VECTORS])
@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**31), hidden=st.sampled_from([1e30, -7.0, float("nan"), float("inf")]))
def test_values_under_the_mask_change_nothing(name: str, seed: int, hidden: float) -> None:
    pair = name in VECTORS
    x, y, valid = vectors(seed) if pair else dense(seed)
    loss = (VECTORS | UNDER_A_MASK)[name]
    first, second = x.clone().requires_grad_(), torch.where(_wide(valid, x), x, hidden).requires_grad_()
    results = [loss(first, y, valid), loss(second, y, valid)]
    assert torch.equal(results[0].total, results[1].total) and torch.equal(results[0].count, results[1].count)
    torch.autograd.backward([result.total for result in results])
    assert first.grad is not None and second.grad is not None
    assert torch.equal(first.grad, second.grad)
    assert bool((second.grad[~_wide(valid, x).expand_as(x)] == 0).all())


def _wide(valid: Tensor, like: Tensor) -> Tensor:
    return valid.unsqueeze(1) if like.ndim > valid.ndim else valid


@pytest.mark.parametrize("name", [*UNDER_A_MASK, *VECTORS])
def test_nothing_valid_is_zero_with_zero_gradient(name: str) -> None:
    x, y, valid = vectors(0) if name in VECTORS else dense(0)
    x = torch.full_like(x, float("nan")).requires_grad_()
    loss = (VECTORS | UNDER_A_MASK)[name](x, y, torch.zeros_like(valid))
    assert (loss.total.item(), loss.count.item(), loss.mean().item()) == (0, 0, 0)
    torch.autograd.backward(loss.mean())
    assert x.grad is not None and bool((x.grad == 0).all())


@pytest.mark.parametrize("name", [*UNDER_A_MASK, *VECTORS])
def test_no_samples_at_all(name: str) -> None:
    x, y, valid = vectors(0) if name in VECTORS else dense(0)
    loss = (VECTORS | UNDER_A_MASK)[name](x[:0], y[:0], valid[:0])
    assert loss.mean().item() == 0


@pytest.mark.parametrize("name", [n for n in UNDER_A_MASK if n[:4] not in ("tver", "lova")])
def test_parts_pool_to_the_whole(name: str) -> None:
    x, y, valid = dense(5)
    loss = UNDER_A_MASK[name]
    parts = loss(x[:1], y[:1], valid[:1]) + loss(x[1:], y[1:], valid[1:])
    torch.testing.assert_close(parts.mean(), loss(x, y, valid).mean())


def test_tversky_is_dice_when_both_errors_cost_half() -> None:
    x, y, valid = dense(1)
    same = losses.tversky(x, y.argmax(1), valid, false_positive=0.5, false_negative=0.5, epsilon=0.5)
    torch.testing.assert_close(same.mean(), losses.dice(x, y.argmax(1), valid, epsilon=1.0).mean())


def test_tversky_by_hand() -> None:
    logits = torch.tensor([0.8, 0.4, 0.3]).log()
    logits = torch.stack([torch.tensor([0.2, 0.6, 0.7]).log(), logits])[None, :, None]
    loss = losses.tversky(
        logits, torch.tensor([[[1, 1, 0]]]), torch.ones(1, 1, 3, dtype=torch.bool), epsilon=0, gamma=2.0
    )
    one = 1 - 1.2 / (1.2 + 0.3 * 0.3 + 0.7 * 0.8)
    zero = 1 - 0.7 / (0.7 + 0.3 * 0.8 + 0.7 * 0.3)
    assert float(loss.mean()) == pytest.approx((one**2 + zero**2) / 2, rel=1e-5)


def test_lovasz_hinge_of_sure_answers_is_the_jaccard_loss() -> None:
    """Errors of exactly 2 on wrong pixels and 0 on right ones: twice 1 - IoU."""
    target = torch.tensor([[[1, 1, 1, 0, 0]]])
    signs = torch.tensor([[[1.0, 1.0, -1.0, 1.0, -1.0]]])
    loss = losses.lovasz_hinge(signs, target, torch.ones_like(target, dtype=torch.bool))
    assert float(loss.mean()) == pytest.approx(2 * (1 - 2 / 4))


def test_lovasz_hinge_by_hand() -> None:
    """Errors 1.5 (class 1) and 0.5 (class 0); Jaccard steps: missing one of one is 1, then 0."""
    loss = losses.lovasz_hinge(torch.tensor([[-0.5, -0.5]]), torch.tensor([[1, 0]]), torch.tensor(True))
    assert float(loss.mean()) == pytest.approx(1.5)
    loss = losses.lovasz_hinge(torch.tensor([[0.5, 0.5]]), torch.tensor([[1, 0]]), torch.tensor(True))
    assert float(loss.mean()) == pytest.approx(1.5 * 0.5 + 0.5 * 0.5)
    empty = losses.lovasz_hinge(torch.tensor([[0.5, -3.0]]), torch.tensor([[0, 0]]), torch.tensor(True))
    assert float(empty.mean()) == pytest.approx(1.5)
    right = losses.lovasz_hinge(torch.tensor([[-0.5, 3.0]]), torch.tensor([[1, 1]]), torch.tensor(True))
    assert float(right.mean()) == pytest.approx(1.5 * 0.5)  # an error below 0 counts as 0
    ignored = losses.lovasz_hinge(torch.tensor([[-0.5, 9.0]]), torch.tensor([[1, IGNORE]]), torch.tensor(True))
    assert float(ignored.mean()) == pytest.approx(1.5) and float(ignored.count) == 1
    with pytest.raises(ContractError, match="other than 0 and 1"):
        losses.lovasz_hinge(torch.zeros(1, 1), torch.tensor([[2]]), torch.tensor(True))


def test_ordinal_by_hand() -> None:
    logits = torch.tensor([[0.0, math.log(3), -1e4]])
    loss = losses.ordinal(logits, torch.tensor([2]), torch.tensor([True]))
    sure = torch.tensor([[2.0, 1.0, -3.0]])
    assert float(loss.mean()) == pytest.approx(math.log(2) + math.log(4 / 3), rel=1e-5)
    far, near = (losses.ordinal(sure, torch.tensor([k]), torch.tensor([True])).mean() for k in (0, 1))
    assert float(far) > float(near)
    with pytest.raises(ContractError, match="labels without a logit: 4"):
        losses.ordinal(logits, torch.tensor([4]), torch.tensor([True]))


def test_numbers_by_hand() -> None:
    x, y = torch.tensor([0.5, -3.0, 7.0]), torch.tensor([0.0, 0.0, 7.0])
    all_valid = torch.ones(3, dtype=torch.bool)
    assert float(losses.huber(x, y, all_valid, delta=2.0).total) == pytest.approx(0.125 + 2 * (3 - 1))
    expected = F.huber_loss(x, y, delta=2.0)
    torch.testing.assert_close(losses.huber(x, y, all_valid, delta=2.0).mean(), expected)
    logs = losses.log_mse(torch.tensor([math.e - 1, -5.0]), torch.tensor([0.0, 0.0]), torch.tensor(True))
    assert float(logs.total) == pytest.approx(1)
    scaled = losses.normalised_mse(x, y, all_valid, deviation=torch.tensor([0.5, 3.0, 1.0]))
    assert float(scaled.total) == pytest.approx(2)
    with pytest.raises(ContractError, match="not above 0"):
        losses.normalised_mse(x, y, all_valid, deviation=torch.tensor(0.0))
    with pytest.raises(ContractError, match="is -1 somewhere"):
        losses.log_mse(x, y - 1, all_valid)


def test_quantile_by_hand_and_at_its_minimum() -> None:
    prediction, target = torch.tensor([[1.0, 1.0]]), torch.tensor([3.0])
    loss = losses.quantile(prediction, target, torch.tensor([True]), levels=(0.1, 0.9))
    assert float(loss.total) == pytest.approx(0.2 + 1.8) and float(loss.count) == 2
    values = torch.linspace(0, 1, 101)
    costs = [
        float(losses.quantile(torch.full((101, 1), q), values, torch.tensor(True), levels=(0.9,)).mean())
        for q in values.tolist()
    ]
    assert costs.index(min(costs)) == 90
    with pytest.raises(ConfigError, match="quantiles are"):
        losses.quantile(prediction, target, torch.tensor([True]), levels=(0.0, 0.9))
    with pytest.raises(ContractError, match="2 quantiles"):
        losses.quantile(prediction[:, :1], target, torch.tensor([True]), levels=(0.1, 0.9))


def test_info_nce_is_cross_entropy_of_cosines() -> None:
    x, y, _ = vectors(2)
    cosine = F.cosine_similarity(x[:, None], y[None], dim=-1)
    expected = F.cross_entropy(cosine / 0.2, torch.arange(6))
    loss = losses.info_nce(x, y, torch.ones(6, dtype=torch.bool), temperature=0.2)
    torch.testing.assert_close(loss.mean(), expected)
    valid = torch.tensor([True, False, True, True, False, True])
    kept = losses.info_nce(x[valid], y[valid], torch.ones(4, dtype=torch.bool), temperature=0.2)
    torch.testing.assert_close(losses.info_nce(x, y, valid, temperature=0.2).mean(), kept.mean())


def test_nt_xent_by_brute_force() -> None:
    x, y, valid = vectors(3)
    views = torch.cat([x[valid], y[valid]]).double()
    number, terms = int(valid.sum()), []
    for i in range(2 * number):
        cosine = [float(F.cosine_similarity(views[i], views[j], dim=0)) / 0.1 for j in range(2 * number)]
        others = sum(math.exp(cosine[j]) for j in range(2 * number) if j != i)
        terms.append(-cosine[(i + number) % (2 * number)] + math.log(others))
    loss = losses.nt_xent(x, y, valid)
    assert float(loss.count) == 2 * number
    assert float(loss.mean()) == pytest.approx(sum(terms) / len(terms), rel=1e-5)
    alone = losses.nt_xent(x[:1], y[:1], torch.tensor([True]))
    assert float(alone.mean()) == pytest.approx(0, abs=1e-6)


def test_distillation_by_hand() -> None:
    student, teacher, valid = dense(4)
    expected = F.kl_div((student / 2).log_softmax(1), (teacher / 2).softmax(1), reduction="none").sum(1)[valid].mean()
    torch.testing.assert_close(losses.distillation(student, teacher, valid, temperature=2.0).mean(), 4 * expected)
    assert float(losses.distillation(student, student, valid).mean()) == pytest.approx(0, abs=1e-6)
    teacher.requires_grad_()
    torch.autograd.backward(losses.distillation(student.requires_grad_(), teacher, valid).mean())
    assert teacher.grad is None


def test_loss_order_by_hand() -> None:
    predicted = torch.tensor([1.0, 0.0, 0.0, 0.05, 9.0, 1.0, 5.0])
    actual = torch.tensor([2.0, 1.0, 2.0, 1.0, 3.0, 3.0, 7.0])
    loss = losses.loss_order(predicted, actual, torch.ones(7, dtype=torch.bool))
    assert float(loss.count) == 2  # equal losses and the last one have no order
    assert float(loss.total) == pytest.approx(0 + 0.15)


def test_change_similarity_by_hand() -> None:
    before = torch.tensor([[50.0, 0.0], [0.0, 0.0]])[None, :, None]
    after = torch.tensor([[50.0, 0.0], [0.0, 0.0]])[None, :, None]
    changed = torch.tensor([[[True, False]]])
    loss = losses.change_similarity(before, after, changed, torch.tensor(True))
    assert float(loss.total) == pytest.approx(1) and float(loss.count) == 2
    with pytest.raises(ContractError, match="map of change"):
        losses.change_similarity(before, after, changed[..., :1], torch.tensor(True))


def test_concrete_dropout_penalty_by_hand() -> None:
    rate, weights = torch.tensor(0.25), torch.tensor([1.0, 2.0])
    penalty = losses.concrete_dropout_penalty(rate, weights, 4, weight_factor=0.1, dropout_factor=0.5)
    entropy = 0.25 * math.log(0.25) + 0.75 * math.log(0.75)
    assert float(penalty) == pytest.approx(0.1 * 5 / 0.75 + 0.5 * 4 * entropy)


@pytest.mark.parametrize("name", ["info_nce", "nt_xent", "distillation"])
def test_a_temperature_of_zero_is_named(name: str) -> None:
    x, y, valid = vectors(0)
    with pytest.raises(ConfigError, match="temperature is 0"):
        getattr(losses, name)(x, y, valid, temperature=0)
    with pytest.raises(ContractError, match="two sides have shapes"):
        getattr(losses, name)(x, y[:2], valid)
