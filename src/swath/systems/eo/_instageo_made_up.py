"""Made-up radar scenes for smokes: two grey values with noise, without a world."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox
from scipy.ndimage import gaussian_filter

from swath import cubes, rng, sensors
from swath.cubes.catalogue import ItemFiles, write_item
from swath.sources.world.archive import TRUTH

SENSOR = "sentinel1_grd"
BANDS = ("VV", "VH")


def made_up_scene(scenes: Path, name: str, day: np.datetime64, box: GeoBox, place: tuple[int, int]) -> None:
    """Write one scene of Sentinel-1 and its truth as items.

    Water is 9 dB darker than dry ground, with noise of 2 dB, and lies where a smooth random field is low; during the
    flood (phase 1) there is more of it.

    Args:
        scenes: folder of the catalogue.
        name: of the place and day.
        day: of both.
        box: their grid.
        place: number of the place and phase; they fix all that is drawn.
    """
    shape = box.shape.yx
    field = gaussian_filter(rng.generator(0, "made-up floods", place[0]).normal(size=shape), 6.0)
    water = field < np.quantile(field, 0.5 if place[1] == 1 else 0.3)
    draw = rng.generator(0, "made-up radar", *place)
    data = np.array([-8.0, -14.0])[:, None, None] - 9.0 * water + draw.normal(0.0, 2.0, (2, *shape))
    cube = cubes.make_cube(
        data[None].astype(np.float32), np.ones((1, *shape), bool), box, sensors.load(SENSOR).bands.select(BANDS),
        time=np.array([day.astype("datetime64[ns]")]), scale=[1.0] * 2, offset=[0.0] * 2, stored=False,
        attrs={"sensor": SENSOR, "level": "dB", "source": "made up", "time_known": 1},
    )  # fmt: skip
    tree = xr.DataTree.from_dict({"/": xr.Dataset(attrs={"sensor": SENSOR, "level": "dB"}), "grid_10m": cube})
    write_item(scenes, SENSOR, f"{name}_{SENSOR}", tree, properties={"swath:data": "fixture"})
    share = ItemFiles(water.astype(np.float32), box, title="share under open water", unit="1")
    write_item(scenes, TRUTH, name, None, time=day, layers={"open_water": share}, properties={"swath:data": "fixture"})
