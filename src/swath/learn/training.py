"""Train any task on any set of samples: the composition of loader, task, loop and validation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from swath.chips import Augment, ChipLoader, ChipSet, JoinedSet, input_statistics, value_statistics
from swath.errors import ConfigError, InputError, nearest
from swath.learn.building import Measured, Say, build, is_plain
from swath.learn.checkpoint import Task, load_checkpoint
from swath.learn.config import FitConfig
from swath.learn.fit import Validate, fit
from swath.learn.goals import MONITOR
from swath.learn.model_task import ModelTask
from swath.learn.options import TrainOptions
from swath.learn.segmentation import train_segmentation
from swath.learn.task import check_classes
from swath.types import Split
from swath.types import Task as TaskName


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
    if is_plain(samples, options) and isinstance(samples, ChipSet):
        check_ids(samples, split)
        measured = input_statistics(samples, split)[next(iter(samples.inputs))]
        return train_segmentation(samples, split, options, out, seed=seed, progress=progress, statistics=measured)
    train_ids, validation_ids = split.ids("train"), split.ids("validation")
    task = build(samples, measure(samples, split), options, seed=seed, say=say)
    augment = Augment(**options.augment.model_dump())
    loader = ChipLoader(samples, train_ids, batch_size=options.batch_size, seed=seed, augment=augment)
    validate = validation(samples, validation_ids, options.batch_size) if validation_ids else None
    config = with_monitor(options.fit, samples.task)
    result = fit(task, loader, config=config, out=out, seed=seed, validate=validate, progress=progress)
    return load_checkpoint(result.best or result.last)


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
        assert isinstance(task, ModelTask)  # fit hands on what train() gave it
        tally = task.goal.tally()
        for batch in loader.epoch(0):
            tally.update(batch.targets[task.goal.target], batch.target_valid[task.goal.target], task.predict(batch))
        return tally.scores()

    return validate
