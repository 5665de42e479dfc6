"""The optimiser, its learning rate and the moving average of the weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from swath.errors import ConfigError
from swath.learn.config import FitConfig
from swath.learn.frozen import encoder_name, network_of
from swath.nn.depth import INSIDE, ordered_parts, part_of

REST = "rest"
"""Name of the group of all that is not named otherwise."""


def make_optimiser(module: nn.Module, config: FitConfig) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019); biases and normalisation parameters, the vectors, are not decayed.

    Each group has a ``name`` and a ``share``, the factor between the learning rate of the run and its own. Frozen
    parameters are in no group.

    Raises:
        ConfigError: the network has no encoder, and ``encoder_learning_rate`` asks for one.
    """
    place_of = _places(module, config)
    groups: dict[tuple[str, bool], dict[str, Any]] = {}
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        place, share = place_of(name)
        for vectors in (False, True):  # both at once, so that matrices come first everywhere
            decay = 0.0 if vectors else config.weight_decay
            rate = config.learning_rate * share
            groups.setdefault(
                (place, vectors), {"params": [], "name": place, "share": share, "lr": rate, "weight_decay": decay}
            )
        groups[place, parameter.ndim <= 1]["params"].append(parameter)
    used = [group for group in groups.values() if group["params"]]
    return torch.optim.AdamW(used, lr=config.learning_rate, betas=config.betas)


def set_rates(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Give every group its share of the learning rate of the run."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group["share"]


def rates(optimiser: torch.optim.Optimizer, rate: float) -> dict[str, float]:
    """``lr`` for the log, and ``lr.NAME`` for every group where there are several."""
    own = {f"lr.{group['name']}": rate * group["share"] for group in optimiser.param_groups}
    return {"lr": rate} | (own if len(own) > 1 else {})


def _places(module: nn.Module, config: FitConfig) -> Callable[[str], tuple[str, float]]:
    """What tells the group of a parameter by its name, and the group's share of the learning rate."""
    if config.layer_decay == 1 and config.encoder_learning_rate == 1:
        return lambda name: (REST, 1.0)
    within, network = network_of(module)
    encoder = encoder_name(network)
    if encoder is None and config.encoder_learning_rate != 1:
        raise ConfigError(
            f"'encoder_learning_rate' is {config.encoder_learning_rate}, and a {type(network).__name__} has no encoder",
            expected=f"a network that keeps its encoder under one of the names {', '.join(INSIDE)}",
            remedy="set encoder_learning_rate to 1, or use layer_decay",
        )
    parts = ordered_parts(network) if config.layer_decay != 1 else []

    def place_of(name: str) -> tuple[str, float]:
        inner = name.removeprefix(within)
        if not name.startswith(within):  # what a task adds to its network
            return REST, 1.0
        encodes = encoder is not None and inner.startswith(f"{encoder}.")
        share = config.encoder_learning_rate if encodes else 1.0
        if not parts:
            return (encoder if encodes and encoder else REST), share
        part = part_of(inner, parts)
        return parts[part][0], share * config.layer_decay ** (len(parts) - 1 - part)

    return place_of


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
        self.weights: dict[str, nn.Parameter] = {
            name: weight for name, weight in module.named_parameters() if weight.requires_grad
        }
        self.average: dict[str, Tensor] = {name: weight.detach().clone() for name, weight in self.weights.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after a step, counted from 0."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.average.values()), list(self.weights.values()), 1 - decay)

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
