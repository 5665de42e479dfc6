"""Layers of a window at any pixel size: made at 10 m in tiles, brought together exactly, at once or lazily."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from swath.sources.world.earth.earth import Earth
from swath.sources.world.earth.state import MOVING, state
from swath.sources.world.frame import KILOMETRE, Window
from swath.sources.world.truth import LAYERS, legend_of

if TYPE_CHECKING:
    from swath.sources.world.world import World

Chunks = int | tuple[int, int]
Layers = dict[str, NDArray[Any]]

_TILE = 10 * KILOMETRE  # finest pixels along a side of what is worked on at a time


def lazy(world: World, window: Window, day: np.datetime64, names: tuple[str, ...], chunks: Chunks) -> dict[str, Any]:
    """The same as dask arrays; all layers of a chunk are made together, as one entry of an array of pieces."""
    sizes = da.core.normalize_chunks(chunks, window.shape, dtype=np.float32)
    pieces = da.map_blocks(
        partial(_piece, world, window, day, names, sizes),
        chunks=tuple((1,) * len(along) for along in sizes),
        dtype=object,
        meta=np.empty((0, 0), object),
    )
    out = {}
    for name, (shape, dtype) in shapes(names, window.step).items():
        meta = np.empty((0,) * (len(shape) + 2), dtype)
        new = {"new_axis": 0} if shape else {}
        along = (*((size,) for size in shape), *sizes)
        out[name] = da.map_blocks(_taken, pieces, name, chunks=along, dtype=dtype, meta=meta, **new)
    return out


def _piece(
    world: World,
    window: Window,
    day: np.datetime64,
    names: tuple[str, ...],
    sizes: tuple[tuple[int, ...], ...],
    block_id: tuple[int, int],
) -> NDArray[np.object_]:
    (row, column), (heights, widths) = block_id, sizes
    top, left = window.row + sum(heights[:row]), window.column + sum(widths[:column])
    piece = np.empty((1, 1), object)
    part = Window(window.zone, top, left, heights[row], widths[column], window.step)
    piece[0, 0] = made(world, part, day, names)
    return piece


def _taken(piece: NDArray[np.object_], name: str) -> NDArray[Any]:
    return np.asarray(piece[0, 0][name])


def shapes(names: tuple[str, ...], step: int) -> dict[str, tuple[tuple[int, ...], type[np.generic]]]:
    """Leading shape and type of each variable."""
    out: dict[str, tuple[tuple[int, ...], type[np.generic]]] = {}
    for name in names:
        kinds: dict[str, type[np.generic]] = {"quantity": np.float32, "class": np.uint8, "identity": np.int64}
        out[name] = ((), kinds[LAYERS[name].kind])
        legend = legend_of(name)
        if legend is not None and step > 1:
            out[f"{name}_fraction"] = ((len(legend),), np.float32)
    return out


def made(world: World, window: Window, day: np.datetime64, names: tuple[str, ...]) -> Layers:
    """The layers of a window by name, a tile of about 10 km at a time.

    Args:
        world: the world.
        window: pixels of any step.
        day: of the layers that move.
        names: of ``truth.LAYERS``.
    """
    out = {name: np.empty(shape + window.shape, dtype) for name, (shape, dtype) in shapes(names, window.step).items()}
    for tile in _tiles(window):
        place = (
            ...,
            slice(tile.row - window.row, tile.row - window.row + tile.height),
            slice(tile.column - window.column, tile.column - window.column + tile.width),
        )
        fine = _finest(world.earth, tile.finest(), day, names)
        for name in names:
            for variable, values in _coarsened(name, fine[name], tile.step).items():
                out[variable][place] = values
    return out


def _tiles(window: Window) -> Iterator[Window]:
    """Parts of a window cut at absolute multiples of its pixels, about as large as the cells of most makers."""
    size = max(1, _TILE // window.step)

    def parts(first: int, count: int) -> Iterator[tuple[int, int]]:
        edges = [first, *range((first // size + 1) * size, first + count, size), first + count]
        return itertools.pairwise(edges)

    for top, bottom in parts(window.row, window.height) if window.height else ():
        for left, right in parts(window.column, window.width) if window.width else ():
            yield Window(window.zone, top, left, bottom - top, right - left, window.step)


def _finest(earth: Earth, window: Window, day: np.datetime64, names: tuple[str, ...]) -> Layers:
    """Layers at 10 m."""
    still = [name for name in names if name not in MOVING]
    out = earth.read_all(still, window)
    if len(still) < len(names):
        out.update(state(earth, window, day))
    return {name: out[name] for name in names}


def _coarsened(name: str, fine: NDArray[Any], step: int) -> Layers:
    """Exact means of quantities and shares of classes over blocks of ``step`` x ``step``."""
    if step == 1:
        return {name: fine}
    blocks = fine.reshape(fine.shape[0] // step, step, fine.shape[1] // step, step)
    legend = legend_of(name)
    if legend is None:
        # Values are whole multiples of a power of two: their sums are exact, in whatever order they are added.
        return {name: (blocks.sum(axis=(1, 3), dtype=np.float64) / step**2).astype(np.float32)}
    counts = np.stack([(blocks == label).sum(axis=(1, 3), dtype=np.int64) for label in range(len(legend))])
    fractions = (counts / step**2).astype(np.float32)
    return {f"{name}_fraction": fractions, name: counts.argmax(axis=0).astype(np.uint8)}
