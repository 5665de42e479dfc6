"""Pictures of the chain: one flood as radar sees it and as the models map it, and scores over sizes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray

from swath.files import write_whole
from swath.systems.eo._instageo_archive import LEGEND, FloodArchive
from swath.systems.eo._instageo_deploy import scene_of
from swath.systems.eo._instageo_models import FOREST, TEACHER
from swath.types import ResultRow, Split
from swath.types.report import Picture

STEP = 2
"""Every so many pixels of a scene are shown."""
MAPS = {TEACHER: "teacher", "small_int8": "small student, int8", "narrow_int8": "narrow student, int8"}
"""Titles of the maps that are shown, where they were made."""


def pictures(
    archive: FloodArchive, part: Split, rows: Sequence[ResultRow], out: Path, seed: int
) -> tuple[Picture, ...]:
    """Maps of the first seed and the scores of all.

    Args:
        archive: scenes.
        part: of the first seed.
        rows: of all seeds.
        out: folder of the run.
        seed: the first.
    """
    return (
        Picture(
            maps(archive, part, out / f"seed_{seed}" / "maps", out / "maps.png"), f"A flood of the test (seed {seed})"
        ),
        Picture(sizes(rows, out / "sizes.png"), "Mean IoU on places of the test, and learned numbers"),
    )


def maps(archive: FloodArchive, part: Split, made: Path, path: Path) -> Path:
    """Radar, truth and the maps of teacher and small students side by side."""
    folder, truth = scene_of(archive, part)
    with rasterio.open(folder / "VV.tif") as raster:
        radar = raster.read(1)[::STEP, ::STEP]
    panels: list[tuple[str, NDArray[np.generic]]] = [("Sentinel-1, VV", radar), ("truth", truth[::STEP, ::STEP])]
    for name, title in MAPS.items():
        if not (made / f"{name}.tif").is_file():
            continue
        with rasterio.open(made / f"{name}.tif") as raster:
            panels.append((title, raster.read(1)[::STEP, ::STEP]))
    figure = _figure(3.0 * len(panels), 3.3)
    for axes, (title, values) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        colours = (
            {"cmap": "gray", "vmin": -24, "vmax": -2} if values is radar else {"cmap": _colours(), "vmin": 0, "vmax": 1}
        )
        axes.imshow(values, interpolation="nearest", **colours)
        axes.set_title(title)
        axes.axis("off")
    return write_whole(path, lambda part: figure.savefig(part, format="png", dpi=110))


def sizes(rows: Sequence[ResultRow], path: Path) -> Path:
    """Mean IoU over the number of parameters, means over seeds; taught and untaught, with teacher and forest."""
    means = {key: _means(rows, key) for key in ("miou", "parameters")}
    figure = _figure(5.5, 3.5)
    axes = figure.subplots()
    for name, score in sorted(means["miou"].items()):
        if name in means["parameters"]:
            axes.plot(means["parameters"][name], score, "o")
            axes.annotate(
                name, (means["parameters"][name], score), textcoords="offset points", xytext=(4, 4), fontsize=7
            )
    if FOREST in means["miou"]:
        axes.axhline(means["miou"][FOREST], color="grey", linestyle="--", label="forest")
        axes.legend()
    axes.set_xscale("log")
    axes.set_xlabel("learned numbers")
    axes.set_ylabel("mean IoU")
    return write_whole(path, lambda part: figure.savefig(part, format="png", dpi=110))


def _means(rows: Sequence[ResultRow], metric: str) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for row in rows:
        if row.metric == metric and row.backbone and row.value is not None:
            found.setdefault(row.backbone, []).append(row.value)
    return {name: float(np.mean(values)) for name, values in found.items()}


def _figure(width: float, height: float):  # type: ignore[no-untyped-def]  # matplotlib comes when it is needed
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _colours():  # type: ignore[no-untyped-def]  # as above
    from matplotlib.colors import ListedColormap

    return ListedColormap([entry.colour for entry in LEGEND])
