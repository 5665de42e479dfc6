"""A dry run: what training would do, from the index and the descriptions of the samples alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from swath.chips import ChipSet, JoinedSet, Statistics
from swath.errors import InputError, SwathError
from swath.learn.building import (
    Measured,
    build,
    chosen_bands,
    make_goal,
    make_network,
    on_published_backbone,
    published_for,
    tune_network,
)
from swath.learn.distil import load_teacher
from swath.learn.faults import (
    backbone_faults,
    dates_faults,
    label_faults,
    size_faults,
    statistics_faults,
    weights_faults,
)
from swath.learn.goals import AnyGoal
from swath.learn.memory import FLOAT, HOW, Memory, estimate, kept_bytes
from swath.learn.model_task import ModelTask
from swath.learn.options import TrainOptions
from swath.learn.published import PublishedNetwork
from swath.learn.students import shaped_like, transferred_student
from swath.learn.training import check_monitor, with_monitor
from swath.learn.transferred import TransferredNetwork, masked_run
from swath.models.backbones import NAMES as PUBLISHED
from swath.models.backbones import RANDOM
from swath.nn.joint import JointNetwork
from swath.sensors import BandSet
from swath.types import Features, Split, Task

AnyNetwork = JointNetwork | PublishedNetwork | TransferredNetwork


@dataclass(frozen=True)
class InputPlan:
    """One input as the network gets it.

    Args:
        name: of the input.
        bands: names in order.
        units: of each.
        dates: most dates of a sample.
        shape: of a batch: sample, time, band, y, x.
    """

    name: str
    bands: tuple[str, ...]
    units: tuple[str, ...]
    dates: int
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """What ``swath check`` tells.

    Args:
        source: folder of the samples.
        task: what is asked.
        inputs: what goes in.
        counts: class or label to number in the train split; empty for quantities.
        names: classes, labels or quantities, with their units where they have some.
        splits: number of samples per split.
        network: in words.
        parts: (part, parameters, of which learn).
        output: shape of a batch of predictions; empty where the network could not be built.
        steps: batch size, batches per epoch, optimiser steps per epoch and in all, epochs.
        memory: bytes by what takes them; None where the network could not be built.
        problems: sentences; none where training can begin.
    """

    source: str
    task: Task
    inputs: tuple[InputPlan, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    splits: Mapping[str, int] = field(default_factory=dict)
    network: str = ""
    parts: tuple[tuple[str, int, int], ...] = ()
    output: tuple[int, ...] = ()
    steps: Mapping[str, int] = field(default_factory=dict)
    memory: Memory | None = None
    problems: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        """As JSON values; ``parameters`` and ``memory_mb`` are the totals."""
        memory = None if self.memory is None else dict(vars(self.memory))
        return {
            "source": self.source,
            "task": self.task,
            "inputs": [{**vars(each), "shape": list(each.shape)} for each in self.inputs],
            "names": list(self.names),
            "counts": dict(self.counts),
            "splits": dict(self.splits),
            "network": self.network,
            "parts": [{"part": part, "parameters": all_, "learning": learning} for part, all_, learning in self.parts],
            "parameters": sum(all_ for _, all_, _ in self.parts),
            "output": list(self.output),
            "steps": dict(self.steps),
            "memory": memory,
            "memory_mb": None if self.memory is None else round(self.memory.total / 2**20, 1),
            "memory_how": HOW,
            "problems": list(self.problems),
        }


class _Problems:
    """Sentences of what went wrong, one step after the other."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def of(self, step: Callable[[], Any]) -> Any:
        """What a step gives, or None and its sentence."""
        try:
            return step()
        except SwathError as error:
            self.found.append(str(error))
            return None

    def add(self, faults: list[str]) -> None:
        """More sentences."""
        self.found += faults


def plan(samples: ChipSet | JoinedSet, options: TrainOptions) -> Plan:
    """What training with these options would do, and what stands in its way.

    No pixel is read: the split, the index and the statistics that lie beside the samples are. Networks are built on
    torch's meta device, whatever their size.

    Args:
        samples: a chip set or joined ones.
        options: see ``TrainOptions``.
    """
    problems = _Problems()
    teacher = problems.of(lambda: None if options.teacher is None else load_teacher(options.teacher)[0])
    like_teacher = isinstance(teacher, ModelTask) and isinstance(teacher.network, TransferredNetwork)
    if teacher is not None and options.distil.depth is not None and not like_teacher:
        options = problems.of(lambda: shaped_like(teacher, options)) or options
    split = problems.of(lambda: _split(samples.folder))
    made = Plan(str(samples.folder), samples.task, names=_names(samples))
    ids: list[str] = []
    if split is not None:
        ids = split.ids("train")
        counts = {} if samples.quantities else samples.class_counts(ids)
        made = replace(made, splits=split.counts(), counts=counts)
        problems.add(label_faults(samples, counts, len(ids)))
    made = replace(made, steps=steps_of(len(ids), options))
    bands = problems.of(lambda: chosen_bands(samples, options))
    if bands is not None:
        made = replace(made, inputs=_inputs(samples, bands, options.batch_size))
        measured, faults = statistics_faults(samples, bands, _statistics(samples, problems), split)
        problems.add(faults)
        measured = replace(measured, counts=made.counts, samples=len(ids))
        model = teacher if like_teacher and options.distil.depth is not None else None
        made = _with_network(made, _Wanted(samples, bands, measured, options, model), problems)
    return replace(made, problems=tuple(dict.fromkeys(problems.found)))


@dataclass(frozen=True)
class _Wanted:
    """What a network is built from; ``model`` is the teacher whose shape a student on a pretrained encoder gets."""

    samples: ChipSet | JoinedSet
    bands: Mapping[str, BandSet]
    measured: Measured
    options: TrainOptions
    model: ModelTask | None


def _with_network(made: Plan, wanted: _Wanted, problems: _Problems) -> Plan:
    """The plan with its network, where that can be built."""
    samples, options = wanted.samples, wanted.options
    values = ([0.0] * len(samples.quantities), [1.0] * len(samples.quantities))  # the real ones need every target
    wanted = replace(wanted, measured=replace(wanted.measured, values=values))
    goal = problems.of(lambda: make_goal(samples, wanted.measured, options))
    if goal is None:
        return made
    config = with_monitor(options.fit, samples.task)
    problems.of(lambda: check_monitor(config, list(goal.tally().scores())))
    found = problems.of(lambda: _built(wanted, goal))
    if found is None:
        return made
    network, bands = found
    if not isinstance(network, TransferredNetwork):
        problems.add(weights_faults(network, wanted.bands, wanted.measured, options))
    else:
        made = replace(made, inputs=_inputs(samples, bands, options.batch_size))
        problems.add(backbone_faults(options, made.inputs[0].shape[-1]) if wanted.model is None else [])
    if isinstance(network, JointNetwork):
        problems.add(size_faults(network, {each.name: each.shape[-1] for each in made.inputs}))
        problems.add(dates_faults(network, samples))
    made = replace(made, network=_words(network, options), parts=parts_of(network))
    counted = problems.of(lambda: _count(network, made.inputs))
    if counted is None:
        return made
    kept, output = counted
    size = sum(math.prod(each.shape) * (FLOAT + 1) for each in made.inputs)
    return replace(made, output=output, memory=estimate(network, options.fit, kept, size))


def _built(wanted: _Wanted, goal: AnyGoal) -> tuple[AnyNetwork, Mapping[str, BandSet]]:
    """The network without memory, and the bands it reads.

    Raises:
        ConfigError: options that do not fit the samples, each other, an encoder or a teacher.
        InputError: bands or units do not fit, or weights cannot be read.
    """
    samples, options = wanted.samples, wanted.options
    if options.network.backbone in PUBLISHED and wanted.model is None:
        with torch.device("meta"):
            published = on_published_backbone(samples, wanted.measured, options, 0, lambda text: None, filled=False)
        return published.network, published.inputs
    if wanted.model is not None:
        student = transferred_student(wanted.model, goal, options.distil, seed=0)
        tune_network(student.network, options, 0)  # type: ignore[arg-type]  # on an encoder as its teacher is
        return student.network.to("meta"), student.inputs
    if masked_run(options.pretrained) is not None:
        task = build(samples, wanted.measured, options, seed=0, say=lambda text: None)
        return task.network.to("meta"), task.inputs
    return meta_network(samples, wanted.bands, goal, options), wanted.bands


def meta_network(
    samples: ChipSet | JoinedSet, bands: Mapping[str, BandSet], goal: AnyGoal, options: TrainOptions
) -> AnyNetwork:
    """The network without memory, with what learns chosen.

    Raises:
        ConfigError: options that do not fit the samples or each other.
        InputError: no band of a published encoder is there.
    """
    with torch.device("meta"):
        published = published_for(samples.task, bands, goal.raw, options)
        if published is not None:
            return published
        network = make_network(samples, bands, goal, options)
        tune_network(network, options, 0)
    return network


def parts_of(network: nn.Module) -> tuple[tuple[str, int, int], ...]:
    """(part, parameters, of which learn) for each backbone, encoder of dates, fusion and head."""
    sizes: dict[str, list[int]] = {}
    for name, parameter in network.named_parameters():
        words = name.split(".")
        last = next((i for i, word in enumerate(words) if word in ("backbone", "series", "pool")), 0)
        last = 1 if words[0] == "body" else last
        entry = sizes.setdefault(".".join(words[: last + 1]), [0, 0])
        entry[0] += parameter.numel()
        entry[1] += parameter.numel() if parameter.requires_grad else 0
    return tuple((part, every, learning) for part, (every, learning) in sizes.items())


def steps_of(samples: int, options: TrainOptions) -> dict[str, int]:
    """Batches and optimiser steps."""
    batches = -(-samples // options.batch_size)
    steps = -(-batches // options.fit.accumulate)
    return {
        "batch_size": options.batch_size,
        "batches_per_epoch": batches,
        "steps_per_epoch": steps,
        "epochs": options.fit.epochs,
        "steps": steps * options.fit.epochs,
    }


def _count(network: AnyNetwork, inputs: tuple[InputPlan, ...]) -> tuple[int, tuple[int, ...]]:
    """Bytes kept for gradients and the shape that comes out, without memory."""
    with torch.device("meta"):
        if isinstance(network, PublishedNetwork):
            batch, _, _, rows, columns = inputs[0].shape
            stride, width = network.encoder.stride, network.encoder.channels
            cells = torch.zeros(batch, width, -(-rows // stride), -(-columns // stride))
            features = Features((cells,), (stride,), cls=torch.zeros(batch, width))
            kept, out = kept_bytes(network.head, lambda: network.head(features))
            return kept, out if len(out) == 2 else (*out[:2], rows, columns)
        images = {each.name: torch.zeros(each.shape) for each in inputs}
        seen = {each.name: torch.ones((*each.shape[:2], *each.shape[3:]), dtype=torch.bool) for each in inputs}
        days = {each.name: torch.zeros(each.shape[:2]) for each in inputs}
        return kept_bytes(network, lambda: network(images, seen, days))


def _words(network: AnyNetwork, options: TrainOptions) -> str:
    spec = network.spec
    if isinstance(network, PublishedNetwork):
        return f"{network.spec.encoder} (published, frozen), head {spec.head}"
    if isinstance(network, TransferredNetwork):
        shape = network.spec
        told = [shape.origin or "encoder of a pretraining", f"head {shape.head}"]
        if next(iter(shape.inputs.values()))["dates"] > 1:
            told.append(f"dates: {shape.join}")
        if network.conditions:
            told.append(f"told {' and '.join(network.conditions)}")
        if options.network.weights == RANDOM:
            told.append("RANDOM weights")
        return ", ".join(told)
    told = [f"{network.spec.backbone}", f"head {spec.head}"]
    if network.spec.several:
        told.append(f"{network.spec.fusion} fusion")
    if max(each["dates"] for each in network.spec.inputs.values()) > 1:
        told.append(f"dates: {network.spec.time}")
    return ", ".join(told)


def _split(folder: Path) -> Split:
    path = folder / "split.parquet"
    if not path.exists():
        raise InputError(f"There is no {path}", expected="the split of the samples", remedy="cut the chips again")
    return Split.load(path)


def _statistics(samples: ChipSet | JoinedSet, problems: _Problems) -> dict[str, Statistics]:
    """Statistics that lie beside the samples; those that do not are measured when training begins."""
    found = {}
    for name in samples.inputs:
        path = samples.folder / ("statistics.json" if isinstance(samples, ChipSet) else f"statistics_{name}.json")
        read = problems.of(partial(Statistics.load, path)) if path.exists() else None
        if read is not None:
            found[name] = read
    return found


def _inputs(samples: ChipSet | JoinedSet, bands: Mapping[str, BandSet], batch_size: int) -> tuple[InputPlan, ...]:
    made = []
    for name, each in bands.items():
        size = samples.size if isinstance(samples, ChipSet) else samples.sets[name].size
        dates = samples.dates[name]
        units = tuple(band.unit for band in each)
        made.append(InputPlan(name, each.names, units, dates, (batch_size, dates, len(each), size, size)))
    return tuple(made)


def _names(samples: ChipSet | JoinedSet) -> tuple[str, ...]:
    if not samples.quantities:
        return samples.classes
    return tuple(f"{name} [{unit}]" for name, unit in zip(samples.quantities, samples.units, strict=True))
