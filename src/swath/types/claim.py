"""Claims: what a system promises, registered before it is measured."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from swath.types.result import DataKind

Verdict = Literal[
    "holds",
    "holds weakly",
    "equivalent",
    "does not hold",
    "inconclusive",
    "not testable here",
    "not measured",
]
Scope = Literal["mechanism at desk scale", "published setting", "parity"]


class Claim(BaseModel):
    """One registered claim of a system (one ``[[claim]]`` table in ``claims/SLUG.toml``).

    ``margin`` is the smallest effect that a user would care about, in the unit of the metric (a fraction for
    fractions). ``direction`` says whether the first contender is claimed to lie above or below the second.

    ``interval`` is Student's t or the BCa bootstrap, ``over`` what it runs over: seeds, or seeds and the test groups
    whose rows carry ``group``; the estimand is then the mean over groups. ``control`` marks a claim that checks the
    experiment: a negative one should not hold, a positive one should.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    primary: bool = False
    statement: str
    published: str = "none"
    estimand: str
    metric: str
    direction: Literal["higher", "lower"] = "higher"
    margin: float = Field(gt=0)
    contender: str
    baseline: str
    controls: tuple[str, ...] = ()
    seeds: tuple[int, ...]
    tuning: str = ""
    data_hash: str | None = None
    world_version: str | None = None
    scope: Scope = "mechanism at desk scale"
    data: DataKind = "real"
    interval: Literal["t", "bca"] = "t"
    over: Literal["seed", "seed x group"] = "seed"
    control: Literal["negative", "positive"] | None = None

    @property
    def control_kind(self) -> Literal["negative", "positive"] | None:
        """Which control this is: as ``control`` says, else as the name begins; None for a claim proper."""
        if self.control is not None:
            return self.control
        first, _, rest = self.name.replace("-", "_").partition("_")
        if not rest.startswith("control"):
            return None
        return "negative" if first == "negative" else "positive" if first == "positive" else None


class Outcome(BaseModel):
    """What the evidence says about one claim."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    claim: Claim
    measured: float | None
    low: float | None
    high: float | None
    seeds: int
    verdict: Verdict
    indicative: bool
    registered: str | None
    note: str = ""
