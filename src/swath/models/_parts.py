"""What the published encoders share: names of weights in transformer blocks, and fixed encodings."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

HEADS = 8
"""Heads of all encoders here."""
EPS = 1e-5
"""Of every layer norm here; several other families use 1e-6."""
_NAMES = (
    (".attn.qkv.", ".attention.qkv."),
    (".attn.proj.", ".attention.project."),
    (".mlp.fc1.", ".mlp.expand."),
    (".mlp.fc2.", ".mlp.contract."),
)
_QUERY = re.compile(r"(.*)\.attn\.q\.(weight|bias)")


def house_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Published tensors by the names of ``swath.nn.transformer.Block``; other names stay.

    Separate maps of queries, keys and values become the rows of one, in this order.
    """
    found = dict(tensors)
    for name in tensors:
        match = _QUERY.fullmatch(name)
        if match is None:
            continue
        block, kind = match.groups()
        parts = [found.get(f"{block}.attn.{part}.{kind}") for part in "qkv"]
        whole = [part for part in parts if part is not None]
        if len(whole) == len(parts) and len({part.shape for part in whole}) == 1:
            found[f"{block}.attn.qkv.{kind}"] = torch.cat(whole)
            for part in "qkv":
                del found[f"{block}.attn.{part}.{kind}"]
    for old, new in _NAMES:
        found = {name.replace(old, new): tensor for name, tensor in found.items()}
    return found


def waves(positions: Tensor, count: int, base: float, period: float) -> Tensor:
    """``(..., 2 count)``: sines, then cosines, of ``position * base^(-i / period)`` for i = 0 .. count - 1."""
    rate = base ** (-torch.arange(count, dtype=torch.float64, device=positions.device) / period)
    angle = positions.double()[..., None] * rate
    return torch.cat([angle.sin(), angle.cos()], dim=-1).float()


def unit_vectors(lonlat: Tensor) -> Tensor:
    """Points on the sphere, ``(N, 3)``, for longitude and latitude in degrees ``(N, 2)``."""
    lon, lat = torch.deg2rad(lonlat.double()).unbind(-1)
    return torch.stack([lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()], dim=-1).float()


def ndvi(red: Tensor, near_infrared: Tensor) -> Tensor:
    """``(near - red) / (near + red)`` where the sum is positive, else 0; any shape."""
    total = near_infrared + red
    positive = total > 0
    return torch.where(positive, (near_infrared - red) / torch.where(positive, total, 1.0), 0.0)
