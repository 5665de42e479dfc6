"""Settings of this room's tests, and where the real data sets lie."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def pytest_configure(config: pytest.Config) -> None:
    # odc-geo and rasterio still multiply transforms with `*`, which affine 3 announces to deprecate.
    config.addinivalue_line("filterwarnings", "ignore:Use `@` matmul:PendingDeprecationWarning")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The directory $SWATH_DATA with one folder a data set; tests that need it are skipped without it."""
    if not os.environ.get("SWATH_DATA"):
        pytest.skip("SWATH_DATA is not set; it names the directory with the real data sets")
    return Path(os.environ["SWATH_DATA"])
