"""Linear probes on frozen features, scored block by block."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from swath import rng
from swath.sources.published import rsscn7
from swath.systems.eo._pictures import Pictures, colours
from swath.systems.eo._reobench_textures import TextureForest
from swath.types import ResultRow

METRICS = ("accuracy_few", "accuracy_more")
PLANTED_SHIFT = 1.0
"""Standard deviations by which the positive control moves the features of a picture towards those of its class."""


@dataclass(frozen=True, eq=False)
class Features:
    """Features ``(N, D)`` of the pictures that labels are drawn from, and of the tested ones."""

    learned: NDArray[np.float32]
    tested: NDArray[np.float32]


def rows(
    features: Mapping[str, Features],
    learned: Pictures,
    tested: Pictures,
    labels: tuple[int, int],
    draws: int,
    base: ResultRow,
) -> list[ResultRow]:
    """Accuracy of a linear probe on each kind of features, over all test pictures and in each of their blocks.

    Two controls are added: ``planted``, the features of ``single`` with a column that points towards the class, which
    has to be found; and ``shuffled``, those of ``multi`` with labels in another order, which has to be lost.
    """
    found: list[ResultRow] = []
    cases = {**features, "planted": _planted(features["single"], learned, tested, base.seed or 0)}
    for metric, per_class in zip(METRICS, labels, strict=True):
        picks = drawn(learned, per_class, draws, base.seed or 0)
        for name, each in cases.items():
            right = np.mean([_right(each, learned.labels, tested.labels, places) for places in picks], axis=0)
            found += _scored(right, tested, replace(base, backbone=name, metric=metric))
        mixed = rng.generator(base.seed or 0, "shuffled labels").permutation(learned.labels)
        right = np.mean([_right(features["multi"], mixed, tested.labels, places) for places in picks], axis=0)
        found += _scored(right, tested, replace(base, backbone="shuffled", metric=metric))
    return found


def forest_rows(
    learned: Pictures, tested: Pictures, labels: tuple[int, int], draws: int, base: ResultRow
) -> list[ResultRow]:
    """The same for a random forest on colour and texture of the pictures that the encoders see."""
    found: list[ResultRow] = []
    for metric, per_class in zip(METRICS, labels, strict=True):
        right = np.zeros(len(tested))
        picks = drawn(learned, per_class, draws, base.seed or 0)
        for number, places in enumerate(picks):
            forest = TextureForest(colours(), rsscn7.CLASSES, trees=100, seed=(base.seed or 0) * draws + number)
            said = forest.fit(learned.batch(places)).predict(tested.batch()).label().numpy()
            right += (said == tested.labels) / len(picks)
        found += _scored(right, tested, replace(base, backbone="random_forest", metric=metric))
    return found


def drawn(pictures: Pictures, per_class: int, draws: int, seed: int) -> list[NDArray[np.intp]]:
    """Places of so many pictures of each class, as often as asked."""
    found = []
    for number in range(draws):
        stream = rng.generator(seed, "probe labels", per_class, number)
        each = [
            stream.permutation(np.flatnonzero(pictures.labels == label))[:per_class]
            for label in np.unique(pictures.labels)
        ]
        found.append(np.concatenate(each))
    return found


def _right(
    features: Features, labels: NDArray[np.int64], wanted: NDArray[np.int64], places: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Whether each tested picture is told right, by logistic regression on standardised features."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    head = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=300))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the number of iterations is part of the probe
        head.fit(features.learned[places], labels[places])
    return np.asarray(head.predict(features.tested) == wanted, np.float64)


def _planted(features: Features, learned: Pictures, tested: Pictures, seed: int) -> Features:
    """Features with one column per class that is one for pictures of the class, under noise of the same size."""

    def with_hint(values: NDArray[np.float32], labels: NDArray[np.int64], purpose: str) -> NDArray[np.float32]:
        hint = np.eye(len(rsscn7.CLASSES))[labels] * PLANTED_SHIFT
        hint += rng.generator(seed, purpose).normal(0, 1, hint.shape)
        return np.concatenate([values, hint.astype(np.float32)], axis=1)

    return Features(
        with_hint(features.learned, learned.labels, "planted learned"),
        with_hint(features.tested, tested.labels, "planted tested"),
    )


def _scored(right: NDArray[np.float64], tested: Pictures, base: ResultRow) -> list[ResultRow]:
    """One row over all pictures, and one for each block of neighbouring pictures of a class."""
    groups = np.array(tested.groups)
    parts = [replace(base, value=float(right[groups == name].mean()), group=str(name)) for name in np.unique(groups)]
    return [replace(base, value=float(right.mean())), *parts]
