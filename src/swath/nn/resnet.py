"""Residual networks for any number of bands.

He et al., "Deep residual learning for image recognition", CVPR 2016; in the bottleneck the middle convolution strides,
as in all later published weights. Ours differs: group normalisation by default (Wu and He, ECCV 2018), so that samples
do not depend on each other; a width factor; a finer stem for small chips; and output strides of 8 and 16 by dilation
(Chen et al., "Rethinking atrous convolution", 2017) for dense prediction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from swath.errors import ConfigError
from swath.nn.checks import check_image, check_parameters, check_whole
from swath.nn.norms import Norm, make_norm
from swath.types import Features

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
"""Published depth -> residual blocks per stage."""
OutputStride = Literal[8, 16, 32]
StemStride = Literal[1, 2, 4]


@dataclass(frozen=True)
class ResNetSpec:
    """All that fixes the shape of a residual network.

    Args:
        bands: bands of the input.
        depth: 18, 34 or 50.
        width: channels of the first stage before expansion; 64 as published.
        output_stride: stride of the last map with the published stem: 32, or 16 or 8 by dilation.
        stem_stride: 4 as published (7 x 7 convolution and pooling), 2 without the pooling, 1 with a 3 x 3 convolution.
        norm: kind of normalisation; published weights need ``batch``.

    Raises:
        ConfigError: a number is out of range.
    """

    bands: int
    depth: int = 18
    width: int = 64
    output_stride: OutputStride = 32
    stem_stride: StemStride = 4
    norm: Norm = "group"

    def __post_init__(self) -> None:
        check_whole("ResNet", {"bands": self.bands, "width": self.width})
        for name, options in {"depth": (18, 34, 50), "output_stride": (8, 16, 32), "stem_stride": (1, 2, 4)}.items():
            value = getattr(self, name)
            if value not in options:
                raise ConfigError(
                    f"ResNet: '{name}' is {str(value)[:40]}",
                    expected=f"one of {', '.join(map(str, options))}",
                    remedy=f"change '{name}'",
                )

        blocks = sum(number * 18 * 4**stage for stage, number in enumerate(BLOCKS[self.depth]))
        check_parameters("ResNet", self.width * (49 * self.bands + blocks * self.width))

    @property
    def expansion(self) -> int:
        """Channels of a block's output as a multiple of its inner channels."""
        return 4 if self.depth >= 50 else 1

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of each stage, finest first."""
        return tuple(self.width * 2**stage * self.expansion for stage in range(4))

    @property
    def steps(self) -> tuple[tuple[int, int], ...]:
        """Stride and dilation of each stage; beyond the output stride a stage dilates instead of striding."""
        pairs, reached, dilation = [(1, 1)], 4, 1
        for _ in range(3):
            if reached < self.output_stride:
                reached *= 2
                pairs.append((2, dilation))
            else:
                dilation *= 2
                pairs.append((1, dilation))
        return tuple(pairs)

    @property
    def strides(self) -> tuple[int, ...]:
        """Stride of each stage in input pixels, finest first."""
        strides: list[int] = [self.stem_stride]
        for stride, _ in self.steps[1:]:
            strides.append(strides[-1] * stride)
        return tuple(strides)


class ResNet(nn.Module):
    """Image to a pyramid of four feature maps.

    Args:
        spec: sizes and choices.
    """

    def __init__(self, spec: ResNetSpec) -> None:
        super().__init__()
        self.spec = spec
        self.channels, self.strides = spec.channels, spec.strides
        kernel = 3 if spec.stem_stride == 1 else 7
        self.stem = nn.Conv2d(spec.bands, spec.width, kernel, min(spec.stem_stride, 2), padding=kernel // 2, bias=False)
        self.stem_norm = make_norm(spec.width, spec.norm)
        self.pool = nn.MaxPool2d(3, 2, padding=1) if spec.stem_stride == 4 else nn.Identity()
        stages, inputs = [], spec.width
        for stage, (stride, dilation) in enumerate(spec.steps):
            # The first block of a dilated stage still sees the finer grid of the stage before it.
            first = spec.steps[stage - 1][1] if stage and stride == 1 else 1
            blocks: list[nn.Module] = []
            for index in range(BLOCKS[spec.depth][stage]):
                inner = spec.width * 2**stage
                step = (stride, first, dilation) if index == 0 else (1, dilation, dilation)
                blocks.append(ResidualBlock(inputs, inner, spec.expansion, step, spec.norm))
                inputs = inner * spec.expansion
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, image: Tensor) -> Features:
        """Feature maps, finest first, and their last one's mean.

        Args:
            image: ``(B, C, H, W)``, any size.

        Returns:
            Maps ``(B, channels[l], H / strides[l], W / strides[l])``, rounded up; ``cls`` ``(B, channels[-1])``.

        Raises:
            ContractError: the image does not fit.
        """
        check_image("The ResNet", image, self.spec.bands)
        current = self.pool(F.relu(self.stem_norm(self.stem(image))))
        maps: list[Tensor] = []
        for stage in self.stages:
            current = stage(current)
            maps.append(current)
        return Features(tuple(maps), self.strides, cls=current.mean((2, 3)))

    def layer_names(self) -> list[tuple[str, ...]]:
        """Names of parts from input to output, for partial freezing and learning rates by depth."""
        blocks = [
            (f"stages.{stage}.{index}",)
            for stage, number in enumerate(BLOCKS[self.spec.depth])
            for index in range(number)
        ]
        return [("stem", "stem_norm"), *blocks]


class ResidualBlock(nn.Module):
    """``relu(x + f(x))``: two 3 x 3 convolutions, or 1 x 1, 3 x 3, 1 x 1 where the output is expanded.

    Args:
        inputs: channels that come in.
        inner: channels of the 3 x 3 convolutions.
        expansion: output channels as a multiple of ``inner``; above 1 makes the bottleneck.
        step: stride and dilation of the first 3 x 3 convolution, and dilation of the second.
        norm: kind of normalisation.
    """

    def __init__(self, inputs: int, inner: int, expansion: int, step: tuple[int, int, int], norm: Norm) -> None:
        super().__init__()
        stride, dilation, later = step
        self.channels = outputs = inner * expansion
        sizes = (
            [(inputs, inner, 1, 1, 1), (inner, inner, 3, stride, dilation), (inner, outputs, 1, 1, 1)]
            if expansion > 1
            else [(inputs, inner, 3, stride, dilation), (inner, inner, 3, 1, later)]
        )
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, kernel, strided, padding=dilated * (kernel // 2), dilation=dilated, bias=False)
            for before, after, kernel, strided, dilated in sizes
        )
        self.norms = nn.ModuleList(make_norm(after, norm) for _, after, _, _, _ in sizes)
        self.shortcut = (
            nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), make_norm(outputs, norm))
            if stride != 1 or inputs != outputs
            else nn.Identity()
        )

    def forward(self, maps: Tensor) -> Tensor:
        """``(B, inputs, H, W)`` to ``(B, inner * expansion, H / stride, W / stride)``, rounded up."""
        branch = maps
        for index, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            branch = norm(convolution(branch if index == 0 else F.relu(branch)))
        return F.relu(branch + self.shortcut(maps))
