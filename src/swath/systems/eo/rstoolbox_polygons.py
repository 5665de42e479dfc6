"""Land cover of two Amazon scenes from a few hand-drawn polygons: Sentinel-2 and Landsat 5.

This is the everyday job of somebody who has one scene and some polygons, not a published system. The scenes and
polygons are those of the R package RStoolbox (Mueller et al. 2025, Methods in Ecology and Evolution). Each scene is a
task of its own: half of the polygons of every class, drawn at random, are for training and the others for scoring; a
U-Net, a random forest and the majority class learn from the same labelled pixels and map the whole scene.

How the score is meant: polygons are split whole, because pixels of one polygon are all but copies of each other, and
intervals are over polygons. Test polygons lie in the scene that was learned from, and people draw polygons where the
class is plain to see; the score is about such places in this scene, not about the whole map, nor about other scenes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from swath import chips, cubes, judge, rng
from swath.errors import InputError
from swath.files import make_folder
from swath.judge import Score
from swath.learn import FitConfig, TrainOptions
from swath.learn.segmentation import AugmentOptions, NetworkOptions
from swath.serve import write_layers
from swath.sources.published import rstoolbox
from swath.sources.published.rstoolbox import COLUMN, Place
from swath.systems.eo import _runs
from swath.systems.eo import _scene_parts as parts
from swath.types import IGNORE, DataKind, Picture, Report, ResultRow, Split

SLUG = "rstoolbox_polygons"
TITLE = "Land cover of two Amazon scenes from hand-drawn polygons"
TIER = "supported"
DATA: DataKind = "real"
COLOURS = {"sen2": ("B04", "B03", "B02"), "lsat": ("B3", "B2", "B1")}
NAMES = {"sen2": "Sentinel-2", "lsat": "Landsat 5"}
CREDIT = {"sen2": "Copernicus Sentinel data; RStoolbox", "lsat": "USGS Landsat; RStoolbox"}


class Config(BaseModel):
    """Options; the defaults are what docs/real_scenes.md reports.

    Args:
        root: the data; ``$SWATH_DATA/rstoolbox`` by default.
        miniature: use a made-up miniature tree where the data are absent.
        places: which scenes to map.
        test_share: share of the polygons of each class that are for scoring.
        chip_size: side of a chip in pixels.
        chips: most chips per scene, placed at labelled pixels.
        training: network, loss and training loop.
        trees: trees of the random forest.
        forest_pixels: most training pixels of the forest.
        tile: tile of the prediction in pixels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    root: Path | None = None
    miniature: bool = False
    places: tuple[str, ...] = ("sen2", "lsat")
    test_share: float = Field(default=0.5, gt=0, lt=1)
    chip_size: int = Field(default=32, ge=4)
    chips: int = Field(default=256, ge=1)
    training: TrainOptions = TrainOptions(
        network=NetworkOptions(width=16, depth=2, stem_stride=2, norm="channel"),
        batch_size=16,
        class_balance=0.5,
        label_smoothing=0.05,
        augment=AugmentOptions(brightness=0.0),
        fit=FitConfig(epochs=30, learning_rate=2e-3),
    )
    trees: int = Field(default=200, ge=1)
    forest_pixels: int = Field(default=50_000, ge=2)
    tile: int = Field(default=128, ge=8)

    @classmethod
    def quick(cls) -> Config:
        """A smoke of seconds; its scores mean nothing, and without the data it uses a made-up miniature tree."""
        training = TrainOptions(
            network=NetworkOptions(width=8, depth=1, norm="channel"), batch_size=8, fit=FitConfig(epochs=2)
        )
        return cls(miniature=True, chip_size=16, chips=24, training=training, trees=10, forest_pixels=5_000)


@dataclass(frozen=True)
class Mapped:
    """What came out of one scene."""

    scores: dict[str, Score]
    files: dict[str, Path]
    pictures: tuple[Picture, ...]
    note: str


def run(config: Config, out: Path, seed: int = 0) -> Report:
    """Map and score every scene; each gets a folder with its maps and the ``layers.json`` of its web map.

    Args:
        config: see ``Config``.
        out: folder of the run.
        seed: seed of the split of the polygons, the chips, the initial weights, the data order and the forest.

    Raises:
        MissingError: the data are absent.
        InputError: a file is missing or damaged, or a class has fewer than two polygons.
    """
    timer = judge.Timer()
    make_folder(out)
    fake = rstoolbox.write_fake if config.miniature else None
    root, kind = parts.data_folder(config.root, rstoolbox.NAME, out, write_fake=fake)
    places = [place for place in rstoolbox.open(root) if place.id in config.places]
    done = {place.id: map_place(config, place, out / place.id, seed=seed, kind=kind) for place in places}
    scores = {f"{NAMES[name]}: {who}": score for name, each in done.items() for who, score in each.scores.items()}
    if not scores:
        raise InputError(
            f"{root} holds none of the scenes {', '.join(config.places)}",
            expected=f"some of {', '.join(NAMES)}",
            remedy="check 'places' and 'root'",
        )
    overview = parts.bars(scores, out / "contenders.png", unit="polygons")
    report = Report(
        system=SLUG,
        title=TITLE,
        data=kind,
        rows=tuple(row for each in scores.values() for row in each.rows),
        wall_s=timer.seconds,
        peak_rss_mb=judge.peak_rss_mb(),
        pictures=(overview, *(picture for each in done.values() for picture in each.pictures)),
        files={f"{name} {what}": path for name, each in done.items() for what, path in each.files.items()},
        notes=(f"{parts.KINDS[kind]} Seed {seed}.", *_runs.quick_note(config), *(each.note for each in done.values())),
    )
    judge.write_report(report, out, command=_runs.command(SLUG, config, seed))
    return report


def evidence(out: Path) -> Report:
    """Nothing is registered.

    Raises:
        ConfigError: always.
    """
    raise parts.no_claims(SLUG)


def map_place(config: Config, place: Place, out: Path, *, seed: int, kind: DataKind) -> Mapped:
    """Split the polygons of one scene, learn from one part, map the scene, score on the other part."""
    make_folder(out)
    cube = cubes.to_physical(cubes.to_cube(place.scene())).compute()
    labels, numbers = place.labels(), place.polygon_numbers().values
    split = split_polygons(place.polygons(), numbers, test_share=config.test_share, seed=seed)
    split.save(out / "polygons.parquet")
    train, test = (_only(labels.values, numbers, split, name) for name in ("train", "test"))
    job = parts.Job(
        cube,
        labels.copy(data=train),
        chips.windows_at(train != IGNORE, config.chip_size, config.chips, seed),
        config.chip_size,
        place.legend,
    )
    forest = parts.Forest(config.trees, config.forest_pixels)
    contenders = parts.contenders(job, config.training, forest, out, seed=seed)
    files = parts.draw_maps(contenders, cube, place.legend, out, tile=config.tile)
    facts = ResultRow(
        run_id=f"{SLUG}-{seed}",
        system=SLUG,
        dataset=f"rstoolbox {place.id}",
        data_kind=kind,
        split="test",
        protocol="whole polygons held out",
        bands=",".join(cubes.bands_of(cube).names),
        seed=seed,
        n_train=len(split.ids("train")),
        device="cpu",
        note=f"split {split.hash}",
    )
    scores = {
        name: judge.score_map(
            parts.read_map(path), test, numbers, place.legend.names, facts=replace(facts, backbone=name), unit="polygon"
        )
        for name, path in files.items()
    }
    picture = parts.true_colour(cube, COLOURS[place.id], out / "true_colour.tif")
    pictures = _draw(out, place, picture, (train, test), files, scores)
    _write_map(out, place, cube, labels, files, kind)
    return Mapped(scores, files, pictures, _note(place, split, train, test, scores))


def split_polygons(
    polygons: geopandas.GeoDataFrame, numbers: NDArray[np.integer], *, test_share: float, seed: int
) -> Split:
    """Half or so of the polygons of every class to ``test``, the others to ``train``.

    Args:
        polygons: one row per polygon, with the column ``class``.
        numbers: polygon of each pixel ``(y, x)``, -1 outside; polygons without a pixel are left out.
        test_share: share of the polygons of each class for ``test``; at least one, and one stays for ``train``.
        seed: seed of the draw.

    Returns:
        ``id`` is the number of the polygon.

    Raises:
        InputError: a class has fewer than two polygons on the scene.
    """
    table = pd.DataFrame({"number": np.arange(len(polygons)), "class": polygons[COLUMN].astype(str).to_numpy()})
    table = table[table["number"].isin(np.unique(numbers))]
    table["split"] = "train"
    for name, members in table.groupby("class")["number"]:
        if len(members) < 2:
            raise InputError(
                f"The class '{name}' has {len(members)} polygon on the scene",
                expected="at least two polygons of every class, one to learn from and one to score on",
                remedy="draw more polygons, or leave the class out",
            )
        count = min(max(1, round(test_share * len(members))), len(members) - 1)
        drawn = rng.generator(seed, "polygons", str(name)).permutation(members.to_numpy())[:count]
        table.loc[table["number"].isin(drawn), "split"] = "test"
    ids = table["number"].astype(str)
    split = Split(pd.DataFrame({"id": ids, "split": table["split"], "group": "polygon " + ids, "fold": 0}))
    split.check()
    return split


def _only(labels: NDArray[np.int16], numbers: NDArray[np.integer], split: Split, name: str) -> NDArray[np.int16]:
    """The labels of the polygons of one split, ``IGNORE`` elsewhere."""
    chosen = np.isin(numbers, [int(each) for each in split.ids(name)])
    return np.where(chosen, labels, IGNORE).astype(np.int16)


def _draw(
    out: Path,
    place: Place,
    picture: NDArray[np.uint8],
    labels: tuple[NDArray[np.int16], NDArray[np.int16]],
    files: dict[str, Path],
    scores: dict[str, Score],
) -> tuple[Picture, ...]:
    name, legend = NAMES[place.id], place.legend
    colours = [entry.colour for entry in legend]
    panels: dict[str, NDArray[np.integer]] = {
        f"{name}, true colour": picture,
        "polygons for training": labels[0],
        "polygons for scoring": labels[1],
        "U-Net": parts.read_map(files["unet"]),
        "random forest": parts.read_map(files["random_forest"]),
    }
    maps = judge.map_panels(panels, legend.names, out / "maps.png", colours=colours)
    confusion = judge.confusion_picture(scores["unet"].confusion, out / "confusion.png", f"U-Net, {name}")
    training = judge.training_curve(out / "model" / "log.csv", out / "training.png", f"U-Net, {name}")
    return (
        Picture(maps, f"{name}: the scene, the polygons, and the maps of both contenders."),
        Picture(confusion, f"{name}: where the U-Net errs on the test polygons."),
        Picture(training, f"{name}: training loss of the U-Net."),
    )


def _write_map(
    out: Path, place: Place, cube: xr.Dataset, labels: xr.DataArray, files: dict[str, Path], kind: DataKind
) -> None:
    real, legend = kind == "real", place.legend
    polygons = parts.write_truth(labels.values, cube, legend, out / "polygons.tif")
    layers = (
        parts.class_layer(
            files["unet"], "U-Net", legend, note="Learned from half of the polygons.", shown=True, real=real
        ),
        parts.class_layer(
            files["random_forest"], "Random forest", legend, note="The same training pixels.", shown=False, real=real
        ),
        parts.class_layer(polygons, "Polygons", legend, note="All polygons, train and test.", shown=False, real=real),
        parts.basemap(out / "true_colour.tif", NAMES[place.id], CREDIT[place.id], real=real),
    )
    write_layers(out, layers, f"{NAMES[place.id]}: land cover from polygons")


def _note(
    place: Place, split: Split, train: NDArray[np.int16], test: NDArray[np.int16], scores: dict[str, Score]
) -> str:
    counts = split.counts()
    return (
        f"{NAMES[place.id]}: {counts['train']} polygons ({int((train != IGNORE).sum())} pixels) for training, "
        f"{counts['test']} ({int((test != IGNORE).sum())} pixels) for scoring, split {split.hash}. "
        f"{parts.difference(scores, NAMES[place.id], 'polygons')} Web map: swath serve FOLDER/{place.id}"
    )
