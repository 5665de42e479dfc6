"""The Earth: which maker makes a layer, the cells that makers work on, and any window cut from them.

A maker is a plain function ``maker(earth, cell) -> {name: array}`` over one absolute cell. It may read layers of other
makers with a margin, ``earth.read("elevation", cell.pad(5))``, never its own. Because a cell is always made in the same
way, a window has the same bits however it is cut. ``MAKERS`` is the one table of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from swath import rng
from swath.errors import ConfigError, ContractError, InputError, nearest
from swath.sources.world.earth import drainage, settlements
from swath.sources.world.earth.cells import Cells, Needs
from swath.sources.world.earth.climate import NODE, SURROUNDINGS, Climate, surroundings
from swath.sources.world.earth.cover import COVER_LAYERS, cover
from swath.sources.world.earth.fields import LAND_USE, fields
from swath.sources.world.earth.soil import SOIL, soil
from swath.sources.world.frame import KILOMETRE, Window
from swath.sources.world.truth import LAYERS, quantised

if TYPE_CHECKING:
    from swath.sources.world.earth.base import Base

Layer = NDArray[Any]
Make = Callable[["Earth", Window], Mapping[str, Layer]]

CACHE_BYTES = 2**30
"""Bytes of cells that an Earth keeps unless it is told otherwise."""


@dataclass(frozen=True)
class Maker:
    """A maker and what it makes.

    Args:
        make: the function.
        layers: names of its layers; no other maker has them.
        cell: kilometres along a side of its cells.
        step: finest pixels along a side of the pixels of its layers. 1 for all of ``truth.LAYERS``; intermediate
            layers may be coarser, and are then read with windows of that step.
    """

    make: Make
    layers: tuple[str, ...]
    cell: Literal[1, 10, 100]
    step: int = 1

    @property
    def name(self) -> str:
        """Module and function."""
        return f"{self.make.__module__}.{self.make.__qualname__}"


MAKERS: tuple[Maker, ...] = (
    Maker(surroundings, SURROUNDINGS, 100, NODE),
    Maker(drainage.rivers, drainage.RIVERS, 100, drainage.RIVER_STEP),
    Maker(drainage.drainage, drainage.DRAINAGE, 10),
    Maker(soil, SOIL, 10),
    Maker(settlements.built_land, settlements.BUILT_LAND, 10),
    Maker(settlements.settlements, settlements.SETTLED, 10),
    Maker(fields, LAND_USE, 10),
    Maker(cover, COVER_LAYERS, 10),
)
"""Every maker of the planet. One line each; the order does not matter."""


@dataclass(frozen=True)
class Earth:
    """A planet of one seed: static layers at 10 m over any window.

    Args:
        seed: whole number.
        climate: what differs from the climate of today.
        base: what the globe says above 5 km (``earth.base``).
        makers: the table of makers.
        cache_bytes: bytes of cells that are kept; the least recently used go first.

    Raises:
        ConfigError: two makers make the same layer, or pixels do not divide a cell.
    """

    seed: int
    climate: Climate
    base: Base
    makers: tuple[Maker, ...] = MAKERS
    cache_bytes: int = CACHE_BYTES
    _cells: Cells = field(init=False, repr=False, compare=False)
    _needs: Needs = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_makers(self.makers)
        object.__setattr__(self, "_cells", Cells(self.cache_bytes))
        object.__setattr__(self, "_needs", Needs())

    def key(self, purpose: str, *ids: rng.Key) -> int:
        """A key for ``noise`` of this seed; give the zone's EPSG code as an id where the field lives in a plane."""
        return rng.key(self.seed, f"world/{purpose}", *ids)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of all layers that can be read."""
        return tuple(name for maker in self.makers for name in maker.layers)

    def read(self, name: str, window: Window) -> Layer:
        """A static layer over a window.

        Args:
            name: of ``truth.LAYERS``, or of an intermediate layer.
            window: of 10 m pixels, or of the step of an intermediate layer; may be empty.

        Returns:
            ``(y, x)``, a copy: float32 whole multiples of the layer's step for quantities of ``truth.LAYERS``, codes
            or numbers for others.

        Raises:
            InputError: no maker makes this layer.
            ContractError: the window has another step, a maker reads what depends on itself, or a maker's arrays are
                not of its cell.
        """
        return self.read_all((name,), window)[name]

    def read_all(self, names: Iterable[str], window: Window) -> dict[str, Layer]:
        """Several layers over a window, as ``read``; each cell is looked up once per maker."""
        wanted: dict[Maker, list[str]] = {}
        for name in names:
            wanted.setdefault(self._maker(name), []).append(name)
        out: dict[str, Layer] = {}
        for maker, own in wanted.items():
            out.update(self._cut(maker, own, window))
        return out

    def _maker(self, name: str) -> Maker:
        for maker in self.makers:
            if name in maker.layers:
                return maker
        known = "the truth knows this layer, but nothing makes it here" if name in LAYERS else "no such layer is known"
        raise InputError(
            f"The layer '{name}' cannot be read from this Earth: {known}",
            expected=f"one of {', '.join(self.layers) or 'none, as there are no makers'}",
            remedy=f"the nearest names are: {nearest(name, self.layers)}" if self.layers else "give it makers",
        )

    def _cut(self, maker: Maker, names: list[str], window: Window) -> dict[str, Layer]:
        if window.step != maker.step:
            raise ContractError(
                f"The layer '{names[0]}' was read with pixels of {window.gsd} m",
                expected=f"pixels of {maker.step * 10} m, as it is made",
                remedy="read a window of that step (window.finest() has 10 m) and bring the pixels together yourself",
            )
        out: dict[str, Layer] = {}
        for cell in _cells(window, maker):
            made = self._cell(maker, cell)
            target, source = _common(window, cell)
            for name in names:
                if name not in out:
                    out[name] = np.empty(window.shape, made[name].dtype)
                out[name][target] = made[name][source]
        return out or {name: np.empty(window.shape, _empty_type(name)) for name in names}

    def _cell(self, maker: Maker, cell: Window) -> Mapping[str, Layer]:
        place = (maker.name, cell.zone.epsg, cell.row, cell.column)
        with self._needs.of(maker.name):
            return self._cells.get(place, partial(self._made, maker, cell))

    def _made(self, maker: Maker, cell: Window) -> dict[str, Layer]:
        made = maker.make(self, cell)
        out: dict[str, Layer] = {}
        for name in maker.layers:
            array = np.asarray(made[name]) if name in made else None
            if array is None or array.shape != cell.shape:
                raise ContractError(
                    f"{maker.name} gave {'no' if array is None else f'a {array.shape}'} '{name}'",
                    expected=f"an array {cell.shape} for each of {', '.join(maker.layers)}",
                    remedy="mend that maker or its line in MAKERS",
                )
            known = LAYERS.get(name)
            array = quantised(name, array) if known is not None and known.kind == "quantity" else array.copy()
            array.flags.writeable = False
            out[name] = array
        return out


def _check_makers(makers: tuple[Maker, ...]) -> None:
    seen: dict[str, str] = {}
    for maker in makers:
        if maker.cell * KILOMETRE % maker.step:
            raise ConfigError(
                f"{maker.name} has pixels of {maker.step * 10} m in cells of {maker.cell} km",
                expected="a whole number of pixels in a cell",
                remedy="choose another step",
            )
        for name in maker.layers:
            if name in seen:
                raise ConfigError(
                    f"The layer '{name}' has two makers, {seen[name]} and {maker.name}",
                    expected="one maker for each layer",
                    remedy="take it from one of them",
                )
            seen[name] = maker.name


def _cells(window: Window, maker: Maker) -> Iterator[Window]:
    """The cells of a maker that a window of its step touches, in pixels of that step."""
    step = maker.step
    for cell in window.finest().cells(maker.cell * KILOMETRE):
        yield Window(cell.zone, cell.row // step, cell.column // step, *_shape(cell, step), step)


def _empty_type(name: str) -> type[np.generic]:
    return np.uint8 if name in LAYERS and LAYERS[name].kind == "class" else np.float32


def _shape(cell: Window, step: int) -> tuple[int, int]:
    return cell.height // step, cell.width // step


def _common(window: Window, cell: Window) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Where a cell lies in a window, and the same pixels in the cell."""
    top, left = max(window.row, cell.row), max(window.column, cell.column)
    bottom = min(window.row + window.height, cell.row + cell.height)
    right = min(window.column + window.width, cell.column + cell.width)

    def within(of: Window) -> tuple[slice, slice]:
        return slice(top - of.row, bottom - of.row), slice(left - of.column, right - of.column)

    return within(window), within(cell)
