from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from swath.errors import ContractError
from swath.types import Claim, Outcome, Report, ResultRow
from swath.types.result import COLUMNS, FRACTIONS, KEY


def row(**changes: Any) -> ResultRow:
    return ResultRow(**{"run_id": "r", "system": "demo", "metric": "accuracy", "value": 0.62, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"value": 0.0},
        {"value": 1.0},
        {"value": 1.0 + 1e-12},
        {"metric": "kappa", "value": -0.2},
        {"metric": "rmse", "value": 42.0},
        {"metric": "rmse", "value": float("nan")},
        {"ci_low": 0.5, "ci_high": 0.5},
        {"ci_low": 0.5},
    ],
)
def test_good_rows(changes: dict[str, Any]) -> None:
    row(**changes).check()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"metric": ""}, "no metric"),
        ({"value": 62.0}, r"'accuracy' of system 'demo' is 62\.0.*divide by 100"),
        ({"metric": "miou", "value": 1.01}, "a fraction between 0 and 1"),
        ({"ci_low": 0.7, "ci_high": 0.6}, r"runs from 0\.7 to 0\.6"),
    ],
)
def test_every_violation_gets_its_sentence(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ContractError, match=words):
        row(**changes).check()


@pytest.mark.parametrize("metric", sorted(FRACTIONS))
def test_no_fraction_is_percent(metric: str) -> None:
    with pytest.raises(ContractError, match=metric):
        row(metric=metric, value=50.0).check()


def test_columns_and_key() -> None:
    assert tuple(row().as_dict()) == COLUMNS
    assert COLUMNS[:26] == KEY
    assert (KEY[0], KEY[-1]) == ("run_id", "class_name")
    assert "value" not in KEY
    assert row(value=0.1).key() == row(value=0.9).key()
    assert row(seed=1).key() != row(seed=0).key()
    assert hash(row()) == hash(row())


CLAIM: dict[str, Any] = {
    "name": "beats the forest",
    "statement": "s",
    "estimand": "e",
    "metric": "miou",
    "margin": 0.01,
    "contender": "unet",
    "baseline": "forest",
    "seeds": (0, 1),
}


def test_a_claim_has_safe_defaults() -> None:
    claim = Claim(**CLAIM)
    assert (claim.primary, claim.direction, claim.published) == (False, "higher", "none")
    assert (claim.scope, claim.data) == ("mechanism at desk scale", "real")


@pytest.mark.parametrize(
    "changes",
    [
        {"margin": 0.0},
        {"margin": -0.01},
        {"direction": "up"},
        {"sedes": (0,)},
        {"data": "imagined"},
        {"scope": "anything"},
        {"seeds": ("a",)},
    ],
)
def test_claims_that_make_no_sense_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(changes))):
        Claim(**{**CLAIM, **changes})


def test_a_claim_cannot_be_changed_after_registration() -> None:
    claim = Claim(**CLAIM)
    with pytest.raises(ValidationError, match="frozen"):
        claim.margin = 0.0  # type: ignore[misc]


def test_an_outcome_travels_as_json() -> None:
    outcome = Outcome(
        claim=Claim(**CLAIM),
        measured=0.03,
        low=0.01,
        high=0.05,
        seeds=10,
        verdict="holds weakly",
        indicative=False,
        registered=None,
    )
    assert Outcome.model_validate_json(outcome.model_dump_json()) == outcome
    with pytest.raises(ValidationError, match="verdict"):
        Outcome(**{**outcome.model_dump(), "verdict": "true"})


def test_an_empty_report_holds_nothing_shared() -> None:
    one, other = Report("demo", "Demo", "real"), Report("demo", "Demo", "real")
    assert one == other
    assert one.files is not other.files
