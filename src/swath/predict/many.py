"""Predict many scenes: each on its own, in several processes; what is finished is not repeated."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import xarray as xr

from swath import cubes
from swath.errors import ConfigError
from swath.failures import Failure, Failures
from swath.files import make_folder, sha256, write_json
from swath.jobs import Job, run_each
from swath.predict.resume import fingerprint
from swath.predict.scene import predict_scene
from swath.types import Predictor

FAILURES = "failures.csv"
SCHEMA = 1


@dataclass(frozen=True)
class SceneOptions:
    """How the scenes are opened; see ``swath.cubes.open``."""

    sensor: str | None = None
    level: str | None = None
    baseline: str | None = None
    bands: tuple[str, ...] | None = None
    nodata: float | None = None
    time: str | None = None

    def open(self, path: Path) -> xr.Dataset:
        """A scene as one cube in physical units."""
        tree = cubes.open(
            path,
            sensor=self.sensor,
            level=self.level,
            baseline=self.baseline,
            bands=self.bands,
            nodata=self.nodata,
            time=self.time,
        )
        cube = cubes.to_cube(tree)
        return cube if cubes.is_physical(cube) else cubes.to_physical(cube)


@dataclass(frozen=True)
class MapOptions:
    """How the scenes are mapped; see ``predict_scene``."""

    tile: int = 256
    overlap: int = 64
    outputs: tuple[str, ...] = ()
    strict: bool = True


@dataclass(frozen=True)
class ManyReport:
    """What ``predict_many`` did.

    Args:
        maps: the map (first output) of every scene that has one, in the order of the scenes.
        made: how many of them this call made; the others lay there, finished.
        failures: scenes, and parts of scenes, that could not be done.
        table: the same as a CSV file; None without failures.
    """

    maps: dict[Path, Path]
    made: int
    failures: tuple[Failure, ...]
    table: Path | None


def predict_many(
    load: Callable[[], Predictor],
    scenes: Sequence[Path | str],
    out: Path | str,
    *,
    scene: SceneOptions | None = None,
    options: MapOptions | None = None,
    workers: int = 1,
    progress: bool = False,
    cluster: str = "",
) -> ManyReport:
    """Map every scene to ``OUT/NAME.tif``, where NAME is that of its file or folder.

    A scene that cannot be read or mapped, or whose process dies, is listed in ``OUT/failures.csv``, and the others
    are mapped. ``OUT/NAME.json`` is written when a scene is finished; called again with the same weights, scene and
    options, a scene with such a record and whole maps is passed over, unless parts of it could not be read. Maps do
    not depend on the number of workers: every process computes with one thread.

    Args:
        load: loads the model, once in each process; a function at module level or a ``functools.partial`` of one.
        scenes: files or folders, each a scene.
        out: folder of the maps.
        scene: how to open the scenes.
        options: how to map them.
        workers: processes; 0 works in this one.
        progress: show a progress bar on standard error.
        cluster: a dask cluster that maps instead, ``local:2`` or the address of a scheduler (see ``swath.jobs.Job``).

    Raises:
        ConfigError: no scene, two scenes of one name, or a map that would replace a scene.
        ResourceError: the folder cannot be made, or no process started.
    """
    paths = [Path(each) for each in scenes]
    folder = make_folder(Path(out))
    _check(paths, folder)
    work = functools.partial(_map, load, folder, scene or SceneOptions(), options or MapOptions())
    failures, maps, made = Failures(), {}, 0
    job = Job(workers=workers, stage="predict", progress="scenes" if progress else "", cluster=cluster)
    for path, done in run_each(paths, work, job=job, failures=failures):
        maps[path] = folder / done.files[0]
        made += not done.found
        failures.rows.extend(done.failures)
    return ManyReport(maps, made, tuple(failures), failures.save(folder / FAILURES))


@dataclass(frozen=True)
class _Mapped:
    """What came of one scene: names of its files, whether they lay there already, and parts that could not be read."""

    files: tuple[str, ...]
    found: bool
    failures: tuple[Failure, ...] = ()


def _map(load: Callable[[], Predictor], folder: Path, how: SceneOptions, options: MapOptions, path: Path) -> _Mapped:
    """Map one scene, or find that it is mapped."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _map_here(load, folder, how, options, path)
    finally:
        torch.set_num_threads(threads)


def _map_here(
    load: Callable[[], Predictor], folder: Path, how: SceneOptions, options: MapOptions, path: Path
) -> _Mapped:
    predictor = _loaded(load)
    cube = how.open(path)
    written = {"tile": options.tile, "overlap": options.overlap, "outputs": options.outputs, "strict": options.strict}
    mark = fingerprint(_identity(predictor), cube, written)
    record = folder / f"{name_of(path)}.json"
    if mark is not None and (files := _finished(record, mark)):
        return _Mapped(files, found=True)
    record.unlink(missing_ok=True)  # until all its maps are whole, none is known to be
    colours = getattr(predictor, "colours", ())
    report = predict_scene(
        predictor,
        cube,
        folder / f"{name_of(path)}.tif",
        tile=options.tile,
        overlap=options.overlap,
        outputs=options.outputs,
        strict=options.strict,
        legend=cubes.legend_from_colours(dict(zip(predictor.classes, colours, strict=True))) if colours else None,
        progress=False,
    )
    names = tuple(each.name for each in report.files.values())
    if not report.failures:
        content: dict[str, Any] = {"schema": SCHEMA, "fingerprint": mark, "scene": str(path)}
        content |= {"valid_share": report.valid_share, "pixels": report.pixels, "area_km2": report.area_km2}
        write_json(record, {**content, "files": {name: sha256(folder / name) for name in names}})
    return _Mapped(names, found=False, failures=report.failures)


_models: list[tuple[Any, Predictor]] = []
"""The model of this process and how it was loaded; a process works for one job at a time."""


def _loaded(load: Callable[[], Predictor]) -> Predictor:
    key = (load.func, load.args, load.keywords) if isinstance(load, functools.partial) else load
    if not _models or _models[0][0] != key:
        _models[:] = [(key, load())]
    return _models[0][1]


def _identity(predictor: Predictor) -> Any:
    """What decides the answers of a model, in parts that every process hashes alike."""
    record = getattr(predictor, "record", None)
    if isinstance(predictor, torch.nn.Module) and callable(record):
        return {"record": record(), "weights": dict(predictor.state_dict())}
    return predictor


def _finished(record: Path, mark: str) -> tuple[str, ...]:
    """The maps that a record lists, if they were made of the same and every byte is as written; else nothing."""
    try:
        content = json.loads(record.read_text(encoding="utf-8"))
        files = dict(content["files"])
        if content["schema"] != SCHEMA or content["fingerprint"] != mark:
            return ()
        whole = all(sha256(record.parent / name) == digest for name, digest in files.items())
    except (OSError, ValueError, KeyError, TypeError):
        return ()
    return tuple(files) if whole else ()


def name_of(scene: Path) -> str:
    """The name of a scene's maps: that of its file or folder without its ending."""
    return scene.resolve().stem if scene.suffix else scene.resolve().name


def _check(scenes: Sequence[Path], folder: Path) -> None:
    if not scenes:
        raise ConfigError("No scenes were given", expected="at least one", remedy="name files or folders")
    names: dict[str, Path] = {}
    for path in scenes:
        name = name_of(path).lower()  # some disks do not tell capital letters apart
        if name in names:
            raise ConfigError(
                f"'{names[name]}' and '{path}' would both be mapped to '{name_of(path)}.tif'",
                expected="scenes of different names",
                remedy="map them into different folders",
            )
        names[name] = path
        if path.resolve().parent == folder.resolve():
            raise ConfigError(
                f"The scene '{path}' lies in the folder of the maps",
                expected="a folder without scenes, whose files no map can replace",
                remedy="choose another folder for the maps",
            )
