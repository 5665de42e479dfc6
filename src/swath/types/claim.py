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
