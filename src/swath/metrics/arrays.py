"""Torch tensors and NumPy arrays on equal terms, without importing torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from swath.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor


def as_numpy(values: NDArray[Any] | Tensor) -> NDArray[Any]:
    """The values as a NumPy array; tensors are detached and moved to the CPU, nothing is copied without need."""
    if isinstance(values, np.ndarray):
        return values
    if hasattr(values, "detach"):
        array: NDArray[Any] = values.detach().cpu().numpy()
        return array
    return np.asarray(values)


def usable(valid: NDArray[Any] | Tensor | None, shape: tuple[int, ...], name: str) -> NDArray[np.bool_]:
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
