"""An encoder that was trained before, with a head, in the place of a joint network.

It comes from a pretraining (``swath train --objective mae``) or from published weights; see ``learn.backbones``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from swath.errors import ConfigError, ContractError, InputError
from swath.learn.checkpoint import BEST_FIRST, RECORD, read_record
from swath.learn.intake import Intake
from swath.learn.objectives.masked import TASK, load_masked
from swath.learn.objectives.transfer import pretrained_network
from swath.learn.objectives.under_head import Dates, PretrainedNetwork
from swath.learn.options import TrainOptions
from swath.learn.pretrained import strange
from swath.learn.when_where import about
from swath.nn import Normalise, ordered_parts
from swath.nn.grouped import GroupedEncoder
from swath.nn.network import Head
from swath.sensors import BandSet
from swath.types import Task
from swath.weights import is_name

UNMEASURED = (0.0, 1.0)
"""Mean and standard deviation that stand in where a dry run has none."""
JOINS: Mapping[str, Dates] = {"pool": "mean", "max": "max", "attention": "attention", "concat": "channels"}
"""The option ``time`` -> how the dates of one encoder are joined."""


@dataclass(frozen=True)
class TransferredSpec:
    """All that fixes the shape of a network: what a checkpoint stores.

    Args:
        inputs: the one input's name to ``{"bands": C, "dates": T}``.
        outputs: numbers per pixel, or per sample with the head ``vector``.
        encoder: arguments of the encoder, see ``learn.objectives.transfer``.
        head: kind of head.
        head_width: channels inside a pyramid or head.
        join: how dates are joined, see ``learn.objectives.under_head``.
        reading: arguments of ``Reading``, or None for the images as pretraining has them.
        origin: name of the published encoder, or nothing.
    """

    inputs: dict[str, dict[str, int]]
    outputs: int
    encoder: dict[str, Any]
    head: Head = "upernet"
    head_width: int = 128
    join: Dates = "mean"
    reading: dict[str, Any] | None = None
    origin: str = ""

    @property
    def time(self) -> Literal["pool"]:
        """What is asked of the samples: any date is enough."""
        return "pool"


class TransferredNetwork(nn.Module):
    """``PretrainedNetwork`` called as a ``JointNetwork`` of one input; the arguments are those of the spec.

    Raises:
        ConfigError: several inputs, several dates for an encoder of single dates, or a number out of range.
    """

    needs_days = False

    def __init__(
        self,
        inputs: Mapping[str, Mapping[str, int]],
        outputs: int,
        encoder: Mapping[str, Any],
        *,
        head: Head = "upernet",
        head_width: int = 128,
        join: Dates = "mean",
        reading: Mapping[str, Any] | None = None,
        origin: str = "",
    ) -> None:
        super().__init__()
        sizes = {name: dict(each) for name, each in inputs.items()}
        told = None if reading is None else dict(reading)
        self.spec = TransferredSpec(sizes, outputs, dict(encoder), head, head_width, join, told, origin)
        if len(sizes) != 1:
            raise ConfigError(
                f"The inputs are {', '.join(sizes)}, and the pretrained encoder reads one",
                expected="one input",
                remedy="name the bands of one input, as in bands: {image: [B04, B08]}",
            )
        dates = next(iter(sizes.values()))["dates"]
        self.body = PretrainedNetwork(encoder, outputs, head, head_width, join, dates, told)
        if dates > 1 and isinstance(self.body.encoder, GroupedEncoder) and not origin:
            raise ConfigError(
                f"The samples have {dates} dates, and the pretrained encoder sees single ones",
                expected="samples of one date, or an encoder of the family space_time",
                remedy="cut chips of one date, or pretrain with family: space_time",
            )

    @property
    def encoder(self) -> nn.Module:
        """What was pretrained."""
        return self.body.encoder

    @property
    def conditions(self) -> tuple[str, ...]:
        """What the encoder is told of the samples: ``time``, ``place``, both or nothing."""
        return tuple(self.spec.encoder.get("conditions", ())) if self.body.reading.told else ()

    @property
    def needs_places(self) -> bool:
        """Whether the encoder is told when and where."""
        return bool(self.conditions)

    def forward(
        self,
        images: Mapping[str, Tensor],
        seen: Mapping[str, Tensor],
        days: Mapping[str, Tensor],
        places: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """``(B, outputs, H, W)``, or ``(B, outputs)``, from standardised ``(B, T, C, H, W)``, 0 where invalid.

        Args:
            images: of the one input.
            seen: bool ``(B, T, H, W)``.
            days: ``(B, T)``, days since 1970.
            places: ``(B, 2)``, longitude and latitude; without them an encoder that knows time and place goes without.

        Raises:
            ContractError: the images do not fit, or there are other dates than the channels of the head.
        """
        name, each = next(iter(self.spec.inputs.items()))
        image = images[name]
        if self.spec.join == "channels" and image.shape[1] != each["dates"]:
            raise ContractError(
                f"The samples have {image.shape[1]} dates",
                expected=f"{each['dates']}, whose maps are the channels of the head",
                remedy="give as many dates as in training, or train with time: pool",
            )
        if self.conditions and places is not None:
            told = about(days[name], places[name], self.conditions)
            found: Tensor = self.body(image, told, seen[name])
        else:
            found = self.body(image, None, seen[name])
        return found

    def layer_names(self) -> list[tuple[str, ...]]:
        """Names of parts from input to output."""
        below = [tuple(f"body.encoder.{name}" for name in part) for part in ordered_parts(self.body.encoder)]
        return [*below, self.new_parts()]

    def new_parts(self) -> tuple[str, ...]:
        """Prefixes of what no pretraining has seen."""
        parts = ("pool", "pyramid", "head")
        learning = [name for name in parts if next(_parameters(getattr(self.body, name)), None) is not None]
        return tuple(f"body.{name}" for name in learning)


def masked_run(pretrained: str | None) -> Path | None:
    """The checkpoint of a pretraining that a name means, or None where it means something else.

    Args:
        pretrained: folder of a run or of one model, or the name of an encoder.
    """
    if pretrained is None or is_name(pretrained):
        return None
    folder = Path(pretrained)
    model = next((folder / name for name in BEST_FIRST if (folder / name).is_dir()), folder)
    return model if (model / RECORD).is_file() and read_record(model)["task"] == TASK else None


def check_transferred(task: Task, inputs: Sequence[str], options: TrainOptions) -> None:
    """Refuse options that the encoder of a pretraining has no use for.

    Args:
        task: what is asked.
        inputs: names of those that are used.
        options: of training.

    Raises:
        ConfigError: as said.
    """
    odd = [f"network.{name}" for name in sorted(options.network.model_fields_set - {"head", "head_width"})]
    if odd:
        raise ConfigError(
            f"'{odd[0]}' was given",
            expected="with the encoder of a pretraining, which has its own shape, only head and head_width",
            remedy=f"leave '{odd[0]}' out",
        )
    _check_reading(task, inputs, options, "the encoder of a pretraining")


def check_published(task: Task, inputs: Sequence[str], options: TrainOptions) -> None:
    """Refuse options that a published encoder, as a backbone that learns, has no use for.

    Args:
        task: what is asked.
        inputs: names of those that are used.
        options: of training.

    Raises:
        ConfigError: as said.
    """
    name = options.network.backbone
    if options.pretrained is not None:
        raise ConfigError(
            f"'pretrained' is '{options.pretrained[:80]}' and the backbone '{name}', which brings its own weights",
            expected="one of the two",
            remedy="name a file of its weights in network: {weights: FILE}, or leave the backbone out",
        )
    _check_reading(task, inputs, options, f"'{name}'")


def _check_reading(task: Task, inputs: Sequence[str], options: TrainOptions, what: str) -> None:
    """Refuse what no single encoder of series can do."""
    joined = options.time is None or options.time in JOINS
    if options.fusion is not None or not joined or task == "change":
        given = "The task is 'change'" if task == "change" else f"'{'time' if not joined else 'fusion'}' was given"
        raise ConfigError(
            given,
            expected=f"with {what}, which reads one input and all its dates at once, no fusion, and for 'time' one of "
            f"{', '.join(JOINS)}",
            remedy="train with a backbone that compares two dates" if task == "change" else "leave it out",
        )
    if len(inputs) > 1:
        raise ConfigError(
            f"The samples have the inputs {', '.join(inputs)}, and {what} reads one",
            expected="one input",
            remedy=f"name the bands of one: bands: {{{inputs[0]}: [...]}}",
        )


def check_same_unit(here: Intake, there: Intake, pretrained: str) -> None:
    """Refuse data whose numbers cannot be those that an encoder was pretrained on.

    Args:
        here: the bands with statistics of the data.
        there: the same with those of pretraining.
        pretrained: what the encoder was called.

    Raises:
        InputError: mean or spread of a band is that of another unit.
    """
    for name, bands in there.bands.items():
        for place, band in enumerate(bands):
            ours, theirs = (_statistics(each, name, place) for each in (here, there))
            if ours == UNMEASURED:
                continue
            if strange(band.kind, ours, theirs):
                raise InputError(
                    f"The band '{band.name}' has mean {ours[0]:.4g} and standard deviation {ours[1]:.4g}, and "
                    f"'{pretrained}' was pretrained on mean {theirs[0]:.4g} and standard deviation {theirs[1]:.4g}",
                    expected="numbers of the same sensor and unit",
                    remedy="convert the data to that unit (name sensor and level when cutting the chips)",
                )


def _statistics(intake: Intake, name: str, place: int) -> tuple[float, float]:
    normalise: Any = intake.normalise[name]
    return float(normalise.mean[place]), float(normalise.std[place])


def transferred(
    model: Path, name: str, bands: BandSet, dates: int, outputs: int, head: tuple[Head, int], join: Dates = "mean"
) -> tuple[TransferredNetwork, Intake, str]:
    """A network whose encoder is that of a pretraining, what it reads, and a table of what was loaded.

    Args:
        model: the checkpoint.
        name: of the input.
        bands: the bands on offer.
        dates: of a sample.
        outputs: numbers of the head.
        head: kind and width.
        join: how dates are joined.

    Raises:
        InputError: no band of pretraining is on offer, or the checkpoint cannot be read.
        ConfigError: the encoder does not suit the samples.
    """
    made = pretrained_network(load_masked(model), bands, outputs, head=head[0], head_width=head[1])
    inputs = {name: {"bands": len(made.bands), "dates": dates}}
    network = TransferredNetwork(
        inputs, outputs, made.network.spec.encoder, head=head[0], head_width=head[1], join=join
    )
    if join == "channels":  # the head has other channels than one of pooled dates
        network.body.encoder.load_state_dict(made.network.encoder.state_dict())
    else:
        network.body.load_state_dict(made.network.state_dict(), strict=False)
    normalise: Normalise = made.normalise
    return network, Intake({name: made.bands}, {name: normalise}, {name: dates}), str(made.report)


def _parameters(part: nn.Module | None) -> Any:
    return iter(()) if part is None else part.parameters()
