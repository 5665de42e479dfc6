"""From samples and options to a task ready to learn: nothing here reads a pixel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from swath.chips import Samples
from swath.errors import ConfigError, InputError, nearest
from swath.learn.backbones import Source, Top, fill_published, on_published
from swath.learn.goals import PER_PIXEL, TASKS, AnyGoal, LabelGoal, MultilabelGoal, ValueGoal
from swath.learn.intake import Intake
from swath.learn.model_task import ModelTask
from swath.learn.objective import losses_for
from swath.learn.options import KIND_OF, UNET, TrainOptions
from swath.learn.pretrained import check_no_backbone, check_statistics, fill_backbones, source_task
from swath.learn.published import PublishedNetwork
from swath.learn.record import tune
from swath.learn.reproduce import seeded
from swath.learn.transferred import (
    JOINS,
    TransferredNetwork,
    check_published,
    check_same_unit,
    check_transferred,
    masked_run,
    transferred,
)
from swath.models.backbones import NAMES as PUBLISHED
from swath.models.backbones import published_options
from swath.nn import Normalise
from swath.nn.branch import SERIES, Time
from swath.nn.joint import Fusion, JointNetwork
from swath.nn.network import Head
from swath.sensors import BandSet
from swath.types import Task
from swath.weights import is_name

Say = Callable[[str], None]


@dataclass(frozen=True)
class Measured:
    """What was measured on the train split.

    Args:
        inputs: input name to (bands, mean, standard deviation), each in the order of the bands.
        counts: pixels, samples or positives per class; empty for quantities.
        samples: number of training samples.
        values: mean and standard deviation of the quantities; empty for classes.
    """

    inputs: Mapping[str, tuple[Sequence[str], Sequence[float], Sequence[float]]]
    counts: Mapping[str, int]
    samples: int
    values: tuple[Sequence[float], Sequence[float]] = ((), ())


def is_plain(samples: Samples, options: TrainOptions) -> bool:
    """Whether the plain U-Net of ``learn.segmentation`` is all that is asked for."""
    network = options.network
    return (
        samples.task == "segmentation"
        and list(samples.dates.values()) == [1]
        and network.backbone == UNET
        and network.head in (None, UNET)
        and not network.options
        and not isinstance(options.bands, dict)
        and options.pretrained is None
        and options.loss is None
        and options.tuning.method == "full"
    )


def build(samples: Samples, measured: Measured, options: TrainOptions, *, seed: int, say: Say = print) -> ModelTask:
    """An untrained task for some samples.

    Args:
        samples: give task, inputs, dates and names.
        measured: statistics and counts of the train split.
        options: all the rest.
        seed: of the initial weights.
        say: called with the table of what was loaded, where something is.

    Raises:
        ConfigError: options that do not fit the samples or each other.
        InputError: a band is missing, or weights do not fit.
    """
    run = masked_run(options.pretrained)
    if options.network.backbone in PUBLISHED:
        return on_published_backbone(samples, measured, options, seed, say)
    if run is not None:
        return _on_pretrained(run, samples, measured, options, seed, say)
    bands = chosen_bands(samples, options)
    goal = make_goal(samples, measured, options)
    colours = _colours(samples, goal)
    with seeded(seed, "initialise"):
        published = published_for(samples.task, bands, goal.raw, options)
        if published is None:
            network = make_network(samples, bands, goal, options)
    if published is not None:
        say(str(published.fill()))
        return ModelTask(published, goal, colours=colours)
    intake = make_intake(samples, bands, measured, network.needs_days)
    if options.pretrained is not None:
        source = source_task(options.pretrained)
        for name, each in bands.items():
            normalise: Any = intake.normalise[name]
            check_statistics(each, normalise, source, options.pretrained)
        for report in fill_backbones(network, bands, source, options.pretrained).values():
            say(str(report))
    tune_network(network, options, seed)
    return ModelTask(network, goal, intake, colours=colours, modality_dropout=options.modality_dropout)


def _colours(samples: Samples, goal: AnyGoal) -> list[str]:
    """One per class, or none."""
    colours = [entry.colour for entry in getattr(samples, "legend", ())] if goal.target == "label" else []
    return colours if len(colours) == len(goal.names) else []


def _on_pretrained(
    run: Path, samples: Samples, measured: Measured, options: TrainOptions, seed: int, say: Say
) -> ModelTask:
    """A task on the encoder of a pretraining, with the statistics of that, which the encoder expects."""
    bands, goal = chosen_bands(samples, options), make_goal(samples, measured, options)
    check_transferred(samples.task, list(bands), options)
    name, offered = next(iter(bands.items()))
    usual = options.model_copy(update={"network": options.network.model_copy(update={"backbone": "vit_small"})})
    head = (usual_head(samples.task, usual), options.network.head_width)
    join = JOINS[options.time or "pool"]
    with seeded(seed, "initialise"):
        network, intake, told = transferred(run, name, offered, samples.dates[name], goal.raw, head, join)
    check_same_unit(make_intake(samples, intake.bands, measured), intake, str(options.pretrained))
    say(told)
    tune_network(network, options, seed)
    return ModelTask(network, goal, intake, colours=_colours(samples, goal))


def on_published_backbone(
    samples: Samples, measured: Measured, options: TrainOptions, seed: int, say: Say, *, filled: bool = True
) -> ModelTask:
    """A task on a published encoder that learns, with the statistics of its publication.

    Args:
        samples: give task, input, dates and names.
        measured: statistics and counts of the train split.
        options: all the rest.
        seed: of the first weights.
        say: called with the table of what was loaded.
        filled: put the weights in; otherwise they stay as they were made.

    Raises:
        ConfigError: options that the encoder has no use for.
        InputError: no band fits, numbers are of another unit, or weights do not fit.
    """
    bands, goal = chosen_bands(samples, options), make_goal(samples, measured, options)
    check_published(samples.task, list(bands), options)
    name, offered = next(iter(bands.items()))
    known, mean, std = measured.inputs[name]
    values = {band: (float(mean[place]), float(std[place])) for place, band in enumerate(known)}
    network = options.network
    source = Source(network.backbone, published_options(network.backbone, network.backbone_options()), network.weights)
    top = Top(goal.raw, usual_head(samples.task, options), network.head_width, JOINS[options.time or "pool"])
    made, intake, served = on_published(source, name, offered, samples.dates[name], top, values, seed=seed)
    with torch.device("cpu"):  # numbers, also where the network has no memory
        check_same_unit(make_intake(samples, intake.bands, measured), intake, network.backbone)
    if filled:
        fill_published(made, source, served, say)
    tune_network(made, options, seed)
    return ModelTask(made, goal, intake, colours=_colours(samples, goal))


def chosen_bands(samples: Samples, options: TrainOptions) -> dict[str, BandSet]:
    """The bands of each input to learn from.

    Raises:
        ConfigError: an input is unknown.
        InputError: a band is unknown.
    """
    asked = options.bands
    if asked is None:
        return dict(samples.inputs)
    if not isinstance(asked, dict):
        if len(samples.inputs) > 1:
            first = next(iter(samples.inputs))
            raise ConfigError(
                f"'bands' is one list, and the samples have the inputs {', '.join(samples.inputs)}",
                expected="one list for each input that is to be used",
                remedy=f"write bands: {{{first}: [{', '.join(samples.inputs[first].names[:2])}]}}",
            )
        return {name: bands.select(asked) for name, bands in samples.inputs.items()}
    unknown = [name for name in asked if name not in samples.inputs]
    if unknown:
        raise ConfigError(
            f"'bands' names the input '{unknown[0]}'",
            expected=f"one or more of {', '.join(samples.inputs)}",
            remedy=f"the nearest is {nearest(unknown[0], samples.inputs, 1)}",
        )
    return {name: bands.select(asked[name]) for name, bands in samples.inputs.items() if name in asked}


def make_goal(samples: Samples, measured: Measured, options: TrainOptions) -> AnyGoal:
    """What is asked, with its losses and weights.

    Raises:
        ConfigError: the task cannot be trained, a loss does not suit it, or a quantity never varies.
    """
    task = samples.task
    if task not in TASKS:
        raise ConfigError(
            f"The samples ask for '{task}'", expected=f"one of {', '.join(TASKS)}", remedy="label them for one of these"
        )
    loss = losses_for(task, options.loss)
    if samples.quantities:
        mean, std = measured.values
        return ValueGoal(task, samples.quantities, mean, std, loss, units=samples.units)
    counts = [measured.counts.get(name, 0) for name in samples.classes]
    if task == "multilabel":
        return MultilabelGoal(
            samples.classes, loss, class_weights=positive_weights(counts, measured.samples, options.class_balance)
        )
    weights = None if loss.ordinal is not None else balanced_weights(counts, options.class_balance)
    return LabelGoal(task, samples.classes, loss, class_weights=weights, label_smoothing=options.label_smoothing)


def make_network(samples: Samples, bands: Mapping[str, BandSet], goal: AnyGoal, options: TrainOptions) -> JointNetwork:
    """The network for these inputs, on the device of the context.

    Raises:
        ConfigError: options that do not fit the samples or each other.
    """
    sizes = {name: {"bands": len(each), "dates": samples.dates[name]} for name, each in bands.items()}
    time = usual_time(samples.task, sizes, options)
    return JointNetwork(
        sizes,
        goal.raw,
        backbone=options.network.backbone,
        head=usual_head(samples.task, options),
        head_width=options.network.head_width,
        options=options.network.backbone_options(),
        fusion=usual_fusion(sizes, options),
        fusion_width=options.network.head_width,
        time=time,
        series=options.series.model_dump() if time in SERIES else {},
    )


def usual_head(task: Task, options: TrainOptions) -> Head:
    """The head that was asked for, else the usual one.

    Raises:
        ConfigError: the head does not suit the task or the tuning.
    """
    network, linear = options.network, options.tuning.method == "linear"
    if network.head is not None and (network.head == "vector") == (task in PER_PIXEL):
        raise ConfigError(
            f"The head '{network.head}' was asked for, and the task is '{task}'",
            expected="linear, fcn, unet or upernet, which give numbers per pixel"
            if task in PER_PIXEL
            else "the head 'vector', which gives numbers per sample",
            remedy="leave the head out for the usual one",
        )
    if network.head is not None:
        if linear and network.head not in ("linear", "vector"):
            raise ConfigError(
                f"The tuning is 'linear' and the head '{network.head}'",
                expected="the head 'linear', or 'vector' for whole samples",
                remedy="leave the head out, or set tuning to frozen",
            )
        return network.head
    if task not in PER_PIXEL:
        return "vector"
    published = options.pretrained is not None and is_name(options.pretrained)
    if linear or published or network.backbone == "none":
        return "linear"
    return "unet" if network.backbone == UNET else "upernet"


def usual_time(task: Task, sizes: Mapping[str, Mapping[str, int]], options: TrainOptions) -> Time:
    """How dates are joined, as asked for, else the usual way.

    Raises:
        ConfigError: change is asked of samples without two dates.
    """
    most = max(each["dates"] for each in sizes.values())
    if task == "change" and most < 2:
        raise ConfigError(
            "The task is 'change', and no input has two dates",
            expected="samples of two dates",
            remedy="cut chips from a scene with both dates",
        )
    if options.time is not None:
        return options.time
    return "difference" if task == "change" and most == 2 else "pool"


def usual_fusion(sizes: Mapping[str, Mapping[str, int]], options: TrainOptions) -> Fusion:
    """Where inputs meet, as asked for, else late."""
    return options.fusion if options.fusion is not None else "late"


def make_intake(samples: Samples, bands: Mapping[str, BandSet], measured: Measured, needs_days: bool = False) -> Intake:
    """Bands and statistics of every input.

    Raises:
        InputError: the statistics lack a band.
    """
    normalise = {}
    for name, each in bands.items():
        known, mean, std = measured.inputs[name]
        missing = [band for band in each.names if band not in known]
        if missing:
            raise InputError(
                f"The statistics of '{name}' hold {', '.join(known)}, but not {missing[0]}",
                expected="statistics of every band that is used",
                remedy=f"measure them again; the nearest name there is {nearest(missing[0], known, 1)}",
            )
        places = [list(known).index(band) for band in each.names]
        normalise[name] = Normalise([mean[p] for p in places], [std[p] for p in places], names=each.names)
    return Intake(bands, normalise, {name: samples.dates[name] for name in bands}, needs_days=needs_days)


def tune_network(network: JointNetwork | TransferredNetwork, options: TrainOptions, seed: int) -> None:
    """Choose what learns; what lies behind the backbones always does.

    Raises:
        ConfigError: the backbone has no place for what the method adds.
    """
    tuning = options.tuning
    if tuning.method == "full":
        return
    parts = network.new_parts()
    # Of the last parts the head is one; pyramids and pools stay as they are unless they are counted in.
    train = [name for name in parts if tuning.method != "partial" or name.rsplit(".", 1)[-1] == "head"]
    sizes = {"rank": tuning.rank, "width": tuning.width, "prompts": tuning.prompts, "blocks": tuning.blocks}
    tune(network, {"kind": KIND_OF[tuning.method], "train": train, "seed": seed, **sizes})


def balanced_weights(counts: Sequence[int], power: float) -> tuple[float, ...]:
    """Weights (n / (K n_c))^power over the K classes that occur; a class that does not gets 1, it is never drawn."""
    present = [count for count in counts if count > 0]
    total = sum(present)
    return tuple((total / (len(present) * count)) ** power if count > 0 else 1.0 for count in counts)


def positive_weights(counts: Sequence[int], samples: int, power: float) -> tuple[float, ...]:
    """Weights ((n - n_c) / n_c)^power of the presence of each label in n samples; 1 where it never or always occurs."""
    return tuple(((samples - count) / count) ** power if 0 < count < samples else 1.0 for count in counts)


def published_for(
    task: Task, bands: Mapping[str, BandSet], outputs: int, options: TrainOptions
) -> PublishedNetwork | None:
    """A published encoder with a fresh head, where ``pretrained`` names one; its weights are still to be filled in.

    Args:
        task: what is asked.
        bands: those that are used, by input.
        outputs: numbers that the head gives.
        options: all the rest.

    Raises:
        ConfigError: options that a published encoder has no use for.
        InputError: none of its bands is there.
    """
    name = options.pretrained
    if name is None or not is_name(name):
        return None
    check_no_backbone("backbone" in options.network.model_fields_set, name, options.network.backbone)
    if task == "change":
        raise ConfigError(
            f"The task is 'change', and '{name}' makes one embedding of all dates",
            expected="a backbone that sees each date by itself",
            remedy="leave 'pretrained' out, or embed both dates with 'swath embed'",
        )
    if options.tuning.method not in ("full", "frozen", "linear") or (
        options.tuning.method == "full" and "tuning" in options.model_fields_set
    ):
        raise ConfigError(
            f"The tuning is '{options.tuning.method}' and 'pretrained' is '{name}', which learns nothing itself",
            expected="frozen or linear",
            remedy="set tuning to frozen, or leave it out",
        )
    if options.fusion is not None or options.time is not None:
        raise ConfigError(
            f"'fusion' or 'time' was given with '{name}', which joins inputs and dates itself",
            expected="neither of them",
            remedy="leave them out",
        )
    network = PublishedNetwork(name, outputs, head=usual_head(task, options), head_width=options.network.head_width)
    offered = BandSet(tuple(band for each in bands.values() for band in each))
    return network.using(offered)
