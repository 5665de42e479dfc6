"""Pixels to the tokens that cover them, and numbers of tokens back to the pixels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from swath.nn.vit import token_mask

Size = tuple[int, int]


def present_tokens(seen: Tensor, cells: Size, patch: int, *, resized: bool) -> Tensor:
    """Tokens with at least one pixel that is seen.

    Args:
        seen: bool ``(B, T, H, W)``.
        cells: rows and columns of tokens.
        patch: side of a token in pixels.
        resized: whether images are resized to whole tokens; they are padded otherwise.

    Returns:
        bool ``(B, T, *cells)``.
    """
    if not resized:
        return token_mask(seen, patch)
    return F.adaptive_max_pool2d(seen.to(torch.float32), cells) > 0


def to_pixels(numbers: Tensor, size: Size, cells: Size, patch: int, *, resized: bool) -> Tensor:
    """Numbers per pixel of an image, from those that a head gives for its padded or resized form.

    Args:
        numbers: ``(B, K, h', w')``, of any size.
        size: rows and columns of the image.
        cells: rows and columns of tokens.
        patch: side of a token in pixels.
        resized: whether the image was resized to whole tokens; it was padded otherwise.

    Returns:
        ``(B, K, *size)``; bilinear where sizes differ.
    """
    whole = size if resized else (cells[0] * patch, cells[1] * patch)
    # A head works on multiples of 4, which the tokens need not fill (patches of 14 pixels).
    if tuple(numbers.shape[-2:]) != whole:
        numbers = F.interpolate(numbers, size=whole, mode="bilinear", align_corners=False)
    return numbers[..., : size[0], : size[1]]


def multiple_of_four(stride: int) -> int:
    """The stride itself where 4 divides it, else the nearest multiple of 4 for ``pyramid.restride``."""
    return stride if stride % 4 == 0 else max(4, 4 * round(stride / 4))
