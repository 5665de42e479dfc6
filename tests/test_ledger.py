"""The claims of this repository: every one loads, and all evidence has an older registration."""

from __future__ import annotations

from pathlib import Path

import pytest

from swath import judge, systems
from swath.errors import MissingError

CLAIMS = Path(__file__).parents[1] / "claims"
REGISTRATIONS = sorted(CLAIMS.glob("*.toml"))


def test_there_are_claims() -> None:
    assert REGISTRATIONS


def test_all_evidence_has_an_older_registration() -> None:
    try:
        problems = judge.check_repository(CLAIMS)
    except MissingError as error:
        pytest.skip(str(error))
    assert problems == []


@pytest.mark.parametrize("path", REGISTRATIONS, ids=lambda path: path.stem)
def test_a_registration_loads_and_has_one_primary_claim(path: Path) -> None:
    claims = judge.load_registration(path)
    assert [claim.primary for claim in claims].count(True) == 1
    names = [claim.name for claim in claims]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("path", REGISTRATIONS, ids=lambda path: path.stem)
def test_a_registration_belongs_to_a_system(path: Path) -> None:
    assert path.stem in systems.slugs()


def test_the_claims_can_be_listed() -> None:
    rows = judge.claims_table(CLAIMS)
    assert {row["system"] for row in rows} == {path.stem for path in REGISTRATIONS}
