"""Real data where they are; helpers of the encoders' tests can be imported."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    if not os.environ.get("SWATH_DATA"):
        pytest.skip("SWATH_DATA is not set; it names the directory with the real data sets")
    return Path(os.environ["SWATH_DATA"])
