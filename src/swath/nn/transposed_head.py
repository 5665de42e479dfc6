"""Step by step back to the pixels: the head of InstaGeo's networks of segmentation and regression.

Facts of the head: the published architecture of InstaGeo 0.1.0. Every step doubles rows and columns by a transposed
convolution, drops a share of the numbers while training, convolves, normalises over the batch and cuts below 0; it
halves the channels. A last convolution of one pixel gives the outputs. For patches of 14 pixels the convolutions cut
the border off, so that 16 places become 30, 58, 114 and 224 pixels.
Ours differs in that other patches and sizes go in: there are as many steps as doublings reach the stride, and what does
not come out in the size of the input is brought to it bilinearly.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from swath.errors import ConfigError, ContractError
from swath.nn.checks import check_parameters, check_whole
from swath.nn.pyramid import check_maps
from swath.types import Features

KERNELS = {14: (5, 5, 5, 7)}
"""Sides of the convolutions where they are not 3, by the stride of the map."""
DROPOUT = 0.1


class Step(nn.Module):
    """``(B, C, h, w)`` to ``(B, C', 2 h - k + 3, 2 w - k + 3)``.

    Args:
        channels: C.
        outputs: C'.
        kernel: k.
        dropout: share of numbers that are dropped while training.
    """

    def __init__(self, channels: int, outputs: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.enlarge = nn.ConvTranspose2d(channels, outputs, 3, stride=2, padding=1, output_padding=1)
        self.drop = nn.Dropout(dropout)
        self.convolve = nn.Conv2d(outputs, outputs, kernel, padding=1)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, maps: Tensor) -> Tensor:
        """See the class."""
        return F.relu(self.norm(self.convolve(self.drop(self.enlarge(maps)))))


class TransposedHead(nn.Module):
    """Numbers per pixel from the last map; see the module's text.

    Args:
        channels: channels of the feature levels, finest first; those of the last are halved at every step.
        strides: strides of the levels.
        outputs: numbers per pixel.
        dropout: share of numbers that are dropped while training.

    Raises:
        ConfigError: the last level has too few channels to be halved so often, or a number is out of range.
    """

    def __init__(
        self, channels: tuple[int, ...], strides: tuple[int, ...], outputs: int, *, dropout: float = DROPOUT
    ) -> None:
        super().__init__()
        check_whole("The head 'transposed'", {"outputs": outputs, "channels": channels[-1], "stride": strides[-1]})
        self.stride = strides[-1]
        kernels = KERNELS.get(self.stride, (3,) * (self.stride - 1).bit_length())
        widths = [channels[-1] // 2**step for step in range(len(kernels) + 1)]
        if widths[-1] < 1:
            raise ConfigError(
                f"The head 'transposed' was given {channels[-1]} channels at the stride {self.stride}",
                expected=f"at least {2 ** len(kernels)}, because {len(kernels)} steps halve them",
                remedy="choose a wider backbone, or another head such as fcn",
            )
        check_parameters("head 'transposed'", sum(18 * width**2 for width in widths))
        self.shrink = tuple(kernel - 3 for kernel in kernels)
        self.steps = nn.ModuleList(
            Step(widths[place], widths[place + 1], kernel, dropout) for place, kernel in enumerate(kernels)
        )
        self.drop = nn.Dropout(dropout)
        self.output = nn.Conv2d(widths[-1], outputs, 1)

    def forward(self, features: Features) -> Tensor:
        """``(B, outputs, s h, s w)`` for the last map's stride s.

        Raises:
            ContractError: there is no map without dates, or it is smaller than the convolutions need.
        """
        check_maps(features, 1)
        maps = features.maps[-1]
        rows, columns = maps.shape[-2:]
        if min(rows, columns) < self.smallest:
            raise ContractError(
                f"The map has {rows} x {columns} places, and the convolutions of the head 'transposed' cut its border",
                expected=f"at least {self.smallest} x {self.smallest} places of {self.stride} pixels",
                remedy="give larger images, or choose another head such as fcn",
            )
        for step in self.steps:
            maps = step(maps)
        found: Tensor = self.output(self.drop(maps))
        size = (self.stride * rows, self.stride * columns)
        if tuple(found.shape[-2:]) == size:
            return found
        return F.interpolate(found, size=size, mode="bilinear", align_corners=False)

    @property
    def smallest(self) -> int:
        """Fewest places along a side."""
        side = 1
        for shrink in reversed(self.shrink):
            side = -(-(side + shrink) // 2)
        return side
