"""Does learning on the simulated Earth help on real scenes? Land cover and floods with few labelled blocks.

A system of this project, not of a paper. A U-Net learns the eleven classes of land cover on clear, simulated scenes of
Sentinel-2, of places all over the simulated Earth. Its weights, all but the last layer, are where fine-tuning on a real
scene starts, with few labelled blocks of a class. The same network from random weights (*scratch*), with the same data
order, steps and learning rate, is the baseline; a random forest on the same pixels stands beside them.

Two real scenes: an Amazon scene of RStoolbox with polygons of four classes (Mueller et al. 2025; surface reflectance)
and a chip of Sen1Floods11 (Bonafilia et al. 2020; reflectance at the top of the atmosphere, which was not learned on).
Controls: *shuffled* learns on the simulated images with the labels of other images, which must not help; *planted* is
the same comparison on a simulated place that was not learned on, where it must help. Each image is standardised by its
own means and deviations, for every contender alike. No pretrained encoder of others is compared, as none is read yet.

How the scores are meant: mIoU over the labelled pixels of blocks away from those that were learned from, in the same
scene. Two scenes say little about the rest of the Earth.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pydantic import BaseModel, ConfigDict, Field
from rasterio.transform import Affine

from swath import judge, rng
from swath.files import make_folder
from swath.judge import ForestOptions, PixelSampling, RandomForest, ResultTable
from swath.learn import FitConfig, fit
from swath.learn.reproduce import seeded
from swath.learn.task import SegmentationTask
from swath.metrics import ConfusionMatrix, miou
from swath.nn import Normalise, UNet
from swath.sources.published import rstoolbox, sen1floods11
from swath.sources.world.truth import COVER, WORLD_VERSION
from swath.sources.world.world import World
from swath.systems.eo import _runs
from swath.systems.eo import _scene_parts as parts
from swath.systems.eo._real_tasks import RealTask, open_tasks
from swath.systems.eo._world_data import Scenes, WindowLoader, band_set, batch_of, simulated
from swath.types import IGNORE, Batch, DataKind, Outcome, Report, ResultRow

SLUG = "world_transfer"
TITLE = "Does learning on the simulated Earth help on real scenes?"
TIER = "reproduced"
DATA: DataKind = "hybrid"
FLOODS = "sen1floods11_sample"


class Config(BaseModel):
    """Options; the defaults are those of the registered claim.

    Args:
        root: folder with ``rstoolbox`` and ``sen1floods11_sample``; ``$SWATH_DATA`` by default.
        miniature: use made-up miniature trees where the data are absent.
        places: where the simulated scenes lie.
        planted: the simulated place of the positive control.
        days: when they are seen.
        scene: side of a simulated scene in pixels of 10 m.
        bands: common to all scenes.
        base: of the world, ``planet`` or ``procedural``.
        window: side of a training window in pixels.
        block: side of a labelled block in pixels.
        per_class: labelled blocks for each class.
        width, depth, stem_stride: of the U-Net.
        batch_size: windows per step.
        pretraining_steps, tuning_steps: optimiser steps.
        pretraining_rate, tuning_rate: peak learning rates.
        trees: of the forest.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    root: Path | None = None
    miniature: bool = False
    places: tuple[str, ...] = (
        "rondonia",
        "mato_grosso",
        "congo",
        "borneo",
        "kenya",
        "po_valley",
        "bavaria",
        "iowa",
        "ganges",
        "mekong",
        "murray",
        "california",
    )
    planted: str = "alberta"
    days: tuple[str, ...] = ("2019-02-14", "2019-07-20")
    scene: int = Field(default=384, ge=16)
    bands: tuple[str, ...] = ("B02", "B03", "B04", "B08", "B11", "B12")
    base: str = "planet"
    window: int = Field(default=32, ge=8)
    block: int = Field(default=16, ge=2)
    per_class: int = Field(default=2, ge=1)
    width: int = Field(default=16, ge=1)
    depth: int = Field(default=2, ge=0)
    stem_stride: int = Field(default=2, ge=1)
    batch_size: int = Field(default=16, ge=1)
    pretraining_steps: int = Field(default=800, ge=1)
    tuning_steps: int = Field(default=150, ge=1)
    pretraining_rate: float = Field(default=3e-3, gt=0)
    tuning_rate: float = Field(default=2e-3, gt=0)
    trees: int = Field(default=200, ge=1)

    @classmethod
    def quick(cls) -> Config:
        """A smoke of seconds on one procedural place and made-up trees; its scores mean nothing."""
        return cls(
            miniature=True,
            places=("bavaria",),
            planted="bavaria",
            days=("2019-07-20",),
            scene=48,
            base="procedural",
            window=16,
            block=4,
            per_class=1,
            width=4,
            depth=1,
            batch_size=4,
            pretraining_steps=4,
            tuning_steps=4,
            trees=5,
        )


@dataclass(frozen=True)
class Prepared:
    """What all seeds share.

    Args:
        scenes: simulated scenes to learn on.
        tasks: the real scenes, then the planted one.
        world_hash: version of the world.
        kind: whether the real scenes are real.
    """

    scenes: Scenes
    tasks: tuple[RealTask, ...]
    world_hash: str
    kind: DataKind


def run(config: Config, out: Path, seed: int = 0) -> Report:
    """One seed: pretrain, fine-tune from it and from scratch on every task, score, write the report.

    Args:
        config: see ``Config``.
        out: folder of the run; simulated scenes and finished models in it are taken up again.
        seed: of initial weights, data order, labelled blocks and forest.

    Raises:
        MissingError: the real data or the packages of the world are absent.
    """
    timer = judge.Timer()
    make_folder(out)
    data = prepare(config, out)
    rows = seed_rows(config, data, out / f"seed_{seed}", seed)
    report = _report(config, out, tuple(rows), timer, f"Seed {seed}.")
    judge.write_report(report, out, command=_runs.command(SLUG, config, seed))
    return report


def evidence(out: Path) -> Report:
    """All registered seeds, resumable per seed; writes the evidence beside the registration.

    Raises:
        ClaimError: the registration is not committed, or ``out`` holds seeds measured under another one.
    """
    timer, config = judge.Timer(), Config()
    registration = judge.require_ledger() / f"{SLUG}.toml"
    claims = judge.load_registration(registration)
    started_at = judge.require_committed(registration)
    make_folder(out)
    data = prepare(config, out)
    judge.same_conditions(registration, out, data_hash=data.world_hash[:12])
    rows: list[ResultRow] = []
    for seed in claims[0].seeds:
        done = out / f"seed_{seed}" / "rows.parquet"
        if not done.exists():
            ResultTable(seed_rows(config, data, out / f"seed_{seed}", seed)).save(done)
        rows += list(ResultTable.load(done).rows)
    judge.write_evidence(registration, rows, data_hash=data.world_hash[:12], started_at=started_at)
    report = _report(config, out, tuple(rows), timer, f"Evidence over {len(claims[0].seeds)} seeds.")
    judge.write_report(report, out, command=f"swath run {SLUG} --evidence")
    return report


def prepare(config: Config, out: Path) -> Prepared:
    """Simulated scenes (made once per folder and version of the world) and the tasks."""
    world = World(seed=0, base=config.base)  # type: ignore[arg-type]
    fakes = (rstoolbox.write_fake, sen1floods11.write_fake) if config.miniature else (None, None)
    roots, kinds = zip(
        *(
            parts.data_folder(None if config.root is None else config.root / name, name, out / name, write_fake=fake)
            for name, fake in zip((rstoolbox.NAME, FLOODS), fakes, strict=True)
        ),
        strict=True,
    )
    scenes = simulated(world, config.places, config.days, config.bands, config.scene, out / "scenes")
    planted = simulated(world, (config.planted,), config.days[-1:], config.bands, config.scene, out / "scenes")
    tasks = (*open_tasks(roots[0], roots[1], config.bands), _planted(planted, config))
    return Prepared(scenes, tasks, world.version_hash(), "real" if set(kinds) == {"real"} else "fixture")


def seed_rows(config: Config, data: Prepared, out: Path, seed: int) -> list[ResultRow]:
    """Every number of one seed: each contender on each task, and its mean over the real ones."""
    starts = {
        "world": _pretrained(config, data.scenes, out / "world", seed),
        "shuffled": _pretrained(config, _shuffled(data.scenes, seed), out / "shuffled", seed),
        "scratch": None,
    }
    found: dict[str, dict[str, float]] = {}
    for task in data.tasks:
        learned, scored = task.few(config.block, config.per_class, seed)
        for name, start in starts.items():
            network = _tuned(config, task, learned, start, out / f"{task.name}_{name}", seed)
            found.setdefault(name, {})[task.name] = _score(task, network.predict(_whole(task, config)).label(), scored)
        forest = _forest(config, task, learned, seed)
        found.setdefault("random_forest", {})[task.name] = _score(
            task, forest.predict(_whole(task, config)).label(), scored
        )
    return [row for name, scores in found.items() for row in _rows(config, data, name, scores, seed)]


def _pretrained(config: Config, scenes: Scenes, out: Path, seed: int) -> SegmentationTask:
    bands = band_set(config.bands)
    task = _network(config, _statistics(scenes.values, scenes.valid), COVER.names, seed)
    batches = max(1, config.pretraining_steps // 10)
    loader = WindowLoader(scenes, bands, size=config.window, batch_size=config.batch_size, batches=batches, seed=seed)
    options = FitConfig(epochs=-(-config.pretraining_steps // batches), learning_rate=config.pretraining_rate)
    fit(task, loader, config=options, out=out, seed=seed, progress=False)
    return task


def _tuned(
    config: Config, task: RealTask, learned: NDArray[np.int64], start: SegmentationTask | None, out: Path, seed: int
) -> SegmentationTask:
    """The network on the learned labels, from the weights of ``start`` (its head apart) or from random ones."""
    scene = Scenes(task.values[None], task.valid[None], learned[None], (task.name,))
    network = _network(config, _statistics(scene.values, scene.valid), task.classes, seed)
    if start is not None:
        own = network.network.state_dict()
        taken = {
            key: value
            for key, value in start.network.state_dict().items()
            if "head" not in key and own[key].shape == value.shape
        }
        network.network.load_state_dict(own | taken)
    loader = WindowLoader(
        scene,
        band_set(config.bands),
        size=config.window,
        batch_size=config.batch_size,
        batches=config.tuning_steps,
        seed=seed,
        at=_windows(learned, config.window),
    )
    fit(
        network,
        loader,
        config=FitConfig(epochs=1, learning_rate=config.tuning_rate),
        out=out,
        seed=seed,
        progress=False,
    )
    return network


def _network(
    config: Config, statistics: tuple[list[float], list[float]], classes: tuple[str, ...], seed: int
) -> SegmentationTask:
    with seeded(seed, "initialise"):
        network = UNet(
            len(config.bands),
            len(classes),
            width=config.width,
            depth=config.depth,
            stem_stride=config.stem_stride,
            norm="channel",
        )
    return SegmentationTask(network, Normalise(*statistics, names=config.bands), band_set(config.bands), classes)


def _statistics(values: NDArray[np.float32], valid: NDArray[np.bool_]) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each band over the valid pixels of images ``(N, C, H, W)``."""
    bands = [values[:, index][valid[:, index]].astype(np.float64) for index in range(values.shape[1])]
    return [float(band.mean()) for band in bands], [float(max(band.std(), 1e-6)) for band in bands]


def _windows(learned: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Windows whose middle is a learned pixel, moved into the image: ``(K, 3)`` scene, row, column."""
    rows, columns = np.nonzero(learned != IGNORE)
    height, width = learned.shape
    starts = np.stack([rows - size // 2, columns - size // 2], axis=1)
    starts = np.clip(starts, 0, np.array([height - size, width - size]))
    unique = np.unique(starts, axis=0)
    return np.concatenate([np.zeros((len(unique), 1), np.int64), unique], axis=1)


def _forest(config: Config, task: RealTask, learned: NDArray[np.int64], seed: int) -> RandomForest:
    bands = {"image": band_set(config.bands)}
    options = ForestOptions(
        trees=config.trees, min_samples_leaf=1, mean_bands=config.bands, sampling=PixelSampling(max_pixels=50_000)
    )
    batch = _whole(task, config, learned)
    return RandomForest(bands, task.classes, options, seed).fit([batch])


def _whole(task: RealTask, config: Config, labels: NDArray[np.int64] | None = None) -> Batch:
    """The whole scene as one sample."""
    held = np.full(task.labels.shape, IGNORE) if labels is None else labels
    grid = GeoBox(task.labels.shape, Affine(10.0, 0.0, 500_000.0, 0.0, -10.0, 0.0), "EPSG:32631")
    return batch_of(task.values[None], task.valid[None], held[None], band_set(config.bands), grid, task.name)


def _score(task: RealTask, predicted: torch.Tensor, scored: NDArray[np.int64]) -> float:
    confusion = ConfusionMatrix(task.classes)
    truth = torch.from_numpy(scored)[None]
    confusion.update(truth, predicted.reshape(truth.shape), truth != IGNORE)
    return float(miou(confusion.counts))


def _shuffled(scenes: Scenes, seed: int) -> Scenes:
    """Images with the labels of other images: the negative control. One scene gets its labels turned around."""
    order = np.roll(rng.generator(seed, "shuffle").permutation(len(scenes)), 1)
    moved = order[np.argsort(np.roll(order, 1))] if len(scenes) > 1 else order
    return Scenes(scenes.values, scenes.valid, np.ascontiguousarray(scenes.labels[moved][:, ::-1, ::-1]), scenes.names)


def _planted(scenes: Scenes, config: Config) -> RealTask:
    """A simulated scene as a task: the classes that cover at least 2 % of it."""
    labels = scenes.labels[0]
    counts = np.bincount(labels[labels != IGNORE], minlength=len(COVER))
    kept = [index for index in range(len(COVER)) if counts[index] >= 0.02 * labels.size]
    numbers = np.full(len(COVER), IGNORE)
    numbers[kept] = np.arange(len(kept))
    names = tuple(COVER.names[index] for index in kept)
    own = np.where(labels == IGNORE, IGNORE, numbers[np.clip(labels, 0, None)])
    return RealTask("planted", scenes.values[0], scenes.valid[0], own, np.full(own.shape, -1), names, 1)


def _rows(config: Config, data: Prepared, name: str, scores: dict[str, float], seed: int) -> list[ResultRow]:
    real = [task.name for task in data.tasks if task.name != "planted"]
    values = {"miou": float(np.mean([scores[task] for task in real]))}
    values |= {f"miou_{task}": score for task, score in scores.items()}
    return [
        ResultRow(
            run_id=f"{SLUG}-{seed}",
            system=SLUG,
            dataset="mean of both real scenes" if metric == "miou" else metric.removeprefix("miou_"),
            dataset_hash=data.world_hash[:12],
            data_kind="simulated" if metric == "miou_planted" else ("hybrid" if data.kind == "real" else "fixture"),
            split="test",
            protocol=f"{config.per_class} labelled blocks of {config.block} pixels a class",
            bands=",".join(config.bands),
            backbone=name,
            seed=seed,
            metric=metric,
            value=value,
            device="cpu",
        )
        for metric, value in values.items()
    ]


def _report(config: Config, out: Path, rows: tuple[ResultRow, ...], timer: judge.Timer, note: str) -> Report:
    folder = judge.ledger_folder()
    path = None if folder is None else folder / f"{SLUG}.toml"
    claims: tuple[Outcome, ...] = () if path is None or not path.is_file() else judge.outcomes(path)
    return Report(
        system=SLUG,
        title=TITLE,
        data=DATA,
        rows=rows,
        claims=claims,
        wall_s=timer.seconds,
        peak_rss_mb=judge.peak_rss_mb(),
        notes=(
            *_runs.quick_note(config),
            f"{note} Learned on simulated scenes of {', '.join(config.places)}; scored on two real scenes, and on one "
            "simulated (planted), which is the positive control.",
            f"The simulated Earth is {WORLD_VERSION}, hash {' and '.join({str(row.dataset_hash) for row in rows})}.",
        ),
    )
