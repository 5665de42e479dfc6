from __future__ import annotations

from pathlib import Path

import pytest

from swath.errors import MissingError
from swath.judge import check_repository

CLAIMS = Path(__file__).parents[2] / "claims"


def test_all_evidence_has_an_older_registration() -> None:
    if not CLAIMS.is_dir():
        pytest.skip("there is no claims/ here: not a checkout of the repository")
    try:
        problems = check_repository(CLAIMS)
    except MissingError as error:
        pytest.skip(str(error))
    assert problems == []
