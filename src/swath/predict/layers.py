"""What is written: map layers computed from blended fields."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from swath import cubes
from swath.errors import ConfigError, InputError, nearest
from swath.predict.blend import Floats, Mask
from swath.predict.fields import (
    CLASS_TASKS,
    EMBEDDING_TASKS,
    PROBABILITY,
    QUANTITY_TASKS,
    Fields,
    Group,
    groups_of,
)
from swath.types import Predictor

SHARE_STEPS = 200
"""Shares (0 to 1) are stored as uint8 0 to 200 in steps of 0.005; 255 is no-data."""

Values = Callable[[Fields], NDArray[Any]]


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
        values: blended fields -> physical values or class codes (bands, y, x).
        needs: names of the groups of fields that ``values`` reads.
    """

    name: str
    bands: tuple[str, ...]
    dtype: str
    nodata: float
    unit: str | None
    scale: float
    legend: cubes.Legend | None
    values: Values
    needs: tuple[str, ...]

    def encode(self, fields: Fields, valid: Mask) -> NDArray[Any]:
        """The stored numbers (band, y, x), no-data where not valid."""
        values = self.values(fields)
        if self.scale != 1.0:
            values = np.rint(values / self.scale)
        # NaN under the mask has no integer equivalent: it is replaced before the conversion.
        return np.where(valid, values, self.nodata).astype(self.dtype)


def layers(
    predictor: Predictor,
    outputs: Sequence[str],
    legend: cubes.Legend | None,
    extra: Mapping[str, Layer] | None = None,
) -> tuple[Layer, ...]:
    """The layers of the wanted outputs.

    Args:
        predictor: its task, classes and extra outputs say what can be mapped.
        outputs: wanted names; ``()`` = the usual one of the task.
        legend: values and colours of the classes, by name; None = 0, 1, 2, ... with default colours.
        extra: further layers by output name, such as those of conformal sets.

    Raises:
        ConfigError: the task cannot be mapped, or an output is unknown for it or named twice.
        InputError: the legend lacks a class.
    """
    known = {**_known(predictor, legend), **(extra or {})}
    wanted = tuple(outputs) or (next(iter(known)),)
    for name in wanted:
        if name not in known:
            raise ConfigError(
                f"There is no output '{name}' for the task '{predictor.task}'",
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


def groups_for(predictor: Predictor, wanted: Sequence[Layer]) -> tuple[Group, ...]:
    """The groups of fields that some layers need, in the order of the predictor; the group of its task always."""
    known = groups_of(predictor)
    needed = {name for layer in wanted for name in layer.needs}
    return tuple(group for place, (name, group) in enumerate(known.items()) if place == 0 or name in needed)


def _known(predictor: Predictor, legend: cubes.Legend | None) -> dict[str, Layer]:
    """All layers that the task and the extra outputs allow."""
    task, groups = predictor.task, groups_of(predictor)
    if task in CLASS_TASKS:
        known = _class_layers(predictor.classes, legend)
    elif task in QUANTITY_TASKS or task in EMBEDDING_TASKS:
        first = next(iter(groups.values()))
        known = {first.name: plain(first)}
    else:
        tasks = (*CLASS_TASKS, *QUANTITY_TASKS, *EMBEDDING_TASKS)
        raise ConfigError(
            f"A predictor for the task '{task}' gives no value per pixel",
            expected=f"one of the tasks {', '.join(tasks)}",
            remedy="map a whole scene with a model that predicts every pixel",
        )
    return known | {name: plain(group) for name, group in groups.items() if name not in known and name != PROBABILITY}


def plain(group: Group) -> Layer:
    """A group as it is, float32."""

    def values(fields: Fields) -> Floats:
        return fields[group.name]

    return Layer(group.name, group.bands, "float32", math.nan, None, 1.0, None, values, (group.name,))


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
    needs = (PROBABILITY,)

    def share(name: str, bands: tuple[str, ...], values: Callable[[Floats], Floats]) -> Layer:
        return Layer(name, bands, "uint8", 255, "1", step, None, lambda fields: values(fields[PROBABILITY]), needs)

    def code(fields: Fields) -> NDArray[Any]:
        return codes[fields.labels][None]

    return {
        "class": Layer("class", ("class",), dtype, nodata, None, 1.0, legend, code, needs),
        "probability": share("probability", classes, lambda probability: probability),
        "confidence": share("confidence", ("confidence",), lambda probability: probability.max(axis=0, keepdims=True)),
        "entropy": share("entropy", ("entropy",), lambda probability: entropy(probability)[None]),
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
