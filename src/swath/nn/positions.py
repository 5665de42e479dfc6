"""Where a token lies: fixed sine and cosine tables in one to three dimensions, resizing, and days of the year."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from swath.errors import ConfigError

YEAR = 365.25
"""Days in a year."""


def sine_cosine(places: Tensor, width: int) -> Tensor:
    """Encode numbers: ``[sin(p w_0), ..., sin(p w_{d/2-1}), cos(p w_0), ...]`` with ``w_k = 10000^(-2k/d)``.

    Source: Vaswani et al., "Attention is all you need", 2017, with sines and cosines in two halves as in the masked
    autoencoder of He et al., CVPR 2022.

    Args:
        places: positions p, any shape.
        width: numbers d per position, even.

    Returns:
        float32 ``(*places.shape, width)``.

    Raises:
        ConfigError: ``width`` is not even.
    """
    _check_divisible(width, 2)
    frequency = 10000.0 ** (-torch.arange(width // 2, dtype=torch.float64, device=places.device) / (width / 2))
    angle = places.double()[..., None] * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=-1).float()


def sine_cosine_2d(rows: int, columns: int, width: int) -> Tensor:
    """Fixed positions of an image of tokens: one half of the numbers tells the column, the other half the row.

    Returns:
        float32 ``(rows, columns, width)``: ``[column, row]``, the order of the published masked autoencoder.

    Raises:
        ConfigError: 4 does not divide ``width``.
    """
    _check_divisible(width, 4)
    down = sine_cosine(torch.arange(rows), width // 2)[:, None].expand(rows, columns, -1)
    across = sine_cosine(torch.arange(columns), width // 2)[None].expand(rows, columns, -1)
    return torch.cat([across, down], dim=-1)


def sine_cosine_3d(dates: int, rows: int, columns: int, width: int, *, date_last: bool = False) -> Tensor:
    """Fixed positions of a block of tokens: 1/4 of the numbers tells the date, 3/8 the column, 3/8 the row.

    Args:
        dates: tokens along time.
        rows: tokens along y.
        columns: tokens along x.
        width: numbers D per position.
        date_last: the order ``[column, row, date]`` of the published space-time masked autoencoders (Jakubik et al.,
            arXiv 2310.18660), else ``[date, column, row]``.

    Returns:
        float32 ``(dates, rows, columns, width)``.

    Raises:
        ConfigError: 16 does not divide ``width``.
    """
    _check_divisible(width, 16)
    shape = (dates, rows, columns, -1)
    when = sine_cosine(torch.arange(dates), width // 4)[:, None, None].expand(shape)
    across = sine_cosine(torch.arange(columns), width * 3 // 8)[None, None].expand(shape)
    down = sine_cosine(torch.arange(rows), width * 3 // 8)[None, :, None].expand(shape)
    return torch.cat([across, down, when] if date_last else [when, across, down], dim=-1)


def resize_block(table: Tensor, rows: int, columns: int) -> Tensor:
    """Positions of a block of tokens for another image size: bicubic, the corners stay where they are.

    Args:
        table: ``(T, h, w, D)``.
        rows: rows of the new grid.
        columns: columns of the new grid.

    Returns:
        ``(T, rows, columns, D)``; the table itself when the size is the same.
    """
    if tuple(table.shape[1:3]) == (rows, columns):
        return table
    images = table.permute(0, 3, 1, 2)
    resized = F.interpolate(images, size=(rows, columns), mode="bicubic", align_corners=True)
    return resized.permute(0, 2, 3, 1)


def resize_grid(table: Tensor, rows: int, columns: int) -> Tensor:
    """Learned positions of another grid size, bicubic and antialiased.

    Args:
        table: ``(h, w, D)``.
        rows: rows of the new grid.
        columns: columns of the new grid.

    Returns:
        ``(rows, columns, D)``; the table itself when the size is the same.
    """
    if tuple(table.shape[:2]) == (rows, columns):
        return table
    image = table.movedim(-1, 0)[None].float()
    resized = F.interpolate(image, size=(rows, columns), mode="bicubic", antialias=True, align_corners=False)
    return resized[0].movedim(0, -1).to(table.dtype)


def resize_line(table: Tensor, length: int) -> Tensor:
    """Learned positions ``(L, D)`` of another number of dates, ``(length, D)``, linear between the old ones."""
    if table.shape[0] == length:
        return table
    line = table.T[None].float()
    return F.interpolate(line, size=length, mode="linear", align_corners=False)[0].T.to(table.dtype)


def encode_days(day: Tensor, width: int, *, period: float = YEAR) -> Tensor:
    """Encode days as harmonics of the year: ``[sin(2 pi k d / P)]_k, [cos(2 pi k d / P)]_k`` for k = 1 to width / 2.

    31 December lies beside 1 January, and no date needs a regular step. For series of several years in which the year
    matters, count days from a fixed date and give a period longer than the series.

    Args:
        day: day of the year or days since some date, any shape; what is not finite counts as 0.
        width: numbers per date, even.
        period: P, days after which the encoding repeats.

    Returns:
        float32 ``(*day.shape, width)``.

    Raises:
        ConfigError: ``width`` is not even or ``period`` not above 0.
    """
    _check_divisible(width, 2)
    if not period > 0:
        raise ConfigError(f"The period of the days is {period}", expected="days above 0", remedy="365.25 is a year")
    harmonic = torch.arange(1, width // 2 + 1, dtype=torch.float64, device=day.device)
    days = torch.nan_to_num(day.double(), nan=0.0, posinf=0.0, neginf=0.0)
    angle = days[..., None] * harmonic * (2 * math.pi / period)
    return torch.cat([angle.sin(), angle.cos()], dim=-1).float()


def _check_divisible(width: int, divisor: int) -> None:
    if width < divisor or width % divisor:
        raise ConfigError(
            f"The fixed positions have {width} numbers each",
            expected=f"a multiple of {divisor}",
            remedy="change the width, or use learned positions",
        )
