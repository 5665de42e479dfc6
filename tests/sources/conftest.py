"""Where the real data sets lie."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The directory $SWATH_DATA with one folder a data set; tests that need it are skipped without it."""
    if not os.environ.get("SWATH_DATA"):
        pytest.skip("SWATH_DATA is not set; it names the directory with the real data sets")
    return Path(os.environ["SWATH_DATA"])
