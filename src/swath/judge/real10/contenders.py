"""The contenders of real10: one small interface, and five baselines with fixed options.

A contender is a name, a line that tells its options, and a function from a seed to a ``Model``. A frozen encoder may
come with it, whose features of a task are computed once and kept for all seeds (``encoders.py``). A small encoder of
one's own needs one function ``embed(inputs) -> (N, F, h, w)`` and a head::

    presto = Contender("presto", "v1, frozen, linear head", lambda seed: RowLearner(embed, linear_head, seed))
    real10.run(out, contenders=(*BASELINES, presto))

The line of options is part of what a number is kept under: change it whenever the contender changes, and it is
measured again.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from swath.judge.real10.features import Values, described, raw, rows, unrows
from swath.judge.real10.samples import Inputs, Target
from swath.types import IGNORE

MOST_ROWS = 5_000
"""Most training pixels of learners of rows."""
TREES, ROUNDS, LEAF = 100, 100, 5
ITERATIONS = 200


class Model(Protocol):
    """What learns and predicts; it never sees an answer outside of ``fit``."""

    def fit(self, inputs: Inputs, target: Target) -> Self:
        """Learn from all known answers of the training samples."""
        ...

    def predict(self, inputs: Inputs) -> NDArray[Any]:
        """Class numbers int64 ``(N, h, w)``, or quantities float64 ``(N, K, h, w)``, with (h, w) as in the target."""
        ...


class Frozen(Protocol):
    """An encoder that learns nothing from a task."""

    @property
    def version(self) -> str:
        """What its features are kept under; a file name."""
        ...

    @property
    def left_out(self) -> Mapping[str, str]:
        """Tasks that it cannot be asked, and why."""
        ...

    def features(self, inputs: Inputs, task: str) -> Values:
        """Features ``(N, F, h, w)`` of all samples of a task, NaN where there are none."""
        ...


@dataclass(frozen=True)
class Contender:
    """One row of the comparison.

    Args:
        name: short name, unique in a run.
        options: everything that fixes it, in one line; a changed line is measured again.
        make: from a seed to an untrained model.
        frozen: the model gets the features of this encoder as inputs, bands e0, e1, ... of one date.
    """

    name: str
    options: str
    make: Callable[[int], Model]
    frozen: Frozen | None = None

    def asked(self, task: str) -> bool:
        """Whether a task can be asked of it."""
        return self.frozen is None or task not in self.frozen.left_out


class Constant:
    """The most frequent class, or the mean of the quantities: what a contender has to beat to have learned anything."""

    def __init__(self) -> None:
        self._answer: NDArray[Any] | None = None
        self._classes = True

    def fit(self, inputs: Inputs, target: Target) -> Self:
        """Count the classes, or average."""
        self._classes = target.classes
        if target.classes:
            counts = np.bincount(target.values[target.values != IGNORE], minlength=len(target.names))
            self._answer = np.asarray(int(counts.argmax()), np.int64)
        else:
            self._answer = np.moveaxis(target.values, 1, -1)[target.known].mean(axis=0)
        return self

    def predict(self, inputs: Inputs) -> NDArray[Any]:
        """The same answer everywhere."""
        assert self._answer is not None, "fit comes first"
        if self._classes:
            return np.full(inputs.answer_shape, self._answer, np.int64)
        samples, height, width = inputs.answer_shape
        return np.broadcast_to(self._answer[None, :, None, None], (samples, len(self._answer), height, width)).copy()


class Estimator(Protocol):
    """The two methods of scikit-learn that are used."""

    def fit(self, x: Any, y: Any) -> Any:
        """Learn from rows."""
        ...

    def predict(self, x: Any) -> Any:
        """Answers of rows."""
        ...


class RowLearner:
    """Any function from inputs to features, and any learner of rows on top of it.

    Args:
        features: from inputs to ``(N, F, h, w)``, NaN where unknown; bands and indices, or an encoder's embedding.
        learner: from (whether classes are asked, seed) to an estimator in the manner of scikit-learn.
        seed: seed of the drawn rows and the learner.
        most: most training rows.
    """

    def __init__(
        self,
        features: Callable[[Inputs], Values],
        learner: Callable[[bool, int], Estimator],
        seed: int,
        most: int = MOST_ROWS,
    ) -> None:
        self._features, self._learner, self._seed, self._most = features, learner, seed, most
        self._fitted: Estimator | None = None
        self._classes = True

    def fit(self, inputs: Inputs, target: Target) -> Self:
        """Learn from at most ``most`` answered pixels."""
        x, y = rows(self._features(inputs), target, self._most, self._seed)
        self._classes = target.classes
        if target.classes and len(np.unique(y)) < 2:
            self._fitted = _Same(int(y[0]))
        else:
            self._fitted = self._learner(target.classes, self._seed)
            with warnings.catch_warnings():
                _ignore_convergence()
                self._fitted.fit(x, y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y)
        return self

    def predict(self, inputs: Inputs) -> NDArray[Any]:
        """Classes or quantities of every pixel."""
        assert self._fitted is not None, "fit comes first"
        features = self._features(inputs)
        answers = np.asarray(self._fitted.predict(np.moveaxis(features, 1, -1).reshape(-1, features.shape[1])))
        if self._classes:
            return unrows(answers.astype(np.int64), inputs)
        return unrows(answers.astype(np.float64).reshape(len(answers), -1), inputs)


class _Same:
    """One class was seen, and it is the answer."""

    def __init__(self, answer: int) -> None:
        self._answer = answer

    def fit(self, x: Any, y: Any) -> Self:
        return self

    def predict(self, x: Any) -> NDArray[np.int64]:
        return np.full(len(x), self._answer, np.int64)


def linear_head(classes: bool, seed: int) -> Estimator:
    """Logistic or ridge regression on standardised numbers; what is unknown counts as the mean."""
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    head = LogisticRegression(C=1.0, max_iter=ITERATIONS) if classes else Ridge(alpha=1.0)
    return make_pipeline(StandardScaler(), SimpleImputer(keep_empty_features=True), head)


def forest(classes: bool, seed: int) -> Estimator:
    """Random forest (Breiman 2001), a root of the features a split for classes and a third for quantities."""
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    if classes:
        return RandomForestClassifier(TREES, random_state=seed, n_jobs=1)
    return RandomForestRegressor(TREES, max_features=1 / 3, random_state=seed, n_jobs=1)


def boosting(classes: bool, seed: int) -> Estimator:
    """Gradient boosting on binned features (as LightGBM, Ke et al. 2017), one model a quantity.

    Leaves of five, not twenty as the library has it: few-label runs have 30 rows.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    if classes:
        return HistGradientBoostingClassifier(
            max_iter=ROUNDS, min_samples_leaf=LEAF, early_stopping=False, random_state=seed
        )
    return _Each(
        lambda: HistGradientBoostingRegressor(
            max_iter=ROUNDS, min_samples_leaf=LEAF, early_stopping=False, random_state=seed
        )
    )


class _Each:
    """One estimator for each quantity, for learners that know one only."""

    def __init__(self, make: Callable[[], Estimator]) -> None:
        self._make = make
        self._parts: list[Estimator] = []

    def fit(self, x: Any, y: Any) -> Self:
        self._parts = [self._make() for _ in range(1 if y.ndim == 1 else y.shape[1])]
        for part, column in zip(self._parts, y.reshape(len(y), -1).T, strict=True):
            part.fit(x, column)
        return self

    def predict(self, x: Any) -> NDArray[np.float64]:
        return np.stack([part.predict(x) for part in self._parts], axis=1)


def _network(seed: int) -> Model:
    from swath.judge.real10.networks import Network

    return Network(seed)


def _ignore_convergence() -> None:
    """The number of iterations is part of the definition, so that reaching it is nothing to tell."""
    from sklearn.exceptions import ConvergenceWarning

    warnings.simplefilter("ignore", ConvergenceWarning)


BASELINES = (
    Contender("constant", "most frequent class or mean", lambda seed: Constant()),
    Contender(
        "linear",
        f"raw values, {MOST_ROWS} rows, logistic C 1 with {ITERATIONS} iterations or ridge 1",
        lambda seed: RowLearner(raw, linear_head, seed),
    ),
    Contender(
        "forest",
        f"bands, indices and season, {MOST_ROWS} rows, {TREES} trees",
        lambda seed: RowLearner(described, forest, seed),
    ),
    Contender(
        "boosting",
        f"bands, indices and season, {MOST_ROWS} rows, {ROUNDS} rounds, leaves of {LEAF}",
        lambda seed: RowLearner(described, boosting, seed),
    ),
    Contender("network", "small U-Net, temporal or scene CNN, 150 steps, v1", _network),
)
"""The yardstick: nothing here was chosen on a test score."""
ENCODERS = ("presto+linear", "presto+forest", "galileo+linear", "galileo+forest")
"""Names of the contenders that ``encoders.py`` makes where their weights are here."""
