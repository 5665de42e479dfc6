"""Torch parts: backbones, heads, fusion, tuning, normalisation and losses."""

from __future__ import annotations

from swath.nn import losses
from swath.nn.build import BackboneOptions, backbone
from swath.nn.change import ChangeNetwork, SemanticChangeNetwork, combine_dates, combined_channels
from swath.nn.depth import decayed_groups, ordered_parts
from swath.nn.fusion import LateFusion, TokenFusion, early_bands, stack_early
from swath.nn.heads import FCNHead, LinearHead, RegressionOutput, UPerNetHead, VectorHead, pooled
from swath.nn.losses import Loss, class_weights_from_counts
from swath.nn.network import Network, NetworkSpec, make_head
from swath.nn.normalise import Normalise
from swath.nn.norms import ChannelNorm
from swath.nn.pyramid import SimplePyramid, TimePool, per_date
from swath.nn.resnet import ResNet, ResNetSpec
from swath.nn.series import Gru, PerPixel, SeriesSpec, SeriesTransformer, TempCNN, series_encoder
from swath.nn.swin import Swin, SwinSpec
from swath.nn.tuning import adapt, adapted_state, count_parameters, merge
from swath.nn.unet import UNet, UNetDecoder, UNetEncoder, UNetSpec
from swath.nn.vit import ViT, ViTSpec, token_mask

__all__ = [
    "BackboneOptions",
    "ChangeNetwork",
    "ChannelNorm",
    "FCNHead",
    "Gru",
    "LateFusion",
    "LinearHead",
    "Loss",
    "Network",
    "NetworkSpec",
    "Normalise",
    "PerPixel",
    "RegressionOutput",
    "ResNet",
    "ResNetSpec",
    "SemanticChangeNetwork",
    "SeriesSpec",
    "SeriesTransformer",
    "SimplePyramid",
    "Swin",
    "SwinSpec",
    "TempCNN",
    "TimePool",
    "TokenFusion",
    "UNet",
    "UNetDecoder",
    "UNetEncoder",
    "UNetSpec",
    "UPerNetHead",
    "VectorHead",
    "ViT",
    "ViTSpec",
    "adapt",
    "adapted_state",
    "backbone",
    "class_weights_from_counts",
    "combine_dates",
    "combined_channels",
    "count_parameters",
    "decayed_groups",
    "early_bands",
    "losses",
    "make_head",
    "merge",
    "ordered_parts",
    "per_date",
    "pooled",
    "series_encoder",
    "stack_early",
    "token_mask",
]
