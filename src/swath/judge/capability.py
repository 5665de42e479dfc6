"""Many data sets in one number per capability, so that models can be ranked by what they are good for.

Scores are brought to one scale by constants that are fixed and versioned (never by the models at hand, whose number
would then change everyone's score), and averaged without their extremes, as GEO-Bench-2 does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swath import rng
from swath.errors import ConfigError, InputError, nearest
from swath.judge.table import contender
from swath.metrics import iqm
from swath.metrics.aggregate import CUT
from swath.reading import read_json, reading
from swath.types import ResultRow

RESAMPLES = 100
LEVEL = 0.95


@dataclass(frozen=True)
class Normaliser:
    """Constants that bring the scores of data sets to one scale: (value - low) / (high - low).

    Args:
        version: goes into every table, and changes with every constant.
        bounds: data set to (low, high); for a metric where lower is better, low is the larger number.
    """

    version: str
    bounds: Mapping[str, tuple[float, float]]

    def __post_init__(self) -> None:
        """Refuse constants that cannot be divided by.

        Raises:
            ConfigError: no version, or bounds that are equal or not finite.
        """
        wrong = [name for name, (low, high) in self.bounds.items() if not math.isfinite(low - high) or low == high]
        if wrong or not self.version:
            raise ConfigError(
                f"The bounds of {wrong[0]} are {self.bounds[wrong[0]]}" if wrong else "The normaliser has no version",
                expected="two different finite numbers per data set, and a version",
                remedy="correct the constants",
            )

    @classmethod
    def load(cls, path: Path | str, version: str) -> Normaliser:
        """Constants from a JSON file ``{data set: [low, high]}``, as GEO-Bench-2 publishes them.

        Raises:
            InputError: the file cannot be read, or holds something else than two numbers per data set.
            ConfigError: as for the constants themselves.
        """
        expected, remedy = 'two numbers per data set, such as {"pastis": [0.2, 0.43]}', "check the file"
        content = read_json(Path(path), expected=expected, remedy=remedy)
        with reading(Path(path), expected=expected, remedy=remedy):
            bounds = {name: (float(low), float(high)) for name, (low, high) in content.items()}
        return cls(version, bounds)

    def apply(self, dataset: str, values: Sequence[float]) -> NDArray[np.float64]:
        """The scores on the common scale; they may leave 0 to 1.

        Raises:
            ConfigError: the data set has no constants.
        """
        if dataset not in self.bounds:
            raise ConfigError(
                f"The normaliser {self.version} has no constants for '{dataset}'",
                expected=f"one of {', '.join(sorted(self.bounds))}",
                remedy=f"the nearest is: {nearest(dataset, self.bounds)}",
            )
        low, high = self.bounds[dataset]
        return (np.asarray(values, dtype=np.float64) - low) / (high - low)


@dataclass(frozen=True)
class CapabilityScore:
    """The score of one contender in one capability, on the common scale.

    Args:
        contender: who.
        capability: in what.
        value: mean over bootstrap draws of the interquartile mean of all pooled results; None where a data set of the
            capability was not measured.
        low: lower end of the 95 % percentile interval over draws.
        high: upper end.
        missing: data sets that were not measured.
    """

    contender: str
    capability: str
    value: float | None
    low: float | None
    high: float | None
    missing: tuple[str, ...] = ()


def normalised(rows: Iterable[ResultRow], normaliser: Normaliser) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Results of all repetitions on the common scale, by contender and data set, from one primary row per repetition.

    Raises:
        ConfigError: a data set has no constants.
        InputError: rows of one data set differ in the metric, a repetition comes twice, or a value is undefined.
    """
    found: dict[tuple[str, str], dict[tuple[int | None, str | None], float]] = {}
    metrics: dict[str, str] = {}
    for row in rows:
        dataset, who, again = str(row.dataset), contender(row), (row.seed, row.fold)
        values = found.setdefault((who, dataset), {})
        problem = ""
        if metrics.setdefault(dataset, row.metric) != row.metric:
            problem = f"the metrics {metrics[dataset]} and {row.metric}"
        elif again in values:
            problem = f"seed {row.seed}, fold {row.fold} of {who} twice"
        elif not math.isfinite(row.value):
            problem = f"an undefined value for {who}, seed {row.seed}"
        if problem:
            raise InputError(
                f"The rows of {dataset} hold {problem}",
                expected="one defined value of one metric per contender, data set and repetition",
                remedy="select the primary metric over all classes and groups first",
            )
        values[again] = row.value
    scores: dict[str, dict[str, NDArray[np.float64]]] = {}
    for (who, dataset), values in found.items():
        scores.setdefault(who, {})[dataset] = normaliser.apply(dataset, list(values.values()))
    return scores


def capability_scores(
    rows: Iterable[ResultRow], normaliser: Normaliser, capabilities: Mapping[str, Sequence[str]]
) -> tuple[CapabilityScore, ...]:
    """Scores of all contenders in all capabilities, contenders in the order of their first row.

    In each of 100 draws the repetitions of every data set are drawn with replacement, pooled over the data sets of the
    capability, and their interquartile mean taken (a stratified bootstrap: no data set can drop out).

    Raises:
        ConfigError: a capability without data sets, or a data set without constants.
        InputError: as ``normalised``.
    """
    results = normalised(rows, normaliser)
    for name, datasets in capabilities.items():
        if not datasets:
            raise ConfigError(
                f"The capability '{name}' is empty", expected="at least one data set", remedy="leave it out or fill it"
            )
    pairs = [(who, name) for who in results for name in capabilities]
    return tuple(_score(who, name, capabilities[name], results[who]) for who, name in pairs)


def dataset_table(rows: Iterable[ResultRow], normaliser: Normaliser) -> str:
    """Markdown: contenders down, data sets across, interquartile mean over repetitions on the common scale [%]."""
    results = normalised(rows, normaliser)
    datasets = sorted({name for mine in results.values() for name in mine})
    body = [
        (who, *(f"{100 * iqm(mine[name]).value:.1f}" if name in mine else "none" for name in datasets))
        for who, mine in results.items()
    ]
    return _markdown((f"contender (normaliser {normaliser.version}) [%]", *datasets), body)


def capability_table(scores: Sequence[CapabilityScore], normaliser: Normaliser) -> str:
    """Markdown: contenders down, capabilities across, score [low, high] in percent of the common scale.

    A contender that was not measured on all data sets of a capability gets ``none``.
    """
    capabilities = list(dict.fromkeys(score.capability for score in scores))
    cells = {(score.contender, score.capability): _percent(score) for score in scores}
    names = dict.fromkeys(score.contender for score in scores)
    body = [(who, *(cells.get((who, name), "none") for name in capabilities)) for who in names]
    return _markdown((f"contender (normaliser {normaliser.version}) [%]", *capabilities), body)


def _score(
    who: str, capability: str, datasets: Sequence[str], mine: Mapping[str, NDArray[np.float64]]
) -> CapabilityScore:
    missing = tuple(name for name in datasets if name not in mine)
    if missing:
        return CapabilityScore(who, capability, None, None, None, missing)
    draws = np.empty(RESAMPLES)
    for number in range(RESAMPLES):
        stream = rng.generator(100 + number, "capability", who, capability)
        pooled = [stream.choice(mine[name], size=mine[name].size, replace=True) for name in datasets]
        draws[number] = _interquartile(np.concatenate(pooled))
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return CapabilityScore(who, capability, float(draws.mean()), float(low), float(high))


def _interquartile(values: NDArray[np.float64]) -> float:
    cut = int(CUT * values.size)
    return float(np.sort(values)[cut : values.size - cut].mean())


def _percent(score: CapabilityScore) -> str:
    if score.value is None or score.low is None or score.high is None:
        return "none"
    return f"{100 * score.value:.1f} [{100 * score.low:.1f}, {100 * score.high:.1f}]"


def _markdown(heads: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "---:|" * (len(heads) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(cells) + " |" for cells in body)]) + "\n"
