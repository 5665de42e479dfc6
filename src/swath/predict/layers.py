"""What is written: map layers computed from blended fields."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from swath import cubes
from swath.errors import ConfigError, InputError, nearest
from swath.predict.blend import Floats, Mask
from swath.types import Task

SHARE_STEPS = 200
"""Shares (0 to 1) are stored as uint8 0 to 200 in steps of 0.005; 255 is no-data."""

CLASS_TASKS: tuple[Task, ...] = ("segmentation", "change")
FIELD_TASKS: tuple[Task, ...] = ("pixel_regression",)


Values = Callable[[Floats, NDArray[np.int64]], NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Layer:
    """One output raster.

    Args:
        name: the output name (``class``, ``probability``, ``confidence``, ``entropy``, ``mean``).
        bands: band names.
        dtype: stored type.
        nodata: stored value of pixels without prediction.
        unit: physical unit of stored value times ``scale``, or None for class codes.
        scale: factor from stored to physical values.
        legend: classes, for class codes only.
        values: blended fields (K, y, x) and the index of the largest (y, x) -> physical values or class codes
            (bands, y, x).
    """

    name: str
    bands: tuple[str, ...]
    dtype: str
    nodata: float
    unit: str | None
    scale: float
    legend: cubes.Legend | None
    values: Values

    def encode(self, fields: Floats, labels: NDArray[np.int64], valid: Mask) -> NDArray[Any]:
        """The stored numbers (band, y, x), no-data where not valid."""
        values = self.values(fields, labels)
        if self.scale != 1.0:
            values = np.rint(values / self.scale)
        # NaN under the mask has no integer equivalent: it is replaced before the conversion.
        return np.where(valid, values, self.nodata).astype(self.dtype)


def most_probable(fields: Floats) -> NDArray[np.int64]:
    """Position of the largest of K fields at every pixel, (K, y, x) -> (y, x); the first one of equals.

    One pass per field over contiguous pixels is many times faster than ``argmax`` along the first axis.
    """
    best, labels = fields[0].copy(), np.zeros(fields.shape[1:], dtype=np.int64)
    for position, field in enumerate(fields[1:], start=1):
        better = field > best
        np.copyto(best, field, where=better)
        labels[better] = position
    return labels


def layers(
    task: Task, classes: tuple[str, ...], outputs: Sequence[str], legend: cubes.Legend | None
) -> tuple[Layer, ...]:
    """The layers of the wanted outputs.

    Args:
        task: what the predictor predicts.
        classes: its class names (or names of quantities).
        outputs: wanted names; ``()`` = the usual one of the task.
        legend: values and colours of the classes, by name; None = 0, 1, 2, ... with default colours.

    Raises:
        ConfigError: the task cannot be mapped, or an output is unknown for it or named twice.
        InputError: the legend lacks a class.
    """
    if task in CLASS_TASKS:
        known = _class_layers(classes, legend)
    elif task in FIELD_TASKS:
        names = classes or ("mean",)
        known = {"mean": Layer("mean", names, "float32", math.nan, None, 1.0, None, lambda fields, _: fields)}
    else:
        raise ConfigError(
            f"A predictor for the task '{task}' gives no value per pixel",
            expected=f"one of the tasks {', '.join((*CLASS_TASKS, *FIELD_TASKS))}",
            remedy="map a whole scene with a model that predicts every pixel",
        )
    wanted = tuple(outputs) or (next(iter(known)),)
    for name in wanted:
        if name not in known:
            raise ConfigError(
                f"There is no output '{name}' for the task '{task}'",
                expected=f"one or more of {', '.join(known)}",
                remedy=f"the nearest name is: {nearest(name, known, count=1)}",
            )
    if len(set(wanted)) < len(wanted):
        raise ConfigError(
            f"The outputs {', '.join(wanted)} name one twice",
            expected="every output once",
            remedy="drop the second one",
        )
    return tuple(known[name] for name in wanted)


def _class_layers(classes: tuple[str, ...], legend: cubes.Legend | None) -> dict[str, Layer]:
    if not classes:
        raise ConfigError(
            "The predictor names no classes",
            expected="one name per class in 'classes'",
            remedy="set 'classes' on the predictor",
        )
    legend = cubes.Legend.of(*classes) if legend is None else legend
    codes = np.array(_codes(classes, legend))
    dtype, nodata = ("uint8", 255) if int(codes.max()) < 255 else ("uint16", 65535)
    step = 1.0 / SHARE_STEPS

    def share(name: str, bands: tuple[str, ...], values: Values) -> Layer:
        return Layer(name, bands, "uint8", 255, "1", step, None, values)

    return {
        "class": Layer("class", ("class",), dtype, nodata, None, 1.0, legend, lambda _, labels: codes[labels][None]),
        "probability": share("probability", classes, lambda fields, _: fields),
        "confidence": share("confidence", ("confidence",), lambda fields, _: fields.max(axis=0, keepdims=True)),
        "entropy": share("entropy", ("entropy",), lambda fields, _: entropy(fields)[None]),
    }


def entropy(probability: Floats) -> Floats:
    """Normalised Shannon entropy ``-Σ p log p / log K`` (y, x) of probabilities (K, y, x): 0 sure, 1 clueless.

    One class alone gives 0.
    """
    classes = probability.shape[0]
    if classes == 1:
        return np.zeros_like(probability[0])
    total: Floats = entr(probability).sum(axis=0)
    return (total / np.float32(math.log(classes))).clip(0, 1)


def _codes(classes: tuple[str, ...], legend: cubes.Legend) -> list[int]:
    mapping = legend.mapping()
    missing = [name for name in classes if name not in mapping]
    if missing:
        raise InputError(
            f"The legend lacks the classes {', '.join(missing[:8])}; it has {', '.join(legend.names[:8])}",
            expected="an entry for every class of the predictor",
            remedy="add them, or pass no legend to number the classes from 0",
        )
    codes = [mapping[name] for name in classes]
    if min(codes) < 0 or max(codes) > 65534:
        raise InputError(
            f"The legend holds the values {min(codes)} to {max(codes)}",
            expected="values from 0 to 65534",
            remedy="renumber the classes",
        )
    return codes
