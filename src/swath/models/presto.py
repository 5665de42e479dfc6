"""Presto, a masked autoencoder of pixel time series (arXiv 2304.14065): the network.

One pixel with 1 to 24 monthly steps of Sentinel-1 and -2, weather, terrain and land cover, any part of which may be
missing, becomes one vector of 128 numbers. Written from a description of the published network. It differs in form
only: where the original moves seen tokens to the front and cuts the rest off, tokens that no sample of a batch sees are
left out here and others are masked as keys, which gives the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from swath.models._parts import EPS, HEADS, unit_vectors
from swath.nn.transformer import Block

WIDTH = 128
DEPTH = 2
STEPS = 24
"""Rows of the table of positions."""
GROUPS: dict[str, tuple[int, ...]] = {
    "S1": (0, 1),
    "S2_RGB": (2, 3, 4),
    "S2_Red_Edge": (5, 6, 7),
    "S2_NIR_10m": (8,),
    "S2_NIR_20m": (9,),
    "S2_SWIR": (10, 11),
    "ERA5": (12, 13),
    "SRTM": (14, 15),
    "NDVI": (16,),
}
"""Groups of channels that share a token, in the order of the channel table."""
CHANNELS = 17
RED, NEAR_INFRARED, NDVI = 4, 8, 16
TERRAIN = "SRTM"
LAND_COVER_CLASSES = 9
NO_LAND_COVER = 9
"""Code of a missing land cover; its table row is stored but never seen."""
_CHANNEL_PART = 32


@dataclass(frozen=True, eq=False)
class PixelSeries:
    """N pixels as the network takes them, normalised.

    Args:
        values: float32 ``(N, T, 17)``; anything finite where not seen.
        seen: bool ``(N, T, 17)``.
        land_cover: int64 ``(N, T)``, 0 to 8, or 9 for missing.
        lonlat: float ``(N, 2)``, longitude and latitude in degrees.
        months: int64 ``(N, T)``, 0 to 11.
    """

    values: Tensor
    seen: Tensor
    land_cover: Tensor
    lonlat: Tensor
    months: Tensor

    def rows(self, part: slice | Tensor) -> PixelSeries:
        """Some of the pixels."""
        return PixelSeries(
            self.values[part], self.seen[part], self.land_cover[part], self.lonlat[part], self.months[part]
        )


@dataclass(frozen=True, eq=False)
class Tokens:
    """Tokens in the canonical order: place, then each group (T tokens, terrain one), then land cover (T).

    Args:
        values: ``(N, K, 128)``, K = 9 T + 2.
        seen: bool ``(N, K)``; values of others mean nothing.
    """

    values: Tensor
    seen: Tensor


class PrestoEncoder(nn.Module):
    """Embeddings and transformer of the encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(torch.zeros(1, STEPS, 64), requires_grad=False)
        self.month_embed = nn.Embedding(12, 32)
        self.month_embed.weight.requires_grad_(False)
        self.channel_embed = nn.Embedding(len(GROUPS) + 1, _CHANNEL_PART)
        self.eo_patch_embed = nn.ModuleDict({name: nn.Linear(len(part), WIDTH) for name, part in GROUPS.items()})
        self.dw_embed = nn.Embedding(LAND_COVER_CLASSES + 1, WIDTH)
        self.latlon_embed = nn.Linear(3, WIDTH)
        self.blocks = nn.ModuleList(Block(WIDTH, HEADS, epsilon=EPS) for _ in range(DEPTH))
        self.norm = nn.LayerNorm(WIDTH, eps=EPS)

    def forward(self, series: PixelSeries) -> Tensor:
        """Embeddings ``(N, 128)``: the mean of the seen tokens, place among them, then the layer norm."""
        tokens = self._transformed(series)
        weight = tokens.seen[..., None].float()
        pooled = (tokens.values * weight).sum(dim=1) / weight.sum(dim=1)
        out: Tensor = self.norm(pooled)
        return out

    def tokens(self, series: PixelSeries) -> Tokens:
        """All tokens after the layer norm."""
        size = 2 + 9 * series.months.shape[1]
        inner = self._transformed(series)
        values = inner.values.new_zeros(len(inner.values), size, WIDTH)
        seen = inner.seen.new_zeros(len(inner.values), size)
        kept = self._kept(series)[1]
        values[:, kept] = self.norm(inner.values)
        seen[:, kept] = inner.seen
        return Tokens(values, seen)

    def _transformed(self, series: PixelSeries) -> Tokens:
        """Tokens after the last block; those that no pixel sees are left out."""
        seen, kept = self._kept(series)
        values, seen = self._embedded(series)[:, kept], seen[:, kept]
        mask = None if bool(seen.all()) else seen
        for block in self.blocks:
            values = block(values, mask)
        return Tokens(values, seen)

    def _kept(self, series: PixelSeries) -> tuple[Tensor, Tensor]:
        """Which tokens each pixel sees, bool ``(N, K)``, and which any pixel sees, bool ``(K,)``."""
        parts = [series.seen.new_ones(len(series.seen), 1)]
        for name, channels in GROUPS.items():
            whole = series.seen[:, :, list(channels)].all(dim=-1)
            parts.append(whole[:, :1] if name == TERRAIN else whole)
        parts.append(series.land_cover != NO_LAND_COVER)
        seen = torch.cat(parts, dim=1)
        return seen, seen.any(dim=0)

    def _embedded(self, series: PixelSeries) -> Tensor:
        """``(N, K, 128)`` before the first block."""
        steps = series.months.shape[1]
        encodings = encoding(self.month_embed, self.channel_embed, self.pos_embed, series.months)
        values = torch.where(series.seen, series.values, 0.0)
        parts = [self.latlon_embed(unit_vectors(series.lonlat))[:, None]]
        for place, (name, channels) in enumerate(GROUPS.items()):
            used = values[:, :1] if name == TERRAIN else values
            parts.append(self.eo_patch_embed[name](used[:, :, list(channels)]) + encodings[place])
        parts.append(self.dw_embed(series.land_cover) + encodings[len(GROUPS)])
        tokens = torch.cat(parts, dim=1)
        assert tokens.shape[1] == 2 + 9 * steps
        return tokens


class PrestoDecoder(nn.Module):
    """Reconstructs every channel and the land cover of every step from the tokens of the encoder.

    Args:
        channel_embed: the table of the encoder, which both share.
    """

    def __init__(self, channel_embed: nn.Embedding) -> None:
        super().__init__()
        self.mask_token = nn.Parameter(torch.zeros(WIDTH))
        self.pos_embed = nn.Parameter(torch.zeros(1, STEPS, 48), requires_grad=False)
        self.month_embed = nn.Embedding(12, 48)
        self.month_embed.weight.requires_grad_(False)
        self.channel_embeddings = channel_embed
        self.decoder_embed = nn.Linear(WIDTH, WIDTH)
        self.decoder_blocks = nn.ModuleList(Block(WIDTH, HEADS, epsilon=EPS) for _ in range(DEPTH))
        self.decoder_norm = nn.LayerNorm(WIDTH, eps=EPS)
        self.eo_decoder_pred = nn.ModuleDict({name: nn.Linear(WIDTH, len(part)) for name, part in GROUPS.items()})
        self.dw_decoder_pred = nn.Linear(WIDTH, LAND_COVER_CLASSES)

    def forward(self, tokens: Tokens, months: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised channels ``(N, T, 17)`` and land-cover logits ``(N, T, 9)``.

        Terrain is one token, whose prediction is repeated over the steps.
        """
        steps = months.shape[1]
        values = torch.where(tokens.seen[..., None], self.decoder_embed(tokens.values), self.mask_token)
        encodings = encoding(self.month_embed, self.channel_embeddings, self.pos_embed, months)
        values = torch.cat([values[:, :1], values[:, 1:] + torch.cat(encodings, dim=1)], dim=1)
        for block in self.decoder_blocks:
            values = block(values, None)
        values = self.decoder_norm(values)
        channels = values.new_empty(len(values), steps, CHANNELS)
        start = 1
        for name, part in GROUPS.items():
            count = 1 if name == TERRAIN else steps
            channels[:, :, list(part)] = self.eo_decoder_pred[name](values[:, start : start + count])
            start += count
        logits: Tensor = self.dw_decoder_pred(values[:, start:])
        return channels, logits


class Presto(nn.Module):
    """Encoder and decoder as published."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = PrestoEncoder()
        self.decoder = PrestoDecoder(self.encoder.channel_embed)

    def forward(self, series: PixelSeries) -> Tensor:
        """Embeddings ``(N, 128)``."""
        out: Tensor = self.encoder(series)
        return out

    def reconstruct(self, series: PixelSeries) -> tuple[Tensor, Tensor]:
        """What the decoder makes of the seen part: channels ``(N, T, 17)`` and land-cover logits ``(N, T, 9)``."""
        channels, logits = self.decoder(self.encoder.tokens(series), series.months)
        return channels, logits


def encoding(month: nn.Embedding, channel: nn.Embedding, position: Tensor, months: Tensor) -> list[Tensor]:
    """What is added to the tokens of each group, and to those of the land cover: month | channel | position.

    Terrain has one token without month and position.

    Args:
        month: table of months.
        channel: table of groups.
        position: table of steps ``(1, 24, P)``.
        months: ``(N, T)``.

    Returns:
        ten tensors ``(N, T, 128)``, that of terrain ``(N, 1, 128)``.
    """
    count, steps = months.shape
    in_time = month(months)
    in_order = position[:, :steps].expand(count, -1, -1)
    parts = []
    for place, name in enumerate((*GROUPS, "land cover")):
        row = channel.weight[place].expand(count, 1, -1)
        if name == TERRAIN:
            zeros = (row.new_zeros(count, 1, in_time.shape[-1]), row.new_zeros(count, 1, in_order.shape[-1]))
            parts.append(torch.cat([zeros[0], row, zeros[1]], dim=-1))
        else:
            parts.append(torch.cat([in_time, row.expand(count, steps, -1), in_order], dim=-1))
    return parts
