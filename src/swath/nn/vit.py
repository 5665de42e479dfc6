"""Vision transformers for images, series of images and groups of bands.

Dosovitskiy et al., "An image is worth 16x16 words", ICLR 2021. Three ways to cut an input into tokens share one trunk:
``image`` (a token per patch), ``tubelet`` (a token per patch and few dates, as in Tong et al., "VideoMAE", 2022) and
``groups`` (a token per patch and group of bands, as in Cong et al., "SatMAE", 2022).
Ours differs in four ways. Any image size goes in: the border is repeated to whole patches and positions are resized.
Tokens can be missing: no other token looks at them. In tubelets and groups the position is the sum of a place in the
image and a place in the stack (date or group). Every tapped layer passes the last normalisation, so that levels are of
one scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swath.errors import ConfigError, ContractError
from swath.nn.checks import check_image, check_parameters, check_shares, check_whole, pad_to
from swath.nn.positions import resize_grid, resize_line, sine_cosine_2d, sine_cosine_3d
from swath.nn.transformer import Block, drop_rates, masked_mean, start_normal, start_weights
from swath.types import Features

Positions = Literal["learned", "fixed"]
Groups = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class ViTSpec:
    """All that fixes the shape of a vision transformer.

    Args:
        bands: bands of the input.
        image: side in pixels for which learned positions are laid out; other sizes resize them.
        patch: side of a patch in pixels.
        width: numbers D per token.
        depth: number of blocks.
        heads: attention heads per block.
        mlp_ratio: hidden numbers of a block's second branch, as a multiple of D.
        positions: ``learned`` or ``fixed`` (sine and cosine).
        dates: None for single images; else the number of dates for which positions are laid out.
        tubelet: dates per token, with ``dates``.
        groups: numbers of the bands in each group, or () for all bands in one token; not with ``dates``.
        class_token: whether a token without a place gathers the image.
        taps: blocks, counted from 0, whose outputs become feature maps; () for the last.
        drop_path: largest rate of stochastic depth.
        layer_scale: initial factor of the residual branches, or None.
        epsilon: added to the variance in normalisations.

    Raises:
        ConfigError: a number is out of range or options exclude each other.
    """

    bands: int
    image: int = 224
    patch: int = 16
    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp_ratio: float = 4.0
    positions: Positions = "learned"
    dates: int | None = None
    tubelet: int = 1
    groups: Groups = ()
    class_token: bool = True
    taps: tuple[int, ...] = ()
    drop_path: float = 0.0
    layer_scale: float | None = None
    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        sizes = ("bands", "image", "patch", "width", "depth", "heads", "tubelet")
        check_whole("ViT", {name: getattr(self, name) for name in sizes})
        check_shares("ViT", drop_path=self.drop_path, mlp_ratio=self.mlp_ratio)
        # A checkpoint stores lists where the constructor was given tuples.
        object.__setattr__(self, "groups", tuple(tuple(group) for group in self.groups))
        object.__setattr__(self, "taps", tuple(self.taps) or (self.depth - 1,))
        if self.dates is not None:
            check_whole("ViT", {"dates": self.dates})
        elif self.tubelet > 1:
            raise ConfigError(
                f"ViT: 'tubelet' is {self.tubelet} without 'dates'",
                expected="dates per token of a series",
                remedy="give 'dates', or leave 'tubelet' out",
            )
        if self.positions not in ("learned", "fixed"):
            raise ConfigError(f"ViT: 'positions' is {self.positions!r}", expected="learned or fixed", remedy="choose")
        if list(self.taps) != sorted(set(self.taps)) or not all(0 <= tap < self.depth for tap in self.taps):
            raise ConfigError(
                f"ViT: 'taps' is {self.taps}",
                expected=f"different blocks from 0 to {self.depth - 1} in rising order",
                remedy="list the blocks whose outputs you want, such as (2, 5, 8, 11)",
            )
        self._check_groups()
        places = self.bands * self.patch**2 * self.tubelet + self.grid**2 + self.layers
        check_parameters("ViT", self.width * (places + self.depth * self.width * int(4 + 2 * self.mlp_ratio)))

    def _check_groups(self) -> None:
        named = [band for group in self.groups for band in group]
        if self.groups and self.dates is not None:
            raise ConfigError(
                "ViT: both 'dates' and 'groups' are given", expected="one of them", remedy="group bands of one date"
            )
        if self.groups and (not all(self.groups) or not all(0 <= band < self.bands for band in named)):
            raise ConfigError(
                f"ViT: 'groups' is {self.groups}",
                expected=f"groups of band numbers from 0 to {self.bands - 1}, none empty",
                remedy="list the bands of each group, such as ((0, 1, 2), (3, 4))",
            )

    @property
    def grid(self) -> int:
        """Tokens along one side of the image for which positions are laid out."""
        return -(-self.image // self.patch)

    @property
    def layers(self) -> int:
        """Places in the stack for which positions are laid out: 1, dates / tubelet, or groups."""
        if self.dates is not None:
            return -(-self.dates // self.tubelet)
        return len(self.groups) or 1

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of each feature map."""
        return (self.width,) * len(self.taps)

    @property
    def strides(self) -> tuple[int, ...]:
        """Stride of each feature map in input pixels."""
        return (self.patch,) * len(self.taps)


class ViT(nn.Module):
    """Image to features; see the module's text.

    Args:
        spec: sizes and choices.
    """

    position_table: Tensor

    def __init__(self, spec: ViTSpec) -> None:
        super().__init__()
        self.spec = spec
        self.channels, self.strides = spec.channels, spec.strides
        self.embed = _Embed(spec)
        prefix = int(spec.class_token)
        self.class_token = nn.Parameter(torch.zeros(1, 1, spec.width)) if prefix else None
        learned = spec.positions == "learned"
        # The class token has a place of its own in the learned table, as in the published weights.
        self.positions = nn.Parameter(torch.zeros(1, prefix + spec.grid**2, spec.width)) if learned else None
        stacked = (learned and spec.layers > 1) or bool(spec.groups)
        self.stack_positions = nn.Parameter(torch.zeros(1, spec.layers, spec.width)) if stacked else None
        self.blocks = nn.ModuleList(
            Block(
                spec.width,
                spec.heads,
                mlp_ratio=spec.mlp_ratio,
                drop_path=rate,
                layer_scale=spec.layer_scale,
                epsilon=spec.epsilon,
            )
            for rate in drop_rates(spec.drop_path, spec.depth)
        )
        self.norm = nn.LayerNorm(spec.width, eps=spec.epsilon)
        start_weights(self)
        for table in (self.class_token, self.positions, self.stack_positions):
            if table is not None:
                start_normal(table)

    def forward(self, image: Tensor, present: Tensor | None = None) -> Features:
        """Features of an image of any size.

        Args:
            image: ``(B, C, H, W)``, or ``(B, T, C, H, W)`` when the spec has ``dates``. Finite everywhere.
            present: bool, True where a token may be used: ``(B, h, w)`` or, with dates or groups, ``(B, L, h, w)``
                with L dates / tubelet or groups; None for all. ``token_mask`` makes it from valid pixels.

        Returns:
            One map ``(B, D, h, w)`` of stride ``patch`` per tap (with dates ``(B, L, D, h, w)``; with groups the mean
            over the groups present), with h and w the number of patches, rounded up; 0 where no token is present.
            ``tokens`` ``(B, L h w, D)``; ``cls`` ``(B, D)``: the class token, else the mean of the tokens present.

        Raises:
            ContractError: the image or the mask does not fit.
        """
        check_image("The ViT", image, self.spec.bands, dates=self.spec.dates is not None)
        grid = self.embed(image)
        layers, rows, columns = grid.shape[1:4]
        seen = tokens_seen(present, grid)
        if seen is not None:
            grid = torch.where(seen[..., None], grid, 0.0)
        tokens = (grid + self._places(layers, rows, columns)).flatten(1, 3)
        usable = seen.flatten(1) if seen is not None else None
        full, mask = self._with_class(tokens, usable)
        outputs: list[Tensor] = []
        for index, block in enumerate(self.blocks):
            full = block(full, mask)
            if index in self.spec.taps:
                outputs.append(self.norm(full))
        last = outputs[-1] if self.spec.taps[-1] == self.spec.depth - 1 else self.norm(full)
        prefix = int(self.spec.class_token)
        maps = tuple(self._map(output[:, prefix:], seen, grid.shape) for output in outputs)
        cls = last[:, 0] if prefix else masked_mean(last, usable)
        return Features(maps, self.strides, tokens=last[:, prefix:], cls=cls)

    def layer_names(self) -> list[tuple[str, ...]]:
        """Names of parts from input to output, for partial freezing and learning rates by depth."""
        first = ("embed", "class_token", "positions", "stack_positions")
        return [first, *((f"blocks.{index}",) for index in range(len(self.blocks))), ("norm",)]

    def _with_class(self, tokens: Tensor, usable: Tensor | None) -> tuple[Tensor, Tensor | None]:
        if self.class_token is None:
            return tokens, usable
        first = self.class_token if self.positions is None else self.class_token + self.positions[:, :1]
        full = torch.cat([first.expand(tokens.shape[0], -1, -1), tokens], dim=1)
        return full, None if usable is None else F.pad(usable, (1, 0), value=True)

    def _places(self, layers: int, rows: int, columns: int) -> Tensor:
        """Positions ``(1, L, h, w, D)``."""
        spec = self.spec
        device = self.norm.weight.device
        if self.positions is None:
            if spec.dates is not None:
                return sine_cosine_3d(layers, rows, columns, spec.width).to(device)[None]
            place = sine_cosine_2d(rows, columns, spec.width).to(device)[None, None]
        else:
            table = self.positions[0, int(spec.class_token) :].reshape(spec.grid, spec.grid, -1)
            place = resize_grid(table, rows, columns)[None, None]
        if self.stack_positions is None:
            return place
        return place + resize_line(self.stack_positions[0], layers)[None, :, None, None]

    def _map(self, tokens: Tensor, seen: Tensor | None, shape: torch.Size) -> Tensor:
        grid = tokens.reshape(shape).movedim(-1, 2)
        if seen is not None:
            grid = torch.where(seen[:, :, None], grid, 0.0)
        if self.spec.dates is not None:
            return grid
        if seen is None:
            return grid.mean(1)
        return grid.sum(1) / seen.sum(1).clamp_min(1)[:, None]


class _Embed(nn.Module):
    """Image to tokens ``(B, L, h, w, D)``, one linear map per group of bands."""

    def __init__(self, spec: ViTSpec) -> None:
        super().__init__()
        self.spec = spec
        step = spec.tubelet if spec.dates is not None else 1
        kernel = (step, spec.patch, spec.patch)
        groups = spec.groups or (tuple(range(spec.bands)),)
        if spec.dates is None:
            parts: list[nn.Module] = [nn.Conv2d(len(group), spec.width, spec.patch, spec.patch) for group in groups]
        else:
            parts = [nn.Conv3d(spec.bands, spec.width, kernel, kernel)]
        self.project = nn.ModuleList(parts)
        for part in parts:
            # As a linear layer of the flattened patch.
            nn.init.xavier_uniform_(part.weight.view(spec.width, -1))  # type: ignore[operator]
            nn.init.zeros_(part.bias)  # type: ignore[arg-type]

    def forward(self, image: Tensor) -> Tensor:
        spec = self.spec
        if spec.dates is None:
            padded = pad_to(image, spec.patch)
            if not spec.groups:
                return self.project[0](padded)[:, None].movedim(2, -1)
            tokens = [part(padded[:, list(group)]) for part, group in zip(self.project, spec.groups, strict=True)]
            return torch.stack(tokens, dim=1).movedim(2, -1)
        batch, dates = image.shape[:2]
        padded = pad_to(image.flatten(0, 1), spec.patch).unflatten(0, (batch, dates))
        missing = -dates % spec.tubelet
        if missing:
            padded = torch.cat([padded, padded[:, -1:].expand(-1, missing, -1, -1, -1)], dim=1)
        return self.project[0](padded.movedim(1, 2)).movedim(1, -1)


def token_mask(valid: Tensor, patch: int, *, tubelet: int = 1) -> Tensor:
    """Tokens with at least one valid pixel.

    Args:
        valid: bool ``(B, H, W)``, or ``(B, L, H, W)`` with dates or groups.
        patch: side of a patch in pixels.
        tubelet: dates per token.

    Returns:
        bool ``(B, h, w)`` or ``(B, L / tubelet, h, w)``, rounded up, for ``ViT.forward``.
    """
    stack = valid[:, None] if valid.ndim == 3 else valid
    batch, layers, rows, columns = stack.shape
    padded = F.pad(stack, (0, -columns % patch, 0, -rows % patch, 0, -layers % tubelet))
    split = padded.reshape(batch, padded.shape[1] // tubelet, tubelet, padded.shape[2] // patch, patch, -1, patch)
    tokens = split.any(6).any(4).any(2)
    return tokens[:, 0] if valid.ndim == 3 else tokens


def tokens_seen(present: Tensor | None, grid: Tensor) -> Tensor | None:
    """The mask of tokens in the shape of the grid.

    Args:
        present: bool ``(B, L, h, w)``, or ``(B, h, w)`` for all L layers (tubelets or groups) alike; None for all.
        grid: tokens ``(B, L, h, w, D)``.

    Raises:
        ContractError: the shapes do not agree.
    """
    if present is None:
        return None
    mask = present[:, None] if present.ndim == 3 else present
    try:
        return mask.expand(grid.shape[:4])
    except RuntimeError as error:
        raise ContractError(
            f"The mask of tokens has shape {tuple(present.shape)}",
            expected=f"one bool per token: (sample, stack, y, x) = {tuple(grid.shape[:4])}",
            remedy="make it with token_mask from the valid pixels, with the same patch size and tubelet",
        ) from error
