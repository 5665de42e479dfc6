"""The share of predictions within an expected error that grows with the observation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from swath.errors import ConfigError
from swath.metrics.arrays import used_pairs
from swath.metrics.outcome import Outcome, quotient

if TYPE_CHECKING:
    from swath.metrics.arrays import Numbers


@dataclass
class WithinEnvelope:
    """``pct_within_ee``: the fraction of values with abs(prediction - observation) <= constant + slope * observation.

    The defaults are the expected error of aerosol optical depth over land, 0.05 + 0.15 AOD (Levy et al. 2013,
    Atmospheric Measurement Techniques 6, 2989-3034). A fraction in spite of its name: percent is a matter of printing.
    Parts with the same envelope add up.

    Args:
        constant: allowed error at an observation of 0, in the unit of the observations; 0 or above.
        slope: allowed error per unit of observation; 0 or above.
        within: values inside so far.
        count: values so far.

    Raises:
        ConfigError: a negative or infinite constant or slope.
    """

    constant: float = 0.05
    slope: float = 0.15
    within: int = 0
    count: int = 0

    def __post_init__(self) -> None:
        if not (0 <= self.constant < np.inf and 0 <= self.slope < np.inf):
            raise ConfigError(
                f"The envelope is {self.constant} + {self.slope} times the observation",
                expected="two finite numbers of 0 or above",
                remedy="take 0.05 and 0.15 for aerosol optical depth over land",
            )

    def update(
        self, observed: Numbers, predicted: Numbers, valid: Numbers | None = None, ids: Sequence[str] | None = None
    ) -> None:
        """Add one batch; arguments and errors as for ``Regression.update``."""
        truth, guess = used_pairs(observed, predicted, valid, ids)
        self.within += int((np.abs(guess - truth) <= self.constant + self.slope * truth).sum())
        self.count += truth.size

    def __add__(self, other: WithinEnvelope) -> WithinEnvelope:
        if (self.constant, self.slope) != (other.constant, other.slope):
            raise ConfigError(
                f"The envelopes are {self.constant} + {self.slope} y and {other.constant} + {other.slope} y",
                expected="one envelope",
                remedy="score both parts with the same constants",
            )
        return WithinEnvelope(self.constant, self.slope, self.within + other.within, self.count + other.count)

    def compute(self) -> dict[str, Outcome]:
        """``pct_within_ee`` as a fraction; NaN without values."""
        return {"pct_within_ee": quotient(self.within, self.count, self.count, "there are no valid values")}
