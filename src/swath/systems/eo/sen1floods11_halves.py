"""Flood water on one half of a Sen1Floods11 chip, learned on the other half: radar, optical, and both together.

This is the everyday job of somebody with one labelled flood scene, not a published system. The chip and its hand-drawn
labels are those of Bonafilia et al. 2020 (Sen1Floods11, CVPR Workshops). A U-Net, a random forest and the majority
class learn on one half of the chip and map the other; a strip between the halves plays no part, so that no window of
the training half touches what is scored. All this is done for Sentinel-1 (two bands), Sentinel-2 (13 bands), and the
stack of both on their shared grid (15 bands).

How the score is meant: intervals are over blocks of the scored half, never over pixels, but blocks of one flood on one
day are not independent either. One chip says how well a half is continued, nothing about other floods.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from swath import chips, cubes, judge
from swath.errors import ConfigError, InputError, nearest
from swath.files import make_folder
from swath.judge import Score
from swath.learn import FitConfig, TrainOptions
from swath.learn.segmentation import AugmentOptions, NetworkOptions
from swath.sensors import BandSet
from swath.serve import write_layers
from swath.sources.published import sen1floods11
from swath.sources.published.common import one_cube
from swath.sources.published.sen1floods11 import LEGEND, Chip
from swath.systems.eo import _runs
from swath.systems.eo import _scene_parts as parts
from swath.types import DataKind, Picture, Report, ResultRow

SLUG = "sen1floods11_halves"
TITLE = "Flood water on the other half of a scene: radar, optical, both"
TIER = "supported"
DATA: DataKind = "real"
FOLDER = "sen1floods11_sample"
CREDIT = "Copernicus Sentinel data; Sen1Floods11"
Side = Literal["left", "right", "top", "bottom"]


class Config(BaseModel):
    """Options; the defaults are what docs/real_scenes.md reports.

    Args:
        root: the data; ``$SWATH_DATA/sen1floods11_sample`` by default.
        miniature: use a made-up miniature tree where the data are absent.
        chip: which chip of the data set, such as ``Spain_7370579``; the first by default.
        train_on: the half to learn from; the opposite one is mapped and scored.
        buffer: width in pixels of the strip between the halves.
        inputs: which inputs to compare.
        chip_size: side of a training window in pixels.
        chips: number of training windows.
        block: side in pixels of the blocks that intervals run over.
        training: network, loss and training loop.
        trees: trees of the random forest.
        forest_pixels: most training pixels of the forest.
        tile: tile of the prediction in pixels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    root: Path | None = None
    miniature: bool = False
    chip: str | None = None
    train_on: Side = "left"
    buffer: int = Field(default=64, ge=0)
    inputs: tuple[Literal["S1", "S2", "S1+S2"], ...] = ("S1", "S2", "S1+S2")
    chip_size: int = Field(default=64, ge=4)
    chips: int = Field(default=128, ge=1)
    block: int = Field(default=64, ge=1)
    training: TrainOptions = TrainOptions(
        network=NetworkOptions(width=16, depth=2, stem_stride=2, norm="channel"),
        batch_size=8,
        class_balance=0.0,
        label_smoothing=0.0,
        augment=AugmentOptions(brightness=0.0),
        fit=FitConfig(epochs=20, learning_rate=2e-3),
    )
    trees: int = Field(default=100, ge=1)
    forest_pixels: int = Field(default=50_000, ge=2)
    tile: int = Field(default=128, ge=8)

    @classmethod
    def quick(cls) -> Config:
        """A smoke of seconds; its scores mean nothing, and without the data it uses a made-up miniature tree."""
        training = TrainOptions(
            network=NetworkOptions(width=8, depth=1, norm="channel"), batch_size=8, fit=FitConfig(epochs=1)
        )
        return cls(
            miniature=True, buffer=8, chip_size=8, chips=16, block=4, training=training, trees=5, forest_pixels=2_000
        )


@dataclass(frozen=True)
class Halves:
    """The two halves of a scene as slices of rows and columns.

    Args:
        train: rows and columns to learn from.
        test: rows and columns to map and score.
    """

    train: tuple[slice, slice]
    test: tuple[slice, slice]


@dataclass(frozen=True)
class Setting:
    """What all inputs of one run share.

    Args:
        config: options.
        out: folder of the run.
        labels: hand-drawn labels ``(y, x)``.
        halves: where to learn and where to score.
        kind: whether the data are real.
        seed: seed of the run.
    """

    config: Config
    out: Path
    labels: xr.DataArray
    halves: Halves
    kind: DataKind
    seed: int


def run(config: Config, out: Path, seed: int = 0) -> Report:
    """Learn on one half, map and score the other, with every input; one ``layers.json`` shows all maps.

    Args:
        config: see ``Config``.
        out: folder of the run; each input gets a folder for its chips and model.
        seed: seed of the training windows, the initial weights, the data order and the forest.

    Raises:
        MissingError: the data are absent.
        InputError: a file is missing or damaged, there is no such chip, or the grids of both sensors differ.
        ConfigError: the halves are smaller than a training window.
    """
    timer = judge.Timer()
    make_folder(out)
    fake = sen1floods11.write_fake if config.miniature else None
    root, kind = parts.data_folder(config.root, FOLDER, out, write_fake=fake)
    chip = choose(sen1floods11.open(root), config.chip)
    scenes, labels = inputs_of(chip), chip.labels()
    halves = cut_in_halves((labels.shape[0], labels.shape[1]), config.train_on, config.buffer, config.chip_size)
    setting = Setting(config, out, labels, halves, kind, seed)
    scores: dict[str, Score] = {}
    files: dict[str, Path] = {}
    gaps: list[str] = []
    for name in config.inputs:
        found, maps = one_input(setting, scenes[name], name, chip.id)
        scores |= {f"{name}: {who}": each for who, each in found.items()}
        gaps.append(parts.difference(found, name, "blocks"))
        files |= {f"{name}: {who}": path for who, path in maps.items()}
    report = Report(
        system=SLUG,
        title=TITLE,
        data=kind,
        rows=tuple(row for each in scores.values() for row in each.rows),
        wall_s=timer.seconds,
        peak_rss_mb=judge.peak_rss_mb(),
        pictures=_show(setting, scenes["S2"], files, scores),
        files=files,
        notes=(
            f"{parts.KINDS[kind]} Seed {seed}. Learned on the {config.train_on} half of {chip.id}, scored on the "
            f"other; {config.buffer} pixels between them play no part.",
            *_runs.quick_note(config),
            f"Intervals are over blocks of {config.block} x {config.block} pixels of one flood on one day; "
            "neighbouring blocks are alike, so the intervals are rather too narrow.",
            *gaps,
            "Web map: swath serve FOLDER",
        ),
    )
    judge.write_report(report, out, command=_runs.command(SLUG, config, seed))
    return report


def evidence(out: Path) -> Report:
    """Nothing is registered.

    Raises:
        ConfigError: always.
    """
    raise parts.no_claims(SLUG)


def choose(known: tuple[Chip, ...], name: str | None) -> Chip:
    """The chip called ``name``, or the first.

    Raises:
        InputError: no chip is called so.
    """
    found = [chip for chip in known if name is None or chip.id == name]
    if not found:
        names = [chip.id for chip in known]
        raise InputError(
            f"There is no chip '{name}'",
            expected=f"one of {len(names)} chips, such as {names[0]}",
            remedy=f"the nearest names are: {nearest(str(name), names)}",
        )
    return found[0]


def inputs_of(chip: Chip) -> dict[str, xr.Dataset]:
    """Radar in dB, optical reflectance, and the stack of both, as cubes in physical units.

    Raises:
        InputError: the two sensors lie on different grids.
    """
    radar, optical = one_cube(chip.radar()), cubes.to_physical(one_cube(chip.optical()))
    return {"S1": radar.compute(), "S2": optical.compute(), "S1+S2": stack(radar, optical).compute()}


def stack(first: xr.Dataset, second: xr.Dataset) -> xr.Dataset:
    """The bands of two cubes of one date and grid as one cube; it keeps the date and attributes of the second.

    Raises:
        InputError: the grids differ.
    """
    boxes = [cubes.geobox_of(cube) for cube in (first, second)]
    if not cubes.same_grid(*boxes):
        raise InputError(
            f"The cubes lie on different grids ({boxes[0].shape.yx} and {boxes[1].shape.yx} pixels)",
            expected="one grid for both",
            remedy="bring them onto one grid with cubes.to_cube(scene, geobox=...)",
        )
    bands = BandSet((*cubes.bands_of(first), *cubes.bands_of(second)))
    masks = [
        da.broadcast_to(
            cube["valid"].data if cube["valid"].ndim == 4 else cube["valid"].data[:, None], cube["data"].shape
        )
        for cube in (first, second)
    ]
    return cubes.make_cube(
        da.concatenate([first["data"].data, second["data"].data], axis=1).astype(np.float32),
        da.concatenate(masks, axis=1),
        boxes[1],
        bands,
        time=second["time"].values,
        scale=[1.0] * len(bands),
        offset=[0.0] * len(bands),
        stored=False,
        attrs={key: value for key, value in second.attrs.items() if key not in ("sensor", "level", "unit")},
    )


def cut_in_halves(shape: tuple[int, int], train_on: Side, buffer: int, chip_size: int) -> Halves:
    """Two halves with a strip between them.

    Args:
        shape: rows and columns.
        train_on: the side to learn from.
        buffer: width of the strip in pixels.
        chip_size: least size of a half.

    Raises:
        ConfigError: a half would be smaller than a training window.
    """
    across = train_on in ("left", "right")
    length = shape[1] if across else shape[0]
    first, second = slice(0, (length - buffer) // 2), slice((length - buffer) // 2 + buffer, length)
    if first.stop < chip_size or min(shape) < chip_size:
        raise ConfigError(
            f"A scene of {shape[0]} x {shape[1]} pixels leaves {max(first.stop, 0)} pixels beside a strip of {buffer}",
            expected=f"room for training windows of {chip_size} pixels",
            remedy="make 'buffer' or 'chip_size' smaller",
        )
    ordered = (first, second) if train_on in ("left", "top") else (second, first)
    train, test = ((slice(None), part) if across else (part, slice(None)) for part in ordered)
    return Halves(train, test)


def block_numbers(shape: tuple[int, int], side: int) -> NDArray[np.int64]:
    """The number of the block of ``side`` x ``side`` pixels that each pixel ``(y, x)`` lies in, row by row."""
    rows, columns = np.arange(shape[0])[:, None] // side, np.arange(shape[1])[None] // side
    return rows * -(-shape[1] // side) + columns


def one_input(setting: Setting, cube: xr.Dataset, name: str, dataset: str) -> tuple[dict[str, Score], dict[str, Path]]:
    """Train, map and score the contenders on one kind of input.

    Args:
        setting: what all inputs share.
        cube: the whole scene, physical values.
        name: name of the input, such as ``S1+S2``.
        dataset: name of the scene in the rows.

    Returns:
        score and map of each contender.
    """
    config, folder = setting.config, name.lower().replace("+", "_")
    (rows, columns), (test_rows, test_columns) = setting.halves.train, setting.halves.test
    own, truth = setting.labels[rows, columns], setting.labels[test_rows, test_columns].values
    size = config.chip_size
    windows = chips.random_windows((own.shape[0], own.shape[1]), size, _most(own, config), setting.seed)
    job = parts.Job(cube.isel(y=rows, x=columns), own, windows, size, LEGEND)
    forest = parts.Forest(config.trees, config.forest_pixels)
    contenders = parts.contenders(job, config.training, forest, setting.out / folder, seed=setting.seed)
    mapped = cube.isel(y=test_rows, x=test_columns)
    files = parts.draw_maps(contenders, mapped, LEGEND, setting.out, tile=config.tile, prefix=f"{folder}_")
    facts = ResultRow(
        run_id=f"{SLUG}-{setting.seed}",
        system=SLUG,
        dataset=dataset,
        data_kind=setting.kind,
        split="test",
        protocol=f"{name}, opposite halves",
        modality_deployed=name,
        bands=",".join(cubes.bands_of(cube).names),
        seed=setting.seed,
        n_train=len(windows),
        device="cpu",
        note=f"learned on the {config.train_on} half, {config.buffer} pixels between the halves",
    )
    units = block_numbers((truth.shape[0], truth.shape[1]), config.block)
    scores = {
        who: judge.score_map(
            parts.read_map(path), truth, units, LEGEND.names, facts=replace(facts, backbone=who), unit="block"
        )
        for who, path in files.items()
    }
    return scores, files


def _most(labels: xr.DataArray, config: Config) -> int:
    """As many windows as wanted, or as the half has positions."""
    rows, columns = (length - config.chip_size + 1 for length in labels.shape)
    return min(config.chips, rows * columns)


def _show(
    setting: Setting, optical: xr.Dataset, files: dict[str, Path], scores: dict[str, Score]
) -> tuple[Picture, ...]:
    """Pictures of the report, and the web map."""
    out, test, real = setting.out, setting.halves.test, setting.kind == "real"
    picture = parts.true_colour(optical, ("B04", "B03", "B02"), out / "true_colour.tif")
    titles = {
        f"{name}: {who}": f"{name}: {word}"
        for who, word in (("unet", "U-Net"), ("random_forest", "random forest"))
        for name in setting.config.inputs
    }
    panels: dict[str, NDArray[np.integer]] = {
        "Sentinel-2, true colour": picture[test],
        "labels": setting.labels.values[test],
        **{title: parts.read_map(files[key]) for key, title in titles.items()},
    }
    colours = [entry.colour for entry in LEGEND]
    maps = judge.map_panels(panels, LEGEND.names, out / "maps.png", colours=colours, columns=4)
    side = f"Learned on the {setting.config.train_on} half."
    layers = [
        parts.class_layer(files[key], title, LEGEND, note=side, shown=key == next(iter(titles)), real=real)
        for key, title in titles.items()
    ]
    truth = parts.write_truth(setting.labels.values, optical, LEGEND, out / "labels.tif")
    layers.append(parts.class_layer(truth, "Labels", LEGEND, note="Drawn by hand.", shown=False, real=real))
    layers.append(parts.basemap(out / "true_colour.tif", "Sentinel-2", CREDIT, real=real))
    write_layers(out, layers, "Flood water, learned on one half and mapped on the other")
    overview = parts.bars(scores, out / "contenders.png", unit="blocks")
    return overview, Picture(maps, f"The scored half. {side} Hand-drawn labels; maps of U-Net and random forest.")
