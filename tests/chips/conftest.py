"""Settings of this room's tests."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    # odc-geo and rasterio still multiply transforms with `*`, which affine 3 announces to deprecate.
    config.addinivalue_line("filterwarnings", "ignore:Use `@` matmul:PendingDeprecationWarning")
