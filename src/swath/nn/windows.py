"""Windows over a map of tokens, the positions inside them, and who may look at whom."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swath.errors import ConfigError
from swath.nn.transformer import start_normal


def cut_windows(grid: Tensor, window: int) -> Tensor:
    """``(B, H, W, C)`` with H and W multiples of ``window`` to ``(B, n, window^2, C)``, n windows row by row."""
    batch, rows, columns, width = grid.shape
    split = grid.reshape(batch, rows // window, window, columns // window, window, width)
    return split.transpose(2, 3).reshape(batch, -1, window * window, width)


def join_windows(tokens: Tensor, window: int, rows: int, columns: int) -> Tensor:
    """The inverse of ``cut_windows``: ``(B, n, window^2, C)`` to ``(B, rows, columns, C)``."""
    batch, _, _, width = tokens.shape
    split = tokens.reshape(batch, rows // window, columns // window, window, window, width)
    return split.transpose(2, 3).reshape(batch, rows, columns, width)


def window_mask(size: tuple[int, int], padded: tuple[int, int], window: int, shift: tuple[int, int]) -> Tensor | None:
    """Which tokens of a window may look at each other after the map was padded and rolled by ``shift``.

    Rolling brings the upper edge to the lower one; tokens that were not neighbours before must not meet, and nobody
    looks at the padding. Every token may look at itself, so that no row is empty.

    Args:
        size: rows and columns of the map.
        padded: the same after padding below and to the right.
        window: side of a window.
        shift: rows and columns by which the padded map was rolled up and left.

    Returns:
        bool ``(n, window^2, window^2)``, or None when all may see all.
    """
    if size == padded and shift == (0, 0):
        return None
    region = torch.zeros(padded, dtype=torch.long)
    for axis, step in enumerate(shift):
        place = torch.arange(padded[axis])
        # After rolling, the last `step` rows came from the top: a region of their own.
        part = (place >= padded[axis] - step).long() if step else torch.zeros_like(place)
        region += part[:, None] * 2 if axis == 0 else part[None]
    real = torch.zeros(padded, dtype=torch.bool)
    real[: size[0], : size[1]] = True
    real = real.roll((-shift[0], -shift[1]), (0, 1))
    regions = cut_windows(region[None, ..., None], window)[0, ..., 0]
    keys = cut_windows(real[None, ..., None], window)[0, ..., 0]
    itself = torch.eye(window * window, dtype=torch.bool)
    return ((regions[:, :, None] == regions[:, None]) & keys[:, None]) | itself


def relative_index(window: int) -> Tensor:
    """Row of the table of relative positions for each pair of places in a window.

    Returns:
        int64 ``(window^2, window^2)``: ``(dy + w - 1) (2 w - 1) + dx + w - 1`` for query minus key.
    """
    place = torch.stack(torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")).flatten(1)
    offset = place[:, :, None] - place[:, None]
    return (offset[0] + window - 1) * (2 * window - 1) + offset[1] + window - 1


def log_offsets(window: int, trained: int) -> Tensor:
    """Offsets on a logarithmic scale, so that a larger window extrapolates little.

    ``sign(d) log2(1 + 8 |d| / (w' - 1)) / 3`` with the window w' of training. Source: Liu et al., "Swin Transformer
    V2", CVPR 2022, equation 4, scaled as in the published weights.

    Returns:
        float32 ``((2 window - 1)^2, 2)``, rows in the order of ``relative_index``.
    """
    line = torch.arange(1 - window, window, dtype=torch.float64) * (8 / max(trained - 1, 1))
    line = line.sign() * torch.log2(1 + line.abs()) / math.log2(8)
    grid = torch.stack(torch.meshgrid(line, line, indexing="ij"), dim=-1)
    return grid.reshape(-1, 2).float()


class WindowAttention(nn.Module):
    """Attention inside windows with a learned bias per relative position (Liu et al., "Swin Transformer", ICCV 2021).

    Args:
        width: numbers C per token.
        heads: attention heads; must divide ``width``.
        window: side of a window.

    Raises:
        ConfigError: ``heads`` does not divide ``width``.
    """

    index: Tensor

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        _check_heads(width, heads)
        self.heads, self.window = heads, window
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        start_normal(self.bias_table)
        self.register_buffer("index", relative_index(window), persistent=False)

    def forward(self, tokens: Tensor, mask: Tensor | None) -> Tensor:
        """``(B, n, N, C)`` to the same shape, N = window^2; ``mask`` as from ``window_mask``."""
        query, key, value = _split(self.qkv(tokens), self.heads)
        bias = self.bias_table[self.index].permute(2, 0, 1)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=_with_mask(bias, mask))
        return self.project(mixed.transpose(2, 3).flatten(3))


class CosineWindowAttention(nn.Module):
    """Attention by cosine similarity with continuous relative positions (Swin Transformer V2, equations 2 and 3).

    ``softmax(cos(q, k) / tau + b(offset)) v``: one learned temperature per head, kept at 0.01 or above, and a bias
    ``16 sigmoid(mlp(log offsets))`` from a small network.

    Args:
        width: numbers C per token.
        heads: attention heads; must divide ``width``.
        window: side of a window.
        trained_window: window for which the positions were trained, when it differs.

    Raises:
        ConfigError: ``heads`` does not divide ``width``.
    """

    index: Tensor
    offsets: Tensor

    def __init__(self, width: int, heads: int, window: int, trained_window: int | None = None) -> None:
        super().__init__()
        _check_heads(width, heads)
        self.heads, self.window = heads, window
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.temperature = nn.Parameter(torch.full((heads, 1, 1), math.log(10)))
        self.bias_network = nn.Sequential(nn.Linear(2, 512), nn.ReLU(), nn.Linear(512, heads, bias=False))
        self.register_buffer("index", relative_index(window), persistent=False)
        self.register_buffer("offsets", log_offsets(window, trained_window or window), persistent=False)

    def forward(self, tokens: Tensor, mask: Tensor | None) -> Tensor:
        """``(B, n, N, C)`` to the same shape, N = window^2; ``mask`` as from ``window_mask``."""
        # Keys have no bias. One row of numbers for it is kept, as in the published count of parameters, without effect.
        width = tokens.shape[-1]
        unused = F.pad(self.qkv.bias[width : 2 * width], (width, width))
        query, key, value = _split(self.qkv(tokens) - unused, self.heads)
        query = F.normalize(query, dim=-1) * self.temperature.clamp(max=math.log(100)).exp()
        bias = 16 * self.bias_network(self.offsets)[self.index].permute(2, 0, 1).sigmoid()
        mixed = F.scaled_dot_product_attention(
            query, F.normalize(key, dim=-1), value, attn_mask=_with_mask(bias, mask), scale=1.0
        )
        return self.project(mixed.transpose(2, 3).flatten(3))


def _split(joint: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key and value ``(B, n, heads, N, C / heads)`` from ``(B, n, N, 3 C)``."""
    query, key, value = joint.unflatten(-1, (3, heads, -1)).permute(3, 0, 1, 4, 2, 5).unbind(0)
    return query, key, value


def _with_mask(bias: Tensor, mask: Tensor | None) -> Tensor:
    """Bias ``(heads, N, N)`` and mask ``(n, N, N)`` as one additive term."""
    if mask is None:
        return bias
    return torch.where(mask[:, None], bias, float("-inf"))


def _check_heads(width: int, heads: int) -> None:
    if heads < 1 or width % heads:
        raise ConfigError(
            f"The attention has width {width} and {heads} heads",
            expected="a number of heads that divides the width",
            remedy="change one of them",
        )
