"""Several contenders judged on the same corrupted samples, each of which is made once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray

from swath.judge import corruptions
from swath.judge.corruptions import Sweep
from swath.judge.corruptions.scale import Scale
from swath.metrics import ClassCalibration, ConfusionMatrix, miou
from swath.types import Batch, Predictor, ResultRow

Cell = tuple[str, str | None, int | None]
"""Contender, corruption and severity; None twice for the clean samples."""
LABEL = "label"
PROTOCOL = "corruptions, seeded by the run"


@dataclass(frozen=True, eq=False)
class Judged:
    """One contender on one version of the test samples.

    Args:
        values: ``accuracy``, ``miou``, ``ece_cls`` (15 bins) and ``brier``: the mean over labelled values of the sum
            over classes of the squared difference between probability and truth (Brier 1950), from 0 to 2.
        right: correctly labelled values of each sample, int64 ``(N,)``.
        total: labelled values of each sample.
    """

    values: Mapping[str, float]
    right: NDArray[np.int64]
    total: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Sweeps:
    """All contenders of one task, clean and under every corruption and severity.

    Args:
        metric: which value the task is told in: ``accuracy`` or ``miou``.
        plain: the contenders that learned from clean samples alone.
        halves: for each test sample whether it is in the second half; groups stay whole.
        cells: what was measured.
        rows: the values of ``metric`` as result rows.
    """

    metric: str
    plain: tuple[str, ...]
    halves: NDArray[np.bool_]
    cells: dict[Cell, Judged] = field(default_factory=dict)
    rows: list[ResultRow] = field(default_factory=list)

    def names(self) -> tuple[str, ...]:
        """The corruptions, in the order in which they were measured."""
        return tuple(dict.fromkeys(name for _, name, _ in self.cells if name is not None))

    def contenders(self) -> tuple[str, ...]:
        """All contenders."""
        return tuple(dict.fromkeys(who for who, _, _ in self.cells))

    def severities(self) -> tuple[int, ...]:
        """The severities, ascending."""
        return tuple(sorted({step for _, _, step in self.cells if step is not None}))

    def clean(self, who: str, metric: str) -> float:
        """The value without corruption."""
        return self.cells[who, None, None].values[metric]

    def mean(self, who: str, metric: str, names: Sequence[str]) -> float:
        """m(c), the mean over severities, averaged over some corruptions."""
        return float(
            np.mean([self.cells[who, name, step].values[metric] for name in names for step in self.severities()])
        )

    def drop(self, who: str, metric: str, names: Sequence[str]) -> float:
        """Clean value minus the mean under some corruptions."""
        return self.clean(who, metric) - self.mean(who, metric, names)

    def half_drop(self, who: str, name: str, second: bool) -> float:
        """The drop in accuracy under one corruption, on one half of the test samples; NaN without a labelled value."""
        used = self.halves == second
        shares = [_share(self.cells[who, None, None], used)]
        shares += [_share(self.cells[who, name, step], used) for step in self.severities()]
        return shares[0] - float(np.mean(shares[1:]))


def run_sweeps(
    contenders: Mapping[str, Predictor],
    batches: Sequence[Batch],
    sweeps: Sweeps,
    facts: ResultRow,
    scale: Scale | None = None,
) -> Sweeps:
    """Measure every cell for all contenders at once; the corruptions are seeded with the seed of the run.

    Args:
        contenders: name to predictor, all of the same classes.
        batches: the clean test samples.
        sweeps: filled in.
        facts: descriptive columns; its seed is that of the corruptions.
        scale: what 0 and 1 of the unit scale mean; needed where bands are no colours.
    """

    def scorer(_: Predictor, worse: Iterable[Batch], about: ResultRow) -> Sequence[ResultRow]:
        held = tuple(worse)
        found = []
        about = replace(about, protocol=PROTOCOL)
        for who, contender in contenders.items():
            judged = judge_one(contender, held)
            sweeps.cells[who, about.corruption, about.severity] = judged
            value = judged.values[sweeps.metric]
            found.append(replace(about, backbone=who, metric=sweeps.metric, value=value, higher_is_better=True))
        return found

    how = Sweep(facts=facts, scales={} if scale is None else {"image": scale}, scorer=scorer)
    first = next(iter(contenders.values()))
    steps = tuple(range(1, 6))
    sweeps.rows.extend(corruptions.sweep(first, batches, None, steps, facts.seed or 0, how))
    return sweeps


def judge_one(contender: Predictor, batches: Sequence[Batch]) -> Judged:
    """Score one contender on labelled values, where there is a valid prediction or not.

    A value without a valid prediction counts with what the contender says nevertheless: a corruption that hides a
    sample must not leave it out of the score.
    """
    confusion, calibration = ConfusionMatrix(contender.classes), ClassCalibration()
    squares, right, total = 0.0, [], []
    for batch in batches:
        truth, used = batch.targets[LABEL], batch.target_valid[LABEL]
        with torch.inference_mode():
            shares = contender.predict(batch).probability()
        guess = shares.argmax(dim=1)
        confusion.update(truth, guess, used)
        calibration.update(truth, shares, used)
        picked = shares.movedim(1, -1)[used].double()
        picked[torch.arange(len(picked)), truth[used]] -= 1
        squares += float(picked.pow(2).sum())
        hits = ((guess == truth) & used).reshape(len(truth), -1).sum(dim=1)
        right.append(hits.numpy())
        total.append(used.expand_as(truth).reshape(len(truth), -1).sum(dim=1).numpy())
    hit, count = np.concatenate(right), np.concatenate(total)
    labelled = int(count.sum())
    values = {
        "accuracy": int(hit.sum()) / labelled if labelled else float("nan"),
        "miou": float(miou(confusion.counts)),
        "ece_cls": calibration.compute()["ece_cls"].value,
        "brier": squares / labelled if labelled else float("nan"),
    }
    return Judged(values, hit, count)


def _share(judged: Judged, used: NDArray[np.bool_]) -> float:
    count = int(judged.total[used].sum())
    return int(judged.right[used].sum()) / count if count else float("nan")
