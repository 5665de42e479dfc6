"""Small valid files of every kind that a user can hand to swath, the doors they go through, and ways to damage them."""

from __future__ import annotations

import json
import random
import shutil
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import rasterio
import rasterio.shutil
import torch
import xarray as xr
from rasterio.transform import Affine
from shapely.geometry import box

import swath
from swath import chips, cubes, judge, sensors
from swath.errors import SwathError
from swath.learn import load_checkpoint, read_options, save_checkpoint
from swath.learn.segmentation import SegmentationTask
from swath.learn.state import STATE, Progress, TrainingState, check_same_run
from swath.nn import Normalise, UNet
from swath.sensors import BandSet
from swath.serve import read_layers
from swath.types import ResultRow, Split

GRID = Affine(10, 0, 500_000, 0, -10, 5_000_000)
UTM = "EPSG:32633"
LEGEND = '[{"value": 0, "name": "water", "colour": "#0000ff"}, {"value": 1, "name": "land", "colour": "#00ff00"}]'


@dataclass(frozen=True)
class Seed:
    """A valid file or folder, and how it is used.

    Args:
        make: writes it into a folder; gives what is damaged: a file, or files one of which is drawn.
        use: goes through the public doors.
    """

    make: Callable[[Path], list[Path]]
    use: Callable[[Path], object]


def damage(data: bytes, stream: random.Random) -> bytes:
    """One to three changes: cut off, bits flipped, ranges cut, doubled, zeroed or exchanged, huge numbers."""
    for _ in range(stream.choice((1, 1, 1, 2, 3))):
        if not data:
            return data
        # Half of the changes near the start, where headers are.
        reach = len(data) if stream.random() < 0.5 else min(len(data), 512)
        start = stream.randrange(reach)
        stop = min(len(data), start + stream.choice((1, 2, 4, 8, 64, 512)))
        part = data[start:stop]
        way = stream.randrange(9)
        if way == 0:
            data = data[:start]
        elif way in (1, 2):
            flipped = data[start] ^ (1 << stream.randrange(8))
            data = data[:start] + bytes([flipped]) + data[start + 1 :]
        elif way == 3:
            data = data[:start] + data[stop:]
        elif way == 4:
            data = data[:stop] + part * stream.choice((1, 1, 50)) + data[stop:]
        elif way == 5:
            data = data[:start] + bytes(len(part)) + data[stop:]
        elif way == 6:
            other = stream.randrange(len(data))
            data = data[:start] + data[other : other + len(part)] + data[stop:]
        elif way == 7:
            huge = stream.choice((b"\xff" * 4, b"\x7f" + b"\xff" * 7, b"\0\0\0\x7f", b"\xff\xff", b"\xff" * 8))
            data = data[:start] + huge + data[start + len(huge) :]
        else:
            data = _huge_text(data, start, stream)
    return data


def _huge_text(data: bytes, start: int, stream: random.Random) -> bytes:
    """A number written in digits becomes another one; random letters where there is none."""
    place = next((at for at in range(start, len(data)) if data[at : at + 1].isdigit()), None)
    words = (
        b"-1",
        b"0",
        b"999999999",
        b"99999999999999999999",
        b"1e999",
        b"NaN",
        b"null",
        b'"x"',
        b"[]",
        b"{}",
        b"true",
    )
    if place is None:
        return data[:start] + stream.choice(words) + data[start + 1 :]
    end = place
    while data[end : end + 1].isdigit():
        end += 1
    return data[:place] + stream.choice(words) + data[end:]


# rasters


def tif(folder: Path, name: str = "scene.tif", *, dtype: str = "uint8", count: int = 2, **profile: Any) -> list[Path]:
    path = folder / name
    numbers = np.arange(count * 32 * 48).reshape(count, 32, 48) % 7
    settings = {"driver": "GTiff", "count": count, "height": 32, "width": 48, "dtype": dtype, "nodata": 0, **profile}
    with rasterio.open(path, "w", crs=UTM, transform=GRID, **settings) as file:
        file.write(numbers.astype(dtype))
        file.update_tags(TIFFTAG_DATETIME="2021:07:05 10:30:00", SWATH_LEGEND=LEGEND)
        if settings["driver"] == "GTiff":
            file.descriptions = ("red", "nir", "swir")[:count]
    return [path]


def cog(folder: Path) -> list[Path]:
    (source,) = tif(folder, "source.tif", tiled=True, blockxsize=16, blockysize=16)
    rasterio.shutil.copy(source, folder / "scene.tif", driver="COG", blocksize=128)
    source.unlink()
    return [folder / "scene.tif"]


def copied(folder: Path, name: str, driver: str) -> list[Path]:
    (source,) = tif(folder, "source.tif")
    rasterio.shutil.copy(
        source, folder / name, driver=driver, **({"QUALITY": "100"} if driver == "JP2OpenJPEG" else {})
    )
    source.unlink()
    return [folder / name]


def vrt(folder: Path) -> list[Path]:
    (source,) = tif(folder, "source.tif")
    rasterio.shutil.copy(source, folder / "scene.vrt", driver="VRT")
    return [folder / "scene.vrt"]


def use_scene(folder: Path) -> object:
    path = next(path for path in sorted(folder.iterdir()) if path.name.startswith("scene") and path.suffix != ".xml")
    scene = swath.open(path)
    cubes.summary(scene)
    for node in cubes.nodes_of(scene).values():
        node["data"][..., :16, :16].compute()
        node["valid"][..., -3:, -3:].compute()
    return scene


def use_labels(folder: Path) -> object:
    cubes.read_legend(folder / "scene.tif")
    return cubes.read_labels(folder / "scene.tif")


# stores


def cube() -> xr.Dataset:
    numbers = np.arange(2 * 12 * 20, dtype=np.float32).reshape(2, 12, 20)
    times = np.array(["2021-07-05", "2021-07-15"], "datetime64[ns]")
    coords = {"time": times, "y": 5e6 - 10 * np.arange(12.0), "x": 5e5 + 10 * np.arange(20.0)}
    made = xr.Dataset({"red": (("time", "y", "x"), numbers), "nir": (("y", "x"), numbers[0])}, coords)
    made["red"].attrs |= {"_FillValue": np.float32(-1), "units": "1", "scale_factor": 1.0}
    return made.odc.assign_crs(UTM)


def netcdf(folder: Path, engine: str = "h5netcdf", **encoding: Any) -> list[Path]:
    path = folder / "scene.nc"
    made = cube()
    settings = {"chunksizes": (1, 6, 10), **encoding} if engine == "h5netcdf" else {}
    made.to_netcdf(path, engine=engine, encoding={"red": settings})
    return [path]


def zarr(folder: Path, version: int) -> list[Path]:
    path = folder / "scene.zarr"
    cube().to_zarr(path, zarr_format=version, encoding={"red": {"chunks": (1, 6, 10)}}, consolidated=version == 2)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    metadata = [file for file in files if file.name.startswith(".z") or file.name == "zarr.json"]
    return metadata * 3 + files


# tables


def polygons() -> geopandas.GeoDataFrame:
    shapes = [box(500_050, 4_999_750, 500_200, 4_999_900), box(500_250, 4_999_750, 500_400, 4_999_900)]
    return geopandas.GeoDataFrame({"class": ["water", "land"], "number": [1, 2]}, geometry=shapes, crs=UTM)


def vectors(folder: Path, name: str) -> list[Path]:
    path = folder / name
    if path.suffix == ".parquet":
        polygons().to_parquet(path)
    elif path.suffix == ".zip":
        polygons().to_file(folder / "labels.shp")
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for part in sorted(folder.glob("labels.*")):
                if part != path:
                    archive.write(part, part.name)
                    part.unlink()
    else:
        polygons().to_file(path)
    return [item for item in sorted(folder.iterdir()) if item.suffix != ".cpg"]


def use_vectors(folder: Path) -> object:
    from odc.geo.geobox import GeoBox

    path = next(
        path
        for path in sorted(folder.iterdir())
        if path.suffix in {".gpkg", ".geojson", ".shp", ".zip", ".fgb", ".parquet"}
    )
    cubes.vector_classes(path, "class")
    return cubes.rasterise(path, GeoBox((32, 48), GRID, UTM), column="class", legend={"water": 0, "land": 1})


def split_table(folder: Path) -> list[Path]:
    table = pd.DataFrame({"id": ["a", "b"], "split": ["train", "test"], "group": ["1", "2"], "fold": [None, None]})
    Split(table).save(folder / "split.parquet")
    return [folder / "split.parquet", folder / "split.hash"]


def use_split(folder: Path) -> object:
    split = Split.load(folder / "split.parquet")
    split.check()
    return split.ids("train")


def result_table(folder: Path) -> list[Path]:
    rows = [ResultRow("run", "system", metric="miou", value=0.5 + seed / 100, seed=seed) for seed in range(3)]
    return [judge.ResultTable(rows).save(folder / "rows.parquet")]


def chip_set(folder: Path) -> list[Path]:
    scene = tif(folder, "source.tif", dtype="float32", count=2, tiled=True, blockxsize=16, blockysize=16)[0]
    tree = swath.open(scene, level="physical")
    made = cubes.to_cube(tree)
    labels = made["data"][0, 0].compute().astype(np.int16).drop_vars(["time", "band"], errors="ignore") % 2
    swath.chips(made, labels, folder / "chips", legend={0: "water", 1: "land"}, size=8, block=1)
    scene.unlink()
    files = sorted(path for path in (folder / "chips").rglob("*") if path.is_file())
    top = [path for path in files if path.parent == folder / "chips"]
    return top * 6 + files[:12]


def use_chips(folder: Path) -> object:
    chipset = chips.open(folder / "chips")
    chips.Statistics.load(folder / "chips" / "statistics.json").problems()
    split = Split.load(folder / "chips" / "split.parquet")
    split.check()
    chipset.class_counts()
    return chipset.batch(chipset.ids[:12]).check()


# configurations


def text(folder: Path, name: str, content: str) -> list[Path]:
    (folder / name).write_text(content, encoding="utf-8")
    return [folder / name]


OPTIONS = """network: {width: 8, depth: 2, stem_stride: 2, norm: group}
bands: [B02, B03]
batch_size: 4
augment: &augment {flips: true, noise: 0.1}
fit:
  epochs: 3
  learning_rate: 0.001
  monitor_mode: max
"""
LAYERS = {
    "schema_version": 1,
    "title": "map",
    "layers": [
        {
            "id": "cover",
            "title": "Land cover",
            "path": "cover.tif",
            "kind": "categorical",
            "legend": [{"value": 1, "name": "forest", "colour": "#00ff00"}],
        },
        {"id": "height", "title": "Height", "path": "height.tif", "kind": "continuous", "minimum": 0, "maximum": 9.5},
    ],
}
CLAIM = """system = "planet"
title = "A made-up claim"
[[claim]]
name = "better"
primary = true
statement = "A is better than B."
estimand = "mean difference"
metric = "miou"
margin = 0.01
contender = "a"
baseline = "b"
seeds = [0, 1, 2]
"""
SENSOR = """name = "made_up"
title = "Made-up sensor"
sources = ["none"]
[[bands]]
name = "B1"
wavelength_nm = 500.0
width_nm = 30.0
gsd_m = 10.0
kind = "reflectance"
unit = "1"
[levels.L1]
title = "Level 1"
nodata = 0
[[levels.L1.baselines]]
name = "all"
since = 2015-06-23
[[levels.L1.baselines.scaling]]
scale = 0.0001
offset = -0.1
range = [0.0, 1.0]
"""


def evidence(folder: Path) -> list[Path]:
    text(folder, "planet.toml", CLAIM)
    made = folder / "evidence"
    rows = [
        ResultRow("run", "planet", metric="miou", value=0.5 + 0.1 * (name == "a"), seed=seed, backbone=name)
        for seed in range(3)
        for name in ("a", "b")
    ]
    table = judge.ResultTable(rows).save(made / "planet.parquet")
    from swath.files import sha256

    facts = {
        "system": "planet", "registration_sha256": "0", "registration_commit": "0", "code_commit": "0",
        "code_clean": True, "data_hash": None, "tolerance": 1e-6, "date": "2026-01-01",
        "rows_sha256": sha256(table),
    }  # fmt: skip
    text(made, "planet.json", json.dumps(facts))
    return [folder / "planet.toml", made / "planet.json", table]


# checkpoints


def task() -> SegmentationTask:
    network = UNet(2, 2, width=4, depth=1)
    return SegmentationTask(network, Normalise([0.1, 0.2], [1.0, 1.0]), BandSet.of("red", "nir"), ("water", "land"))


def checkpoint(folder: Path) -> list[Path]:
    save_checkpoint(folder, task(), config={"epochs": 1}, provenance={"seed": 0})
    return [folder / "model.json", folder / "model.json", folder / "model.safetensors"]


def use_checkpoint(folder: Path) -> object:
    swath.load(folder)
    return load_checkpoint(folder).classes


def state(folder: Path) -> list[Path]:
    module = torch.nn.Conv2d(2, 2, 1)
    optimiser = torch.optim.AdamW(module.parameters())
    module(torch.zeros(1, 2, 1, 1)).sum().backward()
    optimiser.step()
    TrainingState(module, optimiser, None).save(folder / STATE, Progress(epoch=1), {"seed": 0, "fit": {"epochs": 2}})
    return [folder / STATE]


def use_state(folder: Path) -> object:
    check_same_run(folder / STATE, {"seed": 0, "fit": {"epochs": 2}})
    module = torch.nn.Conv2d(2, 2, 1)
    return TrainingState(module, torch.optim.AdamW(module.parameters()), None).restore(folder / STATE)


def _claims(folder: Path) -> object:
    return judge.claims_table(folder)


def _legend(folder: Path) -> object:
    from swath.cutting import _read_legend

    return cubes.Legend.from_names(_read_legend(folder / "legend.yaml"))


SEEDS: Mapping[str, Mapping[str, Seed]] = {
    "raster": {
        "striped": Seed(tif, use_scene),
        "deflate": Seed(partial(tif, compress="deflate", interleave="pixel"), use_scene),
        "lzw tiled": Seed(partial(tif, compress="lzw", tiled=True, blockxsize=16, blockysize=16), use_scene),
        "zstd": Seed(partial(tif, compress="zstd", dtype="float32", predictor=3), use_scene),
        "cog": Seed(cog, use_scene),
        "big": Seed(partial(tif, bigtiff="YES", dtype="int16"), use_scene),
        "png": Seed(partial(copied, name="scene.png", driver="PNG"), use_scene),
        "jpeg": Seed(partial(tif, compress="jpeg", count=3), use_scene),
        "jp2": Seed(partial(copied, name="scene.jp2", driver="JP2OpenJPEG"), use_scene),
        "vrt": Seed(vrt, use_scene),
        "labels": Seed(partial(tif, count=1), use_labels),
    },
    "store": {
        "netcdf4": Seed(partial(netcdf, zlib=True), use_scene),
        "netcdf4 plain": Seed(netcdf, use_scene),
        "netcdf3": Seed(partial(netcdf, engine="scipy"), use_scene),
        "zarr 2": Seed(partial(zarr, version=2), use_scene),
        "zarr 3": Seed(partial(zarr, version=3), use_scene),
    },
    "table": {
        "geopackage": Seed(partial(vectors, name="labels.gpkg"), use_vectors),
        "geojson": Seed(partial(vectors, name="labels.geojson"), use_vectors),
        "shapefile": Seed(partial(vectors, name="labels.shp"), use_vectors),
        "zipped": Seed(partial(vectors, name="labels.zip"), use_vectors),
        "flatgeobuf": Seed(partial(vectors, name="labels.fgb"), use_vectors),
        "geoparquet": Seed(partial(vectors, name="labels.parquet"), use_vectors),
        "split": Seed(split_table, use_split),
        "results": Seed(result_table, lambda folder: judge.ResultTable.load(folder / "rows.parquet").frame()),
        "chips": Seed(chip_set, use_chips),
    },
    "config": {
        "options": Seed(
            lambda folder: text(folder, "train.yaml", OPTIONS),
            lambda folder: read_options(folder / "train.yaml", epochs=2).model_dump_json(),
        ),
        "legend": Seed(lambda folder: text(folder, "legend.yaml", "0: water\n1: land\n2: 'snow'\n"), _legend),
        "layers": Seed(lambda folder: text(folder, "layers.json", json.dumps(LAYERS)), read_layers),
        "claims": Seed(evidence, _claims),
        "sensor": Seed(
            lambda folder: text(folder, "made_up.toml", SENSOR),
            lambda folder: sensors.load(str(folder / "made_up.toml")),
        ),
    },
    "checkpoint": {"model": Seed(checkpoint, use_checkpoint), "state": Seed(state, use_state)},
}
"""Kind to name to seed."""


class Bench:
    """Seeds of one kind, made once; every trial works on a damaged copy."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind, self.folder = kind, folder
        self._made: dict[str, list[Path]] = {}
        for name, seed in SEEDS[kind].items():
            place = folder / "seeds" / name
            place.mkdir(parents=True)
            self._made[name] = [path.relative_to(place) for path in seed.make(place)]

    def untouched(self) -> None:
        """Every seed is a good file, else damaging it would prove nothing."""
        for name, seed in SEEDS[self.kind].items():
            if (self.kind, name) != ("store", "netcdf3"):  # which swath refuses with a sentence
                seed.use(self.folder / "seeds" / name)

    def victims(self, name: str) -> list[Path]:
        """The files of a seed that may be damaged, relative to its folder."""
        return self._made[name]

    def trial(self, number: int) -> tuple[str, Path, Callable[[], object]]:
        """Name of the seed, the folder with the damaged copy, and the call that uses it."""
        stream = random.Random(f"{self.kind} {number}")
        name = stream.choice(list(self._made))
        place = self.folder / "trial"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(self.folder / "seeds" / name, place)
        victim = place / stream.choice(self._made[name])
        victim.write_bytes(damage(victim.read_bytes(), stream))
        return name, place, lambda: SEEDS[self.kind][name].use(place)


def survive(ready: Bench, examples: int) -> dict[str, int]:
    """Try damaged files: each ends in success or in an error of swath; anything else fails the test."""
    counts = {"success": 0, "sentence": 0}
    for number in range(examples):
        name, _, use = ready.trial(number)
        try:
            use()
            counts["success"] += 1
        except SwathError as error:
            assert len(str(error)) < 2000 and "\n" not in str(error), (ready.kind, number, name)
            counts["sentence"] += 1
        except Exception as error:
            raise AssertionError(f"{ready.kind} {number} ({name}): {type(error).__name__}: {error}") from error
    return counts
