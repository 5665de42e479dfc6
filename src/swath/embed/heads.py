"""Small heads on rows of numbers: a linear one and a random forest, kept as arrays and JSON."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from swath import rng
from swath.embed.trees import Trees
from swath.errors import ConfigError, InputError

HeadName = Literal["linear", "forest"]
HEADS: tuple[HeadName, ...] = get_args(HeadName)
TREES = 300
_ITERATIONS = 1000
_SMALL = 1e-6


class Head(Protocol):
    """From rows to classes."""

    def probability(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Shares of the classes, ``(N, K)``."""
        ...

    def tensors(self) -> dict[str, NDArray[Any]]:
        """What is to be stored."""
        ...


@dataclass(frozen=True, eq=False)
class Linear:
    """Multinomial logistic regression on standardised rows: softmax(W (x - mean) / deviation + b).

    Args:
        mean: float64 ``(D,)``.
        deviation: float64 ``(D,)``.
        weight: float64 ``(K, D)``.
        bias: float64 ``(K,)``.
    """

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    weight: NDArray[np.float64]
    bias: NDArray[np.float64]

    def probability(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Shares of the classes, ``(N, K)``."""
        folded = self.weight / self.deviation
        shift = self.bias - folded @ self.mean
        logits = (rows @ folded.T.astype(np.float32)).astype(np.float64) + shift
        logits = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares: NDArray[np.float64] = logits / logits.sum(axis=1, keepdims=True)
        return shares

    def tensors(self) -> dict[str, NDArray[Any]]:
        """The arrays by name."""
        return {"mean": self.mean, "deviation": self.deviation, "weight": self.weight, "bias": self.bias}

    @classmethod
    def from_tensors(cls, stored: Mapping[str, NDArray[Any]], features: int, classes: int, where: str) -> Linear:
        """A linear head from stored arrays.

        Raises:
            InputError: arrays are absent, of another shape, or not finite.
        """
        shapes = {"mean": (features,), "deviation": (features,), "weight": (classes, features), "bias": (classes,)}
        good = {name: item.shape for name, item in stored.items()} == shapes and all(
            item.dtype == np.float64 and np.isfinite(item).all() for item in stored.values()
        )
        if not good or not (stored["deviation"] > 0).all():
            raise InputError(
                f"'{where}' is damaged",
                expected=f"a linear head on {features} numbers for {classes} classes, as training wrote it",
                remedy="train again, or copy the run again",
            )
        return cls(stored["mean"], stored["deviation"], stored["weight"], stored["bias"])


def fit_head(name: str, rows: NDArray[np.float32], labels: NDArray[np.int64], classes: int, *, seed: int = 0) -> Head:
    """Fit a head; classes without a row get the share 0.

    The linear head is L2-regularised (C = 1) on rows of unit variance. The forest (Breiman 2001, Machine Learning 45,
    5-32) has 300 trees grown to the end.

    Args:
        name: ``linear`` or ``forest``.
        rows: float32 ``(N, D)``.
        labels: ``(N,)``, 0 to K - 1, two of them at least.
        classes: K.
        seed: of the forest.

    Raises:
        ConfigError: the head is unknown.
        InputError: fewer than two classes.
    """
    check_head(name)
    seen, numbers = np.unique(labels, return_inverse=True)
    if len(seen) < 2:
        raise InputError(
            f"The labels hold {len(seen)} class{'es' if not len(seen) else ''}",
            expected="at least two",
            remedy="add labels of another class",
        )
    return _fit_linear(rows, numbers, seen, classes) if name == "linear" else _fit_forest(rows, labels, classes, seed)


def check_head(name: str) -> None:
    """Refuse unknown heads.

    Raises:
        ConfigError: as said.
    """
    if name not in HEADS:
        raise ConfigError(
            f"The head is '{name}'", expected=" or ".join(HEADS), remedy="a linear head needs the fewest labels"
        )


def head_from(name: str, stored: Mapping[str, NDArray[Any]], features: int, classes: int, where: str) -> Head:
    """A head from stored arrays.

    Raises:
        ConfigError: the head is unknown.
        InputError: the arrays do not make one.
    """
    check_head(name)
    if name == "linear":
        return Linear.from_tensors(stored, features, classes, where)
    return Trees.from_tensors(stored, features, classes, where)


def _fit_linear(rows: NDArray[np.float32], numbers: NDArray[np.int64], seen: NDArray[np.int64], classes: int) -> Linear:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    exact = rows.astype(np.float64)
    mean, deviation = exact.mean(axis=0), exact.std(axis=0)
    deviation = np.where(deviation > _SMALL, deviation, 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a head that has not quite converged is still a head
        found = LogisticRegression(C=1.0, max_iter=_ITERATIONS).fit((exact - mean) / deviation, numbers)
    weight, bias = np.asarray(found.coef_, np.float64), np.asarray(found.intercept_, np.float64)
    if len(seen) == 2:  # one row of weights for the second class against the first
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    whole = np.zeros((classes, rows.shape[1]))
    # Far below all others, so that an unseen class is never predicted and everything stays finite.
    whole_bias = np.full(classes, -1e6)
    whole[seen], whole_bias[seen] = weight, bias
    return Linear(mean, deviation, whole, whole_bias)


def _fit_forest(rows: NDArray[np.float32], labels: NDArray[np.int64], classes: int, seed: int) -> Trees:
    from sklearn.ensemble import RandomForestClassifier

    state = rng.key(seed, "few labels", "forest") % 2**32
    seen, numbers = np.unique(labels, return_inverse=True)
    trees = Trees.of(RandomForestClassifier(TREES, random_state=state, n_jobs=1).fit(rows, numbers))
    share = np.zeros((len(trees.share), classes))
    share[:, seen] = trees.share
    return Trees(trees.roots, trees.left, trees.right, trees.feature, trees.threshold, share)
