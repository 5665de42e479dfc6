"""Where the scenes of ``prithvi_tasks`` come from: a search over the truth of the simulated Earth, nothing learned.

Prints one line a scene, as ``swath.systems.eo._prithvi_scenes`` lists them: kind, place, longitude, latitude, day.
Of every place: the highest flood of two years (2015 to 2023) and the two squares with most kinds of crops, within
squares of 4.5 km; with ``--wide`` fires alone, of the last years first, within squares of 8 km, four at most. Of the
squares that fit the one nearest to a quarter under flood is taken (6 to 70 % fit), nearest to 35 % burnt (12 to 75 %);
fields cover at least 40 %, of two kinds or more. About 10 processor seconds a place.

Usage: python bench/prithvi_scenes.py [--wide] PLACE [PLACE ...]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from swath.sources.world.events import fire, flood
from swath.sources.world.frame import Window, window_of
from swath.sources.world.world import World
from swath.systems.eo._prithvi_scenes import Scene
from swath.systems.eo._world_series import PLACES

SIDE = 64
"""Side of a scene in pixels."""
NARROW, WIDE = 448, 800
"""Sides of the squares around a place in pixels."""
LAG = 5
"""Days from the last day of a fire to its scene."""


def main() -> None:
    """Print the scenes of the asked places."""
    parser = argparse.ArgumentParser(description="Scenes of prithvi_tasks")
    parser.add_argument("places", type=int, nargs="+")
    parser.add_argument("--wide", action="store_true", help="fires alone, within 8 km")
    chosen = parser.parse_args()
    world = World(0)
    for place in chosen.places:
        found = (
            [wide_fires(world, place)]
            if chosen.wide
            else [floods(world, place), fires(world, place), crops(world, place)]
        )
        for scenes in found:
            for scene in scenes:
                print((scene.kind, scene.place, scene.lon, scene.lat, scene.day), flush=True)


def floods(world: World, place: int) -> Iterator[Scene]:
    """The highest floods of the two years that had the highest ones."""
    lon, lat = PLACES[place]
    window = window_of(world.box(lon, lat, (NARROW, NARROW)))
    first, last = np.datetime64("2015-01-01"), np.datetime64("2023-12-31")
    level = flood.highest_levels(world.earth, window_of(world.box(lon, lat, (8, 8))), first, last)
    days = first + np.arange(len(level))
    years = days.astype("datetime64[Y]")
    peaks = [
        (level[years == year].max(), days[years == year][level[years == year].argmax()]) for year in np.unique(years)
    ]
    for height, day in sorted(peaks, reverse=True)[:2]:
        if height <= 0.3:
            continue
        truth = world.truth(window, day, layers=["flood_depth", "open_water", "snow_cover"])
        wet = truth["open_water"].values > 0.5
        flooded, snow = shares(wet & (truth["flood_depth"].values > 0)), shares(truth["snow_cover"].values > 0.1)
        yield from nearest(
            "floods", place, window, str(day), flooded, 0.25, (flooded > 0.06) & (shares(wet) < 0.7) & (snow < 0.01)
        )


def fires(world: World, place: int) -> Iterator[Scene]:
    """The last two fires whose square touches that of the place."""
    lon, lat = PLACES[place]
    window = window_of(world.box(lon, lat, (NARROW, NARROW)))
    all_of_them = fire.fires(world.earth, window, np.datetime64("2013-01-01"), np.datetime64("2023-11-01"))
    scenes = (scene for each in all_of_them[::-1] for scene in of_fire(place, each))
    yield from (scene for _, scene in zip(range(2), scenes, strict=False))


def wide_fires(world: World, place: int) -> Iterator[Scene]:
    """At most four fires of 2009 to 2023, the last years first."""
    lon, lat = PLACES[place]
    window = window_of(world.box(lon, lat, (WIDE, WIDE)))
    spans = ((np.datetime64(f"{year}-01-01"), np.datetime64(f"{year}-12-31")) for year in range(2023, 2008, -1))
    scenes = (s for span in spans for each in fire.fires(world.earth, window, *span) for s in of_fire(place, each))
    yield from (scene for _, scene in zip(range(4), scenes, strict=False))


def of_fire(place: int, one: fire.Fire) -> Iterator[Scene]:
    """A scene some days after a fire, if any square of its own window fits."""
    burnt = shares(np.kron(one.day >= 0, np.ones((fire.STEP, fire.STEP), bool)))
    fits = (burnt > 0.12) & (burnt < 0.75)
    yield from nearest("fires", place, one.window.finest(), str(one.end + LAG), burnt, 0.35, fits)


def crops(world: World, place: int) -> Iterator[Scene]:
    """The two squares with most kinds of crops."""
    lon, lat = PLACES[place]
    window = window_of(world.box(lon, lat, (NARROW, NARROW)))
    crop = world.truth(window, "2021-06-01", layers=["crop"])["crop"].values
    fields = shares(crop > 0)
    kinds = np.sum([shares(crop == kind) > 0.02 for kind in range(1, 8)], axis=0)
    worth = np.where(fields > 0.4, kinds + fields, -1.0)
    for best in np.argsort(worth, axis=None)[::-1][:2]:
        row, column = np.unravel_index(best, worth.shape)
        if worth[row, column] >= 2:
            yield Scene("crops", place, *middle(window, int(row), int(column)), "2021")


def nearest(
    kind: str, place: int, window: Window, day: str, share: NDArray[np.float64], wanted: float, fits: NDArray[np.bool_]
) -> Iterator[Scene]:
    """The square that fits whose share is nearest to what is wanted, if any fits."""
    if fits.any():
        row, column = np.unravel_index(np.where(fits, -abs(share - wanted), -9.0).argmax(), share.shape)
        yield Scene(kind, place, *middle(window, int(row), int(column)), day)  # type: ignore[arg-type]


def shares(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Share of every square of ``SIDE`` pixels that a mask covers; a rest at the edge is left out."""
    count = len(mask) // SIDE
    cut = mask[: count * SIDE, : count * SIDE].reshape(count, SIDE, count, SIDE)
    return np.asarray(cut.mean(axis=(1, 3)))


def middle(window: Window, row: int, column: int) -> tuple[float, float]:
    """Longitude and latitude of the middle of a square, to four digits."""
    x, y = (
        np.array([[step * 10.0]]) for step in (window.column + (column + 0.5) * SIDE, -window.row - (row + 0.5) * SIDE)
    )
    lon, lat = window.zone.lonlat(x, y)
    return round(float(np.ravel(lon)[0]), 4), round(float(np.ravel(lat)[0]), 4)


if __name__ == "__main__":
    main()
