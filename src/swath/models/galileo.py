"""Galileo, a multi-modal patch encoder (arXiv 2502.09356): the network.

A square of pixels over 1 to 24 monthly steps of Sentinel-1 and -2, with maps, weather series and what holds for the
whole place, becomes one token per patch, step and group of bands. Patches have 1 to 8 pixels a side, by resizing the
stored kernels (as FlexiViT, arXiv 2212.08013, does). Written from a description of the published network. Missing
tokens are masked as keys, and left out where no sample has them; the original moves them to the end, which gives the
same numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swath.models._parts import EPS, HEADS, waves
from swath.nn.transformer import Block

WIDTH = 128
DEPTH = 4
STEPS = 24
LARGEST_PATCH = 8
_PART = 32
"""The encodings of channel, step, month and place take a quarter of the width each, in this order."""

Groups = Mapping[str, tuple[int, ...]]
SPACE_TIME: Groups = {
    "S1": (0, 1),
    "S2_RGB": (2, 3, 4),
    "S2_Red_Edge": (5, 6, 7),
    "S2_NIR_10m": (8,),
    "S2_NIR_20m": (9,),
    "S2_SWIR": (10, 11),
    "NDVI": (12,),
}
SPACE: Groups = {"SRTM": (0, 1), "DW": tuple(range(2, 11)), "WC": tuple(range(11, 16))}
TIME: Groups = {"ERA5": (0, 1), "TC": (2, 3, 4), "VIIRS": (5,)}
STATIC: Groups = {
    "LS": (0,),
    "location": (1, 2, 3),
    "DW_static": tuple(range(4, 13)),
    "WC_static": tuple(range(13, 18)),
}
RED, NEAR_INFRARED, NDVI = 4, 8, 12


@dataclass(frozen=True, eq=False)
class Square:
    """B squares as the network takes them, normalised; masks per patch and group are True where seen.

    Args:
        space_time: ``(B, H, W, T, 13)``.
        space: ``(B, H, W, 16)``.
        time: ``(B, T, 6)``.
        static: ``(B, 18)``.
        space_time_seen: ``(B, h, w, T, 7)``, h = H / patch.
        space_seen: ``(B, h, w, 3)``.
        time_seen: ``(B, T, 3)``.
        static_seen: ``(B, 4)``.
        months: int64 ``(B, T)``, 0 to 11.
    """

    space_time: Tensor
    space: Tensor
    time: Tensor
    static: Tensor
    space_time_seen: Tensor
    space_seen: Tensor
    time_seen: Tensor
    static_seen: Tensor
    months: Tensor

    @property
    def seen(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The four masks."""
        return self.space_time_seen, self.space_seen, self.time_seen, self.static_seen


@dataclass(frozen=True, eq=False)
class SquareTokens:
    """Tokens of the four families and which of them were seen.

    Args:
        space_time: ``(B, h, w, T, 7, 128)``.
        space: ``(B, h, w, 3, 128)``.
        time: ``(B, T, 3, 128)``.
        static: ``(B, 4, 128)``.
        seen: the four masks, as ``Square.seen``.
    """

    space_time: Tensor
    space: Tensor
    time: Tensor
    static: Tensor
    seen: tuple[Tensor, Tensor, Tensor, Tensor]

    def pooled(self) -> Tensor:
        """The mean of all seen tokens, ``(B, 128)``; 0 where none was seen."""
        families = (self.space_time, self.space, self.time, self.static)
        total = sum(_sum(tokens, seen, 1) for tokens, seen in zip(families, self.seen, strict=True))
        count = sum(seen.flatten(1).sum(dim=1) for seen in self.seen)
        return torch.as_tensor(total) / torch.as_tensor(count).clamp(min=1)[:, None]

    def per_patch(self) -> Tensor:
        """For each patch the mean of its seen tokens and all of time and static, ``(B, 128, h, w)``; 0 without any."""
        s_t, sp, t, st = self.seen
        total = _sum(self.space_time, s_t, 3) + _sum(self.space, sp, 3)
        common = _sum(self.time, t, 1) + _sum(self.static, st, 1)
        count = s_t.flatten(3).sum(dim=3) + sp.sum(dim=3)
        common_count = t.flatten(1).sum(dim=1) + st.sum(dim=1)
        mean = (total + common[:, None, None]) / (count + common_count[:, None, None]).clamp(min=1)[..., None]
        return mean.permute(0, 3, 1, 2)


class PatchProjection(nn.Module):
    """Pixels of a patch to one token, with a kernel stored for 8 x 8 pixels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, WIDTH, LARGEST_PATCH, stride=LARGEST_PATCH)

    def forward(self, images: Tensor, patch: int) -> Tensor:
        """``(N, C, H, W)`` to ``(N, 128, H / patch, W / patch)``."""
        return F.conv2d(images, self.kernel(patch), self.proj.bias, stride=patch)

    def kernel(self, patch: int) -> Tensor:
        """``(128, C, patch, patch)``: what gives the resized image the token of the original one, as nearly as can be.

        With R the matrix that resizes 8 x 8 pixels to patch x patch ones, the kernel w becomes ``pinv(R) w``.
        """
        weight = self.proj.weight
        if patch == LARGEST_PATCH:
            return weight
        resized = weight.flatten(2) @ _shrinking(patch).to(weight).T
        return resized.unflatten(2, (patch, patch))


class GalileoEncoder(nn.Module):
    """The encoder as published, size nano."""

    def __init__(self) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(torch.zeros(STEPS, _PART), requires_grad=False)
        self.month_embed = nn.Embedding(12, _PART)
        self.month_embed.weight.requires_grad_(False)
        self.s_t_channel_embed = nn.Parameter(torch.zeros(len(SPACE_TIME), _PART))
        self.sp_channel_embed = nn.Parameter(torch.zeros(len(SPACE), _PART))
        self.t_channel_embed = nn.Parameter(torch.zeros(len(TIME), _PART))
        self.st_channel_embed = nn.Parameter(torch.zeros(len(STATIC), _PART))
        self.space_time_embed = nn.ModuleDict({name: PatchProjection(len(part)) for name, part in SPACE_TIME.items()})
        self.space_embed = nn.ModuleDict({name: PatchProjection(len(part)) for name, part in SPACE.items()})
        self.time_embed = nn.ModuleDict({name: nn.Linear(len(part), WIDTH) for name, part in TIME.items()})
        self.static_embed = nn.ModuleDict({name: nn.Linear(len(part), WIDTH) for name, part in STATIC.items()})
        self.blocks = nn.ModuleList(Block(WIDTH, HEADS, epsilon=EPS) for _ in range(DEPTH))
        self.norm = nn.LayerNorm(WIDTH, eps=EPS)

    def forward(
        self,
        square: Square,
        patch: int,
        resolution_m: float = 10.0,
        *,
        blocks: int = DEPTH,
        final_norm: bool = True,
    ) -> SquareTokens:
        """Tokens after ``blocks`` blocks.

        Args:
            square: normalised inputs; height and width are equal multiples of ``patch``.
            patch: pixels along one side of a patch, 1 to 8.
            resolution_m: size of a pixel in metres.
            blocks: how many of the blocks are applied; with 0 the projections come without encodings.
            final_norm: whether the layer norm follows; missing tokens then hold its bias, otherwise 0.
        """
        parts = self._projected(square, patch)
        if blocks:
            parts = self._with_encodings(parts, square.months, patch * resolution_m / 10.0)
        tokens = torch.cat([part.flatten(1, -2) for part in parts], dim=1)
        seen = torch.cat([mask.flatten(1) for mask in square.seen], dim=1)
        tokens = self._transformed(tokens, seen, blocks)
        if final_norm:
            tokens = self.norm(tokens)
        sizes = [part[0, ..., 0].numel() for part in parts]
        split = [piece.reshape(part.shape) for piece, part in zip(tokens.split(sizes, dim=1), parts, strict=True)]
        return SquareTokens(split[0], split[1], split[2], split[3], square.seen)

    def _transformed(self, tokens: Tensor, seen: Tensor, blocks: int) -> Tensor:
        """The seen tokens after the blocks, 0 for the others."""
        kept = seen.any(dim=0)
        inner, mask = tokens[:, kept], seen[:, kept]
        out = torch.zeros_like(tokens)
        if not inner.shape[1]:
            return out
        for block in self.blocks[:blocks]:
            inner = block(inner, None if bool(mask.all()) else mask)
        out[:, kept] = torch.where(mask[..., None], inner, 0.0)
        return out

    def _projected(self, square: Square, patch: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Tokens without encodings; groups that no sample sees are 0."""
        batch, height, width, steps, _ = square.space_time.shape
        rows, columns = height // patch, width // patch
        images = square.space_time.permute(0, 3, 4, 1, 2).flatten(0, 1)
        space_time = images.new_zeros(batch, rows, columns, steps, len(SPACE_TIME), WIDTH)
        for place, (name, part) in enumerate(SPACE_TIME.items()):
            if bool(square.space_time_seen[..., place].any()):
                made = self.space_time_embed[name](images[:, list(part)], patch)
                space_time[..., place, :] = made.unflatten(0, (batch, steps)).permute(0, 3, 4, 1, 2)
        maps = square.space.permute(0, 3, 1, 2)
        space = maps.new_zeros(batch, rows, columns, len(SPACE), WIDTH)
        for place, (name, part) in enumerate(SPACE.items()):
            if bool(square.space_seen[..., place].any()):
                space[..., place, :] = self.space_embed[name](maps[:, list(part)], patch).permute(0, 2, 3, 1)
        time = [self.time_embed[name](square.time[..., list(part)]) for name, part in TIME.items()]
        static = [self.static_embed[name](square.static[..., list(part)]) for name, part in STATIC.items()]
        return space_time, space, torch.stack(time, dim=-2), torch.stack(static, dim=-2)

    def _with_encodings(
        self, parts: tuple[Tensor, Tensor, Tensor, Tensor], months: Tensor, scale: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Channel | step | month | place, each a quarter of the width, added where a family has them.

        Args:
            parts: tokens of the four families.
            months: ``(B, T)``.
            scale: ground size of a patch in units of 10 m.
        """
        space_time, space, time, static = (part.clone() for part in parts)
        rows, columns, steps = space_time.shape[1:4]
        channel, step, month, place = (slice(start, start + _PART) for start in range(0, WIDTH, _PART))
        where = place_table(rows, columns, scale, months.device)
        in_year = self.month_embed(months)
        space_time[..., channel] += self.s_t_channel_embed
        space_time[..., step] += self.pos_embed[:steps, None]
        space_time[..., month] += in_year[:, None, None, :, None]
        space_time[..., place] += where[:, :, None, None]
        space[..., channel] += self.sp_channel_embed
        space[..., place] += where[:, :, None]
        time[..., channel] += self.t_channel_embed
        time[..., step] += self.pos_embed[:steps, None]
        time[..., month] += in_year[:, :, None]
        static[..., channel] += self.st_channel_embed
        return space_time, space, time, static


def place_table(rows: int, columns: int, scale: float, device: torch.device) -> Tensor:
    """``(rows, columns, 32)``: 16 numbers for the column, then 16 for the row, each 8 sines and 8 cosines.

    Args:
        rows: patches down.
        columns: patches across.
        scale: ground size of a patch in units of 10 m.
        device: where to make it.
    """
    down = waves(torch.arange(rows, device=device) * scale, 8, 10_000.0, 32.0)
    across = waves(torch.arange(columns, device=device) * scale, 8, 10_000.0, 32.0)
    return torch.cat([across[None].expand(rows, -1, -1), down[:, None].expand(-1, columns, -1)], dim=-1)


def step_table() -> Tensor:
    """``(24, 32)``: 16 sines, then 16 cosines of ``step * 10000^(-i / 64)``, as published."""
    return waves(torch.arange(STEPS), 16, 10_000.0, 64.0)


@lru_cache(maxsize=LARGEST_PATCH)
def _shrinking(patch: int) -> Tensor:
    """The pseudo-inverse ``(patch², 64)`` of the matrix whose row j is the j-th unit image of 8 x 8 pixels resized."""
    with torch.inference_mode(False), torch.no_grad():  # kept for later calls, which may train
        unit = torch.eye(LARGEST_PATCH**2).reshape(-1, 1, LARGEST_PATCH, LARGEST_PATCH)
        small = F.interpolate(unit, size=(patch, patch), mode="bicubic", antialias=True, align_corners=False)
        return torch.linalg.pinv(small.flatten(1).double()).float()


def _sum(tokens: Tensor, seen: Tensor, axes: int) -> Tensor:
    """The sum of seen tokens over all axes but the first ``axes`` and the last."""
    return torch.where(seen[..., None], tokens, 0.0).flatten(axes, -2).sum(dim=axes)
