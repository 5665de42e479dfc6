"""Torch tensors and NumPy arrays on equal terms, without importing torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from swath.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    Numbers = NDArray[Any] | Tensor

Vector = NDArray[np.float64]


def as_numpy(values: Numbers) -> NDArray[Any]:
    """The values as a NumPy array; tensors are detached and moved to the CPU, nothing is copied without need."""
    if isinstance(values, np.ndarray):
        return values
    if hasattr(values, "detach"):
        array: NDArray[Any] = values.detach().cpu().numpy()
        return array
    return np.asarray(values)


def usable(valid: Numbers | None, shape: tuple[int, ...], name: str) -> NDArray[np.bool_]:
    """A bool mask of the given shape; ``None`` means everything is usable.

    Raises:
        InputError: the mask is not bool or does not broadcast to ``shape``.
    """
    if valid is None:
        return np.ones(shape, dtype=np.bool_)
    mask = as_numpy(valid)
    if mask.dtype != np.bool_:
        raise InputError(
            f"'valid' has dtype {mask.dtype}",
            expected="bool, True where a value may be used",
            remedy="compare the mask with its no-data value first",
        )
    try:
        return np.broadcast_to(mask, shape)
    except ValueError as error:
        raise InputError(
            f"'valid' has shape {mask.shape} and '{name}' {shape}",
            expected="a shape that broadcasts to it",
            remedy="add axes of length 1, or cut both together",
        ) from error


def same_shape(first: NDArray[Any], second: NDArray[Any], names: tuple[str, str]) -> None:
    """Raises InputError when two arrays differ in shape, because broadcasting here would hide a mistake."""
    if first.shape != second.shape:
        raise InputError(
            f"'{names[0]}' has shape {first.shape} and '{names[1]}' {second.shape}",
            expected="the same shape",
            remedy="for logits take the arg max over classes first",
        )


def check_finite(
    name: str, values: NDArray[Any], mask: NDArray[np.bool_] | None = None, ids: Sequence[str] | None = None
) -> None:
    """Raises InputError naming the samples (first axis) in which a used value is NaN or infinite.

    Args:
        name: what the values are called.
        values: numbers ``(N, ...)``.
        mask: bool of the same shape, True where used; everything by default.
        ids: N names of samples; their positions by default.
    """
    broken = ~np.isfinite(values)
    if mask is not None:
        broken &= mask
    if not broken.any():
        return
    raise InputError(
        f"'{name}' holds {int(broken.sum())} NaN or infinite values where valid, first in samples "
        f"{_samples(broken, ids)}",
        expected="finite numbers wherever they are used",
        remedy="mark missing observations in 'valid'; for predictions check the model",
    )


def check_between(
    name: str,
    values: NDArray[Any],
    mask: NDArray[np.bool_],
    limits: tuple[float, float],
    ids: Sequence[str] | None = None,
) -> None:
    """Raises InputError naming the samples in which a used value is NaN or outside the closed interval."""
    check_finite(name, values, mask, ids)
    outside = mask & ((values < limits[0]) | (values > limits[1]))
    if outside.any():
        raise InputError(
            f"'{name}' holds {int(outside.sum())} values outside {limits[0]:g} to {limits[1]:g}, first in samples "
            f"{_samples(outside, ids)}",
            expected=f"numbers from {limits[0]:g} to {limits[1]:g}",
            remedy="pass probabilities (sigmoid or soft max of logits)",
        )


def check_positive(name: str, values: NDArray[Any], mask: NDArray[np.bool_], ids: Sequence[str] | None = None) -> None:
    """Raises InputError naming the samples in which a used value is NaN or not above 0."""
    check_finite(name, values, mask, ids)
    outside = mask & (values <= 0)
    if outside.any():
        raise InputError(
            f"'{name}' holds {int(outside.sum())} values of 0 or below, first in samples {_samples(outside, ids)}",
            expected="numbers above 0",
            remedy="pass standard deviations, not log variances; a model that is never unsure has no density",
        )


def check_ids(ids: Sequence[str] | None, count: int) -> None:
    """Raises InputError when there is not one name per sample."""
    if ids is not None and len(ids) != count:
        raise InputError(
            f"There are {len(ids)} ids for {count} samples",
            expected="one id per sample",
            remedy="pass the ids of the batch that was predicted",
        )


def used_pairs(
    observed: Numbers, predicted: Numbers, valid: Numbers | None, ids: Sequence[str] | None
) -> tuple[Vector, Vector]:
    """The used values of two arrays of one shape as float64 vectors, checked to be finite."""
    truth, guess = as_numpy(observed), as_numpy(predicted)
    same_shape(truth, guess, ("observed", "predicted"))
    mask = usable(valid, truth.shape, "observed")
    check_ids(ids, len(truth) if truth.ndim else 1)
    for name, values in (("observed", truth), ("predicted", guess)):
        check_finite(name, values, mask, ids)
    return truth[mask].astype(np.float64), guess[mask].astype(np.float64)


def _samples(broken: NDArray[np.bool_], ids: Sequence[str] | None) -> list[Any]:
    """The first five samples in which something is broken, by name if there are names."""
    flat = broken.reshape(len(broken), -1).any(axis=1) if broken.ndim else broken.reshape(1)
    positions = np.flatnonzero(flat)[:5].tolist()
    return positions if ids is None else [ids[position] for position in positions]
