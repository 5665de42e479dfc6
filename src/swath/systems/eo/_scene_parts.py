"""What the systems that map one real scene share: data folder, contenders, maps, pictures and web-map layers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import rasterio
import xarray as xr
from numpy.typing import NDArray

from swath import chips, cubes, judge, learn, predict
from swath.chips import ChipLoader, ChipSet, DropRules
from swath.cubes import Legend
from swath.errors import ConfigError, MissingError
from swath.judge import ForestOptions, MajorityClass, PixelSampling, RandomForest, Score
from swath.learn import TrainOptions
from swath.serve import Layer, LegendEntry
from swath.types import IGNORE, Batch, DataKind, Picture, Predictor, Split

VARIABLE = "SWATH_DATA"
NODATA = 255
LARGE = 128  # side of the chips that show every pixel once; few files, few cut windows of mean features
NO_DROP = DropRules(min_valid=0.0, min_labelled=0.0)
KINDS: dict[DataKind, str] = {
    "real": "The data are real.",
    "simulated": "The data are simulated.",
    "fixture": "The data are a made-up miniature tree.",
}


@dataclass(frozen=True)
class Forest:
    """Size of the random forest.

    Args:
        trees: number of trees.
        pixels: most training pixels.
        window: side of the window whose mean per band is a feature beside the pixel itself.
    """

    trees: int
    pixels: int
    window: int = 5


@dataclass(frozen=True)
class Job:
    """One scene to learn from.

    Args:
        cube: physical values ``(1, band, y, x)``.
        labels: training labels ``(y, x)``, ``IGNORE`` everywhere else.
        windows: where the chips of the network are cut, int64 ``(N, 2)``.
        size: chip size in pixels.
        legend: the classes.
    """

    cube: xr.Dataset
    labels: xr.DataArray
    windows: NDArray[np.int64]
    size: int
    legend: Legend


def data_folder(
    root: Path | None, name: str, out: Path, *, write_fake: Callable[[Path, int], Path] | None
) -> tuple[Path, DataKind]:
    """Where the data lie, and whether they are real.

    Args:
        root: the folder that the user named, or None for ``$SWATH_DATA/name``.
        name: folder of the data set below ``$SWATH_DATA``.
        out: folder of the run; a made-up tree goes into its folder ``fake``.
        write_fake: writes a miniature tree where the real one is absent; None to insist on the real one.

    Raises:
        MissingError: the folder is absent and ``write_fake`` is None.
    """
    if root is not None:
        return root, "real"
    told = os.environ.get(VARIABLE)
    folder = Path(told) / name if told else None
    if folder is not None and folder.is_dir():
        return folder, "real"
    if write_fake is not None:
        return write_fake(out / "fake", 0), "fixture"
    raise MissingError(
        f"${VARIABLE} is not set" if folder is None else f"There is no directory {folder} (${VARIABLE}/{name})",
        expected=f"the data set '{name}' as its authors ship it",
        remedy=f"set {VARIABLE} to the directory that holds it, or try the made-up miniature with --quick",
    )


def contenders(job: Job, training: TrainOptions, forest: Forest, out: Path, *, seed: int) -> dict[str, Predictor]:
    """U-Net, random forest and majority class, fitted on the same labelled pixels of one scene.

    The network learns from overlapping chips, the others from a grid of chips that shows them every pixel once. There
    are no validation chips; the network's averaged weights of the last epoch are kept.

    Args:
        job: scene, labels and chips.
        training: network, loss and training loop.
        forest: size of the random forest.
        out: folder for chips and model.
        seed: seed of initial weights, data order and forest.
    """
    chipset = chips.cut(
        job.cube, job.labels, out / "chips", size=job.size, legend=job.legend, windows=job.windows, drop=NO_DROP
    )
    split = all_for_training(chipset.ids)
    split.save(chipset.folder / "split.parquet")
    chips.statistics(chipset, split).save(chipset.folder / "statistics.json")
    model = learn.train_segmentation(chipset, split, training, out / "model", seed=seed)
    shape = job.labels.shape[0], job.labels.shape[1]
    grid = chips.grid_windows(shape, LARGE, edge="pad")
    once = chips.cut(job.cube, job.labels, out / "pixels", size=LARGE, legend=job.legend, windows=grid, drop=NO_DROP)
    inputs = {"image": once.bands}
    options = ForestOptions(
        trees=forest.trees,
        min_samples_leaf=1,
        mean_bands=once.bands.names,
        window=forest.window,
        sampling=PixelSampling(max_pixels=forest.pixels),
    )
    return {
        "unet": model,
        "random_forest": RandomForest(inputs, once.classes, options, seed).fit(_batches(once)),
        "majority": MajorityClass(inputs, once.classes).fit(_batches(once)),
    }


def all_for_training(ids: Sequence[str]) -> Split:
    """A split in which every chip is for training; the test area was never cut."""
    return Split(pd.DataFrame({"id": list(ids), "split": "train", "group": list(ids), "fold": 0}))


def draw_maps(
    known: Mapping[str, Predictor], cube: xr.Dataset, legend: Legend, out: Path, *, tile: int, prefix: str = ""
) -> dict[str, Path]:
    """Map the scene with every contender: ``PREFIXmap_NAME.tif`` with its QGIS style, and the confidence of each.

    Returns:
        file of each contender's class map.
    """
    found = {}
    for name, contender in known.items():
        path = out / f"{prefix}map_{name}.tif"
        outputs = ("class", "confidence")
        predict.predict_scene(
            contender, cube, path, tile=tile, overlap=tile // 4, outputs=outputs, legend=legend, progress=False
        )
        found[name] = path
    return found


def read_map(path: Path) -> NDArray[np.int64]:
    """The classes of a map ``(y, x)``, ``IGNORE`` where it has none."""
    with rasterio.open(path) as raster:
        values = raster.read(1).astype(np.int64)
        return np.where(values == raster.nodata, IGNORE, values)


def true_colour(cube: xr.Dataset, bands: Sequence[str], path: Path) -> NDArray[np.uint8]:
    """Write three bands as an 8-bit COG, stretched from the 2nd to the 98th percentile; 0 is no data.

    Returns:
        the picture ``(y, x, 3)``.
    """
    chosen = cube.isel(time=0).sel(band=list(bands)).compute()
    values = chosen["data"].values.astype(np.float64)
    valid = np.broadcast_to(chosen["valid"].values, values.shape).all(axis=0)
    cubes.require_valid(cube)
    low, high = np.percentile(values[:, valid], [2, 98], axis=1)[..., None, None]
    scaled = np.clip((np.where(valid, values, low) - low) / np.maximum(high - low, 1e-9), 0, 1)
    picture = np.where(valid, 1 + np.rint(254 * scaled), 0).astype(np.uint8)
    cubes.write_cog(path, picture, cubes.geobox_of(cube), names=("red", "green", "blue"), nodata=0)
    return np.moveaxis(picture, 0, -1)


def write_truth(labels: NDArray[np.integer], cube: xr.Dataset, legend: Legend, path: Path) -> Path:
    """Labels as a COG with colours."""
    stored = np.where(labels == IGNORE, NODATA, labels).astype(np.uint8)[None]
    return cubes.write_cog(path, stored, cubes.geobox_of(cube), names=("class",), nodata=NODATA, legend=legend)


def class_layer(path: Path, title: str, legend: Legend, *, note: str, shown: bool, real: bool) -> Layer:
    """A map of classes for the web map; the file's name gives the id."""
    entries = tuple(LegendEntry(value=entry.value, name=entry.name, colour=entry.colour) for entry in legend)
    return Layer(
        id=path.stem,
        title=title,
        path=path.name,
        kind="categorical",
        legend=entries,
        opacity=0.8,
        visible=shown,
        note=note,
        data="real" if real else "simulated",
    )


def basemap(path: Path, title: str, attribution: str, *, real: bool) -> Layer:
    """The scene in true colour, below all other layers."""
    return Layer(
        id=path.stem,
        title=title,
        path=path.name,
        kind="colour",
        role="basemap",
        attribution=attribution,
        data="real" if real else "simulated",
    )


def bars(scores: Mapping[str, Score], path: Path, *, unit: str) -> Picture:
    """The mean IoU of all contenders with intervals over units."""
    rows = {name: next(row for row in each.rows if row.metric == "miou") for name, each in scores.items()}
    drawn = judge.contender_bars(
        list(rows),
        [row.value for row in rows.values()],
        [row.ci_low for row in rows.values()],
        [row.ci_high for row in rows.values()],
        path,
        label=f"mIoU (95 % interval over {unit})",
    )
    return Picture(drawn, f"All contenders on the same test pixels; intervals over {unit}, one seed.")


def difference(scores: Mapping[str, Score], place: str, unit: str) -> str:
    """One sentence: mIoU of the U-Net minus that of the forest on the same units, with a paired interval."""
    gap = judge.compare(scores["unet"], scores["random_forest"], "miou")
    return (
        f"{place}: mIoU of the U-Net minus that of the forest {float(gap.estimate):+.3f} "
        f"[{float(gap.low):+.3f} to {float(gap.high):+.3f}], paired over {gap.units} {unit}, one seed."
    )


def no_claims(slug: str) -> ConfigError:
    """The error of ``evidence`` for a system without a registered claim."""
    return ConfigError(
        f"Nothing is registered for '{slug}'",
        expected="a system with a registration in claims/",
        remedy=f"run it without --evidence: swath run {slug}; 'swath claims' lists what is registered",
    )


def _batches(chipset: ChipSet) -> Iterator[Batch]:
    return ChipLoader(chipset, chipset.ids, batch_size=16, seed=0, shuffle=False).epoch(0)
