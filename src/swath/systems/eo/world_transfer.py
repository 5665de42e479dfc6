"""Does learning on the simulated Earth help on real scenes? Land cover and floods with few labelled blocks.

A system of this project, not of a paper. A U-Net learns the eleven classes of land cover on clear, simulated scenes of
Sentinel-2, of places all over the simulated Earth. On a real scene a new head learns on its features from few labelled
blocks of a class, then all of its weights do (*world*). The same network from random weights (*scratch*) learns from
the same labels in the way that suits it best. A random forest stands beside them, alone and with what the pretrained
network says of each pixel as further features (*world_forest*, *shuffled_forest*).

Two real scenes: an Amazon scene of RStoolbox with polygons of four classes (Mueller et al. 2025; surface reflectance)
and a chip of Sen1Floods11 (Bonafilia et al. 2020; reflectance at the top of the atmosphere, which was not learned on).
Controls: *shuffled* learns on the simulated images with the labels of other images, which must not help; *planted* is
the same comparison on simulated places that were not learned on, where it must help. No pretrained encoder of others is
compared, as none is read yet.

How the contenders learn was chosen on simulated places that were held out, other ones than those of the control, and
with as many candidates for random weights as for pretrained ones (``bench/world_transfer_options.py``); no score on a
real scene took part. The first version of this experiment, whose real scores were known by then, could not find the
effect of its positive control: its numbers are in ``claims/world_transfer.toml`` and ``docs/world.md``.

How the scores are meant: mIoU over the labelled pixels of blocks away from those that were learned from, in the same
scene, mean over independent draws of blocks. Two scenes say little about the rest of the Earth.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from swath import judge, rng
from swath.files import make_folder
from swath.learn.task import SegmentationTask
from swath.sources.published import rstoolbox, sen1floods11
from swath.sources.world.truth import WORLD_VERSION
from swath.sources.world.world import World
from swath.systems.eo import _runs
from swath.systems.eo import _scene_parts as parts
from swath.systems.eo import _world_learning as learning
from swath.systems.eo._real_tasks import RealTask, open_tasks, simulated_task, thinned
from swath.systems.eo._world_data import Scenes, Statistics, simulated, standardised
from swath.systems.eo._world_learning import Pretraining, Shape, Tuning
from swath.types import IGNORE, DataKind, Report, ResultRow

SLUG = "world_transfer"
TITLE = "Does learning on the simulated Earth help on real scenes?"
TIER = "reproduced"
DATA: DataKind = "hybrid"
FLOODS = "sen1floods11_sample"
PLANTED = "planted"


class Config(BaseModel):
    """Options; the defaults are those of the registered claim.

    Args:
        root: folder with ``rstoolbox`` and ``sen1floods11_sample``; ``$SWATH_DATA`` by default.
        miniature: use made-up miniature trees where the data are absent.
        places: where the simulated scenes lie.
        planted: the simulated places of the positive control.
        days: when they are seen.
        scene: side of a simulated scene in pixels of 10 m.
        base: of the world, ``planet`` or ``procedural``.
        statistics: of the z-scores that networks read: each ``scene`` in its own, or all in those of the ``world``.
        block: side of a labelled block in pixels.
        per_class: labelled blocks for each class.
        draws: of labelled blocks for each seed and real scene; planted ones have one.
        most_scored: pixels to score for each draw; a random sample where more have a label.
        shape: of the network.
        pretraining: how it learns on the simulated scenes.
        start: how it learns from few labels after that.
        scratch: how it learns from few labels from random weights.
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
    planted: tuple[str, ...] = ("alberta", "1.5,48.3")
    days: tuple[str, ...] = ("2019-02-14", "2019-07-20")
    scene: int = Field(default=384, ge=16)
    base: str = "planet"
    statistics: Literal["scene", "world"] = "scene"
    block: int = Field(default=16, ge=2)
    per_class: int = Field(default=2, ge=1)
    draws: int = Field(default=1, ge=1)
    most_scored: int = Field(default=30_000, ge=1)
    shape: Shape = Shape()
    pretraining: Pretraining = Pretraining()
    start: Tuning = Tuning(steps=200, rate=5e-3)
    scratch: Tuning = Tuning(steps=200, rate=1e-3)
    trees: int = Field(default=100, ge=1)

    @classmethod
    def quick(cls) -> Config:
        """A smoke of seconds on one procedural place and made-up trees; its scores mean nothing."""
        return cls(
            miniature=True,
            places=("bavaria",),
            planted=("bavaria",),
            days=("2019-07-20",),
            scene=48,
            base="procedural",
            block=4,
            per_class=1,
            draws=1,
            shape=Shape(width=4, depth=1, window=16),
            pretraining=Pretraining(steps=2, batch_size=4),
            start=Tuning(steps=2, batch_size=4),
            scratch=Tuning(steps=2, batch_size=4),
            trees=5,
        )


@dataclass(frozen=True)
class Prepared:
    """What all seeds share.

    Args:
        scenes: simulated scenes to learn on, in z-scores.
        tasks: the real scenes, then the planted ones, in z-scores.
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
    _, rows = _runs.measure_evidence(
        SLUG,
        out,
        prepare=lambda: prepare(config, out),
        hash_of=lambda data: data.world_hash[:12],
        rows_of=lambda data, folder, seed: seed_rows(config, data, folder, seed),
    )
    seeds = len({row.seed for row in rows})
    report = _report(config, out, rows, timer, f"Evidence over {seeds} seeds.")
    judge.write_report(report, out, command=f"swath run {SLUG} --evidence")
    return report


def prepare(config: Config, out: Path) -> Prepared:
    """Simulated scenes (made once per folder and version of the world) and the tasks."""
    world = World(seed=0, base=config.base)  # type: ignore[arg-type]
    bands = config.shape.bands
    fakes = (rstoolbox.write_fake, sen1floods11.write_fake) if config.miniature else (None, None)
    roots, kinds = zip(
        *(
            parts.data_folder(None if config.root is None else config.root / name, name, out / name, write_fake=fake)
            for name, fake in zip((rstoolbox.NAME, FLOODS), fakes, strict=True)
        ),
        strict=True,
    )
    raw = simulated(world, config.places, config.days, bands, config.scene, out / "scenes")
    common = Statistics.of(raw.values, raw.valid) if config.statistics == "world" else None
    scenes = Scenes(standardised(raw.values, raw.valid, common), raw.valid, raw.labels, raw.names)
    planted = simulated(world, config.planted, config.days[-1:], bands, config.scene, out / "scenes")
    tasks = (
        *open_tasks(roots[0], roots[1], bands),
        *(simulated_task(f"{PLANTED}_{at}", planted, at, bands) for at in range(len(planted))),
    )
    ready = tuple(task.standardised(common) for task in tasks)
    return Prepared(scenes, ready, world.version_hash(), "real" if set(kinds) == {"real"} else "fixture")


def seed_rows(config: Config, data: Prepared, out: Path, seed: int) -> list[ResultRow]:
    """Every number of one seed: each contender on each task, and its mean over the real ones."""
    shuffled = _shuffled(data.scenes, seed)
    starts = {
        "world": learning.pretrained(config.shape, config.pretraining, data.scenes, out / "world", seed),
        "shuffled": learning.pretrained(config.shape, config.pretraining, shuffled, out / "shuffled", seed),
    }
    found: dict[str, dict[str, list[float]]] = {}
    for task in data.tasks:
        for draw in range(1 if task.name.startswith(PLANTED) else config.draws):
            for name, reached in scores(config, task, starts, out / f"{task.name}_{draw}", (seed, draw)):
                found.setdefault(name, {}).setdefault(task.name, []).append(reached)
    means = {name: {task: float(np.mean(each)) for task, each in tasks.items()} for name, tasks in found.items()}
    return [row for name, values in means.items() for row in _rows(config, data, name, values, seed)]


def scores(
    config: Config, task: RealTask, starts: dict[str, SegmentationTask], out: Path, which: tuple[int, int]
) -> Iterator[tuple[str, float]]:
    """Every contender's name and mIoU on one task after learning from one draw (seed, draw) of labels."""
    seed, draw = which
    learned, labels = task.few(config.block, config.per_class, seed, draw)
    scored = thinned(labels, config.most_scored, rng.generator(seed, "scored", task.name, draw))
    for name in ("world", "shuffled", "scratch"):
        how = config.start if name in starts else config.scratch
        network = learning.tuned(config.shape, how, task, learned, starts.get(name), out / name, seed)
        yield name, learning.score(task.classes, scored, learning.mapped(network, task))
    for name, start in {"random": None, **starts}.items():
        found = learning.forest(config.shape, config.trees, task, learned, scored != IGNORE, start, seed)
        yield f"{name}_forest", learning.score(task.classes, scored, found)


def _shuffled(scenes: Scenes, seed: int) -> Scenes:
    """Images with the labels of other images: the negative control. One scene gets its labels turned around."""
    order = np.roll(rng.generator(seed, "shuffle").permutation(len(scenes)), 1)
    moved = order[np.argsort(np.roll(order, 1))] if len(scenes) > 1 else order
    return Scenes(scenes.values, scenes.valid, np.ascontiguousarray(scenes.labels[moved][:, ::-1, ::-1]), scenes.names)


def _rows(config: Config, data: Prepared, name: str, scores: dict[str, float], seed: int) -> list[ResultRow]:
    planted = [task for task in scores if task.startswith(PLANTED)]
    real = [task for task in scores if task not in planted]
    values = {"miou": float(np.mean([scores[task] for task in real]))}
    values["miou_planted"] = float(np.mean([scores[task] for task in planted]))
    values |= {f"miou_{task}": score for task, score in scores.items()}
    return [
        ResultRow(
            run_id=f"{SLUG}-{seed}",
            system=SLUG,
            dataset="mean of both real scenes" if metric == "miou" else metric.removeprefix("miou_"),
            dataset_hash=data.world_hash[:12],
            data_kind="simulated"
            if metric.startswith("miou_planted")
            else ("hybrid" if data.kind == "real" else "fixture"),
            split="test",
            protocol=f"{config.per_class} labelled blocks of {config.block} pixels a class",
            bands=",".join(config.shape.bands),
            backbone=name,
            seed=seed,
            metric=metric,
            value=value,
            device="cpu",
        )
        for metric, value in values.items()
    ]


def _report(config: Config, out: Path, rows: tuple[ResultRow, ...], timer: judge.Timer, note: str) -> Report:
    return Report(
        system=SLUG,
        title=TITLE,
        data=DATA,
        rows=rows,
        claims=_runs.claims_of(SLUG),
        wall_s=timer.seconds,
        peak_rss_mb=judge.peak_rss_mb(),
        notes=(
            *_runs.quick_note(config),
            f"{note} Learned on simulated scenes of {', '.join(config.places)}; scored on two real scenes, and on "
            f"the simulated {', '.join(config.planted)} (planted), which are the positive control.",
            f"The simulated Earth is {WORLD_VERSION}, hash {' and '.join({str(row.dataset_hash) for row in rows})}.",
        ),
    )
