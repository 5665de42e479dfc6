"""Pictures, notes and web-map layers of the planet demonstration."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import rasterio
import xarray as xr

from swath import cubes, judge
from swath.chips import ChipSet
from swath.cubes import Legend
from swath.files import make_folder
from swath.judge import Score
from swath.predict import PredictionReport
from swath.serve import Layer, LegendEntry, write_layers
from swath.types import IGNORE, Picture, Split

EXTENT = (-180.0, 180.0, -90.0, 90.0)
DEGREE_KM = 40_008 / 360  # of a meridian
SHOWN = 3  # every third cell of the globe is drawn in the report
CREDIT = "NASA Blue Marble; MODIS MCD12C1; swath"


def draw(out: Path, labels: xr.DataArray, chipset: ChipSet, scores: Mapping[str, Score]) -> tuple[Picture, ...]:
    """The pictures of the report.

    Args:
        out: folder of the run, with ``prediction.tif`` and ``model/log.csv``.
        labels: truth ``(y, x)``.
        chipset: gives classes and colours.
        scores: score of each contender.
    """
    folder = make_folder(out / "pictures")
    legend = chipset.legend
    colours = [entry.colour for entry in legend]
    with rasterio.open(out / "prediction.tif") as raster:
        predicted = raster.read(1, out_shape=(raster.height // SHOWN, raster.width // SHOWN)).astype(np.int64)
        nodata = raster.nodata
    land = labels.values[SHOWN // 2 :: SHOWN, SHOWN // 2 :: SHOWN][: predicted.shape[0], : predicted.shape[1]]
    shown = np.where((predicted == nodata) | (land == IGNORE), IGNORE, predicted)
    bars = [row for each in scores.values() for row in each.rows if row.metric == "miou" and row.class_name is None]
    made = [
        Picture(
            judge.class_map(
                shown, legend.names, folder / "prediction.png", colours=colours, title="predicted", extent=EXTENT
            ),
            "Land cover as the U-Net maps it, on labelled land. Learned on Africa, Asia, Europe and Oceania; the "
            f"Americas were never seen. Real data, {cells(labels)}.",
        ),
        Picture(
            judge.class_map(
                land.astype(np.int64),
                legend.names,
                folder / "truth.png",
                colours=colours,
                title="MODIS IGBP 2019, seven classes",
                extent=EXTENT,
            ),
            f"The labels: MODIS land cover, {cells(labels)}. Water and towns are ignored, Antarctica and Greenland are "
            "left out.",
        ),
        Picture(
            judge.contender_bars(
                [row.backbone or "" for row in bars],
                [row.value for row in bars],
                [row.ci_low for row in bars],
                [row.ci_high for row in bars],
                folder / "contenders.png",
                label="mIoU on the Americas (95 % interval over chips)",
            ),
            "All contenders on the same test chips. Real data, one seed; intervals over chips.",
        ),
        Picture(
            judge.confusion_picture(scores["unet"].confusion, folder / "confusion.png", "U-Net on the Americas"),
            "Where the U-Net errs on the Americas.",
        ),
        Picture(
            judge.training_curve(out / "model" / "log.csv", folder / "training.png", "training of the U-Net"),
            "Loss, and scores on validation blocks of the training continents.",
        ),
    ]
    return tuple(made)


def cells(labels: xr.DataArray) -> str:
    """The size of the cells in words."""
    degrees = abs(float(labels.odc.geobox.affine.e))
    return f"{degrees:g}-degree cells ({degrees * DEGREE_KM:.0f} km from north to south)"


def notes(split: Split, maps: PredictionReport, seed: int) -> tuple[str, ...]:
    """What a reader of the report has to know."""
    counts = ", ".join(f"{name} {count}" for name, count in split.counts().items())
    areas = ", ".join(f"{name} {area / 1e6:.1f}" for name, area in maps.area_km2.items())
    return (
        f"Real data, seed {seed}. Chips: {counts}; split {split.hash}.",
        "Learned on Africa, Asia, Europe and Oceania, scored on the Americas; training chips within two chip widths of "
        "a test chip are not used. Intervals are over chips of this one seed, not over seeds.",
        "Mapped areas in million square kilometres (counted pixels of land, Antarctica included; not an estimate): "
        f"{areas}.",
        "Class areas of a map are biased by its errors; an estimate needs a design-based correction.",
    )


def write_map(out: Path, folder: Path, labels: xr.DataArray, legend: Legend) -> Path:
    """``layers.json`` and the rasters it names, for ``swath serve``.

    Args:
        out: folder of the run, with ``prediction.tif`` and ``prediction_confidence.tif``.
        folder: the planet; its colour image becomes the basemap.
        labels: truth ``(y, x)``.
        legend: classes and colours.
    """
    _link(folder / "true_colour.tif", out / "basemap.tif")
    cubes.write_cog(
        out / "truth.tif",
        np.where(labels.values == IGNORE, 255, labels.values).astype(np.uint8)[None],
        labels.odc.geobox,
        names=("land cover",),
        nodata=255,
        legend=legend,
    )
    entries = tuple(LegendEntry(value=e.value, name=e.name, colour=e.colour) for e in legend)
    layers = (
        Layer(
            id="prediction",
            title="Predicted land cover",
            path="prediction.tif",
            kind="categorical",
            legend=entries,
            opacity=0.85,
            attribution=CREDIT,
            note="U-Net, learned on Africa, Asia, Europe and Oceania; the Americas were never seen.",
        ),
        Layer(
            id="truth",
            title="MODIS land cover 2019",
            path="truth.tif",
            kind="categorical",
            legend=entries,
            opacity=0.85,
            visible=False,
            attribution=CREDIT,
            note="The labels; water and towns are ignored, Antarctica and Greenland left out.",
        ),
        Layer(
            id="confidence",
            title="Confidence of the prediction",
            path="prediction_confidence.tif",
            kind="continuous",
            minimum=0.0,
            maximum=1.0,
            colormap="cividis",
            opacity=0.8,
            visible=False,
            attribution=CREDIT,
            note="Largest class probability as the network gives it; it is not calibrated for continents never seen.",
        ),
        Layer(id="earth", title="Blue Marble", path="basemap.tif", kind="colour", role="basemap", attribution=CREDIT),
    )
    return write_layers(out, layers, "Land cover of the real Earth")


def _link(source: Path, target: Path) -> None:
    """A hard link where the file system allows, else a copy; the map needs its rasters inside its own folder."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
