"""The jobs that are killed: small, but through the same code as large ones."""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from harness import Job
from odc.geo.geobox import GeoBox

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "cli"), str(ROOT / "sources"), str(ROOT / "judge")]

# What the children would each import again: they are forked from here.
import pyarrow.dataset  # noqa: E402
import pyarrow.parquet  # noqa: E402, F401
import rasterio  # noqa: E402
import torch._dynamo  # noqa: E402, F401
from cli_scenes import write_polygons, write_scene  # noqa: E402
from judge_samples import REGISTRATION, Repository  # noqa: E402
from test_planet_make import synthetic_layers  # noqa: E402

import swath  # noqa: E402
from swath import chips, cubes, judge, predict, types, verbs  # noqa: E402
from swath.errors import ResourceError  # noqa: E402
from swath.predict import many  # noqa: E402
from swath.predict.vectorise import vectorise  # noqa: E402
from swath.sources import planet  # noqa: E402
from swath.sources.planet import build as building  # noqa: E402
from swath.sources.planet import packages  # noqa: E402
from swath.types import ResultRow  # noqa: E402

OPTIONS = {
    "network": {"width": 4, "depth": 1, "stem_stride": 1},
    "batch_size": 4,
    "fit": {"epochs": 2, "learning_rate": 0.01, "threads": 1, "checkpoint_every_steps": 3},
}
BOX = GeoBox((600, 530), Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32632")


def without_times(content: bytes) -> object:
    """JSON without seconds."""

    def strip(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: strip(each) for key, each in value.items() if key != "wall_s"}
        return [strip(each) for each in value] if isinstance(value, list) else value

    return strip(json.loads(content))


def log_without_times(content: bytes) -> object:
    lines = [line.split(",") for line in content.decode().splitlines()]
    at = lines[0].index("wall_s")
    return [line[:at] + line[at + 1 :] for line in lines]


def state_without_times(content: bytes) -> object:
    """The tensors of a safetensors file byte by byte, and its metadata without seconds."""
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    metadata = header.pop("__metadata__")
    progress = without_times(metadata["progress"].encode())
    return header, progress, metadata["started_with"], content[8 + length :]


RUN_FILES = {
    "log.csv": log_without_times,
    "training_state.safetensors": state_without_times,
    "model.json": without_times,
}


def fake_planet() -> None:
    building.build_layer = lambda name, geobox, done: dict(synthetic_layers(geobox))[name]
    packages.require = lambda: None


def make_planet(inputs: Path, out: Path) -> None:
    fake_planet()
    planet.make(out / "planet", resolution=2.0)


def look_at_planet(out: Path) -> bool:
    scene = planet.open(out / "planet")
    assert len(scene.children) == len(building.LAYERS)
    manifest = building.read_manifest(out / "planet")
    for name, described in manifest["layers"].items():
        with rasterio.open(out / "planet" / f"{name}.tif") as raster:
            assert building.pixel_hash(raster.read()) == described["sha256"], name
    return True


def inputs_of_chips(inputs: Path) -> None:
    write_scene(inputs / "scene.tif")
    write_polygons(inputs / "polygons.geojson")


def opened(inputs: Path) -> Any:
    return swath.open(inputs / "scene.tif", sensor="sentinel2_l2a", baseline="05.09")


def cut(inputs: Path, out: Path, *, size: int = 32) -> None:
    swath.chips(opened(inputs), inputs / "polygons.geojson", out / "chips", column="cover", size=size, block=1)


def look_at_chips(out: Path) -> bool:
    chipset = chips.open(out / "chips")
    assert len(chipset.load(chipset.ids).values) == len(chipset)
    types.Split.load(out / "chips" / "split.parquet")
    chips.Statistics.load(out / "chips" / "statistics.json")
    return True


def inputs_of_training(inputs: Path) -> None:
    inputs_of_chips(inputs)
    cut(inputs, inputs, size=16)


def train(inputs: Path, out: Path) -> None:
    swath.fit(inputs / "chips", out / "run", config=OPTIONS, progress=False)


def look_at_run(out: Path) -> bool:
    swath.load(out / "run")
    return True


def inputs_of_predicting(inputs: Path) -> None:
    inputs_of_training(inputs)
    train(inputs, inputs)


def map_scene(inputs: Path, out: Path) -> None:
    predict.predict_scene(
        verbs.load(inputs / "run"),
        verbs.as_cube(opened(inputs)).pipe(cubes.to_physical),
        out / "map.tif",
        tile=32,
        overlap=8,
        block=40,
        outputs=("class", "confidence"),
        legend=verbs.legend_of(verbs.load(inputs / "run")),
        progress=False,
    )


def look_at_map(out: Path) -> bool:
    whole = 0
    for name in ("map.tif", "map_confidence.tif"):
        if (out / name).exists():
            whole += read_all(out / name)
    return whole > 0


def read_all(path: Path) -> int:
    """Every block of a raster and of its overviews; an error where one is not whole."""
    with rasterio.open(path) as raster:
        raster.read()
        levels = len(raster.overviews(1))
    for level in range(levels):
        with rasterio.open(path, overview_level=level) as raster:
            raster.read()
    return 1


def map_many(inputs: Path, out: Path) -> None:
    import functools

    scene = many.SceneOptions(sensor="sentinel2_l2a", baseline="05.09")
    options = many.MapOptions(tile=64, overlap=8, outputs=("class",))
    load = functools.partial(verbs.load, inputs / "run")
    copies = [inputs / "scene.tif", inputs / "second.tif"]
    report = many.predict_many(load, copies, out / "maps", scene=scene, options=options, workers=0)
    if report.failures:
        raise ResourceError(report.failures[0].reason, expected="no failure", remedy=report.failures[0].retry)


def inputs_of_many(inputs: Path) -> None:
    inputs_of_predicting(inputs)
    (inputs / "second.tif").write_bytes((inputs / "scene.tif").read_bytes())


def look_at_maps(out: Path) -> bool:
    return sum(read_all(path) for path in (out / "maps").glob("[!.]*.tif")) > 0


def numbers(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 5, (1, 600, 530)).astype(np.uint8)


def write(inputs: Path, out: Path, seed: int = 1) -> None:
    legend = cubes.Legend.from_names({value: str(value) for value in range(5)})
    cubes.write_cog(out / "numbers.tif", numbers(seed), BOX, names=("class",), legend=legend)


def look_at_numbers(out: Path) -> bool:
    if not (out / "numbers.tif").exists():
        return False
    read_all(out / "numbers.tif")
    with rasterio.open(out / "numbers.tif") as raster:
        values = raster.read()
    assert (values == numbers(0)).all() or (values == numbers(1)).all()
    return True


def evaluate(inputs: Path, out: Path) -> None:
    score = verbs.score(inputs / "run", inputs / "chips")
    table = judge.ResultTable()
    table.extend(score.rows)
    table.save(out / "rows.parquet")


def look_at_rows(out: Path) -> bool:
    return len(judge.ResultTable.load(out / "rows.parquet")) > 0


def rows_of(shift: float) -> list[ResultRow]:
    return [
        ResultRow(
            "run", "demo", backbone=who, seed=seed, metric=metric, class_name=name, value=0.4 + base + 0.01 * seed
        )
        for seed in range(10)
        for who, base in (("forest", shift), ("unet", 0.05 + shift))
        for metric, name in (("miou", None), ("iou", "ice"))
    ]


def register(inputs: Path, out: Path) -> None:
    repository = Repository(out / "project")
    claims = repository.path / "claims"
    claims.mkdir()
    (claims / "demo.toml").write_text(REGISTRATION)
    repository.commit()
    judge.write_evidence(claims / "demo.toml", rows_of(0.0), data_hash=None)


def measure(inputs: Path, out: Path) -> None:
    judge.write_evidence(out / "project" / "claims" / "demo.toml", rows_of(0.01), data_hash=None)


def look_at_claims(out: Path) -> bool:
    return len(judge.claims_table(out / "project" / "claims")) > 0


def inputs_of_vectorising(inputs: Path) -> None:
    values = numbers(0)[:, ::10, ::10].repeat(5, axis=1).repeat(5, axis=2)
    box = GeoBox(values.shape[1:], BOX.affine, BOX.crs)
    legend = cubes.Legend.from_names({value: str(value) for value in range(5)})
    cubes.write_cog(inputs / "numbers.tif", values, box, names=("class",), legend=legend)


def outline(inputs: Path, out: Path) -> None:
    vectorise(inputs / "numbers.tif", out / "polygons.geojson")


def look_at_polygons(out: Path) -> bool:
    path = out / "polygons.geojson"
    return path.exists() and len(json.loads(path.read_text())["features"]) > 0


JOBS = {
    job.name: job
    for job in (
        Job("data make", lambda inputs: None, make_planet, look_at_planet),
        Job("chips cut", inputs_of_chips, cut, look_at_chips),
        Job("chips cut over older", inputs_of_chips, cut, look_at_chips, before=lambda i, o: cut(i, o, size=16)),
        Job("train", inputs_of_training, train, look_at_run, RUN_FILES),
        Job("predict", inputs_of_predicting, map_scene, look_at_map),
        Job("vectorise", inputs_of_vectorising, outline, look_at_polygons),
        Job("predict many", inputs_of_many, map_many, look_at_maps),
        Job("write_cog over older", lambda inputs: None, write, look_at_numbers, before=lambda i, o: write(i, o, 0)),
        Job("evaluate", inputs_of_predicting, evaluate, look_at_rows),
        Job("evidence over older", lambda inputs: None, measure, look_at_claims, before=register),
    )
}
