"""An encoder that pretraining left (``swath train --objective mae``), with a head, in the place of a joint network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from swath.errors import ConfigError, InputError
from swath.learn.checkpoint import BEST_FIRST, RECORD, read_record
from swath.learn.intake import Intake
from swath.learn.objectives.masked import TASK, load_masked
from swath.learn.objectives.transfer import PretrainedNetwork, pretrained_network
from swath.learn.options import TrainOptions
from swath.learn.pretrained import strange
from swath.nn import Normalise, ordered_parts
from swath.nn.grouped import GroupedEncoder
from swath.nn.network import Head
from swath.sensors import BandSet
from swath.types import Task
from swath.weights import is_name


@dataclass(frozen=True)
class TransferredSpec:
    """All that fixes the shape of a network: what a checkpoint stores.

    Args:
        inputs: the one input's name to ``{"bands": C, "dates": T}``.
        outputs: numbers per pixel, or per sample with the head ``vector``.
        encoder: arguments of the encoder, see ``learn.objectives.transfer``.
        head: kind of head.
        head_width: channels inside a pyramid or head.
    """

    inputs: dict[str, dict[str, int]]
    outputs: int
    encoder: dict[str, Any]
    head: Head = "upernet"
    head_width: int = 128

    @property
    def time(self) -> Literal["pool"]:
        """Dates are pooled."""
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
    ) -> None:
        super().__init__()
        sizes = {name: dict(each) for name, each in inputs.items()}
        self.spec = TransferredSpec(sizes, outputs, dict(encoder), head, head_width)
        if len(sizes) != 1:
            raise ConfigError(
                f"The inputs are {', '.join(sizes)}, and the pretrained encoder reads one",
                expected="one input",
                remedy="name the bands of one input, as in bands: {image: [B04, B08]}",
            )
        self.body = PretrainedNetwork(encoder, outputs, head, head_width)
        dates = next(iter(sizes.values()))["dates"]
        if dates > 1 and isinstance(self.body.encoder, GroupedEncoder):
            raise ConfigError(
                f"The samples have {dates} dates, and the pretrained encoder sees single ones",
                expected="samples of one date, or an encoder of the family space_time",
                remedy="cut chips of one date, or pretrain with family: space_time",
            )

    @property
    def encoder(self) -> nn.Module:
        """What was pretrained."""
        return self.body.encoder

    def forward(self, images: Mapping[str, Tensor], seen: Mapping[str, Tensor], days: Mapping[str, Tensor]) -> Tensor:
        """``(B, outputs, H, W)``, or ``(B, outputs)``, from standardised ``(B, T, C, H, W)``, 0 where invalid."""
        image = images[next(iter(self.spec.inputs))]
        single = isinstance(self.body.encoder, GroupedEncoder)
        found: Tensor = self.body(image[:, 0] if single else image)
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
    odd += [name for name in ("fusion", "time") if getattr(options, name) is not None]
    if odd or task == "change":
        raise ConfigError(
            f"'{odd[0]}' was given" if odd else "The task is 'change'",
            expected="with the encoder of a pretraining, which has its own shape and pools dates, only head and "
            "head_width",
            remedy=f"leave '{odd[0]}' out" if odd else "train with a backbone that compares two dates",
        )
    if len(inputs) > 1:
        raise ConfigError(
            f"The samples have the inputs {', '.join(inputs)}, and the encoder of a pretraining reads one",
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
    model: Path, name: str, bands: BandSet, dates: int, outputs: int, head: tuple[Head, int]
) -> tuple[TransferredNetwork, Intake, str]:
    """A network whose encoder is that of a pretraining, what it reads, and a table of what was loaded.

    Args:
        model: the checkpoint.
        name: of the input.
        bands: the bands on offer.
        dates: of a sample.
        outputs: numbers of the head.
        head: kind and width.

    Raises:
        InputError: no band of pretraining is on offer, or the checkpoint cannot be read.
        ConfigError: the encoder does not suit the samples.
    """
    made = pretrained_network(load_masked(model), bands, outputs, head=head[0], head_width=head[1])
    inputs = {name: {"bands": len(made.bands), "dates": dates}}
    network = TransferredNetwork(inputs, outputs, made.network.spec.encoder, head=head[0], head_width=head[1])
    network.body.load_state_dict(made.network.state_dict())
    normalise: Normalise = made.normalise
    return network, Intake({name: made.bands}, {name: normalise}, {name: dates}), str(made.report)


def _parameters(part: nn.Module | None) -> Any:
    return iter(()) if part is None else part.parameters()
