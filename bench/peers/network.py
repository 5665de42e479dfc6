"""The models of the race, in plain torch, so that every contender runs the same ones with the same weights."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

BANDS = 6


class Identity(nn.Module):
    """The first two bands as the logits of two classes: everything that takes time lies outside of it."""

    def forward(self, values: Tensor) -> Tensor:
        """(B, 6, H, W) to (B, 2, H, W)."""
        return values[:, :2]


class Mean(nn.Module):
    """The mean over 9 x 9 pixels of two bands, repeated at borders: shift-equivariant; a hole spreads in it."""

    def forward(self, values: Tensor) -> Tensor:
        """(B, 6, H, W) to (B, 2, H, W)."""
        padded = nn.functional.pad(values[:, :2], (4, 4, 4, 4), mode="replicate")
        return nn.functional.avg_pool2d(padded, 9, stride=1)


def _pair(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1),
        nn.GroupNorm(4, outputs),
        nn.ReLU(),
        nn.Conv2d(outputs, outputs, 3, padding=1),
        nn.ReLU(),
    )


class SmallUNet(nn.Module):
    """A U-Net of one million parameters: widths 28, 56, 100, 152 at strides 1, 2, 4, 8."""

    def __init__(self, widths: tuple[int, ...] = (28, 56, 100, 152)) -> None:
        super().__init__()
        inputs = (BANDS, *widths[:-1])
        self.down = nn.ModuleList(_pair(a, b) for a, b in zip(inputs, widths, strict=True))
        self.up = nn.ModuleList(_pair(b + a, a) for a, b in pairwise(widths))
        self.head = nn.Conv2d(widths[0], 2, 1)

    def forward(self, values: Tensor) -> Tensor:
        """(B, 6, H, W) to (B, 2, H, W); H and W are multiples of 8."""
        skips = []
        for level, block in enumerate(self.down):
            values = block(values if level == 0 else nn.functional.max_pool2d(values, 2))
            skips.append(values)
        values = skips.pop()
        for block in reversed(self.up):
            skip = skips.pop()
            larger = nn.functional.interpolate(values, scale_factor=2.0, mode="nearest")
            values = block(torch.cat([larger, skip], dim=1))
        out: Tensor = self.head(values)
        return out


def network(name: str) -> nn.Module:
    """``identity``, ``mean`` or ``unet``, in evaluation mode; the same weights everywhere."""
    torch.manual_seed(0)
    return {"identity": Identity, "mean": Mean, "unet": SmallUNet}[name]().eval()
