"""Train any task on any set of samples: the composition of loader, task, loop and validation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from swath.chips import Augment, ChipLoader, ChipSet, JoinedSet, input_statistics, value_statistics
from swath.errors import ConfigError, InputError, ResourceError, nearest
from swath.learn.building import Measured, Say, build, is_plain
from swath.learn.cache import cached_loader
from swath.learn.checkpoint import Task, load_checkpoint
from swath.learn.config import FitConfig
from swath.learn.distil import Distilled, load_teacher
from swath.learn.fit import BatchLoader, Validate, fit
from swath.learn.frozen import is_frozen
from swath.learn.goals import MONITOR, LabelGoal
from swath.learn.model_task import ModelTask
from swath.learn.options import TrainOptions
from swath.learn.segmentation import build_task, train_segmentation
from swath.learn.students import student_of
from swath.learn.task import check_classes
from swath.nn.grouped import GroupedEncoder
from swath.types import Split
from swath.types import Task as TaskName

FEATURES = "features"
"""Folder in that of a run where features of a frozen backbone are kept."""


def train(
    samples: ChipSet | JoinedSet,
    split: Split,
    options: TrainOptions,
    out: Path,
    *,
    seed: int,
    progress: bool = True,
    say: Say = print,
) -> Task:
    """Train on the train split and keep the weights that were best on the validation split.

    An unfinished run in ``out`` is resumed. Without validation chips the weights of the last epoch are kept.

    Args:
        samples: a chip set or joined ones; they say what the task is.
        split: which sample is for what.
        options: see ``TrainOptions``.
        out: folder of the run; ``best/`` and ``last/`` in it are the models.
        seed: seed of initialisation, data order and augmentation.
        progress: show a progress bar.
        say: called with the table of what was loaded, where something is.

    Raises:
        InputError: the train split is empty, holds one class only, or weights or bands do not fit.
        ConfigError: options do not fit the samples, or ``out`` holds a run with other options or another seed.
    """
    if options.teacher is None and is_plain(samples, options) and isinstance(samples, ChipSet):
        check_ids(samples, split)
        measured = input_statistics(samples, split)[next(iter(samples.inputs))]
        return train_segmentation(samples, split, options, out, seed=seed, progress=progress, statistics=measured)
    train_ids, validation_ids = split.ids("train"), split.ids("validation")
    task = learner(samples, split, options, seed=seed, say=say)
    augment = Augment(**options.augment.model_dump())
    loader: BatchLoader = ChipLoader(samples, train_ids, batch_size=options.batch_size, seed=seed, augment=augment)
    if not isinstance(task, Distilled):
        loader = with_features(task, loader, options, out, say=say)
    validate = validation(samples, validation_ids, options.batch_size) if validation_ids else None
    config = with_monitor(options.fit, samples.task)
    result = fit(task, loader, config=config, out=out, seed=seed, validate=validate, progress=progress)
    return load_checkpoint(result.best or result.last)


def learner(
    samples: ChipSet | JoinedSet, split: Split, options: TrainOptions, *, seed: int, say: Say = print
) -> ModelTask | Distilled:
    """An untrained task, with its teacher where one is named.

    Args:
        samples: a chip set or joined ones.
        split: which sample is for what.
        options: all the rest.
        seed: of the initial weights.
        say: called with the table of what was loaded, where something is.

    Raises:
        ConfigError: options do not fit the samples or the teacher.
        InputError: a band is missing, weights do not fit, or the teacher is one of something else.
    """
    measured = measure(samples, split)
    if options.teacher is None:
        return build(samples, measured, options, seed=seed, say=say)
    teacher, fingerprint = load_teacher(options.teacher)
    if options.distil.depth is not None:
        student = student_of(teacher, samples, measured, options, seed=seed, say=say)
        return Distilled(student, teacher, options.distil, fingerprint)
    if is_plain(samples, options) and isinstance(samples, ChipSet):
        known = input_statistics(samples, split)[next(iter(samples.inputs))]
        plain = build_task(samples, known, list(measured.counts.values()), options, seed=seed)
        return Distilled(plain, teacher, options.distil, fingerprint)
    return Distilled(build(samples, measured, options, seed=seed, say=say), teacher, options.distil, fingerprint)


def with_features(
    task: ModelTask, loader: BatchLoader, options: TrainOptions, out: Path, *, say: Say = print
) -> BatchLoader:
    """The loader, with features of the backbone kept in the folder of the run where nothing of it learns.

    They are kept as float32, so that the run is the same as without them up to rounding.

    Args:
        task: ready to learn.
        loader: training batches.
        options: ``cache``, ``cache_views`` and the random changes.
        out: folder of the run.
        say: called with a sentence where features are kept, or there is no room for them.

    Raises:
        ConfigError: views were asked for of a backbone that learns, or of chips that never change.
        InputError: a feature is not finite.
    """
    changing, views = any(vars(options.augment).values()), options.cache_views
    if views is not None and (not can_keep(task) or not changing):
        why = "nothing changes the chips at random" if can_keep(task) else "the backbone learns, or there are several"
        raise ConfigError(
            f"'cache_views' is {views}, and {why}",
            expected="one frozen backbone (tuning: frozen or linear) and random changes",
            remedy="leave 'cache_views' out",
        )
    if not options.cache or not can_keep(task) or (changing and views is None):
        return loader
    try:
        made = cached_loader(task, loader, out / FEATURES, number="float32", views=views)
    except ResourceError as error:
        say(f"features are not kept: {error}")
        return loader
    say(f"features of the frozen backbone are kept in {out / FEATURES}")
    return made


def can_keep(task: ModelTask) -> bool:
    """Whether the features of a network are the same whenever it sees a sample: one encoder, nothing of it learns."""
    encoder = task.network.encoder
    if isinstance(encoder, GroupedEncoder) and max(task.dates.values(), default=1) > 1:
        return False  # it answers for every date by itself
    return not isinstance(encoder, nn.ModuleDict) and is_frozen(encoder) and task.modality_dropout == 0


def measure(samples: ChipSet | JoinedSet, split: Split) -> Measured:
    """Statistics and counts of the train split; statistics that lie beside the samples are taken from there.

    Raises:
        InputError: the train split is empty, or nothing can be learned from it.
    """
    ids = check_ids(samples, split)
    counts = {} if samples.quantities else samples.class_counts(ids)
    check_counts(samples.task, counts, len(ids))
    inputs = {name: (each.bands, each.mean, each.std) for name, each in input_statistics(samples, split).items()}
    if not samples.quantities:
        return Measured(inputs, counts, len(ids))
    values = value_statistics(samples, split)
    return Measured(inputs, counts, len(ids), (values.mean, values.std))


def check_ids(samples: ChipSet | JoinedSet, split: Split) -> list[str]:
    """The training samples.

    Raises:
        InputError: there are none.
    """
    ids = split.ids("train")
    if not ids:
        raise InputError(
            f"The train split of {samples.folder} is empty",
            expected="at least one training sample",
            remedy="make another split, or cut more chips",
        )
    return ids


def check_counts(task: TaskName, counts: dict[str, int], samples: int) -> None:
    """Refuse a training set from which no distinction can be learned.

    Raises:
        InputError: fewer than two classes occur, or no label is sometimes there and sometimes not.
    """
    if task == "multilabel":
        if not any(0 < count < samples for count in counts.values()):
            raise InputError(
                "No label is present in some training samples and absent from others",
                expected="at least one label that varies",
                remedy="check the table of labels, or change the split",
            )
    elif counts:
        check_classes(list(counts.values()), list(counts))


def with_monitor(config: FitConfig, task: TaskName) -> FitConfig:
    """The configuration with the usual validation value of a task, where none was asked for."""
    usual, mode = MONITOR[task]
    given = config.model_fields_set
    if "monitor" not in given:
        return config.model_copy(update={"monitor": usual, "monitor_mode": mode})
    if "monitor_mode" not in given and ("rmse" in config.monitor or "loss" in config.monitor):
        return config.model_copy(update={"monitor_mode": "min"})
    return config


def check_monitor(config: FitConfig, scores: Sequence[str]) -> None:
    """Refuse a monitor that validation does not give, before anything is trained.

    Raises:
        ConfigError: names the nearest.
    """
    if config.monitor not in scores:
        raise ConfigError(
            f"'monitor' is '{config.monitor}', and validation gives {', '.join(scores)}",
            expected="one of the validation values",
            remedy=f"set monitor to {nearest(config.monitor, scores, 1)}",
        )


def validation(samples: ChipSet | JoinedSet, ids: list[str], batch_size: int) -> Validate:
    """What ``fit`` calls after each epoch: the scores of a task on some samples."""
    loader = ChipLoader(samples, ids, batch_size=batch_size, seed=0, shuffle=False)

    def validate(task: Any, epoch: int) -> dict[str, float]:
        # The plain U-Net has no goal of its own.
        goal = task.goal if isinstance(task, ModelTask) else LabelGoal(samples.task, samples.classes)
        tally = goal.tally()
        for batch in loader.epoch(0):
            tally.update(batch.targets[goal.target], batch.target_valid[goal.target], task.predict(batch))
        return tally.scores()

    return validate
