"""What is written: map layers computed from blended fields.

| task | output | bands | stored as |
|---|---|---|---|
| classes | ``class`` | one | uint8, or uint16 where a class value exceeds 254; legend inside |
| | ``probability`` | one per class | uint8, 0 to 200 in steps of 0.005 |
| | ``probability_float16`` | one per class | half precision: relative steps below 0.0005, also near 0 |
| | ``confidence`` | largest probability | uint8, 0 to 200 in steps of 0.005 |
| | ``margin`` | largest minus second largest probability | uint8, 0 to 200 in steps of 0.005 |
| | ``entropy`` | Shannon entropy over its largest value | uint8, 0 to 200 in steps of 0.005 |
| quantities | ``mean`` | one per quantity | float32 |
| | ``std`` | one per quantity | float32; where the predictor announces ``variance`` |
| embedding | ``embedding`` | one per component | half precision; numbers beyond 65,504 are an error |
| any | what the predictor announces | as announced | float32 |

Half precision is a matter of rounding: the file declares float32 (see ``swath.cubes.cog``) and compresses accordingly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from swath import cubes
from swath.errors import ConfigError, ContractError, InputError, nearest
from swath.predict.blend import Floats, Mask
from swath.predict.fields import (
    CLASS_TASKS,
    EMBEDDING,
    EMBEDDING_TASKS,
    MEAN,
    PROBABILITY,
    QUANTITY_TASKS,
    VARIANCE,
    Fields,
    Group,
    groups_of,
)
from swath.types import Predictor

SHARE_STEPS = 200
"""Shares (0 to 1) are stored as uint8 0 to 200 in steps of 0.005; 255 is no-data."""

HALF_LIMIT = 65_504.0
"""The largest number of half precision (IEEE 754 binary16)."""

Values = Callable[[Fields], NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Layer:
    """One output raster.

    Args:
        name: the output name; see the table above.
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
        """The stored numbers (band, y, x), no-data where not valid.

        Raises:
            ContractError: a valid number is too large for half precision.
        """
        values = self.values(fields)
        if self.scale != 1.0:
            values = np.rint(values / self.scale)
        if self.dtype == "float16":
            _check_half(self.name, values, valid)
        # NaN and large numbers under the mask have no equivalent: they are replaced before the conversion.
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
                remedy=_remedy(name, known),
            )
    if len(set(wanted)) < len(wanted):
        raise ConfigError(
            f"The outputs {', '.join(wanted)} name one twice",
            expected="every output once",
            remedy="drop the second one",
        )
    return tuple(known[name] for name in wanted)


def _remedy(name: str, known: Mapping[str, Layer]) -> str:
    """What to do about an output that is not there."""
    if name in ("spread", "disagreement"):
        return f"average over turned views, of which '{name}' tells: TestTimeAugmentation, --augment d4"
    near = nearest(name, known, count=1)
    return f"the nearest name is: {near}" if near in known else "choose among these"


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
    elif task in QUANTITY_TASKS:
        known = _quantity_layers(groups)
    elif task in EMBEDDING_TASKS:
        known = {EMBEDDING: replace(plain(groups[EMBEDDING]), dtype="float16")}
    else:
        tasks = (*CLASS_TASKS, *QUANTITY_TASKS, *EMBEDDING_TASKS)
        raise ConfigError(
            f"A predictor for the task '{task}' gives no value per pixel",
            expected=f"one of the tasks {', '.join(tasks)}",
            remedy="map a whole scene with a model that predicts every pixel",
        )
    own = next(iter(groups))  # the group of the task; the others are extra
    taken = [name for name in groups if name in known and name != own]
    if taken:
        raise ConfigError(
            f"The predictor announces the extra outputs {', '.join(taken)}",
            expected=f"other names than {', '.join(known)}, which are computed for every '{task}'",
            remedy="rename them in the attribute 'extras'",
        )
    return known | {name: plain(group) for name, group in groups.items() if name != own}


def _quantity_layers(groups: Mapping[str, Group]) -> dict[str, Layer]:
    """``mean``, and ``std`` where the predictor gives a variance.

    The standard deviation is the root of the blended variance: what the model says of its own error at that pixel. How
    far overlapping tiles differ in their means is not added to it.
    """
    known = {MEAN: plain(groups[MEAN])}
    if VARIANCE in groups:

        def deviation(fields: Fields) -> Floats:
            # A mean of variances cannot be negative, but a predictor may have rounded one below zero.
            root: Floats = np.sqrt(np.maximum(fields[VARIANCE], np.float32(0)))
            return root

        known["std"] = Layer(
            "std", groups[VARIANCE].bands, "float32", math.nan, None, 1.0, None, deviation, (VARIANCE,)
        )
    return known


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

    def half(fields: Fields) -> Floats:
        return fields[PROBABILITY]

    return {
        "class": Layer("class", ("class",), dtype, nodata, None, 1.0, legend, code, needs),
        "probability": share("probability", classes, lambda probability: probability),
        "probability_float16": Layer("probability_float16", classes, "float16", math.nan, "1", 1.0, None, half, needs),
        "confidence": share("confidence", ("confidence",), lambda probability: probability.max(axis=0, keepdims=True)),
        "margin": share("margin", ("margin",), lambda probability: margin(probability)[None]),
        "entropy": share("entropy", ("entropy",), lambda probability: entropy(probability)[None]),
    }


def margin(probability: Floats) -> Floats:
    """Largest minus second largest (y, x) of probabilities (K, y, x): 1 sure, 0 undecided between two classes.

    One class alone gives its probability.
    """
    best, second = probability[0].copy(), np.zeros_like(probability[0])
    for share in probability[1:]:
        np.maximum(second, np.minimum(best, share), out=second)
        np.maximum(best, share, out=best)
    return (best - second).clip(0, 1)


def entropy(probability: Floats) -> Floats:
    """Normalised Shannon entropy ``-Σ p log p / log K`` (y, x) of probabilities (K, y, x): 0 sure, 1 clueless.

    One class alone gives 0.
    """
    classes = probability.shape[0]
    if classes == 1:
        return np.zeros_like(probability[0])
    total: Floats = entr(probability).sum(axis=0)
    return (total / np.float32(math.log(classes))).clip(0, 1)


def _check_half(name: str, values: NDArray[Any], valid: Mask) -> None:
    over = (np.abs(values) > HALF_LIMIT) & valid
    if over.any():
        raise ContractError(
            f"The output '{name}' holds {int(over.sum())} numbers beyond half precision, such as "
            f"{float(values[over][0]):.6g}",
            expected=f"numbers from {-HALF_LIMIT:.0f} to {HALF_LIMIT:.0f}",
            remedy="normalise the features in predict(), or announce them in 'extras', which are stored as float32",
        )


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
