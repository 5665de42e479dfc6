"""Observations on their way to chips: which have scenes, which do not, and the lattice on which they meet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from odc.geo.geobox import GeoBox

from swath.chips.archive.boxes import Box
from swath.chips.archive.lattice import Lattice
from swath.chips.archive.plan import group_of
from swath.chips.archive.request import Request, crs_code, nothing
from swath.chips.archive.scene import Scene
from swath.chips.archive.seek import Found, exchanged, items_of, note, seek
from swath.chips.archive.tiles import tile_of
from swath.cubes.catalogue import Item
from swath.errors import InputError
from swath.failures import Failure, Failures
from swath.grids.geobox import to_lonlat


@dataclass
class Work:
    """Observations on their way to plans."""

    place: Path | str
    table: pd.DataFrame
    failures: Failures = field(default_factory=Failures)
    counts: Counter[str] = field(default_factory=Counter)

    def outcome(self, chosen: Any, word: str) -> None:
        """Say of some observations why they go no further."""
        self.table.loc[chosen, "outcome"] = word
        self.counts[word] += len(self.table.loc[chosen])

    @property
    def open(self) -> pd.DataFrame:
        """Observations that are still on their way."""
        return self.table[self.table["outcome"] == ""]


def found_scenes(
    work: Work, request: Request, outlines: Any | None = None, what: str = "observation in row"
) -> dict[int, tuple[Item, ...]]:
    """Scenes of the open observations, by their place in the table; the others go to the failures."""
    rest = work.open
    found = seek(work.place, rest, request, work.failures, outlines)
    note(rest, found, work.failures, what)
    work.outcome([at for at, scenes in zip(rest.index, found.scenes, strict=True) if scenes is None], "no scene")
    if work.open.empty:
        raise nothing(_why_nothing(work, rest, found, request, outlines is None), "see above; widen the request")
    return {at: scenes for at, scenes in zip(rest.index, found.scenes, strict=True) if scenes is not None}


def _why_nothing(work: Work, rest: pd.DataFrame, found: Found, request: Request, points: bool) -> str:
    hint = exchanged(work.place, rest, request) if points else ""
    return f"None of {len(rest)} observations has all of its scenes. The first: {found.problems[0]}{hint}"


def lattice_of_points(
    scenes: dict[int, tuple[Item, ...]], work: Work, request: Request
) -> tuple[Lattice, dict[str, GeoBox]]:
    """Where the chips lie, and the grids of the latest scenes; observations of scenes that do not open are noted."""
    grids: dict[str, GeoBox] = {}
    for item in items_of([each[:1] for each in scenes.values()]):
        name = f"{item.collection}/{item.id}"
        try:
            grids[name] = Scene.of(item, request).finest
        except InputError as error:
            lost = [
                at for at, each in scenes.items() if each[0] is item or f"{each[0].collection}/{each[0].id}" == name
            ]
            work.failures.add(Failure.of(f"scene {name} of {len(lost)} observations", "open", error))
            work.outcome(lost, "unusable scene")
    if not grids:
        raise nothing(f"No scene can be opened: {work.failures.rows[-1].reason}", "repair the archive")
    return _common(grids, request), grids


def _common(grids: Mapping[str, GeoBox], request: Request) -> Lattice:
    """The lattice asked for, else that which the scenes share."""
    if request.crs is not None and request.resolution is not None:
        return Lattice(crs_code(request.crs), request.resolution)
    kinds = sorted({(str(box.crs), round(float(box.affine.a), 9)) for box in grids.values()})
    if len(kinds) > 1:
        raise InputError(
            f"The scenes lie on {len(kinds)} grids: {', '.join(f'{crs} at {step:g}' for crs, step in kinds[:6])}",
            expected="one CRS and pixel size for all chips of a set",
            remedy="name them, for example --crs EPSG:4326 --resolution 0.00027",
        )
    first = min(grids)
    return Lattice.of(grids[first], first)


def lattice_of_boxes(place: Path | str, boxes: list[Box], when: Any, timed: Any, request: Request) -> Lattice:
    """The lattice asked for, else that of the scenes around the middle of the first box."""
    if request.crs is not None and request.resolution is not None:
        return _common({}, request)
    west, south, east, north = boxes[0]
    middle = {"row": 0, "lon": (west + east) / 2, "lat": (south + north) / 2, "when": when[0], "timed": timed[0]}
    table = pd.DataFrame([middle])
    work = Work(place, table.assign(tile=tile_of(table["lon"], table["lat"]), outcome=""))
    return lattice_of_points(found_scenes(work, request), work, request)[0]


def locate(work: Work, grids: Mapping[int, GeoBox]) -> None:
    """Note middle and tile of grids in the table."""
    for at, box in grids.items():
        lon, lat = to_lonlat(box, np.array([box.shape.x / 2]), np.array([box.shape.y / 2]))
        work.table.loc[at, ["lon", "lat"]] = [float(lon[0]), float(lat[0])]
        work.table.loc[at, "tile"] = group_of(box)


def snapped(held: dict[int, GeoBox], lattice: Lattice, work: Work) -> dict[int, tuple[int, int, float]]:
    """Place of each raster on the lattice; rasters that do not fit go to the failures."""
    places = {}
    for at, box in held.items():
        try:
            places[at] = lattice.nearest(box)
        except InputError as error:
            work.failures.add(Failure.of(str(work.table["path"][at]), "label", error))
            work.outcome([at], "unusable raster")
    return places
