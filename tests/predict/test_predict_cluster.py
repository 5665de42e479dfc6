"""Chips from an archive and maps of many scenes, done by a dask cluster: the same bytes as done in one process."""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

sys.path.append(str(Path(__file__).parents[1] / "chips"))

from archive_makers import at, hls, label, link
from predict_scenes import numbers, opened, unet, write
from predict_scenes import run as map_scene

from swath import chips
from swath.chips.archive import Request, cut, from_boxes, from_points, from_rasters, read_records, run
from swath.cubes import Legend
from swath.errors import ConfigError, ResourceError
from swath.failures import Failure
from swath.predict import Crew, many

pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
PLACES = [(3, 4), (40, 50), (69, 69), (10, 10), (31, 31), (32, 31), (5, 60), (60, 5)]
CUT = cut.cut_batch  # before a test puts something else in its place


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    from swath.jobs.cluster import local_cluster

    with local_cluster(2) as address:
        yield address


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    days = ("2024-03-20", "2024-04-20", "2024-05-20")
    folder = tmp_path / "archive"
    return link(folder, [hls(folder, f"{day}T10:30:00", level=level) for level, day in enumerate(days)])


def everything(folder: Path) -> dict[str, bytes]:
    """The bytes of all files; none holds a time of day or a duration, so none is left out."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def cut_and_die(died: Path, batch: Any, cutting: Any) -> Any:
    """Cut chips, and the first time kill the process when they are cut and nobody has been told."""
    done = CUT(batch, cutting)
    if not died.exists():
        died.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return done


def test_chips_are_the_same_and_a_death_costs_a_retry(
    tmp_path: Path, archive: Path, scheduler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "BATCH", 1)
    monkeypatch.chdir(tmp_path)  # names are relative to where the command runs, in the workers too
    place, request = archive.relative_to(tmp_path), Request(size=32, steps=3, step_days=31)
    alone = from_points(place, at(PLACES), "alone", request=request)
    assert alone.chips > 2 and not alone.failures
    monkeypatch.setattr(run, "cut_batch", functools.partial(cut_and_die, tmp_path / "died"))
    shared = from_points(place, at(PLACES), "shared", request=request, cluster=scheduler)
    assert (tmp_path / "died").exists() and shared.made == alone.chips and not shared.failures
    assert everything(tmp_path / "shared") == everything(tmp_path / "alone")


def test_boxes_are_the_same(tmp_path: Path, archive: Path, scheduler: str) -> None:
    lon, lat = at([(35, 35)])[["lon", "lat"]].to_numpy()[0]
    box = (lon - 0.004, lat - 0.004, lon + 0.004, lat + 0.004)
    request = Request(size=16, steps=2, step_days=31)
    for name, cluster in (("alone", ""), ("shared", scheduler)):
        from_boxes(archive, [box], "2024-05-21", tmp_path / name, request=request, cluster=cluster)
    assert everything(tmp_path / "shared") == everything(tmp_path / "alone")
    assert len(everything(tmp_path / "alone")) > 8


def test_label_rasters_are_the_same(tmp_path: Path, archive: Path, scheduler: str) -> None:
    names = []
    for number in range(3):
        truth = np.random.default_rng(number).integers(-1, 2, (16, 16))
        names.append(label(tmp_path / "labels" / f"{number}.tif", truth, (600_000.0 + 480 * number, 4_500_000.0)))
    pd.DataFrame({"label_filename": [*names, "absent.tif"], "date": "2024-05-21"}).to_csv(tmp_path / "records.csv")
    records = read_records(tmp_path / "records.csv", tmp_path / "labels")
    request, legend = Request(size=16, steps=2, step_days=31), Legend.of("dry", "wet")
    for name, cluster in (("alone", ""), ("shared", scheduler)):
        done = from_rasters(archive, records, tmp_path / name, request=request, legend=legend, cluster=cluster)
        assert done.chips == 3 and next(row.item for row in done.failures).endswith("absent.tif")
    assert everything(tmp_path / "shared") == everything(tmp_path / "alone")
    assert len(everything(tmp_path / "alone")) > 8


@dataclass(frozen=True)
class Stored(many.SceneOptions):
    """Scenes in stored numbers."""

    def open(self, path: Path) -> xr.Dataset:
        return opened(path)


def test_maps_are_the_same(tmp_path: Path, scheduler: str) -> None:
    scenes = [write(tmp_path / f"{seed}.tif", numbers(70 + seed, 90, seed)) for seed in range(3)]
    scenes.append(tmp_path / "poem.tif")
    scenes[3].write_text("no raster")
    how: dict[str, Any] = {"scene": Stored(), "options": many.MapOptions(32, 8, ("class", "confidence"))}
    for name, cluster in (("alone", ""), ("shared", scheduler)):
        done = many.predict_many(unet, scenes, tmp_path / name, workers=0, cluster=cluster, **how)
        assert done.made == 3 and [failure.item for failure in done.failures] == [str(scenes[3])]
    assert everything(tmp_path / "shared") == everything(tmp_path / "alone")
    assert set(everything(tmp_path / "alone")) >= {"0.tif", "0.json", "0_confidence.tif", "failures.csv"}


def test_chips_of_one_scene_are_the_same(tmp_path: Path, scheduler: str) -> None:
    cube = opened(write(tmp_path / "scene.tif", numbers(150, 100)))
    labels = np.arange(150 * 100).reshape(150, 100) // 3000 % 2
    made = {}
    for name, cluster in (("alone", ""), ("shared", scheduler)):
        made[name] = chips.cut(
            cube, labels, tmp_path / name, size=16, legend=Legend.of("a", "b"), cluster=cluster,
            drop=chips.DropRules(min_valid=0.9),
        )  # fmt: skip
    assert len(made["alone"]) > 40 and made["alone"].description.left_out
    assert everything(tmp_path / "shared") == everything(tmp_path / "alone")


def second_dies(items: Any, work: Any, *, job: Any, failures: Any) -> Iterator[tuple[Any, Any]]:
    """``run_each`` whose second item takes its worker down."""
    for number, item in enumerate(items):
        if number == 1:
            failures.add(Failure(job.describe(item), job.stage, "The process that worked on it died", "again"))
        else:
            yield item, work(item)


def test_rows_of_chips_whose_workers_die_are_failures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the job makes of a death is tested elsewhere; here, what the chips make of it."""
    cube = opened(write(tmp_path / "scene.tif", numbers(150, 100)))
    how: dict[str, Any] = {"size": 16, "legend": Legend.of("a", "b"), "drop": chips.DropRules(min_valid=0.0)}
    labels = np.zeros((150, 100), np.int64)
    whole = chips.cut(cube, labels, tmp_path / "alone", **how)
    monkeypatch.setattr("swath.jobs.run_each", second_dies)
    left = chips.cut(cube, labels, tmp_path / "left", cluster="local:2", **how)
    assert len(whole) == 54 and len(left) == 30 and len(left.failures) == 24
    assert left.failures[0].item.startswith("chip of rows 64 to 79, columns 0 to 15 of ")
    assert left.description.left_out == {"windows that cannot be read": 24}


def parts(folder: Path) -> tuple[Any, None]:
    """The predictor, and a mark for every process that has loaded it."""
    (folder / f"loaded_{os.getpid()}").touch()
    return unet(), None


def opened_here(scene: Path, die: Path | None = None) -> xr.Dataset:
    """The scene; the first time, where ``die`` is given, the process ends."""
    if die is not None and not die.exists():
        die.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return opened(scene)


def maps(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("m*")}


def test_one_scene_is_the_same_whoever_maps_its_strips(tmp_path: Path, scheduler: str) -> None:
    scene = write(tmp_path / "scene.tif", numbers(400, 90))
    how: dict[str, Any] = {"outputs": ("class", "confidence"), "batch_size": 4}
    for name in ("alone", "shared", "loaded"):
        (tmp_path / name).mkdir()
    alone = map_scene(unet(), opened(scene), tmp_path / "alone" / "m.tif", **how)
    crew = Crew(
        functools.partial(parts, tmp_path / "loaded"),
        functools.partial(opened_here, scene, tmp_path / "died"),
        cluster=scheduler,
    )
    shared = map_scene(unet(), opened(scene), tmp_path / "shared" / "m.tif", crew=crew, **how)
    assert (tmp_path / "died").exists() and alone.strips > 4
    assert maps(tmp_path / "shared") == maps(tmp_path / "alone") and len(maps(tmp_path / "alone")) > 2
    assert replace(shared, model_s=0, other_s=0, files={}, failure_table=None, chunks_read=0, chunks_needed=0) == (
        replace(alone, model_s=0, other_s=0, files={}, failure_table=None, chunks_read=0, chunks_needed=0)
    )
    assert shared.chunks_read >= alone.chunks_read and shared.model_s > 0
    assert 1 < len(list((tmp_path / "loaded").iterdir())) <= alone.strips  # processes keep what they have opened
    assert not list((tmp_path / "shared").glob(".*"))


def test_strips_that_could_be_done_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = write(tmp_path / "scene.tif", numbers(400, 90))
    crew = Crew(functools.partial(parts, tmp_path), functools.partial(opened_here, scene), cluster="local:2")
    with monkeypatch.context() as patch:
        patch.setattr("swath.predict.crew.run_each", second_dies)
        with pytest.raises(ResourceError, match=r"1 of \d+ strips could not .*; the first is strip 1: The pro"):
            map_scene(unet(), opened(scene), tmp_path / "m.tif", crew=crew)
    assert not (tmp_path / "m.tif").exists()
    rest = map_scene(unet(), opened(scene), tmp_path / "m.tif")
    assert rest.resumed == rest.strips - 1


def test_a_crew_opens_the_same_or_nothing(tmp_path: Path) -> None:
    scene = write(tmp_path / "scene.tif", numbers(100, 90))
    other = write(tmp_path / "other.tif", numbers(100, 90, 1))
    load = functools.partial(parts, tmp_path)
    with pytest.raises(ConfigError, match="was to be mapped by several processes"):
        map_scene(
            unet(), opened(scene).compute(), tmp_path / "m.tif", crew=Crew(load, functools.partial(opened, scene))
        )
    with pytest.raises(ResourceError, match="found others than whoever asked"):
        map_scene(
            unet(), opened(scene), tmp_path / "m.tif", crew=Crew(load, functools.partial(opened, other), workers=0)
        )
