"""What the published encoders share: the pre-norm transformer block with a mask over keys, and fixed encodings."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HEADS = 8
"""Heads of all encoders here."""
EPS = 1e-5
"""Of every layer norm here; several other families use 1e-6."""


class Attention(nn.Module):
    """Multi-head self-attention, ``softmax(q kᵀ / sqrt(d)) v`` over the keys that may be seen.

    Args:
        width: D, split evenly over the heads.
        fused: whether queries, keys and values share one linear map (rows in that order), as the weights are stored.
    """

    def __init__(self, width: int, *, fused: bool) -> None:
        super().__init__()
        self.fused = fused
        if fused:
            self.qkv = nn.Linear(width, 3 * width)
        else:
            self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor, seen: Tensor | None) -> Tensor:
        """``(B, N, D)``; ``seen`` is bool ``(B, N)`` with at least one True per sample, or None for all."""
        parts = self.qkv(tokens).chunk(3, dim=-1) if self.fused else (self.q(tokens), self.k(tokens), self.v(tokens))
        queries, keys, values = (part.unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in parts)
        mask = None if seen is None else seen[:, None, None, :]
        mixed = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
        out: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return out


class Mlp(nn.Module):
    """Linear, exact GELU, linear; four times as wide inside."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """``(B, N, D)``."""
        out: Tensor = self.fc2(F.gelu(self.fc1(tokens)))
        return out


class Block(nn.Module):
    """``x + attention(norm(x))``, then ``x + mlp(norm(x))``."""

    def __init__(self, width: int, *, fused: bool) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=EPS)
        self.attn = Attention(width, fused=fused)
        self.norm2 = nn.LayerNorm(width, eps=EPS)
        self.mlp = Mlp(width)

    def forward(self, tokens: Tensor, seen: Tensor | None) -> Tensor:
        """``(B, N, D)``; see ``Attention.forward``."""
        tokens = tokens + self.attn(self.norm1(tokens), seen)
        out: Tensor = tokens + self.mlp(self.norm2(tokens))
        return out


def month_table(width: int) -> Tensor:
    """``(12, width)``: the sine of the month's angle in the first half of the row, its cosine in the second."""
    angle = torch.arange(12, dtype=torch.float64) * (2 * torch.pi / 12)
    half = width // 2
    return torch.cat([angle.sin()[:, None].expand(12, half), angle.cos()[:, None].expand(12, half)], dim=1).float()


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
