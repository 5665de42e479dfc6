"""Summaries of a corruption sweep: how much of a score is left under haze, noise, gaps and the like."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from swath.errors import ConfigError, InputError
from swath.metrics.outcome import Outcome, mean_of, quotient, undefined

SEVERITIES = range(1, 6)


@dataclass(frozen=True)
class CorruptionScores:
    """One metric, clean and by corruption c and severity s, as m(c, s).

    m(c) = mean over s of m(c, s); drop(c) = clean - m(c) (m(c) - clean where lower is better), so a drop is a loss;
    rel_drop(c) = drop(c) / clean; ``worst`` = the m(c) of the corruption that hurts most; ``mce`` = mean over c of
    err(c) / err_reference(c) with err = 1 - m(c), or m(c) itself where lower is better (after Hendrycks and Dietterich
    2019, ICLR). Every corruption has the same severities, or means over them would not compare.

    A score that is NaN makes its m(c) NaN; such corruptions are left out of means and counted.

    Args:
        clean: the metric without corruption.
        scores: the metric by (corruption, severity), severity 1 to 5.
        higher_is_better: direction of the metric.

    Raises:
        ConfigError: a severity outside 1 to 5.
        InputError: no corruption, or corruptions with different severities.
    """

    clean: float
    scores: Mapping[tuple[str, int], float]
    higher_is_better: bool = True

    def __post_init__(self) -> None:
        wrong = sorted({severity for _, severity in self.scores if severity not in SEVERITIES})
        if wrong:
            raise ConfigError(
                f"The severities {wrong} were given",
                expected="1 to 5",
                remedy="the clean score is given as 'clean', not as severity 0",
            )
        if not self.scores:
            raise InputError("There are no corrupted scores", expected="at least one", remedy="run the sweep first")
        steps = {name: self.severities(name) for name in self.corruptions}
        if len(set(steps.values())) > 1:
            listed = "; ".join(f"{name}: {', '.join(map(str, found))}" for name, found in steps.items())
            raise InputError(
                f"The corruptions have different severities ({listed})",
                expected="the same severities for each",
                remedy="finish the sweep; finished runs are skipped",
            )

    @property
    def corruptions(self) -> tuple[str, ...]:
        """Names of the corruptions, sorted."""
        return tuple(sorted({name for name, _ in self.scores}))

    def severities(self, corruption: str) -> tuple[int, ...]:
        """Severities of a corruption, ascending."""
        return tuple(sorted(severity for name, severity in self.scores if name == corruption))

    def mean(self, corruption: str) -> float:
        """m(c); NaN when one of its scores is."""
        values = [self.scores[corruption, severity] for severity in self.severities(corruption)]
        return math.fsum(values) / len(values)

    def drop(self, corruption: str) -> float:
        """What is lost against the clean score; positive is worse, whatever the direction of the metric."""
        loss = self.clean - self.mean(corruption)
        return loss if self.higher_is_better else -loss

    def by_corruption(self) -> dict[str, dict[str, Outcome]]:
        """``m``, ``drop`` and ``rel_drop`` per corruption, with the number of severities behind them."""
        answers = {}
        for name in self.corruptions:
            count = len(self.severities(name))
            value, loss = self.mean(name), self.drop(name)
            why = "a score of the sweep, or the clean one, is NaN"
            found = Outcome(value, count) if not math.isnan(value) else undefined(why, count=count)
            lost = Outcome(loss, count) if not math.isnan(loss) else undefined(why, count=count)
            relative = quotient(loss, self.clean, count, "the clean score is 0")
            answers[name] = {"m": found, "drop": lost, "rel_drop": lost if math.isnan(loss) else relative}
        return answers

    def compute(self, reference: CorruptionScores | None = None) -> dict[str, Outcome]:
        """``m``, ``drop``, ``rel_drop`` as means over corruptions, ``worst``, and with a reference ``mce``.

        Raises:
            InputError: the reference has another direction or other corruptions and severities, or an error is below 0,
                as percent instead of fractions would make it.
        """
        single = self.by_corruption()
        why = "have an undefined score"
        answers = {
            key: mean_of([row[key].value for row in single.values()], "corruptions", why)
            for key in ("m", "drop", "rel_drop")
        }
        known = [row["m"].value for row in single.values() if not math.isnan(row["m"].value)]
        pick = min if self.higher_is_better else max
        overall = answers["m"]
        answers["worst"] = Outcome(pick(known, default=math.nan), len(known), overall.skipped, overall.reason)
        if reference is not None:
            answers["mce"] = self._relative_errors(reference)
        return answers

    def _relative_errors(self, reference: CorruptionScores) -> Outcome:
        if self.scores.keys() != reference.scores.keys() or self.higher_is_better != reference.higher_is_better:
            raise InputError(
                "The reference was swept over other corruptions or severities, or with another direction",
                expected="one metric over one sweep",
                remedy="run the same sweep for the reference",
            )
        ratios = []
        for name in self.corruptions:
            mine, theirs = self._error(name), reference._error(name)
            ratios.append(mine / theirs if theirs else math.nan)
        return mean_of(ratios, "corruptions", "have an undefined score or an error of 0 in the reference")

    def _error(self, corruption: str) -> float:
        value = self.mean(corruption)
        error = 1 - value if self.higher_is_better else value
        if error < 0:
            raise InputError(
                f"The error under {corruption} is {error:g}",
                expected="scores as fractions up to 1, and errors of 0 or above",
                remedy="divide percent by 100",
            )
        return error
