"""Windowed, blended prediction of scenes of any size to COG."""

from __future__ import annotations

from swath.predict.scene import PredictionReport, predict_scene

__all__ = ["PredictionReport", "predict_scene"]
