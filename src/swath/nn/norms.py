"""Normalisation layers and the two small layers that go with every residual branch."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swath.errors import ConfigError

Norm = Literal["group", "channel", "batch"]


class ChannelNorm(nn.Module):
    """Normalise the channels of each pixel by themselves (layer normalisation, Ba et al. 2016, per pixel).

    Nothing depends on the rest of the image, so a window and a whole image give the same result inside.
    """

    def __init__(self, channels: int, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.epsilon = epsilon

    def forward(self, maps: Tensor) -> Tensor:
        """``(B, C, ...)`` to the same shape, mean 0 and variance 1 over C before scale and shift."""
        normalised = F.layer_norm(maps.movedim(1, -1), self.weight.shape, self.weight, self.bias, self.epsilon)
        return normalised.movedim(-1, 1)


class DropPath(nn.Module):
    """Drop a residual branch of whole samples while training, and scale what is kept by ``1 / (1 - rate)``.

    Huang et al., "Deep networks with stochastic depth", ECCV 2016. The mean over many draws is the branch itself.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, branch: Tensor) -> Tensor:
        """``(B, ...)`` to the same shape; the identity outside training."""
        if self.rate == 0 or not self.training:
            return branch
        kept = torch.rand((branch.shape[0], *[1] * (branch.ndim - 1)), device=branch.device) >= self.rate
        return branch * kept / (1 - self.rate)


class LayerScale(nn.Module):
    """One learned factor per channel on a residual branch (Touvron et al., "Going deeper with image transformers")."""

    def __init__(self, width: int, start: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.full((width,), start))

    def forward(self, branch: Tensor) -> Tensor:
        """``(..., C)`` to the same shape."""
        return branch * self.factor


def make_norm(channels: int, kind: Norm) -> nn.Module:
    """The normalisation of a convolutional network with ``channels`` channels.

    Args:
        channels: number of channels.
        kind: ``group`` (independent of the other samples), ``channel`` (of the other pixels too) or ``batch``.

    Raises:
        ConfigError: ``kind`` is another word.
    """
    match kind:
        case "channel":
            return ChannelNorm(channels)
        case "batch":
            return nn.BatchNorm2d(channels)
        case "group":
            # At least four channels a group, so that the statistics stay defined where a map is a single pixel.
            groups = next(g for g in range(8, 0, -1) if g == 1 or (channels % g == 0 and channels // g >= 4))
            return nn.GroupNorm(groups, channels)
    raise ConfigError(
        f"The normalisation is {kind!r}", expected="'group', 'channel' or 'batch'", remedy="choose one of them"
    )
