"""Six floods of the simulated Earth as an archive: scenes of two sensors before, during and after, and label rasters.

Each place is a square of 10 km, with Sentinel-2 and Sentinel-1 under the sky of the day. Label rasters are what an
analyst would have drawn: small squares with water and dry ground, all from the truth of the day. The archive is kept in
a folder whose name holds all that it was made from, and goes on where it stopped.
"""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import rasterio
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from swath import rng
from swath.cubes import legend_from_colours
from swath.cubes.catalogue import read_item, write_catalogue
from swath.cubes.catalogue.write import VERSION
from swath.errors import InputError
from swath.failures import Failures
from swath.files import user_cache, write_json, write_text
from swath.grids.geobox import to_lonlat
from swath.jobs import Job, run_each
from swath.sources.published.common import write_raster
from swath.sources.world import archive as worlds
from swath.sources.world.archive import Wanted, box_of
from swath.sources.world.places import place_of
from swath.sources.world.world import World
from swath.systems.eo._instageo_made_up import made_up_scene

LEGEND = legend_from_colours({"dry": "#ddcc77", "water": "#332288"})
NO_LABEL = 255
SENSORS = ("sentinel1_grd", "sentinel2_l2a")
LAYER = "open_water"
DEGREES = 8.983152841195215e-05
"""Pixel of the label rasters, as in Sen1Floods11: 10 m at the equator."""
RECORDS = "records.csv"
RULE = 1
"""Counts up when another archive is made from the same options."""
LABELS = "labels"


@dataclass(frozen=True)
class Flood:
    """A place, and the day on which its largest flood of some years stands.

    Args:
        name: for people.
        region: ``LON,LAT`` in degrees.
        day: a day of the flood.
    """

    name: str
    region: str
    day: str

    def days(self, apart: int) -> tuple[np.datetime64, ...]:
        """Before, during and after."""
        day = np.datetime64(self.day)
        return tuple(day + steps * apart for steps in (-1, 0, 1))


FLOODS = (
    Flood("Segura", "-0.7589,38.1058", "2019-12-12"),
    Flood("Indus", "68.2,27.5", "2019-06-24"),
    Flood("Brahmaputra", "89.8,24.8", "2021-07-15"),
    Flood("Pungwe", "34.6,-19.6", "2018-02-06"),
    Flood("Chao Phraya", "100.4,14.6", "2021-09-06"),
    Flood("Burdekin", "145.9,-19.2", "2019-11-21"),
)
"""Found with ``World.events`` as floods of 12 to 45 % of the square; named for the river nearest in the real world."""
TUNING_FLOODS = (
    Flood("Irrawaddy", "95.6,18.2", "2020-07-27"),
    Flood("Mississippi", "-91.0,33.5", "2021-10-22"),
    Flood("Niger", "-4.2,14.5", "2018-08-17"),
    Flood("Fitzroy", "150.3,-23.4", "2018-01-12"),
    Flood("Magdalena", "-74.5,9.2", "2021-08-07"),
    Flood("Sava", "17.5,45.1", "2021-09-20"),
)
"""Other places, found in the same way: sizes and schedules are chosen on them, so that no claim is measured on what it
was tuned on."""


@dataclass(frozen=True)
class ArchiveOptions:
    """What the archive shall hold.

    Args:
        tiles: how many of the floods.
        side: of a square in pixels of 10 m, a multiple of 6.
        apart: days between the dates.
        label_side: of a label raster in pixels.
        wet: most label rasters of a date that hold water and dry ground.
        dry: most that hold dry ground alone.
        sensors: which sensors.
        made_up: scenes of Sentinel-1 in two grey values and noise, in place of simulated ones.
        tuning: take the floods to tune on.
    """

    tiles: int = len(FLOODS)
    side: int = 1026
    apart: int = 24
    label_side: int = 64
    wet: int = 48
    dry: int = 16
    sensors: tuple[str, ...] = SENSORS
    made_up: bool = False
    tuning: bool = False

    @property
    def floods(self) -> tuple[Flood, ...]:
        """The floods of this archive, in order."""
        return (TUNING_FLOODS if self.tuning else FLOODS)[: self.tiles]

    def hash(self) -> str:
        """Of everything that the archive is made from."""
        chosen = {name: value for name, value in asdict(self).items() if name != "tuning"}
        told = {**chosen, "floods": [asdict(flood) for flood in self.floods], "rule": RULE}
        world = {} if self.made_up else World(0).attrs
        facts = json.dumps([world, told], sort_keys=True, default=str)
        return hashlib.sha256(facts.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class FloodArchive:
    """An archive with its label rasters.

    Args:
        folder: holds ``scenes`` (the catalogue), ``labels`` and ``records.csv``.
        hash: of all that it was made from.
        options: as given.
    """

    folder: Path
    hash: str
    options: ArchiveOptions

    @property
    def scenes(self) -> Path:
        """The catalogue."""
        return self.folder / "scenes"

    @property
    def labels(self) -> Path:
        """Folder of the label rasters."""
        return self.folder / LABELS

    def records(self) -> pd.DataFrame:
        """Columns ``label_filename``, ``date``, ``tile`` (number of the flood), ``phase`` (0 before, 1 during, 2)."""
        return pd.read_csv(self.folder / RECORDS)


def prepared(options: ArchiveOptions, folder: Path | None, *, workers: int = 0, progress: str = "") -> FloodArchive:
    """The archive, made where it does not lie yet.

    Args:
        options: what it shall hold.
        folder: where archives are kept, each in a folder of its own; the user's cache by default.
        workers: processes that make scenes; 0 works in this one.
        progress: title of a progress bar, or none.

    Raises:
        InputError: a scene could not be made.
        ResourceError: the disk cannot take the files.
    """
    digest = options.hash()
    place = (folder or user_cache("instageo")) / digest
    found = FloodArchive(place, digest, options)
    if (place / RECORDS).is_file():
        return found
    failures = Failures()
    make = functools.partial(_make_tile, options=options, folder=place)
    job = Job(workers, stage="make", describe=functools.partial(_describe, options), progress=progress)
    tables = [table for _, table in run_each(range(options.tiles), make, job=job, failures=failures)]
    if failures.rows:
        raise InputError(
            f"The archive could not be made: {failures.rows[0].reason}",
            expected="all of its scenes",
            remedy=f"run the same command again; what was made lies in {place}",
        )
    _link_tiles(found)
    records = pd.concat([table for table in tables if table is not None]).sort_values("label_filename")
    write_text(place / RECORDS, records.to_csv(index=False))
    return found


def _link_tiles(archive: FloodArchive) -> None:
    """One catalogue over those of the places, which were made by several processes."""
    links = [
        {"rel": "child", "href": f"./tile_{number}/catalog.json", "type": "application/json"}
        for number in range(archive.options.tiles)
    ]
    content = {
        "type": "Catalog", "stac_version": VERSION, "id": f"floods_{archive.hash}",
        "description": "Floods of the simulated Earth; nothing in it was observed.",
        "links": [{"rel": "root", "href": "./catalog.json", "type": "application/json"}, *links],
    }  # fmt: skip
    write_json(archive.scenes / "catalog.json", content)


def _describe(options: ArchiveOptions, number: int) -> str:
    return f"scenes of {options.floods[number].name}"


def _make_tile(number: int, options: ArchiveOptions, folder: Path) -> pd.DataFrame:
    """Scenes and label rasters of one place; the rows of its label rasters."""
    flood, world = options.floods[number], World(0)
    scenes, rows = folder / "scenes" / f"tile_{number}", []
    for phase, day in enumerate(flood.days(options.apart)):
        wanted = Wanted(
            flood.region, options.sensors, str(day), size_m=options.side * 10.0, every=1, layers=("cover", LAYER)
        )
        box = box_of(world, wanted)
        if options.made_up:
            made_up_scene(scenes, name_of(flood, day), day, box, (number, phase))
        else:
            _check_made(worlds.make(world, wanted, scenes), flood)
        water = truth_of(scenes, flood, day)
        for top, left in chosen_cells(water, options, (number, phase)):
            name = f"{number}_{phase}_{top:04d}_{left:04d}.tif"
            grid = label_grid(box, top, left, options.label_side)
            write_raster(
                folder / LABELS / name, sampled(water, box, grid)[None], grid.affine, "EPSG:4326", nodata=NO_LABEL,
                names=("water",),
            )  # fmt: skip
            rows.append({"label_filename": name, "date": str(day), "tile": number, "phase": phase})
    if options.made_up:
        items = [read_item(path) for path in sorted(scenes.glob("*/*/*.json"))]
        write_catalogue(scenes, items, name=f"tile_{number}", title="made up")
    return pd.DataFrame(rows)


def _check_made(made: worlds.Archive, flood: Flood) -> None:
    if made.failures.rows:
        raise InputError(
            f"A scene of {flood.name} could not be made: {made.failures.rows[0].reason}",
            expected="a scene of each sensor",
            remedy="choose another day",
        )


def truth_of(scenes: Path, flood: Flood, day: np.datetime64) -> NDArray[np.bool_]:
    """Whether more than half of a pixel lies under open water, bool ``(y, x)``, from the truth in an archive."""
    with rasterio.open(scenes / worlds.TRUTH / name_of(flood, day) / f"{LAYER}.tif") as raster:
        share = raster.read(1)
    return np.asarray(share > 0.5)


def name_of(flood: Flood, day: np.datetime64) -> str:
    """How items of a place and day are called, before the sensor."""
    return f"{place_of(flood.region).name}_{str(day).replace('-', '')}"


def label_grid(box: GeoBox, top: int, left: int, side: int) -> GeoBox:
    """The pixels of a label raster over a cell of a scene: those of the published floods, on one global lattice.

    Args:
        box: grid of the scene.
        top: its first row.
        left: its first column.
        side: of the cell, and of the raster.
    """
    (lon,), (lat,) = to_lonlat(box, np.array([left + side / 2]), np.array([top + side / 2]))
    column, row = round(lon / DEGREES - side / 2), round(-lat / DEGREES - side / 2)
    return GeoBox((side, side), Affine(DEGREES, 0.0, column * DEGREES, 0.0, -DEGREES, -row * DEGREES), "EPSG:4326")


def sampled(water: NDArray[np.bool_], box: GeoBox, grid: GeoBox) -> NDArray[np.uint8]:
    """The truth at the middles of the pixels of another grid in degrees, ``NO_LABEL`` beyond its edge."""
    from pyproj import Transformer

    columns, rows = np.meshgrid(np.arange(grid.shape.x) + 0.5, np.arange(grid.shape.y) + 0.5)
    x, y = Transformer.from_crs("EPSG:4326", str(box.crs), always_xy=True).transform(*(grid.affine * (columns, rows)))
    across, down = (np.floor(part).astype(int) for part in ~box.affine * (x, y))
    height, width = water.shape
    inside = (across >= 0) & (across < width) & (down >= 0) & (down < height)
    found = water[np.where(inside, down, 0), np.where(inside, across, 0)].astype(np.uint8)
    return np.where(inside, found, NO_LABEL).astype(np.uint8)


def chosen_cells(water: NDArray[np.bool_], options: ArchiveOptions, place: tuple[int, int]) -> list[tuple[int, int]]:
    """Upper left corners (row, column) of the cells that are labelled, in order.

    Args:
        water: bool ``(y, x)``.
        options: sizes and numbers.
        place: number of the flood and phase; what is drawn depends on them alone.
    """
    side = options.label_side
    rows, columns = (length // side for length in water.shape)
    cells = water[: rows * side, : columns * side].reshape(rows, side, columns, side).mean(axis=(1, 3))
    cells[[0, -1]], cells[:, [0, -1]] = np.nan, np.nan  # grids in degrees are turned, and reach over the edge there
    cells = cells.ravel()
    draw = rng.generator(0, "label rasters", *place)
    mixed, bare = np.flatnonzero((cells > 0.02) & (cells < 0.98)), np.flatnonzero(cells <= 0.02)
    chosen = [draw.permutation(some)[:most] for some, most in ((mixed, options.wet), (bare, options.dry))]
    return [(int(cell // columns) * side, int(cell % columns) * side) for cell in sorted(np.concatenate(chosen))]
