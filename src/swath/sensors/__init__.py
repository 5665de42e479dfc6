"""Sensors and their bands: TOML data and a small loader."""

from __future__ import annotations

from swath.sensors.bands import Band, BandMatch, BandSet

__all__ = ["Band", "BandMatch", "BandSet"]
