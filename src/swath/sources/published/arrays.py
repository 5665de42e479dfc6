"""Stored NumPy arrays of published data sets: shape and type are compared with what is expected before reading."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath import limits
from swath.errors import InputError
from swath.reading import reading

Shape = tuple[int | None, ...]
"""Expected lengths of the axes; None where any length will do."""


def read_array(path: Path, shape: Shape, kinds: str = "f") -> NDArray[Any]:
    """The array of a ``.npy`` file; nothing in the file is run.

    Args:
        path: the file.
        shape: expected lengths, None where any will do.
        kinds: allowed NumPy kinds, such as ``f`` (floating), ``iu`` (whole numbers) or ``U`` (text).

    Raises:
        InputError: the file is missing or damaged, or holds another shape or type.
    """
    wanted = f"an array of shape ({', '.join('any' if length is None else str(length) for length in shape)})"
    expected, remedy = f"{wanted} as NumPy writes it", "download the data set again"
    if not path.is_file():
        raise InputError(f"The file {path} is missing", expected=expected, remedy=remedy)
    with reading(path, expected=expected, remedy=remedy):
        stored = np.load(path, mmap_mode="r", allow_pickle=False)
        fits = len(stored.shape) == len(shape) and all(
            length in (None, found) for length, found in zip(shape, stored.shape, strict=True)
        )
        if not fits or stored.dtype.kind not in kinds:
            raise InputError(f"{path} holds {stored.dtype} of shape {stored.shape}", expected=wanted, remedy=remedy)
        limits.NUMBERS.check(stored.size, path)
        return np.array(stored)


def array_problems(path: Path, shape: Shape, kinds: str = "f") -> list[str]:
    """What is wrong with a stored array, as sentences: absent, damaged, another shape or type, NaN."""
    try:
        array = read_array(path, shape, kinds)
    except InputError as error:
        return [error.given]
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        return [f"{path.name}: {int((~np.isfinite(array)).sum())} numbers are NaN or infinite"]
    return []
