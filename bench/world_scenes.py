"""Real scenes of ``$SWATH_DATA`` and the simulated ones at their places, for ``world_realism.py``.

A simulated scene has the longitude, latitude, date, sensor, level and size of the real one, and no clouds. Scenes are
kept in a folder under the hash of the world, so that a second run takes no time. Dates that the files do not tell are
chosen here once, and said: Amazon 2022-08-01 (its baseline is from 2022 on), Texas 2020-07-01.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from swath import cubes, rng
from swath.sources.published import hls, rstoolbox, sen1floods11
from swath.sources.published.common import one_cube
from swath.sources.world.events.flood import highest_levels
from swath.sources.world.frame import window_of
from swath.sources.world.render import Conditions, observe
from swath.sources.world.world import World

Array = NDArray[np.float32]
ROLES = ("blue", "green", "red", "edge1", "edge2", "edge3", "nir", "narrow_nir", "swir1", "swir2")
SENTINEL2 = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
SIX = ("blue", "green", "red", "narrow_nir", "swir1", "swir2")
HLS = ("B02", "B03", "B04", "B05", "B06", "B07")
SEED = 0
CLEAR = Conditions(cloud_fraction=0.0)
EOLEARN_CLEAR = (4, 3, 2)  # the others of the five, 2015-07-31 and 2015-08-20, lie under haze


@dataclass(frozen=True)
class Scene:
    """One image.

    Args:
        name: of the scene.
        place: of several scenes of one place.
        sensor: of ``observe``.
        day: of the acquisition.
        lonlat: of its middle [degrees].
        roles: of the bands.
        values: reflectance ``(C, H, W)``, NaN where invalid.
        layers: labels and truth by name, each ``(H, W)``.
        gsd: pixel size [m].
    """

    name: str
    place: str
    sensor: str
    day: str
    lonlat: tuple[float, float]
    roles: tuple[str, ...]
    values: Array
    layers: dict[str, NDArray[Any]]
    gsd: int = 10

    @property
    def surface(self) -> bool:
        """Whether it is reflectance of the surface, not at the top of the atmosphere."""
        return not self.sensor.endswith("l1c")

    def of(self, roles: tuple[str, ...]) -> Array:
        """Bands by role."""
        return self.values[[self.roles.index(role) for role in roles]]


def physical(cube: Any, bands: tuple[str, ...]) -> Array:
    """Reflectance ``(C, H, W)`` of a cube with one time, NaN where invalid."""
    chosen = cubes.to_physical(cube).sel(band=list(bands)).compute()
    valid = chosen["valid"].values
    valid = valid if valid.ndim == 4 else valid[:, None]
    return np.where(valid, chosen["data"].values, np.nan)[0].astype(np.float32)


def real_scenes(root: Path) -> list[Scene]:
    """All clear real scenes; those of the Spanish flood with columns picked so that pixels are 10 m wide."""
    place = next(place for place in rstoolbox.open(root / "rstoolbox") if place.id == "sen2")
    labels = {"labels": place.labels().values, "things": place.polygon_numbers().values}
    amazon = physical(one_cube(place.scene()), SENTINEL2)
    chip = sen1floods11.open(root / "sen1floods11_sample")[0]
    spain, wet = physical(one_cube(chip.optical()), SENTINEL2), chip.labels().values
    columns = np.floor((np.arange(402) + 0.5) * 10.0 / 7.86).astype(int)
    found = [
        Scene("amazon", "amazon", "sentinel2_l2a", "2022-08-01", (-56.3626, -1.4693), ROLES, amazon, labels),
        Scene(
            "spain", "spain", "sentinel2_l1c", "2019-09-18", (-0.7589, 38.1058), ROLES, spain[..., columns],
            {"labels": wet[:, columns]},
        ),
    ]  # fmt: skip
    return [*found, *_boadella(root), *_texas(root), *_slovenia(root)]


def _boadella(root: Path) -> list[Scene]:
    out = []
    order = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
    for day in ("2020-01-28", "2020-01-13"):
        with rasterio.open(root / "sentinel2_boadella" / f"Boadella_{day}.tif") as file:
            values = file.read([order.index(band) + 1 for band in SENTINEL2]).astype(np.float32) / 1e4
        name = f"boadella {day[5:]}"
        out.append(Scene(name, "boadella", "sentinel2_l2a", day, (2.815, 42.3476), ROLES, values, {}))
    return out


def _texas(root: Path) -> list[Scene]:
    chip = hls.open(root / "hls_chip")[0]
    values = physical(one_cube(chip.scene()), HLS)
    return [Scene("texas", "texas", "hls_l30", "2020-07-01", (-99.5761, 28.5328), SIX, values, {}, gsd=30)]


def _slovenia(root: Path) -> list[Scene]:
    folder = root / "eolearn_eopatch"
    stack = np.load(folder / "REFERENCE_SCENES.npy")
    ndvi, times = np.load(folder / "data" / "NDVI.npy")[..., 0], json.loads((folder / "timestamps.json").read_text())
    order = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
    land = np.load(folder / "mask_timeless" / "LULC.npy")[..., 0]
    out = []
    for index in EOLEARN_CLEAR:
        near, red = stack[index, ..., 7], stack[index, ..., 3]
        day = times[int(np.argmin(abs(ndvi - (near - red) / (near + red)).mean(axis=(1, 2))))][:10]
        values = np.moveaxis(stack[index][..., [order.index(band) for band in SENTINEL2]], -1, 0).astype(np.float32)
        scene = Scene(f"slovenia {day[5:]}", "slovenia", "sentinel2_l1c", day, SLOVENIA, ROLES, values, {"land": land})
        out.append(scene)
    return out


SLOVENIA = (14.5578, 45.8705)
"""Middle of the patch of eo-learn."""


def simulated(world: World, real: Scene, folder: Path) -> Scene:
    """The simulated scene at place, date and sensor of a real one."""
    height, width = real.values.shape[1:]
    times = real.gsd // 10
    arrays = rendered(world, real.sensor, real.day, real.lonlat, (height * times, width * times), folder)
    layers = {name: arrays[name] for name in ("cover", "open_water")}
    return replace(real, name=f"world {real.name}", values=arrays["values"], layers=layers)


def rendered(
    world: World, sensor: str, day: str, lonlat: tuple[float, float], shape: tuple[int, int], folder: Path
) -> dict[str, NDArray[Any]]:
    """Values ``(C, H, W)`` of a clear scene, and cover and open water ``(y, x)`` at 10 m; from the folder if known."""
    kept = folder / world.version_hash()[:12]
    kept.mkdir(parents=True, exist_ok=True)
    size = f"{shape[0]}x{shape[1]}"
    path = kept / f"{sensor}_{day}_{lonlat[0]:.4f}_{lonlat[1]:.4f}_{size}_{world.seed}.npz"
    if not path.is_file():
        times = 3 if sensor.startswith("hls") else 2
        box = world.box(*lonlat, (shape[0] + 2 * times, shape[1] + 2 * times))
        truth = world.truth(box, day)
        seed = rng.key(SEED, "realism", sensor, day) % 2**63
        scene = observe(truth, sensor, day, None, seed, conditions=CLEAR)
        bands = HLS if sensor.startswith("hls") else SENTINEL2
        values = physical(cubes.to_cube(scene, bands=bands), bands)
        whole = np.isfinite(values).all(axis=0)
        rows, columns = whole.any(axis=1).nonzero()[0], whole.any(axis=0).nonzero()[0]
        values = values[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        layers = {name: truth[name].values for name in ("cover", "open_water", "flood_depth")}
        if not sensor.startswith("hls"):
            layers = _cut(layers, cubes.to_cube(scene, bands=bands), box, rows, columns)
        with path.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, values=values, **layers)
    with np.load(path) as held:
        return {name: held[name] for name in held.files}


def _cut(layers: dict[str, Any], cube: Any, box: Any, rows: Any, columns: Any) -> dict[str, Any]:
    """Layers of a truth on the rows and columns of its scene that are kept."""
    other = cubes.geobox_of(cube)
    down, right = round((box.affine.f - other.affine.f) / 10.0), round((other.affine.c - box.affine.c) / 10.0)
    top, left = int(rows[0]) + down, int(columns[0]) + right
    bottom, end = int(rows[-1]) + down + 1, int(columns[-1]) + right + 1
    return {name: layer[top:bottom, left:end] for name, layer in layers.items()}


def largest_flood(world: World, lonlat: tuple[float, float], shape: tuple[int, int]) -> str:
    """The day from 2015 to 2023 on which the rivers of a simulated place stand highest."""
    first = np.datetime64("2015-01-01")
    window = window_of(world.box(*lonlat, shape))
    return str(first + int(np.argmax(highest_levels(world.earth, window, first, np.datetime64("2023-12-31")))))


def series(world: World, days: list[str], lonlat: tuple[float, float], size: int, folder: Path) -> dict[str, Any]:
    """NDVI ``(day, H, W)`` of clear scenes of Sentinel-2 at the top of the atmosphere, and the cover."""
    kept = folder / world.version_hash()[:12]
    kept.mkdir(parents=True, exist_ok=True)
    path = kept / f"ndvi_{days[0]}_{days[-1]}_{len(days)}_{lonlat[0]:.4f}_{lonlat[1]:.4f}_{size}_{world.seed}.npz"
    if not path.is_file():
        box, frames = world.box(*lonlat, (size, size)), []
        for day in days:
            truth = world.truth(box, day)
            seed = rng.key(SEED, "realism", day) % 2**63
            scene = observe(truth, "sentinel2_l1c", day, None, seed, conditions=CLEAR)
            red, near = physical(scene["grid_10m"].to_dataset(), ("B04", "B08"))
            frames.append((near - red) / (near + red))
        with path.open("wb") as file:
            cover = truth["cover"].values
            np.savez_compressed(file, allow_pickle=False, ndvi=np.stack(frames), cover=cover)
    with np.load(path) as held:
        return {name: held[name] for name in held.files}
