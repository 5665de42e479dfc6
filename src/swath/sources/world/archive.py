"""An archive of the simulated Earth: every overpass of a sensor over a place as a STAC item, truth beside it.

Items are made one after the other and carry a fingerprint of all that they were made from: the version of the world,
seed, place, sensor and day. One whose fingerprint is the same is not made again: an archive goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox

from swath import grids, rng, sensors
from swath.cubes import catalogue, geobox_of
from swath.cubes.catalogue import Item, ItemFiles
from swath.cubes.catalogue.search import interval
from swath.errors import ConfigError, InputError, nearest
from swath.failures import Failure, Failures
from swath.reading import read_json
from swath.sources.world.frame import window_of
from swath.sources.world.places import place_of
from swath.sources.world.render.atmosphere import SUN_LIMIT
from swath.sources.world.render.observe import observe
from swath.sources.world.render.sun import overpass_time, sun_position
from swath.sources.world.truth import LAYERS, WORLD_VERSION, legend_of

if TYPE_CHECKING:
    from swath.sources.world.world import World

TRUTH = "truth"
REVISIT_DAYS = {
    "sentinel2_l1c": 5,
    "sentinel2_l2a": 5,
    "hls_s30": 5,
    "hls_l30": 8,
    "landsat8_oli": 16,
    "landsat7_etm": 16,
    "landsat5_tm": 16,
    "sentinel1_grd": 12,
}
"""Days between overpasses of a place, of all satellites of a sensor together."""

COARSEST = 60
"""Metres: the widest native pixel of these sensors."""

_EPOCH = np.datetime64("1980-01-01")
_HOUR = 10.5  # of mean solar time, at which optical satellites come over
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Wanted:
    """What an archive shall hold.

    Args:
        region: a named place, or ``LON,LAT``.
        sensors: names of sensors; hyphens are as good as underscores.
        time: a day, month or year, or START/END.
        size_m: side of the square around the place [m], brought to a whole number of 60 m.
        every: days between overpasses; None: as the satellites come.
        level: processing level, where a sensor has several.
        layers: of the truth that is written; None: all that the world makes.

    Raises:
        ConfigError: an unknown region or sensor, or a number that cannot be.
        InputError: the time is none, or outside 1980 to 2100.
    """

    region: str
    sensors: tuple[str, ...]
    time: str
    size_m: float = 5100.0
    every: int | None = None
    level: str | None = None
    layers: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        place_of(self.region)
        object.__setattr__(self, "sensors", tuple(_sensor(name) for name in self.sensors))
        if not 60.0 <= self.size_m <= 200_000.0:
            raise ConfigError(
                f"The size is {self.size_m:g} m",
                expected="60 to 200,000 m",
                remedy="5100 m are 510 pixels of 10 m; make several places where more is wanted",
            )
        if self.every is not None and self.every < 1:
            raise ConfigError(f"every is {self.every} days", expected="1 or more", remedy="leave it out")
        first, last = interval(self.time)
        if first < _EPOCH or last >= np.datetime64("2101-01-01"):
            raise InputError(
                f"The time {self.time} lies outside of the years that can be simulated",
                expected="1980-01-01 to 2100-12-31, with both ends",
                remedy="write a month such as 2024-05, or an interval such as 2024-01/2024-12",
            )

    def days(self, sensor: str, zone: int) -> Iterator[np.datetime64]:
        """Days of overpass: every few days counted from 1980, later by a day from zone to zone."""
        step = self.every or REVISIT_DAYS[sensor]
        first, last = (moment.astype("datetime64[D]") for moment in interval(self.time))
        phase = int((first - _EPOCH).astype(int) - zone) % step
        day = first + (-phase) % step
        while day <= last:
            yield day
            day = day + step


@dataclass(frozen=True)
class Archive:
    """What was made.

    Args:
        catalogue: ``catalog.json``.
        items: all items of the archive that were wanted.
        made: how many of them were made now; the others lay there.
        dark: overpasses without an image because the sun stood too low.
        failures: items that could not be made.
    """

    catalogue: Path
    items: tuple[Item, ...]
    made: int
    dark: int
    failures: Failures


def make(world: World, wanted: Wanted, out: Path | str, progress: Progress | None = None) -> Archive:
    """Make an archive, or what is missing of it.

    Args:
        world: the world.
        wanted: place, sensors and time.
        out: folder of the catalogue; other items in it stay and stay linked.
        progress: called with the name of each item, its number and how many there are.

    Raises:
        InputError: nothing to make: no overpass in the time.
        ResourceError: the disk or folder cannot take the files.
    """
    folder, failures = Path(out), Failures()
    box = box_of(world, wanted)
    zone = 0 if box.crs is None or box.crs.epsg is None else int(box.crs.epsg)
    plan = [(day, sensor) for sensor in wanted.sensors for day in wanted.days(sensor, zone)]
    plan.sort()
    bright = [(day, sensor) for day, sensor in plan if not is_dark(box, day, sensor)]
    if not bright:
        raise InputError(
            f"No image of {', '.join(wanted.sensors)} can be taken at {wanted.region} in {wanted.time}: "
            f"{len(plan)} overpasses, all without enough sun",
            expected="a time with at least one overpass by day",
            remedy="widen the time, choose another season, or a radar sensor",
        )
    job, items, made = _Job(world, wanted, box, folder), [], 0
    for number, (day, sensor) in enumerate(bright, start=1):
        name = job.name(day, sensor)
        if progress:
            progress(name, number, len(bright))
        try:
            found, new = job.item(day, sensor)
        except (InputError, ArithmeticError) as error:
            failures.add(Failure.of(name, "make", error))
            continue
        items += found
        made += new
    _link_all(folder, items, wanted, failures)
    failures.save(folder / "failures.csv")
    return Archive(folder / "catalog.json", tuple(items), made, len(plan) - len(bright), failures)


def box_of(world: World, wanted: Wanted) -> GeoBox:
    """The square around a place on pixels of 10 m, cut where pixels of 60 m end, so that all grids of a sensor fit."""
    place = place_of(wanted.region)
    return window_of(world.box(place.lon, place.lat, wanted.size_m, COARSEST)).finest().geobox


class _Job:
    """Makes single items; the truth of a day is shared by the sensors that come on it."""

    def __init__(self, world: World, wanted: Wanted, box: GeoBox, folder: Path) -> None:
        self._world, self._wanted, self._box, self._folder = world, wanted, box, folder
        self._day: np.datetime64 | None = None
        self._truth: xr.Dataset | None = None
        facts = asdict(wanted) | {
            "sensors": "",
            "time": "",
            "every": "",
            "version": world.version_hash(),
            "world": repr(world),
            "box": [str(box.crs), *box.affine[:6], *box.shape.yx],
        }
        self._facts = json.dumps(facts, sort_keys=True, default=str)

    def name(self, day: np.datetime64, sensor: str) -> str:
        """Name of an item."""
        return f"{place_of(self._wanted.region).name}_{str(day).replace('-', '')}_{sensor}"

    def item(self, day: np.datetime64, sensor: str) -> tuple[list[Item], int]:
        """The items of one overpass and of its truth, and how many scenes were made."""
        truth_name = f"{place_of(self._wanted.region).name}_{str(day).replace('-', '')}"
        scene = self._lying(sensor, self.name(day, sensor), day)
        truth = self._lying(TRUTH, truth_name, day)
        new = int(scene is None)
        if scene is None:
            scene = self._observed(day, sensor)
        if truth is None:
            truth = self._written(day, truth_name)
        return [scene, truth], new

    def _lying(self, collection: str, name: str, day: np.datetime64) -> Item | None:
        """An item that was made before, from the same facts."""
        path = self._folder / collection / name / f"{name}.json"
        if not path.is_file():
            return None
        try:
            properties = read_json(path, expected="an item")["properties"]
            same = properties["swath:fingerprint"] == self._fingerprint(collection, day)
            item = catalogue.read_item(path)
        except (InputError, KeyError, TypeError):
            return None
        return item if same and all(asset.path.is_file() for asset in item.assets.values()) else None

    def _fingerprint(self, collection: str, day: np.datetime64) -> str:
        return hashlib.sha256(f"{self._facts} {collection} {day}".encode()).hexdigest()

    def _of_day(self, day: np.datetime64) -> xr.Dataset:
        if self._truth is None or self._day != day:
            self._truth, self._day = self._world.truth(self._box, day), day
        return self._truth

    def _observed(self, day: np.datetime64, sensor: str) -> Item:
        truth = self._of_day(day)
        seed = rng.key(self._world.seed, "archive", sensor) % 2**63
        sky = self._world.conditions(self._box, day)
        scene = observe(truth, sensor, day, self._wanted.level, seed, conditions=sky)
        scene.attrs["cloud_cover"] = cloud_cover(scene)
        return catalogue.write_item(
            self._folder, sensor, self.name(day, sensor), scene, properties=self._properties(sensor, day, scene.attrs)
        )

    def _written(self, day: np.datetime64, name: str) -> Item:
        truth = self._of_day(day)
        layers = layers_of(truth, self._wanted.layers)
        return catalogue.write_item(
            self._folder, TRUTH, name, None, time=day, layers=layers, properties=self._properties(TRUTH, day, {})
        )

    def _properties(self, collection: str, day: np.datetime64, attrs: Any) -> dict[str, Any]:
        known = {"sun_zenith": "view:sun_zenith", "platform": "platform", "orbit": "sat:orbit_state"}
        facts = {other: attrs[key] for key, other in known.items() if attrs.get(key)}
        if "sun_azimuth" in attrs:
            facts["view:sun_azimuth"] = attrs["sun_azimuth"]
            facts["view:sun_elevation"] = round(90.0 - float(attrs["sun_zenith"]), 4)
            facts.pop("view:sun_zenith", None)
        return facts | {
            "swath:world": WORLD_VERSION,
            "swath:world_hash": self._world.version_hash(),
            "swath:seed": int(self._world.seed),
            "swath:data": "simulated",
            "swath:fingerprint": self._fingerprint(collection, day),
        }


def layers_of(truth: xr.Dataset, names: Sequence[str] | None = None) -> dict[str, ItemFiles]:
    """Layers of a truth as files of an item; classes carry their legends.

    Raises:
        ConfigError: a layer is unknown to the truth.
    """
    held = [name for name in LAYERS if name in truth]
    for name in names or ():
        if name not in held:
            raise ConfigError(
                f"The truth has no layer '{name}'",
                expected=f"one of {', '.join(held)}",
                remedy=f"the nearest are: {nearest(name, held)}",
            )
    box = truth.odc.geobox
    out = {}
    for name in names or held:
        info = LAYERS[name]
        classes = info.kind == "class"
        out[name] = ItemFiles(
            np.asarray(truth[name].values),
            box,
            role="label" if classes else "metadata",
            title=info.meaning,
            unit=None if info.kind != "quantity" else info.unit,
            legend=legend_of(name),
            nodata=255.0 if classes else None,
        )
    return out


def cloud_cover(scene: xr.DataTree) -> float:
    """Percent of an optical scene under cloud or cirrus, by its quality layer; 0 for radar."""
    for node in scene.children.values():
        if "quality" not in node:
            continue
        layer = node["quality"]
        numbers, scheme = np.asarray(layer.values), layer.attrs["scheme"]
        if scheme == "SCL":
            cloudy = np.isin(numbers, (8, 9, 10))
        elif scheme in ("Fmask", "MSK_CLASSI"):
            cloudy = (numbers & 0b11) != 0
        else:
            cloudy = (numbers & 0b1100) != 0
        return round(100.0 * float(cloudy.mean()), 3)
    return 0.0


def _link_all(folder: Path, items: Sequence[Item], wanted: Wanted, failures: Failures) -> None:
    """Write catalogue and collections over the items and those that lay there before."""
    every = {(item.collection, item.id): item for item in items}
    if (folder / "catalog.json").is_file():
        for item in catalogue.walk(folder, failures):
            every.setdefault((item.collection, item.id), item)
    about = {name: f"{sensors.load(name).title}, simulated" for name in wanted.sensors}
    about[TRUTH] = "truth of the simulated Earth at the days of overpass"
    title = f"Scenes of the simulated Earth ({WORLD_VERSION}); nothing in them was observed"
    catalogue.write_catalogue(folder, every.values(), name="simulated-earth", title=title, collections=about)


def is_dark(box: GeoBox, day: np.datetime64, sensor: str) -> bool:
    """Whether the sun is too low for an optical image at the corners of a place."""
    if sensor == "sentinel1_grd":
        return False
    height, width = box.shape.yx
    corners = np.array([[0.0, width, 0.0, width], [0.0, 0.0, height, height]])
    lon, lat = grids.geobox.to_lonlat(box, corners[0], corners[1])
    middle = (np.floor(lon.mean() / 6.0) + 0.5) * 6.0
    zenith, _ = sun_position(overpass_time(day, middle, _HOUR), lon, lat)
    return bool(np.max(zenith) > SUN_LIMIT - 1.0)


def _sensor(name: str) -> str:
    plain = name.strip().lower().replace("-", "_")
    if plain not in REVISIT_DAYS:
        raise ConfigError(
            f"The simulated Earth is not observed by a sensor '{name}'",
            expected=f"one of {', '.join(REVISIT_DAYS)}",
            remedy=f"the nearest are: {nearest(plain, REVISIT_DAYS)}",
        )
    return plain


def finest(scene: xr.DataTree) -> xr.Dataset:
    """The cube of a scene with the smallest pixels."""
    return min((node.to_dataset() for node in scene.children.values()), key=lambda cube: grids.gsd_m(geobox_of(cube)))
