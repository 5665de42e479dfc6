"""Train a segmentation model on a chip set: the composition of loader, network, loss, loop and validation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from swath.chips import Augment, ChipLoader, ChipSet, Statistics
from swath.learn.checkpoint import load_checkpoint
from swath.learn.fit import Validate, fit
from swath.learn.options import AugmentOptions, NetworkOptions, TrainOptions, read_options
from swath.learn.reproduce import seeded
from swath.learn.task import SegmentationLoss, SegmentationTask, check_classes
from swath.metrics import ConfusionMatrix, accuracy, miou
from swath.nn import Normalise, UNet
from swath.types import Split


def train_segmentation(
    chipset: ChipSet,
    split: Split,
    options: TrainOptions,
    out: Path,
    *,
    seed: int,
    progress: bool = True,
    statistics: Statistics | None = None,
) -> SegmentationTask:
    """Train a U-Net on the train split and keep the weights that were best on the validation split.

    An unfinished run in ``out`` is resumed. Without validation chips the weights of the last epoch are kept.

    Args:
        chipset: the chips.
        split: which chip is for what.
        options: see ``TrainOptions``.
        out: folder of the run; ``best/`` and ``last/`` in it are the models.
        seed: seed of initialisation, data order and augmentation.
        progress: show a progress bar.
        statistics: statistics of the train split; read from the chip set when None.

    Raises:
        InputError: the train split is empty or holds one class only.
        ConfigError: ``out`` holds a run with other options or another seed.
    """
    train_ids, validation_ids = split.ids("train"), split.ids("validation")
    counts = chipset.class_counts(train_ids)
    check_classes(list(counts.values()), chipset.classes)
    known = statistics or Statistics.load(chipset.folder / "statistics.json")
    task = build_task(chipset, known, list(counts.values()), options, seed=seed)
    augment = Augment(**options.augment.model_dump())
    loader = ChipLoader(chipset, train_ids, batch_size=options.batch_size, seed=seed, augment=augment)
    validate = _validation(chipset, validation_ids, options.batch_size) if validation_ids else None
    result = fit(task, loader, config=options.fit, out=out, seed=seed, validate=validate, progress=progress)
    trained = load_checkpoint(result.best or result.last)
    assert isinstance(trained, SegmentationTask)  # as it was saved
    return trained


def build_task(
    chipset: ChipSet, statistics: Statistics, counts: list[int], options: TrainOptions, *, seed: int
) -> SegmentationTask:
    """An untrained task for the bands and classes of a chip set.

    Args:
        chipset: gives bands, classes and colours.
        statistics: mean and standard deviation per band.
        counts: training pixels per class, for the class weights.
        options: network and loss.
        seed: seed of the initial weights.
    """
    bands = chipset.bands.select(options.bands) if options.bands else chipset.bands
    places = [statistics.bands.index(name) for name in bands.names]
    mean, std = ([values[place] for place in places] for values in (statistics.mean, statistics.std))
    with seeded(seed, "initialise"):
        network = UNet(len(bands), len(chipset.classes), **options.network.shape)
    loss = SegmentationLoss(
        class_weights=class_weights(counts, options.class_balance), label_smoothing=options.label_smoothing
    )
    return SegmentationTask(
        network,
        Normalise(mean, std, names=bands.names),
        bands,
        chipset.classes,
        loss=loss,
        colours=[entry.colour for entry in chipset.legend],
    )


def class_weights(counts: list[int], power: float) -> tuple[float, ...]:
    """Weights (n / (K n_c))^power over the K classes that occur; a class without pixels gets 1, it is never drawn."""
    number = torch.tensor(counts, dtype=torch.float64)
    present = number > 0
    balanced = number.sum() / (present.sum() * number.clamp(min=1))
    return tuple(torch.where(present, balanced**power, torch.ones_like(balanced)).tolist())


def _validation(chipset: ChipSet, ids: list[str], batch_size: int) -> Validate:
    loader = ChipLoader(chipset, ids, batch_size=batch_size, seed=0, shuffle=False)

    def validate(task: Any, epoch: int) -> dict[str, float]:
        confusion = ConfusionMatrix(chipset.classes)
        for batch in loader.epoch(0):
            prediction = task.predict(batch)
            valid = batch.target_valid["label"] & prediction.valid
            confusion.update(batch.targets["label"], prediction.label(), valid)
        return {"accuracy": float(accuracy(confusion.counts)), "miou": float(miou(confusion.counts))}

    return validate


__all__ = [
    "AugmentOptions",
    "NetworkOptions",
    "TrainOptions",
    "build_task",
    "class_weights",
    "read_options",
    "train_segmentation",
]
