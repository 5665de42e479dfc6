"""Objectives that need no labels: what is hidden, and how well it was made up."""

from __future__ import annotations

from swath.learn.objectives.judging import masked_validation, picture
from swath.learn.objectives.masked import MaskedReconstruction, MaskingOptions, Restored, load_masked
from swath.learn.objectives.probing import Probe, ProbeOptions, probed
from swath.learn.objectives.transfer import PretrainedNetwork, pretrained_encoder, pretrained_network

__all__ = [
    "MaskedReconstruction",
    "MaskingOptions",
    "PretrainedNetwork",
    "Probe",
    "ProbeOptions",
    "Restored",
    "load_masked",
    "masked_validation",
    "picture",
    "pretrained_encoder",
    "pretrained_network",
    "probed",
]
