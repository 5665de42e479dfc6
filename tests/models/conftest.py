"""Real weights where they are, and batches to embed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def real_data() -> Path:
    if not os.environ.get("SWATH_DATA"):
        pytest.skip("SWATH_DATA is not set; it names the directory with the real data sets")
    return Path(os.environ["SWATH_DATA"])
