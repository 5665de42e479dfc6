"""Encoders of irregular series: a few numbers at each of a few dates, any of which may be missing.

All three take the same arguments and keep the same promises: a date that is not present changes nothing, whatever lies
under it; dates need no regular step (the day of the year is an input); a series without any date gives a finite code,
learned or zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swath.errors import ConfigError, ContractError
from swath.nn.checks import check_parameters, check_whole
from swath.nn.norms import ChannelNorm
from swath.nn.positions import YEAR, encode_days
from swath.nn.transformer import Block, masked_mean, start_normal, start_weights
from swath.types import Features


@dataclass(frozen=True)
class SeriesSpec:
    """All that fixes the shape of an encoder of series.

    Args:
        kind: ``tempcnn``, ``gru`` or ``transformer``.
        inputs: numbers per date.
        width: numbers D of the code; even.
        depth: layers.
        heads: attention heads of the transformer.
        kernel: dates that a convolution of the TempCNN sees; odd.
        dropout: share of numbers dropped while training.
        period: days after which dates repeat, see ``encode_days``.

    Raises:
        ConfigError: a number is out of range.
    """

    kind: Literal["tempcnn", "gru", "transformer"]
    inputs: int
    width: int = 128
    depth: int = 2
    heads: int = 4
    kernel: int = 5
    dropout: float = 0.0
    period: float = YEAR

    def __post_init__(self) -> None:
        names = ("inputs", "width", "depth", "heads", "kernel")
        check_whole("Series", {name: getattr(self, name) for name in names})
        wrong = {
            "kind": self.kind not in ("tempcnn", "gru", "transformer"),
            "width": self.width % 2 == 1,
            "kernel": self.kernel % 2 == 0,
            "dropout": not 0 <= self.dropout < 1,
            "period": not self.period > 0,
        }
        for name, is_wrong in wrong.items():
            if is_wrong:
                raise ConfigError(
                    f"Series: '{name}' is {str(getattr(self, name))[:40]}",
                    expected="a known kind, an even width, an odd kernel, a dropout in [0, 1), a period above 0",
                    remedy=f"change '{name}'",
                )
        wide = self.kernel if self.kind == "tempcnn" else 12
        check_parameters("series encoder", self.width * (self.inputs * wide + self.width * (self.depth * wide + 1)))


class SeriesEncoder(Protocol):
    """What the encoders have in common."""

    spec: SeriesSpec

    def __call__(self, values: Tensor, day: Tensor, present: Tensor) -> Features:
        """``values`` ``(B, T, C)``, ``day`` ``(B, T)``, ``present`` bool ``(B, T)``: tokens ``(B, T, D)``, cls."""
        ...


class TempCNN(nn.Module):
    """Convolutions over time.

    Pelletier, Webb, Petitjean, "Temporal convolutional neural network for the classification of satellite image time
    series", Remote Sensing 11 (2019). Ours differs: the day of the year is an input beside the bands; missing dates are
    zero at every layer, so they act as the border does; the layers normalise over channels, and a mean over the dates
    present replaces the dense layer, so that any number of dates goes in.

    Args:
        spec: sizes and choices.
    """

    def __init__(self, spec: SeriesSpec) -> None:
        super().__init__()
        self.spec = spec
        self.day = nn.Linear(spec.width, spec.width)
        self.layers = nn.ModuleList(
            nn.ModuleDict(
                {
                    "convolution": nn.Conv1d(before, spec.width, spec.kernel, padding=spec.kernel // 2),
                    "norm": ChannelNorm(spec.width),
                }
            )
            for before in [spec.inputs, *[spec.width] * (spec.depth - 1)]
        )
        self.dropout = nn.Dropout(spec.dropout)

    def forward(self, values: Tensor, day: Tensor, present: Tensor) -> Features:
        """Features of the series; see ``SeriesEncoder``. Without any date present all of them are 0."""
        current = _clean(self.spec, values, day, present).transpose(1, 2)
        keep = present[:, None]
        places = self.day(_days(self.spec, day, values)).transpose(1, 2)
        for index, layer in enumerate(self.layers):
            current = layer["convolution"](current)  # type: ignore[index]
            if index == 0:
                current = current + places
            current = torch.where(keep, self.dropout(F.relu(layer["norm"](current))), 0.0)  # type: ignore[index]
        tokens = current.transpose(1, 2)
        return Features((), (), tokens=tokens, cls=masked_mean(tokens, present))

    def layer_names(self) -> list[tuple[str, ...]]:
        """Names of parts from input to output."""
        return [(f"layers.{index}", "day") if index == 0 else (f"layers.{index}",) for index in range(self.spec.depth)]


class Gru(nn.Module):
    """A gated recurrent network that steps over the dates present only.

    Cho et al., "Learning phrase representations using RNN encoder-decoder", EMNLP 2014. The code is the state after the
    last date present. Rußwurm and Körner (2018) use it for Sentinel-2 series; ours differs: each step also gets the day
    of the year, so that the length of a gap is known.

    Args:
        spec: sizes and choices.
    """

    def __init__(self, spec: SeriesSpec) -> None:
        super().__init__()
        self.spec = spec
        self.embed = nn.Linear(spec.inputs, spec.width)
        self.day = nn.Linear(spec.width, spec.width)
        dropout = spec.dropout if spec.depth > 1 else 0.0  # torch drops between layers only
        self.recurrent = nn.GRU(spec.width, spec.width, spec.depth, batch_first=True, dropout=dropout)

    def forward(self, values: Tensor, day: Tensor, present: Tensor) -> Features:
        """Features of the series; see ``SeriesEncoder``. Without any date present all of them are 0."""
        spec = self.spec
        steps = self.embed(_clean(spec, values, day, present))
        steps = steps + self.day(_days(self.spec, day, values))
        # Dates present move to the front in their order. What follows them cannot reach back.
        order = (~present).to(torch.uint8).argsort(dim=1, stable=True)[..., None].expand_as(steps)
        states, _ = self.recurrent(steps.gather(1, order))
        tokens = torch.where(present[..., None], torch.zeros_like(states).scatter(1, order, states), 0.0)
        number = present.sum(1)
        last = states.gather(1, (number - 1).clamp_min(0)[:, None, None].expand(-1, 1, spec.width))[:, 0]
        return Features((), (), tokens=tokens, cls=torch.where(number[:, None] > 0, last, 0.0))

    def layer_names(self) -> list[tuple[str, ...]]:
        """Names of parts from input to output."""
        return [("embed", "day"), ("recurrent",)]


class SeriesTransformer(nn.Module):
    """Attention between the dates present and a class token, which becomes the code.

    Rußwurm and Körner, "Self-attention for raw optical satellite time series classification", ISPRS Journal 169 (2020).
    Ours differs: days are encoded as harmonics of the year, and a class token replaces the maximum over dates.

    Args:
        spec: sizes and choices.
    """

    def __init__(self, spec: SeriesSpec) -> None:
        super().__init__()
        self.spec = spec
        self.embed = nn.Linear(spec.inputs, spec.width)
        self.day = nn.Linear(spec.width, spec.width)
        self.class_token = nn.Parameter(torch.zeros(1, 1, spec.width))
        self.blocks = nn.ModuleList(Block(spec.width, spec.heads) for _ in range(spec.depth))
        self.norm = nn.LayerNorm(spec.width)
        self.dropout = nn.Dropout(spec.dropout)
        start_weights(self)
        start_normal(self.class_token)

    def forward(self, values: Tensor, day: Tensor, present: Tensor) -> Features:
        """Features of the series; see ``SeriesEncoder``. Without any date present the code is learned."""
        spec = self.spec
        tokens = self.embed(_clean(spec, values, day, present))
        tokens = tokens + self.day(_days(self.spec, day, values))
        tokens = self.dropout(torch.where(present[..., None], tokens, 0.0))
        full = torch.cat([self.class_token.expand(len(tokens), -1, -1), tokens], dim=1)
        seen = F.pad(present, (1, 0), value=True)
        for block in self.blocks:
            full = block(full, seen)
        full = self.norm(full)
        return Features((), (), tokens=torch.where(present[..., None], full[:, 1:], 0.0), cls=full[:, 0])

    def layer_names(self) -> list[tuple[str, ...]]:
        """Names of parts from input to output."""
        first = ("embed", "day", "class_token")
        return [first, *((f"blocks.{index}",) for index in range(self.spec.depth)), ("norm",)]


class PerPixel(nn.Module):
    """An encoder of series applied to every pixel of a series of images.

    Args:
        encoder: one of the encoders above.
    """

    def __init__(self, encoder: TempCNN | Gru | SeriesTransformer) -> None:
        super().__init__()
        self.encoder = encoder
        self.channels, self.strides = (encoder.spec.width,), (1,)

    def forward(self, image: Tensor, day: Tensor, valid: Tensor) -> Features:
        """One map ``(B, D, H, W)`` of stride 1.

        Args:
            image: ``(B, T, C, H, W)``.
            day: ``(B, T)``.
            valid: bool, ``(B, T, H, W)``; a date counts for a pixel where it is True.
        """
        batch, dates, bands, rows, columns = image.shape
        values = image.permute(0, 3, 4, 1, 2).reshape(-1, dates, bands)
        present = valid.permute(0, 2, 3, 1).reshape(-1, dates)
        days = day[:, None].expand(batch, rows * columns, dates).reshape(-1, dates)
        code = self.encoder(values, days, present).cls
        return Features((code.reshape(batch, rows, columns, -1).movedim(-1, 1),), (1,))


def series_encoder(spec: SeriesSpec) -> TempCNN | Gru | SeriesTransformer:
    """The encoder that ``spec.kind`` names."""
    match spec.kind:
        case "tempcnn":
            return TempCNN(spec)
        case "gru":
            return Gru(spec)
        case "transformer":
            return SeriesTransformer(spec)


def _days(spec: SeriesSpec, day: Tensor, like: Tensor) -> Tensor:
    """Encoded days ``(B, T, D)`` in the precision of the values."""
    return encode_days(day, spec.width, period=spec.period).to(like.dtype)


def _clean(spec: SeriesSpec, values: Tensor, day: Tensor, present: Tensor) -> Tensor:
    """Values with 0 where nothing is present, after a look at the shapes."""
    fits = values.ndim == 3 and values.shape[2] == spec.inputs and values.shape[1] > 0
    if not fits or day.shape != values.shape[:2] or present.shape != values.shape[:2]:
        raise ContractError(
            f"The series encoder was given values {tuple(values.shape)}, days {tuple(day.shape)} and a mask "
            f"{tuple(present.shape)}",
            expected=f"(sample, date, {spec.inputs} numbers), (sample, date), (sample, date), at least one date",
            remedy="bring the dates to the second axis and give one day and one bool per date",
        )
    return torch.where(present[..., None], values, 0.0)
