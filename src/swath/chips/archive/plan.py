"""A chip before it is cut: where it lies, which scenes it takes, and what is known on its ground."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from swath.chips.archive.lattice import Lattice, cells
from swath.chips.archive.request import Request
from swath.chips.archive.tiles import tile_in, tile_of
from swath.cubes.catalogue import Item
from swath.cubes.catalogue.search import footprint
from swath.grids.geobox import to_lonlat


@dataclass(frozen=True)
class Plan:
    """One chip to be cut.

    Args:
        id: name of the chip.
        date: day of the observation, YYYYMMDD.
        tile: sensor, tile and time of the latest scene, as the published file names have it.
        cell: right and down, in cells of that scene.
        group: tile of 100 km.
        items: one scene for every date, the latest first.
        wanted: date wanted of each, ISO text.
        box: grid of the pixels.
        row: of its first pixel on the lattice.
        column: of its first pixel on the lattice.
        rows: pixels of the observations, ``(P,)``.
        columns: pixels of the observations, ``(P,)``.
        values: their classes or quantities, ``(P,)``.
        raster: label raster instead of observations.
        stamp: what changes when that raster does.
        shift: how far the pixels lie off the lattice [pixels].
    """

    id: str
    date: str
    tile: str
    cell: tuple[int, int]
    group: str
    items: tuple[Item, ...]
    wanted: tuple[str, ...]
    box: GeoBox
    row: int
    column: int
    rows: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    columns: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    values: NDArray[Any] = field(default_factory=lambda: np.zeros(0))
    raster: str = ""
    stamp: str = ""
    shift: float = 0.0

    @property
    def key(self) -> str:
        """What tells its scenes from those of other chips."""
        return key_of(self.items)

    def recipe(self, request: str) -> str:
        """SHA-256 over all that the chip is made from; ``request`` is the digest of the options."""
        order = np.lexsort((self.values, self.columns, self.rows))
        facts = {
            "request": request,
            "items": [
                [item.collection, item.id, item.time, item.cloud_cover, dict(item.properties)] for item in self.items
            ],
            "wanted": self.wanted,
            "box": [str(self.box.crs), *self.box.affine[:6], *self.box.shape.yx, self.row, self.column],
            "points": [array[order].tolist() for array in (self.rows, self.columns, self.values)],
            "raster": [self.raster, self.stamp],
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def key_of(items: Sequence[Item]) -> str:
    """Twelve hexadecimal digits for a choice of scenes."""
    return hashlib.sha256(" ".join(f"{item.collection}/{item.id}" for item in items).encode()).hexdigest()[:12]


def tile_name(item: Item, request: Request) -> str:
    """Sensor, tile and time as published file names have it, such as ``L30_T13SCS_2020001T173930``."""
    when = pd.Timestamp(item.time).strftime("%Y%jT%H%M%S")
    return f"{request.origin.short[str(item.sensor)]}_T{item_tile(item)}_{when}"


def item_tile(item: Item) -> str:
    """Tile of a scene: from its name, else of the middle of its footprint."""
    told = tile_in(item.id)
    if told is not None:
        return told
    middle = footprint(item).representative_point()
    return str(tile_of(middle.x, middle.y)[0])


def plan_points(
    table: pd.DataFrame, items: Sequence[tuple[Item, ...]], lattice: Lattice, grids: dict[str, GeoBox], request: Request
) -> tuple[list[Plan], pd.DataFrame]:
    """Cells of the latest scenes that hold observations, each a chip.

    Args:
        table: observations with lon, lat, when, value and tile.
        items: scenes of each observation, the latest first.
        lattice: where the chips lie.
        grids: grid of each scene that is the latest of an observation, by ``collection/id``.
        request: options.

    Returns:
        plans in order of their ids; and for every observation chip, y and x, where an empty chip means a partial cell
        at the edge of its scene.
    """
    rows, columns = lattice.pixels(table["lon"].to_numpy(), table["lat"].to_numpy())
    names = np.array([f"{each[0].collection}/{each[0].id}" for each in items], object)
    down, right = np.zeros(len(table), np.int64), np.zeros(len(table), np.int64)
    whole = np.zeros(len(table), bool)
    for name in dict.fromkeys(names):
        chosen = names == name
        window = lattice.window(grids[name])
        down[chosen], right[chosen], whole[chosen] = cells(rows[chosen], columns[chosen], window, request.size)
    frame = pd.DataFrame({"key": [key_of(each) for each in items], "down": down, "right": right})
    frame["day"] = table["when"].to_numpy().astype("datetime64[D]").astype(str)
    plans, pins = [], pd.DataFrame({"chip": "", "y": -1, "x": -1}, index=table.index)
    for _, part in frame[whole].groupby(["key", "day", "down", "right"], sort=True):
        chosen = part.index.to_numpy()
        place = (int(part["down"].iloc[0]), int(part["right"].iloc[0]))
        plan = _of_points(table, items[chosen[0]], chosen, place, (rows, columns), lattice, grids, request)
        plans.append(plan)
        pins.loc[chosen, "chip"], pins.loc[chosen, "y"], pins.loc[chosen, "x"] = plan.id, plan.rows, plan.columns
    return sorted(plans, key=lambda plan: plan.id), pins


def _of_points(
    table: pd.DataFrame, items: tuple[Item, ...], chosen: Any, place: tuple[int, int],
    pixels: tuple[NDArray[np.float64], NDArray[np.float64]], lattice: Lattice, grids: dict[str, GeoBox],
    request: Request,
) -> Plan:  # fmt: skip
    size, (down, right) = request.size, place
    top, left, _, _ = lattice.window(grids[f"{items[0].collection}/{items[0].id}"])
    row, column = top + down * size, left + right * size
    when = table["when"].to_numpy()[chosen[0]]
    return Plan(
        **named(items, when, (right, down), request),
        group=group_of(lattice.box(row, column, size, size)),
        items=items,
        wanted=wanted_texts(when, request),
        box=lattice.box(row, column, size, size),
        row=row,
        column=column,
        rows=np.floor(pixels[0][chosen]).astype(np.int64) - row,
        columns=np.floor(pixels[1][chosen]).astype(np.int64) - column,
        values=table["value"].to_numpy()[chosen],
    )


def group_of(box: GeoBox) -> str:
    """Tile of 100 km of the middle of a grid."""
    middle = np.array([box.shape.x / 2]), np.array([box.shape.y / 2])
    return str(tile_of(*to_lonlat(box, *middle))[0])


def named(items: tuple[Item, ...], when: Any, cell: tuple[int, int], request: Request) -> dict[str, Any]:
    """Id, date, tile and cell of a plan."""
    date, tile = pd.Timestamp(when).strftime("%Y%m%d"), tile_name(items[0], request)
    name = f"{date}_{tile}_{cell[0]}_{cell[1]}_{key_of(items)[:6]}"
    return {"id": name, "date": date, "tile": tile, "cell": cell}


def wanted_texts(when: Any, request: Request) -> tuple[str, ...]:
    """Dates wanted of one observation, to the day."""
    wanted = request.wanted(np.array([when], "datetime64[ns]"))[0]
    return tuple(str(each.astype("datetime64[D]")) for each in wanted)
