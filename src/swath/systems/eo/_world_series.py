"""Series of the simulated Earth: places on all continents, each seen on several days, and a loader of short series.

Surface reflectance in the six bands of the Prithvi models, without clouds, at 10 m. What a place looks like on a day
follows from its cover, climate and weather (``docs/world.md``), so that season and hemisphere matter.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from swath import cubes, rng, sensors
from swath.errors import InputError
from swath.failures import Failures
from swath.files import user_cache, write_whole
from swath.jobs import Job, run_each
from swath.nn import Normalise
from swath.sensors import BandSet
from swath.sources.world.render.conditions import Conditions
from swath.sources.world.render.observe import observe
from swath.sources.world.world import World
from swath.types import Batch, DataKind, Modality

SENSOR = "sentinel2_l2a"
BANDS = ("B02", "B03", "B04", "B8A", "B11", "B12")
"""Blue, green, red, narrow near infrared and two short-wave infrared bands."""
PLACES: tuple[tuple[float, float], ...] = (
    (-93.5, 42.0), (-98.3, 45.1), (-101.2, 35.4), (-120.2, 37.6), (-113.5, 54.5), (-84.0, 33.0), (-76.5, 42.5),
    (-62.8, -9.9), (-55.5, -12.5), (-60.6, -33.1), (-47.9, -15.8), (-64.2, -31.4), (-52.4, -24.0), (-66.0, 5.0),
    (10.9, 45.1), (11.5, 48.6), (-4.5, 41.5), (2.3, 48.3), (24.0, 50.0), (30.5, 55.0), (37.5, 47.5), (15.5, 60.5),
    (2.1, 13.5), (23.0, 0.5), (36.8, -0.6), (30.0, -19.5), (26.0, -27.5), (8.5, 9.5), (38.5, 9.0), (-6.0, 7.5),
    (88.6, 25.2), (105.6, 10.6), (77.3, 28.9), (113.5, 34.8), (126.0, 46.0), (95.0, 60.0), (68.5, 41.0), (102.5, 16.5),
    (144.5, -35.8), (117.5, -32.5), (150.5, -28.5), (171.8, -43.8),
)  # fmt: skip
"""Longitude and latitude [degrees] of places inland, both hemispheres, from the equator to 60 degrees."""
YEARS = (2018, 2023)
MOST_WORKERS = 4
"""Processes that make places: each holds a planet."""
TRIES = 400
"""Days that are drawn for a place before its winter counts as too dark."""


@dataclass(frozen=True, eq=False)
class Series:
    """P places, each on D days.

    Args:
        values: reflectance float32 ``(P, D, C, H, W)``.
        time: int64 ``(P, D)`` seconds UTC, rising.
        grids: where each place lies.
        kind: ``simulated``, or ``fixture`` for made-up numbers.
    """

    values: NDArray[np.float32]
    time: NDArray[np.int64]
    grids: tuple[GeoBox, ...]
    kind: DataKind

    def __len__(self) -> int:
        return len(self.values)

    def take(self, places: Sequence[int]) -> Series:
        """Some of the places."""
        chosen = list(places)
        return Series(self.values[chosen], self.time[chosen], tuple(self.grids[place] for place in chosen), self.kind)

    def normalise(self) -> Normalise:
        """Mean and standard deviation of each band over all places and days."""
        axes = (0, 1, 3, 4)
        mean, std = (getattr(self.values, name)(axis=axes, dtype=np.float64).tolist() for name in ("mean", "std"))
        return Normalise(mean, std, names=BANDS)


def bands() -> BandSet:
    """The six bands."""
    return sensors.load(SENSOR).bands.select(BANDS)


def simulated(world: World, folder: Path, *, days: int, size: int, places: int = len(PLACES)) -> Series:
    """Series of the first so many places; each place is kept in ``folder`` and not made again.

    Places that are not there yet are made by as many processes as there are cores, up to four.

    Args:
        world: the world.
        folder: where places are kept, under a name that holds the hash of the world.
        days: D; drawn at random from six years, the same for everybody.
        size: side in pixels.
        places: how many.

    Raises:
        InputError: a place could not be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    end = f"{days}_{size}_{world.seed}_{world.version_hash()[:12]}.npz"
    paths = [folder / f"{number:02d}_{end}" for number in range(places)]
    boxes = [world.box(lon, lat, (size, size)) for lon, lat in PLACES[:places]]
    missing = [(number, paths[number], boxes[number]) for number in range(places) if not paths[number].is_file()]
    if missing:
        _make(world, missing, days)
    parts, times = [], []
    for path in paths:
        with np.load(path) as stored:
            parts.append(stored["values"])
            times.append(stored["time"])
    return Series(np.stack(parts), np.stack(times), tuple(boxes), "simulated")


def _make(world: World, missing: Sequence[tuple[int, Path, GeoBox]], days: int) -> None:
    """Make the places that are not there yet."""
    _ = world.earth.base.digest  # makes the planet where it is not there, which each process would do for itself
    workers = min(len(missing), os.cpu_count() or 1, MOST_WORKERS)
    job = Job(0 if workers == 1 else workers, stage="make", describe=_describe, progress="making series")
    failures = Failures()
    for _ in run_each(missing, partial(_make_place, world=world, days=days), job=job, failures=failures):
        pass
    if failures:
        raise InputError(
            f"{len(failures.rows)} series of the simulated Earth could not be made: {failures.rows[0].reason}",
            expected="all of them",
            remedy="run the same command again; what was made is kept",
        )


def _describe(place: tuple[int, Path, GeoBox]) -> str:
    return f"place {place[0]}"


def _make_place(place: tuple[int, Path, GeoBox], world: World, days: int) -> None:
    number, path, box = place
    held = _observed(world, number, box, days)
    write_whole(path, lambda part: _save(part, held))


def _observed(world: World, number: int, box: GeoBox, days: int) -> dict[str, NDArray[np.generic]]:
    """Reflectance of a place on its days, and the days."""
    draw = rng.generator(world.seed, "series days", number)
    first = np.datetime64(f"{YEARS[0]}-01-01", "D")
    span = int((np.datetime64(f"{YEARS[1]}-12-31", "D") - first).astype(int))
    found: dict[np.datetime64, NDArray[np.float32]] = {}
    for _ in range(TRIES):
        day = first + int(draw.integers(span))
        if day in found:
            continue
        seed = rng.key(world.seed, "series", number, str(day)) % 2**63
        try:
            scene = observe(
                world.truth(box, str(day)), SENSOR, str(day), None, seed, conditions=Conditions(cloud_fraction=0.0)
            )
        except InputError as error:
            if "sun" not in error.given.lower():
                raise
            continue
        cube = cubes.to_physical(cubes.to_cube(scene, bands=BANDS)).compute()
        found[day] = cube["data"].values[0].astype(np.float32)
        if len(found) == days:
            break
    order = sorted(found)
    seconds = np.array(order, "datetime64[s]").astype(np.int64) + 10 * 3600
    return {"values": np.stack([found[day] for day in order]), "time": seconds}


def _save(path: Path, arrays: dict[str, NDArray[np.generic]]) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def made_up(places: int, days: int, size: int, seed: int = 0, *, noise: float = 0.02, south: bool = True) -> Series:
    """Places whose brightness follows the season of their hemisphere alone; for smokes and planted effects.

    The near infrared rises by 0.2 from the darkest to the brightest day, the other bands fall by 0.1. Without the south
    the day of the year is all that there is to know.
    """
    draw = rng.generator(seed, "made-up series")
    lon, lat = (
        draw.uniform(-170, 170, places),
        draw.uniform(15, 55, places) * draw.choice([-1, 1] if south else [1], places),
    )
    first = np.datetime64("2020-01-01", "s").astype(np.int64)
    day = np.sort(draw.permuted(np.tile(np.arange(3 * 365), (places, 1)), axis=1)[:, :days], axis=1)
    season = -np.cos(2 * np.pi * (day % 365) / 365) * np.sign(lat)[:, None]
    sign = np.where(np.arange(len(BANDS)) == BANDS.index("B8A"), 0.1, -0.05)
    level = 0.3 + season[:, :, None, None, None] * sign[:, None, None]
    values = level + draw.normal(0, noise, (places, days, len(BANDS), size, size))
    grids = tuple(
        GeoBox((size, size), Affine(1e-4, 0, x, 0, -1e-4, y), "EPSG:4326") for x, y in zip(lon, lat, strict=True)
    )
    return Series(values.astype(np.float32), first + day * 86_400, grids, "fixture")


def series_for(folder: Path | None, *, made_up_instead: bool, places: int, days: int, size: int) -> Series:
    """Series of world 0, made where they are not yet kept, or made-up ones.

    Args:
        folder: where the simulated ones are kept; the user's cache by default.
        made_up_instead: take made-up ones.
        places: how many.
        days: D of each.
        size: side in pixels.
    """
    if made_up_instead:
        return made_up(places, days, size)
    return simulated(World(0), folder or user_cache("world-series"), days=days, size=size, places=places)


def shuffled(series: Series, seed: int) -> Series:
    """The values of each band in random order over all places, days and pixels: only their distribution is left."""
    draw = rng.generator(seed, "shuffled series")
    by_band = np.moveaxis(series.values, 2, 0).reshape(len(BANDS), -1)
    shape = np.moveaxis(series.values, 2, 0).shape
    mixed = np.stack([draw.permutation(each) for each in by_band]).reshape(shape)
    return replace(series, values=np.ascontiguousarray(np.moveaxis(mixed, 0, 2)))


class SeriesLoader:
    """Batches of short series: a random place, days and window each, turned and mirrored.

    Args:
        series: where they are taken from.
        dates: T, days of a sample, in their order.
        size: side of a window in pixels.
        batch_size: samples per batch.
        batches: batches per epoch.
        seed: of all that is drawn.
        mix_times: give every sample the days of another one: what a network knows of time and place is then wrong.
    """

    def __init__(
        self,
        series: Series,
        *,
        dates: int,
        size: int,
        batch_size: int,
        batches: int,
        seed: int,
        mix_times: bool = False,
    ) -> None:
        self._series, self._dates, self._size = series, dates, size
        self._batch, self._batches, self._seed, self._mix = batch_size, batches, seed, mix_times
        days, side = series.values.shape[1], series.values.shape[-1]
        if side < size or days < dates:
            raise InputError(
                f"No series of {dates} days and {size} pixels can be cut from {days} days and {side} pixels",
                expected="at least as many days and pixels",
                remedy="take shorter series or smaller windows",
            )

    def __len__(self) -> int:
        return self._batches

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from batch ``start`` on."""
        for number in range(start, self._batches):
            yield self._drawn(rng.generator(self._seed, "series", epoch, number), f"{epoch}_{number}")

    def _drawn(self, draw: np.random.Generator, name: str) -> Batch:
        series, count, size = self._series, self._batch, self._size
        places = draw.integers(len(series), size=count)
        all_days = np.tile(np.arange(series.values.shape[1]), (count, 1))
        days = np.sort(draw.permuted(all_days, axis=1)[:, : self._dates], axis=1)
        corners = draw.integers(series.values.shape[-1] - size + 1, size=(count, 2))
        rows, columns = (corner[:, None] + np.arange(size) for corner in corners.T)
        cut = series.values[places[:, None], days][
            np.arange(count)[:, None, None, None, None],
            np.arange(self._dates)[:, None, None, None],
            np.arange(len(BANDS))[:, None, None],
            rows[:, None, None, :, None],
            columns[:, None, None, None, :],
        ]
        turned = draw.integers(2, size=(count, 3)).astype(bool)
        cut[turned[:, 0]] = cut[turned[:, 0]][..., ::-1, :]
        cut[turned[:, 1]] = cut[turned[:, 1]][..., ::-1]
        cut[turned[:, 2]] = cut[turned[:, 2]].swapaxes(-1, -2)
        told, where = series.time[places[:, None], days], places
        if self._mix:
            other = draw.permutation(count)
            told, where = told[other], places[other]
        grids = tuple(series.grids[place] for place in where)
        return batch_of(cut, told, grids, name)


def fixed(series: Series, *, dates: int, size: int, per_place: int, seed: int) -> list[Batch]:
    """The same short series every time: ``per_place`` of each place, one batch a place."""
    found = []
    for place in range(len(series)):
        own = rng.key(seed, "fixed", place) % 2**62
        loader = SeriesLoader(series.take([place]), dates=dates, size=size, batch_size=per_place, batches=1, seed=own)
        found += list(loader.epoch(0))
    return found


def batch_of(values: NDArray[np.float32], time: NDArray[np.int64], grids: Sequence[GeoBox], name: str) -> Batch:
    """Arrays ``(N, T, C, H, W)`` and times ``(N, T)`` as a batch without targets."""
    held = torch.from_numpy(np.ascontiguousarray(values))
    seen = torch.ones((len(held), 1, 1, 1, 1), dtype=torch.bool).expand(held.shape)
    size = values.shape[-1]
    # A window lies at most a few hundred metres from the corner of its place: that corner will do for all.
    boxes = tuple(GeoBox((size, size), grid.affine, grid.crs) for grid in grids)
    image = Modality(held, seen, bands(), torch.from_numpy(np.ascontiguousarray(time)), boxes)
    return Batch({"image": image}, {}, {}, tuple(f"{name}_{at}" for at in range(len(held))))
