"""Train a segmentation model on a chip set: the composition of loader, network, loss, loop and validation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field

from swath.chips import Augment, ChipLoader, ChipSet, Statistics
from swath.files import read_yaml
from swath.learn.checkpoint import load_checkpoint
from swath.learn.config import FitConfig, parse
from swath.learn.fit import Validate, fit
from swath.learn.reproduce import seeded
from swath.learn.task import SegmentationLoss, SegmentationTask, check_classes
from swath.metrics import ConfusionMatrix, accuracy, miou
from swath.nn import Normalise, UNet
from swath.types import Split


class NetworkOptions(BaseModel):
    """Shape of the U-Net; see ``swath.nn.UNet``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int = Field(default=32, ge=1)
    depth: int = Field(default=3, ge=0)
    stem_stride: int = Field(default=2, ge=1)
    norm: Literal["group", "channel"] = "group"


class AugmentOptions(BaseModel):
    """Random changes of the training chips; see ``swath.chips.Augment``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    flips: bool = True
    rotations: bool = True
    brightness: float = Field(default=0.1, ge=0, lt=1)
    noise: float = Field(default=0.0, ge=0)


class TrainOptions(BaseModel):
    """All options of ``swath train``, in one YAML file or as flags.

    Args:
        network: shape of the network.
        bands: names of the bands to learn from; all bands of the chips when None.
        batch_size: chips per step.
        class_balance: exponent p of the class weights (n / (K n_c))^p: 0 weighs pixels alike, 1 weighs classes alike.
        label_smoothing: share of the uniform distribution in the target.
        augment: random changes of the training chips.
        fit: how to train.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: NetworkOptions = NetworkOptions()
    bands: tuple[str, ...] | None = Field(default=None, min_length=1)
    batch_size: int = Field(default=16, ge=1)
    class_balance: float = Field(default=0.5, ge=0, le=1)
    label_smoothing: float = Field(default=0.05, ge=0, lt=1)
    augment: AugmentOptions = AugmentOptions()
    fit: FitConfig = FitConfig()


def read_options(
    config: Path | str | Mapping[str, Any] | None,
    *,
    epochs: int | None = None,
    learning_rate: float | None = None,
    batch_size: int | None = None,
) -> TrainOptions:
    """Training options from a YAML file or a mapping; the keyword arguments beat it.

    Raises:
        ConfigError: the file is not YAML, or a key or value is wrong (the nearest key is named).
        InputError: there is no such file.
    """
    where = str(config) if isinstance(config, Path | str) else "the options"
    content = _from_file(Path(config)) if isinstance(config, Path | str) else dict(config or {})
    flags = {"epochs": epochs, "learning_rate": learning_rate}
    given = {name: value for name, value in flags.items() if value is not None}
    if given and isinstance(content, dict) and isinstance(content.get("fit") or {}, dict):
        content = {**content, "fit": {**(content.get("fit") or {}), **given}}
    if batch_size is not None and isinstance(content, dict):
        content = {**content, "batch_size": batch_size}
    return parse(TrainOptions, content, where)


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
    return load_checkpoint(result.best or result.last)


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
        network = UNet(len(bands), len(chipset.classes), **options.network.model_dump())
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


def _from_file(path: Path) -> Any:
    return read_yaml(path, "a YAML file with training options, such as 'batch_size: 16'") or {}
