"""What shows on the borders of the cells that the simulated Earth is made of.

At named places, strips of 10 km across the nearest border of cells of 10 and of 100 km, west to east: the mean step of
elevation and of height above drainage from pixel to pixel on the border over that inside (1: nothing shows), and the
share of places where water reaches the border and no water lies within 30 m on the other side, on the border and on
lines inside, where it is what ends of ponds and noise give.

    python bench/world_borders.py
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d

from swath.sources.world.frame import Window, window_of
from swath.sources.world.places import PLACES
from swath.sources.world.world import World

SIDE, REACH, TEN, HUNDRED = 1000, 24, 1000, 10_000
NAMES = ("po_valley", "bavaria", "iowa", "rondonia", "congo", "ganges", "alberta", "kenya")


def cut(water: NDArray[np.bool_], column: int) -> tuple[int, int]:
    """Wet pixels beside a line, and those of them without water within three pixels on the other side."""
    lost = wet = 0
    for here, there in ((column - 1, column), (column, column - 1)):
        near = maximum_filter1d(water[:, there].astype(np.uint8), 7) > 0
        wet += int(water[:, here].sum())
        lost += int((water[:, here] & ~near).sum())
    return wet, lost


def strip(world: World, name: str, size: int) -> dict[str, Any]:
    """Figures of one strip of ``SIDE`` rows; the border lies in its middle."""
    place = PLACES[name]
    middle = window_of(world.box(place.lon, place.lat, (2, 2)))
    border = round(middle.column / size) * size
    top = middle.row // TEN * TEN
    window = Window(middle.zone, top, border - REACH, SIDE, 2 * REACH)
    found: dict[str, Any] = {"place": name, "cells_km": size // 100}
    for layer in ("elevation", "height_above_drainage"):
        steps = np.abs(np.diff(np.asarray(world.earth.read(layer, window), np.float64), axis=1)).mean(axis=0)
        found[layer] = round(float(steps[REACH - 1] / np.median(np.delete(steps, REACH - 1))), 2)
    water = np.asarray(world.earth.read("open_water", window)) > 0.25
    inside = [cut(water, column) for column in range(2, 2 * REACH - 1, 3) if abs(column - REACH) > 3]
    found["border"] = cut(water, REACH)
    found["inside"] = tuple(int(sum(part)) for part in zip(*inside, strict=True))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--places", nargs="+", choices=tuple(PLACES), default=NAMES)
    options = parser.parse_args()
    world = World(seed=0)
    print(json.dumps({"world_hash": world.version_hash()[:12], "seed": 0}), flush=True)
    for size in (TEN, HUNDRED):
        rows = []
        for name in options.places:
            rows.append(strip(world, name, size))
            print(json.dumps(rows[-1]), flush=True)
        shares = {of: [sum(row[of][part] for row in rows) for part in (0, 1)] for of in ("border", "inside")}
        steps = {
            of: round(float(np.median([row[of] for row in rows])), 2) for of in ("elevation", "height_above_drainage")
        }
        cuts = {of: round(lost / wet, 3) if wet else None for of, (wet, lost) in shares.items()}
        print(json.dumps({"cells_km": size // 100, "median_step": steps, "wet": shares, "cut_share": cuts}), flush=True)


if __name__ == "__main__":
    main()
