"""Where to cut: windows as integer arrays ``(N, 2)`` of the top-left (row, column) of square chips."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from swath import rng
from swath.errors import ConfigError, InputError

Edge = Literal["drop", "shift", "pad"]
Windows = NDArray[np.int64]


def grid_windows(shape: tuple[int, int], size: int, stride: int | None = None, *, edge: Edge = "drop") -> Windows:
    """Windows on a regular grid, in row-major order.

    Args:
        shape: rows and columns of the scene.
        size: rows and columns of a chip.
        stride: step between windows in pixels; default: ``size``.
        edge: what happens where the grid does not end with the scene. ``drop`` leaves the rest out; ``shift`` moves
            the last window back inside, so that it overlaps its neighbour; ``pad`` lets it reach beyond the scene.
            A scene smaller than a chip gives windows with ``pad`` only.

    Returns:
        int64 ``(N, 2)``, rows and columns counted from the top-left pixel of the scene.

    Raises:
        ConfigError: size or stride is below 1, or ``edge`` is unknown.
    """
    step = size if stride is None else stride
    _positive(size=size, stride=step)
    rows, columns = (_starts(int(length), size, step, edge) for length in shape)
    return np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)


def random_windows(shape: tuple[int, int], size: int, count: int, seed: int, purpose: str = "windows") -> Windows:
    """``count`` different windows inside the scene, uniform over all positions, ordered by row and column.

    Args:
        shape: rows and columns of the scene.
        size: rows and columns of a chip.
        count: number of windows.
        seed: seed of the random stream.
        purpose: name of the random stream, so that two draws with one seed differ.

    Raises:
        ConfigError: size is below 1 or count below 0.
        InputError: the scene has fewer positions than ``count`` (none when it is smaller than a chip).
    """
    _positive(size=size)
    _not_negative(count=count)
    rows, columns = (max(0, int(length) - size + 1) for length in shape)
    if count > rows * columns:
        raise InputError(
            f"A scene of {shape[0]} x {shape[1]} pixels holds {rows * columns} windows of {size} x {size}, not {count}",
            expected="at most one random window per position",
            remedy="ask for fewer or smaller chips, or use grid_windows(..., edge='pad') for a small scene",
        )
    if count == 0:
        return np.zeros((0, 2), np.int64)
    flat = rng.generator(seed, purpose).choice(rows * columns, size=count, replace=False)
    return np.stack(np.divmod(np.sort(flat), columns), axis=1).astype(np.int64)


def windows_at(mask: NDArray[np.bool_], size: int, count: int, seed: int, purpose: str = "windows") -> Windows:
    """Random windows near pixels that are True, for labels that cover little of a scene.

    ``count`` True pixels are drawn without repetition. Each is placed in the middle half of a window, at random, and
    windows that would leave the scene are moved back inside. Windows that fall together count once, so that fewer than
    ``count`` may come back.

    Args:
        mask: bool ``(y, x)``, True where chips are wanted.
        size: rows and columns of a chip.
        count: most windows wanted.
        seed: seed of the random stream.
        purpose: name of the random stream.

    Raises:
        ConfigError: size is below 1 or count below 0.
        InputError: the scene is smaller than a chip.
    """
    _positive(size=size)
    _not_negative(count=count)
    shape = np.asarray(mask.shape)
    if (shape < size).any():
        raise InputError(
            f"The mask has {mask.shape[0]} x {mask.shape[1]} pixels and a chip {size} x {size}",
            expected="a scene at least as large as a chip",
            remedy="cut smaller chips, or use grid_windows(..., edge='pad')",
        )
    flat = np.flatnonzero(mask)
    stream = rng.generator(seed, purpose)
    flat = stream.choice(flat, size=min(count, len(flat)), replace=False) if len(flat) and count else flat[:0]
    pixels = np.stack(np.divmod(flat, mask.shape[1]), axis=1).astype(np.int64)
    reach = size // 4
    jitter = stream.integers(-reach, reach, size=pixels.shape, endpoint=True)
    starts = np.clip(pixels - size // 2 + jitter, 0, shape - size)
    return np.unique(starts, axis=0).reshape(-1, 2)


def _starts(length: int, size: int, stride: int, edge: Edge) -> NDArray[Any]:
    """First pixels of the windows along one axis."""
    inside = np.arange(0, max(0, length - size + 1), stride, dtype=np.int64)
    if edge == "drop":
        return inside
    if edge == "shift":
        reaches_end = len(inside) == 0 or inside[-1] + size == length
        return inside if reaches_end else np.append(inside, length - size)
    if edge == "pad":
        # As few windows as cover the axis: none may start where the one before already reaches the end.
        count = 0 if length == 0 else 1 + max(0, -(-(length - size) // stride))
        starts = np.arange(count, dtype=np.int64) * stride
        return starts[starts < length]
    raise ConfigError(f"edge='{edge}'", expected="'drop', 'shift' or 'pad'", remedy="write one of the three")


def _positive(**numbers: int) -> None:
    for name, number in numbers.items():
        if number < 1:
            raise ConfigError(f"{name} = {number}", expected="a whole number of at least 1", remedy=f"change {name}")


def _not_negative(**numbers: int) -> None:
    for name, number in numbers.items():
        if number < 0:
            raise ConfigError(f"{name} = {number}", expected="a whole number of at least 0", remedy=f"change {name}")
