"""Make an image up at several scales: the head and the targets of SatMAE++.

Noman et al., "Rethinking transformers pre-training for multi-spectral satellite imagery", CVPR 2024 (SatMAE++): the
image that the autoencoder makes up is enlarged by convolutions to twice (and four times) its size and compared with the
finer image of the same place. The network itself sees the coarsest of the aligned scales.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swath.errors import ContractError
from swath.nn.checks import check_whole
from swath.nn.norms import ChannelNorm

RESIDUAL = 0.5
"""Factor of the residual branch of an enlargement, as published."""
FINE_WEIGHT = 0.4
"""Published share of the enlarged images in the loss; the masked patches have the rest."""
_EPSILON = 1e-6


class Enlarge(nn.Module):
    """Maps and image of twice the size.

    ``u = leaky(norm(transposed(x)))`` with a 4 x 4 kernel of stride 2, ``r = norm(u + 0.5 conv(relu(conv(u))))``; the
    maps are r and the image is ``conv(r)``. The norms are over the channels of each pixel.

    Args:
        channels: channels of the maps.
        bands: bands of the image.
    """

    def __init__(self, channels: int, bands: int) -> None:
        super().__init__()
        self.enlarge = nn.ConvTranspose2d(channels, channels, kernel_size=4, stride=2, padding=1)
        self.enlarge_norm = ChannelNorm(channels, _EPSILON)
        self.first = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.second = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.refine_norm = ChannelNorm(channels, _EPSILON)
        self.project = nn.Conv2d(channels, bands, kernel_size=3, padding=1)
        for part in (self.first, self.second, self.project):
            nn.init.xavier_uniform_(part.weight)
            nn.init.zeros_(part.bias)  # type: ignore[arg-type]

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """``(B, F, H, W)`` to maps ``(B, F, 2H, 2W)`` and image ``(B, C, 2H, 2W)``."""
        upper = F.leaky_relu(self.enlarge_norm(self.enlarge(maps)))
        refined = self.refine_norm(upper + RESIDUAL * self.second(F.relu(self.first(upper))))
        return refined, self.project(refined)


class MultiScaleHead(nn.Module):
    """From the image made up by an autoencoder to images of 2, 4, ... times its size.

    Args:
        bands: bands C of the image.
        doublings: how many finer images; 1 for twice, 2 for twice and four times the size.
        ratio: channels of the maps, as a multiple of C.

    Raises:
        ConfigError: a number is no whole number of at least 1.
    """

    def __init__(self, bands: int, doublings: int, ratio: int = 4) -> None:
        super().__init__()
        check_whole("The multi-scale head", {"bands": bands, "doublings": doublings, "ratio": ratio})
        channels = bands * ratio
        self.expand = nn.Conv2d(bands, channels, kernel_size=1)
        self.expand_norm = ChannelNorm(channels, _EPSILON)
        self.steps = nn.ModuleList(Enlarge(channels, bands) for _ in range(doublings))

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """``(B, C, H, W)`` to one image per doubling, ``(B, C, 2H, 2W)`` first."""
        maps = self.expand_norm(F.gelu(self.expand(image)))
        larger: list[Tensor] = []
        for step in self.steps:
            maps, finer = step(maps)
            larger.append(finer)
        return tuple(larger)


def halve(values: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Images of half the size, bilinear: the mean of two by two pixels.

    Args:
        values: ``(..., H, W)``; what is not valid is not read.
        valid: bool of the same shape.

    Returns:
        Both of shape ``(..., H/2, W/2)``. A pixel is valid where all its four are: a mean over fewer would be that of
        another place. Where it is not, its value is 0.

    Raises:
        ContractError: a side is odd or 0, or the shapes differ.
    """
    rows, columns = values.shape[-2:]
    if valid.shape != values.shape or rows % 2 or columns % 2 or 0 in (rows, columns):
        raise ContractError(
            f"The image has the shape {tuple(values.shape)} and its mask {tuple(valid.shape)}",
            expected="even sides above 0, and a mask of the same shape",
            remedy="crop the image to a multiple of 2 for one doubling, of 4 for two",
        )
    corners = [(row, column) for row in (0, 1) for column in (0, 1)]
    whole = torch.stack([valid[..., row::2, column::2] for row, column in corners]).all(0)
    mean = torch.stack([values[..., row::2, column::2] for row, column in corners]).mean(0)
    return torch.where(whole, mean, 0.0), whole


def scales(values: Tensor, valid: Tensor, doublings: int) -> list[tuple[Tensor, Tensor]]:
    """The same place at several scales, from the coarsest to the finest, which is the input.

    Args:
        values: ``(..., H, W)``, finite.
        valid: bool of the same shape.
        doublings: how many times to halve.

    Returns:
        ``doublings + 1`` pairs of values and mask; the first goes into the network, the others are targets.

    Raises:
        ContractError: 2^doublings does not divide the sides (the nearest that do are named).
    """
    step = 2**doublings
    for side, length in zip(("rows", "columns"), values.shape[-2:], strict=True):
        if length < step or length % step:
            near = [str(size) for size in (length // step * step, (length // step + 1) * step) if size]
            raise ContractError(
                f"The image has {length} {side}",
                expected=f"a multiple of {step} for images at {doublings + 1} scales; the nearest is "
                + " or ".join(near),
                remedy="cut chips of such a size, or use fewer scales",
            )
    found = [(values, valid)]
    for _ in range(doublings):
        found.insert(0, halve(*found[0]))
    return found


def check_scales(images: Sequence[Tensor]) -> None:
    """Refuse images that are not one place at scales that double, coarsest first.

    Args:
        images: ``(..., H, W)``, then ``(..., 2H, 2W)``, ``(..., 4H, 4W)`` and so on.

    Raises:
        ContractError: tells which of the images does not fit.
    """
    if not images:
        raise ContractError("There are no images", expected="one image per scale", remedy="make them with scales()")
    first = images[0].shape
    for number, image in enumerate(images):
        wanted = (*first[:-2], first[-2] * 2**number, first[-1] * 2**number)
        if tuple(image.shape) != wanted:
            raise ContractError(
                f"The image of scale {number + 1} has shape {tuple(image.shape)}",
                expected=f"{wanted}: {2**number} times the sides of the coarsest, the rest alike",
                remedy="make all scales from the finest crop with scales()",
            )
