"""Learning rate, parameter groups, moving average, seeds and files."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from learn_fakes import make_task

from swath.learn import FitConfig, repeatable, seeded
from swath.learn.optimise import MovingAverage, learning_rate, make_optimiser


def test_learning_rate_by_hand() -> None:
    config = FitConfig(learning_rate=1.0, warmup_share=0.4, final_share=0.2)
    rates = [learning_rate(step, 10, config) for step in range(10)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    way = [math.cos(math.pi * step / 5) for step in range(6)]
    assert rates[4:] == pytest.approx([0.2 + 0.8 * (1 + value) / 2 for value in way])
    assert rates[-1] == pytest.approx(0.2)


@settings(deadline=None, max_examples=50)
@given(steps=st.integers(1, 60), warmup=st.floats(0, 0.99), final=st.floats(0, 1))
def test_learning_rate_rises_then_falls_within_its_limits(steps: int, warmup: float, final: float) -> None:
    config = FitConfig(learning_rate=0.5, warmup_share=warmup, final_share=final)
    rates = [learning_rate(step, steps, config) for step in range(steps)]
    peak = rates.index(max(rates))
    assert all(0 <= rate <= 0.5 + 1e-12 for rate in rates)
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert all(a >= b - 1e-12 for a, b in zip(rates[peak:], rates[peak + 1 :], strict=False))


def test_vectors_are_not_decayed() -> None:
    task = make_task()
    decayed, plain = make_optimiser(task, FitConfig(weight_decay=0.1)).param_groups
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.1, 0.0)
    assert all(parameter.ndim == 4 for parameter in decayed["params"])
    assert all(parameter.ndim == 1 for parameter in plain["params"])
    assert len(decayed["params"]) + len(plain["params"]) == len(list(task.parameters()))
    task.network.get_submodule("encoder").requires_grad_(False)
    frozen = set(task.network.get_submodule("encoder").parameters())
    for group in make_optimiser(task, FitConfig()).param_groups:
        assert not frozen & set(group["params"])


def test_moving_average_by_hand() -> None:
    layer = torch.nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        layer.weight.fill_(1.0)
    average = MovingAverage(layer, 0.2)
    with torch.no_grad():
        layer.weight.fill_(11.0)
    average.update(0)  # decay min(0.2, 1 / 10)
    assert float(average.average["weight"]) == pytest.approx(0.1 * 1 + 0.9 * 11)
    average.update(90)  # decay 0.2
    assert float(average.average["weight"]) == pytest.approx(0.2 * 10 + 0.8 * 11)
    with pytest.raises(RuntimeError), average.applied():
        assert layer.weight.item() == pytest.approx(10.8)
        raise RuntimeError
    assert layer.weight.item() == 11.0
    average.keep()
    assert layer.weight.item() == pytest.approx(10.8)


def test_seeded_streams_are_named_and_leave_no_trace() -> None:
    before = torch.get_rng_state()
    draws = []
    for seed, purpose, number in ((0, "weights", 1), (0, "weights", 1), (1, "weights", 1), (0, "order", 1)):
        with seeded(seed, purpose, number):
            draws.append(torch.rand(3).tolist())
    assert torch.equal(torch.get_rng_state(), before)
    assert draws[0] == draws[1] and draws[0] != draws[2] and draws[0] != draws[3]


def test_repeatable_puts_everything_back() -> None:
    threads = torch.get_num_threads()
    with pytest.raises(RuntimeError), repeatable(1):
        assert torch.are_deterministic_algorithms_enabled() and torch.get_num_threads() == 1
        raise RuntimeError
    assert not torch.are_deterministic_algorithms_enabled() and torch.get_num_threads() == threads
    with repeatable(None):
        assert torch.get_num_threads() == threads
