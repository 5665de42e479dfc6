"""Swin transformers of both versions, for images of any size.

Version 1: Liu et al., "Swin Transformer: hierarchical vision transformer using shifted windows", ICCV 2021.
Version 2: Liu et al., "Swin Transformer V2: scaling up capacity and resolution", CVPR 2022: normalisation after each
branch, cosine attention, continuous positions on a logarithmic scale.
Ours differs: maps that the window does not divide are padded and nobody looks at the padding; a map no larger than a
window along an axis is not shifted along it. At the published sizes nothing is padded and both agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swath.errors import ConfigError
from swath.nn.checks import check_image, check_parameters, check_shares, check_whole, pad_to
from swath.nn.norms import DropPath
from swath.nn.transformer import Mlp, drop_rates, start_weights
from swath.nn.windows import CosineWindowAttention, WindowAttention, cut_windows, join_windows, window_mask
from swath.types import Features


@dataclass(frozen=True)
class SwinSpec:
    """All that fixes the shape of a Swin transformer.

    Args:
        bands: bands of the input.
        width: numbers per token in the first stage; doubled in each later one.
        depths: blocks per stage.
        heads: attention heads per stage.
        window: side of a window in tokens.
        patch: side of a patch in pixels.
        version: 1 or 2.
        mlp_ratio: hidden numbers of a block's second branch, as a multiple of its width.
        drop_path: largest rate of stochastic depth.
        trained_windows: version 2: window of each stage in which positions were trained, () when not another.

    Raises:
        ConfigError: a number is out of range.
    """

    bands: int
    width: int = 96
    depths: tuple[int, ...] = (2, 2, 6, 2)
    heads: tuple[int, ...] = (3, 6, 12, 24)
    window: int = 7
    patch: int = 4
    version: Literal[1, 2] = 1
    mlp_ratio: float = 4.0
    drop_path: float = 0.0
    trained_windows: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ("depths", "heads", "trained_windows"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        check_whole("Swin", {name: getattr(self, name) for name in ("bands", "width", "window", "patch")})
        check_shares("Swin", drop_path=self.drop_path, mlp_ratio=self.mlp_ratio)
        for name in ("depths", "heads", "trained_windows"):
            check_whole("Swin", {f"{name}[{index}]": value for index, value in enumerate(getattr(self, name))})
        counts = {len(self.depths), len(self.heads), len(self.trained_windows) or len(self.depths)}
        if len(counts) > 1 or not self.depths or len(self.depths) > 8:
            raise ConfigError(
                f"Swin: {len(self.depths)} depths, {len(self.heads)} heads, {len(self.trained_windows)} windows",
                expected="one of each per stage, 1 to 8 stages",
                remedy="give lists of one length",
            )
        if self.version not in (1, 2):
            raise ConfigError(f"Swin: 'version' is {str(self.version)[:40]}", expected="1 or 2", remedy="choose one")
        inner = int(4 + 2 * self.mlp_ratio)
        size = sum(inner * depth * channels**2 for depth, channels in zip(self.depths, self.channels, strict=True))
        size += sum(4 * self.window**2 * depth * heads for depth, heads in zip(self.depths, self.heads, strict=True))
        check_parameters("Swin", size + self.bands * self.width * self.patch**2)

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of each stage, finest first."""
        return tuple(self.width * 2**stage for stage in range(len(self.depths)))

    @property
    def strides(self) -> tuple[int, ...]:
        """Stride of each stage in input pixels, finest first."""
        return tuple(self.patch * 2**stage for stage in range(len(self.depths)))


class Swin(nn.Module):
    """Image to a pyramid of feature maps.

    Args:
        spec: sizes and choices.
    """

    def __init__(self, spec: SwinSpec) -> None:
        super().__init__()
        self.spec = spec
        self.channels, self.strides = spec.channels, spec.strides
        self.embed = nn.Conv2d(spec.bands, spec.width, spec.patch, spec.patch)
        self.embed_norm = nn.LayerNorm(spec.width)
        rates = drop_rates(spec.drop_path, sum(spec.depths))
        self.merges = nn.ModuleList(Merge(width, spec.version) for width in spec.channels[:-1])
        self.stages = nn.ModuleList()
        for stage, depth in enumerate(spec.depths):
            before = sum(spec.depths[:stage])
            blocks = [SwinBlock(spec, stage, index % 2 == 1, rates[before + index]) for index in range(depth)]
            self.stages.append(nn.ModuleList(blocks))
        self.norm = nn.LayerNorm(spec.channels[-1])
        start_weights(self)
        if spec.version == 2:
            # At the start every branch adds nothing (version 2, section 3.2: residual post norm).
            for module in self.modules():
                if isinstance(module, SwinBlock):
                    nn.init.zeros_(module.norm1.weight)
                    nn.init.zeros_(module.norm2.weight)

    def forward(self, image: Tensor) -> Features:
        """Feature maps, finest first, and the mean of the last.

        Args:
            image: ``(B, C, H, W)``, any size.

        Returns:
            Maps ``(B, channels[l], H / strides[l], W / strides[l])``, rounded up; the last one is normalised.
            ``cls`` ``(B, channels[-1])``.

        Raises:
            ContractError: the image does not fit.
        """
        check_image("The Swin", image, self.spec.bands)
        grid = self.embed_norm(self.embed(pad_to(image, self.spec.patch)).movedim(1, -1))
        maps: list[Tensor] = []
        for index, stage in enumerate(self.stages):
            if index:
                grid = self.merges[index - 1](grid)
            for block in stage:  # type: ignore[attr-defined]
                grid = block(grid)
            maps.append(grid if index + 1 < len(self.stages) else self.norm(grid))
        cls = maps[-1].mean((1, 2))
        return Features(tuple(part.movedim(-1, 1) for part in maps), self.strides, cls=cls)

    def layer_names(self) -> list[tuple[str, ...]]:
        """Names of parts from input to output, for partial freezing and learning rates by depth."""
        names: list[tuple[str, ...]] = [("embed", "embed_norm")]
        for stage, depth in enumerate(self.spec.depths):
            for index in range(depth):
                merge = (f"merges.{stage - 1}",) if stage and index == 0 else ()
                names.append((*merge, f"stages.{stage}.{index}"))
        return [*names, ("norm",)]


class SwinBlock(nn.Module):
    """Attention in windows, then a small network on each token; every second block shifts its windows by half.

    Args:
        spec: sizes and choices of the whole network.
        stage: number of the stage.
        shifted: whether the windows are shifted.
        drop_path: share of samples whose branches are dropped while training.
    """

    def __init__(self, spec: SwinSpec, stage: int, shifted: bool, drop_path: float) -> None:
        super().__init__()
        width, heads = spec.channels[stage], spec.heads[stage]
        self.window, self.shifted, self.post = spec.window, shifted, spec.version == 2
        trained = spec.trained_windows[stage] if spec.trained_windows else None
        self.attention = (
            CosineWindowAttention(width, heads, spec.window, trained)
            if self.post
            else WindowAttention(width, heads, spec.window)
        )
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mlp = Mlp(width, int(width * spec.mlp_ratio))
        self.drop = DropPath(drop_path)

    def forward(self, grid: Tensor) -> Tensor:
        """``(B, h, w, C)`` to the same shape."""
        if self.post:
            grid = grid + self.drop(self.norm1(self.mix(grid)))
            return grid + self.drop(self.norm2(self.mlp(grid)))
        grid = grid + self.drop(self.mix(self.norm1(grid)))
        return grid + self.drop(self.mlp(self.norm2(grid)))

    def mix(self, grid: Tensor) -> Tensor:
        """Attention in windows of ``(B, h, w, C)``, shifted where the map is larger than a window."""
        rows, columns = grid.shape[1:3]
        below, beside = -rows % self.window, -columns % self.window
        full = F.pad(grid, (0, 0, 0, beside, 0, below)) if below or beside else grid
        padded = (rows + below, columns + beside)
        step = self.window // 2 if self.shifted else 0
        shift = (step if rows > self.window else 0, step if columns > self.window else 0)
        if any(shift):
            full = full.roll((-shift[0], -shift[1]), (1, 2))
        mask = window_mask((rows, columns), padded, self.window, shift)
        mask = None if mask is None else mask.to(grid.device)
        mixed = join_windows(self.attention(cut_windows(full, self.window), mask), self.window, *padded)
        if any(shift):
            mixed = mixed.roll(shift, (1, 2))
        return mixed[:, :rows, :columns]


class Merge(nn.Module):
    """Four neighbouring tokens to one of twice the width; version 1 normalises before, version 2 after the linear map.

    An odd map is padded by zeros at its lower and right edge, as published.
    """

    def __init__(self, width: int, version: int) -> None:
        super().__init__()
        self.before = version == 1
        self.norm = nn.LayerNorm(4 * width if self.before else 2 * width)
        self.reduce = nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, grid: Tensor) -> Tensor:
        """``(B, h, w, C)`` to ``(B, h / 2, w / 2, 2 C)``, rounded up."""
        rows, columns = grid.shape[1:3]
        if rows % 2 or columns % 2:
            grid = F.pad(grid, (0, 0, 0, columns % 2, 0, rows % 2))
        corners = [grid[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        joined = torch.cat(corners, dim=-1)
        return self.reduce(self.norm(joined)) if self.before else self.norm(self.reduce(joined))
