"""The verbs of the front door: the same job in Python as on the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from swath.checking import check as check
from swath.cutting import check_asked, check_cutting, labels_on, split_and_measure
from swath.embedding import check_features
from swath.embedding import embed as embed
from swath.embedding import fit_features as fit_features
from swath.errors import ConfigError
from swath.loading import load as load
from swath.scoring import scoring

if TYPE_CHECKING:
    import xarray as xr

    from swath.chips import ChipSet, DropRules, JoinedSet
    from swath.cubes import Legend
    from swath.judge import Score
    from swath.learn import ModelTask, SegmentationTask
    from swath.predict import Crew, PredictionReport
    from swath.predict.layers import Layer
    from swath.types import DataKind, Predictor, Report, ResultRow, Task

PathLike = Path | str


def open(
    path: PathLike | Sequence[PathLike],
    *,
    sensor: str | None = None,
    level: str | None = None,
    baseline: str | None = None,
    bands: Sequence[str] | None = None,
    nodata: float | None = None,
    time: str | None = None,
) -> xr.DataTree:
    """Open a scene: one node per native grid, stored numbers with unit and scale, and a validity mask.

    Args:
        path: GeoTIFF, NetCDF, Zarr, a folder of single-band files, or a list of files.
        sensor: name of the sensor; gives band names, scale, offset and no-data ('swath sensors' lists them).
        level: processing level of the sensor.
        baseline: processing baseline, where the scale depends on it.
        bands: band names in file order, where neither file nor sensor says.
        nodata: value that means no data, where the file does not say.
        time: acquisition time as ISO text.

    Raises:
        InputError: the file is missing, damaged, has no CRS, or does not fit the sensor.
    """
    from swath import cubes

    return cubes.open(path, sensor=sensor, level=level, baseline=baseline, bands=bands, nodata=nodata, time=time)


def chips(
    scene: xr.DataTree | xr.Dataset | PathLike,
    labels: PathLike | xr.DataArray | None,
    out: PathLike,
    *,
    column: str | None = None,
    legend: PathLike | Mapping[int, str] | None = None,
    values: xr.DataTree | xr.Dataset | PathLike | None = None,
    quantities: Sequence[str] | None = None,
    units: Sequence[str] | None = None,
    task: Task | None = None,
    size: int = 64,
    stride: int | None = None,
    block: int = 2,
    buffer: float = 0.0,
    seed: int = 0,
    drop: DropRules | None = None,
    cluster: str = "",
) -> ChipSet:
    """Cut a scene and its labels or quantities into chips, split them by block, and measure the train split.

    Args:
        scene: an opened scene, an aligned cube, or a path.
        labels: polygons, a label raster, or labels on a grid; None with ``values``.
        out: folder for the chips; it appears when all is complete, and replaces what lay there.
        column: column of the polygons that holds the class.
        legend: value to name for a label raster (a mapping or a YAML file); the one in the file when left out.
        values: raster of quantities per pixel, one per band, NaN or no-data where unknown.
        quantities: their names; default: those of the bands.
        units: their units; default: those of the bands.
        task: ``change`` where labels say what changed between the dates; default: what labels or values stand for.
        size: chip size in pixels.
        stride: step between chips; the chip size by default.
        block: blocks of this many chips stay together in one split.
        buffer: distance between splits in chip widths; chips closer than that are not used.
        seed: seed of the split.
        drop: which windows to leave out; default: ``DropRules()``.
        cluster: a dask cluster that cuts, ``local:2`` or the address of a scheduler; none when left out.

    Raises:
        InputError: scene and labels do not overlap, a label is outside the legend, or nothing is left.
        ConfigError: a number is out of range, or an option that labels, values or task do not use.
    """
    from swath import chips as room
    from swath import cubes
    from swath.chips.folder import appearing

    check_cutting(size=size, stride=stride, block=block, buffer=buffer, seed=seed)
    check_asked(labels, values, {"column": column, "legend": legend}, {"quantities": quantities, "units": units}, task)
    cubes.check_physical(cube := physical_cube(scene))
    cut = partial(room.cut, size=size, stride=stride, drop=drop, cluster=cluster)
    with appearing(Path(out)) as folder:
        if labels is not None:
            raster, named = labels_on(cube, labels, column, legend)
            chipset = cut(cube, raster, folder, legend=named, task=task or "segmentation")
        elif values is not None:
            asked = room.Quantities.of(physical_cube(values), cubes.geobox_of(cube), names=quantities, units=units)
            chipset = room.cut_quantities(cube, asked, folder, size=size, stride=stride, drop=drop, cluster=cluster)
        split_and_measure(chipset, block, buffer, seed)
    return room.open(Path(out))


def fit(
    chips: ChipSet | JoinedSet | PathLike,
    out: PathLike,
    *,
    config: PathLike | Mapping[str, Any] | None = None,
    epochs: int | None = None,
    learning_rate: float | None = None,
    batch_size: int | None = None,
    backbone: str | None = None,
    head: str | None = None,
    pretrained: PathLike | None = None,
    tuning: str | None = None,
    teacher: PathLike | None = None,
    seed: int = 0,
    progress: bool = True,
) -> SegmentationTask | ModelTask:
    """Train a model on a chip set or joined ones; calling it again on an unfinished run resumes it.

    What is learned (classes, labels, change, quantities) is a fact of the chips; ``check`` tells all without training.

    Args:
        chips: a chip set, joined ones, or the folder of either.
        out: folder of the run.
        config: options as a mapping or a YAML file; unknown keys are errors.
        epochs: passes over the training chips; beats ``config``.
        learning_rate: peak learning rate; beats ``config``.
        batch_size: chips per step; beats ``config``.
        backbone: name of the backbone; beats ``config``.
        head: name of the head; beats ``config``.
        pretrained: folder of a trained model, or name of a published encoder; beats ``config``.
        tuning: how much of the network learns; beats ``config``.
        teacher: folder of a trained model to learn from as well; beats ``config``.
        seed: seed of initialisation, data order and augmentation.
        progress: show a progress bar.

    Raises:
        ConfigError: an unknown or impossible option, or ``out`` holds something that is no run.
        InputError: the chip set is empty or holds one class only, or bands or weights do not fit.
    """
    from swath import chips as room
    from swath import learn, types

    check_run(Path(out))
    options = learn.read_options(
        config,
        epochs=epochs,
        learning_rate=learning_rate,
        batch_size=batch_size,
        backbone=backbone,
        head=head,
        pretrained=None if pretrained is None else str(pretrained),
        tuning=tuning,
        teacher=None if teacher is None else str(teacher),
    )
    samples = room.open_samples(Path(chips)) if isinstance(chips, Path | str) else chips
    split = types.Split.load(samples.folder / "split.parquet")
    return learn.train(samples, split, options, Path(out), seed=seed, progress=progress)


def predict(
    model: Predictor | PathLike,
    scene: xr.DataTree | xr.Dataset | PathLike,
    out: PathLike,
    *,
    tile: int = 256,
    overlap: int = 64,
    outputs: tuple[str, ...] = ("class", "confidence"),
    strict: bool = True,
    progress: bool = True,
    batch_size: int = 8,
    resume: bool = True,
    extra: Mapping[str, Layer] | None = None,
    vectorise: PathLike | None = None,
    crew: Crew | None = None,
) -> PredictionReport:
    """Map a scene of any size; memory depends on the tile, not on the scene.

    Args:
        model: anything that predicts, such as what ``swath.mapping.request`` gives, or the folder of a trained model.
        scene: an opened scene, an aligned cube, or a path.
        out: GeoTIFF to write; further outputs get their name as a suffix.
        tile: tile size in pixels.
        overlap: overlap of neighbouring tiles in pixels, at most half a tile.
        outputs: see ``swath.predict.layers``.
        strict: a pixel is no data as soon as one wanted band is invalid there; otherwise when all are.
        progress: show a progress bar.
        batch_size: tiles that the model sees at once.
        resume: take what an earlier run with the same model, scene and options has finished.
        extra: further layers by output name.
        vectorise: also write the map of classes as polygons: ``.geojson``, ``.gpkg`` or ``.parquet``.
        crew: other processes, or a dask cluster, that predict; they open model and scene themselves.

    Raises:
        ConfigError: an option is out of range, or an output would replace the scene.
        InputError: bands are missing, numbers cannot be what the model wants, or embeddings are of another version.
    """
    from swath import mapping
    from swath import predict as room

    predictor = load(model, device="auto") if isinstance(model, Path | str) else model
    source = _path_of(scene)
    mapping.check_polygons(predictor, outputs, vectorise)
    room.check_request(predictor, out, tile=tile, overlap=overlap, outputs=outputs, source=source, extra=extra)
    cube = physical_cube(scene)
    check_features(predictor, cube)
    report = room.predict_scene(
        predictor, cube, Path(out), tile=tile, overlap=overlap, outputs=outputs, batch_size=batch_size, strict=strict,
        legend=legend_of(predictor), extra=extra, resume=resume, progress=progress and crew is None, crew=crew,
    )  # fmt: skip
    if vectorise is not None:
        room.vectorise(report.files["class"], Path(vectorise), confidence=report.files.get("confidence"))
    return report


def _path_of(scene: xr.DataTree | xr.Dataset | PathLike) -> PathLike:
    return scene if isinstance(scene, Path | str) else ""


def score(
    model: Predictor | PathLike,
    chips: ChipSet | JoinedSet | PathLike,
    *,
    split: str = "test",
    data_kind: DataKind | None = None,
) -> Score:
    """Score a model on one split of a chip set, with bootstrap intervals over chips; see ``swath.judge.score``.

    Args:
        model: anything that predicts, or the folder of a trained model.
        chips: a chip set, joined ones, or the folder of either.
        split: which split to score.
        data_kind: what the rows say of the data; None: what the chips say of themselves, and ``real`` where they say
            nothing.

    Raises:
        InputError: the split is empty, or model and chips have different tasks, classes or quantities.
        ConfigError: ``data_kind`` is ``real`` and the chips say otherwise.
    """
    from swath import judge

    predictor, loader, facts = scoring(model, chips, split, data_kind)
    quantities = dict(zip(loader.chipset.quantities, loader.chipset.units, strict=True))
    return judge.score(predictor, loader, facts=facts, target=loader.chipset.target, quantities=quantities)


def score_corrupted(
    model: Predictor | PathLike,
    chips: ChipSet | PathLike,
    *,
    corruptions: Sequence[str] | str | None = None,
    severities: Sequence[int] = (1, 2, 3, 4, 5),
    seed: int = 0,
    split: str = "test",
    data_kind: DataKind | None = None,
    out: PathLike | None = None,
) -> list[ResultRow]:
    """Score a model clean and under corruptions (see ``swath.judge.corruptions.sweep``).

    Args:
        model: anything that predicts, or the folder of a trained model.
        chips: a chip set or its folder.
        corruptions: names; None or ``all`` for all that make sense for these inputs.
        severities: some of 1 to 5.
        seed: seed of the corruptions.
        split: which split to score.
        data_kind: as ``score``.
        out: result table, saved after every cell; what it holds already is not measured again.

    Raises:
        ConfigError: an unknown corruption, or a severity outside 1 to 5.
        InputError: the split is empty, or ``out`` holds a sweep under other conditions.
    """
    from swath.judge import corruptions as room

    # Names and severities are checked before a model or a chip is read.
    room.chosen(corruptions)
    for severity in severities:
        room.strength(room.NAMES[0], severity)
    predictor, loader, facts = scoring(model, chips, split, data_kind)
    options = room.Sweep(facts=facts, path=None if out is None else Path(out))
    return room.sweep(predictor, loader, corruptions, severities, seed, options)


def serve(folder: PathLike, *, host: str = "127.0.0.1", port: int = 8000, hosts: Sequence[str] = ()) -> None:
    """Show the layers of a folder in the browser until stopped.

    Requests have to name this machine, ``host``, or one of ``hosts``; ``*`` among these takes every name.

    Raises:
        ResourceError: the port is in use.
        InputError: the folder holds no layers.
    """
    from swath import serve as room

    room.run(Path(folder), host=host, port=port, hosts=hosts)


def run(system: str, out: PathLike, *, mode: Literal["quick", "full", "evidence"] = "full", seed: int = 0) -> Report:
    """Run a system: data, model, baselines, score, report.

    Args:
        system: slug of the system ('swath systems' lists them).
        out: folder for the results.
        mode: ``quick`` (a smoke, scores mean nothing), ``full`` (one seed) or ``evidence`` (all registered seeds).
        seed: seed of a single run.
    """
    from swath import systems

    module = systems.load(system)
    if mode == "evidence":
        report: Report = module.evidence(Path(out))
    else:
        report = module.run(module.Config.quick() if mode == "quick" else module.Config(), Path(out), seed=seed)
    return report


def legend_of(predictor: Predictor) -> Legend | None:
    """Names and colours of the classes, where the model carries colours."""
    from swath import cubes

    colours = getattr(predictor, "colours", ())
    return cubes.legend_from_colours(dict(zip(predictor.classes, colours, strict=True))) if colours else None


def physical_cube(scene: xr.DataTree | xr.Dataset | PathLike) -> xr.Dataset:
    """The scene as one aligned cube of physical values."""
    from swath import cubes

    cube = as_cube(scene)
    return cube if cubes.is_physical(cube) else cubes.to_physical(cube)


def as_cube(scene: xr.DataTree | xr.Dataset | PathLike) -> xr.Dataset:
    """The scene as one aligned cube."""
    import xarray as xr

    from swath import cubes

    if isinstance(scene, xr.Dataset):
        return scene
    tree = scene if isinstance(scene, xr.DataTree) else open(scene)
    return cubes.to_cube(tree)


def check_run(out: Path) -> None:
    """A run may begin in a new or empty folder, and goes on in its own."""
    from swath import learn
    from swath.learn.fit import LOG
    from swath.learn.state import STATE
    from swath.learn.training import FEATURES

    if not out.exists() or any((out / name).exists() for name in (STATE, LOG, learn.BEST, learn.LAST, FEATURES)):
        return
    others = [entry.name for entry in out.iterdir() if not entry.name.startswith(".")] if out.is_dir() else None
    if others is None or others:
        held = "a file" if others is None else f"a folder that holds {', '.join(sorted(others)[:3])}, but no run"
        raise ConfigError(
            f"'{out}' is {held}",
            expected="a new folder, an empty one, or that of an unfinished run",
            remedy="choose another folder",
        )
