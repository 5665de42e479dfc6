"""Torch parts: networks, normalisation and losses."""

from __future__ import annotations

from swath.nn import losses
from swath.nn.losses import Loss, class_weights_from_counts
from swath.nn.normalise import Normalise
from swath.nn.unet import ChannelNorm, UNet, UNetDecoder, UNetEncoder, UNetSpec

__all__ = [
    "ChannelNorm",
    "Loss",
    "Normalise",
    "UNet",
    "UNetDecoder",
    "UNetEncoder",
    "UNetSpec",
    "class_weights_from_counts",
    "losses",
]
