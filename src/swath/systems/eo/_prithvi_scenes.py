"""Three tasks of maps on the simulated Earth with exact truth: water after floods, burn scars, crops.

Scenes lie near the places of ``_world_series``, so that a split of those places splits the scenes of all tasks, too.
Where and when was found by a search over the truth alone (``bench/prithvi_scenes.py``), before anything had learned
from them: the highest floods of 2015 to 2023, the last fires before 2024, and the fields of most kinds of crops, within
a few kilometres. Of the 42 places those with such scenes among the ones searched, every fourth and seven more for
fires, are in the table. Surface reflectance in the six bands, 10 m, without clouds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from swath import cubes, rng
from swath.files import user_cache, write_whole
from swath.judge.real10.samples import Inputs, Target, tiles
from swath.sources.world.events import fire
from swath.sources.world.frame import window_of
from swath.sources.world.render.conditions import Conditions
from swath.sources.world.render.observe import observe
from swath.sources.world.truth import CROPS
from swath.sources.world.world import World
from swath.systems.eo import _world_series as world_series

Kind = Literal["floods", "fires", "crops"]
CLASSES: Mapping[Kind, tuple[str, ...]] = {
    "floods": ("dry", "water"),
    "fires": ("unburnt", "burnt"),
    "crops": CROPS.names,
}
CROP_DAYS = ("03-25", "06-25", "09-25")
"""Dates of a crop scene: of one calendar year, for which the truth tells one crop a field."""
RECENT = 60
"""Days within which a fire counts as the one that is asked for."""
WET = 0.5
"""Share of a pixel under water from which on it is called water."""


@dataclass(frozen=True)
class Scene:
    """Where and when a scene of a task lies.

    Args:
        kind: of the task.
        place: number in ``_world_series.PLACES`` that it is near.
        lon, lat: of its middle [degrees].
        day: of observation, or the year of crops.
    """

    kind: Kind
    place: int
    lon: float
    lat: float
    day: str

    @property
    def days(self) -> tuple[str, ...]:
        """All days of observation."""
        return tuple(f"{self.day}-{each}" for each in CROP_DAYS) if self.kind == "crops" else (self.day,)


@dataclass(frozen=True, eq=False)
class MapTask:
    """Chips of one task.

    Args:
        name: of the task.
        inputs: N chips.
        target: classes of their pixels.
        place: int64 ``(N,)``, the place that each is near.
    """

    name: str
    inputs: Inputs
    target: Target
    place: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.place)


_FOUND: Mapping[Kind, tuple[tuple[int, float, float, str], ...]] = {
    "floods": (
        (0, -93.4923, 42.0001, "2016-06-18"), (0, -93.5078, 42.0058, "2017-05-12"),
        (4, -113.5099, 54.4998, "2017-08-10"), (4, -113.4909, 54.5117, "2019-08-24"),
        (8, -55.5177, -12.4828, "2020-01-18"), (8, -55.5177, -12.5001, "2021-02-17"),
        (12, -52.419, -24.0113, "2018-12-14"), (12, -52.4189, -23.9998, "2023-09-11"),
        (16, -4.5229, 41.4939, "2015-01-01"), (16, -4.5074, 41.4884, "2023-12-26"),
        (20, 37.4917, 47.4941, "2017-06-27"), (20, 37.509, 47.4828, "2018-05-07"),
        (24, 36.7828, -0.6174, "2022-03-05"), (24, 36.8115, -0.6, "2023-11-25"), (28, 38.5, 9.0, "2016-08-06"),
        (28, 38.5, 8.9942, "2019-08-07"), (32, 77.2932, 28.8885, "2015-05-26"), (32, 77.2932, 28.8885, "2022-04-22"),
        (36, 68.5228, 41.0117, "2016-01-26"), (36, 68.5151, 41.0116, "2021-01-18"),
        (40, 150.507, -28.4828, "2017-03-15"), (40, 150.5195, -28.5061, "2021-09-10"),
    ),
    "fires": (
        (8, -55.5368, -12.5039, "2016-11-11"), (8, -55.4581, -12.538, "2022-12-27"),
        (12, -52.3909, -24.0075, "2016-04-01"), (12, -52.4161, -24.0126, "2018-11-23"),
        (14, 10.8478, 45.1211, "2019-06-17"), (16, -4.545, 41.4677, "2023-09-04"),
        (22, 2.1145, 13.4713, "2022-06-13"), (22, 2.1385, 13.4702, "2022-08-19"), (22, 2.0988, 13.4484, "2023-08-14"),
        (22, 2.1276, 13.4875, "2023-12-04"), (25, 30.0316, -19.5097, "2015-04-18"),
        (25, 30.0639, -19.4614, "2017-01-09"), (25, 30.0098, -19.4698, "2023-06-11"),
        (27, 8.5304, 9.4385, "2016-04-23"), (27, 8.4833, 9.5453, "2018-05-19"), (27, 8.5249, 9.4865, "2019-03-13"),
        (27, 8.5416, 9.4555, "2019-12-04"), (31, 105.5353, 10.5547, "2019-02-16"),
        (31, 105.5759, 10.6298, "2019-05-28"), (31, 105.63, 10.6364, "2020-04-10"),
        (31, 105.6602, 10.6147, "2021-08-05"), (32, 77.2745, 28.948, "2023-08-17"),
        (32, 77.2778, 28.9323, "2023-10-03"), (36, 68.4663, 41.0128, "2020-09-15"),
        (37, 102.4952, 16.542, "2018-02-05"), (37, 102.4764, 16.4379, "2020-05-19"),
        (37, 102.4874, 16.4396, "2020-11-27"), (37, 102.5175, 16.5542, "2023-01-04"),
        (39, 117.4448, -32.5131, "2011-04-28"), (39, 117.5285, -32.4787, "2015-04-19"),
        (39, 117.4243, -32.4705, "2015-05-24"), (39, 117.5051, -32.4511, "2022-04-13"),
        (40, 150.4853, -28.5115, "2021-02-10"), (40, 150.4654, -28.5072, "2021-08-23"),
    ),
    "crops": (
        (0, -93.5233, 42.0115, "2021"), (0, -93.5078, 42.0058, "2021"), (4, -113.5198, 54.4996, "2021"),
        (4, -113.5187, 54.4823, "2021"), (8, -55.5177, -12.4944, "2021"), (8, -55.5058, -12.5059, "2021"),
        (12, -52.4127, -24.0056, "2021"), (12, -52.4, -23.9942, "2021"), (20, 37.4913, 47.5056, "2021"),
        (20, 37.4998, 47.5058, "2021"), (28, 38.4884, 8.9826, "2021"), (28, 38.5058, 9.0, "2021"),
        (32, 77.2806, 28.9119, "2021"), (32, 77.3197, 28.8996, "2021"), (36, 68.4773, 40.9826, "2021"),
        (36, 68.5229, 40.9886, "2021"),
    ),
}  # fmt: skip
SCENES = tuple(Scene(kind, *where) for kind, found in _FOUND.items() for where in found)
"""All scenes, as place, longitude, latitude and day (of crops the year)."""


def observed(world: World, scene: Scene, size: int) -> dict[str, NDArray[np.generic]]:
    """Reflectance float32 ``(T, C, H, W)`` of a scene, and its classes uint8 ``(H, W)``."""
    box = world.box(scene.lon, scene.lat, (size, size))
    images, truth = [], None
    for day in scene.days:
        truth = world.truth(box, day)
        # Numbers with a fraction count by their shortest text; other keys would be other noise than was measured.
        where = (scene.lon, scene.lat)
        seed = rng.key(world.seed, "task scene", scene.kind, scene.place, *where, day) % 2**63  # type: ignore[arg-type]
        seen = observe(truth, world_series.SENSOR, day, None, seed, conditions=Conditions(cloud_fraction=0.0))
        cube = cubes.to_physical(cubes.to_cube(seen, bands=world_series.BANDS)).compute()
        images.append(cube["data"].values[0].astype(np.float32))
    assert truth is not None  # a scene has a day
    if scene.kind == "floods":
        classes = truth["open_water"].values > WET
    elif scene.kind == "fires":
        left = fire.traces(world.earth, window_of(box), np.datetime64(scene.day))
        classes = (left.severity > 0) & (left.age <= RECENT)
    else:
        classes = truth["crop"].values
    return {"values": np.stack(images), "classes": classes.astype(np.uint8)}


def kept(world: World, scene: Scene, size: int, folder: Path) -> dict[str, NDArray[np.generic]]:
    """A scene from ``folder``, made where it is not yet there, under a name that holds the hash of the world."""
    where = f"{scene.place:02d}_{scene.lon:.4f}_{scene.lat:.4f}_{scene.day}"
    path = folder / f"{scene.kind}_{where}_{size}_{world.seed}_{world.version_hash()[:12]}.npz"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        made = observed(world, scene, size)
        write_whole(path, lambda part: _save(part, made))
    with np.load(path) as stored:
        return {name: stored[name] for name in ("values", "classes")}


def default_folder(folder: Path | None) -> Path:
    """Where scenes are kept: ``folder``, or the user's cache."""
    return folder or user_cache("world-tasks")


def _save(path: Path, arrays: Mapping[str, NDArray[np.generic]]) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def tasks(folder: Path | None, kinds: Sequence[Kind], *, size: int, side: int) -> tuple[MapTask, ...]:
    """The tasks of world 0, whose scenes are made where they are not yet kept.

    Args:
        folder: where scenes are kept; the user's cache by default.
        kinds: which tasks.
        size: side of a scene in pixels.
        side: of its chips.
    """
    world = World(0)
    return tuple(
        _cut(
            kind,
            [(scene, kept(world, scene, size, default_folder(folder))) for scene in SCENES if scene.kind == kind],
            side,
        )
        for kind in kinds
    )


def made_up(kinds: Sequence[Kind], places: int, side: int, seed: int = 0) -> tuple[MapTask, ...]:
    """Miniatures: two chips a place, whose class shows in the near infrared; for smokes and tests."""
    found = []
    for kind in kinds:
        stream = rng.generator(seed, "made-up task", kind)
        arrays: list[tuple[Scene, Mapping[str, NDArray[np.generic]]]] = []
        for place in range(places):
            scene = Scene(kind, place, 5.0 * place - 100.0, 10.0, "2020" if kind == "crops" else "2020-06-15")
            classes = stream.integers(len(CLASSES[kind]), size=(2 * side // 4, side // 4)).repeat(4, 0).repeat(4, 1)
            values = stream.normal(0.2, 0.02, (len(scene.days), len(world_series.BANDS), 2 * side, side))
            values[:, world_series.BANDS.index("B8A")] += 0.1 * classes
            arrays.append((scene, {"values": values.astype(np.float32), "classes": classes.astype(np.uint8)}))
        found.append(_cut(kind, arrays, side))
    return tuple(found)


def fingerprint(task: MapTask) -> str:
    """Twelve hexadecimal digits over images, classes and places of a task."""
    parts = (task.inputs.values, task.target.values, task.place, task.inputs.month, task.inputs.lonlat)
    return hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in parts)).hexdigest()[:12]


def _cut(kind: Kind, held: Sequence[tuple[Scene, Mapping[str, NDArray[np.generic]]]], side: int) -> MapTask:
    """Scenes as chips."""
    values = np.concatenate([tiles(arrays["values"], side) for _, arrays in held])
    classes = np.concatenate([tiles(arrays["classes"], side) for _, arrays in held]).astype(np.int64)
    count = len(values) // len(held)
    month = np.array([[int(day[5:7]) - 1 for day in scene.days] for scene, _ in held], np.int64)
    where = np.array([[scene.lon, scene.lat] for scene, _ in held])
    place = np.array([scene.place for scene, _ in held], np.int64)
    inputs = Inputs(
        values.astype(np.float32), np.ones(values.shape, bool), world_series.bands(), month.repeat(count, axis=0),
        where.repeat(count, axis=0), True,
    )  # fmt: skip
    return MapTask(kind, inputs, Target(classes, CLASSES[kind]), place.repeat(count))
