"""What is left of a score on worse images? Twelve corruptions of five severities, two tasks, seven contenders.

After REOBench (Li et al. 2025), which corrupts the test images of six tasks and finds losses between less than 1 % and
more than 20 %, most for backbones that were pretrained by masking. What is ours: the corruptions and their numbers,
because the authors published images and not the program (``SEVERITY_SET``); two tasks of real data in place of six;
networks small enough to be trained here, from nothing, in place of published foundation models; masks and labels that
move with the image; calibration beside accuracy; controls; and the question whether corruptions seen in training help
against corruptions that were not.

Scenes: RSSCN7 (Zou et al. 2015), seven classes at 64 pixels. Contenders: a ResNet of a quarter of the width, alone and
with half of its training images corrupted by six of the twelve corruptions; a small vision transformer, from random
weights and after masked pretraining on the training images; a random forest on colour and texture. Land cover: the
Sentinel-2 scene of RStoolbox with hand-drawn polygons, a U-Net and a random forest on pixels.

How the scores are meant: test pictures are drawn in blocks of ten numbers, because neighbours show the same place; the
severities are meant for images of 512 pixels and are harsher at 64. A system that publishes no model: there is no
published size to build.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from swath import judge
from swath.judge.corruptions import SEVERITY_SET
from swath.learn.reproduce import repeatable, seeded
from swath.sources.published import rsscn7, rstoolbox
from swath.systems.eo import _reobench_land as land_parts
from swath.systems.eo import _reobench_learning as learning
from swath.systems.eo import _reobench_numbers as numbers
from swath.systems.eo import _reobench_pages as pages
from swath.systems.eo import _runs
from swath.systems.eo import _scene_parts as parts
from swath.systems.eo._pictures import Library, PictureLoader, Pictures, colours, statistics_of
from swath.systems.eo._reobench_judging import Sweeps, run_sweeps
from swath.systems.eo._reobench_learning import Classifier, Schedule
from swath.systems.eo._reobench_networks import Encoder, ResNet, VisionTransformer
from swath.systems.eo._reobench_textures import TextureForest
from swath.types import DataKind, Predictor, Report, ResultRow

SLUG = "reobench"
TITLE = "What is left of a score on worse images"
TIER = "reproduced"
DATA: DataKind = "real"
FOLDER = "rsscn7_128"
PLAIN = ("resnet", "vit_masked", "vit_supervised", "random_forest")


class Config(BaseModel):
    """Options; the defaults are those of the registered claims.

    Args:
        root: folder with ``rsscn7_128`` and ``rstoolbox``; ``$SWATH_DATA`` by default.
        miniature: use made-up miniature trees where the data are absent.
        size: side of the pictures, and of the tiles of the land cover scene, in pixels.
        train_pictures: most pictures to learn from, or None for all of the training split.
        test_pictures: most pictures to score on, evenly spread over the test blocks.
        resnet, augmented, vit, masked: schedules of the networks; ``augmented`` is the ResNet on half corrupted
            images, ``vit`` both transformers with labels, ``masked`` the pretraining without.
        width: channels of the first stage of the ResNet, a quarter of the published 64.
        blocks: of each of its four stages.
        vit_width, vit_depth, patch: size of the transformer.
        smoothing: of the labels, for all networks.
        trees: of the texture forest.
        land_steps, land_width, land_window: training of the U-Net.
        land_trees: of the forest on pixels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    root: Path | None = None
    miniature: bool = False
    size: int = Field(default=64, ge=32)
    train_pictures: int | None = Field(default=None, ge=7)
    test_pictures: int = Field(default=168, ge=7)
    resnet: Schedule = Schedule(epochs=8, rate=4e-3)
    augmented: Schedule = Schedule(epochs=8, rate=4e-3)
    vit: Schedule = Schedule(epochs=8, rate=2e-3)
    masked: Schedule = Schedule(epochs=6, rate=3e-3)
    width: int = Field(default=16, ge=8, multiple_of=8)
    blocks: int = Field(default=1, ge=1)
    vit_width: int = Field(default=64, ge=4, multiple_of=4)
    vit_depth: int = Field(default=3, ge=1)
    patch: int = Field(default=16, ge=1)
    smoothing: float = Field(default=0.0, ge=0, lt=1)
    trees: int = Field(default=100, ge=1)
    land_steps: int = Field(default=120, ge=1)
    land_width: int = Field(default=16, ge=1)
    land_window: int = Field(default=32, ge=8)
    land_trees: int = Field(default=50, ge=1)

    @classmethod
    def quick(cls) -> Config:
        """A smoke of seconds; its scores mean nothing, and without the data it uses made-up miniature trees."""
        short = Schedule(epochs=1, rate=2e-3, batch_size=16)
        return cls(
            miniature=True,
            size=32,
            train_pictures=42,
            test_pictures=14,
            resnet=short,
            augmented=short,
            vit=short,
            masked=short,
            width=8,
            vit_width=16,
            vit_depth=1,
            trees=5,
            land_steps=3,
            land_width=4,
            land_window=16,
            land_trees=3,
        )


@dataclass(frozen=True, eq=False)
class Prepared:
    """What all seeds share.

    Args:
        scenes: the real scenes.
        pictures: their pictures.
        land: folder of the land cover scene.
        hashes: twelve hexadecimal digits for the files of each data set.
        kind: whether the data are real.
    """

    scenes: tuple[rsscn7.Scene, ...]
    pictures: Library
    land: Path
    hashes: tuple[str, str]
    kind: DataKind

    @property
    def hash(self) -> str:
        """One fingerprint for both data sets."""
        return hashlib.sha256("\n".join(self.hashes).encode()).hexdigest()[:12]


def run(config: Config, out: Path, seed: int = 0) -> Report:
    """One seed: train all contenders, judge them clean and under every corruption, write the report.

    Args:
        config: see ``Config``.
        out: folder of the run; finished networks in it are taken up again.
        seed: of the training pictures, polygons, initial weights, data order, forests and corruptions. The test
            pictures are the same for all seeds.

    Raises:
        MissingError: the data are absent.
        InputError: a file is missing or damaged.
    """
    return _runs.one_seed(_parts(), config, out, seed)


def evidence(out: Path) -> Report:
    """All registered seeds, resumable per seed; writes the evidence beside the registration.

    Raises:
        ClaimError: the registration is not committed, or ``out`` holds seeds measured under another one.
    """
    return _runs.all_seeds(_parts(), out)


def _parts() -> _runs.Parts[Config, Prepared]:
    return _runs.Parts(SLUG, Config, prepare, seed_rows, _report)


def prepare(config: Config, out: Path) -> Prepared:
    """Find both data sets and take their fingerprints."""
    fakes = (rsscn7.write_fake, rstoolbox.write_fake) if config.miniature else (None, None)
    (scene_root, first), (land_root, second) = (
        parts.data_folder(None if config.root is None else config.root / name, name, out / name, write_fake=fake)
        for name, fake in zip((FOLDER, rstoolbox.NAME), fakes, strict=True)
    )
    scenes = rsscn7.open(scene_root)
    prints = (rsscn7.describe(scene_root).fingerprint, rstoolbox.describe(land_root).fingerprint)
    kind: DataKind = "real" if first == second == "real" else "fixture"
    return Prepared(scenes, Library(scenes, config.size), land_root, (prints[0][:12], prints[1][:12]), kind)


def seed_rows(config: Config, data: Prepared, out: Path, seed: int) -> list[ResultRow]:
    """Every number of one seed."""
    base = ResultRow(run_id=f"{SLUG}-{seed}", system=SLUG, data_kind=data.kind, split="test", seed=seed, device="cpu")
    with repeatable(1):
        scenes, scene_base = _judge_scenes(config, data, out, base)
        land, land_base = _judge_land(config, data, out, base)
    rows = [*scenes.rows, *numbers.calibration_rows(scenes, scene_base)]
    rows += [*land.rows, *numbers.calibration_rows(land, land_base)]
    return [*rows, *numbers.claim_rows(scenes, land, scene_base)]


def scene_contenders(
    config: Config, learned: Pictures, out: Path, seed: int, names: tuple[str, ...] = (*PLAIN, "resnet_augmented")
) -> dict[str, Predictor]:
    """The contenders of the scenes, trained on the same pictures.

    Args:
        config: see ``Config``.
        learned: training pictures.
        out: folder of the networks.
        seed: of weights and data order.
        names: which of them.
    """
    normalise, bands = statistics_of(learned), len(rsscn7.BANDS)

    def network(name: str) -> Classifier:
        with seeded(seed, f"reobench {name}"):
            if name.startswith("resnet"):
                module: ResNet | VisionTransformer = ResNet(
                    bands, len(rsscn7.CLASSES), width=config.width, blocks=config.blocks
                )
            else:
                encoder = Encoder(
                    bands, config.size, patch=config.patch, width=config.vit_width, depth=config.vit_depth
                )
                if name == "vit_masked":
                    learning.pretrained(encoder, normalise, learned, config.masked, out / "masked", seed)
                module = VisionTransformer(encoder, len(rsscn7.CLASSES))
        return Classifier(module, normalise, rsscn7.CLASSES, smoothing=config.smoothing)

    found: dict[str, Predictor] = {}
    for name in names:
        if name == "random_forest":
            forest = TextureForest(colours(), rsscn7.CLASSES, trees=config.trees, seed=seed)
            found[name] = forest.fit(learned.batch())
            continue
        task = network(name)
        corrupted = numbers.TRAINED if name == "resnet_augmented" else ()
        schedule = config.vit if name.startswith("vit") else config.augmented if corrupted else config.resnet
        loader = PictureLoader(learned, batch_size=schedule.batch_size, seed=seed, corruptions=corrupted)
        learning.train(task, loader, schedule, out / name, seed)
        found[name] = task
    return found


def _judge_scenes(config: Config, data: Prepared, out: Path, base: ResultRow) -> tuple[Sweeps, ResultRow]:
    seed = base.seed or 0
    split = rsscn7.split(data.scenes, seed)
    learned = data.pictures.take(split.ids("train"), config.train_pictures)
    tested = data.pictures.take(split.ids("test"), config.test_pictures)
    contenders = scene_contenders(config, learned, out, seed)
    base = replace(
        base, dataset=FOLDER, dataset_hash=data.hashes[0], n_train=len(learned), n_test=len(tested), bands="rgb"
    )
    sweeps = Sweeps("accuracy", PLAIN, _second_half(tested.groups))
    run_sweeps(contenders, [tested.batch()], sweeps, base)
    return sweeps, base


def _judge_land(config: Config, data: Prepared, out: Path, base: ResultRow) -> tuple[Sweeps, ResultRow]:
    seed = base.seed or 0
    land = land_parts.open_land(data.land, seed)
    tiles = land.tiles(config.size)
    contenders: dict[str, Predictor] = {
        "unet": land_parts.land_network(
            land,
            width=config.land_width,
            steps=config.land_steps,
            window=config.land_window,
            out=out / "unet",
            seed=seed,
        ),
        "pixel_forest": land_parts.land_forest(land, trees=config.land_trees, seed=seed),
    }
    base = replace(
        base,
        dataset=f"{rstoolbox.NAME} sen2",
        dataset_hash=data.hashes[1],
        n_test=tiles.batch_size,
        bands=",".join(land_parts.BANDS),
    )
    sweeps = Sweeps("miou", tuple(contenders), _second_half(tiles.ids))
    run_sweeps(contenders, [tiles], sweeps, base, land.scale())
    return sweeps, base


def _second_half(groups: tuple[str, ...]) -> NDArray[np.bool_]:
    """Every other group."""
    place = {name: number for number, name in enumerate(dict.fromkeys(groups))}
    return np.array([place[name] % 2 == 1 for name in groups])


def _report(
    config: Config, data: Prepared, out: Path, rows: tuple[ResultRow, ...], timer: judge.Timer, note: str
) -> Report:
    shown = data.pictures.take([data.scenes[0].id])
    return Report(
        system=SLUG,
        title=TITLE,
        data=data.kind,
        rows=rows,
        claims=_runs.claims_of(SLUG),
        wall_s=timer.seconds,
        peak_rss_mb=judge.peak_rss_mb(),
        pictures=pages.pictures(rows, shown, out),
        files={"grids": pages.write_grids(rows, out / "grids.md")},
        notes=(
            *_runs.quick_note(config),
            f"{parts.KINDS[data.kind]} {note} Fingerprint of both data sets: {data.hash}.",
            f"Augmented training sees {', '.join(numbers.TRAINED)}; the six others are new to it in the test.",
            f"Severities are those of the set {SEVERITY_SET}, not of the paper: its images were published, its "
            "parameters were not. This system publishes no model, so there is no published size to build.",
        ),
    )
