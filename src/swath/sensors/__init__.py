"""Sensors and their bands: TOML data and a small loader."""

from __future__ import annotations

from swath.sensors.bands import Band, BandMatch, BandSet, Kind
from swath.sensors.load import load, names
from swath.sensors.sensor import Baseline, Level, PublishedStatistics, Scaling, Sensor

__all__ = [
    "Band",
    "BandMatch",
    "BandSet",
    "Baseline",
    "Kind",
    "Level",
    "PublishedStatistics",
    "Scaling",
    "Sensor",
    "load",
    "names",
]
