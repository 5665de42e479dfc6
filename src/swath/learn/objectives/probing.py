"""A linear probe while pretraining goes on: what do the frozen features know about the labels?

Every so many epochs a linear map is fitted on features of labelled chips of the train split and scored on chips of the
validation split: logistic regression for classes, ridge regression for quantities. Features are the tokens of the
encoder, nothing hidden; the network itself never sees a label. All that is drawn comes from named streams, so that the
pretrained weights are the same, bit for bit, with and without a probe.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from swath import rng
from swath.chips import ChipSet
from swath.errors import ConfigError
from swath.learn.fit import Validate
from swath.learn.objectives.masked import MaskedReconstruction
from swath.learn.task import evaluation
from swath.types import Batch

ACCURACY, EXPLAINED = "probe_accuracy", "probe_r2"
DENSE, WHOLE = ("segmentation", "pixel_regression"), ("classification", "regression")
_AT_ONCE = 16


class ProbeOptions(BaseModel):
    """A linear probe during pretraining.

    Args:
        every: epochs from one probe to the next; the last epoch of a multiple is probed.
        chips: most chips of either split whose features are computed.
        patches: most patches of either split, where every pixel has its label.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    every: int = Field(default=5, ge=1)
    chips: int = Field(default=256, ge=2)
    patches: int = Field(default=4000, ge=2)


@dataclass(frozen=True, eq=False)
class Examples:
    """What a linear map learns from or is scored on.

    Args:
        features: float64 ``(N, D)``.
        answers: int64 ``(N,)``, or float64 ``(N, K)``.
    """

    features: NDArray[np.float64]
    answers: NDArray[Any]


class Probe:
    """Fits and scores the linear map; the chips and patches are the same every time.

    The score is ``probe_accuracy``, the mean over the classes of the validation part of the share that is told right
    (a patch has the class of most of its known pixels), or ``probe_r2``, one minus the ratio of the squared error to
    that of the mean of the validation part, averaged over the quantities (a patch has the mean of its known pixels).

    Args:
        chipset: the chips, with classes or quantities.
        train_ids: chips to learn from.
        held_out: chips to score on.
        options: how much and how often.
        seed: of the chips and patches that are drawn.

    Raises:
        ConfigError: the labels are of a kind that no probe is made for, or there is no validation part.
    """

    def __init__(
        self,
        chipset: ChipSet,
        train_ids: Sequence[str],
        held_out: Sequence[str],
        options: ProbeOptions,
        *,
        seed: int = 0,
    ) -> None:
        if chipset.task not in (*DENSE, *WHOLE):
            raise ConfigError(
                f"A probe is asked for and the chips have labels for the task '{chipset.task}'",
                expected=f"one of {', '.join((*DENSE, *WHOLE))}",
                remedy="leave 'probe' out, or cut chips with such labels",
            )
        if not train_ids or not held_out:
            raise ConfigError(
                "A probe is asked for and the split has no validation or no train part",
                expected="labelled chips in both",
                remedy="leave 'probe' out, or split the chips again",
            )
        self._chipset, self._options, self._seed = chipset, options, seed
        self._parts = {"train": self._some(train_ids, "train"), "validation": self._some(held_out, "validation")}
        self.name = ACCURACY if chipset.task in ("segmentation", "classification") else EXPLAINED

    def __call__(self, task: MaskedReconstruction) -> dict[str, float]:
        """The score; NaN where the labels at hand allow none."""
        with evaluation(task), torch.inference_mode():
            learned, scored = (self._examples(task, part) for part in ("train", "validation"))
        judge = _accuracy if self.name == ACCURACY else _explained
        return {self.name: judge(learned, scored)}

    def _some(self, ids: Sequence[str], part: str) -> list[str]:
        """At most so many chips, in the order of their names."""
        order = rng.generator(self._seed, "probe chips", part).permutation(sorted(ids))
        return sorted(order[: self._options.chips].tolist())

    def _examples(self, task: MaskedReconstruction, part: str) -> Examples:
        pairs = list(self._features(task, self._parts[part]))
        features, answers = (np.concatenate(each) for each in zip(*pairs, strict=True))
        # Which patches have labels does not depend on the network, so these are the same every time.
        places = rng.generator(self._seed, "probe patches", part).permutation(len(answers))[: self._options.patches]
        return Examples(features[np.sort(places)], answers[np.sort(places)])

    def _features(
        self, task: MaskedReconstruction, ids: Sequence[str]
    ) -> Iterator[tuple[NDArray[np.float64], NDArray[Any]]]:
        """Features and answers of a few chips at a time."""
        for start in range(0, len(ids), _AT_ONCE):
            batch = self._chipset.batch(ids[start : start + _AT_ONCE])
            maps = task.features(batch)
            if self._chipset.task in WHOLE:
                rows, answers, known = maps.mean(dim=(2, 3)), *self._whole(batch)
            else:
                rows = maps.movedim(1, -1).flatten(0, 2)
                answers, known = self._patches(batch, (maps.shape[2], maps.shape[3]))
            yield rows[known].cpu().double().numpy(), answers[known].numpy()

    def _whole(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Answers of chips and whether each is known."""
        answers, known = batch.targets[self._chipset.target], batch.target_valid[self._chipset.target]
        if self._chipset.task == "classification":
            return answers, known.flatten()
        return answers.double(), known.reshape(len(answers), -1).all(dim=1)

    def _patches(self, batch: Batch, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Answers of all patches of some chips, and which have one."""
        target, valid = batch.targets[self._chipset.target], batch.target_valid[self._chipset.target]
        if self._chipset.task == "segmentation":
            counts = [(target == value) & valid for value in range(len(self._chipset.classes))]
            share = torch.stack([_in_patches(each.double(), grid) for each in counts], dim=-1)
            return share.argmax(dim=-1).flatten(), (share.sum(dim=-1) > 0).flatten()
        values, counted = target.double(), valid.expand_as(target).double()
        total, count = (_in_patches(each, grid) for each in (torch.where(counted > 0, values, 0.0), counted))
        mean = (total / count.clamp_min(1e-12)).movedim(1, -1).flatten(0, 2)
        return mean, (count > 0).all(dim=1).flatten()


def probed(validate: Validate, probe: Probe, every: int) -> Validate:
    """Validation with the score of the probe in every so many epochs, NaN in the others.

    Args:
        validate: gives the other values.
        probe: the probe.
        every: epochs from one probe to the next.
    """

    def both(task: Any, epoch: int) -> dict[str, float]:
        due = (epoch + 1) % every == 0
        return validate(task, epoch) | (probe(task) if due else {probe.name: math.nan})

    return both


def _in_patches(values: Tensor, grid: tuple[int, int]) -> Tensor:
    """Mean over the pixels of each patch, ``(..., H, W)`` to ``(..., h, w)``."""
    rows, columns = (side // count for side, count in zip(values.shape[-2:], grid, strict=True))
    whole = values[..., : rows * grid[0], : columns * grid[1]]
    return whole.reshape(*whole.shape[:-2], grid[0], rows, grid[1], columns).mean(dim=(-3, -1))


def _accuracy(learned: Examples, scored: Examples) -> float:
    """Balanced accuracy of logistic regression on standardised features."""
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(learned.answers)) < 2 or not len(scored.answers):
        return math.nan
    first, second = _standardised(learned, scored)
    head = LogisticRegression(C=1.0, max_iter=200)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the number of iterations is part of the probe
        head.fit(first, learned.answers)
    right = head.predict(second) == scored.answers
    return float(np.mean([right[scored.answers == value].mean() for value in np.unique(scored.answers)]))


def _explained(learned: Examples, scored: Examples) -> float:
    """Coefficient of determination of ridge regression on standardised features."""
    from sklearn.linear_model import Ridge

    if len(learned.answers) < 2 or len(scored.answers) < 2:
        return math.nan
    first, second = _standardised(learned, scored)
    said = Ridge(alpha=1.0).fit(first, learned.answers).predict(second).reshape(scored.answers.shape)
    spread = ((scored.answers - scored.answers.mean(axis=0)) ** 2).sum(axis=0)
    error = ((scored.answers - said) ** 2).sum(axis=0)
    return float(np.mean(np.where(spread > 0, 1 - error / np.maximum(spread, 1e-300), np.nan)))


def _standardised(learned: Examples, scored: Examples) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    mean, spread = learned.features.mean(axis=0), learned.features.std(axis=0)
    scale = np.where(spread > 1e-9, spread, 1.0)
    return (learned.features - mean) / scale, (scored.features - mean) / scale
