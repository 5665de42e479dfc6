"""World: the front door of the simulated Earth. Ask for a box and a day, and get the truth."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import geopandas as gpd
import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

from swath.errors import ConfigError, InputError, ResourceError, nearest
from swath.sources.world import outlook
from swath.sources.world.earth.base import Base, BasePlanet
from swath.sources.world.earth.climate import Climate
from swath.sources.world.earth.earth import Earth
from swath.sources.world.earth.procedural import ProceduralPlanet
from swath.sources.world.earth.weather import checked_day
from swath.sources.world.events.table import events
from swath.sources.world.frame import GSD_LADDER, PIXEL, Window, window_of, zone_at
from swath.sources.world.making import Chunks, lazy, made
from swath.sources.world.render.conditions import Conditions
from swath.sources.world.render.observe import observe
from swath.sources.world.truth import LAYERS, WORLD_VERSION, legend_of
from swath.sources.world.version import version_hash

if TYPE_CHECKING:
    import geopandas

MOST_BYTES = 4 * 2**30
"""Bytes of truth that are given at once; more only in chunks."""


@dataclass(frozen=True)
class World:
    """A simulated Earth. The same seed gives the same truth, bit by bit, on any tiling.

    Args:
        seed: whole number; every world is another one below 5 km.
        climate: what differs from the climate of today.
        base: what lies above 5 km: ``planet``, the real globe's relief, land cover and climate, or ``procedural``.
        planet: directory of a planet (``swath data make planet``); None takes the one in the user's cache, and makes
            it at first use.

    Raises:
        ConfigError: there is no such base, or a planet comes with the procedural one.
    """

    seed: int = 0
    climate: Climate | None = None
    base: Literal["planet", "procedural"] = "planet"
    planet: Path | str | None = None

    def __post_init__(self) -> None:
        if self.base not in ("planet", "procedural"):
            raise ConfigError(
                f"The base of the world is '{self.base}'",
                expected="planet or procedural",
                remedy=f"the nearest is {nearest(self.base, ('planet', 'procedural'))}",
            )
        if self.base == "procedural" and self.planet is not None:
            raise ConfigError(
                f"The planet {self.planet} was given to a procedural world",
                expected="a planet only where base='planet'",
                remedy="leave out one of the two",
            )

    def __reduce__(self) -> tuple[type[World], tuple[Any, ...]]:
        # Cells and their locks stay at home when a world travels to another process.
        return World, (self.seed, self.climate, self.base, self.planet)

    @cached_property
    def earth(self) -> Earth:
        """The planet behind, with its cells: static layers by name, and what makers of events need."""
        base: Base = ProceduralPlanet(self.seed) if self.base == "procedural" else _planet(self.planet)
        return Earth(self.seed, self.climate or Climate(), base)

    def box(self, lon: float, lat: float, size: float | tuple[int, int], gsd: int = PIXEL) -> GeoBox:
        """A grid around a place, in the zone of the place, on whole multiples of the pixel size.

        Args:
            lon: of the centre [degrees].
            lat: of the centre [degrees].
            size: metres along a side, or ``(height, width)`` in pixels.
            gsd: pixel size [m], one of ``frame.GSD_LADDER``.

        Raises:
            InputError: there is no such place or pixel size, or the size is not positive.
        """
        height, width = size if isinstance(size, tuple) else (round(size / gsd), round(size / gsd))
        if gsd not in GSD_LADDER or height < 1 or width < 1:
            raise InputError(
                f"A box of {height} x {width} pixels of {gsd} m was asked for",
                expected=f"at least one pixel of one of {', '.join(map(str, GSD_LADDER))} m",
                remedy="give the size in metres, or as (height, width) in pixels, and the pixel size as gsd=",
            )
        zone = zone_at(lon, lat)
        x, y = zone.metres(lon, lat)
        row, column = round(-y / gsd - height / 2.0), round(x / gsd - width / 2.0)
        return Window(zone, row, column, height, width, gsd // PIXEL).geobox

    def truth(
        self,
        box: GeoBox | Window,
        time: Any,
        layers: Iterable[str] | None = None,
        *,
        chunks: Chunks | None = None,
    ) -> xr.Dataset:
        """All that is known about a box on a day.

        On pixels coarser than 10 m, quantities are means over whole blocks of 10 m pixels, and a class layer NAME comes
        as the shares ``NAME_fraction`` and the class with the largest share, ``NAME`` (the first of equal ones), which
        xarray counts among the coordinates, because a dim has its name. The cost is that of the 10 m pixels.

        Args:
            box: grid as ``World.box`` makes it, or a window of ``frame``.
            time: a day from 1980 to 2100, anything that numpy takes for one; hours are left out.
            layers: names of ``truth.LAYERS``; None gives all (identities only at 10 m).
            chunks: pixels along a side of chunks, or ``(y, x)``: the result is lazy, and chunks can be worked out in
                parallel and one after the other. None works out everything at once.

        Returns:
            Dataset with the dims ``(y, x)`` (shares ``(NAME, y, x)``), float32 quantities, uint8 classes, and attrs
            that say which world it is.

        Raises:
            InputError: the grid has no CRS or does not fit the planet, the day lies outside 1980 to 2100, a layer is
                unknown, or an identity was asked for on coarse pixels.
            ResourceError: the result would not fit into memory; the sentence says how to ask for it in chunks.
        """
        window = box if isinstance(box, Window) else window_of(box)
        _check_place(window)
        day = checked_day(time)
        names = _checked_layers(layers, window)
        if chunks is None:
            _check_memory(window, names)
            held: dict[str, Any] = dict(made(self, window, day, names))
        else:
            held = lazy(self, window, day, names, chunks)
        return self._described(held, window, day, names)

    def conditions(self, box: GeoBox, time: Any) -> Conditions:
        """Cloud, wind and air over the middle of a box on a day, for ``observe``; see ``outlook.conditions``."""
        return outlook.conditions(self.earth, box, time)

    def weather(self, box: GeoBox, first: Any, last: Any) -> xr.Dataset:
        """Daily weather at the middle of a box from ``first`` to ``last``; see ``outlook.daily``."""
        return outlook.daily(self.earth, box, first, last)

    def observe(
        self,
        box: GeoBox,
        sensor: str,
        time: Any,
        level: str | None = None,
        *,
        conditions: Conditions | None = None,
        seed: int = 0,
    ) -> xr.DataTree:
        """What a sensor would deliver of a box: the truth of the day under the sky of the day.

        Args:
            box: on pixels of 10 m.
            sensor: of ``render.observe``.
            time: a day, or a moment in UTC.
            level: processing level, where the sensor has several.
            conditions: another sky than that of the day.
            seed: of clouds and noise.

        Raises:
            InputError: as ``truth`` and ``render.observe``.
        """
        said = self.conditions(box, time) if conditions is None else conditions
        return observe(self.truth(box, time), sensor, time, level, seed, conditions=said)

    def vectors(self, box: GeoBox) -> geopandas.GeoDataFrame:
        """Streets, buildings, fields, water and places of a box with tags as in OpenStreetMap.

        Raises:
            InputError: the grid does not fit the planet.
        """
        from swath.sources.world.earth.vectors import vectors

        return vectors(self.earth, window_of(box).finest())

    def version_hash(self) -> str:
        """The hash of this version of the world, whatever the seed; see the module ``version``."""
        return version_hash()

    def events(self, box: GeoBox | Window, first: Any, last: Any) -> gpd.GeoDataFrame:
        """Floods, fires and clearings of some days in a box, one row each; see ``world.events.table.events``.

        Args:
            box: grid as ``World.box`` makes it, or a window of ``frame``.
            first: first day, 1980 to 2100.
            last: last day, included.

        Raises:
            InputError: the grid does not fit the planet, or the days are no span of 1980 to 2100.
        """
        window = box if isinstance(box, Window) else window_of(box)
        _check_place(window)
        return events(self.earth, window.finest(), first, last)

    @property
    def attrs(self) -> dict[str, Any]:
        """What a report stores about the world it used."""
        known = {"world": WORLD_VERSION, "world_hash": version_hash(), "world_seed": self.seed, "world_base": self.base}
        digest = self.earth.base.digest
        climate = {} if self.climate in (None, Climate()) else {"world_climate": str(self.climate)}
        return {**known, **({"world_base_hash": digest} if digest else {}), **climate}

    def _described(
        self, held: dict[str, Any], window: Window, day: np.datetime64, names: tuple[str, ...]
    ) -> xr.Dataset:
        coords: dict[Any, Any] = dict(xr_coords(window.geobox))
        variables: dict[str, Any] = {}
        for name in names:
            info, legend = LAYERS[name], legend_of(name)
            attrs: dict[str, Any] = {"units": info.unit, "long_name": info.meaning}
            if legend is not None:
                attrs["legend"] = legend.to_json()
            variables[name] = (("y", "x"), held[name], attrs)
            if f"{name}_fraction" in held and legend is not None:
                coords[name + "_class"] = (f"{name}", [entry.name for entry in legend])
                of = {"units": "1", "long_name": f"shares of {info.meaning}", "legend": legend.to_json()}
                variables[f"{name}_fraction"] = ((name, "y", "x"), held[f"{name}_fraction"], of)
        coords["time"] = day.astype("datetime64[ns]")
        return xr.Dataset(variables, coords, self.attrs)


@cache
def _planet(path: Path | str | None) -> BasePlanet:
    """Worlds of one planet share its grids, which are never written to."""
    return BasePlanet(path)


def _check_place(window: Window) -> None:
    if 0 in window.shape:
        return
    x, y = np.meshgrid(window.x[[0, -1]], window.y[[0, -1]])
    lon, lat = window.zone.lonlat(x, y)
    x_again, y_again = (np.full(x.shape, np.inf) for _ in range(2))
    if np.isfinite(lon).all() and np.isfinite(lat).all():
        places = [window.zone.metres(*place) for place in zip(lon.flat, lat.flat, strict=True)]
        x_again, y_again = (np.reshape(part, x.shape) for part in zip(*places, strict=True))
    if not (np.abs(x_again - x).max() < 1.0 and np.abs(y_again - y).max() < 1.0):
        raise InputError(
            f"The box reaches to x {x.min():.0f} to {x.max():.0f}, y {y.min():.0f} to {y.max():.0f} m of "
            f"EPSG:{window.zone.epsg}, where the zone knows no place",
            expected="a box near its zone",
            remedy="make it with World.box(lon, lat, ...), or take the zone of the place, frame.zone_at(lon, lat)",
        )


def _checked_layers(layers: Iterable[str] | None, window: Window) -> tuple[str, ...]:
    coarse = window.step > 1
    if layers is None:
        return tuple(name for name, info in LAYERS.items() if not (coarse and info.kind == "identity"))
    names = tuple(dict.fromkeys([layers] if isinstance(layers, str) else layers))
    for name in names:
        if name not in LAYERS:
            raise InputError(
                f"The truth has no layer '{name}'",
                expected=f"some of {', '.join(LAYERS)}",
                remedy=f"the nearest names are: {nearest(name, LAYERS)}",
            )
        if coarse and LAYERS[name].kind == "identity":
            raise InputError(
                f"The layer '{name}' was asked for on pixels of {window.gsd} m",
                expected="pixels of 10 m: numbers of things have neither mean nor share",
                remedy=f"leave out '{name}', or ask for 10 m",
            )
    return names


def _pixel_bytes(names: Iterable[str], step: int) -> int:
    total = 0
    for name in names:
        legend = legend_of(name)
        total += {"quantity": 4, "class": 1, "identity": 8}[LAYERS[name].kind]
        total += 4 * len(legend) if legend is not None and step > 1 else 0
    return total


def _check_memory(window: Window, names: tuple[str, ...]) -> None:
    needed = window.height * window.width * _pixel_bytes(names, window.step)
    if needed > MOST_BYTES:
        raise ResourceError(
            f"The truth of {window.height} x {window.width} pixels and {len(names)} layers takes {needed / 2**30:.1f} "
            f"GiB of memory",
            expected=f"at most {MOST_BYTES / 2**30:g} GiB at once",
            remedy="ask for it in chunks, truth(box, time, chunks=1000), and write them one after the other "
            "(.to_zarr(...)); or name the layers that you need",
        )
