"""One network for one or several inputs, each with one or several dates: from images, masks and days to numbers.

Every input has a branch (encoder of dates, backbone, joining of dates), the branches meet early, late or between tokens
(``swath.nn.fusion``), and one head reads the result. What is not seen, a pixel, a date or a whole input, never reaches
the output, whatever lies there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from swath.errors import ConfigError, ContractError
from swath.nn.branch import Branch, Time, check_time
from swath.nn.build import IMAGE_BACKBONES
from swath.nn.checks import check_whole
from swath.nn.fusion import LateFusion, Present, TokenFusion, check_names, early_bands, stack_early
from swath.nn.network import Head, NetworkSpec, make_head
from swath.nn.pyramid import SimplePyramid
from swath.nn.unet import UNetDecoder
from swath.types import Features

Fusion = Literal["early", "late", "token"]
FUSIONS: tuple[Fusion, ...] = ("early", "late", "token")
NO_BACKBONE = "none"
"""In place of the name of a backbone: the head reads what the encoder of dates gives, pixel by pixel."""
STACKED = "stacked"
"""Name of the one branch after early fusion."""


@dataclass(frozen=True)
class JointSpec:
    """All that fixes the shape of a network: what a checkpoint stores.

    Args:
        inputs: input name to ``{"bands": C, "dates": T}``; the output has the size of the first one that is given.
        outputs: numbers per pixel, or per sample with the head ``vector``.
        backbone: name of a backbone for images, the same for every input; or ``none``.
        head: one of ``swath.nn.network.HEADS``.
        head_width: channels of the maps inside a pyramid or head.
        options: what differs from the published size of the backbone.
        fusion: where several inputs meet.
        fusion_width: channels after late or token fusion.
        time: how the dates of an input become one map; inputs of one date have no need of it.
        series: sizes of the encoder of dates: names and values of ``swath.nn.SeriesSpec``.

    Raises:
        ConfigError: a name is unknown or a number out of range.
    """

    inputs: dict[str, dict[str, int]]
    outputs: int
    backbone: str = "unet"
    head: Head = "unet"
    head_width: int = 128
    options: dict[str, Any] = field(default_factory=dict)
    fusion: Fusion = "late"
    fusion_width: int = 128
    time: Time = "pool"
    series: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.inputs or any(set(each) != {"bands", "dates"} for each in self.inputs.values()):
            raise ConfigError(
                f"The inputs of the network are {str(self.inputs)[:80]}",
                expected="at least one name with its numbers of bands and dates",
                remedy="write {'image': {'bands': 4, 'dates': 1}}",
            )
        if any("." in name for name in self.inputs):
            raise ConfigError(
                f"The inputs are called {', '.join(self.inputs)}", expected="names without a dot", remedy="rename them"
            )
        for name, each in self.inputs.items():
            check_whole(f"The input '{name}'", each)
        check_whole("The network", {"fusion_width": self.fusion_width})
        if self.fusion not in FUSIONS:
            raise ConfigError(
                f"The fusion is '{str(self.fusion)[:40]}'", expected=f"one of {', '.join(FUSIONS)}", remedy="choose one"
            )
        # Checks names and numbers that it shares with networks of one image.
        name = self.backbone if self.backbone != NO_BACKBONE else IMAGE_BACKBONES[-1]
        NetworkSpec(name, 1, self.outputs, self.head, self.head_width, self.options)
        check_time(self.time, self.backbone == NO_BACKBONE, {name: each["dates"] for name, each in self.inputs.items()})

    @property
    def several(self) -> bool:
        """Whether there is more than one input."""
        return len(self.inputs) > 1


class JointNetwork(nn.Module):
    """Images of one or several inputs to logits or values; the arguments are those of ``JointSpec``.

    Raises:
        ConfigError: a name is unknown, a number out of range, or inputs that meet early differ in their dates.
    """

    def __init__(
        self,
        inputs: Mapping[str, Mapping[str, int]],
        outputs: int,
        *,
        backbone: str = "unet",
        head: Head = "unet",
        head_width: int = 128,
        options: Mapping[str, Any] | None = None,
        fusion: Fusion = "late",
        fusion_width: int = 128,
        time: Time = "pool",
        series: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        sizes = {name: dict(each) for name, each in inputs.items()}
        self.spec = JointSpec(
            sizes, outputs, backbone, head, head_width, dict(options or {}), fusion, fusion_width, time,
            dict(series or {}),
        )  # fmt: skip
        branches = {
            name: Branch(
                each["bands"],
                each["dates"],
                backbone=None if backbone == NO_BACKBONE else backbone,
                options=self.spec.options,
                time=time,
                series=self.spec.series,
            )
            for name, each in _branches(self.spec).items()
        }
        # One branch is the encoder as it is, so that its features can be kept.
        alone = next(iter(branches.values())) if len(branches) == 1 else None
        self.encoder: Branch | nn.ModuleDict = nn.ModuleDict(branches) if alone is None else alone
        channels, strides = self._add_fusion()
        self.pyramid: SimplePyramid | None = None
        if head in ("unet", "upernet") and len(set(strides)) == 1 and strides[0] % 4 == 0:
            self.pyramid = SimplePyramid(channels, strides, head_width)
            channels, strides = self.pyramid.channels, self.pyramid.strides
        norm = self.spec.options.get("norm") if backbone == "unet" else None
        if head == "unet" and norm is not None:  # a decoder that shifts pixels would undo what the encoder promises
            self.head: nn.Module = UNetDecoder(channels, strides, outputs, norm=norm)
        else:
            self.head = make_head(head, channels, strides, outputs, head_width)
        self.strides = strides

    def _add_fusion(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Channels and strides of what the head, or the pyramid before it, reads."""
        spec, parts = self.spec, self.branches()
        first = next(iter(parts.values()))
        self.fusion: LateFusion | TokenFusion | None = None
        if len(parts) == 1:
            return first.channels, first.strides
        if spec.fusion == "token":
            self.fusion = TokenFusion({name: part.channels[-1] for name, part in parts.items()}, spec.fusion_width)
            return (spec.fusion_width,), first.strides[-1:]
        late = LateFusion({name: part.channels for name, part in parts.items()}, first.strides, spec.fusion_width)
        self.fusion = late
        return late.channels, late.strides

    def branches(self) -> dict[str, Branch]:
        """The branch of each input, or the one of all."""
        if isinstance(self.encoder, Branch):
            return {next(iter(_branches(self.spec))): self.encoder}
        return {name: cast(Branch, branch) for name, branch in self.encoder.items()}

    def prefix(self, name: str) -> str:
        """How the names of the parameters of a branch begin."""
        return "encoder" if isinstance(self.encoder, Branch) else f"encoder.{name}"

    @property
    def needs_days(self) -> bool:
        """Whether the days of the dates are read at all."""
        return any(branch.series is not None for branch in self.branches().values())

    def forward(self, images: Mapping[str, Tensor], seen: Mapping[str, Tensor], days: Mapping[str, Tensor]) -> Tensor:
        """``(B, outputs, H, W)``, or ``(B, outputs)`` with the head ``vector``; H, W of the first input given.

        Args:
            images: input name to standardised values ``(B, T, C, H, W)``, 0 where invalid; an input may be left out.
            seen: bool ``(B, T, H, W)``: where some band is valid.
            days: ``(B, T)``: days since some date.

        Raises:
            ContractError: an input is unknown or none is given, or shapes do not fit.
        """
        check_names(images, self.spec.inputs)
        given = [name for name in self.spec.inputs if name in images]
        for name in given:
            _check_shapes(name, self.spec.inputs[name]["bands"], images[name], seen[name], days[name])
        rows, columns = images[given[0]].shape[-2:]
        features = self._features(given, images, seen, days)
        logits: Tensor = self.head(self.pyramid(features) if self.pyramid is not None else features)
        return logits[..., :rows, :columns] if self.spec.head != "vector" else logits

    def _features(
        self, given: list[str], images: Mapping[str, Tensor], seen: Mapping[str, Tensor], days: Mapping[str, Tensor]
    ) -> Features:
        if isinstance(self.encoder, Branch):
            image, anywhere = images[given[0]], seen[given[0]]
            if self.spec.several:
                image, anywhere = _stack(self.spec, given, images, seen)
            alone: Features = self.encoder(image, anywhere, days[given[0]])
            return alone
        assert self.fusion is not None  # several branches are always joined
        features = {name: self.encoder[name](images[name], seen[name], days[name]) for name in given}
        present: Present = {name: seen[name].flatten(1).any(1) for name in given}
        joint: Features = self.fusion(features, present)
        return replace(joint, tokens=None)

    def layer_names(self) -> list[tuple[str, ...]]:
        """Names of parts from input to output: those of the branches side by side, then all that joins them."""
        parts = {name: branch.layer_names() for name, branch in self.branches().items()}
        longest = max(len(names) for names in parts.values())
        ordered = []
        for place in range(longest):
            level: list[str] = []
            for name, names in parts.items():
                own = place - (longest - len(names))  # the last parts of all branches lie side by side
                level += [f"{self.prefix(name)}.{each}" for each in names[own]] if own >= 0 else []
            ordered.append(tuple(level))
        return [*ordered, self.new_parts()]

    def new_parts(self) -> tuple[str, ...]:
        """Prefixes of what lies behind the backbones and no published weights hold."""
        pools = [
            f"{self.prefix(name)}.pool"
            for name, branch in self.branches().items()
            if next(branch.pool_parameters(), None) is not None
        ]
        joining = [name for name in ("fusion", "pyramid") if getattr(self, name) is not None]
        return (*pools, *joining, "head")


def _branches(spec: JointSpec) -> dict[str, dict[str, int]]:
    if not spec.several or spec.fusion != "early":
        return spec.inputs
    dates = {name: each["dates"] for name, each in spec.inputs.items()}
    if len(set(dates.values())) > 1:
        raise ConfigError(
            f"The inputs have {', '.join(f'{count} ({name})' for name, count in dates.items())} dates",
            expected="the same dates in all inputs that are stacked early",
            remedy="set fusion to late or token",
        )
    bands = early_bands({name: each["bands"] for name, each in spec.inputs.items()})
    return {STACKED: {"bands": bands, "dates": next(iter(dates.values()))}}


def _stack(
    spec: JointSpec, given: list[str], images: Mapping[str, Tensor], seen: Mapping[str, Tensor]
) -> tuple[Tensor, Tensor]:
    """All inputs on one band axis, and where any of them is seen; whether an input is there counts date by date."""
    size = images[given[0]].shape[:2]
    for name in given:
        if images[name].shape[:2] != size or images[name].shape[-2:] != images[given[0]].shape[-2:]:
            raise ContractError(
                f"The input '{name}' has the shape {tuple(images[name].shape)} and '{given[0]}' "
                f"{tuple(images[given[0]].shape)}",
                expected="the same dates, rows and columns in inputs that are stacked early",
                remedy="set fusion to late or token, or resample them to one grid",
            )
    flat = {name: images[name].flatten(0, 1) for name in given}
    present = {name: seen[name].flatten(0, 1).flatten(1).any(1) for name in given}
    stacked = stack_early(flat, {name: each["bands"] for name, each in spec.inputs.items()}, present)
    return stacked.unflatten(0, size), torch.stack([seen[name] for name in given]).any(0)


def _check_shapes(name: str, bands: int, image: Tensor, seen: Tensor, days: Tensor) -> None:
    fits = image.ndim == 5 and image.shape[2] == bands and 0 not in image.shape[1:]
    if not fits or seen.shape != (*image.shape[:2], *image.shape[3:]) or days.shape != image.shape[:2]:
        raise ContractError(
            f"The input '{name}' has values {tuple(image.shape)}, a mask {tuple(seen.shape)} and days "
            f"{tuple(days.shape)}",
            expected=f"(sample, date, {bands} bands, y, x), (sample, date, y, x) and (sample, date)",
            remedy="select the bands; keep the axis of dates, also for one date",
        )
