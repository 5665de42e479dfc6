"""The optimiser, its learning rate and the moving average of the weights."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from swath.learn.config import FitConfig


def make_optimiser(module: nn.Module, config: FitConfig) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019); biases and normalisation parameters, the vectors, are not decayed."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=config.learning_rate)


def learning_rate(step: int, steps: int, config: FitConfig) -> float:
    """Learning rate of a step, counted from 0: linear warm-up, then a cosine from the peak to ``final_share`` of it.

    With w warm-up steps: ``peak (step + 1) / w`` below w, then ``peak (f + (1 - f) (1 + cos(pi t)) / 2)`` with t from 0
    at step w to 1 at the last step.
    """
    warmup = round(config.warmup_share * steps)
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    way = (step - warmup) / max(1, steps - 1 - warmup)
    share = config.final_share + (1 - config.final_share) * (1 + math.cos(math.pi * min(1.0, way))) / 2
    return config.learning_rate * share


class MovingAverage:
    """Exponential moving average of the trained weights: ``a <- d a + (1 - d) w``.

    d is ``min(decay, (1 + step) / (10 + step))``, so that the random start is soon forgotten.

    Args:
        module: whose weights to follow.
        decay: largest d.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights: dict[str, nn.Parameter] = dict(module.named_parameters())
        self.average: dict[str, Tensor] = {name: weight.detach().clone() for name, weight in self.weights.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after a step, counted from 0."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, weight in self.weights.items():
            self.average[name].lerp_(weight, 1 - decay)

    @torch.no_grad()
    def keep(self) -> None:
        """Write the average into the module for good."""
        for name, weight in self.weights.items():
            weight.copy_(self.average[name])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The average in place of the weights for the length of a block."""
        former = {name: weight.detach().clone() for name, weight in self.weights.items()}
        self.keep()
        try:
            yield
        finally:
            with torch.no_grad():
                for name, weight in self.weights.items():
                    weight.copy_(former[name])
