"""What changes from day to day: the moving layers of the truth, elementwise from static layers, weather and events.

``state`` gives every layer of ``truth.LAYERS`` that moves, at 10 m, for one day. A pixel depends on its own static
layers, on the weather of the nodes around, on noise at its absolute place and on events of absolute cells; never on
the window. Sums over the past are worked out on nodes and levels of height (``indices.py``, ``season.py``), and kept
for the windows that follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from swath.errors import ContractError
from swath.sources.world import noise
from swath.sources.world.earth.climate import normals, read_surroundings
from swath.sources.world.earth.drainage import LAKE, SEA
from swath.sources.world.earth.fields import crop_of
from swath.sources.world.earth.indices import MEMORY, Indices, between_levels, levels_of, on_levels
from swath.sources.world.earth.phenology import FLOODED, Ground, crop_time, double_logistic, leaves
from swath.sources.world.earth.season import Season, season_on_levels
from swath.sources.world.earth.weather import checked_day, nodes_around, on_nodes
from swath.sources.world.earth.wetness import (
    POROSITY,
    chlorophyll,
    flood_load,
    kept_afloat,
    sediment,
    snow_cover,
    soil_moisture,
)
from swath.sources.world.events import fire, flood
from swath.sources.world.events.clearing import TO_WOOD, Cleared, after_clearing, cleared
from swath.sources.world.events.kept import Kept
from swath.sources.world.frame import Window
from swath.sources.world.truth import (
    ICE,
    LAYERS,
    MANGROVE,
    RICE,
    TREE,
    quantised,
)

if TYPE_CHECKING:
    from swath.sources.world.earth.earth import Earth

Array = NDArray[np.float64]
Layers = Mapping[str, NDArray[Any]]

MOVING = tuple(name for name, info in LAYERS.items() if info.moves)
"""Names of the layers that ``state`` gives."""

STATIC = ("elevation", "height_above_drainage", "cover", "field", "soil", "open_water", "building_cover", "road_cover")
"""Static layers that it reads, besides ``rotation``."""

# Woody biomass [Mg ha-1] at the growth of a good place (1500 g m-2), by code of COVER; forests as in the default values
# of IPCC (2006, volume 4, table 4.7): about 300 in rain forest, 120 in temperate and 50 in boreal forest.
_WOODY = np.array([160.0, 18.0, 0.8, 0.5, 8.0, 0.3, 0.0, 0.0, 2.0, 180.0, 0.2])
_CHAR_DAYS = np.array([70.0, 50.0, 25.0, 20.0, 30.0, 40.0, 30.0, 30.0, 30.0, 60.0, 60.0])
_LEAF_DAYS = np.array([1500.0, 500.0, 70.0, 60.0, 100.0, 120.0, 100.0, 100.0, 100.0, 1200.0, 900.0])
"""By code of COVER: days in which char fades, and leaf area comes back, to a share of 1/e."""
_SCAR_DAYS, _WOOD_DAYS = 1000.0, 6000.0
_BURIED = 0.5  # share of the leaf area of low plants that fresh mud takes

_STRIP = 8  # rows

_KEPT: Kept[Array] = Kept(64)


@dataclass(frozen=True)
class Scene:
    """What the layers of one day are made from.

    Args:
        earth: the planet.
        window: finest pixels.
        day: the day.
        static: static layers ``(H, W)``.
        indices, season: of the day.
        ground: what grows.
        done: clearings so far.
        burnt: traces of fires.
        level: of rivers above the usual [m] ``(H, W)``.
        flooded: share under flood water.
        depth: of it [m].
        mud: share that a flood of the last weeks left wet and muddy.
    """

    earth: Earth
    window: Window
    day: np.datetime64
    static: Layers
    indices: Indices
    season: Season
    ground: Ground
    done: Cleared
    burnt: fire.Traces
    level: Array
    flooded: Array
    depth: Array
    mud: Array


def state(earth: Earth, window: Window, day: Any) -> dict[str, NDArray[Any]]:
    """The moving layers of one day.

    Args:
        earth: the planet.
        window: of 10 m pixels; may be empty.
        day: of 1980 to 2100, anything that numpy takes for a day.

    Returns:
        ``MOVING``, each ``(y, x)``: float32 whole multiples of their steps, and uint8 codes for ``cover`` and ``crop``.

    Raises:
        InputError: the day is none, or outside 1980 to 2100.
        ContractError: the window has coarser pixels.
    """
    known = checked_day(day)
    if window.step != 1:
        raise ContractError(
            f"The state of the planet was asked for on pixels of {window.gsd} m",
            expected="pixels of 10 m",
            remedy="take window.finest(), and bring the pixels together afterwards",
        )
    if 0 in window.shape:
        return {name: np.zeros(window.shape, _type(name)) for name in MOVING}
    scene = _scene(earth, window, known)
    layers = {**_vegetation(scene), **_water(scene)}
    out: dict[str, NDArray[Any]] = {}
    for name in MOVING:
        out[name] = layers[name] if _type(name) is np.uint8 else quantised(name, layers[name])
    return out


def _type(name: str) -> type[np.generic]:
    return np.uint8 if LAYERS[name].kind == "class" else np.float32


def _scene(earth: Earth, window: Window, day: np.datetime64) -> Scene:
    static = earth.read_all(STATIC, window)
    elevation = np.asarray(static["elevation"], np.float64)
    indices, season = conditions(earth, window, day, elevation)
    year = int(str(day)[:4])
    # On the southern half the year of crops begins in July.
    later = year + 1 if window.zone.southern and int(str(day)[5:7]) >= 7 else year
    done = cleared(earth, window, day, static["cover"])
    cover, crop = after_clearing(done, static["cover"], _crop(earth, window, later), later)
    _, next_crop = after_clearing(done, static["cover"], _crop(earth, window, later + 1), later + 1)
    key, rows, columns = earth.key("stands", window.zone.epsg), window.rows, window.columns
    ground = Ground(
        cover,
        crop,
        next_crop,
        static["field"] + (done.number & 0xFFFFFFFF),
        noise.fractal(key, rows, columns, 40.0, 2, 0.6),
        noise.fractal(key ^ (1 << 32), rows, columns, 4.0, 2, 0.7),
    )
    burnt = fire.traces(earth, window, day)
    return Scene(earth, window, day, static, indices, season, ground, done, burnt, *_floods(earth, window, day))


def _floods(earth: Earth, window: Window, day: np.datetime64) -> tuple[Array, Array, Array, Array]:
    """Level of the rivers [m], share under flood water, its depth [m], share under the mud that it left ``(H, W)``."""
    size = flood.size_of_rivers(earth, window)
    level, wet = flood.level(earth, window, day) * size, flood.wet_level(earth, window, day) * size
    flooded, depth = flood.standing(earth, window, level)
    return level, flooded, depth, np.maximum(flood.standing(earth, window, wet)[0] - flooded, 0.0)


def conditions(earth: Earth, window: Window, day: np.datetime64, elevation: Array) -> tuple[Indices, Season]:
    """Indices and season of a day at the pixels of a window, in one reading between nodes and levels.

    Args:
        earth: gives seed, climate and what lies around.
        window: pixels, not empty.
        day: the day.
        elevation: of the pixels [m] ``(H, W)``.
    """
    nodes = nodes_around(window)
    height = np.nan_to_num(elevation, nan=0.0, posinf=0.0, neginf=0.0)
    low, levels = levels_of(height)

    def fields() -> Array:
        past = on_nodes(earth, nodes, np.arange(day - MEMORY, day + 1))
        around = read_surroundings(earth, nodes)
        yearly = np.asarray(normals(around, earth.climate).rain.mean(axis=0) * 365.25)
        found = np.stack(on_levels(past, levels, around.latitude, yearly))
        return np.concatenate([found, season_on_levels(earth, nodes, day, levels)])

    held = _KEPT.get(earth, (nodes, low, len(levels), str(day)), fields)
    read = np.empty((len(held), *window.shape))
    # In strips, because the parts of a strip stay in the processor's cache.
    for first in range(0, window.height, _STRIP):
        rows = slice(first, min(first + _STRIP, window.height))
        strip = Window(window.zone, window.row + first, window.column, rows.stop - first, window.width)
        read[:, rows] = between_levels(held, low, nodes, strip, height[rows])
    return Indices(*read[:4]), Season(*read[4:])


def _crop(earth: Earth, window: Window, year: int) -> NDArray[np.uint8]:
    """Codes of ``CROPS`` in a year; years beyond those of the planet repeat its last ones."""
    if "rotation" in earth.layers:
        return crop_of(earth.read("rotation", window), min(max(year, 1980), 2100))
    return np.asarray(earth.read("crop", window), np.uint8)


def _clear(scene: Scene) -> Array:
    """What the sea carries over what rivers and lakes carry ``(H, W)``; one where nobody knows the kind of water."""
    if "water_kind" not in scene.earth.layers:
        return np.ones(scene.window.shape)
    return np.where(scene.earth.read("water_kind", scene.window) == SEA, 0.15, 1.0)


def _vegetation(scene: Scene) -> dict[str, NDArray[Any]]:
    """Cover, crop, leaves, biomass and what fires left."""
    ground, season = scene.ground, scene.season
    cover = ground.cover.astype(np.int64)
    year = int(str(scene.day)[:4])
    grown = leaves(
        ground,
        season,
        scene.indices.drought,
        scene.earth.key("sowing", scene.window.zone.epsg, year),
        int(scene.day.astype(int)),
    )
    burnt, age = scene.burnt.severity, scene.burnt.age
    # Fires that were there before a clearing left nothing on it.
    burnt = np.where((scene.done.age >= 0) & (scene.done.age < age), 0.0, burnt)
    left = 1.0 - burnt * np.exp(-age / _LEAF_DAYS[cover])
    char = 0.9 * burnt * np.exp(-age / _CHAR_DAYS[cover])
    sealed = np.clip(scene.static["building_cover"] + scene.static["road_cover"], 0.0, 1.0).astype(np.float64)
    plants = (1.0 - sealed) * (1.0 - scene.static["open_water"].astype(np.float64))
    # Mud lays low plants down and covers their leaves; trees stand above it.
    soiled = np.where(np.isin(cover, (TREE, MANGROVE)), 0.0, scene.mud)
    area = grown.leaf_area * left * plants * _young(scene) * (1.0 - _BURIED * soiled)
    hurt = np.maximum(0.6 * burnt * np.exp(-age / 60.0), 0.5 * soiled)
    brown = np.clip(grown.brown + (1.0 - grown.brown) * hurt, 0.0, 1.0)
    return {
        "cover": ground.cover,
        "crop": ground.crop,
        "leaf_area": area,
        "leaf_chlorophyll": np.where(area > 0.0, grown.chlorophyll, 0.0),
        "brown_fraction": np.where(area > 0.0, brown, 0.0),
        "biomass": _biomass(scene, burnt, age) * plants,
        "char_cover": char * plants,
        "burn_severity": burnt * np.exp(-age / _SCAR_DAYS) * plants,
    }


def _young(scene: Scene) -> Array:
    """Share of their leaf area that plants on clearings have: nearly none at first, all after some months."""
    age = scene.done.age.astype(np.float64)
    return np.where(age >= 0.0, np.clip((age - 20.0) / 180.0, 0.02, 1.0), 1.0)


def _biomass(scene: Scene, burnt: Array, age: Array) -> Array:
    """Woody biomass [Mg ha-1]: by cover and growth of the place, age of stands, fires and clearings."""
    cover = scene.ground.cover.astype(np.int64)
    rich = np.clip(scene.season.productivity, 0.02, 1.5) ** 1.5
    # Stands are between young and old; most of what can stand there does.
    grown = 0.35 + 0.65 * expit(1.2 * scene.ground.stand + 0.9)
    wood = _WOODY[cover] * rich * grown * np.exp(0.12 * scene.ground.patch)
    wood = wood * (1.0 - 0.6 * burnt * np.exp(-age / _WOOD_DAYS))
    years = scene.done.age.astype(np.float64) / 365.25
    again = (scene.done.age >= 0) & (scene.done.use == TO_WOOD)
    # Regrowth after Chapman and Richards: a third after ten years, most after forty.
    full = _WOODY[TREE] * rich * grown
    return np.where(again, full * (1.0 - np.exp(-0.06 * np.maximum(years, 0.0))) ** 1.5, wood)


def _water(scene: Scene) -> dict[str, NDArray[Any]]:
    """Moisture, snow, open water and what it carries, floods."""
    static, index, season = scene.static, scene.indices, scene.season
    rest = np.asarray(static["open_water"], np.float64)
    rice = (scene.ground.crop == RICE) & (season.cold > 0.0)
    time = crop_time(scene.ground, season, scene.earth.key("sowing", scene.window.zone.epsg, int(str(scene.day)[:4])))
    paddy = np.where(rice & (time > FLOODED[0]) & (time < FLOODED[1]), 0.85, 0.0)
    share = np.maximum(np.maximum(rest, paddy), rest + (1.0 - rest) * scene.flooded)
    patch = scene.ground.patch
    moisture = soil_moisture(
        index.antecedent_rain, index.drought, static["soil"], static["height_above_drainage"], patch
    )
    full = np.asarray(POROSITY)[static["soil"].astype(np.int64)]
    snow = np.where(scene.ground.cover == ICE, 1.0, snow_cover(index.snow_water, patch)) * (1.0 - share)
    body = noise.smooth(scene.earth.key("waters", scene.window.zone.epsg), scene.window.y, scene.window.x, 3000.0)
    wet = share > 0.0
    clear = _clear(scene)
    summer = season.cold * double_logistic(season.since_start, 0.0, season.length, 20.0, 20.0)
    summer = summer + 0.5 * (1.0 - season.cold)
    return {
        "soil_moisture": np.maximum(moisture, np.minimum(share + scene.mud, 1.0) * full),
        "snow_cover": snow,
        "open_water": share,
        "flood_depth": scene.depth,
        "water_sediment": np.where(wet, clear * _sediment(scene, body), 0.0),
        "water_chlorophyll": np.where(wet, clear * chlorophyll(body, summer, scene.level), 0.0),
    }


def _sediment(scene: Scene, body: Array) -> Array:
    """Suspended sediment [g m-3] of waters at rest, and of floods, which carry that of their river."""
    usual = sediment(body, scene.indices.antecedent_rain, scene.level)
    if not (scene.level > 0.0).any():
        return usual
    window, epsg = scene.window, scene.window.zone.epsg
    river = noise.smooth(scene.earth.key("loads", epsg), window.y, window.x, 20_000.0)
    plume = noise.fractal(scene.earth.key("plumes", epsg), window.y, window.x, 400.0, 3, 0.6)
    flowing = np.asarray(scene.static["open_water"]) > 0.0
    if "water_kind" in scene.earth.layers:
        flowing = flowing & (scene.earth.read("water_kind", window) < LAKE)
    afloat = np.where(flowing, 1.0, np.where(scene.depth > 0.0, kept_afloat(scene.depth, plume), 0.0))
    load = flood_load(river, scene.season.productivity, scene.level) * afloat
    # The first half metre above the banks brings the load; before, the river is what it always is.
    risen = np.where(afloat > 0.0, np.clip(scene.level / 0.5, 0.0, 1.0), 0.0)
    return usual + risen * (load - usual)
