"""Pictures of one sample under a corruption at every severity, with what a predictor makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from swath.cubes.legend import default_colour
from swath.errors import ConfigError, InputError
from swath.judge.corruptions.apply import corrupt
from swath.judge.corruptions.scale import IMAGE_KINDS
from swath.judge.corruptions.sweep import Sweep
from swath.judge.pictures import NO_DATA, save_figure
from swath.sensors import BandSet
from swath.types import Batch, Modality, Predictor

CELL = 1.55
"""Inches of one picture."""


@dataclass(frozen=True, eq=False)
class Example:
    """A sample that is shown, and how.

    Args:
        predictor: predicts labels: one a sample or one a pixel.
        batch: the sample alone, with its target.
        seed: seed of the corruptions, that of the sweep.
        options: target, tasks, scales and announcement, those of the sweep.
        colours: one ``#rrggbb`` per class; the default palette otherwise.
    """

    predictor: Predictor
    batch: Batch
    seed: int
    options: Sweep
    colours: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn.

        Raises:
            ConfigError: a predictor without classes.
            InputError: not one sample, or no image to show.
        """
        if not self.predictor.classes or self.predictor.task not in ("classification", "segmentation", "change"):
            raise ConfigError(
                f"The predictor's task is '{self.predictor.task}' with {len(self.predictor.classes)} classes",
                expected="a predictor of labels that names its classes",
                remedy="leave the examples out",
            )
        if self.batch.batch_size != 1:
            raise InputError(
                f"The example holds {self.batch.batch_size} samples", expected="one", remedy="cut one out of the batch"
            )
        _shown_input(self.batch)


def draw_example(example: Example, name: str, severities: Sequence[int], path: Path | str) -> Path:
    """A picture: clean and corrupted images, the predictions below them, and below those the truth.

    All images share the stretch of the clean one, so that haze looks like haze. Raises what ``corrupt`` raises.
    """
    batches = [example.batch]
    for severity in severities:
        how = example.options
        worse = corrupt(
            example.batch, name, severity, example.seed, tasks=how.tasks, scales=how.scales, announced=how.announced
        )
        batches.append(worse)
    dense = example.predictor.task != "classification"
    rows = 3 if dense else 1
    figure = Figure(figsize=(CELL * len(batches), (CELL + 0.15) * rows + 0.5), layout="constrained")
    cells = figure.subplots(rows, len(batches), squeeze=False)
    limits = _limits(_shown_input(example.batch))
    heads = ["clean", *(f"severity {severity}" for severity in severities)]
    for place, (batch, head) in enumerate(zip(batches, heads, strict=True)):
        _image(cells[0, place], _shown_input(batch), limits)
        cells[0, place].set_title(head, fontsize=8)
        predicted, truth = _labels(example, batch)
        if dense:
            _map(cells[1, place], predicted, example)
            _map(cells[2, place], truth, example)
        else:
            right = "right" if predicted == truth else "wrong"
            cells[0, place].set_xlabel(f"{_name(example, int(predicted))}\n({right})", fontsize=8)
    for row, label in zip(cells, ("image", "prediction", "truth"), strict=False):
        row[0].set_ylabel(label, fontsize=8)
    if dense:
        _legend(figure, example)
    return save_figure(figure, Path(path))


def _shown_input(batch: Batch) -> Modality:
    """The first input that is an image."""
    for modality in batch.inputs.values():
        if modality.values.numel() and any(band.kind in IMAGE_KINDS for band in modality.bands):
            return modality
    raise InputError(
        "No input of the example is an image",
        expected=f"bands of the kinds {', '.join(IMAGE_KINDS)}",
        remedy="leave the examples out",
    )


def _channels(bands: BandSet) -> list[int]:
    """Three positions for red, green and blue; one of them three times for a grey picture."""
    named = [[place for place, band in enumerate(bands) if band.called(name)] for name in ("red", "green", "blue")]
    if all(named):
        return [places[0] for places in named]
    images = [place for place, band in enumerate(bands) if band.kind in IMAGE_KINDS]
    return images[:3] if len(images) > 2 else images[:1] * 3


def _limits(modality: Modality) -> list[tuple[float, float]]:
    """The 2nd and 98th percentile of the valid pixels of each channel that is shown."""
    limits = []
    for place in _channels(modality.bands):
        seen = modality.valid[0, 0, min(place, modality.valid.shape[2] - 1)].expand(modality.values.shape[3:])
        values = modality.values[0, 0, place][seen].numpy()
        low, high = np.percentile(values, (2, 98)) if values.size else (0.0, 1.0)
        limits.append((float(low), float(max(high, low + 1e-6))))
    return limits


def _image(axes: Axes, modality: Modality, limits: Sequence[tuple[float, float]]) -> None:
    """The first date; grey where a pixel is not valid."""
    channels = _channels(modality.bands)
    shown = np.stack(
        [
            (modality.values[0, 0, place].numpy() - low) / (high - low)
            for place, (low, high) in zip(channels, limits, strict=True)
        ],
        axis=-1,
    )
    seen = modality.valid[0, 0].expand(modality.values.shape[2:])[channels].all(dim=0).numpy()
    axes.imshow(np.where(seen[..., None], np.clip(shown, 0, 1), to_rgba(NO_DATA)[:3]), interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])


def _labels(example: Example, batch: Batch) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Prediction and truth of the sample, -1 where there is none."""
    with torch.inference_mode():
        prediction = example.predictor.predict(batch)
        prediction.check(batch)
        predicted = prediction.label().masked_fill(~prediction.valid, -1)
    target = example.options.target
    truth = batch.targets[target].masked_fill(~batch.target_valid[target].expand_as(batch.targets[target]), -1)
    return predicted[0].numpy(), truth[0].numpy()


def _map(axes: Axes, labels: NDArray[np.int64], example: Example) -> None:
    palette = ListedColormap([NO_DATA, *_colours(example)])
    index = np.where(labels < 0, 0, labels + 1)
    axes.imshow(index, cmap=palette, vmin=-0.5, vmax=len(example.predictor.classes) + 0.5, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])


def _legend(figure: Figure, example: Example) -> None:
    pairs = zip(example.predictor.classes, _colours(example), strict=True)
    entries = [Patch(color=to_rgba(colour), label=name) for name, colour in pairs]
    entries.append(Patch(color=NO_DATA, label="none"))
    figure.legend(handles=entries, loc="outside lower center", ncols=min(len(entries), 8), frameon=False, fontsize=8)


def _colours(example: Example) -> list[str]:
    return list(example.colours or (default_colour(place) for place in range(len(example.predictor.classes))))


def _name(example: Example, label: int) -> str:
    return example.predictor.classes[label] if label >= 0 else "none"
