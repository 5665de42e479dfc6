"""Windowed, blended, resumable prediction of scenes of any size to COG."""

from __future__ import annotations

from swath.predict.augmented import TestTimeAugmentation
from swath.predict.crew import Crew
from swath.predict.report import PredictionReport
from swath.predict.request import check_request
from swath.predict.scene import predict_scene
from swath.predict.seams import Seams
from swath.predict.tiles import overlap_pixels
from swath.predict.vectorise import VectoriseReport, vectorise

__all__ = [
    "Crew",
    "PredictionReport",
    "Seams",
    "TestTimeAugmentation",
    "VectoriseReport",
    "check_request",
    "overlap_pixels",
    "predict_scene",
    "vectorise",
]
