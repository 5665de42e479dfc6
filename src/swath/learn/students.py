"""A student that is its teacher's transformer with fewer blocks, or narrower ones: its shape and its first weights."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from torch import Tensor, nn

from swath.chips import Samples
from swath.errors import ConfigError
from swath.learn.building import Measured, build, make_goal, tune_network
from swath.learn.checkpoint import Task
from swath.learn.intake import Intake
from swath.learn.model_task import ModelTask
from swath.learn.options import DistilOptions, NetworkOptions, SeriesOptions, TrainOptions
from swath.learn.reproduce import seeded
from swath.learn.transferred import TransferredNetwork
from swath.nn.joint import JointNetwork
from swath.nn.tuning import merge
from swath.nn.vit import ViT

_BLOCKS = "blocks"
_ADDS = ("adapter", "prompt")
"""Ways of tuning that put layers beside those of the backbone, and that cannot be written into its weights."""
_ENCODERS = ("encoder.", "body.encoder.")
"""Where a network keeps its encoder."""
Say = Callable[[str], None]


def student_of(
    teacher: Task, samples: Samples, measured: Measured, options: TrainOptions, *, seed: int, say: Say = print
) -> ModelTask:
    """A task with the teacher's transformer of ``options.distil.depth`` blocks, which start from the teacher's.

    Args:
        teacher: trained.
        samples: what is learned from.
        measured: statistics and counts of their train split; bands and statistics of an encoder that came from a
            pretraining are the teacher's.
        options: all the rest.
        seed: of the head, and of what nothing of the teacher fits.
        say: called with what was done.

    Raises:
        ConfigError: the teacher has no blocks to leave out, or not more than are asked for.
        InputError: the samples do not fit.
    """
    if not isinstance(teacher, ModelTask) or not isinstance(teacher.network, TransferredNetwork):
        student = build(samples, measured, shaped_like(teacher, options), seed=seed, say=say)
        say(copy_blocks(teacher, student, options.distil.layers))
        return student
    goal = make_goal(samples, measured, options)
    student = transferred_student(teacher, goal, options.distil, seed=seed)
    say(copy_blocks(teacher, student, options.distil.layers))
    tune_network(student.network, options, seed)  # type: ignore[arg-type]  # made above
    return student


def transferred_student(teacher: ModelTask, goal: Any, options: DistilOptions, *, seed: int) -> ModelTask:
    """The same for a teacher on a pretrained encoder, before anything is copied.

    Args:
        teacher: with a ``TransferredNetwork``.
        goal: what is asked; see ``building.make_goal``.
        options: depth and width.
        seed: of the first weights.

    Raises:
        ConfigError: as ``student_of``.
    """
    network, intake = teacher.network, teacher.intake
    assert isinstance(network, TransferredNetwork)  # the caller has seen to it
    assert intake is not None  # such a network has one
    encoder = smaller(network.spec.encoder, options, _blocks_of(teacher))
    arguments = {**asdict(network.spec), "encoder": encoder, "outputs": goal.raw}
    with seeded(seed, "initialise"):
        made = TransferredNetwork(**arguments)
    return ModelTask(made, goal, _copied(intake), colours=teacher.colours)


def smaller(encoder: Mapping[str, Any], options: DistilOptions, blocks: int) -> dict[str, Any]:
    """Arguments of an encoder with fewer or narrower blocks; features come from each quarter of its depth.

    A narrower encoder keeps the width of a head as near as whole heads allow.

    Args:
        encoder: arguments of the teacher's.
        options: depth and width.
        blocks: of the teacher.

    Raises:
        ConfigError: depth or width is larger than the teacher's.
    """
    depth = _depth(options, blocks)
    taps = tuple(sorted({max(depth * part // 4 - 1, 0) for part in (1, 2, 3, 4)}))
    found = {**encoder, "depth": depth, "taps": taps if len(encoder["taps"]) > 1 else (depth - 1,)}
    if options.width is None:
        return found
    width, heads = int(encoder["width"]), int(encoder["heads"])
    if options.width > width:
        raise ConfigError(
            f"The student was to have the width {options.width}, and its teacher has {width}",
            expected=f"at most {width}",
            remedy="change distil.width",
        )
    wanted = options.width * heads / width
    fitting = [number for number in range(1, heads + 1) if options.width % number == 0]
    found |= {"width": options.width, "heads": min(fitting, key=lambda number: abs(number - wanted))}
    if found.get("group_width"):
        found["group_width"] = None  # the usual share of the new width
    return found


def shaped_like(teacher: Task, options: TrainOptions) -> TrainOptions:
    """The options with the teacher's network of fewer blocks in place of their own.

    Raises:
        ConfigError: the teacher has no blocks to leave out, or not more than are asked for.
    """
    network = teacher.network
    blocks = _blocks_of(teacher)
    if options.distil.depth is None or not isinstance(network, JointNetwork):
        return options
    spec = network.spec
    sizes = {name: value for name, value in spec.options.items() if name != "taps"}
    sizes["depth"] = _depth(options.distil, blocks)
    if options.distil.width is not None:
        sizes["width"] = options.distil.width
    shape = NetworkOptions(backbone=spec.backbone, head=spec.head, head_width=spec.head_width, options=sizes)
    return options.model_copy(
        update={
            "network": shape,
            "fusion": spec.fusion,
            "time": spec.time if max(each["dates"] for each in spec.inputs.values()) > 1 else None,
            "series": SeriesOptions(**spec.series),
        }
    )


def copy_blocks(teacher: Task, student: Task, layers: str) -> str:
    """Start the encoders of a student from those of its teacher, in place: what has the same name and shape.

    Args:
        teacher: gives.
        student: takes; its head, and what joins several inputs, keep their start.
        layers: ``first`` or ``even``; see ``chosen_blocks``.

    Returns:
        What was done, in a sentence.
    """
    depth, blocks = _blocks_of(student), _blocks_of(teacher)
    chosen = chosen_blocks(blocks, depth, layers)
    given, wanted = _plain_state(teacher.network), student.network.state_dict()
    taken = {}
    for name, value in wanted.items():
        source = _source_of(name, chosen)
        if name.startswith(_ENCODERS) and source in given and given[source].shape == value.shape:
            taken[name] = given[source].clone()
    student.network.load_state_dict({**wanted, **taken})
    numbers = sum(taken[name].numel() for name, _ in student.network.named_parameters() if name in taken)
    every, theirs = (sum(each.numel() for each in task.network.parameters()) for task in (student, teacher))
    places = ", ".join(str(block) for block in chosen)
    return (
        f"student: blocks {places} of {blocks}; {numbers:,} of its {every:,} parameters start from the teacher, "
        f"which has {theirs:,}"
    )


def chosen_blocks(blocks: int, depth: int, layers: str) -> tuple[int, ...]:
    """Numbers of the teacher's blocks that a student of ``depth`` blocks starts from, counted from 0.

    ``first``: the first ones; ``even``: evenly spaced from the first to the last.
    """
    if layers == "first" or depth == 1:
        return tuple(range(depth))
    return tuple(round(place * (blocks - 1) / (depth - 1)) for place in range(depth))


def _source_of(name: str, chosen: tuple[int, ...]) -> str:
    """Name in the teacher of a parameter of the student."""
    words = name.split(".")
    place = next((i for i, word in enumerate(words) if word == "backbone"), None)
    if name.startswith(_ENCODERS[1]):
        place = 1
    if place is not None and words[place + 1 : place + 2] == [_BLOCKS]:
        words[place + 2] = str(chosen[int(words[place + 2])])
    return ".".join(words)


def _blocks_of(task: Task) -> int:
    """Blocks of the backbone of a task.

    Raises:
        ConfigError: it has none that could be left out, or layers beside them.
    """
    network = task.network
    if isinstance(network, TransferredNetwork):
        depths = [int(network.spec.encoder["depth"])]
    elif isinstance(network, JointNetwork):
        backbones = [branch.backbone for branch in network.branches().values()]
        depths = [backbone.spec.depth for backbone in backbones if isinstance(backbone, ViT)]
    else:
        depths = []
    kind = dict(getattr(network, "tuned_by", {})).get("kind")
    if not depths or kind in _ADDS:
        what = f"was tuned by '{kind}', which added layers" if depths else "is no transformer of equal blocks"
        raise ConfigError(
            f"'distil.depth' was given, and the network of the teacher {what}",
            expected="a teacher with a backbone such as vit_small"
            + (", tuned as a whole or by lora" if depths else ""),
            remedy="leave 'distil.depth' out and describe a smaller network, such as network: {width: 8}",
        )
    return depths[0]


def _depth(options: DistilOptions, blocks: int) -> int:
    """Blocks of the student.

    Raises:
        ConfigError: more than the teacher has.
    """
    depth = blocks if options.depth is None else options.depth
    if depth > blocks:
        raise ConfigError(
            f"The student was to have {depth} blocks, and its teacher has {blocks}",
            expected=f"from 1 to {blocks}",
            remedy="change distil.depth",
        )
    return depth


def _plain_state(network: nn.Module) -> Mapping[str, Tensor]:
    """The weights with low-rank changes written into them, by the names that they have without."""
    if dict(getattr(network, "tuned_by", {})).get("kind") != "lora":
        return network.state_dict()
    merged = copy.deepcopy(network)
    merge(merged)
    return merged.state_dict()


def _copied(intake: Intake) -> Intake:
    """The same bands, statistics and dates in modules of its own."""
    normalise: Any = {name: copy.deepcopy(intake.normalise[name]) for name in intake.bands}
    return Intake(intake.bands, normalise, intake.dates, needs_days=intake.needs_days, needs_places=intake.needs_places)
