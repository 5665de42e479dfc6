"""The verbs of the front door: the same job in Python as on the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from swath.errors import ConfigError, InputError

if TYPE_CHECKING:
    import xarray as xr

    from swath.chips import ChipSet
    from swath.cubes import Legend
    from swath.judge import Score
    from swath.learn import SegmentationTask
    from swath.predict import PredictionReport
    from swath.types import Predictor, Report

PathLike = Path | str
RASTERS = frozenset({".tif", ".tiff", ".nc", ".zarr", ".vrt", ".jp2"})


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
    labels: PathLike | xr.DataArray,
    out: PathLike,
    *,
    column: str | None = None,
    legend: PathLike | Mapping[int, str] | None = None,
    size: int = 64,
    stride: int | None = None,
    block: int = 2,
    buffer: float = 0.0,
    seed: int = 0,
) -> ChipSet:
    """Cut a scene and its labels into chips, split them by spatial block, and measure the train split.

    Args:
        scene: an opened scene, an aligned cube, or a path.
        labels: polygons, a label raster, or labels on a grid.
        out: folder for the chips.
        column: column of the polygons that holds the class.
        legend: value to name for a label raster (a mapping or a YAML file).
        size: chip size in pixels.
        stride: step between chips; the chip size by default.
        block: blocks of this many chips stay together in one split.
        buffer: distance between splits in chip widths; chips closer than that are not used.
        seed: seed of the split.

    Raises:
        InputError: scene and labels do not overlap, a label is outside the legend, or nothing is left to cut.
    """
    from swath import chips as room
    from swath import cubes

    cube = as_cube(scene)
    raster, classes = _labels_on(cube, labels, column, legend)
    if not cubes.is_physical(cube):
        cube = cubes.to_physical(cube)
    cubes.check_physical(cube)
    chipset = room.cut(cube, raster, Path(out), size=size, stride=stride, legend=classes)
    split = room.split_by_block(chipset, block_chips=block, buffer_chips=buffer, seed=seed)
    split.save(chipset.folder / "split.parquet")
    room.statistics(chipset, split).save(chipset.folder / "statistics.json")
    return chipset


def load(path: PathLike) -> SegmentationTask:
    """Load a trained model; the training options are not needed.

    Args:
        path: the folder of a run (its best model is taken, else its last), or of one model in it.

    Raises:
        InputError: there is no checkpoint, or it is damaged or newer than this version.
    """
    from swath import learn

    folder = Path(path)
    inside = [folder / name for name in (learn.BEST, learn.LAST) if (folder / name).is_dir()]
    return learn.load_checkpoint(inside[0] if inside else folder)


def fit(
    chips: ChipSet | PathLike,
    out: PathLike,
    *,
    config: PathLike | Mapping[str, Any] | None = None,
    epochs: int | None = None,
    learning_rate: float | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    progress: bool = True,
) -> SegmentationTask:
    """Train a segmentation model on a chip set; calling it again on an unfinished run resumes it.

    Args:
        chips: a chip set or its folder.
        out: folder of the run.
        config: options as a mapping or a YAML file; unknown keys are errors.
        epochs: passes over the training chips; beats ``config``.
        learning_rate: peak learning rate; beats ``config``.
        batch_size: chips per step; beats ``config``.
        seed: seed of initialisation, data order and augmentation.
        progress: show a progress bar.

    Raises:
        ConfigError: an unknown or impossible option.
        InputError: the chip set is empty or holds one class only.
    """
    from swath import chips as room
    from swath import learn, types

    chipset = room.open(Path(chips)) if isinstance(chips, Path | str) else chips
    options = learn.read_options(config, epochs=epochs, learning_rate=learning_rate, batch_size=batch_size)
    split = types.Split.load(chipset.folder / "split.parquet")
    return learn.train_segmentation(chipset, split, options, Path(out), seed=seed, progress=progress)


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
) -> PredictionReport:
    """Map a scene of any size; memory depends on the tile, not on the scene.

    Args:
        model: anything that predicts, or the folder of a trained model.
        scene: an opened scene, an aligned cube, or a path.
        out: GeoTIFF to write; further outputs get their name as a suffix.
        tile: tile size in pixels.
        overlap: overlap of neighbouring tiles in pixels, at most half a tile.
        outputs: any of ``class``, ``probability``, ``confidence``, ``entropy``.
        strict: a pixel is no data as soon as one wanted band is invalid there; otherwise when all are.
        progress: show a progress bar.
    """
    from swath import cubes
    from swath import predict as room

    predictor = load(model) if isinstance(model, Path | str) else model
    cube = as_cube(scene)
    if not cubes.is_physical(cube):
        cube = cubes.to_physical(cube)
    return room.predict_scene(
        predictor,
        cube,
        Path(out),
        tile=tile,
        overlap=overlap,
        outputs=outputs,
        strict=strict,
        legend=legend_of(predictor),
        progress=progress,
    )


def score(model: Predictor | PathLike, chips: ChipSet | PathLike, *, split: str = "test") -> Score:
    """Score a model on one split of a chip set, with bootstrap intervals over chips.

    Raises:
        InputError: the split is empty.
    """
    from swath import chips as room
    from swath import judge, types

    predictor = load(model) if isinstance(model, Path | str) else model
    chipset = room.open(Path(chips)) if isinstance(chips, Path | str) else chips
    table = types.Split.load(chipset.folder / "split.parquet")
    ids = table.ids(split)
    if not ids:
        raise InputError(
            f"The split '{split}' of {chipset.folder} is empty",
            expected=f"one of {', '.join(table.counts())}",
            remedy="choose another split, or cut more chips",
        )
    loader = room.ChipLoader(chipset, ids, batch_size=32, seed=0, shuffle=False)
    return judge.score(predictor, loader, system="evaluate", dataset=str(chipset.folder.name), split=split)


def serve(folder: PathLike, *, host: str = "127.0.0.1", port: int = 8000) -> None:
    """Show the layers of a folder in the browser until stopped.

    Raises:
        ResourceError: the port is in use.
        InputError: the folder holds no layers.
    """
    from swath import serve as room

    room.run(Path(folder), host=host, port=port)


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


def as_cube(scene: xr.DataTree | xr.Dataset | PathLike) -> xr.Dataset:
    """The scene as one aligned cube."""
    import xarray as xr

    from swath import cubes

    if isinstance(scene, xr.Dataset):
        return scene
    tree = scene if isinstance(scene, xr.DataTree) else open(scene)
    return cubes.to_cube(tree)


def _labels_on(
    cube: xr.Dataset, labels: PathLike | xr.DataArray, column: str | None, legend: PathLike | Mapping[int, str] | None
) -> tuple[xr.DataArray, Legend]:
    """Labels on the grid of the cube, and their legend."""
    import xarray as xr

    from swath import cubes

    if isinstance(labels, xr.DataArray) or Path(labels).suffix.lower() in RASTERS:
        if legend is None:
            raise ConfigError(
                "Labels were given as a raster without a legend",
                expected="a legend that names every label value",
                remedy="pass --legend FILE.yaml with lines such as '1: forest'",
            )
        names = legend if isinstance(legend, Mapping) else _read_legend(Path(legend))
        raster = labels if isinstance(labels, xr.DataArray) else cubes.read_labels(Path(labels))
        return raster, cubes.Legend.from_names(names)
    if column is None:
        raise ConfigError(
            f"No column was named for the polygons in {labels}",
            expected="the column that holds the class",
            remedy="pass --column NAME",
        )
    values = cubes.vector_classes(Path(labels), column)
    codes = {name: code for code, name in enumerate(values)}
    raster = cubes.rasterise(Path(labels), cube.odc.geobox, column=column, legend=codes)
    return raster, cubes.Legend.from_names({code: name for name, code in codes.items()})


def _read_legend(path: Path) -> dict[int, str]:
    """A YAML file of 'value: name'."""
    import yaml

    if not path.exists():
        raise InputError(f"There is no legend {path}", expected="a YAML file", remedy="write lines such as '1: forest'")
    content = yaml.safe_load(path.read_text())
    if not isinstance(content, dict) or not all(isinstance(key, int) for key in content):
        raise InputError(
            f"The legend {path} is not a mapping of whole numbers to names",
            expected="lines such as '1: forest'",
            remedy="correct the file",
        )
    return {int(key): str(name) for key, name in content.items()}
