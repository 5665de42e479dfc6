"""Joining what several sensors say, any of which may be missing.

Three places to join: before the backbone (``stack_early``), after it (``LateFusion``: each modality has its own
pyramid), or between tokens (``TokenFusion``: attention across modalities). All three work on whatever encoders the user
composed, and a modality that a sample lacks never reaches its result.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swath.errors import ConfigError, ContractError, nearest
from swath.nn.pyramid import check_maps
from swath.nn.transformer import Block, start_normal, start_weights
from swath.types import Features

Present = Mapping[str, Tensor]
"""Modality -> bool ``(B,)``: whether a sample has it. A modality that is not named counts as present when given."""


def early_bands(bands: Mapping[str, int]) -> int:
    """Bands that ``stack_early`` gives: all bands, and one per modality that tells whether it is there."""
    return sum(bands.values()) + len(bands)


def stack_early(inputs: Mapping[str, Tensor], bands: Mapping[str, int], present: Present | None = None) -> Tensor:
    """Stack modalities on one grid along the band axis, with one more band each that is 1 where the modality is there.

    Args:
        inputs: modality -> ``(B, [T,] C, H, W)``; a modality may be left out for the whole batch.
        bands: modality -> C, in the order in which they are stacked.
        present: see ``Present``.

    Returns:
        ``(B, [T,] early_bands(bands), H, W)``; 0 in place of what is missing.

    Raises:
        ContractError: a modality is unknown, none is given, or sizes differ.
    """
    check_names(inputs, bands)
    like = next(iter(inputs.values()))
    parts = []
    for name, number in bands.items():
        shape = (*like.shape[:-3], number, *like.shape[-2:])
        given = inputs.get(name)
        if given is not None and given.shape != shape:
            raise ContractError(
                f"The modality '{name}' has shape {tuple(given.shape)}",
                expected=f"{shape}, as the others",
                remedy="resample all modalities to one grid before stacking them, or join them late",
            )
        there = _presence(name, inputs, present, like).reshape(-1, *[1] * (like.ndim - 1))
        parts.append(like.new_zeros(shape) if given is None else torch.where(there, given, 0.0))
        parts.append(there.to(like.dtype).expand(*like.shape[:-3], 1, *like.shape[-2:]))
    return torch.cat(parts, dim=-3)


class LateFusion(nn.Module):
    """Concatenate the pyramids of several modalities level by level and mix them by 1 x 1 convolutions.

    Args:
        channels: modality -> channels of its levels; the same number of levels for all.
        strides: strides of the levels that come out.
        width: channels of each level that comes out, and of the joint code.

    Raises:
        ConfigError: the numbers of levels differ.
    """

    def __init__(self, channels: Mapping[str, tuple[int, ...]], strides: tuple[int, ...], width: int) -> None:
        super().__init__()
        if not channels or {len(levels) for levels in channels.values()} != {len(strides)}:
            raise ConfigError(
                f"Late fusion was given {len(strides)} strides and levels {dict(channels)}",
                expected="as many levels of every modality as strides",
                remedy="tap the same number of levels from each backbone",
            )
        self.names = tuple(channels)
        self.channels, self.strides = (width,) * len(strides), strides
        self.mix = nn.ModuleList(
            nn.Conv2d(sum(levels[index] for levels in channels.values()), width, 1) for index in range(len(strides))
        )
        self.join = nn.Linear(sum(levels[-1] for levels in channels.values()), width)
        # What stands in for a modality that is not there, learned per level.
        self.missing = nn.ModuleDict(
            {name: nn.ParameterList(torch.zeros(number) for number in levels) for name, levels in channels.items()}
        )

    def forward(self, features: Mapping[str, Features], present: Present | None = None) -> Features:
        """Joint levels and code.

        Args:
            features: modality -> features; maps of the same level are resized to those of the first modality given.
            present: see ``Present``.

        Raises:
            ContractError: a modality is unknown or none is given.
        """
        check_names(features, self.names)
        for part in features.values():
            check_maps(part, len(self.strides))
        like = next(iter(features.values()))
        maps = []
        for index, mix in enumerate(self.mix):
            size = like.maps[index].shape[-2:]
            levels = [self._level(name, index, features, present, size) for name in self.names]
            maps.append(mix(torch.cat(levels, dim=1)))
        return Features(tuple(maps), self.strides, cls=self.join(self._codes(features, present)))

    def _level(
        self, name: str, index: int, features: Mapping[str, Features], present: Present | None, size: torch.Size
    ) -> Tensor:
        like = next(iter(features.values())).maps[index]
        stand_in = self.missing[name][index][None, :, None, None].expand(len(like), -1, *size)  # type: ignore[index]
        if name not in features:
            return stand_in
        part = features[name].maps[index]
        if part.shape[-2:] != size:
            part = F.interpolate(part, size=size, mode="bilinear")
        there = _presence(name, features, present, like)[:, None, None, None]
        return torch.where(there, part, stand_in)

    def _codes(self, features: Mapping[str, Features], present: Present | None) -> Tensor:
        like = next(iter(features.values())).maps[-1]
        codes = []
        for name in self.names:
            stand_in = self.missing[name][-1].expand(len(like), -1)  # type: ignore[index]
            if name not in features:
                codes.append(stand_in)
                continue
            there = _presence(name, features, present, like)[:, None]
            codes.append(torch.where(there, features[name].maps[-1].mean((2, 3)), stand_in))
        return torch.cat(codes, dim=1)


class TokenFusion(nn.Module):
    """One transformer over the tokens of all modalities and a class token; missing modalities are looked at by nobody.

    Args:
        channels: modality -> numbers per token.
        width: numbers D per joint token.
        depth: blocks.
        heads: attention heads.

    Raises:
        ConfigError: no modality is given, or ``heads`` does not divide ``width``.
    """

    def __init__(self, channels: Mapping[str, int], width: int, depth: int = 2, heads: int = 4) -> None:
        super().__init__()
        if not channels:
            raise ConfigError("Token fusion was given no modality", expected="at least one", remedy="name them")
        self.names = tuple(channels)
        self.project = nn.ModuleDict({name: nn.Linear(number, width) for name, number in channels.items()})
        self.kinds = nn.ParameterDict({name: nn.Parameter(torch.zeros(width)) for name in channels})
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        start_weights(self)
        for table in (self.class_token, *self.kinds.values()):
            start_normal(table)

    def forward(
        self,
        features: Mapping[str, Features],
        present: Present | None = None,
        seen: Mapping[str, Tensor] | None = None,
    ) -> Features:
        """Joint tokens ``(B, N, D)``, 0 where missing, and code; maps of the first modality given that has any.

        Args:
            features: modality -> features; the tokens are those of its last map, or its ``tokens`` without maps.
            present: see ``Present``.
            seen: modality -> bool ``(B, N_m)``, for single missing tokens such as dates.

        Raises:
            ContractError: a modality is unknown or none is given.
        """
        check_names(features, self.names)
        tokens, masks = [], []
        for name in self.names:
            if name not in features:
                continue
            part = _tokens(name, features[name])
            mask = _presence(name, features, present, part)[:, None].expand(part.shape[:2])
            if seen is not None and name in seen:
                mask = mask & seen[name]
            part = self.project[name](torch.where(mask[..., None], part, 0.0)) + self.kinds[name]
            tokens.append(part)
            masks.append(mask)
        mask = F.pad(torch.cat(masks, dim=1), (1, 0), value=True)
        full = torch.cat([self.class_token.expand(len(mask), -1, -1), *tokens], dim=1)
        for block in self.blocks:
            full = block(full, mask)
        full = torch.where(mask[..., None], self.norm(full), 0.0)
        return self._features(features, full, [part.shape[1] for part in tokens])

    def _features(self, given: Mapping[str, Features], full: Tensor, counts: list[int]) -> Features:
        names = [name for name in self.names if name in given]
        for name, part in zip(names, full[:, 1:].split(counts, dim=1), strict=True):
            if given[name].maps:
                shape = given[name].maps[-1].shape[-2:]
                maps = (part.transpose(1, 2).unflatten(2, shape),)
                return Features(maps, given[name].strides[-1:], tokens=full[:, 1:], cls=full[:, 0])
        return Features((), (), tokens=full[:, 1:], cls=full[:, 0])


def check_names(given: Mapping[str, object], known: Mapping[str, object] | tuple[str, ...]) -> None:
    """Refuse modalities that the network was not built for, and an empty batch of them.

    Raises:
        ContractError: names the first unknown modality and the nearest known one.
    """
    unknown = [name for name in given if name not in known]
    if unknown or not given:
        raise ContractError(
            f"The modality '{unknown[0]}' is unknown" if unknown else "No modality is given",
            expected=f"one or more of {', '.join(known)}",
            remedy=f"the nearest is {nearest(unknown[0], known, 1)}" if unknown else "give at least one",
        )


def _presence(name: str, given: Mapping[str, object], present: Present | None, like: Tensor) -> Tensor:
    """Whether each sample has the modality, bool ``(B,)``."""
    if name not in given:
        return torch.zeros(len(like), dtype=torch.bool, device=like.device)
    if present is None or name not in present:
        return torch.ones(len(like), dtype=torch.bool, device=like.device)
    return present[name]


def _tokens(name: str, features: Features) -> Tensor:
    if features.maps:
        check_maps(features, 1)
        return features.maps[-1].flatten(2).transpose(1, 2)
    if features.tokens is None:
        raise ContractError(
            f"The features of '{name}' hold neither maps nor tokens",
            expected="one of them",
            remedy="use a backbone that gives maps or tokens",
        )
    return features.tokens
