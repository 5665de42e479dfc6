"""Where samples come from: ``planet`` (the real globe from packages) and ``published`` (data sets as they lie)."""

from __future__ import annotations

from swath.sources import planet, published

__all__ = ["planet", "published"]
