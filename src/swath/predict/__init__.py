"""Windowed, blended prediction of scenes of any size to COG."""

from __future__ import annotations

from swath.predict.scene import PredictionReport, check_request, predict_scene

__all__ = ["PredictionReport", "check_request", "predict_scene"]
