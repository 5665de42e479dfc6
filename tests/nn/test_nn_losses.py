"""Losses: hand-worked values, torch and brute force as oracles, masks, empty sets, pooling."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from swath.errors import ContractError, InputError
from swath.nn import Loss, class_weights_from_counts, losses
from swath.types import IGNORE

Labelled = Callable[[Tensor, Tensor, Tensor], Loss]
WEIGHTS = torch.tensor([0.5, 2.0, 1.5])
LABELLED: dict[str, Labelled] = {
    "cross_entropy": losses.cross_entropy,
    "weighted": lambda x, y, v: losses.cross_entropy(x, y, v, class_weights=WEIGHTS),
    "weighted mean": lambda x, y, v: losses.cross_entropy(x, y, v, class_weights=WEIGHTS, weighting="mean"),
    "smoothed": lambda x, y, v: losses.cross_entropy(x, y, v, label_smoothing=0.1),
    "focal": losses.focal,
    "dice": losses.dice,
    "lovasz": losses.lovasz_softmax,
}
DENSE: dict[str, Labelled] = {
    "bce": lambda x, y, v: losses.bce(x, y.sigmoid(), v),
    "mse": losses.mse,
    "l1": losses.l1,
    "gaussian_nll": lambda x, y, v: losses.gaussian_nll(x, x * 0.5, y, v),
}


def sample(seed: int, samples: int = 2, size: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(samples, 3, size, size, generator=generator, dtype=torch.float64)
    target = torch.randint(0, 3, (samples, size, size), generator=generator)
    valid = torch.rand(samples, size, size, generator=generator) > 0.4
    return logits, target, valid


def log_softmax(row: list[float]) -> list[float]:
    total = math.log(sum(math.exp(value) for value in row))
    return [value - total for value in row]


def test_cross_entropy_by_hand() -> None:
    logits = torch.tensor([[0.0, 0.0], [0.0, math.log(3)]]).T.reshape(1, 2, 1, 2)
    target = torch.tensor([[[0, 1]]])
    valid = torch.ones(1, 1, 2, dtype=torch.bool)
    pixel = [math.log(2), math.log(4 / 3)]
    loss = losses.cross_entropy(logits, target, valid)
    assert float(loss.count) == 2
    assert float(loss.mean()) == pytest.approx(sum(pixel) / 2)
    weights = torch.tensor([1.0, 3.0])
    weighted = (pixel[0] + 3 * pixel[1], 4.0)
    loss = losses.cross_entropy(logits, target, valid, class_weights=weights)
    assert (float(loss.total), float(loss.count)) == pytest.approx(weighted)
    loss = losses.cross_entropy(logits, target, valid, class_weights=weights, weighting="mean")
    assert float(loss.mean()) == pytest.approx(weighted[0] / 2)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**31), st.booleans(), st.sampled_from([0.0, 0.2]))
def test_cross_entropy_is_that_of_torch(seed: int, weighted: bool, smoothing: float) -> None:
    logits, target, valid = sample(seed)
    weights = WEIGHTS.double() if weighted else None
    ours = losses.cross_entropy(logits, target, valid, class_weights=weights, label_smoothing=smoothing).mean()
    if not bool(valid.any()):
        assert float(ours) == 0
        return
    reference = F.cross_entropy(
        logits, torch.where(valid, target, IGNORE), weight=weights, ignore_index=IGNORE, label_smoothing=smoothing
    )
    torch.testing.assert_close(ours, reference)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**31), st.sampled_from([0.0, 0.5, 2.0]))
def test_focal_is_brute_force(seed: int, gamma: float) -> None:
    logits, target, valid = sample(seed)
    valid[0, 0, 0] = True
    values = []
    for b, y, x in torch.nonzero(valid).tolist():
        label = int(target[b, y, x])
        logp = log_softmax(logits[b, :, y, x].tolist())[label]
        values.append(-float(WEIGHTS[label]) * (1 - math.exp(logp)) ** gamma * logp)
    ours = losses.focal(logits, target, valid, gamma=gamma, class_weights=WEIGHTS.double()).mean()
    assert float(ours) == pytest.approx(sum(values) / len(values))


def test_focal_of_a_certain_pixel_has_a_finite_gradient() -> None:
    logits = torch.tensor([200.0, 0.0]).reshape(1, 2, 1, 1).requires_grad_()
    target, valid = torch.zeros(1, 1, 1, dtype=torch.int64), torch.ones(1, 1, 1, dtype=torch.bool)
    torch.autograd.backward(losses.focal(logits, target, valid, gamma=0.5).mean())
    assert logits.grad is not None and bool(torch.isfinite(logits.grad).all())


def test_dice_by_hand() -> None:
    """Two pixels, both of class 0 of two, p_0 = 1/2 and 3/4: only class 0 is present."""
    logits = torch.tensor([[0.0, 0.0], [math.log(3), 0.0]]).T.reshape(1, 2, 1, 2)
    loss = losses.dice(logits, torch.zeros(1, 1, 2, dtype=torch.int64), torch.ones(1, 1, 2, dtype=torch.bool))
    assert float(loss.mean()) == pytest.approx(1 - (2 * 1.25 + 1) / (1.25 + 2 + 1))
    assert float(loss.count) == 2


def jaccard_loss(wrong: set[int], truth: set[int]) -> float:
    """1 - IoU of a class when the pixels in ``wrong`` are misclassified."""
    union = truth | wrong
    return 1 - len(truth - wrong) / len(union) if union else 0.0


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**31))
def test_lovasz_is_the_extension_of_the_jaccard_loss(seed: int) -> None:
    """Brute force from the definition: integrate the Jaccard loss over the level sets of the errors."""
    logits, target, valid = sample(seed, samples=1, size=3)
    valid[0, 0, 0] = True
    probability, labels = logits.softmax(1)[0][:, valid[0]], target[0][valid[0]]
    per_class = []
    for c in range(3):
        truth = {i for i, label in enumerate(labels.tolist()) if label == c}
        if not truth:
            continue
        errors = [abs(float(i in truth) - float(p)) for i, p in enumerate(probability[c])]
        levels = [0.0, *sorted(errors)]
        per_class.append(
            sum(
                (high - low) * jaccard_loss({i for i, error in enumerate(errors) if error >= high}, truth)
                for low, high in itertools.pairwise(levels)
            )
        )
    expected = sum(per_class) / len(per_class)
    assert float(losses.lovasz_softmax(logits, target, valid).mean()) == pytest.approx(expected)


def test_regression_losses_by_hand() -> None:
    x, y = torch.tensor([[1.0, 2.0, 50.0]]), torch.tensor([[3.0, 1.0, float("nan")]])
    valid = torch.tensor([[True, True, False]])
    assert float(losses.mse(x, y, valid).mean()) == pytest.approx(2.5)
    assert float(losses.l1(x, y, valid).mean()) == pytest.approx(1.5)
    nll = losses.gaussian_nll(x, torch.full_like(x, math.log(2)), y, valid)
    assert float(nll.mean()) == pytest.approx((math.log(2) + 2.5 / 2) / 2)
    weight = torch.tensor([2.0, 1.0, 1.0])
    ours = losses.bce(x, y.sigmoid(), valid, pos_weight=weight).mean()
    reference = F.binary_cross_entropy_with_logits(x[:, :2], y[:, :2].sigmoid(), pos_weight=weight[:2])
    torch.testing.assert_close(ours, reference)


@pytest.mark.parametrize("name", LABELLED)
@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**31), hidden=st.sampled_from([1e30, -7.0, float("nan"), float("inf")]))
def test_nothing_under_the_mask_reaches_loss_or_gradient(name: str, seed: int, hidden: float) -> None:
    logits, target, valid = sample(seed)
    first, second = (x.float().requires_grad_() for x in (logits, torch.where(valid[:, None], logits, hidden)))
    one = LABELLED[name](first, target, valid)
    two = LABELLED[name](second, torch.where(valid, target, IGNORE), torch.ones(1, 1, 1, dtype=torch.bool))
    assert torch.equal(one.total, two.total) and torch.equal(one.count, two.count)
    torch.autograd.backward(one.mean())
    torch.autograd.backward(two.mean())
    assert first.grad is not None and second.grad is not None
    assert torch.equal(first.grad, second.grad)
    assert bool((second.grad.movedim(1, -1)[~valid] == 0).all())


@pytest.mark.parametrize("name", DENSE)
@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**31), hidden=st.sampled_from([1e30, float("nan"), float("-inf")]))
def test_nothing_under_the_mask_reaches_dense_losses(name: str, seed: int, hidden: float) -> None:
    logits, _, mask = sample(seed)
    valid = mask[:, None].expand_as(logits)
    target = logits.flip(0)
    first, second = (x.float().requires_grad_() for x in (logits, torch.where(valid, logits, hidden)))
    one = DENSE[name](first, target.float(), mask[:, None])
    two = DENSE[name](second, torch.where(valid, target, float("nan")).float(), valid)
    assert torch.equal(one.mean(), two.mean())
    torch.autograd.backward(one.mean())
    torch.autograd.backward(two.mean())
    assert first.grad is not None and second.grad is not None
    assert torch.equal(first.grad, second.grad)


@pytest.mark.parametrize("name", [*LABELLED, *DENSE])
@pytest.mark.parametrize("samples", [0, 2])
def test_nothing_valid_is_zero_with_zero_gradient(name: str, samples: int) -> None:
    logits = torch.full((samples, 3, 2, 2), float("nan")).requires_grad_()
    if name in LABELLED:
        target = torch.full((samples, 2, 2), IGNORE)
        loss = LABELLED[name](logits, target, torch.zeros_like(target, dtype=torch.bool))
    else:
        loss = DENSE[name](logits, torch.zeros_like(logits), torch.zeros_like(logits, dtype=torch.bool))
    assert (loss.total.item(), loss.count.item(), loss.mean().item()) == (0, 0, 0)
    torch.autograd.backward(loss.mean())
    assert logits.grad is not None and bool((logits.grad == 0).all())


@pytest.mark.parametrize("name", [name for name in LABELLED if name not in ("dice", "lovasz")])
def test_parts_pool_to_the_whole(name: str) -> None:
    logits, target, valid = sample(5, samples=4)
    whole = LABELLED[name](logits.float(), target, valid)
    parts = [LABELLED[name](logits[b : b + 1].float(), target[b : b + 1], valid[b : b + 1]) for b in range(4)]
    torch.testing.assert_close((parts[0] + parts[1] + parts[2] + parts[3]).mean(), whole.mean())


@pytest.mark.parametrize("name", LABELLED)
def test_a_perfect_prediction_is_better_than_a_wrong_one(name: str) -> None:
    _, target, valid = sample(1)
    right = F.one_hot(target, 3).movedim(-1, 1) * 20.0
    assert float(LABELLED[name](right, target, valid).mean()) < float(LABELLED[name](-right, target, valid).mean())


def test_class_weights_by_hand() -> None:
    assert class_weights_from_counts([1, 3]).tolist() == pytest.approx([2.0, 2 / 3])
    assert class_weights_from_counts([5, 0, 5]).tolist() == [1.0, 0.0, 1.0]
    counts = torch.tensor([10, 1, 0, 7])
    assert float((class_weights_from_counts(counts) * counts).sum()) == pytest.approx(18)
    for wrong in ([], [0, 0], [-1, 2]):
        with pytest.raises(InputError, match="The class counts are"):
            class_weights_from_counts(wrong)


def test_a_label_without_a_logit_is_named_and_counted() -> None:
    logits, target, valid = sample(0)
    target[0, 0, :2], valid[0, 0, :2] = 9, True
    with pytest.raises(ContractError, match=r"labels without a logit: 9 \(2 pixels\)"):
        losses.cross_entropy(logits, target, valid)
    valid[0, 0, :2] = False
    losses.cross_entropy(logits, target, valid)


def test_shapes_that_do_not_fit_are_named() -> None:
    logits, target, valid = sample(0)
    with pytest.raises(ContractError, match="logits have shape"):
        losses.dice(logits, target[:, :3], valid)
    with pytest.raises(ContractError, match="mask has shape"):
        losses.dice(logits, target, valid[:, :3])
    with pytest.raises(ContractError, match="prediction has shape"):
        losses.mse(logits, logits[:1], valid)
