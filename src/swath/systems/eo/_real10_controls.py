"""The encoders of ``real10_encoders``, and the contenders that check the experiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swath import rng
from swath.judge.real10 import Contender, Inputs, RowLearner, Task, linear_head, root_of
from swath.judge.real10.encoders import PUBLISHED, FrozenEncoder, Published, from_disk, heads_on, shuffled
from swath.judge.real10.features import Values, raw
from swath.judge.real10.samples import Target
from swath.models import GalileoPatches, PrestoPixels
from swath.models.galileo import GalileoEncoder
from swath.models.presto import Presto
from swath.types import IGNORE
from swath.weights import LoadReport, entry

PLANTED = "planted"
ORDER = 0
"""Seed of the order of shuffled weights, the same for all seeds of the experiment."""


def published() -> dict[str, FrozenEncoder]:
    """Presto and Galileo with their weights, from disk alone.

    Raises:
        MissingError: the weights of one are not here.
    """
    return {name: FrozenEncoder(from_disk(weights)) for name, weights in PUBLISHED.items()}


def stand_ins() -> dict[str, FrozenEncoder]:
    """Networks of the same form with random weights, for runs without any file."""
    import torch

    made: dict[str, Published] = {}
    for name, weights in PUBLISHED.items():
        report = LoadReport(weights, "random weights", False, (), (), (), (), (), (0, 0))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            if name == "presto":
                made[name] = PrestoPixels(entry(weights), Presto(), report)
            else:
                made[name] = GalileoPatches(entry(weights), GalileoEncoder(), report)
    return {name: FrozenEncoder(encoder) for name, encoder in made.items()}


def heads(encoders: Mapping[str, FrozenEncoder]) -> tuple[Contender, ...]:
    """Every encoder with both heads."""
    return tuple(each for name, frozen in encoders.items() for each in heads_on(name, frozen))


def beside(
    encoders: Mapping[str, FrozenEncoder], tasks: Sequence[Task], root: Path | None, blur: float
) -> tuple[Contender, ...]:
    """The controls: both encoders with shuffled weights and the linear head, and the planted answer."""
    found = [
        heads_on(f"{name}_shuffled", FrozenEncoder(shuffled(each.encoder, ORDER)))[0] for name, each in encoders.items()
    ]
    planted = Planted({task.name: task.load(root_of(task, root)).target for task in tasks}, blur)
    options = f"answers with noise of {blur:g} deviations, linear"
    found.append(Contender(PLANTED, options, lambda seed: RowLearner(raw, linear_head, seed), planted))
    return tuple(found)


@dataclass(frozen=True, eq=False)
class Planted:
    """Features that hold the answer: a column for each class or quantity, with noise; noise alone where unknown.

    Args:
        targets: task to its answers.
        blur: standard deviation of the noise, where the answer has 1.
        left_out: no task.
    """

    targets: Mapping[str, Target]
    blur: float
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """Name of the kept features."""
        return f"{PLANTED}-{self.blur:g}"

    def features(self, inputs: Inputs, task: str) -> Values:
        """``(N, K, h, w)``."""
        target = self.targets[task]
        answers = _columns(target)
        known = target.known[:, None]
        flat = np.moveaxis(answers, 1, 0)[:, target.known]
        mean, deviation = (part[None, :, None, None] for part in (flat.mean(axis=1), flat.std(axis=1)))
        scaled = np.where(known, (answers - mean) / np.maximum(deviation, 1e-6), 0)
        noise = rng.generator(0, PLANTED, task).normal(0, 1, answers.shape)
        return (scaled + self.blur * noise).astype(np.float32)


def _columns(target: Target) -> NDArray[np.float64]:
    """Answers ``(N, K, h, w)``: 1 for the class that is there, or the quantities."""
    if not target.classes:
        return np.asarray(target.values, np.float64)
    place = np.where(target.values == IGNORE, 0, target.values)
    return np.moveaxis(np.eye(len(target.names))[place], -1, 1)
