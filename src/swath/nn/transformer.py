"""The transformer block, written once for images, series and fused modalities.

Vaswani et al., "Attention is all you need", 2017, in the order of Dosovitskiy et al., "An image is worth 16x16 words",
ICLR 2021: normalise, transform, add.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swath.errors import ConfigError
from swath.nn.norms import DropPath, LayerScale


class Attention(nn.Module):
    """Self-attention ``softmax(q k^T / sqrt(d)) v`` in several heads, over the tokens that may be seen.

    Args:
        width: numbers D per token.
        heads: number of heads; must divide ``width``.

    Raises:
        ConfigError: ``heads`` does not divide ``width``.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise ConfigError(
                f"The attention has width {width} and {heads} heads",
                expected="a number of heads that divides the width",
                remedy="change one of them",
            )
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)

    def forward(self, tokens: Tensor, seen: Tensor | None = None) -> Tensor:
        """Mixed tokens ``(B, N, D)``.

        Args:
            tokens: ``(B, N, D)``.
            seen: bool ``(B, N)``, True where a token may be looked at; None for all. Where a sample has none, all are
                looked at, so that nothing becomes NaN: such a sample's result must be masked later.
        """
        query, key, value = self.split(tokens)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=key_mask(seen))
        return self.join(mixed)

    def split(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value, each ``(B, heads, N, D / heads)``."""
        batch, number, width = tokens.shape
        parts = self.qkv(tokens).reshape(batch, number, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)
        return query, key, value

    def join(self, mixed: Tensor) -> Tensor:
        """Output ``(B, N, D)`` from the values mixed in each head, ``(B, heads, N, D / heads)``."""
        return self.project(mixed.transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """Two linear layers with a Gaussian error linear unit between them, on each token by itself."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.width = width
        self.expand = nn.Linear(width, hidden)
        self.contract = nn.Linear(hidden, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """``(..., D)`` to the same shape."""
        return self.contract(F.gelu(self.expand(tokens)))


class Block(nn.Module):
    """``x + attention(norm(x))``, then ``x + mlp(norm(x))``.

    Args:
        width: numbers D per token.
        heads: number of attention heads.
        mlp_ratio: hidden numbers of the second branch, as a multiple of D.
        drop_path: share of samples whose branches are dropped while training.
        layer_scale: initial factor of the branches, or None for no factor.
        epsilon: added to the variance in the normalisation.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        mlp_ratio: float = 4.0,
        drop_path: float = 0.0,
        layer_scale: float | None = None,
        epsilon: float = 1e-6,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=epsilon)
        self.attention = Attention(width, heads)
        self.scale1 = nn.Identity() if layer_scale is None else LayerScale(width, layer_scale)
        self.norm2 = nn.LayerNorm(width, eps=epsilon)
        self.mlp = Mlp(width, int(width * mlp_ratio))
        self.scale2 = nn.Identity() if layer_scale is None else LayerScale(width, layer_scale)
        self.drop = DropPath(drop_path)

    def forward(self, tokens: Tensor, seen: Tensor | None = None) -> Tensor:
        """``(B, N, D)`` to the same shape; ``seen`` as in ``Attention``."""
        tokens = tokens + self.drop(self.scale1(self.attention(self.norm1(tokens), seen)))
        return tokens + self.drop(self.scale2(self.mlp(self.norm2(tokens))))


def start_normal(table: Tensor, deviation: float = 0.02) -> None:
    """Truncated normal numbers, in place; nothing on the meta device, where the detour over it would take seconds."""
    if not table.is_meta:
        nn.init.trunc_normal_(table, std=deviation)


def start_weights(network: nn.Module, deviation: float = 0.02) -> None:
    """Truncated normal weights and zero biases in all linear layers of a transformer."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            start_normal(module.weight, deviation)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def drop_rates(largest: float, depth: int) -> list[float]:
    """Rates of stochastic depth that rise linearly from 0 in the first block to ``largest`` in the last."""
    return [largest * index / max(depth - 1, 1) for index in range(depth)]


def masked_mean(tokens: Tensor, seen: Tensor | None) -> Tensor:
    """Mean over the tokens that may be used, ``(B, N, D)`` to ``(B, D)``; 0 where there is none."""
    if seen is None:
        return tokens.mean(1)
    weight = seen.to(tokens.dtype)[..., None]
    return torch.where(seen[..., None], tokens, 0.0).sum(1) / weight.sum(1).clamp_min(1)


def key_mask(seen: Tensor | None) -> Tensor | None:
    """Mask ``(B, 1, 1, N)`` of the tokens that may be looked at; all of them in a sample that has none."""
    if seen is None:
        return None
    return (seen | ~seen.any(1, keepdim=True))[:, None, None]
